#!/bin/sh
# Builds the executor: build.sh OUTDIR [--sanitize]
#
# Without options: OUTDIR/gantry-executor, static and without a libc. With --sanitize: a hosted build of the same
# sources with ASan and UBSan (OUTDIR/gantry-executor-sanitized) and the decoder's fuzzer (OUTDIR/fuzz-decoder).
set -eu

if [ $# -lt 1 ]; then
	echo "usage: build.sh OUTDIR [--sanitize]" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mode=${2:-}
cc=${CC:-cc}
warnings="-std=gnu17 -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes"
mkdir -p "$out"
cd "$here"

if [ "$mode" = "--sanitize" ]; then
	sanitize="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -DGANTRY_HOSTED"
	$cc $warnings $sanitize -o "$out/gantry-executor-sanitized" ./*.c
	$cc $warnings $sanitize -I. -o "$out/fuzz-decoder" fuzz/decoder.c fuzz/mutate.c program.c stream.c
	exit 0
fi

# No libc: nothing may call into one (stack protector, unwinding), and no loop of ours may become a call to itself.
flags="-O2 -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie -fwrapv -fno-common"
links="-nostdlib -static -s -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,norelro -Wl,--gc-sections"
case $($cc --version) in
*clang*) ;;
*) flags="$flags -fno-tree-loop-distribute-patterns" ;;
esac
$cc $warnings $flags -ffunction-sections -fdata-sections $links ${EXECUTOR_CFLAGS:-} -o "$out/gantry-executor.tmp" ./*.c
mv "$out/gantry-executor.tmp" "$out/gantry-executor"

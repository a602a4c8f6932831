#!/bin/sh
# Fuzzes the decoder: fuzz.sh SECONDS
#
# Half of the time with libFuzzer where clang has it, the rest (or all) with the mutation loop, which needs only a compiler
# with ASan. Seeds are real programs: what executor/fuzz/seeds.ts encodes from the op table.
set -eu

seconds=${1:?usage: fuzz.sh SECONDS}
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bun=${BUN:-$here/../node_modules/.bin/bun}
"$bun" "$here/fuzz/seeds.ts" "$out/seeds"
"$here/build.sh" "$out" --sanitize
if command -v clang >/dev/null && clang -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	-DGANTRY_HOSTED -I"$here" -o "$out/fuzz-clang" "$here/fuzz/decoder.c" "$here/program.c" "$here/stream.c" 2>"$out/log"; then
	seconds=$(((seconds + 1) / 2))
	mkdir "$out/corpus"
	"$out/fuzz-clang" -max_total_time="$seconds" -max_len=65536 -print_final_stats=1 -artifact_prefix="$out/" "$out/corpus" "$out/seeds" 2>"$out/log" || {
		cat "$out/log" >&2
		exit 1
	}
	grep -E "number_of_executed_units|new_units_added" "$out/log"
fi
"$out/fuzz-decoder" "$seconds" "$out"/seeds/*

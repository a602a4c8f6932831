#!/bin/sh
# Checks the executor without running a container: it compiles without a warning, needs nothing of the machine it runs on,
# refuses what is no program, and its decoder stands five seconds of fuzzing under ASan and UBSan.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() {
	echo "check-executor: $*" >&2
	exit 1
}

sh "$here/executor/build.sh" "$out"
executor=$out/gantry-executor
if command -v readelf >/dev/null; then
	! readelf -lW "$executor" | grep -Eq 'INTERP|DYNAMIC' || fail "the executor is not static: it must run on any machine"
	! readelf -lW "$executor" | grep -Eq 'GNU_STACK.*RWE|LOAD.*RWE' || fail "the executor has memory that is writable and executable"
fi
bytes=$(wc -c <"$executor")
[ "$bytes" -le 262144 ] || fail "the executor has $bytes bytes, more than 256 KiB"

# A file that is no program must be refused, not crash the executor (a signal would be 128 or more).
printf 'this is no program' >"$out/nonsense"
status=0
"$executor" 3<"$out/nonsense" 4>/dev/null </dev/null >/dev/null 2>&1 || status=$?
[ "$status" -gt 0 ] && [ "$status" -lt 128 ] || fail "the executor ended with $status on a file that is no program"

sh "$here/executor/fuzz.sh" 5

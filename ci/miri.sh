#!/usr/bin/env bash
# The interpreter over what needs no system: rsm-core whole, and of rsm-shm what runs on ordinary memory. Many seeds: each
# schedules the threads of a test otherwise and lets other stale values be loaded.
#
#   ci/miri.sh [SEEDS]     default 16; needs a nightly toolchain with the miri component
#
# Where miri is not installed the same tests run under what is: valgrind, and AddressSanitizer with any nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-16}
# Of rsm-shm: copies, views, layouts; the rest makes system calls that miri does not know.
shm='memory::copy memory::view agent::books::rows'
# A filter that matches no test fails: what it names may have moved.
some() { awk '{ print } /^running [1-9]/ { some = 1 } END { if (!some) { print "no such test"; exit 1 } }'; }

if cargo +nightly miri --version >/dev/null 2>&1; then
    export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..$seeds" CARGO_TARGET_DIR=target/miri PROPTEST_CASES=4
    cargo +nightly miri test -p rsm-core --lib --locked
    for tests in $shm; do
        cargo +nightly miri test -p rsm-shm --lib --locked -- "$tests" | some
    done
    exit
fi
echo "miri: skipped, no nightly toolchain here has the component (rustup component add --toolchain nightly miri)"

binary_of() {
    cargo test -p "$1" --lib --locked --no-run --message-format json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1
}
if command -v valgrind >/dev/null; then
    export PROPTEST_CASES=8
    valgrind -q --error-exitcode=99 --leak-check=no "$(binary_of rsm-core)" --test-threads=1
    binary=$(binary_of rsm-shm)
    for tests in $shm; do
        valgrind -q --error-exitcode=99 --leak-check=no "$binary" --test-threads=1 "$tests" | some
    done
else
    echo "valgrind: skipped, not installed"
fi
if cargo +nightly --version >/dev/null 2>&1; then
    export RUSTFLAGS='-Zsanitizer=address' CARGO_TARGET_DIR=target/asan PROPTEST_CASES=64
    # Leaks are looked for at the end of every process by default; the library's threads live to the end on purpose. And variables
    # that are kept apart from the stack say nothing of where on it a call is (`race/seen.rs`).
    ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 cargo +nightly test -q -p rsm-core -p rsm-shm --lib --locked --target x86_64-unknown-linux-gnu
else
    echo "AddressSanitizer: skipped, no nightly toolchain"
fi

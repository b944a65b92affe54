#!/usr/bin/env bash
# Fuzzing, for a stated time: bash ci/fuzz.sh [SECONDS per target, 20]; 0: the inputs there are, and no new ones
#
# The bodies of the targets run over their seeds and over fixed mutations of them with any toolchain; guided by coverage
# only where a nightly toolchain and cargo-fuzz are installed. Nothing is downloaded but what fuzz/Cargo.lock names. The
# corpora that grow (fuzz/corpus) are kept between runs and not committed; a failing input is left in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}

cargo test --locked -p rsm-inputs

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo '-- skipped: fuzzing guided by coverage: no nightly toolchain with cargo-fuzz'
    exit 0
fi
cargo +nightly fuzz build --fuzz-dir fuzz
limit=-max_total_time=$seconds
[ "$seconds" != 0 ] || limit=-runs=0
# The private cluster of a program without one lives as long as the program, on purpose: no leak.
export ASAN_OPTIONS=detect_leaks=0
for target in messages registry agent capi peer; do
    mkdir -p "fuzz/corpus/$target"
    echo "-- $target: $seconds s"
    cargo +nightly fuzz run --fuzz-dir fuzz "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        "$limit" -max_len=1500 -len_control=0 -timeout=20 -rss_limit_mb=3000 \
        -print_final_stats=1 2>&1 | grep -E '^(stat::number|stat::peak|Done|==|SUMMARY|thread|.*panicked)|cov: .*DONE'
done

#!/usr/bin/env bash
# Model checking of the lock-free protocols, and proof that each model can fail.
#
#   ci/loom.sh [PREEMPTIONS] [MODEL]     every model, or those whose name contains MODEL
#
# Knobs, with their defaults: 3 preemptions in each execution; LOOM_MAX_DURATION=10, the most seconds for one model (one
# that is stopped by the clock is marked). Two models run at a time. All of it takes about a minute on two processors.
#
# After the models pass, the protocols are broken on purpose, one mutation at a time (rsm_core::sync::mutated): every
# model names, in a line of its comment, mutations that must make it fail. A model without any is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/loom RUSTFLAGS='--cfg rsm_loom' RUST_BACKTRACE=0
export LOOM_MAX_PREEMPTIONS="${1:-3}" LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-10}"
only=${2:-}

out=target/loom/models
mkdir -p "$out"
# Those crates that have models, each with a binary of its own.
for crate in rsm-core rsm-race; do
    cargo test -q --release -p $crate --lib --locked --no-run
    cargo test --release -p $crate --lib --locked --no-run --message-format json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1 >"$out/$crate"
done

# CRATE MODEL MUTATION on each line, as the comments say. A comment may go on on the next line.
claims=$(awk '
    FNR == 1 { n = split(FILENAME, part, "/"); file = part[n]; sub(/\.rs$/, "", file); named = ""; listing = 0
        file = part[1] " " file }
    /^\/\/\/ Mutations:/ { listing = 1 }
    listing && /^\/\/\// { line = $0; while (match(line, /`[a-z_]+`/)) {
        named = named " " substr(line, RSTART + 1, RLENGTH - 2); line = substr(line, RSTART + RLENGTH) } }
    /^#\[test\]/ { test = 1 }
    test && /^fn / { name = $2; sub(/\(.*/, "", name); n = split(named, m, " ")
        if (n == 0) print file "::" name, "-"
        for (i = 1; i <= n; i++) print file "::" name, m[i]
        named = ""; test = 0; listing = 0 }
' rsm-core/src/models/*.rs rsm-race/src/models/*.rs | grep -- "$only")
if grep -q -- ' -$' <<<"$claims"; then
    echo "no mutation breaks these models: $(grep -- ' -$' <<<"$claims" | cut -d' ' -f2 | tr '\n' ' ')"
    exit 1
fi

for crate in rsm-core rsm-race; do
    "$(cat "$out/$crate")" "models::$only" --nocapture --test-threads=2 >"$out/$crate.log" 2>&1 ||
        { cat "$out/$crate.log"; exit 1; }
done

# Runs one mutation against one model; a mutation that does not even run proves nothing.
try_mutation() {
    local binary model=$2 mutation=$3 log="$out/$2-$3.log"
    binary=$(cat "$out/$1")
    if RSM_MUTATION=$mutation "$binary" "models::$model" --exact --nocapture >"$log" 2>&1; then
        echo "mutation $mutation is not caught by $model"
        return 1
    fi
    grep -q 'panicked at' "$log" || { cat "$log"; return 1; }
}
export -f try_mutation
export out
xargs -P 2 -L 1 bash -c 'try_mutation "$0" "$1" "$2"' <<<"$claims"

printf '%-75s %11s %10s %7s  %s\n' model preemptions executions seconds 'mutations caught'
sed -n 's/^model //p; s/.*\.\.\. model //p' "$out/rsm-core.log" "$out/rsm-race.log" | sort | while read -r name bound executions seconds rest; do
    caught=$(awk -v name="$name" '$2 == name { printf "%s ", $3 }' <<<"$claims")
    printf '%-75s %11s %10s %7s  %s%s\n' "$name" "$bound" "$executions" "$seconds" "$caught" "$rest"
done
awk '{ models[$2]; mutations[$3] } END {
    printf "%d models, %d of %d claims shown, %d mutations\n", length(models), NR, NR, length(mutations) }' <<<"$claims"

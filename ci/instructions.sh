#!/usr/bin/env bash
# Counts the instructions of the data path under valgrind and compares them with what is recorded.
#
#   ci/instructions.sh             fails when one of them grew (by other compilers than recorded: by more than a tenth)
#   ci/instructions.sh --record    records what is counted now
#
# Without valgrind it counts nothing, and says so. What is counted is built in release mode.
set -euo pipefail
cd "$(dirname "$0")/.."
# An incremental build inlines less: other instructions.
export CARGO_INCREMENTAL=0
exec cargo bench -q -p rsm-capi --bench instructions --locked -- "${1:---check}"

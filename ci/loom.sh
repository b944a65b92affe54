#!/usr/bin/env bash
# Model checking of the lock-free protocols, and proof that each model can fail.
#
#   ci/loom.sh [PREEMPTIONS]     every model; default 3 preemptions, which takes about a minute
#
# After the models pass, the protocols are broken on purpose, one mutation at a time (rsm_core::sync::mutated), and the
# model that names the mutation must fail.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS="${1:-3}" RUSTFLAGS='--cfg rsm_loom'

models() {
    cargo test -q --release -p rsm-core --lib --locked -- "$@"
}

models models::

# MUTATION MODEL
mutations='
bell_post_fence        a_sleeper_is_never_left_behind
bell_sleep_fence       a_sleeper_is_never_left_behind
bell_abort_no_wake     an_abort_reaches_every_sleeper
bell_post_ignores_epoch a_late_post_does_not_reach_the_next_connection
bell_release           a_signal_carries_what_was_put_before_it
seq_begin              a_row_is_read_as_it_stood_at_one_moment
seq_end                a_sequence_number_guards_its_fields
seq_begin              a_sequence_number_guards_its_fields
walk_ignores_progress  a_walk_posts_to_nobody_twice
lookup_trusts_links    a_published_segment_is_not_missed
verdict_importer_fence a_complete_verdict_means_the_store_came_first
verdict_agent_fence    a_complete_verdict_means_the_store_came_first
'
caught=0
while read -r mutation model; do
    [ -n "$mutation" ] || continue
    if RSM_MUTATION=$mutation models "models::$model" >target/loom/mutation.log 2>&1; then
        echo "mutation $mutation is not caught by $model"
        exit 1
    fi
    # A mutation that does not even run proves nothing.
    grep -q 'test result: FAILED' target/loom/mutation.log || { cat target/loom/mutation.log; exit 1; }
    caught=$((caught + 1))
done <<<"$mutations"
echo "$caught mutations caught"

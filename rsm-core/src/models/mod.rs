//! loom models of the lock-free protocols.
//!
//! Each names the mutations ([`crate::sync::mutated`]) that make it fail, in a line that begins with `Mutations:`;
//! `ci/loom.sh` reads those lines, runs every model, then every mutation of every model. loom explores interleavings
//! and what the memory model allows, up to a bound on preemptions; it does not reorder loads with later stores, so a
//! model that passes is evidence, not proof. It also remembers only the latest access to each word when it looks for
//! races: a load followed by a store of the same thread hides another thread's earlier load. So the one who writes with
//! plain stores, the agent, is the model's own thread, which runs first, and readers are started. Sleeping is modelled ([`futex`]): a thread that nobody wakes is a
//! deadlock, which loom reports.
//!
//! Every atomic of `rsm-core` and `rsm-shm`, and what speaks for it:
//!
//! | words | models, or why there is none |
//! |---|---|
//! | bell: word, sleepers | [`bell`], [`death`] |
//! | bell: relayed | written before the epoch is given to anybody, and after it was taken back |
//! | pump: made, changes, and the pipe it keeps | [`pump`] |
//! | sleepers: gone | [`sleepers`] |
//! | connection row: generation | [`verdict`] |
//! | path word | [`link`], [`verdict`] |
//! | link word | the agent's, and true by itself for people; spans compare the path words that follow it |
//! | rows: sequence number, fields; header: magic; lens: sequence numbers of records and points | [`rows`] |
//! | lens: gate: how many points, errors, modules; killed before | one store with Release and one acquire: what is counted is there |
//! | buckets, `next_in_bucket`; node row: published | [`lookup`] |
//! | `first_connection`, `next` | [`walk`] |
//! | segment row: withdrawal | [`withdrawal`] |
//! | segment row: comings, arrivals, earlier, importers | [`attendance`] |
//! | header: revision | [`revision`] |
//! | header: changes | [`watch`] |
//! | header: how many rows were ever used | a hint for who lists them; what a row says is read under its number |
//! | header: ended; node row: processes, pid, uid, exports, imports | single words, true by themselves, for people |
//! | tally rows; `rsm_shm` tally: row, process | numbers for people; the row's memory stays mapped as long as the membership |
//! | lens: ring | [`trace`] |
//! | between nodes of a team: a lock's words | [`lock`]; its steps with deaths anywhere: `rsm-team/src/lock/model.rs` |
//! | between nodes of a team: words of boards | [`board`], of the steps |
//! | between PEs of OpenSHMEM: a lock's words; those of the shortest exchanges | [`queue`]; [`exchange`] |
//! | between PEs of OpenSHMEM: what is slept for, the event | [`asleep`], with a model of `membarrier` |
//! | `rsm_shm` trace: ring, process | as those of a tally |
//! | `rsm_shm` trace: late, bytes, time; looks: wanted, noted, watching, stopped | a hint of the events thread; who finds no ring notes nothing |
//! | `rsm_shm` import: where the generation is looked for | one of two places that outlive it; who compares with what never matches looks at the truth |
//! | `rsm_shm` crash points | tests only |
//! | control pages: ring, head, tail | [`ring`] |
//! | control pages: seals | [`posted`] |
//! | control pages: lanes; outgoing counts | [`lanes`] |
//! | control pages: hello, heard, canary, heartbeat | written before the link is up, or single words, compared and counted only |
//! | controller rows | written once, before the magic |
//! | `rsm_shm` fork count | changes while the process has one thread |
//! | `rsm_shm` import: flags | settings of the caller's own and hints of the events thread; a transfer that races with a change goes by either |
//! | `rsm_shm` import: given back | a swap: one of those who give back does |
//! | `rsm_shm` turns: over | stepped after the lock under which a turn ends, read before the lock under which it is found taken: the lock orders them |
//! | `rsm_shm` export: suspended | one thread's, by the export's turn |
//! | `rsm_shm` export: start | moves with a rebind, which excludes views of the old range |
//! | `rsm_shm` copies and views | the program's data; what they order is the verdict's fence |
//!
//! A protocol is more than its common case. Its modes, flags and early exits, above all those that skip a
//! read-modify-write or a fence, and which model goes through each (`a | b` where several do):
//!
//! | protocol | mode, flag or early exit | model |
//! |---|---|---|
//! | post | adds one; nobody asleep, somebody asleep | `bell::a_signal_carries..`, `a_sleeper_is_never..` |
//! | | adds none: not accumulating, one pending | `bell::a_post_that_does_not_accumulate_carries..`; `posts_that_do_not_accumulate_leave_one` |
//! | | adds none: the highest count | `bell::a_post_beyond_the_highest_count_carries..` |
//! | | adds none, and who posted before died owing the wake | `death::the_next_post_makes_up_for_a_dead_poster` |
//! | | another epoch | `bell::a_late_post_does_not_reach_the_next_connection` |
//! | | aborted | `bell::an_abort_swallows_no_signal` |
//! | | for another host: adds one; adds none and notes that it came first; something is on its way already | `bell::what_is_posted_for_another_host..`, `bell::what_is_taken_for..`, `a_single_for..` |
//! | | several at once, from another host | `bell::signals_that_come_together_wake_as_many` |
//! | take | nothing pending: looks only, and promises nothing but that no post came before what it saw | every model with a wait |
//! | | nothing pending, aborted | `bell::who_is_told_of_an_abort_finds_the_connection_cut` |
//! | | pending, aborted: the signal first | `bell::an_abort_swallows_no_signal` |
//! | wait | woken; the word changed before the sleep | `bell::a_sleeper_is_never_left_behind` |
//! | | deadline, handler, end of the cluster, each with and without a signal at that moment: one path | `bell::a_deadline_loses_no_signal` |
//! | | killed asleep, killed before the sleep | `death::a_dead_waiter_keeps_no_wake` |
//! | abort, renew, epoch | sleepers there; counted late by an old owner | `bell::an_abort_reaches_every_sleeper`, `a_late_sleeper..` |
//! | nudge | nobody asleep: returns after a fence | `death::a_nudge_makes_up_for_a_dead_poster` |
//! | pump | fills; empties and notices; leaves as it is | `pump::a_descriptor_is_readable..`, `a_descriptor_follows_posts..` |
//! | | hangs up, with and without a signal pending | `pump::a_descriptor_says..`, `a_descriptor_tells_of_signals_before_the_cut` |
//! | | nobody has a descriptor: the taker makes none follow | `pump::a_descriptor_made_during_a_take..` |
//! | | hands a wake on, or keeps it | `pump::the_pump_takes_no_wake_from_a_waiter` |
//! | sleepers | gone before it lists itself, between that and the sleep, asleep; nobody listed | `sleepers::the_end_reaches_every_sleeper` |
//! | verdict | stores; loads; the row used again | `verdict::*` |
//! | | what was stored later is another thread's, told by the agent; told by its bell | `verdict::a_vouched_load_saw_nothing_that_another..`; `bell::what_is_stored_after_an_abort..` |
//! | | link: an error in between; went for good; away at the beginning | `link::*` |
//! | | a rebind in between: spans of stores, of loads; the connection cut as well | `verdict::a_store_that_is_vouched..`, `a_load_that..`, `a_cut_before_a_rebind_wins` |
//! | | a lens: settled by the span's thread, with another that delivers at the same time; a signal after a close | `verdict::a_posted_store_that..`, `a_signal_comes_after_what_was_closed_before` |
//! | | a posted window: the seal holds, was broken; nothing answers | `posted::a_posted_store_that..`, `a_link_that_was_away..` |
//! | | a posted window: the seal is suspended, or was in between | `posted::a_posted_store_that_is_vouched_for_is_in_old_or_new..` |
//! | | one that is memory of this machine | `posted::a_store_to_memory_of_this_machine..` |
//! | ring | there is room; full: nothing is stored | `ring::a_message_that_is_seen_is_whole`, `a_full_ring_overwrites_nothing` |
//! | | damage: nothing is taken | `peer::ring::tests` |
//! | lane | one poster; another meanwhile: stored again; killed in between: the agent stores it | `lanes::*` |
//! | | goes back for a moment: nothing is taken | `lanes::nothing_is_taken_twice` |
//! | rows | written while read: tries again; the writer died: gives up after a bound | `rows::*`; `registry::lookup::tests::a_writer_that_died_leaves_readers_unsure` |
//! | look-up | found; nothing; the row left the chain; too long or unsure: the agent is asked | `lookup::*` |
//! | walk | complete; disturbed: over again from where it was; a dead connection is passed over | `walk::*` |
//! | withdrawal | free; somebody keeps it; a later one has begun | `withdrawal::*` |
//! | ring of a trace | read while it is written, written over, begun by two at once | `trace::whole_records_are_read` |
//! | revision | told again; looked for another reason; entered meanwhile | `revision::*` |
//! | lock | taken from nobody; from the dead; somebody has it: sleeps | `lock::who_takes_a_lock..`; `nobody_sleeps..` |
//! | | gives up, and is woken, or has been | `lock::who_gives_up..`, `who_is_woken_by_one_that_gives_up..` |
//! | | a queue: nobody in it; somebody: waits, hands over | `queue::*` |
//! | exchange | told; not yet: waits; the place of two turns ago | `exchange::what_is_told_in_a_turn..` |
//! | board | told, with the pieces; a ring that is full; a barrier of several rounds | `board::*` |
//! | sleeping for a store | a fence by `membarrier`; by both, where nearly everybody sleeps | `asleep::*` |
//! | changes | somebody sleeps, or is about to | `watch::who_sees_a_step_sees_the_change` |

mod asleep;
mod attendance;
mod bell;
mod board;
mod death;
mod exchange;
mod futex;
mod lanes;
mod link;
mod lock;
mod lookup;
mod posted;
mod pump;
mod queue;
mod revision;
mod ring;
mod rows;
mod sleepers;
mod tables;
mod trace;
mod verdict;
mod walk;
mod watch;
mod withdrawal;

use crate::explore::{explore, explore_less};

//! The library against a model of the RSMAPI: random scripts of verbs, every answer and every byte compared.
//!
//! Without more they are the same 75 scripts every time, with `RSM_TESTS=all` 300; `RSM_MODEL_CASES=N` runs N that nobody has seen. A script that fails is made as short as it can be and printed, one
//! verb a line; its seed is kept in `tests/model/regressions.txt` and run first from then on.
//!
//! Both is done with plain memory, through lenses (`rsm_core::lens`), where what is not put in order by a barrier comes in another,
//! and with the nodes on two hosts.
//!
//! The model is one user's view of two nodes that have joined and one that has not. What it leaves out: links and
//! deaths (tests/soak), vectors, and waiting. Two threads at a time are in [`threads`], with the verbs of exports, which wait
//! for each other; what they do to the same words at the same time is loom's (`rsm_core::models`).

mod library;
mod reference;
mod setting;
mod threads;
mod verbs;

use library::{Seen, compare};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRng, TestRunner};
use reference::{Flaw, Reference, User};
use rsm::lens::{Lens, Model, Strength};
use setting::Setting;
use std::cell::RefCell;
use verbs::{Script, Verb, scripts};

fn user() -> User {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    User { privileged: rustix::process::geteuid().is_root(), umask: umask.bits() }
}

fn judge(script: &Script, flaw: Option<Flaw>, setting: Setting, seen: &mut Seen) -> Result<(), TestCaseError> {
    compare(script, Reference::new(user(), flaw), setting, seen).map_err(TestCaseError::fail)
}

#[test]
fn the_library_answers_as_the_model() {
    answers_as_the_model(Setting::Plain);
}

/// The same through lenses, and who looks at what was put in explicit mode closes a span before.
#[test]
fn the_library_answers_as_the_model_through_lenses() {
    for lens in lenses() {
        answers_as_the_model(Setting::Lens(lens));
    }
}

/// Of the weakest model; with RSM_LENS=all, one of each.
fn lenses() -> impl Iterator<Item = Lens> {
    let all = std::env::var("RSM_LENS").is_ok_and(|which| which == "all");
    let models = Model::ALL.into_iter().map(|(_, model)| model).filter(move |&model| all || model == Model::Sci);
    models.map(|model| Lens::chaos(1).model(model).strength(Strength::Calm))
}

/// The same with the nodes on two hosts, after each verb of which both know what the other has to tell.
#[test]
fn the_library_answers_as_the_model_on_two_hosts() {
    answers_as_the_model(Setting::TwoHosts);
}

/// What the loopback controller exports is there for the other host as well, and not published to it.
#[test]
fn a_segment_of_the_own_node_alone_is_refused_as_on_one_host() {
    use verbs::{Access, Id, Rights, Via};
    for (own, other) in [(1, 2), (2, 1)] {
        let script = Script(vec![
            Verb::Create { e: 0, node: own, via: Via::Loopback, length: verbs::PAGE },
            Verb::Publish { e: 0, id: 0x40_0000, access: Access::Everyone },
            Verb::Connect { i: 0, node: other, via: Via::Shm0, to: own, id: Id::Of(0), rights: Rights(0o600) },
        ]);
        let mut seen = Seen::default();
        judge(&script, None, Setting::TwoHosts, &mut seen).expect("as the model says");
        assert_eq!(seen.refused.get(&reference::number::SEG_NOT_PUBLISHED_TO_NODE), Some(&1));
    }
}

/// How many are run where nobody says; four times as many with `RSM_TESTS=all`.
fn usual(setting: Setting) -> u32 {
    let all = std::env::var("RSM_TESTS").is_ok_and(|which| which == "all");
    let few = match setting {
        Setting::Plain => 75,
        Setting::TwoHosts => 40,
        Setting::Lens(_) => 25,
    };
    if all { 4 * few } else { few }
}

fn answers_as_the_model(setting: Setting) {
    let wanted = std::env::var("RSM_MODEL_CASES").ok();
    let usual = usual(setting);
    let cases = wanted.as_ref().map_or(usual, |n| n.parse().expect("RSM_MODEL_CASES is a number"));
    let kept = FileFailurePersistence::Direct("tests/model/regressions.txt");
    let config =
        Config { cases, failure_persistence: Some(Box::new(kept)), max_shrink_iters: 5000, ..Config::default() };
    let seen = RefCell::new(Seen::default());
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        // A change is not to be judged by chance.
        None => {
            let rng = TestRng::deterministic_rng(config.rng_algorithm);
            TestRunner::new_with_rng(config, rng)
        }
    };
    let result = runner.run(&scripts(), |script| judge(&script, None, setting, &mut seen.borrow_mut()));
    if let Err(TestError::Fail(reason, script)) = result {
        panic!("{reason}\nin {script:?}");
    }
    result.expect("scripts can be made");
    let seen = seen.into_inner();
    println!("{cases} scripts, {} verbs; refusals by error number: {:?}", seen.carried_out, seen.refused);
}

/// Some hundred meetings of two threads, the same ones each time; what the threads make of them differs.
#[test]
fn two_threads_are_told_what_one_after_the_other_would_be() {
    threads_meet(Setting::Plain);
}

/// The same through lenses: each put is a span of its own.
#[test]
fn two_threads_are_told_the_same_through_lenses() {
    for lens in lenses() {
        threads_meet(Setting::Lens(lens));
    }
}

/// The same with exports on one host and imports on the other.
#[test]
fn two_threads_are_told_the_same_on_two_hosts() {
    threads_meet(Setting::TwoHosts);
}

fn threads_meet(setting: Setting) {
    use proptest::strategy::{Strategy, ValueTree};
    let usual = usual(setting);
    let cases =
        std::env::var("RSM_MODEL_CASES").ok().map_or(usual, |n| n.parse().expect("RSM_MODEL_CASES is a number"));
    let rng = TestRng::deterministic_rng(Config::default().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..cases {
        let meeting = threads::meetings().new_tree(&mut runner).expect("meetings can be made").current();
        threads::compare(&meeting, Reference::new(user(), None), setting)
            .unwrap_or_else(|told| panic!("case {case}: {told}\nin {meeting:?}"));
    }
}

/// With a rule that is wrong some meeting has no explanation.
#[test]
fn a_meeting_that_no_order_explains_is_noticed() {
    use proptest::strategy::{Strategy, ValueTree};
    for flaw in [Flaw::RebindMovesContents, Flaw::IdsStayTaken] {
        let rng = TestRng::deterministic_rng(Config::default().rng_algorithm);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let noticed = (0..1000).any(|_| {
            let meeting = threads::meetings().new_tree(&mut runner).expect("meetings can be made").current();
            threads::compare(&meeting, Reference::new(user(), Some(flaw)), Setting::Plain).is_err()
        });
        assert!(noticed, "{flaw:?}");
    }
}

/// Scripts that never lead to a refusal would not test it.
#[test]
fn the_scripts_lead_to_every_refusal() {
    use proptest::strategy::{Strategy, ValueTree};
    let config = Config::default();
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let mut missing = refusals();
    for _ in 0..2000 {
        if missing.is_empty() {
            break;
        }
        let script = scripts().new_tree(&mut runner).expect("scripts can be made").current();
        // Also the refusals that root never meets.
        let mut model = Reference::new(User { privileged: false, umask: 0o022 }, None);
        for verb in &script.0 {
            if let reference::Expect::Is(Err(number)) = model.step(verb) {
                missing.retain(|wanted| *wanted != number);
            }
        }
    }
    assert!(missing.is_empty(), "no script leads to the errors {missing:?}");
}

fn refusals() -> Vec<i32> {
    use reference::number::*;
    vec![
        CTLR_NOT_PRESENT,
        SEG_ALREADY_PUBLISHED,
        SEG_NOT_PUBLISHED,
        SEG_NOT_PUBLISHED_TO_NODE,
        SEG_STILL_MAPPED,
        BAD_ADDR,
        BAD_MEM_ALIGNMENT,
        BAD_OFFSET,
        BAD_LENGTH,
        BAD_ACL,
        RESERVED_SEGID,
        SEGID_IN_USE,
        BAD_PERMS,
        PERM_DENIED,
        REBIND_NOT_ALLOWED,
        REMOTE_NODE_UNREACHABLE,
        CONN_ABORTED,
        TIMEOUT,
    ]
}

/// A model with one rule that is wrong must be told apart from the library, by a short script.
fn is_caught(flaw: Flaw) {
    let config = Config { cases: 3000, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    match runner.run(&scripts(), |script| judge(&script, Some(flaw), Setting::Plain, &mut Seen::default())) {
        Err(TestError::Fail(reason, script)) => {
            println!("{flaw:?}: {reason}\nin {script:?}");
            assert!(script.0.len() <= 12, "a long script: {script:?}");
        }
        other => panic!("a wrong rule was not noticed: {other:?}"),
    }
}

macro_rules! flaws {
    ($($name:ident $flaw:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            is_caught(Flaw::$flaw);
        }
    )*};
}

flaws! {
    a_wrong_rule_of_accumulation_is_noticed NoAccumulateAdds,
    a_wrong_rule_of_reading_is_noticed WriteOnlyReads,
    a_wrong_rule_of_republishing_is_noticed RepublishReachesBack,
    a_wrong_rule_of_ids_is_noticed IdsStayTaken,
    a_wrong_order_of_abort_and_signal_is_noticed AbortBeforeSignals,
    a_wrong_rule_of_access_lists_is_noticed ListsFilterNobody,
    a_wrong_error_number_is_noticed LateRangeIsBadLength,
    a_wrong_rule_of_spans_is_noticed SpansMissAborts,
    a_wrong_rule_of_rebinding_is_noticed RebindMovesContents,
    a_wrong_life_of_signals_is_noticed ExportForgetsSignals,
    a_store_that_outlives_its_connection_is_noticed StoresOutliveUnpublish,
}

/// The script that a shrunk failure looks like.
#[test]
fn a_script_reads_like_one() {
    let script = Script(vec![
        Verb::Create { e: 0, node: 1, via: verbs::Via::Shm0, length: 1 << 17 },
        Verb::Put { i: 0, offset: 8, width: 8, count: 1, value: 3 },
    ]);
    let text = format!("{script:?}");
    assert!(text.contains("e0 = create 131072 bytes on node 1 Shm0\n    put i0 offset 8"), "{text}");
}

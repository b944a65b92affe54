//! Faults of a lens: each provoked, with its exact code, and the document that lists them.

use rsm::lens::{Call, FAULTS, Fault, Faults, Injected, Last, Lens, Model, Strength};
use rsm::observe::Observer;
use rsm::{AccessList, BarrierMode, Cluster, Code, Controller, EndCause, Export, Import, Permission, SegmentId};
use rsm_core::message::{Answer, Ask, Claim, ConnectionName, Disturbance};
use rsm_shm::address::{Address, secret_from_text};
use rsm_stories::raw::Member;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Whole pages of every machine: they have 4, 16 or 64 KiB.
const SIZE: usize = 1 << 16;
const ID: u32 = 0x40_0000;
const SOON: Option<Duration> = Some(Duration::from_secs(20));
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);
/// No fault is so rare that it does not happen in so many calls.
const MANY: usize = 5000;
const LINES: u64 = 8;

struct Pair {
    cluster: Cluster,
    export: Export,
    importer: Controller,
}

/// How stores may be late, and that they are not.
fn models() -> impl Iterator<Item = Option<Model>> {
    std::iter::once(None).chain(Model::ALL.into_iter().map(|(_, model)| Some(model)))
}

impl Pair {
    /// Node 1 publishes a segment to node 2.
    fn new(lens: Lens) -> Pair {
        let cluster = Cluster::builder(2).lens(lens).start().unwrap();
        let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
        let (export, importer) = (until_done(|| controller(1).export(SIZE)), controller(2));
        export.publish(SegmentId::new(ID), &AccessList::everyone()).unwrap();
        Pair { cluster, export, importer }
    }

    fn of(seed: u64, fault: Fault, model: Option<Model>) -> Pair {
        // Much is on its way, where that is of interest.
        let strength = if fault == Fault::Error { Strength::Storm } else { Strength::Calm };
        let lens = Lens { model, ..Lens::clear(seed) }.strength(strength);
        Pair::new(lens.faults(Faults::NONE.with(fault)))
    }

    fn import(&self, mode: BarrierMode) -> Import {
        let import = until_done(|| self.importer.connect(1, SegmentId::new(ID), Permission::ReadWrite));
        import.set_mode(mode);
        import
    }

    /// What node 2 says of faults. The record of node 1's process is another one.
    fn injected(&self) -> Injected {
        let (.., injected) = self.cluster.faults().into_iter().find(|(node, ..)| *node == 2).unwrap();
        injected
    }

    /// Errors that node 2's link to node 1 has had.
    fn link_errors(&self) -> u64 {
        let links = Observer::attach(Some(self.cluster.name())).unwrap().links();
        links.into_iter().find(|link| (link.from, link.to) == (2, 1)).unwrap().errors
    }

    /// The words of the first lines, as the exporter has them.
    fn words(&self) -> [u64; LINES as usize] {
        let memory = self.export.memory();
        std::array::from_fn(|line| memory.load_u64(line as u64 * 64, Ordering::Acquire).unwrap())
    }
}

/// What may be refused now and then.
fn until_done<T>(mut make: impl FnMut() -> rsm::Result<T>) -> T {
    (0..MANY).find_map(|_| make().ok()).unwrap()
}

/// Puts a word into each line, in a span.
fn span(import: &Import, value: u64) -> rsm::Result<()> {
    let span = import.open_barrier()?;
    for line in 0..LINES {
        import.put_u64(line * 64, value)?;
    }
    span.close()
}

/// Makes calls until one fails; its number and its error. What succeeded is `looked` at.
fn first_failure(mut call: impl FnMut(u64) -> rsm::Result<()>, looked: impl Fn(u64)) -> (u64, Code) {
    for number in 1..MANY as u64 {
        match call(number) {
            Ok(()) => looked(number),
            Err(error) => return (number, error.code()),
        }
    }
    panic!("nothing has gone wrong");
}

#[test]
fn error_loses_some_of_a_span_and_says_so() {
    for model in models() {
        let pair = Pair::of(7, Fault::Error, model);
        let import = pair.import(BarrierMode::Explicit);
        let (mut kept, mut lost) = (0, 0);
        // How much is on its way when a span is closed is a matter of time.
        for round in 1..100 {
            let base = round * MANY as u64;
            let whole = |number| assert_eq!(pair.words(), [base + number; 8], "{model:?}: vouched for and not there");
            let (number, code) = first_failure(|number| span(&import, base + number), whole);
            assert_eq!((code, import.is_aborted()), (Code::BarrierFailure, false));
            let there = pair.words().iter().filter(|&&word| word == base + number).count();
            kept += there;
            lost += LINES as usize - there;
            let last = Last { fault: Fault::Error, call: Call::Close, node: 1, id: ID };
            assert_eq!(pair.injected(), Injected { count: round, last: Some(last) });
            assert_eq!(pair.link_errors(), round);
            if round > 3 && kept > 0 && (lost > 0 || model.is_none()) {
                break;
            }
        }
        // Where nothing is late nothing is on its way.
        assert!(kept > 0 && (lost > 0) == model.is_some(), "{model:?}: {kept} words kept, {lost} lost");
    }
}

#[test]
fn puts_in_implicit_mode_are_spans_of_their_own() {
    let cases = [
        (Fault::Error, Code::BarrierFailure, None),
        (Fault::Abort, Code::ConnAborted, Some(EndCause::LinkDown)),
        (Fault::Revoke, Code::ConnAborted, Some(EndCause::Revoked)),
    ];
    for (fault, code, cause) in cases {
        for model in [None, Some(Model::Pcie)] {
            let pair = Pair::of(3, fault, model);
            let import = pair.import(BarrierMode::Implicit);
            let there = |number| assert_eq!(pair.words()[0], number);
            let (_, told) = first_failure(|number| import.put_u64(0, number), there);
            assert_eq!((told, import.why_aborted()), (code, cause), "{fault:?}");
            assert_eq!(pair.injected().count, 1);
        }
    }
}

#[test]
fn abort_takes_the_link_down_and_up_again() {
    for model in models() {
        let pair = Pair::of(5, Fault::Abort, model);
        for round in 1..4 {
            let import = pair.import(BarrierMode::Explicit);
            let other = pair.import(BarrierMode::Explicit);
            let (_, code) =
                first_failure(|number| span(&import, number), |number| assert_eq!(pair.words(), [number; 8]));
            assert_eq!((code, import.why_aborted()), (Code::ConnAborted, Some(EndCause::LinkDown)));
            assert_eq!(other.why_aborted(), Some(EndCause::LinkDown), "all connections of the link go");
            assert_eq!(pair.injected().count, round);
            assert_eq!(span(&import, 1).unwrap_err().code(), Code::ConnAborted);
        }
    }
}

#[test]
fn revoke_takes_the_segment_from_its_exporter() {
    for model in models() {
        let pair = Pair::of(9, Fault::Revoke, model);
        let import = pair.import(BarrierMode::Explicit);
        let (_, code) = first_failure(|number| span(&import, number), |number| assert_eq!(pair.words(), [number; 8]));
        assert_eq!((code, import.why_aborted()), (Code::ConnAborted, Some(EndCause::Revoked)));
        let again = pair.importer.connect(1, SegmentId::new(ID), Permission::ReadWrite).map(drop);
        assert_eq!(again.unwrap_err().code(), Code::SegNotPublished);
        drop(import);
        pair.export.unpublish().unwrap();
        pair.export.publish(SegmentId::new(ID), &AccessList::everyone()).unwrap();
        span(&pair.import(BarrierMode::Explicit), 1).unwrap();
    }
}

#[test]
fn what_nothing_was_put_in_meets_nothing() {
    let lens = Lens::chaos(7).strength(Strength::Calm);
    let pair = Pair::new(lens.faults(Faults::parse("error,abort,revoke").unwrap()));
    let import = pair.import(BarrierMode::Explicit);
    for _ in 0..500 {
        import.open_barrier().unwrap().close().unwrap();
    }
    // What is stored through a mapping is late, and so found.
    let mapping = until_done(|| import.map(0, SIZE, Permission::ReadWrite));
    let store = |number| {
        let span = import.open_barrier()?;
        mapping.memory().write_volatile_u64(0, number)?;
        span.close()
    };
    first_failure(store, |_| {});
    // Where it is not late it is not known: every span may have stored.
    let pair = Pair::of(7, Fault::Error, None);
    let import = pair.import(BarrierMode::Explicit);
    let _mapping = import.map(0, SIZE, Permission::ReadWrite).unwrap();
    let (_, code) = first_failure(|_| import.open_barrier()?.close(), |_| {});
    assert_eq!(code, Code::BarrierFailure);
    // And what is put is not lost, for what is stored through the mapping may have been ordered after it.
    let (number, code) = first_failure(|number| span(&import, number), |_| {});
    assert_eq!((code, pair.words()), (Code::BarrierFailure, [number; 8]));
}

/// Signals that are there although nobody waited for them.
fn pending(export: &Export) -> u64 {
    (0..).find(|_| export.wait(AT_ONCE).is_err()).unwrap()
}

#[test]
fn late_signals_come_later() {
    for model in models() {
        let pair = Pair::of(7, Fault::LateSignal, model);
        let import = pair.import(BarrierMode::Explicit);
        let mut late = 0;
        for _ in 0..100 {
            import.signal().unwrap();
            match export_has(&pair.export) {
                true => {}
                false => {
                    late += 1;
                    pair.export.wait(SOON).unwrap();
                }
            }
            assert_eq!(pending(&pair.export), 0);
        }
        let injected = pair.injected();
        assert!(injected.count > 0 && (model.is_some() || late <= injected.count), "{model:?}: {late}");
        assert_eq!(injected.last.map(|last| (last.fault, last.call)), Some((Fault::LateSignal, Call::Signal)));
        if model.is_none() {
            assert!(late > 0, "none of {} was late", injected.count);
        }
    }
}

/// Takes a signal if one is there.
fn export_has(export: &Export) -> bool {
    export.wait(AT_ONCE).is_ok()
}

#[test]
fn merged_signals_arrive_as_one_and_none_is_lost() {
    let pair = Pair::of(7, Fault::MergeSignal, None);
    let import = pair.import(BarrierMode::Explicit);
    let mut merged = 0;
    for _ in 0..100 {
        let before = pair.injected().count;
        import.signal_no_accumulate().unwrap();
        let held = pair.injected().count > before;
        if held {
            // Before it would have come by itself, most of the time.
            import.signal().unwrap();
        }
        pair.export.wait(SOON).unwrap();
        // One that came by itself is there by the time at which it had to.
        std::thread::sleep(Duration::from_millis(if held { 25 } else { 0 }));
        merged += u32::from(held && pending(&pair.export) == 0);
    }
    assert!(merged > 5, "{merged}");
    // Alone it comes by itself.
    for _ in 0..30 {
        import.signal_no_accumulate().unwrap();
        pair.export.wait(SOON).unwrap();
    }
}

#[test]
fn spurious_signals_are_counted() {
    let pair = Pair::of(7, Fault::Spurious, None);
    let import = pair.import(BarrierMode::Explicit);
    for _ in 0..200 {
        import.signal().unwrap();
    }
    let spurious = pair.injected().count;
    assert!(spurious > 0);
    for _ in 0..200 + spurious {
        pair.export.wait(SOON).unwrap();
    }
    assert_eq!(pending(&pair.export), 0);
}

#[test]
fn partial_stops_before_an_entry() {
    for mode in [BarrierMode::Implicit, BarrierMode::Explicit] {
        let pair = Pair::of(7, Fault::Partial, None);
        let import = pair.import(mode);
        let mut stopped_at = [0; 4];
        for number in 1..MANY as u64 {
            let bytes: [u8; 8] = number.to_ne_bytes();
            let parts: Vec<(u64, &[u8])> = (0..4).map(|line| (line * 64, &bytes[..])).collect();
            let Err(stopped) = import.put_vectored(&parts) else { continue };
            assert_eq!(stopped.error.code(), Code::BarrierFailure);
            let there: Vec<bool> = pair.words()[..4].iter().map(|&word| word == number).collect();
            assert_eq!(there, (0..4).map(|at| at < stopped.completed).collect::<Vec<_>>());
            stopped_at[stopped.completed] += 1;
        }
        assert!(stopped_at.iter().all(|&times| times > 0), "{stopped_at:?}");
        assert_eq!(pair.injected().count, stopped_at.iter().sum::<u64>());
        // Others are no entries.
        import.put(0, &[1; 64]).unwrap();
        import.put_u64s(0, &[1; 64]).unwrap();
    }
}

#[test]
fn slow_agents_take_their_time_and_nobody_elses() {
    let pair = Pair::of(7, Fault::SlowAgent, None);
    let (began, before) = (Instant::now(), pair.injected().count);
    for _ in 0..50 {
        drop(pair.import(BarrierMode::Explicit));
    }
    let late = pair.injected().count - before;
    assert!(late > 0 && began.elapsed() >= Duration::from_millis(10) * late as u32, "{late}");
}

#[test]
fn refusals_have_the_codes_of_their_calls() {
    let pair = Pair::of(7, Fault::Refuse, None);
    let connect = || pair.importer.connect(1, SegmentId::new(ID), Permission::ReadWrite);
    let (_, code) = first_failure(|_| connect().map(drop), |_| {});
    assert_eq!((code, pair.injected().last.unwrap().call), (Code::InsufficientResources, Call::Connect));
    let mut exports = Vec::new();
    let (_, code) = first_failure(|_| pair.importer.export(SIZE).map(|export| exports.push(export)), |_| {});
    assert_eq!((code, pair.injected().last.unwrap().call), (Code::InsufficientMem, Call::Create));
    let import = pair.import(BarrierMode::Explicit);
    let (_, code) = first_failure(|_| import.map(0, SIZE, Permission::ReadWrite).map(drop), |_| {});
    assert_eq!((code, pair.injected().last.unwrap().call), (Code::MapFailed, Call::Map));
    assert_eq!(import.map(0, 0, Permission::Read).unwrap_err().code(), Code::BadLength, "what is wrong comes first");
}

/// At which of many calls something went wrong, and how.
fn course(seed: u64) -> Vec<(u64, Code)> {
    let pair = Pair::new(Lens::chaos(seed).faults(Faults::parse("error,refuse,partial").unwrap()));
    let import = pair.import(BarrierMode::Explicit);
    let mut course = Vec::new();
    for number in 0..200 {
        let mapped = import.map(0, SIZE, Permission::Read).map(drop);
        let put = import.put_vectored(&[(0, &[1; 64]), (64, &[2; 64])]).map_err(rsm::Error::from);
        for result in [mapped, put, span(&import, number)] {
            course.extend(result.err().map(|error| (number, error.code())));
        }
    }
    course
}

#[test]
fn the_same_seed_injects_at_the_same_calls() {
    let first = course(11);
    assert!(first.len() > 10, "{first:?}");
    assert_eq!(first, course(11));
    assert_ne!(first, course(12));
}

#[test]
fn the_end_is_quiet() {
    let pair = Pair::new(Lens::chaos(7).faults(Faults::parse("error,abort,revoke,spurious,late-signal").unwrap()));
    let (first, import) = (pair.import(BarrierMode::Explicit), pair.import(BarrierMode::Explicit));
    until_done(|| span(&import, 1));
    first.disconnect().unwrap();
    for number in 0..MANY as u64 {
        span(&import, number).unwrap();
        import.signal().unwrap();
    }
    assert!(pair.injected().count < 4, "{:?}", pair.injected());
}

/// A process of node 2 that speaks for itself, and the name of a connection that it has.
fn member(cluster: &Cluster) -> (Member, ConnectionName) {
    let environment = cluster.environment(2).unwrap();
    let address: Address = environment[0].1.parse().unwrap();
    let key = secret_from_text(&environment[3].1).unwrap();
    let mut member = Member::join_at(&address, Some(Claim { node: 2, key })).unwrap();
    let connect = Ask::Connect { controller: 1, node: 1, id: ID, permission: Permission::Read, has_bells: false };
    let (Answer::Connected(connected), _) = member.control.ask(connect).unwrap() else { panic!("no connection") };
    (member, connected.connection)
}

#[test]
fn who_asks_for_faults_gets_those_of_the_lens_for_its_own_connections() {
    let ask = |member: &mut Member, connection, how| match member.control.ask(Ask::Disturb { connection, how }) {
        Ok((Answer::Affected { count }, _)) => Ok(count),
        Ok((other, _)) => panic!("{other:?}"),
        Err(error) => Err(error.code()),
    };
    let others = Faults::parse("late-signal,merge-signal,spurious,partial,slow-agent,refuse").unwrap();
    let lenses = [None, Some(Lens::chaos(1)), Some(Lens::chaos(1).faults(others))];
    for lens in lenses {
        let mut builder = Cluster::builder(2);
        if let Some(lens) = lens {
            builder = builder.lens(lens);
        }
        let cluster = builder.start().unwrap();
        let export = until_done(|| cluster.node(1).unwrap().controller("shm0").unwrap().export(SIZE));
        export.publish(SegmentId::new(ID), &AccessList::everyone()).unwrap();
        let (mut member, connection) = member(&cluster);
        for how in Disturbance::ALL {
            assert_eq!(ask(&mut member, connection, how), Err(Code::PermDenied));
        }
        let observer = Observer::attach(Some(cluster.name())).unwrap();
        assert!(observer.links().iter().all(|link| link.errors == 0));
    }
    for how in Disturbance::ALL {
        let pair = Pair::of(1, how.fault(), None);
        let foreign = pair.import(BarrierMode::Explicit);
        let (mut one, of_one) = member(&pair.cluster);
        let (mut two, of_two) = member(&pair.cluster);
        for other in Disturbance::ALL.into_iter().filter(|&other| other != how) {
            assert_eq!(ask(&mut one, of_one, other), Err(Code::PermDenied));
        }
        let stale = ConnectionName { generation: of_one.generation + 8, ..of_one };
        let nowhere = ConnectionName { row: u32::MAX, ..of_one };
        for name in [of_two, stale, nowhere] {
            assert_eq!(ask(&mut one, name, how), Err(Code::BadSegHndl));
        }
        assert!(!foreign.is_aborted());
        // All three connections are of one link and of one segment.
        let cut = if how == Disturbance::Error { 0 } else { 3 };
        assert_eq!(ask(&mut two, of_two, how), Ok(cut));
        assert_eq!(foreign.is_aborted(), how != Disturbance::Error);
        let again = if how == Disturbance::Error { Ok(0) } else { Err(Code::ConnAborted) };
        assert_eq!(ask(&mut two, of_two, how), again);
        // Nor may an observer, who may steer.
        let environment = pair.cluster.environment(2).unwrap();
        let mut observer = Member::join_at(&environment[0].1.parse().unwrap(), None).unwrap();
        assert_eq!(ask(&mut observer, of_two, how), Err(Code::BadSegHndl));
    }
}

#[test]
fn a_link_that_was_down_stays_so() {
    let pair = Pair::of(1, Fault::Abort, None);
    let steering = pair.cluster.steering().unwrap();
    steering.link_down(&rsm::steer::Links::one_way(1, 2)).unwrap();
    let import = pair.import(BarrierMode::Explicit);
    let (_, code) = first_failure(|number| span(&import, number), |_| {});
    assert_eq!(code, Code::ConnAborted);
    let links = Observer::attach(Some(pair.cluster.name())).unwrap().links();
    let state = |from, to| links.iter().find(|link| (link.from, link.to) == (from, to)).unwrap().state.clone();
    assert_eq!((state(1, 2), state(2, 1)), ("down".to_owned(), "active".to_owned()));
}

/// `RSM_RECORD=1` writes the table into the document.
#[test]
fn the_document_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
    let head = "| fault | where it is drawn | what happens | what the call says | one in |\n|---|---|---|---|---|\n";
    let rows: String = FAULTS.iter().map(|row| format!("| {} |\n", row.cells().join(" | "))).collect();
    let document = std::fs::read_to_string(path).unwrap();
    let start = document.find(head).expect("the head of the table") + head.len();
    let end = start + document[start..].find("\n\n").expect("text after the table") + 1;
    if std::env::var_os("RSM_RECORD").is_some() {
        std::fs::write(path, format!("{}{rows}{}", &document[..start], &document[end..])).unwrap();
        return;
    }
    assert_eq!(&document[start..end], rows, "RSM_RECORD=1 cargo test --test faults writes it");
}

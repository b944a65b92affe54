//! The same with bytes: what was there, what is put, what an owner stores, and who may have them.

use super::{ID, LENGTH, NUMBER, PATIENCE, SEGMENT, Scratch, connected, observer, putting};
use rsm::lens::Trace;
use rsm::lens::event::Kind;
use rsm::observe::{Observer, Tracer};
use rsm::{AccessList, Cluster, Code};
use rsm_lab::trace::{Recorder, Seen, Segment, Story, What, Writer, text};
use std::fs::File;
use std::process::Child;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What is asked of a trace until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

const BYTES: Trace = Trace { bytes: true };

/// Who came later has the bytes: what was there, what is put, and what the owner stores without calling anything.
#[test]
fn bytes_are_noted_from_the_middle_on() {
    let scratch = Scratch::new("bytes");
    let cluster = Cluster::new(2).unwrap();
    let (export, import) = connected(&cluster);
    export.memory().write(0, b"before").unwrap();
    import.put(64, b"put before").unwrap();
    let mut tracer = Tracer::begin_with(observer(&cluster), BYTES).unwrap();
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    let mut go_on = || {
        recorder.go_on_with(tracer.noted().unwrap()).unwrap();
        let story = Story::read(&std::fs::read(&scratch.0).unwrap()).unwrap();
        assert!(story.beginning.late && story.beginning.bytes);
        story
    };
    // Nobody calls anything: the process has looked by itself.
    let at = |story: &Story, offset: usize, length: usize| {
        story.bytes_at(SEGMENT, story.end()).ok().map(|bytes| bytes[offset..offset + length].to_vec())
    };
    eventually("what was there", || at(&go_on(), 0, 6).is_some_and(|bytes| bytes == b"before"));
    let story = go_on();
    assert_eq!(at(&story, 64, 10).unwrap(), b"put before");
    for offset in [0, 64] {
        assert_eq!(story.who(SEGMENT, offset, story.end()), Ok(Writer::Before), "it was there");
    }
    // From then on nothing that is stored can be a put that was not noted.
    eventually("all who say that they note their calls, and a look after that", || {
        let story = go_on();
        story.noted_from.is_some_and(|from| story.looks.last().is_some_and(|look| look.at > from))
    });

    export.memory().write(8, b"stored").unwrap();
    eventually("what was stored", || at(&go_on(), 8, 6).is_some_and(|bytes| bytes == b"stored"));
    let story = go_on();
    let Ok(Writer::Store(after, before)) = story.who(SEGMENT, 8, story.end()) else { panic!("the owner stored it") };
    assert!(after < before && story.noted_from.unwrap() <= after, "{after} {before} {:?}", story.noted_from);

    import.put(80, b"put now").unwrap();
    eventually("what was put", || {
        let story = go_on();
        matches!(story.who(SEGMENT, 80, story.end()), Ok(Writer::Put(_)))
    });
    let story = go_on();
    let Ok(Writer::Put(put)) = story.who(SEGMENT, 86, story.end()) else { panic!("that byte, too") };
    let What::Call(call) = &story.happenings[put].what else { panic!("a call") };
    assert_eq!(story.put_bytes(call), Some(&b"put now"[..]));
    assert_eq!(at(&story, 80, 7).unwrap(), b"put now");

    // As of an event of the owner at which it looks, unless another thread does so at the time.
    export.memory().write(8, b"STORED").unwrap();
    eventually("a signal at which it was looked", || {
        export.signal().unwrap();
        let story = go_on();
        let signals = story.calls().filter(|(.., call)| call.kind == Kind::PostAll);
        let mut seen = signals.filter(|(index, ..)| story.seen(SEGMENT, Some(*index)) == Ok(Seen::Then));
        seen.next().is_some_and(|(signal, ..)| {
            assert_eq!(&story.bytes_at(SEGMENT, story.end_of(signal)).unwrap()[8..14], b"STORED");
            true
        })
    });
}

/// Memory of this process that is exported, and goes when all of its exports have.
struct Range(*mut u8);

impl Range {
    fn new() -> Range {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, access, kind, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Range(start.cast())
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nobody uses any more.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), LENGTH) }, 0);
    }
}

/// What is refused changes nothing: a segment is looked at as long as it is published, and no longer.
#[test]
fn a_call_that_fails_leaves_what_is_looked_at() {
    let scratch = Scratch::new("refused");
    let cluster = Cluster::new(2).unwrap();
    let controller = cluster.node(2).unwrap().controller("shm0").unwrap();
    let (range, everyone) = (Range::new(), AccessList::everyone());
    // SAFETY: (both) the range outlives its exports, and nobody has a reference to any of it.
    let export = unsafe { controller.adopt(range.0, LENGTH) }.unwrap();
    // SAFETY: as above.
    let same = unsafe { controller.adopt(range.0, LENGTH) }.unwrap();
    let other = controller.export(LENGTH).unwrap();
    export.publish(ID, &everyone).unwrap();
    let mut tracer = Tracer::begin_with(observer(&cluster), BYTES).unwrap();
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    let mut go_on = || {
        recorder.go_on_with(tracer.noted().unwrap()).unwrap();
        Story::read(&std::fs::read(&scratch.0).unwrap()).unwrap()
    };
    let holds = |story: &Story, text: &str| {
        story.bytes_at(SEGMENT, story.end()).is_ok_and(|bytes| bytes.starts_with(text.as_bytes()))
    };
    export.memory().write(0, b"at first").unwrap();
    eventually("what was there", || holds(&go_on(), "at first"));
    let refused: [(&str, &dyn Fn() -> Code); 4] = [
        ("another of this memory", &|| same.publish(ID, &everyone).unwrap_err().code()),
        ("the same of it that was never published", &|| same.unpublish().unwrap_err().code()),
        ("once more", &|| export.publish(ID, &everyone).unwrap_err().code()),
        ("another", &|| other.publish(ID, &everyone).unwrap_err().code()),
    ];
    for (what, call) in refused {
        let code = call();
        assert_ne!(code, Code::InternalError, "{what}");
        export.memory().write(0, what.as_bytes()).unwrap();
        eventually(what, || holds(&go_on(), what));
        let of_others = |story: &Story| story.looks.iter().filter(|look| look.row != story.looks[0].row).count();
        let (before, signals) = (of_others(&go_on()), |story: &Story| {
            story.calls().filter(|(.., call)| call.kind == Kind::PostAll).count()
        });
        let so_far = signals(&go_on());
        eventually("looks at a signal", || {
            export.signal().unwrap();
            signals(&go_on()) > so_far + 1
        });
        assert_eq!(of_others(&go_on()), before, "{what}: it is not published");
    }
}

/// A child that does not outlive a test that fails.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody who does not run says nothing: then what changed may have been a put of his.
#[test]
fn who_does_not_say_that_it_notes_its_calls_may_have_put() {
    let scratch = Scratch::new("stopped");
    let cluster = Cluster::new(2).unwrap();
    let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let mut child = Ends(putting(&cluster, 2));
    let pid = child.0.id().cast_signed();
    eventually("its first put", || export.memory().load_u64(16, Relaxed).unwrap() == 1);
    // SAFETY: (this and below) a plain system call, for a child that is not reaped yet.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    let mut status = 0;
    // SAFETY: a child of this process, and a word.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) }, pid);
    assert!(libc::WIFSTOPPED(status));
    let mut tracer = Tracer::begin_with(observer(&cluster), BYTES).unwrap();
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    let mut go_on = || {
        recorder.go_on_with(tracer.noted().unwrap()).unwrap();
        Story::read(&std::fs::read(&scratch.0).unwrap()).unwrap()
    };
    let segment = Segment { node: 1, id: NUMBER };
    let who = |story: &Story| story.who(segment, 0, story.end()).unwrap();
    eventually("a first look", || !go_on().looks.is_empty());
    export.memory().write(0, b"stored").unwrap();
    eventually("what was stored", || matches!(who(&go_on()), Writer::Store(..)));
    let story = go_on();
    let Writer::Store(after, _) = who(&story) else { panic!("it stays so") };
    let told = text::storers(&story, after);
    assert_eq!(
        told,
        "a store through a mapping or of the owner, or a put of a process that did not note its calls yet"
    );
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    eventually("who is gone puts nothing any more", || go_on().noted_from.is_some());
    // Times of one reading: the next has seen more of the clock.
    let story = go_on();
    let (Writer::Store(after, _), Some(from)) = (who(&story), story.noted_from) else { panic!("both are known") };
    assert!(from > after, "it was there until then");
    assert_eq!(text::storers(&story, from), "a store through a mapping or of the owner");
}

/// A process has a ring for bytes, and one in which none ever are; each who traces is told all there is.
#[test]
fn a_trace_with_bytes_comes_after_one_without_and_before_another() {
    let cluster = Cluster::new(2).unwrap();
    let (export, import) = connected(&cluster);
    export.memory().write(0, b"there").unwrap();
    for (round, trace) in [Trace::default(), BYTES, Trace::default(), BYTES, BYTES].into_iter().enumerate() {
        let scratch = Scratch::new(&format!("turns-{round}"));
        let mut begun = None;
        // Of one that has just ended the agent hears in a moment.
        eventually("nobody else who traces", || {
            begun = Tracer::begin_with(observer(&cluster), trace).ok();
            begun.is_some()
        });
        let mut tracer = begun.unwrap();
        let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
        let bytes = format!("round {round}");
        eventually("a put that is noted", || {
            import.put(32, bytes.as_bytes()).unwrap();
            export.signal().unwrap();
            recorder.go_on_with(tracer.noted().unwrap()).unwrap();
            let story = Story::read(&std::fs::read(&scratch.0).unwrap()).unwrap();
            let puts: Vec<Option<&[u8]>> = story
                .calls()
                .filter(|(.., call)| call.kind == Kind::Put)
                .map(|(.., call)| story.put_bytes(call))
                .collect();
            match story.bytes_at(SEGMENT, story.end()) {
                Err(why) => {
                    assert!(!trace.bytes && why.contains("no bytes"), "{why}");
                    assert!(puts.iter().all(Option::is_none), "bytes are in no ring of a trace without");
                    !puts.is_empty()
                }
                // One that was noted for the trace before has none.
                Ok(seen) => &seen[..5] == b"there" && puts.contains(&Some(bytes.as_bytes())),
            }
        });
        assert_eq!(tracer.unheard().unwrap(), []);
        drop(tracer);
        recorder.end_late().unwrap();
        assert_eq!(scratch.story().beginning.bytes, trace.bytes);
    }
}

/// What segments hold is for the user of the cluster and for root, also where others may look.
#[test]
fn who_may_look_is_given_no_bytes() {
    if rsm_shm::address::current_uid() != 0 {
        println!("skipped: needs root to become another user");
        return;
    }
    const OTHER: u32 = 65534;
    let cluster = Cluster::builder(2).allow_uid(OTHER).start().unwrap();
    let name = format!("rsm:0:{}", cluster.name());
    // One thread becomes another user, and no other thread does.
    let other = std::thread::spawn(move || {
        // SAFETY: a plain system call.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, OTHER, OTHER, OTHER) };
        assert_eq!(changed, 0);
        let attach = || Observer::attach(Some(&name)).unwrap();
        let refused = Tracer::begin_with(attach(), BYTES).unwrap_err();
        // Nobody has been made to note anything by that.
        (refused, Tracer::begin(attach()).map(|tracer| tracer.trace()))
    });
    let (refused, plain) = other.join().unwrap();
    assert_eq!(refused.code(), Code::PermDenied);
    let why = "but not with bytes: what segments hold is for its user, 0, and root";
    assert!(refused.detail().ends_with(why), "{}", refused.detail());
    assert_eq!(plain.unwrap(), Trace::default());
    eventually("the cluster's user may", || Tracer::begin_with(observer(&cluster), BYTES).is_ok());
}

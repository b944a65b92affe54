//! Which cells there are, playing them, and the table of what came of them.

use super::launcher::Launch;
use super::listener::Place;
use super::scene::{Role, Scene};
use super::stories::{Story, right};
use rsm::Code;
use rsm_stories::refused_as;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What came of the cells of a story.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Cells there are.
    pub(crate) all: usize,
    /// Cells that were played.
    pub(crate) played: usize,
    /// What was asked for was done nevertheless.
    done: usize,
    /// It was refused, with a right error.
    told: usize,
    /// The call was not made this time.
    unmet: usize,
    pub(crate) faults: usize,
    pub(crate) took: Duration,
}

pub(crate) static TABLE: Mutex<BTreeMap<String, Tally>> = Mutex::new(BTreeMap::new());

/// A call that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) place: Place,
    pub(crate) errno: Errno,
    /// So are all later ones that can meet the same shortage.
    pub(crate) lasting: bool,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let for_good = if self.lasting { " from then on" } else { "" };
        write!(f, "{} is {}{for_good}", self.place, name_of(self.errno))
    }
}

fn name_of(errno: Errno) -> String {
    let known = [
        (Errno::NOMEM, "ENOMEM"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::INTR, "EINTR"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::PERM, "EPERM"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::ACCESS, "EACCES"),
        (Errno::FBIG, "EFBIG"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::IO, "EIO"),
        (Errno::NOBUFS, "ENOBUFS"),
        (Errno::INVAL, "EINVAL"),
        (Errno::BUSY, "EBUSY"),
        (Errno::ADDRINUSE, "EADDRINUSE"),
        (Errno::TOOMANYREFS, "ETOOMANYREFS"),
        (Errno::CONNABORTED, "ECONNABORTED"),
    ];
    known.iter().find(|(e, _)| *e == errno).map_or_else(|| format!("{errno:?}"), |(_, name)| (*name).to_owned())
}

/// The cells of calls that were counted: each with each error that it can meet, once, and for good if that can be.
pub(crate) fn cells(counted: &[(Place, &'static [Errno])]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (place, errnos) in counted {
        for &errno in *errnos {
            cells.push(Cell { place: place.clone(), errno, lasting: false });
            let shortage = [
                Errno::NOMEM,
                Errno::MFILE,
                Errno::NFILE,
                Errno::NOSPC,
                Errno::DQUOT,
                Errno::IO,
                Errno::PERM,
                Errno::NOSYS,
            ];
            if shortage.contains(&errno) && !matches!(place.call, "munmap" | "close") {
                cells.push(Cell { place: place.clone(), errno, lasting: true });
            }
        }
    }
    cells
}

/// Cells that once were faults, which every sample plays.
const KEPT: &[(&str, &str)] = &[
    // What a process had to look at was never told it.
    ("nobody watches any more: Agent", "sendmsg 1 of rsm-agent is ENOMEM from then on"),
    // An agent took what it had been given for the order to end.
    ("start a private cluster: Newcomer", "recvmsg 1 of rsm-agent is ENOMEM"),
    ("rsm-ctl up: starting node", "recvmsg 1 of starting node's rsm-agent is ENOMEM"),
    // The memory of a tally that could not be mapped at first never was.
    ("somebody watches a newcomer: Newcomer", "mmap 1 of rsm-events is ENOMEM"),
    // Who slept in the memory was not looked for, once it had moved, and never woken.
    ("destroy adopted memory in which a thread sleeps: Exporter", "getdents64 3 of main is ENOMEM"),
    // Nothing was ever mapped twice after that.
    ("connect, at first: Importer", "mremap 1 of main is ENOMEM"),
    // Imports could not be cut off later.
    ("join: Newcomer", "open 1 of rsm-events is ENFILE"),
    // What the program had there was unmapped.
    ("disconnect where the program has other memory: Importer", "open 1 of main is ENOMEM"),
    // It hung, and heard no signal.
    ("rsm-ctl run: front", "ppoll 1 of front is EPERM from then on"),
    ("rsm-ctl run what takes too long: front", "ppoll 2 of front is ENOSYS from then on"),
    ("rsm-ctl run what takes too long: warden", "ppoll 1 of warden is ENOSYS from then on"),
    ("rsm-ctl up: front", "ppoll 2 of front is EPERM"),
    ("rsm-ctl up: starting node", "accept4 1 of starting node's rsm-agent is EPERM from then on"),
    // It panicked.
    ("rsm-ctl run with input: front", "prlimit64 1 of front is EPERM"),
    // What was typed was lost.
    ("rsm-ctl run with input on a terminal: front", "write 1 of front is ENOMEM"),
];

/// Which cells are played: all, or a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    All,
    /// So many of each story and role, by this seed.
    Sample {
        seed: u64,
        each: usize,
    },
}

impl Choice {
    /// Takes from all cells those to play, in a random order if it is a sample.
    fn of(self, story: &str, mut cells: Vec<Cell>) -> Vec<Cell> {
        let Choice::Sample { seed, each } = self else { return cells };
        let mut state = story.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }) | 1;
        let is_kept = |cell: &mut Cell| KEPT.contains(&(story, &*cell.to_string()));
        let mut chosen: Vec<Cell> = cells.extract_if(.., is_kept).collect();
        while chosen.len() < each && !cells.is_empty() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state % cells.len() as u64) as usize;
            chosen.push(cells.swap_remove(at));
        }
        chosen
    }
}

/// A scene in which a story can be told.
fn scene_of(story: &Story) -> Scene {
    let mut scene = Scene::new();
    (story.before)(&mut scene);
    // Once with nobody looking: what stays for the life of a process is there then.
    tell(story, &mut scene);
    scene.note();
    scene
}

/// Tells a story in which nothing is refused.
fn tell(story: &Story, scene: &mut Scene) {
    (story.each)(scene);
    let code = (story.act)(scene);
    assert!(code.is_none_or(|code| story.usual.contains(&code)), "with nothing refused: {}", scene.said);
    (story.check)(scene, code);
    (story.undo)(scene, code);
}

/// The calls that a role makes in a story, with what each can meet.
fn rehearse(story: &Story, role: Role, scene: &mut Scene, times: u32) -> Vec<(Place, &'static [Errno])> {
    let mut all: Vec<(Place, &'static [Errno])> = Vec::new();
    for _ in 0..times {
        (story.each)(scene);
        let listener = scene.player(role).listener.control();
        listener.count();
        let code = (story.act)(scene);
        let counted = listener.stop();
        assert!(code.is_none_or(|code| story.usual.contains(&code)), "with nothing refused: {}", scene.said);
        (story.check)(scene, code);
        (story.undo)(scene, code);
        for (place, errnos) in counted {
            if story.who.is_none_or(|who| who == place.who) && !all.iter().any(|(known, _)| *known == place) {
                all.push((place, errnos));
            }
        }
    }
    all
}

/// What came of a cell.
pub(crate) enum Came {
    Done,
    Told,
    Unmet,
}

/// Plays one cell; everybody then holds what was noted.
fn play(story: &Story, role: Role, scene: &mut Scene, cell: &Cell) -> Result<Came, String> {
    let came = refuse(story, role, scene, cell)?;
    scene.is_as_noted().map_err(|left| format!("{}; left: {left}", scene.said))?;
    scene.has_not_grown()?;
    Ok(came)
}

/// Tells a story in which a call is refused.
fn refuse(story: &Story, role: Role, scene: &mut Scene, cell: &Cell) -> Result<Came, String> {
    (story.each)(scene);
    let listener = scene.player(role).listener.control();
    listener.refuse(&cell.place, cell.errno, cell.lasting, story.who);
    scene.met = Some(cell.errno);
    let code = (story.act)(scene);
    let refused = listener.let_go();
    scene.make_good(role, &refused);
    let said = scene.said.clone();
    if let Some(code) = code.filter(|code| !story.usual.contains(code)) {
        if refused.is_empty() {
            return Err(format!("nothing was refused, and it failed: {said}"));
        }
        if !right(cell.errno).contains(&code) || said.contains("has ended") {
            return Err(format!("the wrong error: {said}"));
        }
    }
    (story.check)(scene, code);
    let mut last = code;
    if code.is_some() && story.again {
        last = (story.act)(scene);
        if last.is_some() {
            return Err(format!("{said}; and again when the cause was gone: {}", scene.said));
        }
        (story.check)(scene, last);
    }
    (story.undo)(scene, last);
    scene.met = None;
    Ok(if refused.is_empty() {
        Came::Unmet
    } else if code.is_none_or(|code| story.usual.contains(&code)) {
        Came::Done
    } else {
        Came::Told
    })
}

/// Plays the cells of a story in which one role's calls are refused.
pub(crate) fn play_all(story: &Story, role: Role, choice: Choice) -> Result<(), String> {
    let name = format!("{}: {role:?}", story.name);
    let began = Instant::now();
    let mut scene = Some(guarded(|| Ok(scene_of(story)))?);
    let counted = guarded(|| {
        // Twice, for threads take turns.
        Ok(rehearse(story, role, scene.as_mut().expect("made"), 2))
    })?;
    each(&name, began, cells(&counted), choice, |cell| {
        let mut on = match scene.take() {
            Some(scene) => scene,
            None => scene_of(story),
        };
        let came = play(story, role, &mut on, cell)?;
        // After a fault nobody knows what it is like.
        scene = Some(on);
        Ok(came)
    })
}

/// Plays the cells of the first time that a story is told to a process, in which there is a shortage for a moment: later it
/// does what it does anyway, and remembers nothing of it.
pub(crate) fn play_first(story: &Story, role: Role, choice: Choice) -> Result<(), String> {
    let name = format!("{}, at first: {role:?}", story.name);
    let began = Instant::now();
    let fresh = || {
        let mut scene = Scene::new();
        (story.before)(&mut scene);
        scene
    };
    // The calls that the story takes later, by name, of the thread that is asked; without those that chance decides on.
    let later = |scene: &mut Scene| {
        // What was not known yet is found out.
        tell(story, scene);
        let listener = scene.player(role).listener.control();
        listener.count();
        tell(story, scene);
        let counted = listener.stop().into_iter().map(|(place, _)| place);
        let asked = counted.filter(|place| place.who == super::scene::MAIN).map(|place| place.call);
        asked.filter(|call| !["close", "futex"].contains(call)).collect::<BTreeSet<_>>()
    };
    let (counted, usual) = guarded(|| {
        let mut scene = fresh();
        let counted = rehearse(story, role, &mut scene, 1);
        Ok((counted, later(&mut scene)))
    })?;
    let mut cells = cells(&counted);
    let momentary = [Errno::NOMEM, Errno::AGAIN, Errno::MFILE, Errno::NFILE];
    // How much memory a program locks is for it to say, and no shortage: that is what `mmap` means.
    let limit = |cell: &Cell| cell.place.call == "mmap" && cell.errno == Errno::AGAIN;
    cells.retain(|cell| !cell.lasting && momentary.contains(&cell.errno) && !limit(cell));
    each(&name, began, cells, choice, |cell| {
        let mut scene = fresh();
        let came = refuse(story, role, &mut scene, cell)?;
        let later = later(&mut scene);
        if later == usual { Ok(came) } else { Err(format!("calls made later: {later:?}; usual are {usual:?}")) }
    })
}

/// Plays the cells of a command line in which the calls of one of its processes are refused.
pub(crate) fn launch_all(launch: &Launch, role: &str, choice: Choice) -> Result<(), String> {
    let name = format!("rsm-ctl {}: {role}", launch.name);
    let began = Instant::now();
    let mut counted = guarded(|| launch.rehearse())?;
    counted.retain(|(place, _)| place.who.split('\'').next() == Some(role) && place.nth <= launch.rounds);
    let mut cells = cells(&counted);
    cells.retain(|cell| launch.errnos.is_none_or(|errnos| errnos.contains(&cell.errno)));
    // A filter is there from the beginning. What may not wait when `up` has said that its cluster runs ends it, and there is nobody
    // to whom that could be said.
    let waits = |cell: &Cell| cell.place.call == "ppoll" && [Errno::NOSYS, Errno::PERM].contains(&cell.errno);
    cells.retain(|cell| !launch.stays() || !waits(cell) || cell.place.who == "front");
    each(&name, began, cells, choice, |cell| launch.play(cell))
}

fn each(
    name: &str,
    began: Instant,
    all: Vec<Cell>,
    choice: Choice,
    mut play: impl FnMut(&Cell) -> Result<Came, String>,
) -> Result<(), String> {
    let mut tally = Tally { all: all.len(), ..Tally::default() };
    let mut faults = Vec::new();
    for cell in choice.of(name, all) {
        tally.played += 1;
        match guarded(|| play(&cell)) {
            Ok(Came::Done) => tally.done += 1,
            Ok(Came::Told) => tally.told += 1,
            Ok(Came::Unmet) => tally.unmet += 1,
            Err(fault) => {
                tally.faults += 1;
                faults.push(format!("{cell}: {fault}"));
            }
        }
    }
    tally.took = began.elapsed();
    TABLE.lock().unwrap().insert(name.to_owned(), tally);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// An assertion that does not hold is a fault as others are.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default())
    })
}

/// Stories by what came of their cells.
pub(crate) fn table() -> String {
    let table = TABLE.lock().unwrap();
    let mut text = format!(
        "{:64}{:>7}{:>8}{:>7}{:>7}{:>7}{:>8}{:>8}\n",
        "story", "cells", "played", "done", "told", "unmet", "faults", "s"
    );
    let mut sum = Tally::default();
    let line = |name: &str, t: &Tally| {
        format!(
            "{name:64}{:>7}{:>8}{:>7}{:>7}{:>7}{:>8}{:>8.1}\n",
            t.all,
            t.played,
            t.done,
            t.told,
            t.unmet,
            t.faults,
            t.took.as_secs_f64()
        )
    };
    for (name, tally) in table.iter() {
        text += &line(name, tally);
        sum.all += tally.all;
        sum.played += tally.played;
        sum.done += tally.done;
        sum.told += tally.told;
        sum.unmet += tally.unmet;
        sum.faults += tally.faults;
        sum.took += tally.took;
    }
    text + &line("all", &sum)
}

/// Sees that commands make no call at all, once they were carried out before.
pub(crate) fn no_call(role: Role, commands: &[&str]) -> Result<(), String> {
    let mut scene = Scene::new();
    super::stories::warm(&mut scene);
    for round in 0..2 {
        let listener = scene.player(role).listener.control();
        listener.count();
        for command in commands {
            if round == 1 && *command == "waitexport e 0" {
                scene.fails(role, command, Code::Timeout);
            } else if *command == "waitexport e 0" {
                scene.asks(role, command);
            } else {
                scene.ok(role, command);
            }
        }
        let counted = listener.stop();
        if round == 1 && !counted.is_empty() {
            return Err(format!("{commands:?}: {counted:?}"));
        }
    }
    Ok(())
}

/// The suite can fail: a call that is to be refused is, once or for good, and what an act leaves behind is found.
pub(crate) fn control() -> Result<(), String> {
    let mut scene = Scene::new();
    super::stories::warm(&mut scene);
    scene.note();
    let listener = scene.player(Role::Exporter).listener.control();
    let place = |nth| Place { who: super::scene::MAIN.to_owned(), call: "openat", nth };
    let said = |scene: &mut Scene| scene.asks(Role::Exporter, "readable /proc/self/maps");
    let told = |answer: &str| refused_as(answer, Code::InternalError) && answer.contains(" Some(24) ");
    for lasting in [false, true] {
        listener.refuse(&place(2), Errno::MFILE, lasting, None);
        let answers = [said(&mut scene), said(&mut scene), said(&mut scene)];
        let refused = listener.let_go().len();
        let after = if lasting { told(&answers[2]) } else { answers[2] == "ok " };
        let right = answers[0] == "ok " && told(&answers[1]) && after;
        if !right || refused != 1 + usize::from(lasting) {
            return Err(format!("refused {refused}: {answers:?}"));
        }
    }
    scene.is_as_noted()?;
    scene.ok(Role::Exporter, "leak");
    // It stays, however long one waits.
    match scene.is_as_noted_within(Duration::from_millis(200)) {
        Err(left) if left.contains("/dev/null") => Ok(()),
        other => Err(format!("a descriptor was leaked, and the look says {other:?}")),
    }
}

//! The program whose surroundings change: uses everything once, and reports what came of it.
//!
//! The report is a mapped file, which no change takes away: not that of descriptors, limits, root or user.

use super::{Change, ENTRANCE, ENV, Row, changes, refusals};
use rsm::{AccessList, Code, Controller, Error, Permission, Result, SegmentId};
use rsm_shm::memory::page_size;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mm::{MapFlags, ProtFlags};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// What the program puts.
pub(super) const VALUE: u64 = 0x00c0_ffee;
/// An application that has segment ids in a file of the tests' own.
pub(super) const APPLICATION: &str = "rsm-surroundings";
/// A user without rights.
pub(super) const NOBODY: u32 = 65534;
const SIZE: usize = 1 << 16;

/// Where it puts it.
pub(super) fn word(after: bool) -> u64 {
    if after { 8 } else { 0 }
}

/// Lines of text in a mapped file.
pub(super) struct Report {
    start: *mut u8,
    used: usize,
}

impl Report {
    pub(super) fn create(path: &Path) {
        std::fs::write(path, vec![0; SIZE]).expect("a report");
    }

    pub(super) fn read(path: &Path) -> Vec<String> {
        let bytes = std::fs::read(path).expect("a report");
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
    }

    fn open(path: &Path) -> Report {
        let file = std::fs::File::options().read(true).write(true).open(path).expect("a report");
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: fresh addresses that the kernel chooses.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED, &file, 0) };
        Report { start: start.expect("mapped").cast(), used: 0 }
    }

    fn line(&mut self, text: &str) {
        let text = format!("{}\n", text.replace('\n', " "));
        assert!(self.used + text.len() < SIZE, "room");
        // SAFETY: inside the mapping, by the line above.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.start.add(self.used), text.len()) };
        self.used += text.len();
    }
}

/// What a change sees of the program, and leaves for its end.
pub(super) struct Scene {
    /// Whether the library was used before.
    pub(super) after: bool,
    /// Descriptors that were there before the library was.
    own: BTreeSet<RawFd>,
    /// Asked at the end: whether what is the program's is as the program left it.
    pub(super) checks: Vec<Box<dyn FnOnce() -> Result<()>>>,
    /// Every other operation is made by a thread with a descriptor table of its own.
    pub(super) apart: bool,
    /// Whether the standard streams are closed.
    pub(super) closed: bool,
}

/// The descriptors that are open.
fn open_descriptors() -> BTreeSet<RawFd> {
    let is_open = |number: &RawFd| {
        // SAFETY: to look at it changes nothing.
        rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(*number) }).is_ok()
    };
    (0..256).filter(is_open).collect()
}

impl Scene {
    /// Descriptors that the library has opened.
    pub(super) fn of_library(&self) -> Vec<RawFd> {
        open_descriptors().difference(&self.own).copied().collect()
    }

    fn operation<T: Send>(
        &self,
        report: &mut Report,
        name: &str,
        body: impl FnOnce() -> Result<T> + Send,
    ) -> Option<T> {
        // Poll descriptors are of the table that they were asked for in.
        let apart = self.apart && name.contains('t') && !name.starts_with("poll");
        let outcome = if apart {
            let alone = || {
                // SAFETY: this thread gets a copy of the table.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
                body()
            };
            std::thread::scope(|scope| scope.spawn(alone).join().expect("no panic"))
        } else {
            body()
        };
        match &outcome {
            Ok(_) => report.line(&format!("{name} ok")),
            Err(error) => report.line(&format!("{name} err {} {error}", error.code().number())),
        }
        outcome.ok()
    }
}

/// Asks again after a handler has interrupted what the agent takes long to answer on a busy machine; told where a handler
/// ran, and never else.
fn undisturbed<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        let handled = changes::handled();
        match ask() {
            Err(error) if error.code() == Code::Interrupted && changes::handled() != handled => {}
            told => return told,
        }
    }
}

/// Ends what it has begun whatever happens.
pub(crate) fn run() -> ! {
    let name = std::env::var(ENV).expect("a row");
    let after = std::env::var("RSM_TEST_AFTER").is_ok_and(|text| text == "true");
    let report = std::env::var_os("RSM_TEST_REPORT").expect("a file");
    let mut report = Report::open(Path::new(&report));
    let row = changes::all().chain(refusals::all()).find(|row| row.name == name).expect("a row");
    // As in a program that does not know of Rust.
    // SAFETY: restores the default.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let own = open_descriptors();
    let mut scene = Scene { after, own, checks: Vec::new(), apart: false, closed: false };
    use_everything(row, &mut scene, &mut report);
    report.line("end");
    std::process::exit(0)
}

fn change(row: &Row, scene: &mut Scene, report: &mut Report) {
    let made = match row.change {
        Change::Act(act) => act(scene),
        Change::Refuse(call, errno) => refusals::refuse(call, errno),
        Change::Enter(_, act) => {
            let entrance = std::env::var_os(ENTRANCE).expect("a control group");
            let entered = std::fs::write(entrance, std::process::id().to_string());
            entered.map_err(|_| rustix::io::Errno::IO).and_then(|()| act(scene))
        }
        Change::SetUserId => {
            scene.checks.push(Box::new(believes_nothing));
            Ok(())
        }
    };
    match made {
        Ok(()) => report.line("change ok"),
        Err(errno) => report.line(&format!("change err {} {errno}", errno.raw_os_error())),
    }
}

fn wrong(text: impl Into<String>) -> Error {
    Error::with(Code::InternalError, text.into())
}

/// Whoever started the program named a cluster, perhaps, and a file with this application's segment ids.
fn believes_nothing() -> Result<()> {
    if let Ok(ids) = rsm::reserved_segment_ids(APPLICATION) {
        return Err(wrong(format!("read the ids {ids:?}")));
    }
    if std::env::var_os("RSM_CLUSTER").is_none() {
        return Ok(());
    }
    match rsm::observe::Observer::attach(None) {
        Err(error) if error.to_string().contains("RSM_CLUSTER is not believed") => Ok(()),
        other => Err(wrong(format!("looked at a cluster: {other:?}"))),
    }
}

/// Memory of the program's, with something in it.
struct Pages(*mut u8);

// SAFETY: one thread after the other.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    const LENGTH: usize = 1 << 16;

    fn new(first: u8) -> Pages {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: fresh memory at addresses that the kernel chooses, for ever.
        let start =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), Self::LENGTH, access, MapFlags::PRIVATE) };
        let start: *mut u8 = start.expect("memory").cast();
        // SAFETY: all of it.
        unsafe { start.write_bytes(first, Self::LENGTH) };
        Pages(start)
    }

    fn start(&self) -> *mut u8 {
        self.0
    }

    /// # Errors
    /// When a byte is not what it was made with.
    fn check(&self, first: u8) -> Result<()> {
        // SAFETY: mapped for ever; nobody writes it now.
        let bytes = unsafe { std::slice::from_raw_parts(self.0, Self::LENGTH) };
        if bytes.iter().all(|b| *b == first) { Ok(()) } else { Err(wrong("the memory has changed")) }
    }
}

#[allow(clippy::too_many_lines)] // one operation after the other
fn use_everything(row: &Row, scene: &mut Scene, report: &mut Report) {
    let everyone = AccessList::everyone;
    let (adopted_memory, memory) = (Pages::new(7), Pages::new(9));
    if !scene.after {
        change(row, scene, report);
    }
    let opened = scene.operation(report, "open", || Controller::open("shm0"));
    let Some(controller) = opened else { return finish(scene, report) };
    let me = controller.node().id();
    // In a private cluster the only node is its own neighbour.
    let alone = controller.node().node_count() == 1;
    let own = SegmentId::new(0x40_0001 + u32::from(scene.after) * 2);
    let second = SegmentId::new(own.get() + 1);
    let (peer, theirs) = if alone { (me, own) } else { (1, SegmentId::new(0x40_0000)) };

    let exported = scene.operation(report, "export", || undisturbed(|| controller.export(2 * page_size())));
    // SAFETY: memory that is never unmapped, used through the export only.
    let adopted =
        scene.operation(report, "adopt", || unsafe { controller.adopt(adopted_memory.start(), Pages::LENGTH) });
    let published = exported
        .as_ref()
        .and_then(|e| scene.operation(report, "publish", || undisturbed(|| e.publish(own, &everyone()))));
    if let Some(adopted) = &adopted {
        scene.operation(report, "publish-any", || undisturbed(|| adopted.publish(SegmentId::any(), &everyone())));
    }
    let import = (!alone || published.is_some())
        .then(|| {
            scene.operation(report, "connect", || {
                undisturbed(|| controller.connect(peer, theirs, Permission::ReadWrite))
            })
        })
        .flatten();
    if let Some(exported) = &exported {
        scene.operation(report, "poll", || exported.poll_descriptor().map(drop));
    }

    if scene.after {
        change(row, scene, report);
    }

    if let Some(import) = &import {
        let word = word(scene.after);
        scene.operation(report, "put", || import.put_u64(word, VALUE));
        scene.operation(report, "get", || match import.get_u64(word)? {
            VALUE => Ok(()),
            other => Err(wrong(format!("got {other:#x}"))),
        });
        scene.operation(report, "signal", || import.signal());
    }
    if let Some(exported) = &exported {
        if alone && import.is_some() {
            scene.operation(report, "take-own", || exported.wait(Some(Duration::ZERO)));
        }
        scene.operation(report, "sleep", || {
            loop {
                let handled = changes::handled();
                match exported.wait(Some(Duration::from_millis(1))) {
                    Err(error) if error.code() == Code::Timeout => return Ok(()),
                    // Told where a handler ran, and never else.
                    Err(error) if error.code() == Code::Interrupted && changes::handled() != handled => {}
                    other => return other.and(Err(wrong("a signal from nowhere"))),
                }
            }
        });
    }
    if let (Some(exported), Some(_)) = (&exported, published) {
        let again = scene
            .operation(report, "connect-own", || undisturbed(|| controller.connect(me, own, Permission::ReadWrite)));
        if let Some(again) = again {
            scene.operation(report, "put-own", || again.put_u64(16, 5));
            scene.operation(report, "poll-own", || {
                again.signal()?;
                let descriptor = exported.poll_descriptor()?;
                let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
                let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
                let ready = loop {
                    match rustix::event::poll(&mut fds, Some(&patience)) {
                        Err(rustix::io::Errno::INTR) => {}
                        ready => break ready.map_err(|e| wrong(e.to_string()))?,
                    }
                };
                if ready != 1 || !fds[0].revents().contains(PollFlags::IN) {
                    return Err(wrong(format!("{ready} ready: {:?}", fds[0].revents())));
                }
                Ok(())
            });
            scene.operation(report, "take", || exported.wait(Some(Duration::ZERO)).or(Err(wrong("no signal"))));
            scene.operation(report, "disconnect-own", || again.disconnect());
        }
    }
    let another = scene.operation(report, "export-again", || undisturbed(|| controller.export(2 * page_size())));
    if let Some(another) = another {
        scene.operation(report, "publish-again", || undisturbed(|| another.publish(second, &everyone())));
        scene.operation(report, "destroy-again", || another.destroy());
    }
    // SAFETY: as above.
    let another = scene.operation(report, "adopt-again", || unsafe { controller.adopt(memory.start(), Pages::LENGTH) });
    if let Some(another) = another {
        scene.operation(report, "destroy-adopted-again", || another.destroy().and_then(|()| memory.check(9)));
    }
    if let Some(import) = import {
        scene.operation(report, "disconnect", || import.disconnect());
    }
    if let (Some(exported), Some(_)) = (&exported, published) {
        scene.operation(report, "unpublish", || undisturbed(|| exported.unpublish()));
    }
    if let Some(adopted) = adopted {
        scene.operation(report, "destroy-adopted", || adopted.destroy().and_then(|()| adopted_memory.check(7)));
    }
    if let Some(exported) = exported {
        scene.operation(report, "destroy", || exported.destroy());
    }
    finish(scene, report);
}

fn finish(scene: &mut Scene, report: &mut Report) {
    for check in std::mem::take(&mut scene.checks) {
        scene.apart = false;
        let outcome = check();
        match outcome {
            Ok(()) => report.line("check ok"),
            Err(error) => report.line(&format!("check err {} {error}", error.code().number())),
        }
    }
    // What is closed stays closed, and a number that is free is the program's.
    let standard = open_descriptors().into_iter().filter(|number| *number < 3).count();
    let expected = if scene.closed { 0 } else { 3 };
    report.line(&if standard == expected {
        "streams ok".to_owned()
    } else {
        format!("streams err 0 {standard} of the first three descriptors are open, not {expected}")
    });
}

/// A file of the program's that has descriptors where the library's were.
pub(super) struct Witness {
    numbers: Vec<RawFd>,
    file: OwnedFd,
    /// The other end, for a socket.
    other: Option<OwnedFd>,
}

impl Witness {
    /// Puts a file at each number.
    pub(super) fn put(file: OwnedFd, other: Option<OwnedFd>, numbers: &[RawFd]) -> rustix::io::Result<Witness> {
        for number in numbers {
            // SAFETY: the program may put what it likes at numbers of its table; whoever has something there finds out.
            if unsafe { libc::dup2(file.as_raw_fd(), *number) } < 0 {
                return Err(rustix::io::Errno::IO);
            }
        }
        Ok(Witness { numbers: numbers.to_vec(), file, other })
    }

    /// Whether they are still there, and nobody wrote or read.
    pub(super) fn check(&self) -> Result<()> {
        let mine = rustix::fs::fstat(&self.file).map_err(|e| wrong(e.to_string()))?;
        for number in &self.numbers {
            // SAFETY: to look at it changes nothing.
            let there = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(*number) });
            if there.map(|there| there.st_ino) != Ok(mine.st_ino) {
                return Err(wrong(format!("descriptor {number} is not the program's any more: {there:?}")));
            }
        }
        match &self.other {
            None => {
                let at = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Current(0)).ok();
                if mine.st_size != 4 || at != Some(0) {
                    return Err(wrong(format!("the program's file has {} bytes and is at {at:?}", mine.st_size)));
                }
            }
            Some(other) => {
                for (end, bytes) in [(other.as_fd(), 0), (self.file.as_fd(), 4)] {
                    let mut waiting = 0;
                    // SAFETY: stores an integer.
                    unsafe { libc::ioctl(end.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
                    if waiting != bytes {
                        return Err(wrong(format!("{waiting} bytes wait in the program's socket, not {bytes}")));
                    }
                }
            }
        }
        Ok(())
    }
}

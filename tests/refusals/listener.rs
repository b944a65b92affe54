//! Refuses system calls of a process that a test starts, by a seccomp filter whose listener the test is.
//!
//! The process installs the filter between fork and exec, and all its threads and children inherit it. Each call of
//! [`CALLS`](super::calls::CALLS) then waits until the test has said "go on" or given an error; others are not seen.
//! It takes no privilege, for the process gives up gaining any.
#![allow(unsafe_code)]

use super::calls::{self, Call};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of the descriptor by which a process sends its listener, which the filter lets pass.
const CHANNEL: RawFd = 250;

/// How long a shortage lasts that does not end at once.
const SHORTAGE: Duration = Duration::from_millis(400);

/// Which thread of which process made a call: its name, by the ids of the first process and of the thread, or none if it
/// is nobody's who is tested.
pub(crate) type Naming = Box<dyn FnMut(i32, i32, &'static str, &[u64; 6]) -> Option<String> + Send>;

/// A call, as cells are told apart: who makes it, which one it is, the how manyth of this kind by this caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) who: String,
    pub(crate) call: &'static str,
    pub(crate) nth: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of {}", self.call, self.nth, self.who)
    }
}

/// A call that was refused, to be done by hand when a real one would have been done and failed nevertheless.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) who: String,
    pub(crate) call: &'static str,
    pub(crate) arguments: [u64; 6],
}

/// What becomes of calls.
#[derive(Clone, Debug)]
enum Plan {
    /// All go on, unnoted.
    Off,
    /// All go on; the order is noted.
    Count,
    /// The call at that place fails, and if it lasts every later one that can fail so.
    Refuse {
        place: Place,
        errno: Errno,
        lasting: bool,
        /// Whose calls alone meet the shortage.
        only: Option<&'static str>,
        /// When a lasting shortage ends: what waits for its end is not kept waiting for ever.
        until: Option<Instant>,
    },
}

struct State {
    plan: Plan,
    counts: HashMap<(String, &'static str), u32>,
    order: Vec<(Place, &'static [Errno])>,
    refused: Vec<Refused>,
}

/// What a listener is told; good for longer than the process.
#[derive(Clone)]
pub(crate) struct Control(Arc<Mutex<State>>);

/// The test's end of a process's filter. It serves as long as a process with the filter lives.
pub(crate) struct Listener {
    control: Control,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Has `command` start with a filter that this listener decides about.
    pub(crate) fn on(command: &mut Command, naming: Naming) -> Listener {
        let (here, there) = rsm_shm::socket::packet_pair().expect("a socket pair");
        let program = program();
        let start = move || {
            // SAFETY: the number is free in a process that is about to exec, or closed by this.
            if unsafe { libc::dup3(there.as_raw_fd(), CHANNEL, libc::O_CLOEXEC) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
            let listener = install(&program)?;
            // SAFETY: just opened, and left to the exec to close.
            let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL) };
            rsm_shm::socket::send(channel, b"listener", &[listener.as_fd()], SendFlags::empty())?;
            // A close would be a call to wait for; the exec does it.
            std::mem::forget(listener);
            Ok(())
        };
        // SAFETY: between fork and exec; system calls and the stack only.
        unsafe { command.pre_exec(start) };
        let state = State { plan: Plan::Off, counts: HashMap::new(), order: Vec::new(), refused: Vec::new() };
        let control = Control(Arc::new(Mutex::new(state)));
        let ours = control.clone();
        let thread = std::thread::Builder::new().name("listener".to_owned()).spawn(move || {
            // Nothing comes if the process was not started.
            if let Ok(Some(packet)) = rsm_shm::socket::receive(&here, RecvFlags::empty())
                && let Some(listener) = packet.descriptors.into_iter().next()
            {
                serve(&listener, &ours.0, naming);
            }
        });
        Listener { control, thread: Some(thread.expect("a thread")) }
    }

    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits until no process with the filter is left.
    pub(crate) fn end(mut self) {
        self.thread.take().expect("once").join().expect("the listener does not panic");
    }
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, plan: Plan) {
        *self.state() = State { plan, counts: HashMap::new(), order: Vec::new(), refused: Vec::new() };
    }

    /// From now on calls are counted.
    pub(crate) fn count(&self) {
        self.plan(Plan::Count);
    }

    /// From now on calls are counted, and that one fails.
    pub(crate) fn refuse(&self, place: &Place, errno: Errno, lasting: bool, only: Option<&'static str>) {
        self.plan(Plan::Refuse { place: place.clone(), errno, lasting, only, until: None });
    }

    /// From now on all calls go on; gives those that were counted, in their order, and what each could meet.
    pub(crate) fn stop(&self) -> Vec<(Place, &'static [Errno])> {
        let mut state = self.state();
        state.plan = Plan::Off;
        std::mem::take(&mut state.order)
    }

    /// From now on all calls go on; gives those that were refused.
    pub(crate) fn let_go(&self) -> Vec<Refused> {
        let mut state = self.state();
        state.plan = Plan::Off;
        std::mem::take(&mut state.refused)
    }
}

/// The filter: calls of the table wait for the listener, but for the one that sends it.
fn program() -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt: usize, jf: usize, k: u32| libc::sock_filter {
        code: code as u16,
        jt: u8::try_from(jt).expect("a short jump"),
        jf: u8::try_from(jf).expect("a short jump"),
        k,
    };
    let numbers = calls::numbers();
    let sendmsg = libc::SYS_sendmsg as u32;
    // The first word of the arguments is at 16, and its low half first.
    let mut steps = vec![
        step(LOAD, 0, 0, 0),
        step(EQUAL, 0, 3, sendmsg),
        step(LOAD, 0, 0, 16),
        step(EQUAL, numbers.len() + 1, 0, CHANNEL as u32),
        step(LOAD, 0, 0, 0),
    ];
    for (at, number) in numbers.iter().enumerate() {
        steps.push(step(EQUAL, numbers.len() - at, 0, *number));
    }
    steps.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    steps.push(step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    steps
}

/// Installs the filter for this process; gives its listener.
fn install(program: &[libc::sock_filter]) -> std::io::Result<OwnedFd> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let ask = |flags: libc::c_ulong| {
        // SAFETY: the kernel reads the program.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
    };
    // SAFETY: no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Where the kernel can (5.19), a signal does not make a waiting call begin again, to be counted twice.
    let mut fd = ask(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if fd < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        fd = ask(flags);
    }
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Why this machine cannot refuse calls; nothing when it can.
pub(crate) fn lacking() -> Option<String> {
    let mut command = Command::new("/bin/true");
    let listener = Listener::on(&mut command, Box::new(|_, _, _, _| None));
    let started = command.status();
    drop(command);
    listener.end();
    match started {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("a program under a seccomp listener ends with {status}")),
        Err(error) => Some(format!("no seccomp listener: {error}")),
    }
}

fn serve(listener: &OwnedFd, state: &Mutex<State>, mut naming: Naming) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut root = None;
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => panic!("cannot wait for calls: {error}"),
        }
        if !fds[0].revents().contains(PollFlags::IN) {
            return; // nobody is left
        }
        // SAFETY: plain data, which must be zeroed for the kernel.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the structure.
        if unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) } != 0 {
            continue; // the caller was killed in between
        }
        let thread = call.pid.cast_signed();
        // The first caller is the process itself, before its exec.
        let root = *root.get_or_insert(thread);
        let refused = decide(state, &mut naming, root, thread, &call.data);
        let response = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: refused.map_or(0, |errno| -errno.raw_os_error()),
            flags: if refused.is_some() { 0 } else { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 },
        };
        // SAFETY: the kernel reads the structure. It fails when the caller is gone.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    }
}

/// The error that a call gets, if it does not go on.
fn decide(
    state: &Mutex<State>,
    naming: &mut Naming,
    root: i32,
    thread: i32,
    data: &libc::seccomp_data,
) -> Option<Errno> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(state.plan, Plan::Off) {
        return None;
    }
    let call = calls::of(data.nr)?;
    let who = naming(root, thread, call.name, &data.args)?;
    let errnos = call.errnos(&data.args, &who, thread);
    if errnos.is_empty() {
        return None;
    }
    let count = state.counts.entry((who.clone(), call.name)).or_default();
    *count += 1;
    let place = Place { who, call: call.name, nth: *count };
    let State { plan, order, refused, .. } = &mut *state;
    match plan {
        Plan::Off => None,
        Plan::Count => {
            order.push((place, errnos));
            None
        }
        Plan::Refuse { place: at, errno, lasting, only, until } => {
            let errno = *errno;
            let goes_on = *lasting
                && only.is_none_or(|only| only == place.who)
                && until.is_some_and(|until| Instant::now() < until)
                && can_last(call, at.call, errno, errnos);
            if goes_on || place == *at && errnos.contains(&errno) {
                until.get_or_insert_with(|| Instant::now() + SHORTAGE);
                refused.push(Refused { who: place.who, call: call.name, arguments: data.args });
                return Some(errno);
            }
            None
        }
    }
}

/// Whether a shortage that the call named `first` met can be met by another. What a filter refuses is that call alone.
fn can_last(call: &Call, first: &str, errno: Errno, errnos: &[Errno]) -> bool {
    let by_filter = errno == Errno::NOSYS || call.name == "ppoll" && errno == Errno::PERM;
    errnos.contains(&errno) && (!by_filter || call.name == first) && !matches!(call.name, "munmap" | "close")
}

//! Dying on purpose: what a process does when it reaches a crash point (see [`rsm_core::crash`]).
//!
//! Only with `--cfg rsm_crash_points`. `RSM_CRASH=POINT:HIT:ACTION` in the environment arms a point from the first use
//! of the library on, [`arm`] from now on; the action is one of [`Action`]. What happens at a point takes no lock and
//! allocates nothing: points stand where stores are held back and between fork and its hooks.
#![allow(unsafe_code)]
#![allow(clippy::disallowed_types)] // nothing that loom models

use rsm_core::crash::{POINTS, Point, hook};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// Action of a process at the point that is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// SIGKILLs itself: `kill`.
    Kill = 1,
    /// SIGSTOPs itself: `stop`.
    Stop,
    /// The thread that reached it goes no further until [`disarm`]: `pause`.
    Pause,
}

/// Number of the point that is armed, plus one; 0 for none.
static ARMED: AtomicU32 = AtomicU32::new(0);
/// How often it is to be reached until it acts.
static LEFT: AtomicU32 = AtomicU32::new(0);
static ACTION: AtomicU32 = AtomicU32::new(0);

/// Counts, in memory that forked children share with their parent.
struct Board {
    fired: AtomicU32,
    hits: [AtomicU32; POINTS.len()],
}

static BOARD: OnceLock<&'static Board> = OnceLock::new();

fn board() -> &'static Board {
    BOARD.get_or_init(|| {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: fresh memory at addresses the kernel chooses.
        let memory = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), size_of::<Board>(), access, flags) };
        // SAFETY: page-aligned zeros, which are valid counts, that are never unmapped.
        unsafe { &*memory.expect("memory for counts").cast::<Board>() }
    })
}

/// Starts counting, and arms what the environment names. The library calls it where a process first comes to it.
pub fn from_environment() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        board();
        hook::tell(reached);
        if let Ok(text) = std::env::var("RSM_CRASH") {
            let mut words = text.split(':');
            let mut word = || words.next().unwrap_or_default();
            let known = arm_named(word(), word(), word());
            assert!(known, "RSM_CRASH={text:?} is not POINT:HIT:ACTION, as in AskSent:1:kill");
        }
    });
}

/// [`arm`] with words; `false` when one of them says nothing.
pub fn arm_named(point: &str, hit: &str, action: &str) -> bool {
    let action = match action {
        "kill" => Action::Kill,
        "stop" => Action::Stop,
        "pause" => Action::Pause,
        _ => return false,
    };
    let (Some(point), Ok(hit)) = (Point::named(point), hit.parse()) else { return false };
    arm(point, hit, action);
    true
}

/// Arms a point: at the `hit`th time that this process, or one that it forks, reaches it from now on, it acts.
pub fn arm(point: Point, hit: u32, action: Action) {
    disarm();
    LEFT.store(hit, SeqCst);
    ACTION.store(action as u32, SeqCst);
    ARMED.store(point as u32 + 1, SeqCst);
}

/// Nothing is armed any more, and who paused goes on.
pub fn disarm() {
    ARMED.store(0, SeqCst);
}

/// Number of times that an armed point has acted, in this process and in those that share its counts by a fork.
pub fn fired() -> u32 {
    board().fired.load(SeqCst)
}

/// Counts anew.
pub fn forget() {
    board().fired.store(0, SeqCst);
    board().hits.iter().for_each(|hits| hits.store(0, SeqCst));
}

/// The points reached since counting began, in this process and in those that share its counts by a fork.
pub fn hits() -> impl Iterator<Item = (Point, u32)> {
    let counts = board().hits.iter().map(|hits| hits.load(SeqCst));
    POINTS.iter().map(|(point, ..)| *point).zip(counts).filter(|(_, hits)| *hits > 0)
}

fn reached(point: Point) {
    let board = board();
    board.hits[point as usize].fetch_add(1, SeqCst);
    let number = point as u32 + 1;
    if ARMED.load(SeqCst) != number || LEFT.fetch_sub(1, SeqCst) != 1 {
        return;
    }
    board.fired.fetch_add(1, SeqCst);
    if ACTION.load(SeqCst) == Action::Pause as u32 {
        while ARMED.load(SeqCst) == number {
            std::thread::sleep(Duration::from_millis(1));
        }
        return;
    }
    let signal = if ACTION.load(SeqCst) == Action::Kill as u32 { Signal::KILL } else { Signal::STOP };
    // The kernel delivers it before the call returns.
    kill_process(getpid(), signal).expect("a signal to this very process");
}

//! The stories of `rsm-ctl run` and its like: calls of the front, of the warden, and of a node that is being started
//! fail.

use super::cells::{Came, Cell};
use super::listener::{Control, Listener, Place};
use rsm_stories::gate::entries;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After this it hangs, or something is left for good. On a busy machine whoever cleans up may have to wait for its turn.
const DEADLINE: Duration = Duration::from_secs(60);

/// Marks what a cell starts, down to daemons.
const MARK: &str = "RSM_REFUSALS_MARK";

/// A command line.
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    /// Whose calls are refused: the first process, the second, or those that come after them before they are another
    /// program.
    pub(crate) roles: &'static [&'static str],
    /// With what alone they are refused, if not with everything.
    pub(crate) errnos: Option<&'static [Errno]>,
    /// In these `{name}` and `{dir}` stand for a cluster's name and a folder of the cell.
    words: &'static [&'static str],
    /// Standard input; on a terminal it is typed again and again.
    input: &'static str,
    /// The exit code when nothing is refused.
    usual: i32,
    /// An exit code of a command that tells what is the matter in its output.
    tells: Option<i32>,
    /// What standard output has in its lines, in any order.
    output: &'static [&'static str],
    /// Files in the folder, and their last words.
    files: &'static [(&'static str, &'static str)],
    /// Not its own calls are refused, but those of the cluster that `up` started before.
    keeper: bool,
    /// What the processes are called that come after the first, in their order; the last name is that of all others.
    processes: &'static [&'static str],
    streams: Streams,
    /// So many calls of each kind are refused; what comes later is the same in further rounds.
    pub(crate) rounds: u32,
    /// Command lines before and after, which nobody refuses anything; those after may fail if the cluster is gone.
    before: &'static [&'static [&'static str]],
    after: &'static [&'static [&'static str]],
}

/// What the standard streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streams {
    Pipes,
    /// Standard output is the file `output` in the folder.
    File,
    /// All are a terminal of its own, which is afterwards as it was before; among the output may be more than what is
    /// wanted.
    Terminal,
}

const PLAIN: Launch = Launch {
    name: "",
    roles: &["front", "warden", "starting node"],
    errnos: None,
    words: &[],
    input: "",
    usual: 0,
    tells: None,
    output: &[],
    files: &[],
    keeper: false,
    processes: &["warden", "starting node"],
    streams: Streams::Pipes,
    rounds: u32::MAX,
    before: &[],
    after: &[],
};

const UP: &[&str] = &["up", "--name", "{name}", "-n", "2"];
const DOWN: &[&str] = &["down", "{name}"];
/// What `up` leaves behind: its front, and the warden, which comes after that.
const KEEPER: &[&str] = &["warden", "starting node"];
const SAY: &str = "echo out $RSM_NODE_ID; echo err $RSM_NODE_ID >&2";

/// Have to be killed.
const DEAF: &str = "trap '' TERM; sleep 600; wait";
/// Has those who are in no process group of a node asked to end, and is one of them. What it sleeps in is waited for by `wait`:
/// dash loses a signal that comes while it is in the `vfork` of a command that it runs itself.
const ASKED: &str = "read pid name state front rest </proc/$PPID/stat; export front; \
    setsid sh -c 'trap \"echo out; exit\" TERM; kill $front; while :; do sleep 0.05 & wait; done' & wait";
/// Has all processes stopped, and ends when it goes on. What the shell calls may be interrupted while the listener thinks.
const STOPPED: &str = "read pid name state front rest </proc/$PPID/stat; \
    trap 'until kill $!; do :; done; echo out; exit 0' CONT; sleep 600 & kill -TSTP $front; wait";

/// Runs something in a cluster, where the warden has to look for processes, which are its own user's.
const GUEST: Launch = Launch { roles: &["warden"], errnos: Some(SHORTAGE), before: &[UP], after: &[DOWN], ..PLAIN };
const SHORTAGE: &[Errno] = &[Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::INTR];

/// Looks at a cluster that runs.
const LOOK: Launch = Launch { roles: &["front"], before: &[UP], after: &[DOWN], ..PLAIN };

pub(crate) const LAUNCHES: &[Launch] = &[
    Launch {
        name: "run",
        words: &["run", "--name", "{name}", "-n", "2", "--", "/bin/sh", "-c", SAY],
        output: &["out 1", "out 2"],
        ..PLAIN
    },
    Launch {
        name: "run with files",
        words: &[
            "run",
            "--name",
            "{name}",
            "-n",
            "2",
            "--log-dir",
            "{dir}/logs",
            "--junit",
            "{dir}/report",
            "--",
            "/bin/sh",
            "-c",
            SAY,
        ],
        output: &["out 1", "out 2"],
        files: &[
            ("logs/node-1.out", "out 1\n"),
            ("logs/node-2.out", "out 2\n"),
            ("logs/node-1.err", "err 1\n"),
            ("logs/node-2.err", "err 2\n"),
            ("report", "</testsuites>\n"),
        ],
        ..PLAIN
    },
    Launch {
        name: "run with input",
        words: &["run", "--name", "{name}", "-n", "1", "--", "/bin/cat"],
        input: "one\ntwo\nthree\n",
        output: &["one", "two", "three"],
        ..PLAIN
    },
    Launch {
        name: "run what fails",
        words: &["run", "--name", "{name}", "-n", "2", "--", "/bin/sh", "-c", "echo out; exit 3"],
        usual: 3,
        ..PLAIN
    },
    Launch {
        name: "run what takes too long",
        words: &["run", "--name", "{name}", "-n", "2", "--timeout", "100ms", "--", "/bin/sleep", "60"],
        usual: 124,
        ..PLAIN
    },
    Launch {
        name: "run into a file",
        words: &["run", "--name", "{name}", "-n", "2", "--", "/bin/sh", "-c", SAY],
        streams: Streams::File,
        output: &["out 1", "out 2"],
        ..PLAIN
    },
    Launch {
        name: "run on a terminal",
        words: &["run", "--name", "{name}", "-n", "2", "--", "/bin/sh", "-c", SAY],
        streams: Streams::Terminal,
        output: &["out 1", "out 2", "err 1", "err 2"],
        ..PLAIN
    },
    Launch {
        name: "run with input on a terminal",
        roles: &["front"],
        // A terminal that has gone gives no input.
        errnos: Some(SHORTAGE),
        words: &["run", "--name", "{name}", "-n", "1", "--stdin", "1", "--", "/bin/sh", "-c", "read line; echo $line"],
        input: "one\n",
        streams: Streams::Terminal,
        output: &["one"],
        ..PLAIN
    },
    Launch {
        name: "run whose warden is killed",
        roles: &["front"],
        words: &["run", "--name", "{name}", "-n", "1", "--", "/bin/sh", "-c", "sleep 600 & kill -9 $PPID; wait"],
        usual: 1,
        ..PLAIN
    },
    Launch { name: "up", words: UP, after: &[DOWN], ..PLAIN },
    Launch {
        name: "exec",
        words: &["exec", "--cluster", "{name}", "--node", "1", "--", "/bin/sh", "-c", SAY],
        output: &["out 1"],
        before: &[UP],
        after: &[DOWN],
        ..PLAIN
    },
    Launch {
        name: "exec what is deaf",
        words: &[
            "exec",
            "--cluster",
            "{name}",
            "--node",
            "1",
            "--timeout",
            "100ms",
            "--grace",
            "0",
            "--",
            "/bin/sh",
            "-c",
            DEAF,
        ],
        usual: 124,
        ..GUEST
    },
    Launch {
        name: "exec what is asked to end",
        words: &["exec", "--cluster", "{name}", "--node", "1", "--grace", "1h", "--", "/bin/sh", "-c", ASKED],
        usual: 143,
        output: &["out"],
        ..GUEST
    },
    Launch {
        name: "exec what is stopped",
        words: &["exec", "--cluster", "{name}", "--node", "1", "--", "/bin/sh", "-c", STOPPED],
        output: &["out"],
        ..GUEST
    },
    Launch {
        name: "exec in a cluster",
        roles: KEEPER,
        words: &["exec", "--cluster", "{name}", "--node", "1", "--", "/bin/sh", "-c", SAY],
        output: &["out 1"],
        keeper: true,
        after: &[DOWN],
        ..PLAIN
    },
    Launch { name: "down", roles: &["front"], words: DOWN, before: &[UP], after: &[DOWN], ..PLAIN },
    Launch {
        name: "nodes into a file",
        words: &["nodes", "--cluster", "{name}", "--json"],
        streams: Streams::File,
        files: &[("output", "\"version\": 1\n}\n")],
        ..LOOK
    },
    Launch { name: "top", words: &["top", "--once", "--interval", "50ms", "--cluster", "{name}"], ..LOOK },
    Launch {
        name: "top on a terminal",
        words: &["top", "--interval", "50ms", "--cluster", "{name}"],
        input: "q",
        streams: Streams::Terminal,
        ..LOOK
    },
    // What a call is refused for is a row of its table.
    Launch { name: "doctor", roles: &["front"], words: &["doctor"], tells: Some(4), ..PLAIN },
    Launch {
        name: "perf",
        roles: &["front", "party"],
        words: &["perf", "--op", "put", "--sizes", "64", "--time", "1ms", "--no-pin"],
        processes: &["party"],
        rounds: 60,
        ..PLAIN
    },
    Launch {
        name: "manual pages",
        roles: &["front"],
        words: &["man", "--dir", "{dir}/logs"],
        files: &[("logs/rsm-ctl.1", ".fi\n"), ("logs/rsm-ctl-up.1", "rsm(3)\n")],
        ..PLAIN
    },
    Launch { name: "down of a cluster", roles: KEEPER, words: DOWN, keeper: true, after: &[DOWN], ..PLAIN },
];

/// Files and folders that are the command's to leave.
const ASKED_FOR: &[&str] = &["logs", "report", "output"];

/// Both sides of a new terminal.
fn terminal() -> (File, OwnedFd) {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).expect("a terminal");
    unlockpt(&near).expect("a new one");
    let far = ioctl_tiocgptpeer(&near, flags).expect("its other side");
    // What is typed does not stand among what is said.
    let mut modes = tcgetattr(&far).expect("a terminal");
    modes.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&far, OptionalActions::Now, &modes).expect("a terminal");
    (File::from(near), far)
}

/// To the other screen of a terminal, and back.
const OTHER_SCREEN: &str = "\x1b[?1049h";
const SCREEN_BEFORE: &str = "\x1b[?1049l";

/// How a terminal treats what is typed and shown.
fn modes(near: &File) -> [u32; 3] {
    let modes = rustix::termios::tcgetattr(near).expect("a terminal");
    [modes.input_modes.bits(), modes.output_modes.bits(), modes.local_modes.bits()]
}

/// `rsm-ctl`, built if need be in the profile of this test.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "-q", "-p", "rsm-ctl", "--bin", "rsm-ctl"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success());
        let here = std::env::current_exe().expect("this program");
        here.parent().and_then(Path::parent).expect("the folder of the profile").join("rsm-ctl")
    })
}

/// A folder, a cluster's name and a mark for one cell.
struct Stage {
    name: String,
    folder: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("refusals-{}-{}", std::process::id(), LAST.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir(&folder).expect("a new folder");
        Stage { name, folder }
    }

    fn command(&self, words: &[&str], streams: Streams) -> Command {
        let mut command = if streams == Streams::Terminal {
            let mut command = Command::new("setsid");
            command.arg("--ctty").arg(program()).env("TERM", "xterm");
            command
        } else {
            let mut command = Command::new(program());
            // As a shell does with a job, which can be stopped.
            command.process_group(0);
            command
        };
        for word in words {
            command.arg(word.replace("{name}", &self.name).replace("{dir}", &self.folder.display().to_string()));
        }
        for inherited in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(inherited);
        }
        command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "1073741824").env("TMPDIR", &self.folder);
        command.env(MARK, &self.name).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Gives a command the streams; the near side of the terminal, if it is one.
    fn attach(&self, command: &mut Command, streams: Streams) -> Option<File> {
        match streams {
            Streams::Pipes => None,
            Streams::File => {
                command.stdout(File::create(self.folder.join("output")).expect("a new file"));
                None
            }
            Streams::Terminal => {
                let (near, far) = terminal();
                command.stdin(far.try_clone().expect("a descriptor"));
                command.stdout(far.try_clone().expect("a descriptor")).stderr(far);
                Some(near)
            }
        }
    }

    /// Runs a command in which nothing is refused.
    fn quietly(&self, words: &[&str]) -> Result<Ended, String> {
        ended(self.command(words, Streams::Pipes).spawn().expect("rsm-ctl starts"), None, "")
    }

    /// Processes that carry the mark.
    fn processes(&self) -> Vec<String> {
        let wanted = format!("{MARK}={}", self.name);
        let pids = entries("/proc").filter(|entry| entry.parse::<u32>().is_ok());
        let carries = |pid: &String| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        let describe = |pid: String| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
            format!("{pid} {state} {}", command.replace('\0', " "))
        };
        pids.filter(carries).map(describe).filter(|line| !line.contains(" Z ")).collect()
    }

    /// Nothing is left of the cell but files that were asked for.
    fn is_empty(&self) -> Result<(), String> {
        let left = self.processes();
        if !left.is_empty() {
            return Err(format!("processes are left: {left:?}"));
        }
        let unix = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        if unix.contains(&self.name) {
            return Err("a socket is left".to_owned());
        }
        let files: Vec<_> =
            entries(&self.folder.display().to_string()).filter(|f| !ASKED_FOR.contains(&&**f)).collect();
        if files.is_empty() { Ok(()) } else { Err(format!("files are left: {files:?}")) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What a fault left; these carry the mark, so they were started here.
        for line in self.processes() {
            let pid = line.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    signal: Option<i32>,
    output: String,
    errors: String,
}

/// Waits for the end of a command, and of everything that has its outputs: pipes, or a terminal. One that stops goes on.
fn ended(mut child: Child, near: Option<File>, input: &str) -> Result<Ended, String> {
    let all = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // The end of a terminal is an error.
            let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let mut keyboard = near.as_ref().map(|near| near.try_clone().expect("a descriptor"));
    let output = match (near, child.stdout.take()) {
        (Some(near), _) => all(Some(Box::new(near))),
        (None, pipe) => all(pipe.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    };
    let errors = all(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    // Small enough for the pipe; a reader that is gone is no error of ours.
    let _ = child.stdin.take().map(|mut pipe| std::io::Write::write_all(&mut pipe, input.as_bytes()));
    let begun = Instant::now();
    let deadline = begun + DEADLINE;
    let pid = Pid::from_child(&child);
    let mut typed = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG).is_ok_and(|stop| stop.is_some()) {
            kill_process(pid, Signal::CONT).expect("our child");
        }
        if let Some(keyboard) = &mut keyboard
            && begun.elapsed() > typed * Duration::from_millis(20)
        {
            std::io::Write::write_all(keyboard, input.as_bytes()).expect("a terminal has room for it");
            typed += 1;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("no end within {DEADLINE:?}"));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    };
    // As a new one has them.
    let (before, after) = (keyboard.as_ref().map(|_| modes(&terminal().0)), keyboard.as_ref().map(modes));
    drop(keyboard);
    while !(output.is_finished() && errors.is_finished()) {
        if Instant::now() > deadline {
            return Err(format!("its outputs are open after {DEADLINE:?}"));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let (output, errors) = (output.join().expect("no panic"), errors.join().expect("no panic"));
    if before != after || output.matches(OTHER_SCREEN).count() != output.matches(SCREEN_BEFORE).count() {
        return Err(format!("the terminal is not as it was before: {before:?}, now {after:?}; {output:?}"));
    }
    Ok(Ended { code: status.code(), signal: status.signal(), output, errors })
}

/// Names processes of `rsm-ctl` by their order, and threads by their own names.
fn naming(
    processes: &'static [&'static str],
) -> impl FnMut(i32, i32, &'static str, &[u64; 6]) -> Option<String> + Send {
    let mut names: HashMap<i32, &'static str> = HashMap::new();
    let mut begun = false;
    move |root, thread, call, arguments| {
        if !begun {
            // The runtime's look at the standard streams; what came before is the loader's.
            begun = matches!(call, "poll" | "ppoll") && arguments[1] == 3;
            return None;
        }
        let is_write = matches!(call, "write" | "writev");
        if is_write && arguments[0] == 2 {
            return None; // the sentence that is wanted
        }
        let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let process: i32 = field("Tgid:")?.parse().ok()?;
        if std::fs::read_link(format!("/proc/{process}/exe")).ok()? != program() {
            return None;
        }
        let count = names.len();
        let of_order = || if process == root { "front" } else { processes[count.clamp(1, processes.len()) - 1] };
        let name = *names.entry(process).or_insert_with(of_order);
        if is_write && name == "starting node" {
            return None; // the runtime's, which says how the exec went, and does not expect to be refused
        }
        let comm = field("Name:").filter(|comm| thread != process && comm.starts_with("rsm-") && *comm != "rsm-ctl");
        Some(comm.map_or(name.to_owned(), |comm| format!("{name}'s {comm}")))
    }
}

impl Launch {
    /// Whether it leaves a cluster behind.
    pub(crate) fn stays(&self) -> bool {
        self.words.first() == Some(&"up")
    }

    /// Runs it once; with a cell, that call is refused. Says how it ended, and what was refused or counted.
    fn once(&self, cell: Option<&Cell>) -> Result<(Ended, Stage, Control), String> {
        let stage = Stage::new();
        for words in self.before {
            let ended = stage.quietly(words)?;
            if ended.code != Some(0) {
                return Err(format!("before it: {ended:?}"));
            }
        }
        let mut command = stage.command(if self.keeper { UP } else { self.words }, self.streams);
        let listener = Listener::on(&mut command, Box::new(naming(self.processes)));
        let control = listener.control();
        let begin = || match cell {
            Some(cell) => control.refuse(&cell.place, cell.errno, cell.lasting, None),
            None => control.count(),
        };
        if self.keeper {
            // Counted, for who is who to be known.
            control.count();
            let up = ended(command.spawn().expect("rsm-ctl starts"), None, "")?;
            if up.code != Some(0) {
                return Err(format!("before it: {up:?}"));
            }
            command = stage.command(self.words, self.streams);
        }
        let terminal = stage.attach(&mut command, self.streams);
        begin();
        let child = command.spawn().expect("rsm-ctl starts");
        // Its outputs end when nobody has them any more, this one included.
        drop(command);
        let mut ended = ended(child, terminal, self.input)?;
        match self.streams {
            Streams::Pipes => {}
            Streams::File => {
                ended.output = std::fs::read_to_string(stage.folder.join("output")).map_err(|e| e.to_string())?;
            }
            // What comes after the other screen stands in a line of its own.
            Streams::Terminal => ended.errors = ended.output.replace(SCREEN_BEFORE, "\n"),
        }
        Ok((ended, stage, control))
    }

    /// The calls that are made, with what each can meet.
    pub(crate) fn rehearse(&self) -> Result<Vec<(Place, &'static [Errno])>, String> {
        let mut all: Vec<(Place, &'static [Errno])> = Vec::new();
        for _ in 0..2 {
            let (ended, stage, control) = self.once(None)?;
            let counted = control.stop();
            if ended.code != Some(self.usual) {
                return Err(format!("with nothing refused: {ended:?}"));
            }
            self.check(&ended, &stage)?;
            self.finish(&ended, &stage)?;
            for (place, errnos) in counted {
                if !all.iter().any(|(known, _)| *known == place) {
                    all.push((place, errnos));
                }
            }
        }
        Ok(all)
    }

    /// Plays one cell.
    pub(crate) fn play(&self, cell: &Cell) -> Result<Came, String> {
        let (ended, stage, control) = self.once(Some(cell))?;
        let refused = control.let_go();
        let short = format!("{:?} {}", ended.code, ended.errors.trim());
        if let Some(signal) = ended.signal {
            return Err(format!("killed by signal {signal}: {}", ended.errors));
        }
        let done = ended.code == Some(self.usual);
        if done {
            self.check(&ended, &stage).map_err(|fault| format!("{fault}; {short}"))?;
        } else {
            if refused.is_empty() {
                return Err(format!("nothing was refused, and it failed: {short}"));
            }
            let tells = ended.code.is_some() && ended.code == self.tells && !ended.output.is_empty();
            // The terminal has gone, and with it whoever could be told.
            let alone = self.streams == Streams::Terminal && cell.errno == Errno::IO && ended.code == Some(141);
            if !tells && !alone && !matches!(ended.code, Some(1 | 3 | 126 | 127)) {
                return Err(format!("the wrong exit code: {short}"));
            }
            if !tells && !alone && !ended.errors.lines().any(|line| line.starts_with("rsm-ctl: ")) {
                return Err(format!("no sentence says why: {short}"));
            }
        }
        if ended.errors.contains("panicked") {
            return Err(format!("a thread panicked: {short}"));
        }
        self.finish(&ended, &stage).map_err(|fault| format!("{fault}; {short}"))?;
        Ok(match (refused.is_empty(), done) {
            (true, _) => Came::Unmet,
            (false, true) => Came::Done,
            (false, false) => Came::Told,
        })
    }

    /// What it said it did is done.
    fn check(&self, ended: &Ended, stage: &Stage) -> Result<(), String> {
        let mut lines: Vec<&str> = ended.output.lines().collect();
        lines.sort_unstable();
        let mut wanted = self.output.to_vec();
        wanted.sort_unstable();
        if self.streams == Streams::Terminal {
            // Warnings stand there too.
            lines.retain(|line| wanted.contains(line));
        }
        if !wanted.is_empty() && lines != wanted {
            return Err(format!("a success that is none: the output is {:?}", ended.output));
        }
        for (file, end) in self.files {
            let text = std::fs::read_to_string(stage.folder.join(file)).unwrap_or_default();
            if !text.ends_with(end) {
                return Err(format!("a success that is none: {file} is {text:?}"));
            }
        }
        Ok(())
    }

    /// What comes after it, and then nothing is left.
    fn finish(&self, ended: &Ended, stage: &Stage) -> Result<(), String> {
        for words in self.after {
            let down = stage.quietly(words)?;
            let stands = self.words[0] == "exec" || self.words[0] == "up" && ended.code == Some(0);
            if stands && down.code != Some(0) {
                return Err(format!("{words:?} afterwards: {down:?}"));
            }
        }
        // `run` ends after the last process of the last node.
        let deadline = Instant::now() + DEADLINE;
        loop {
            match stage.is_empty() {
                Err(_) if Instant::now() < deadline => std::thread::park_timeout(Duration::from_millis(2)),
                other => return other,
            }
        }
    }
}

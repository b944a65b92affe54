//! A scene: an agent in a process of its own, an exporter and an importer, each of which may have calls refused, and two
//! nodes that have nothing to do with it.

use super::listener::{Listener, Refused};
use rsm::Code;
use rsm::observe::Observer;
use rsm_stories::gate::Holdings;
use rsm_stories::{NodeProcess, code_of, refused_as};
use rustix::io::Errno;
use std::process::Command;
use std::time::Duration;

/// The thread of a node that reads commands.
pub(crate) const MAIN: &str = "main";

/// Segments have this id when they are published.
pub(crate) const ID: &str = "0x400000";

/// How long what a cell held may take to be given back.
const GATE: Duration = Duration::from_secs(30);

/// Who acts in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The agent: process of the cluster, member of none.
    Agent,
    /// Node 1.
    Exporter,
    /// Node 2.
    Importer,
    /// A process that is there for one cell only.
    Newcomer,
}

/// A process whose calls may be refused.
pub(crate) struct Player {
    pub(crate) process: NodeProcess,
    pub(crate) listener: Listener,
    baseline: Holdings,
}

impl Player {
    pub(crate) fn new(environment: Vec<(&'static str, String)>) -> Player {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        // Without an arena for each thread the allocator asks with a call that is not refused: a program that has no
        // memory for small things ends, which is Rust's and not the library's.
        command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "1073741824");
        let listener = Listener::on(&mut command, Box::new(naming));
        Player { process: NodeProcess::launch(command, environment), listener, baseline: Holdings::default() }
    }

    /// Does what calls that were refused would have done although they failed.
    fn make_good(&mut self, refused: &[Refused]) {
        for call in refused {
            let [first, second, ..] = call.arguments;
            match call.call {
                "munmap" => drop(self.process.ok(&format!("unmapped {first} {second}"))),
                // A thread with a table of its own keeps what it could not close, as long as it lives.
                "close" if call.who == MAIN => drop(self.process.ok(&format!("closed {first}"))),
                _ => {}
            }
        }
    }
}

/// Names of threads of a node; its own input and output are the test's.
fn naming(root: i32, thread: i32, call: &'static str, arguments: &[u64; 6]) -> Option<String> {
    if thread == root {
        let of_test = matches!(call, "read" | "write") && arguments[0] <= 2;
        return (!of_test).then(|| MAIN.to_owned());
    }
    let Ok(name) = std::fs::read_to_string(format!("/proc/{root}/task/{thread}/comm")) else {
        // What a child says, it writes.
        return (call != "write").then(|| "a child".to_owned());
    };
    let name = name.trim();
    // It has its parent's name until it has taken one.
    Some(if name.starts_with("rsm-") { name } else { "a new thread" }.to_owned())
}

pub(crate) struct Scene {
    /// Of the cluster.
    pub(crate) name: String,
    environments: Vec<Vec<(&'static str, String)>>,
    agent: Player,
    exporter: Option<Player>,
    importer: Option<Player>,
    newcomer: Option<Player>,
    others: (NodeProcess, NodeProcess),
    rounds: u64,
    observer: Observer,
    rows: (usize, usize, Vec<u32>),
    /// What the act said last.
    pub(crate) said: String,
    /// What the refused call met.
    pub(crate) met: Option<Errno>,
    /// Anonymous memory of the players when all was warm.
    anonymous: Vec<(Role, u64)>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let mut agent = Player::new(Vec::new());
        let said = agent.process.ok("hostwarm c 4");
        let environments: Vec<_> = said.split(' ').map(rsm_stories::environment_of).collect();
        let name = environments[0][0].1.rsplit(':').next().expect("an address").to_owned();
        let start = |node: usize| NodeProcess::with(environments[node].clone());
        let mut others = (start(2), start(3));
        others.0.ok("export b 16384");
        others.0.ok("fill b");
        others.0.ok("publish b 0x400333");
        others.1.ok("connect b 3 0x400333 rw");
        let observer = Observer::attach(Some(&name)).expect("our cluster");
        Scene {
            name,
            environments,
            agent,
            exporter: None,
            importer: None,
            newcomer: None,
            others,
            rounds: 0,
            observer,
            rows: (0, 0, Vec::new()),
            said: String::new(),
            met: None,
            anonymous: Vec::new(),
        }
    }

    /// Whether nothing was refused that stays so for good, as a rule.
    pub(crate) fn may_look(&self) -> bool {
        self.met.is_none_or(|errno| ![Errno::PERM, Errno::ACCESS].contains(&errno))
    }

    /// Starts the process of that role and has it join.
    pub(crate) fn enters(&mut self, role: Role) {
        let mut player = Player::new(self.environment(role));
        player.process.ok("open");
        *self.place(role) = Some(player);
    }

    /// Starts the process of that role.
    pub(crate) fn appears(&mut self, role: Role, environment: Vec<(&'static str, String)>) {
        let mut player = Player::new(environment);
        // The calls of the loader and the runtime are nobody's.
        player.process.ok("pid");
        *self.place(role) = Some(player);
    }

    /// Ends the process of that role in order, if there is one.
    pub(crate) fn goes(&mut self, role: Role) {
        if let Some(player) = self.place(role).take() {
            player.process.end();
            player.listener.end();
        }
    }

    /// Kills the process of that role.
    pub(crate) fn killed(&mut self, role: Role) {
        let player = self.place(role).take().expect("it is there");
        player.process.kill();
        player.listener.end();
    }

    pub(crate) fn environment(&self, role: Role) -> Vec<(&'static str, String)> {
        self.environments[usize::from(role == Role::Importer)].clone()
    }

    fn place(&mut self, role: Role) -> &mut Option<Player> {
        match role {
            Role::Exporter => &mut self.exporter,
            Role::Importer => &mut self.importer,
            Role::Newcomer => &mut self.newcomer,
            Role::Agent => panic!("the agent comes with the scene"),
        }
    }

    pub(crate) fn player(&mut self, role: Role) -> &mut Player {
        match role {
            Role::Agent => &mut self.agent,
            _ => self.place(role).as_mut().expect("it is there"),
        }
    }

    /// Sends a command; gives the answer as it is.
    pub(crate) fn asks(&mut self, role: Role, command: &str) -> String {
        let answer = self.player(role).process.try_ask(command);
        answer.unwrap_or_else(|| panic!("{role:?} ended instead of answering {command:?}"))
    }

    /// Sends a command that is the act, or part of it; gives its number.
    pub(crate) fn tries(&mut self, role: Role, command: &str) -> Option<Code> {
        let said = self.asks(role, command);
        self.hears(said)
    }

    /// Takes an answer for what the act said.
    pub(crate) fn hears(&mut self, said: String) -> Option<Code> {
        self.said = said;
        code_of(&self.said)
    }

    /// Sends a command that must succeed; gives what it said.
    #[track_caller]
    pub(crate) fn ok(&mut self, role: Role, command: &str) -> String {
        let answer = self.asks(role, command);
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{role:?}: {command}: {answer}")).trim().to_owned()
    }

    /// Sends a command that must say this.
    #[track_caller]
    pub(crate) fn says(&mut self, role: Role, command: &str, wanted: &str) {
        let said = self.ok(role, command);
        assert_eq!(said, wanted, "{role:?}: {command}");
    }

    /// Sends a command that must fail with this code.
    #[track_caller]
    pub(crate) fn fails(&mut self, role: Role, command: &str, wanted: Code) {
        let answer = self.asks(role, command);
        assert!(refused_as(&answer, wanted), "{role:?}: {command}: {answer}, expected {}", wanted.name());
    }

    /// Data and signals go through a connection called `i` to an export called `e`, and leave no trace.
    #[track_caller]
    pub(crate) fn is_linked(&mut self) {
        use Role::{Exporter, Importer};
        self.rounds += 1;
        let value = self.rounds.to_string();
        self.ok(Importer, &format!("put i 0 {value}"));
        self.says(Exporter, "read e 0", &value);
        self.ok(Exporter, &format!("write e 8 {value}"));
        self.says(Importer, "get i 8", &value);
        self.ok(Importer, "post i");
        self.ok(Exporter, "waitexport e 30000");
        self.fails(Exporter, "waitexport e 0", Code::Timeout);
        self.ok(Exporter, "postall e");
        self.ok(Importer, "waitimport i 30000");
        self.fails(Importer, "waitimport i 0", Code::Timeout);
        self.says(Exporter, "verify e", "true");
    }

    /// An unpublished export called `e` can be used.
    #[track_caller]
    pub(crate) fn is_usable(&mut self) {
        use Role::{Exporter, Importer};
        self.ok(Exporter, &format!("publish e {ID}"));
        self.ok(Importer, &format!("connect i 1 {ID} rw"));
        self.is_linked();
        self.ok(Exporter, "unpublish e");
        self.is_cut();
        self.ok(Importer, "disconnect i");
    }

    /// The importer's connection is gone, and it does not reach the export's memory.
    #[track_caller]
    pub(crate) fn is_cut(&mut self) {
        use Role::{Exporter, Importer};
        self.ok(Exporter, "write e 16 5");
        self.fails(Importer, "put i 16 99", Code::ConnAborted);
        self.says(Exporter, "read e 16", "5");
    }

    /// The bystanders transfer, signal, and find their memory as it was.
    fn others_go_on(&mut self) {
        self.rounds += 1;
        let (value, (exporter, importer)) = (self.rounds, &mut self.others);
        exporter.ok(&format!("write b 0 {value}"));
        assert_eq!(importer.ok("get b 0"), value.to_string());
        importer.ok(&format!("put b 8 {value}"));
        assert_eq!(exporter.ok("read b 8"), value.to_string());
        importer.ok("post b");
        exporter.ok("waitexport b 30000");
        assert_eq!(exporter.ok("verify b"), "true");
    }

    fn rows_now(&self) -> (usize, usize, Vec<u32>) {
        let processes = self.observer.nodes().iter().map(|node| node.processes).collect();
        (self.observer.segments().len(), self.observer.connections().len(), processes)
    }

    fn players(&mut self) -> Vec<(Role, &mut Player)> {
        let mut players = vec![(Role::Agent, &mut self.agent)];
        players.extend(self.exporter.as_mut().map(|player| (Role::Exporter, player)));
        players.extend(self.importer.as_mut().map(|player| (Role::Importer, player)));
        players
    }

    /// Notes what everybody holds, once nothing of it changes any more.
    pub(crate) fn note(&mut self) {
        let mut rows = self.rows_now();
        let mut same = 0;
        while same < 5 {
            std::thread::park_timeout(Duration::from_millis(1));
            let mut changed = self.rows_now() != rows;
            rows = self.rows_now();
            for (_, player) in self.players() {
                let now = Holdings::of(player.process.pid());
                changed |= now != player.baseline;
                player.baseline = now;
            }
            same = if changed { 0 } else { same + 1 };
        }
        self.rows = rows;
        self.anonymous =
            self.players().into_iter().map(|(role, player)| (role, anonymous(player.process.pid()))).collect();
    }

    /// Does what refused calls would have done, for what follows to see what else is left.
    pub(crate) fn make_good(&mut self, role: Role, refused: &[Refused]) {
        if role != Role::Newcomer {
            self.player(role).make_good(refused);
        }
    }

    /// Everybody holds again what was noted, and the bystanders go on.
    pub(crate) fn is_as_noted(&mut self) -> Result<(), String> {
        self.is_as_noted_within(GATE)
    }

    /// As [`is_as_noted`](Self::is_as_noted), with this patience.
    pub(crate) fn is_as_noted_within(&mut self, patience: std::time::Duration) -> Result<(), String> {
        self.others_go_on();
        for (role, player) in self.players() {
            let pid = player.process.pid();
            player.baseline.is_again_within(patience, &format!("{role:?}"), || Holdings::of(pid))?;
        }
        let deadline = std::time::Instant::now() + patience;
        while self.rows_now() != self.rows {
            if std::time::Instant::now() > deadline {
                return Err(format!("segments, connections, processes: {:?}, now {:?}", self.rows, self.rows_now()));
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Nobody has more anonymous memory than when it was noted, but for stacks that are kept for later threads.
    pub(crate) fn has_not_grown(&mut self) -> Result<(), String> {
        let before = self.anonymous.clone();
        for (role, player) in self.players() {
            let now = anonymous(player.process.pid());
            let then = before.iter().find(|(r, _)| *r == role).map_or(now, |(_, bytes)| *bytes);
            if now > then + (4 << 20) {
                return Err(format!("{role:?} has {now} bytes of anonymous memory, {then} before"));
            }
        }
        Ok(())
    }
}

/// Bytes of anonymous mappings of a process, but for its heap and first stack.
fn anonymous(pid: i32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let lengths = maps.lines().filter(|line| line.split_whitespace().nth(5).is_none()).filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(to, 16).ok()? - u64::from_str_radix(from, 16).ok()?)
    });
    lengths.sum()
}

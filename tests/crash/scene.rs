//! A scene: an agent in a process of its own, or one for each of two hosts, an exporter and an importer, one of whom may die at
//! any step, and nodes that have nothing to do with it.

use super::host::{self, Host, Plan, TWO};
use rsm::Code;
use rsm_core::crash::Point;
use rsm_stories::gate::{self, Holdings};
use rsm_stories::{NodeProcess, code_of, patience};
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Who acts in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The agent: process of the cluster, member of none.
    Agent,
    /// The importer's agent, where the exporter's is another.
    FarAgent,
    /// Node 1.
    Exporter,
    /// Node 2.
    Importer,
}

impl Role {
    pub(crate) const ALL: [Role; 4] = [Role::Agent, Role::FarAgent, Role::Exporter, Role::Importer];

    /// The node of who exports or imports.
    pub(crate) fn node(self) -> u32 {
        match self {
            Role::Exporter => 1,
            Role::Importer => 2,
            Role::Agent | Role::FarAgent => panic!("an agent is of no node"),
        }
    }
}

/// Segments have this id when they are published.
pub(crate) const ID: &str = "0x400000";

/// The slowest answer that a survivor got.
pub(crate) static SLOWEST: Mutex<(Duration, String)> = Mutex::new((Duration::ZERO, String::new()));

/// Who is to die, at which point, the how manyth time it reaches it.
pub(crate) type Victim = (Role, Point, u32);

/// Somebody who acts.
pub(crate) struct Player {
    pub(crate) process: NodeProcess,
    pub(crate) dead: bool,
    /// One of its calls failed, as it may when somebody died; what would follow is left out.
    gave_up: bool,
    /// What it held after joining.
    pub(crate) baseline: Option<Holdings>,
}

impl Player {
    pub(crate) fn new(environment: Vec<(&'static str, String)>) -> Player {
        Player { process: NodeProcess::with(environment), dead: false, gave_up: false, baseline: None }
    }
}

pub(crate) struct Scene {
    /// The exporter's first.
    pub(crate) hosts: Vec<Host>,
    pub(crate) bridge: String,
    pub(crate) exporter: Option<Player>,
    pub(crate) importer: Option<Player>,
    /// Who is to die, and where.
    pub(crate) victim: Option<Victim>,
}

/// The environment of every process that this program starts.
pub(crate) fn environment(crash: Option<(Point, u32)>) -> Vec<(&'static str, String)> {
    let mut environment = vec![("TMPDIR", gate::temporary().display().to_string())];
    environment.extend(crash.map(|(point, hit)| ("RSM_CRASH", format!("{}:{hit}:kill", point.name()))));
    environment
}

impl Scene {
    pub(crate) fn new(plans: &'static [Plan], victim: Option<Victim>) -> Scene {
        let bridge = host::bridge();
        let mut hosts: Vec<Host> = plans.iter().map(|plan| Host::start(plan, &bridge, None)).collect();
        if hosts.len() > 1 {
            host::meet(&mut hosts);
        }
        hosts.iter_mut().for_each(Host::others_enter);
        let mut scene = Scene { hosts, bridge, exporter: None, importer: None, victim };
        scene.all_is_told();
        scene.hosts.iter_mut().for_each(Host::rests);
        scene
    }

    /// Each host knows what the other has, and that the other knows.
    fn all_is_told(&mut self) {
        if let [one, other] = &mut self.hosts[..] {
            one.asks();
            other.asks();
            one.asks();
        }
    }

    /// Where somebody is.
    pub(crate) fn host(&self, role: Role) -> usize {
        match role {
            Role::Agent => 0,
            Role::FarAgent => 1,
            Role::Exporter | Role::Importer => {
                self.hosts.iter().position(|host| host.has(role.node())).expect("a host has it")
            }
        }
    }

    /// Brings the exporter or the importer on, joined.
    pub(crate) fn enters(&mut self, role: Role) {
        let mut player = Player::new([environment(None), self.environment(role)].concat());
        // What it inherited from whoever runs the tests is not to be missed when it closes everything.
        player.process.ok("closefrom 3");
        player.process.ok("open");
        // What it keeps at hand is there when it waits for the first time.
        player.process.until("threadasleep rsm-events", "ok true");
        player.baseline = Some(Holdings::of(player.process.pid()));
        *self.place(role) = Some(player);
    }

    /// Brings one on that has not joined; if it is the victim, it may die from its first step on.
    pub(crate) fn appears(&mut self, role: Role) {
        let crash = self.crash_of(role);
        let player = Player::new([environment(crash), self.environment(role)].concat());
        *self.place(role) = Some(player);
    }

    fn environment(&self, role: Role) -> Vec<(&'static str, String)> {
        self.hosts[self.host(role)].environment(role.node()).expect("its own")
    }

    pub(crate) fn place(&mut self, role: Role) -> &mut Option<Player> {
        match role {
            Role::Agent | Role::FarAgent => panic!("agents are there from the beginning"),
            Role::Exporter => &mut self.exporter,
            Role::Importer => &mut self.importer,
        }
    }

    /// An agent that was killed has a successor; if it is the victim, it may die from its first step on.
    pub(crate) fn succeeds(&mut self, role: Role) {
        let (at, crash) = (self.host(role), self.crash_of(role));
        self.replaces(at, crash);
        host::meet(&mut self.hosts);
    }

    /// A host has another agent, whom the one of the other host is yet to meet.
    pub(crate) fn replaces(&mut self, at: usize, crash: Option<(Point, u32)>) {
        self.hosts.iter_mut().for_each(|host| host.met_again = true);
        self.hosts[at] = Host::start(&TWO[at], &self.bridge, crash);
    }

    fn crash_of(&self, role: Role) -> Option<(Point, u32)> {
        self.victim.filter(|(who, ..)| *who == role).map(|(_, point, hit)| (point, hit))
    }

    pub(crate) fn player(&mut self, role: Role) -> Option<&mut Player> {
        match role {
            Role::Agent | Role::FarAgent => {
                self.hosts.get_mut(if role == Role::Agent { 0 } else { 1 }).map(|host| &mut host.agent)
            }
            Role::Exporter => self.exporter.as_mut(),
            Role::Importer => self.importer.as_mut(),
        }
    }

    /// The set-up is over: from here on steps count, and the victim dies.
    pub(crate) fn arm(&mut self) {
        self.all_is_told();
        for host in self.hosts.iter_mut().filter(|host| host.lives()) {
            // The agent does a little more after its last answer.
            host.agent.process.until("threadasleep rsm-agent", "ok true");
        }
        for role in Role::ALL {
            if let Some(player) = self.player(role).filter(|player| !player.dead) {
                player.process.ok("forget");
            }
        }
        if let Some((role, point, hit)) = self.victim
            && let Some(player) = self.player(role).filter(|player| !player.dead)
        {
            player.process.ok(&format!("arm {} {hit} kill", point.name()));
        }
    }

    /// Errors that a survivor may see because somebody died.
    fn allowed(&self, doer: Role) -> &'static [Code] {
        let own = [Role::Agent, Role::FarAgent][self.host(doer)];
        match (self.victim.map(|(role, ..)| role), doer) {
            (Some(agent), _) if agent == own => &[Code::CtlrNotPresent, Code::ConnAborted],
            (Some(Role::Agent), Role::Importer) => {
                &[Code::ConnAborted, Code::SegNotPublished, Code::RemoteNodeUnreachable]
            }
            (Some(Role::Exporter), Role::Importer) => {
                &[Code::ConnAborted, Code::SegNotPublished, Code::RemoteNodeUnreachable]
            }
            _ => &[],
        }
    }

    /// Lets somebody do something, unless it is dead or gave up; says what it answered.
    fn tells(&mut self, role: Role, command: &str) -> Option<String> {
        let victim = self.victim.map(|(role, ..)| role);
        let over = self.hosts.iter().any(|host| host.over);
        let began = Instant::now();
        let player = self.player(role)?;
        if player.dead {
            return None;
        }
        let answer = player.process.try_ask(command);
        if answer.is_none() {
            player.dead = true;
            assert!(victim == Some(role) || over, "{role:?} died of {command:?}, and was not to");
        } else if victim.is_some() && answer.as_deref().and_then(code_of) != Some(Code::Timeout) {
            let mut slowest = SLOWEST.lock().unwrap();
            if began.elapsed() > slowest.0 {
                *slowest = (began.elapsed(), format!("{role:?} {command}, victim {:?}", self.victim));
            }
        }
        answer
    }

    /// Lets somebody do something that succeeds, or fails as it may when the victim is dead.
    pub(crate) fn does(&mut self, role: Role, command: &str) -> Option<String> {
        if self.player(role).is_some_and(|player| player.gave_up) {
            return None;
        }
        let answer = self.tells(role, command);
        self.accepts(role, command, answer)
    }

    /// Takes an answer for what it is: a success, or a failure as it may be when the victim is dead.
    fn accepts(&mut self, role: Role, command: &str, answer: Option<String>) -> Option<String> {
        let answer = answer?;
        if let Some(said) = answer.strip_prefix("ok") {
            return Some(said.trim().to_owned());
        }
        let allowed = self.allowed(role);
        assert!(
            code_of(&answer).is_some_and(|code| allowed.contains(&code)),
            "{role:?} {command}: {answer}, allowed are {allowed:?}"
        );
        self.player(role)?.gave_up = true;
        None
    }

    /// As [`does`](Self::does), with something that is refused while an importer takes longer to let go than the agent waits, as
    /// one may on a busy machine, and can be tried again.
    pub(crate) fn does_at_last(&mut self, role: Role, command: &str) {
        let gave_up = |scene: &mut Self| scene.player(role).is_some_and(|player| player.gave_up);
        let end = Instant::now() + patience();
        while !gave_up(self) {
            match self.tells(role, command) {
                Some(answer) if code_of(&answer) == Some(Code::InsufficientResources) && Instant::now() < end => {}
                answer => {
                    self.accepts(role, command, answer);
                    return;
                }
            }
        }
    }

    /// Lets somebody do something that is refused with this error, or as it may when the victim is dead.
    pub(crate) fn refused(&mut self, role: Role, command: &str, wanted: Code) {
        if self.player(role).is_some_and(|player| player.gave_up) {
            return;
        }
        let Some(answer) = self.tells(role, command) else { return };
        let found = code_of(&answer);
        let fine = found.is_some_and(|code| code == wanted || self.allowed(role).contains(&code));
        assert!(fine, "{role:?} {command}: {answer}");
    }

    /// Waits for what somebody began with `go`; it succeeds, or ends with the error that is wanted, or as it may.
    pub(crate) fn joins(&mut self, role: Role, name: &str, wanted: Option<Code>) {
        if self.player(role).is_some_and(|player| player.gave_up) {
            return;
        }
        let Some(answer) = self.tells(role, &format!("join {name}")) else { return };
        let said = answer.strip_prefix("ok ").expect("it was going");
        let code = code_of(said);
        let late = self.may_never_come(name) && code == Some(Code::Timeout);
        let fine = code == wanted || code.is_some_and(|code| self.allowed(role).contains(&code)) || late;
        assert!(fine, "{role:?} {name}: {said}, wanted {wanted:?}");
    }

    /// What was to come may not, when who was to bring it is dead, unless it had done so.
    fn may_never_come(&self, name: &str) -> bool {
        match self.victim {
            Some((Role::Exporter, ..)) => name == "c",
            Some((Role::Importer, point, _)) => point != Point::PostCounted && point != Point::PostDone,
            // What comes from the other host comes no more when that has no agent.
            Some((Role::Agent, ..)) => self.hosts.len() > 1 && name == "c",
            Some((Role::FarAgent, ..)) => name == "w",
            _ => false,
        }
    }

    /// How many milliseconds somebody waits under this name: not long for what may never come, and longer than anything
    /// takes on the busiest machine for what has to.
    pub(crate) fn wait(&self, name: &str) -> &'static str {
        if self.may_never_come(name) { "1500" } else { "60000" }
    }

    /// Waits until a thread of somebody sleeps; or ends, if somebody may have died.
    pub(crate) fn sleeps(&mut self, role: Role, name: &str) {
        let deadline = Instant::now() + patience();
        while let Some(answer) = self.tells(role, &format!("asleep {name}")) {
            if answer == "ok true" || self.tells(role, &format!("running {name}")).as_deref() == Some("ok false") {
                return;
            }
            assert!(Instant::now() < deadline, "{role:?}: {name} does not fall asleep");
            std::thread::yield_now();
        }
    }

    /// Waits until the thread that serves somebody's poll descriptors sleeps.
    pub(crate) fn pump_sleeps(&mut self, role: Role) {
        if let Some(player) = self.player(role) {
            player.process.until("threadasleep rsm-pump", "ok true");
        }
    }

    /// Somebody from outside disturbs the cluster, unless its agent is dead.
    pub(crate) fn steers(&mut self, how: impl FnOnce(&rsm::steer::Steering) -> rsm::Result<u32>) {
        let answer = rsm::steer::Steering::attach(Some(&self.hosts[0].name)).and_then(|steering| how(&steering));
        let dies = matches!(self.victim, Some((Role::Agent, ..)));
        assert!(
            answer.is_ok() || dies && answer.as_ref().is_err_and(|e| e.code() == Code::CtlrNotPresent),
            "{answer:?}"
        );
    }

    /// Kills somebody who is not the victim: that is what the story is about.
    pub(crate) fn kills(&mut self, role: Role) {
        if let Some(player) = self.player(role)
            && !player.dead
        {
            player.process.signal(rustix::process::Signal::KILL);
            player.dead = true;
        }
    }

    /// Its processes are gone with an agent that was killed, and the other one knows.
    pub(crate) fn loses(&mut self, role: Role) {
        let at = self.host(role);
        self.hosts[at].others_end();
        for host in self.hosts.iter().filter(|host| host.lives()) {
            host.is_alone();
        }
    }

    /// The cluster of a host ends, whichever way: that is what the story is about.
    pub(crate) fn ends(&mut self, role: Role) {
        let at = self.host(role);
        self.hosts[at].over = true;
    }

    /// Waits until the victim died at its point; says who it was, or nothing when the point was not reached.
    pub(crate) fn died(&mut self) -> Option<&'static str> {
        let (role, ..) = self.victim.expect("an armed scene");
        let player = self.player(role).expect("the victim is there");
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            if let Some(status) = player.process.ended() {
                player.dead = true;
                return (status.signal() == Some(9)).then_some("");
            }
            // A forked child of it may be who died.
            if !player.dead && player.process.try_ask("fired").as_deref() == Some("ok 1") && role == Role::Importer {
                // The parent is armed as well.
                if player.process.try_ask("disarm").is_some() {
                    return Some("child");
                }
            }
            // Not in what follows either, unless it dies just now.
            if Instant::now() >= deadline && player.process.try_ask("disarm").is_some() {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// The points that somebody reached since the set-up was over, and how often, once that changes no more.
    pub(crate) fn reached(&mut self, role: Role) -> Vec<(Point, u32)> {
        let mut before = None;
        loop {
            let Some(player) = self.player(role).filter(|player| !player.dead) else { return Vec::new() };
            let said = player.process.ok("hits");
            if before.as_ref() == Some(&said) {
                let words = said.split_whitespace().filter_map(|word| word.split_once(':'));
                let read = |(name, hits): (&str, &str)| Some((Point::named(name)?, hits.parse().ok()?));
                return words.map(|word| read(word).expect("a point and a number")).collect();
            }
            before = Some(said);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Whether a connection may live on that the story cuts: when who cuts it is to die, it may not come to it.
    pub(crate) fn may_be_uncut(&self) -> bool {
        matches!(self.victim, Some((Role::Agent | Role::Exporter, ..)))
    }
}

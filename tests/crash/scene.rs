//! A scene: an agent in a process of its own, an exporter and an importer, one of whom may die at any step, and two
//! nodes that have nothing to do with it.

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
    /// Node 1.
    Exporter,
    /// Node 2.
    Importer,
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
    baseline: Option<Holdings>,
}

impl Player {
    fn new(environment: Vec<(&'static str, String)>) -> Player {
        Player { process: NodeProcess::with(environment), dead: false, gave_up: false, baseline: None }
    }
}

pub(crate) struct Scene {
    /// Of the cluster.
    pub(crate) name: String,
    environments: Vec<Vec<(&'static str, String)>>,
    agent: Player,
    agent_baseline: Holdings,
    exporter: Option<Player>,
    importer: Option<Player>,
    /// Nodes 3 and 4, which go about their business.
    others: (NodeProcess, NodeProcess),
    rounds: u64,
    /// Who is to die, and where.
    victim: Option<Victim>,
    /// The cluster ends in the course of it.
    pub(crate) over: bool,
}

/// The environment of every process that this program starts.
pub(crate) fn environment(crash: Option<(Point, u32)>) -> Vec<(&'static str, String)> {
    let mut environment = vec![("TMPDIR", gate::temporary().display().to_string())];
    environment.extend(crash.map(|(point, hit)| ("RSM_CRASH", format!("{}:{hit}:kill", point.name()))));
    environment
}

impl Scene {
    pub(crate) fn new(victim: Option<Victim>) -> Scene {
        let mut agent = Player::new(environment(None));
        let said = agent.process.ok("hostwarm c 4");
        let words: Vec<&str> = said.split(' ').collect();
        let environments: Vec<_> = words.iter().map(|w| rsm_stories::environment_of(w)).collect();
        let name = environments[0][0].1.rsplit(':').next().expect("an address").to_owned();
        let start = |node: usize| NodeProcess::with([environment(None), environments[node].clone()].concat());
        let mut others = (start(2), start(3));
        others.0.ok("export b 16384");
        others.0.ok("fill b");
        others.0.ok("publish b 0x400333");
        others.1.ok("connect b 3 0x400333 rw");
        // With the bells of what no node owns.
        others.0.ok("common z 0x400777 4096 rw");
        others.0.ok("disconnect z");
        let mut scene = Scene {
            name,
            environments,
            agent_baseline: Holdings::default(),
            agent,
            exporter: None,
            importer: None,
            others,
            rounds: 0,
            victim,
            over: false,
        };
        scene.others_go_on();
        // The memberships that made the bells may take a moment to end.
        let mut settled = || {
            let nodes = scene.observer().nodes();
            nodes.iter().filter(|n| n.joined).count() == 2
        };
        rsm_stories::wait_for("the first memberships to end", &mut settled);
        scene.agent_baseline = scene.agent_settled();
        scene
    }

    /// What the agent's process holds once nothing of it changes any more.
    fn agent_settled(&self) -> Holdings {
        let deadline = Instant::now() + patience();
        let mut held = Holdings::of(self.agent.process.pid());
        let mut same = 0;
        while same < 5 && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(1));
            let now = Holdings::of(self.agent.process.pid());
            // The memberships that were there for a moment take their threads with them.
            same = if now == held && !now.is_member() { same + 1 } else { 0 };
            held = now;
        }
        held
    }

    fn observer(&self) -> rsm::observe::Observer {
        rsm::observe::Observer::attach(Some(&self.name)).expect("the cluster runs")
    }

    /// Brings the exporter or the importer on, joined.
    pub(crate) fn enters(&mut self, role: Role) {
        let mut player = Player::new([environment(None), self.environments[role as usize - 1].clone()].concat());
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
        let crash = self.victim.filter(|(who, ..)| *who == role).map(|(_, point, hit)| (point, hit));
        let player = Player::new([environment(crash), self.environments[role as usize - 1].clone()].concat());
        *self.place(role) = Some(player);
    }

    fn place(&mut self, role: Role) -> &mut Option<Player> {
        match role {
            Role::Agent => panic!("the agent is there from the beginning"),
            Role::Exporter => &mut self.exporter,
            Role::Importer => &mut self.importer,
        }
    }

    pub(crate) fn player(&mut self, role: Role) -> Option<&mut Player> {
        match role {
            Role::Agent => Some(&mut self.agent),
            Role::Exporter => self.exporter.as_mut(),
            Role::Importer => self.importer.as_mut(),
        }
    }

    /// The set-up is over: from here on steps count, and the victim dies.
    pub(crate) fn arm(&mut self) {
        // The agent does a little more after its last answer.
        self.agent.process.until("threadasleep rsm-agent", "ok true");
        for role in [Role::Agent, Role::Exporter, Role::Importer] {
            if let Some(player) = self.player(role) {
                player.process.ok("forget");
            }
        }
        if let Some((role, point, hit)) = self.victim
            && let Some(player) = self.player(role)
        {
            player.process.ok(&format!("arm {} {hit} kill", point.name()));
        }
    }

    /// Errors that a survivor may see because somebody died.
    fn allowed(&self, doer: Role) -> &'static [Code] {
        match (self.victim.map(|(role, ..)| role), doer) {
            (Some(Role::Agent), _) => &[Code::CtlrNotPresent, Code::ConnAborted],
            (Some(Role::Exporter), Role::Importer) => {
                &[Code::ConnAborted, Code::SegNotPublished, Code::RemoteNodeUnreachable]
            }
            _ => &[],
        }
    }

    /// Lets somebody do something, unless it is dead or gave up; says what it answered.
    fn tells(&mut self, role: Role, command: &str) -> Option<String> {
        let victim = self.victim.map(|(role, ..)| role);
        let over = self.over;
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
        let answer = self.tells(role, command)?;
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
        let answer = rsm::steer::Steering::attach(Some(&self.name)).and_then(|steering| how(&steering));
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
            if Instant::now() >= deadline {
                // Not in what follows either.
                player.process.ok("disarm");
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
        exporter.ok("postall b");
        importer.ok("waitimport b 30000");
        assert_eq!(exporter.ok("verify b"), "true");
    }

    /// Looks at everybody who is left, and then that nothing is.
    pub(crate) fn aftermath(mut self) -> Result<(), String> {
        if self.agent.dead || self.over { self.after_the_agent() } else { self.after_a_node() }
    }

    fn after_a_node(&mut self) -> Result<(), String> {
        let observer = self.observer();
        let gone = |node: usize| !observer.nodes()[node - 1].joined;
        let dead = |player: &Option<Player>| player.as_ref().is_none_or(|player| player.dead);
        let (no_exporter, no_importer) = (dead(&self.exporter), dead(&self.importer));
        rsm_stories::wait_for("the agent to notice the dead", || {
            (!no_exporter || gone(1)) && (!no_importer || gone(2))
        });
        for role in [Role::Exporter, Role::Importer] {
            let Some(player) = self.player(role).filter(|player| !player.dead) else { continue };
            let check = player.process.ok("check");
            for (name, what) in check.split_whitespace().filter_map(|word| word.split_once('=')) {
                // Imports of a dead exporter are aborted at once, and all memory is what it was; what is the cluster's stays.
                let put = what == "put" && (name == "common" || !(role == Role::Importer && no_exporter));
                let fine = what == "true" || what == Code::ConnAborted.name() || put;
                assert!(fine, "{role:?}: {name} is {what}");
            }
            let errors = player.process.ok("dropall");
            assert_eq!(errors, "", "{role:?} gave everything back");
            let pid = player.process.pid();
            if let Some(baseline) = &player.baseline {
                baseline.is_again(&format!("{role:?}"), || Holdings::of(pid))?;
            }
        }
        self.ids_are_free();
        self.others_go_on();
        for player in [self.exporter.take(), self.importer.take()].into_iter().flatten() {
            if !player.dead {
                player.process.end();
            }
        }
        rsm_stories::wait_for("both nodes to be gone", || gone(1) && gone(2));
        let segments = observer.segments();
        let common = segments.iter().filter(|segment| segment.node == rsm::CLUSTER_NODE).count();
        assert_eq!(
            (segments.len() - common, observer.connections().len()),
            (1, 1),
            "only the bystanders' rows are left"
        );
        drop(observer);
        let pid = self.agent.process.pid();
        let mut baseline = self.agent_baseline.clone();
        // What the cluster owns stays, beside what it had from the bystanders.
        (1..common).for_each(|_| baseline.note("descriptor of rsm-agent: /memfd:rsm-segment (deleted)".to_owned()));
        baseline.is_again("the agent", || Holdings::of(pid))?;
        self.agent.process.ok("endcluster c");
        Holdings::default().is_again("the cluster", || Holdings::of_cluster(&self.name))
    }

    /// What was the dead one's is there to be used again, by a new process of its node.
    fn ids_are_free(&mut self) {
        for role in [Role::Exporter, Role::Importer] {
            if self.player(role).is_none_or(|player| player.dead) {
                self.victim = None;
                self.enters(role);
            }
        }
        let (Some(exporter), Some(importer)) = (&mut self.exporter, &mut self.importer) else { return };
        let (exporter, importer) = (&mut exporter.process, &mut importer.process);
        exporter.ok("export n 8192");
        exporter.ok(&format!("publish n {ID}"));
        importer.ok(&format!("connect n 1 {ID} rw"));
        importer.ok("put n 0 7");
        assert_eq!(exporter.ok("read n 0"), "7");
        importer.ok("post n");
        exporter.ok("waitexport n 30000");
        exporter.fails("waitexport n 0", Code::Timeout);
        exporter.ok("postall n");
        importer.ok("waitimport n 30000");
        importer.fails("waitimport n 0", Code::Timeout);
        exporter.ok("unpublish n");
        importer.fails("put n 0 8", Code::ConnAborted);
        importer.ok("disconnect n");
        exporter.ok("destroy n");
    }

    fn after_the_agent(&mut self) -> Result<(), String> {
        for role in [Role::Exporter, Role::Importer] {
            let Some(player) = self.player(role).filter(|player| !player.dead) else { continue };
            player.process.until_fails("export x 4096", Code::CtlrNotPresent);
            let check = player.process.ok("check");
            for (name, what) in check.split_whitespace().filter_map(|word| word.split_once('=')) {
                // Nobody is left to say that a rebind is over: what was suspended for it is vouched for no more.
                let suspended = role == Role::Importer && what == Code::BarrierFailure.name();
                let fine = ["true", Code::ConnAborted.name(), "put"].contains(&what);
                assert!(fine || suspended, "{role:?}: {name} is {what}");
            }
        }
        // Mapped memory and signals go on.
        self.others_go_on();
        self.others.0.until_fails("export x 4096", Code::CtlrNotPresent);
        self.others.1.until_fails("connect x 3 0x400333 rw", Code::CtlrNotPresent);
        for player in [self.exporter.take(), self.importer.take()].into_iter().flatten() {
            let mut player = player;
            if player.dead {
                continue;
            }
            let errors = player.process.ok("dropall");
            assert!(
                errors.split_whitespace().all(|code| code == Code::CtlrNotPresent.name()),
                "giving back after the end: {errors}"
            );
            let pid = player.process.pid();
            let left = || Holdings::of(pid).of_segments();
            Holdings::default().is_again("a member after the end", left)?;
            player.process.end();
        }
        Holdings::default().is_again("the cluster", || Holdings::of_cluster(&self.name))
    }
}

//! What is looked at in the end: everybody who is left goes on, and then nothing is left.

use super::host::{self, Host, TWO};
use super::scene::{ID, Role, Scene};
use rsm::Code;
use rsm_stories::gate::Holdings;

/// Those that act.
const ACTORS: [Role; 2] = [Role::Exporter, Role::Importer];

impl Scene {
    /// Looks at everybody who is left, and then that nothing is.
    pub(crate) fn aftermath(mut self) -> Result<(), String> {
        self.dead_are_noticed();
        for role in ACTORS {
            self.looks_at(role)?;
        }
        for host in &mut self.hosts {
            host.others_go_on();
            if !host.lives() {
                host.others_are_told();
            }
        }
        if self.hosts.len() > 1 {
            self.hosts_go_on()?;
        }
        if self.hosts.iter().all(Host::lives) {
            self.ids_are_free();
            self.hosts.iter_mut().for_each(Host::others_go_on);
        }
        for player in [self.exporter.take(), self.importer.take()].into_iter().flatten() {
            if !player.dead {
                player.process.end();
            }
        }
        let hosts = self.hosts.len();
        for host in self.hosts.iter_mut().filter(|host| host.lives()) {
            let common = host.only_others_are_left(hosts);
            let pid = host.agent.process.pid();
            if let Some(mut baseline) = host.baseline.take() {
                // What the cluster owns stays, beside what it had from the bystanders.
                let kept = "descriptor of rsm-agent: /memfd:rsm-segment (deleted)";
                (1..common).for_each(|_| baseline.note(kept.to_owned()));
                // The exporter has bells on the importer's host since its first segment was published there.
                if !host.has(Role::Exporter.node()) {
                    let bells =
                        ["rsm-agent", "rsm-relay"].map(|of| format!("descriptor of {of}: /memfd:rsm-bells (deleted)"));
                    bells.into_iter().for_each(|bells| baseline.note(bells));
                }
                // Whoever was met first may have been who listened at the bridge.
                let mut listens = baseline.clone();
                let sockets = ["rsm-agent", "rsm-relay"].map(|of| format!("descriptor of {of}: socket"));
                sockets.into_iter().for_each(|socket| listens.note(socket));
                let look = || Some(Holdings::of(pid)).filter(|now| !host.met_again || *now != listens);
                baseline.is_again("the agent", || look().unwrap_or_else(|| baseline.clone()))?;
            }
        }
        for mut host in std::mem::take(&mut self.hosts) {
            if host.lives() {
                host.agent.process.ok("endcluster c");
            }
            Holdings::default().is_again("the cluster", || Holdings::of_cluster(&host.name))?;
        }
        Holdings::default().is_again("the bridge", || Holdings::of_cluster(&self.bridge))
    }

    /// The process is dead, or was never there.
    fn is_dead(&mut self, role: Role) -> bool {
        self.player(role).is_none_or(|player| player.dead)
    }

    /// Its agent lives, and it does not, or the agent of its host has left it alone.
    fn dead_are_noticed(&mut self) {
        for role in ACTORS {
            let (at, dead) = (self.host(role), self.is_dead(role));
            for host in 0..self.hosts.len() {
                let gone = dead || host != at && !self.hosts[at].lives();
                if gone && self.hosts[host].lives() {
                    let observer = self.hosts[host].observer();
                    let left = || !observer.nodes()[role.node() as usize - 1].joined;
                    rsm_stories::wait_for("the agent to notice the dead", left);
                }
            }
        }
    }

    /// Somebody who is left finds all memory as it was, gives everything back, and holds nothing then.
    fn looks_at(&mut self, role: Role) -> Result<(), String> {
        let at = self.host(role);
        let (lives, exports) = (self.hosts[at].lives(), self.host(Role::Exporter));
        let no_exporter = self.is_dead(Role::Exporter) || exports != at && !self.hosts[exports].lives();
        let Some(player) = self.player(role).filter(|player| !player.dead) else { return Ok(()) };
        if !lives {
            player.process.until_fails("export x 4096", Code::CtlrNotPresent);
        }
        let check = player.process.ok("check");
        for (name, what) in check.split_whitespace().filter_map(|word| word.split_once('=')) {
            // Imports of a dead exporter are aborted at once, if somebody is left who does; what is the cluster's stays.
            let put = what == "put" && (!lives || name == "common" || !(role == Role::Importer && no_exporter));
            // Nobody is left to say that a rebind is over: what was suspended for it is vouched for no more.
            let suspended = !lives && role == Role::Importer && what == Code::BarrierFailure.name();
            let fine = what == "true" || what == Code::ConnAborted.name();
            assert!(fine || put || suspended, "{role:?}: {name} is {what}");
        }
        let errors = player.process.ok("dropall");
        let told = |code| lives || code != Code::CtlrNotPresent.name();
        assert!(!errors.split_whitespace().any(told), "{role:?} gives everything back: {errors}");
        let pid = player.process.pid();
        match &player.baseline {
            Some(baseline) if lives => baseline.is_again(&format!("{role:?}"), || Holdings::of(pid)),
            _ if lives => Ok(()),
            _ => Holdings::default().is_again("a member after the end", || Holdings::of(pid).of_segments()),
        }
    }

    /// A host whose cluster is gone has another one, which meets the one that went on.
    fn hosts_go_on(&mut self) -> Result<(), String> {
        for (at, plan) in TWO.iter().enumerate() {
            if self.hosts[at].lives() {
                continue;
            }
            for role in ACTORS.into_iter().filter(|&role| plan.has(role.node())) {
                // What was its process is one of a cluster that has ended.
                if let Some(player) = self.place(role).take().filter(|player| !player.dead) {
                    player.process.end();
                }
            }
            Holdings::default().is_again("the cluster", || Holdings::of_cluster(&self.hosts[at].name))?;
            self.replaces(at, None);
        }
        host::meet(&mut self.hosts);
        for host in &self.hosts {
            // A link that is down stays so where its agent goes on, whatever becomes of the one that was told.
            let steering = rsm::steer::Steering::attach(Some(&host.name)).map_err(|error| error.to_string())?;
            steering.link_up(&rsm::steer::Links::between(1, 2)).map_err(|error| error.to_string())?;
        }
        self.hosts.iter_mut().for_each(Host::others_enter);
        Ok(())
    }

    /// What was the dead one's is there to be used again, by a new process of its node.
    fn ids_are_free(&mut self) {
        for role in ACTORS {
            if self.is_dead(role) {
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
}

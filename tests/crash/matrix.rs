//! Which cases there are, running one, and the table of them.

use super::across;
use super::scene::{SLOWEST, Scene, Victim, environment};
use super::stories::{self, Story};
use libtest_mimic::Trial;
use rsm_core::crash::{POINTS, Point};
use rsm_stories::NodeProcess;
use rsm_stories::gate::Holdings;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Processes that die before there is a scene: the command, the point, the role, and what the name of what they might
/// leave begins with.
const ALONE: &[(&str, Point, &str, &str)] = &[
    ("hostwarm c 2", Point::AgentBound, "agent", "cluster"),
    ("hostwarm c 2", Point::AgentServing, "agent", "cluster"),
    ("open", Point::PrivateStarted, "exporter", "private"),
];

/// Up to how many times a step is taken before somebody dies at it.
const HITS: u32 = 3;

/// All stories, those of two hosts last.
fn stories() -> Vec<&'static Story> {
    stories::STORIES.iter().chain(across::STORIES).collect()
}

/// What dies where, found by telling each story once.
pub(crate) struct Matrix {
    stories: Vec<&'static Story>,
    cases: Vec<(usize, &'static str, Victim)>,
    /// In which roles of stories somebody died at each point.
    seen: Mutex<BTreeSet<(&'static str, Point)>>,
    /// Who that was, a forked child by itself, and how often.
    killed: Mutex<BTreeMap<Point, BTreeMap<String, usize>>>,
}

impl Matrix {
    /// Tells each story with nobody dying.
    pub(crate) fn rehearse(threads: usize) -> Matrix {
        let stories = stories();
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((at, story)) = stories.get(next.fetch_add(1, Relaxed)).map(|s| (s.name, s)) {
                        println!("rehearsing: {at}");
                        let reached = rehearse(story);
                        found.lock().unwrap().push((at, reached));
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap();
        found.sort_by_key(|(name, _)| *name);
        let mut cases = Vec::new();
        for (at, story) in stories.iter().enumerate() {
            let (_, reached) = &found[found.binary_search_by_key(&story.name, |(name, _)| *name).expect("told")];
            cases.extend(reached.iter().map(|&(label, victim)| (at, label, victim)));
        }
        Matrix { stories, cases, seen: Mutex::default(), killed: Mutex::default() }
    }

    fn note(&self, point: Point, role: &str) {
        *self.killed.lock().unwrap().entry(point).or_default().entry(role.to_owned()).or_default() += 1;
    }

    /// Points at which nobody died, and those at which one of those did not die who came by.
    pub(crate) fn missing(&self) -> Vec<String> {
        let (killed, seen) = (self.killed.lock().unwrap(), self.seen.lock().unwrap());
        let never =
            POINTS.iter().filter(|(point, ..)| !killed.contains_key(point)).map(|(_, name, _)| (*name).to_owned());
        let due: BTreeSet<_> = self.cases.iter().map(|&(_, label, (_, point, _))| (label, point)).collect();
        never.chain(due.difference(&seen).map(|(label, point)| format!("{} as {label}", point.name()))).collect()
    }

    /// Points by roles: in how many stories each died there.
    pub(crate) fn table(&self) -> String {
        let roles = ["exporter", "importer", "poster", "waiter", "child", "agent", "far agent"];
        let killed = self.killed.lock().unwrap();
        let mut text = format!("{:18} {}\n", "point", roles.map(|role| format!("{role:9}")).concat());
        let mut total = 0;
        for (point, name, _) in POINTS {
            let by = killed.get(point);
            let mark = |role: &str| by.and_then(|by| by.get(role)).map_or("-".to_owned(), usize::to_string);
            total += by.map_or(0, BTreeMap::len);
            text += &format!("{name:18} {}\n", roles.map(|role| format!("{:9}", mark(role))).concat());
        }
        let slowest = SLOWEST.lock().unwrap();
        text + &format!(
            "{} points, {total} pairs of point and role; slowest answer to a survivor {:.0} ms ({})",
            POINTS.len(),
            slowest.0.as_secs_f64() * 1e3,
            slowest.1
        )
    }
}

/// Tells a story with everybody alive; says who takes which steps.
fn rehearse(story: &Story) -> Vec<(&'static str, Victim)> {
    let mut scene = Scene::new(story.hosts, None);
    (story.before)(&mut scene);
    scene.arm();
    (story.act)(&mut scene);
    let mut reached = Vec::new();
    for &(role, label) in story.victims {
        for (point, hits) in scene.reached(role) {
            // What is the same on one host was played there.
            let most = if story.hosts.len() > 1 && !point.name().starts_with("Across") { 1 } else { HITS };
            reached.extend((1..=hits.min(most)).map(|hit| (label, (role, point, hit))));
        }
    }
    scene.aftermath().unwrap_or_else(|left| panic!("{}, nobody dying: {left}", story.name));
    reached
}

pub(crate) fn trials(matrix: &Arc<Matrix>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(story, label, victim) in &matrix.cases {
        let matrix = Arc::clone(matrix);
        let (_, point, hit) = victim;
        let again = if hit > 1 { format!(" ({hit})") } else { String::new() };
        let story = matrix.stories[story];
        let name = format!("{}: {label} dies at {}{again}", story.name, point.name());
        trials.push(Trial::test(name, move || {
            // Whether and how often a step is taken may depend on the moment: then everybody lived, and that it is
            // taken in some case is seen in the end.
            for _ in 0..if hit == 1 { 3 } else { 1 } {
                if let Some(who) = die(story, victim)? {
                    matrix.seen.lock().unwrap().insert((label, point));
                    matrix.note(point, if who.is_empty() { label } else { who });
                    break;
                }
            }
            Ok(())
        }));
    }
    for &(command, point, label, prefix) in ALONE {
        let matrix = Arc::clone(matrix);
        trials.push(Trial::test(format!("start: {label} dies at {}", point.name()), move || {
            die_alone(command, point, prefix)?;
            matrix.note(point, label);
            Ok(())
        }));
    }
    trials
}

/// Tells a story in which somebody dies; says which process that was, if the point was reached.
fn die(story: &Story, victim: Victim) -> Result<Option<&'static str>, String> {
    let mut scene = Scene::new(story.hosts, Some(victim));
    (story.before)(&mut scene);
    scene.arm();
    (story.act)(&mut scene);
    let who = scene.died();
    scene.aftermath()?;
    Ok(who)
}

fn die_alone(command: &str, point: Point, prefix: &str) -> Result<(), String> {
    let mut process = NodeProcess::with(environment(Some((point, 1))));
    if let Some(answer) = process.try_ask(command) {
        return Err(format!("the step was not reached: {answer}"));
    }
    rsm_stories::wait_for("the process to end", || process.ended().is_some());
    if process.ended().and_then(|status| status.signal()) != Some(9) {
        return Err(format!("it ended otherwise: {:?}", process.ended()));
    }
    let name = format!("{prefix}-{}-", process.pid());
    Holdings::default().is_again("the cluster", || Holdings::of_cluster(&name))
}

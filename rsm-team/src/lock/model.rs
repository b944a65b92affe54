//! Every order in which the steps of three nodes can come that take and let go a lock, with deaths anywhere.
//!
//! A step is one access to shared memory, all of which are taken to be of one total order; what orders them is shown with loom
//! (`rsm-core/src/models/lock.rs`), and here who may die where. Nobody wakes by time here: that a lock which is free is slept beside
//! shows, where nobody has died with a wake owed.

use rsm_core::lock::State;
use std::collections::HashSet;

const NODES: usize = 3;

/// What a node does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// Looks whether the lock is to be had.
    Look {
        wanting: bool,
    },
    Swap {
        wanting: bool,
        seen: State,
    },
    Want,
    Sleep,
    /// Does not want it any more, as it has it.
    Unwant(State),
    Holds(State),
    LooksWhoWants,
    Wakes(u8),
    Done,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    state: State,
    wants: u8,
    bells: [bool; NODES],
    at: [At; NODES],
    /// Who has died with the lock since it was last let go: whom the next one is to be told of.
    died_holding: Option<usize>,
    deaths: u8,
    /// A mistake that is built in.
    mistake: Option<Mistake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mistake {
    WantsAfterLooking,
    TakesFromTheLiving,
}

fn holds(at: At) -> bool {
    matches!(at, At::Holds(_) | At::Unwant(_))
}

impl World {
    fn new(deaths: u8, mistake: Option<Mistake>) -> World {
        World {
            state: State::default(),
            wants: 0,
            bells: [false; NODES],
            at: [At::Look { wanting: false }; NODES],
            died_holding: None,
            deaths,
            mistake,
        }
    }

    fn dead(&self, rank: usize) -> bool {
        self.at[rank] == At::Dead
    }

    /// What becomes of the world by the next step of a node; nothing if it has none.
    fn step(&self, rank: usize) -> Option<World> {
        let mut next = self.clone();
        next.at[rank] = match self.at[rank] {
            At::Done | At::Dead => return None,
            At::Look { wanting } => {
                let seen = self.state;
                let takes =
                    seen.holder().is_none_or(|h| self.dead(h) || self.mistake == Some(Mistake::TakesFromTheLiving));
                match (takes, wanting) {
                    (true, _) => At::Swap { wanting, seen },
                    (false, true) => At::Sleep,
                    (false, false) => At::Want,
                }
            }
            At::Want => {
                next.wants |= 1 << rank;
                // The mistake: to sleep by the look that came before.
                if self.mistake == Some(Mistake::WantsAfterLooking) { At::Sleep } else { At::Look { wanting: true } }
            }
            At::Sleep => {
                if !self.bells[rank] {
                    return None;
                }
                next.bells[rank] = false;
                At::Look { wanting: true }
            }
            At::Swap { wanting, seen } => {
                if self.state == seen {
                    next.state = seen.taken_by(rank);
                    assert_eq!(next.state.died(), self.died_holding, "the next holder is told who died");
                    if wanting { At::Unwant(next.state) } else { At::Holds(next.state) }
                } else {
                    At::Look { wanting }
                }
            }
            At::Unwant(state) => {
                next.wants &= !(1 << rank);
                At::Holds(state)
            }
            At::Holds(state) => {
                assert_eq!(self.state, state, "nobody takes a lock from the living");
                next.state = state.let_go();
                next.died_holding = None;
                At::LooksWhoWants
            }
            At::LooksWhoWants => At::Wakes(self.wants),
            At::Wakes(wants) => {
                let mut others = (1..NODES).map(|distance| (rank + distance) % NODES);
                if let Some(woken) = others.find(|&other| wants & (1 << other) != 0 && !self.dead(other)) {
                    next.bells[woken] = true;
                }
                At::Done
            }
        };
        Some(next)
    }

    fn kill(&self, rank: usize) -> Option<World> {
        if self.deaths == 0 || matches!(self.at[rank], At::Dead | At::Done) {
            return None;
        }
        let mut next = self.clone();
        next.deaths -= 1;
        if holds(self.at[rank]) {
            next.died_holding = Some(rank);
        }
        next.at[rank] = At::Dead;
        Some(next)
    }

    /// Sleepers of a world in which nothing happens any more look for themselves, but in time.
    fn look_by_time(&self) -> Option<World> {
        let mut next = self.clone();
        for at in &mut next.at {
            if *at == At::Sleep {
                *at = At::Look { wanting: true };
            }
        }
        (next != *self).then_some(next)
    }
}

/// Goes through every world that there can be, and says how many; `Err` is one in which somebody sleeps for ever.
fn explore(first: World) -> Result<usize, World> {
    let may_time = first.deaths > 0;
    let (mut seen, mut todo) = (HashSet::new(), vec![first]);
    while let Some(world) = todo.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        let living = (0..NODES).filter(|&rank| holds(world.at[rank])).count();
        assert!(living <= 1, "one holder at a time: {world:?}");
        let steps: Vec<World> = (0..NODES).filter_map(|rank| world.step(rank)).collect();
        if steps.is_empty() && world.at.contains(&At::Sleep) {
            match world.look_by_time().filter(|_| may_time) {
                Some(next) => todo.push(next),
                None => return Err(world),
            }
        }
        todo.extend(steps);
        todo.extend((0..NODES).filter_map(|rank| world.kill(rank)));
    }
    Ok(seen.len())
}

#[test]
fn nobody_sleeps_beside_a_free_lock() {
    let worlds = explore(World::new(0, None)).expect("nobody sleeps for ever");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn a_dead_holder_is_told_and_followed_by_one() {
    let worlds = explore(World::new(2, None)).expect("who looks by time gets on");
    assert!(worlds > 1000, "{worlds}");
}

#[test]
fn the_model_finds_a_wake_that_is_lost() {
    let world = explore(World::new(0, Some(Mistake::WantsAfterLooking))).expect_err("a sleeper beside a free lock");
    assert_eq!(world.state.holder(), None);
}

#[test]
#[should_panic(expected = "the next holder is told who died")]
fn the_model_finds_two_holders() {
    let _ = explore(World::new(0, Some(Mistake::TakesFromTheLiving)));
}

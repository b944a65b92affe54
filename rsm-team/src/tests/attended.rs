//! What bindings to other languages need: waits that end by more than what the team does, and parts that are kept elsewhere.

use super::{PATIENCE, play};
use crate::board::{Meanwhile, unbroken};
use crate::{Held, Team};
use rsm::{Cluster, Code, Error, Result};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A team of one node, which gives its waits up once it is told to.
fn given_up(cluster: &Cluster) -> Result<(Team, std::sync::mpsc::Sender<()>)> {
    let (give_up, told) = channel::<()>();
    let meanwhile = move || match told.try_recv() {
        Ok(()) => Err(Error::with(Code::Interrupted, "the user has gone")),
        Err(_) => Ok(()),
    };
    let controller = cluster.node(1)?.controller("shm0")?;
    Ok((Team::join_attended(&controller, PATIENCE, meanwhile)?, give_up))
}

#[test]
fn who_attends_ends_waits() {
    let cluster = Cluster::new(1).unwrap();
    let (team, give_up) = given_up(&cluster).unwrap();
    let gone = |result: Result<()>| {
        let error = result.unwrap_err();
        assert!(error.code() == Code::Interrupted && error.to_string().contains("the user has gone"), "{error}");
    };
    give_up.send(()).unwrap();
    gone(team.receive(0, None).map(drop));
    give_up.send(()).unwrap();
    gone(team.wait_until(0, |value| value > 0, None).map(drop));
    // Also where the bell rings all the time, for others.
    give_up.send(()).unwrap();
    gone(team.wait_until(0, |_| team.raise(0, 1, 1).is_err(), None).map(drop));
    // And where a link fails all the time.
    give_up.send(()).unwrap();
    team.board.loses.set(true);
    gone(team.send(0, b"owed", None));
    team.board.loses.set(false);
    // What it had to say is said by the next one.
    team.send(0, b"next", None).unwrap();
    assert_eq!(team.receive(0, None).unwrap(), b"owed");
    assert_eq!(team.receive(0, None).unwrap(), b"next");
    // What it had taken is there for the next one, as often as need be, and the room is told then.
    let most = vec![3; team.longest_message()];
    team.send(0, &most, None).unwrap();
    team.board.loses.set(true);
    for _ in 0..2 {
        give_up.send(()).unwrap();
        gone(team.receive(0, None).map(drop));
    }
    let told = team.receive(0, None).unwrap_err();
    assert!(told.code() == Code::BarrierFailure && told.to_string().contains("node 1 cannot be reached"), "{told}");
    team.board.loses.set(false);
    assert_eq!(team.send(0, &most, Some(Duration::ZERO)).unwrap_err().code(), Code::Timeout);
    for _ in 0..2 {
        assert_eq!(team.receive(0, Some(Duration::ZERO)).unwrap(), most);
        team.send(0, &most, Some(Duration::ZERO)).unwrap();
    }
    team.leave().unwrap();
}

#[test]
fn handlers_that_end_nothing_end_no_request() {
    let meanwhiles = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&meanwhiles);
    let meanwhile: Meanwhile = Box::new(move || match counted.fetch_add(1, Relaxed) {
        3 => Err(Error::with(Code::Timeout, "the user has gone")),
        _ => Ok(()),
    });
    let mut handlers = 3;
    let asked = unbroken(&meanwhile, || {
        handlers -= 1;
        if handlers >= 0 { Err(Error::new(Code::Interrupted)) } else { Ok(7) }
    });
    assert_eq!((asked.unwrap(), meanwhiles.load(Relaxed)), (7, 3));
    let given_up = unbroken::<()>(&meanwhile, || Err(Error::new(Code::Interrupted))).unwrap_err();
    assert!(given_up.to_string().contains("the user has gone"), "{given_up}");
    let refused = unbroken::<()>(&meanwhile, || Err(Error::new(Code::BadLength))).unwrap_err();
    assert_eq!((refused.code(), meanwhiles.load(Relaxed)), (Code::BadLength, 4));
}

#[test]
fn who_attends_ends_joining() {
    let cluster = Cluster::new(2).unwrap();
    let controller = cluster.node(2).unwrap().controller("shm0").unwrap();
    let meanwhile = || Err(Error::with(Code::Interrupted, "the user has gone"));
    let told = Team::join_attended(&controller, Duration::MAX, meanwhile).unwrap_err();
    assert!(told.to_string().contains("the user has gone"), "{told}");
}

#[test]
fn a_lock_is_kept_apart_from_its_team() {
    play(2, |team| {
        if team.rank() == 0 {
            let kept = team.lock(1, 2, None)?.keep();
            team.barrier()?;
            team.barrier()?;
            team.held(kept)?.unlock()?;
            team.barrier()
        } else {
            team.barrier()?;
            assert_eq!(team.lock(1, 2, Some(Duration::ZERO)).unwrap_err().code(), Code::Timeout);
            team.barrier()?;
            team.barrier()?;
            let held = team.lock(1, 2, Some(Duration::ZERO))?;
            assert_eq!(held.died_holding(), None);
            held.unlock()
        }
    });
}

#[test]
fn a_lock_of_a_larger_team_is_told() {
    let mut kept = play(2, |team| {
        let kept = (team.rank() == 0).then(|| team.lock(1, 0, None)).transpose()?.map(Held::keep);
        team.barrier()?;
        Ok(kept)
    });
    let kept = Mutex::new(kept.swap_remove(0));
    play(1, |team| {
        let kept = kept.lock().unwrap().take().unwrap();
        assert_eq!(team.held(kept).unwrap_err().code(), Code::BadAddr);
        Ok(())
    });
}

#[test]
fn shared_memory_is_kept_in_parts() {
    play(2, |team| {
        let other = 1 - team.rank();
        let (own, all) = team.share(64)?.into_parts();
        let mut attempts = 0;
        team.signal_when_put(other, &all[other], 9, || {
            attempts += 1;
            all[other].put_u64(8, 7)?;
            // As if nobody had vouched for it.
            if attempts < 3 { Err(Error::with(Code::BarrierFailure, "as the test wants it")) } else { Ok(()) }
        })?;
        assert_eq!(attempts, 3);
        team.wait_until(9, |value| value == 1, Some(PATIENCE))?;
        assert_eq!(own.memory().read_volatile_u64(8)?, 7);
        let bad = team.signal_when_put(2, &all[0], 0, || Ok(())).unwrap_err();
        assert_eq!(bad.code(), Code::BadAddr);
        team.barrier()
    });
}

//! Teams whose nodes are threads: values, bad input, and what a node may say that cannot be. Deaths need processes:
//! `tests/teams`.

mod attended;

use crate::layout::{Layout, Pipe, Row};
use crate::{Team, WORDS};
use rsm::steer::Links;
use rsm::{AccessList, Cluster, Code, Permission, Result, SegmentId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// Has every node of a cluster do the same, each in its thread.
fn act_on<T: Send>(cluster: &Cluster, act: impl Fn(Team) -> Result<T> + Sync) -> Vec<Result<T>> {
    std::thread::scope(|scope| {
        let node = |node| {
            let (cluster, act) = (&cluster, &act);
            scope.spawn(move || act(Team::join(&cluster.node(node)?.controller("shm0")?, PATIENCE)?))
        };
        let all: Vec<_> = (1..=cluster.node_count()).map(node).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The same in a new cluster, with an end that has to be a good one.
fn play<T: Send>(nodes: u32, act: impl Fn(&Team) -> Result<T> + Sync) -> Vec<T> {
    let to_the_end = |team: Team| {
        let done = act(&team)?;
        team.leave()?;
        Ok(done)
    };
    act_on(&Cluster::new(nodes).unwrap(), to_the_end).into_iter().collect::<Result<Vec<T>>>().unwrap()
}

#[test]
fn values_are_right_in_teams_of_all_shapes() {
    for nodes in [1, 2, 3, 5, 8] {
        let size = nodes as usize;
        play(nodes, |team| {
            let rank = team.rank();
            assert_eq!((team.size(), team.node(rank)), (size, rank as u32 + 1));
            for root in 0..size {
                let mut values = if rank == root { vec![root as u32; root + 3] } else { vec![7] };
                team.broadcast(root, &mut values)?;
                assert_eq!(values, vec![root as u32; root + 3]);
                let gathered = team.gather(root, &vec![rank as i16; rank])?;
                assert_eq!(gathered, (rank == root).then(|| (0..size).map(|r| vec![r as i16; r]).collect()));
            }
            assert_eq!(
                team.all_reduce(&[rank as u64, 1], |a, b| a + b)?,
                [(size * (size - 1) / 2) as u64, size as u64]
            );
            assert_eq!(team.all_reduce(&[rank as i8], i8::max)?, [size as i8 - 1]);
            assert_eq!(team.all_reduce::<u8>(&[], |a, _| a)?, []);
            let all = team.all_gather(&[rank as f32])?;
            assert_eq!(all, (0..size).map(|r| vec![r as f32]).collect::<Vec<_>>());
            let out: Vec<Vec<u64>> = (0..size).map(|to| vec![(rank * 100 + to) as u64; to]).collect();
            let expected: Vec<Vec<u64>> = (0..size).map(|from| vec![(from * 100 + rank) as u64; rank]).collect();
            assert_eq!(team.all_to_all(&out)?, expected);
            team.barrier()
        });
    }
}

#[test]
fn what_is_longer_than_a_ring_goes_through_it() {
    play(3, |team| {
        let values: Vec<u64> = (0..20_000).map(|n| n * 3 + team.rank() as u64).collect();
        let all = team.all_gather(&values)?;
        for (rank, got) in all.iter().enumerate() {
            assert!(got.iter().enumerate().all(|(n, &value)| value == n as u64 * 3 + rank as u64));
        }
        let mut long = if team.rank() == 1 { vec![9u8; 1 << 20] } else { Vec::new() };
        team.broadcast(1, &mut long)?;
        assert!(long.len() == 1 << 20 && long.iter().all(|&byte| byte == 9));
        Ok(())
    });
}

#[test]
fn floating_sums_are_the_same_to_the_last_bit() {
    for nodes in [3, 5, 8] {
        let sums = play(nodes, |team| {
            let own: Vec<f64> = (1..50).map(|n| 1.0 / (n + team.rank()) as f64).collect();
            Ok(team.all_reduce(&own, |a, b| a + b)?.into_iter().map(f64::to_bits).collect::<Vec<_>>())
        });
        assert!(sums.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn memory_is_shared_and_words_are_raised() {
    play(4, |team| {
        let (rank, size) = (team.rank(), team.size());
        for round in 1..4u64 {
            let shared = team.share(100 + rank)?;
            assert!(shared.memory().len() >= 100 + rank && shared.export().len() == shared.memory().len());
            for to in 0..size {
                team.put_signal(&shared, to, rank as u64 * 8, &(round * 10 + rank as u64).to_ne_bytes(), WORDS - 1)?;
            }
            let seen = team.wait_until(WORDS - 1, |value| value >= round * size as u64, Some(PATIENCE))?;
            assert_eq!(seen, round * size as u64);
            for from in 0..size {
                assert_eq!(shared.memory().read_volatile_u64(from as u64 * 8)?, round * 10 + from as u64);
            }
            shared.close()?;
        }
        Ok(())
    });
}

#[test]
fn messages_are_whole_and_in_order() {
    play(2, |team| {
        let other = 1 - team.rank();
        // Both send more than there is room for, so each has to wait for the other to take.
        let length = |n: usize| n * 37 % team.longest_message();
        let (mut sent, mut taken) = (0, 0);
        while taken < 500 {
            let full = |error: rsm::Error| if error.code() == Code::Timeout { Ok(()) } else { Err(error) };
            if sent < 500 {
                let now = team.send(other, &vec![sent as u8; length(sent)], Some(Duration::ZERO));
                sent += usize::from(now.is_ok());
                now.or_else(full)?;
            }
            let limit = if sent < 500 { Duration::ZERO } else { PATIENCE };
            match team.receive(other, Some(limit)) {
                Ok(message) => {
                    assert_eq!(message, vec![taken as u8; length(taken)]);
                    taken += 1;
                }
                Err(error) => full(error)?,
            }
        }
        while sent < 500 {
            team.send(other, &vec![sent as u8; length(sent)], Some(PATIENCE))?;
            sent += 1;
        }
        team.barrier()?;
        assert_eq!(team.receive(other, Some(Duration::ZERO)).unwrap_err().code(), Code::Timeout);
        // To oneself, too.
        team.send(team.rank(), b"", None)?;
        assert_eq!(team.receive(team.rank(), None)?, b"");
        Ok(())
    });
}

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    play(4, |team| {
        let shared = team.share(8)?;
        for _ in 0..50 {
            let held = team.lock(1, 3, Some(PATIENCE))?;
            assert_eq!(held.died_holding(), None);
            let import = shared.at(0)?;
            let value = import.get_u64(0)?;
            import.put_u64(0, value + 1)?;
            assert_eq!(team.lock(1, 3, None).unwrap_err().code(), Code::PermDenied);
            held.unlock()?;
        }
        team.barrier()?;
        assert_eq!(shared.at(0)?.get_u64(0)?, 200);
        // Those of others are others.
        let held = team.lock(team.rank(), 3, Some(Duration::ZERO))?;
        team.barrier()?;
        let other = (team.rank() + 1) % 4;
        assert_eq!(team.lock(other, 3, Some(Duration::from_millis(1))).unwrap_err().code(), Code::Timeout);
        team.barrier()?;
        drop(held);
        team.barrier()?;
        team.lock(other, 3, Some(Duration::ZERO))?.unlock()?;
        shared.close()
    });
}

#[test]
fn bad_input_is_told() {
    play(2, |team| {
        let told = |result: Result<()>, code, what: &str| {
            let error = result.unwrap_err();
            assert!(error.code() == code && error.to_string().contains(what), "{error}");
        };
        let ranks = "there is no rank 2 in a team of 2, whose last is 1";
        told(team.raise(2, 0, 1), Code::BadAddr, ranks);
        told(team.send(2, b"", None), Code::BadAddr, ranks);
        told(team.receive(2, None).map(drop), Code::BadAddr, ranks);
        told(team.lock(2, 0, None).map(drop), Code::BadAddr, ranks);
        told(team.broadcast(2, &mut vec![0u8]), Code::BadAddr, ranks);
        told(team.gather(2, &[0u8]).map(drop), Code::BadAddr, ranks);
        told(team.raise(0, WORDS, 1), Code::BadOffset, "0 to 63");
        told(team.wait_until(WORDS, |_| true, None).map(drop), Code::BadOffset, "0 to 63");
        told(team.lock(0, 16, None).map(drop), Code::BadOffset, "0 to 15");
        told(team.send(0, &vec![0; team.longest_message() + 1], None), Code::BadLength, "above 16376");
        told(team.all_to_all(&[vec![0u8]]).map(drop), Code::BadLength, "1 elements in a team of 2");
        let soon = Some(Duration::from_millis(1));
        told(team.receive(1, soon).map(drop), Code::Timeout, "node 2 has sent nothing within 1ms");
        told(team.wait_until(5, |v| v == 1, soon).map(drop), Code::Timeout, "word 5 is 0");
        let shared = team.share(1)?;
        told(shared.at(2).map(drop), Code::BadAddr, ranks);
        let beyond = shared.at(1 - team.rank())?.len() as u64;
        told(team.put_signal(&shared, 1 - team.rank(), beyond, b"x", 0), Code::BadOffset, "offset");
        shared.close()
    });
}

#[test]
fn a_link_that_goes_down_is_no_death() {
    let cluster = Cluster::new(3).unwrap();
    let steering = cluster.steering().unwrap();
    // What may be the last that another one waits for: it may have taken it, and ended, before it was vouched for and the bell
    // was rung.
    let last = |team: &Team, rank| match team.send(rank, b"told", None) {
        Err(error) if error.code() == Code::ConnAborted => Ok(()),
        sent => sent,
    };
    let told = act_on(&cluster, |team| {
        let held = (team.rank() == 2).then(|| team.lock(0, 0, None)).transpose()?;
        team.barrier()?;
        match team.rank() {
            // It stays until both know.
            0 => {
                team.receive(2, Some(PATIENCE))?;
                last(&team, 1)?;
                team.receive(1, Some(PATIENCE))?;
                last(&team, 2)?;
                team.receive(2, Some(PATIENCE)).map(drop)
            }
            1 => {
                // Not before the other one is done with its barrier.
                team.receive(0, Some(PATIENCE))?;
                steering.link_down(&Links::between(2, 3))?;
                // Node 3 holds the lock and lives: nobody takes it away from it.
                let told = team.lock(0, 0, Some(PATIENCE)).unwrap_err();
                assert!(
                    told.to_string().contains("node 3 cannot be reached any more: the link was taken down"),
                    "{told}"
                );
                team.send(0, b"told", None)?;
                team.barrier()
            }
            _ => {
                team.send(0, b"done", None)?;
                let told = team.wait_until(0, |value| value == 1, None).unwrap_err();
                assert!(
                    told.to_string().contains("node 2 cannot be reached any more: the link was taken down"),
                    "{told}"
                );
                // Not before the other one was refused.
                team.receive(0, Some(PATIENCE))?;
                held.map_or(Ok(()), |held| held.unlock())?;
                last(&team, 0)
            }
        }
    });
    assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
    assert_eq!(told[1].as_ref().unwrap_err().code(), Code::ConnAborted);
}

#[test]
fn a_link_that_fails_for_long_is_told_and_loses_nothing() {
    play(2, |team| {
        let told = |result: Result<()>| {
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::BarrierFailure);
            assert!(error.detail().starts_with("node 2 cannot be reached: for "), "{error}");
        };
        let (long, most) = (Some(PATIENCE), team.longest_message());
        if team.rank() == 0 {
            team.send(1, b"before", long)?;
            team.board.loses.set(true);
            told(team.send(1, b"first", long));
            told(team.send(1, b"second", long));
            told(team.raise(1, 4, 2));
            team.board.loses.set(false);
            // Together with what is owed, and then around the end of the ring.
            team.send(1, b"third", long)?;
            team.raise(1, 4, 1)?;
            for round in 0..5 {
                team.send(1, &vec![round; most / 2], long)?;
                team.board.loses.set(true);
                // Without room for it, nothing is sent.
                while let Err(error) = team.send(1, &vec![round; most / 3], Some(Duration::ZERO)) {
                    if error.code() == Code::BarrierFailure {
                        break;
                    }
                }
                team.board.loses.set(false);
            }
            team.send(1, b"last", long)?;
        } else {
            for message in [&b"before"[..], b"first", b"second", b"third"] {
                assert_eq!(team.receive(0, long)?, message);
            }
            assert_eq!(team.wait_until(4, |value| value == 3, long)?, 3);
            for round in 0..5 {
                assert_eq!(team.receive(0, long)?, vec![round; most / 2]);
                assert_eq!(team.receive(0, long)?, vec![round; most / 3]);
            }
            assert_eq!(team.receive(0, long)?, b"last");
        }
        team.barrier()
    });
}

#[test]
fn different_calls_are_told() {
    play(2, |team| {
        let told = if team.rank() == 0 {
            team.all_gather(&[1u32]).map(drop)
        } else {
            team.all_reduce(&[1u64], |a, _| a).map(drop)
        };
        let told = told.unwrap_err();
        assert_eq!(told.code(), Code::BadLength);
        let (node, call) = if team.rank() == 0 { (2, "all_reduce") } else { (1, "all_gather") };
        assert!(told.to_string().contains(&format!("node {node} calls {call}")), "{told}");
        Ok(())
    });
    play(2, |team| {
        let told = team.all_reduce(&vec![0u8; team.rank() + 1], |a, _| a).unwrap_err();
        assert!(told.code() == Code::BadLength && told.to_string().contains("values by node"), "{told}");
        Ok(())
    });
}

#[test]
fn what_cannot_be_is_not_believed() {
    let layout = Layout::of(2);
    // A number of the second node's row on the first one's board, and what is asked for then.
    type Ask = fn(&Team) -> Result<()>;
    let receive: Ask = |team| team.receive(1, None).map(drop);
    let lies: [(Row, u64, Ask); 5] = [
        (Row::Sent(Pipe::Mail), layout.ring() + 1, receive),
        (Row::Sent(Pipe::Mail), 7, receive),
        (Row::Sent(Pipe::Mail), 9, receive),
        (Row::Taken(Pipe::Mail), 1, |team| team.send(1, b"x", None)),
        (Row::Sent(Pipe::Collective), u64::MAX, |team| team.gather(0, &[1u8]).map(drop)),
    ];
    for (what, value, ask) in lies {
        play(2, |team| {
            if team.rank() == 1 {
                let id = SegmentId::new(crate::join::FIRST_ID);
                let import = team.controller().connect(1, id, Permission::ReadWrite)?;
                // A message that is said to be longer than what was sent.
                import.put_u64(layout.ring_of(1, Pipe::Mail), 2)?;
                import.put_u64(layout.row(1, what), value)?;
            }
            team.barrier()?;
            if team.rank() == 0 {
                let told = ask(team).unwrap_err();
                assert!(told.code() == Code::InternalError && told.to_string().contains("node 2 says"), "{told}");
            }
            Ok(())
        });
    }
    // A lock that somebody holds who cannot be.
    play(2, |team| {
        if team.rank() == 1 {
            let id = SegmentId::new(crate::join::FIRST_ID);
            team.controller().connect(1, id, Permission::ReadWrite)?.put_u64(Layout::lock(0), 200)?;
        }
        team.barrier()?;
        let told = team.lock(0, 0, None).unwrap_err();
        assert!(told.code() == Code::InternalError && told.to_string().contains("node 1 says"), "{told}");
        Ok(())
    });
}

#[test]
fn a_team_may_be_followed_by_another_at_once() {
    let cluster = Cluster::new(3).unwrap();
    std::thread::scope(|scope| {
        for node in 1..=3 {
            let cluster = &cluster;
            scope.spawn(move || {
                let controller = cluster.node(node).unwrap().controller("shm0").unwrap();
                for round in 0..30u64 {
                    let team = Team::join(&controller, PATIENCE).unwrap();
                    let all = team.all_reduce(&[round], |a, b| a + b).unwrap();
                    assert_eq!(all, [3 * round]);
                    team.leave().unwrap();
                }
            });
        }
    });
}

#[test]
fn the_board_of_an_earlier_program_is_not_taken_for_one_of_this() {
    let cluster = Cluster::new(3).unwrap();
    let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    for _ in 0..20 {
        // Node 2 still has a board, whose owner does not join.
        let early = controller(2).export_at_least(Layout::of(3).length() as usize).unwrap();
        early.publish(SegmentId::new(crate::join::FIRST_ID), &AccessList::everyone()).unwrap();
        let mut importers = early.watch_importers().unwrap();
        std::thread::scope(|scope| {
            let join = |node| {
                let controller = controller(node);
                scope.spawn(move || Team::join(&controller, PATIENCE).unwrap().leave().unwrap());
            };
            join(1);
            // Node 1 has found that board, and waits for node 3. Then another one takes its place, whose owner greets
            // at once.
            importers.next(Some(PATIENCE)).unwrap();
            early.destroy().unwrap();
            join(2);
            join(3);
        });
    }
}

#[test]
fn who_does_not_come_is_named() {
    let cluster = Cluster::new(3).unwrap();
    let controller = cluster.node(2).unwrap().controller("shm0").unwrap();
    let told = Team::join(&controller, Duration::from_millis(20)).unwrap_err();
    assert_eq!(told.code(), Code::Timeout);
    assert!(told.to_string().contains("of 3 nodes these have not joined the team in time: 1, 3"), "{told}");
}

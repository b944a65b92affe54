//! What the processes of these stories run, by the first word of their command line.

use rsm::{Controller, Result};
use rsm_team::Team;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(100);

/// Runs it; the exit code. What went wrong is its last line.
pub(crate) fn run() -> i32 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(()) => 0,
        Err(error) => {
            println!("{error}");
            1
        }
    }
}

fn act(words: &[&str]) -> Result<()> {
    let controller = Controller::open("shm0")?;
    let team = Team::join(&controller, PATIENCE)?;
    match words {
        ["once"] => {
            let all = team.all_reduce(&[team.rank() as u64], |a, b| a + b)?;
            assert_eq!(all[0], (team.size() * (team.size() - 1) / 2) as u64);
            team.leave()
        }
        ["reduce", rounds] => {
            for round in 0..rounds.parse().expect("a number") {
                let all = team.all_reduce(&[team.rank() as u64 + round], |a, b| a + b)?;
                assert_eq!(all[0], (team.size() * (team.size() - 1) / 2) as u64 + team.size() as u64 * round);
            }
            team.leave()
        }
        ["everything", rounds] => {
            for round in 0..rounds.parse().expect("a number") {
                everything(&team, round)?;
            }
            team.leave()
        }
        ["sit", how] => sit(&team, how),
        ["hold"] => hold(&team),
        _ => panic!("{words:?}"),
    }
}

/// One of each call, with values that are compared.
fn everything(team: &Team, round: u64) -> Result<()> {
    let (rank, size) = (team.rank(), team.size());
    let shared = team.share(64 << 10)?;
    // A stretch for everybody, and a word when it is there: what a missing barrier would show as other bytes.
    let stretch = vec![round as u8 + rank as u8; 700];
    for to in 0..size {
        team.put_signal(&shared, to, rank as u64 * 1000, &stretch, 1)?;
    }
    team.wait_until(1, |value| value >= (round + 1) * size as u64, Some(PATIENCE))?;
    let mut got = vec![0; 700];
    for from in 0..size {
        shared.memory().read(from as u64 * 1000, &mut got)?;
        assert!(got.iter().all(|&byte| byte == round as u8 + from as u8), "round {round}, from {from}");
    }
    team.barrier()?;

    // Puts without words, then a barrier.
    let right = (rank + 1) % size;
    shared.at(right)?.put(32 << 10, &stretch)?;
    team.barrier()?;
    shared.memory().read(32 << 10, &mut got)?;
    let left = (rank + size - 1) % size;
    assert!(got.iter().all(|&byte| byte == round as u8 + left as u8), "round {round}");

    let out: Vec<Vec<u64>> = (0..size).map(|to| vec![round + (rank * size + to) as u64; 50 * to]).collect();
    for (from, got) in team.all_to_all(&out)?.iter().enumerate() {
        assert_eq!(*got, vec![round + (from * size + rank) as u64; 50 * rank]);
    }
    let mut values = if rank == 0 { vec![round as f64 + 0.5; 2000] } else { Vec::new() };
    team.broadcast(0, &mut values)?;
    assert_eq!(values, vec![round as f64 + 0.5; 2000]);

    for n in 0..30u64 {
        team.send(right, &(round + n).to_ne_bytes().repeat(n as usize), Some(PATIENCE))?;
    }
    for n in 0..30u64 {
        assert_eq!(team.receive(left, Some(PATIENCE))?, (round + n).to_ne_bytes().repeat(n as usize));
    }

    // A number that only the lock keeps whole.
    for _ in 0..3 {
        let held = team.lock(size - 1, 2, Some(PATIENCE))?;
        let import = shared.at(0)?;
        let value = import.get_u64(60 << 10)?;
        import.put_u64(60 << 10, value + 1)?;
        held.unlock()?;
    }
    team.barrier()?;
    assert_eq!(shared.at(0)?.get_u64(60 << 10)?, 3 * size as u64);
    shared.close()
}

/// The last rank waits to be killed, the others for it, each in its way.
fn sit(team: &Team, how: &str) -> Result<()> {
    println!("sits");
    let last = team.size() - 1;
    if team.rank() == last {
        team.wait_until(0, |value| value == 1, Some(PATIENCE))?;
        return Ok(());
    }
    match how {
        "barrier" => team.barrier(),
        "word" => team.wait_until(0, |value| value == 1, Some(PATIENCE)).map(drop),
        "mail" => team.receive(last, None).map(drop),
        "reduce" => team.all_reduce(&[1u8], |a, b| a + b).map(drop),
        // More than there is room for.
        "full" => loop {
            team.send(last, &[0; 1000], None)?;
        },
        "keeper" => team.lock(last, 0, None).and_then(|held| {
            let _held = held;
            team.barrier()
        }),
        "leave" => Ok(()),
        _ => panic!("{how}"),
    }
}

/// The last rank takes a lock and waits to be killed; the others take it after its death, and tell who died.
fn hold(team: &Team) -> Result<()> {
    let last = team.size() - 1;
    if team.rank() == last {
        let _held = team.lock(0, 7, None)?;
        println!("holds");
        team.barrier()?;
        team.wait_until(0, |value| value == 1, Some(PATIENCE))?;
        return Ok(());
    }
    team.barrier()?;
    println!("waits");
    let held = team.lock(0, 7, Some(PATIENCE))?;
    println!("{:?}", held.died_holding());
    held.unlock()?;
    // The survivors' messages go on: everybody waits for everybody, as the keeper must not go before.
    for rank in (0..last).filter(|&rank| rank != team.rank()) {
        team.send(rank, b"done", None)?;
    }
    for rank in (0..last).filter(|&rank| rank != team.rank()) {
        assert_eq!(team.receive(rank, Some(PATIENCE))?, b"done");
    }
    Ok(())
}

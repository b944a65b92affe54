//! The programs that are explored: this test program, as a node of the cluster. Node 2 is the one that dies.
//!
//! It takes a token from node 1 and gives it back. What becomes of node 1 when it does not is what the programs differ in.

use std::time::Duration;

use rsm::{AccessList, Code, Controller, Error, Import, Permission, Result, SegmentId};

/// Names the program, and makes this one of it.
pub(crate) const PROGRAM: &str = "RSM_EXPLORED";
/// A file of the last program's.
pub(crate) const FILE: &str = "RSM_EXPLORED_FILE";

const TOKEN: SegmentId = SegmentId::new(0x40_0000);
const LENGTH: usize = 64 << 10;
/// For others to be there.
const JOINING: Duration = Duration::from_secs(120);
/// For the token to come back.
const PATIENCE: Duration = Duration::from_secs(6);

/// How a program waits for its token, and what it makes of its loss.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It waits for ever.
    Unnoticed,
    /// It goes on without.
    Survived,
    /// It goes on as if it had given the token back, and asks for what cannot be.
    Muddled,
    /// It ends with a code of its own.
    Told,
    /// It ends by a signal.
    Fatal,
}

/// Is the program of this name.
pub(crate) fn be(name: &str) -> Result<()> {
    let controller = match name {
        "silent" => return Ok(()),
        "failing" => std::process::exit(3),
        _ => Controller::open("shm0")?,
    };
    let loss = match name {
        "careless" | "brief" => Loss::Unnoticed,
        "careful" | "littering" => Loss::Survived,
        "muddled" => Loss::Muddled,
        "strict" => Loss::Told,
        "fragile" => Loss::Fatal,
        _ => panic!("there is no program {name}"),
    };
    match (controller.node().id(), name) {
        (2, "littering") => {
            let file = std::env::var_os(FILE).expect("the name of a file");
            std::fs::write(&file, "of a node").expect("a file");
            guest(&controller)?;
            std::fs::remove_file(&file).expect("the file");
            Ok(())
        }
        (2, "brief") => visit(&controller).map(drop),
        (2, _) => guest(&controller),
        (_, "brief") => host(&controller, loss, 1),
        _ => host(&controller, loss, 2),
    }
}

/// Node 1, which has the token for so many turns.
fn host(controller: &Controller, loss: Loss, turns: u32) -> Result<()> {
    let token = controller.export(LENGTH)?;
    token.publish(TOKEN, &AccessList::everyone())?;
    if loss == Loss::Muddled {
        // As in each of its runs.
        let same = controller.export(LENGTH)?.publish(TOKEN, &AccessList::everyone()).expect_err("it is in use");
        assert_eq!(same.code(), Code::SegidInUse);
    }
    println!("node 1 has the token");
    for turn in 1..=turns {
        let taken = match loss {
            Loss::Unnoticed => token.wait(None),
            // Ends at once when the guest has gone, and after that time if it never came.
            _ => token.wait_while_imported(Some(PATIENCE)),
        };
        match (taken, loss) {
            (Ok(()), _) => {}
            (Err(_), Loss::Survived) => return Ok(()),
            (Err(_), Loss::Muddled) => {
                let again = token.publish(TOKEN, &AccessList::everyone()).expect_err("it is published");
                assert_eq!(again.code(), Code::SegAlreadyPublished);
                return Ok(());
            }
            (Err(_), Loss::Told) => std::process::exit(1),
            (Err(_), Loss::Fatal) => std::process::abort(),
            (Err(error), Loss::Unnoticed) => return Err(error),
        }
        if turn == 1 && turns > 1 {
            token.signal()?;
        }
    }
    Ok(())
}

/// Node 2 asks for the token.
fn visit(controller: &Controller) -> Result<Import> {
    let import = controller.connect_within(1, TOKEN, Permission::ReadWrite, JOINING)?;
    import.signal()?;
    Ok(import)
}

/// Node 2.
fn guest(controller: &Controller) -> Result<()> {
    let import = visit(controller)?;
    // A host that is not careless may have given up by now, on a slow machine.
    match import.wait(None) {
        Ok(()) => {}
        Err(error) if error.code() == Code::ConnAborted => return Ok(()),
        Err(error) => return Err(error),
    }
    let ignoring = |result: Result<()>| {
        result.or_else(|error: Error| match error.code() {
            Code::ConnAborted => Ok(()),
            _ => Err(error),
        })
    };
    ignoring(import.put_u64(0, 7))?;
    ignoring(import.signal())
}

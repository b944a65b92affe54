//! The command itself.

mod common;

use common::{Folder, Host, taken};
use rsm_ntb_emu::tell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rsm-ntb-emu"))
}

/// A bridge in a process of its own, which ends with this.
struct Running(Child);

impl Running {
    fn start(folder: &Folder, options: &[&str]) -> Running {
        let mut command = command();
        command.arg(folder.join("a.sock")).arg(folder.join("b.sock")).args(options);
        let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        running
    }

    /// Asks it to end; what its exit code was, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.0.wait().unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(words: &[&str]) -> Output {
    command().args(words).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_bridge_in_a_process_carries_traffic_and_takes_orders() {
    let folder = Folder::new();
    let (control, trace) = (folder.join("c.sock"), folder.join("trace"));
    let options = ["--control", control.to_str().unwrap(), "--trace", trace.to_str().unwrap(), "--window", "4M"];
    let running = Running::start(&folder, &options);
    let (mut a, b) = (Host::up(&folder.join("a.sock")), Host::up(&folder.join("b.sock")));
    a.store(0, 5);
    a.load(0);
    assert_eq!(b.word(0), 5);
    assert_eq!((taken(&a.events[0], true), taken(&b.events[0], true)), (1, 1));
    let order = |order: &str| tell(&control, order).map_err(|e| e.to_string());
    assert_eq!(order("down"), Ok("ok\n".into()));
    assert_eq!((taken(&b.events[0], false), a.link()), (1, false));
    assert_eq!(order("up"), Ok("ok\n".into()));
    assert_eq!((taken(&b.events[0], false), a.link()), (1, true));
    assert_eq!(order("flap 5"), Ok("ok\n".into()));
    assert_eq!((taken(&b.events[0], false), a.link()), (2, true));
    assert_eq!(order("error"), Ok("told 0\n".into()));
    assert!(order("jump").unwrap_err().contains("down, up, flap MILLISECONDS, error or stats"));
    let stats = order("stats").unwrap();
    for line in ["link up\n", "link_changes 5\n", "a.stores 1\n", "a.loads 1\n", "b.stores 0\n", "b.dma_maps 1\n"] {
        assert!(stats.contains(line), "{stats}");
    }
    // And from a shell.
    let told = run(&["tell", control.to_str().unwrap(), "stats"]);
    assert_eq!((told.status.code(), String::from_utf8(told.stdout).unwrap()), (Some(0), stats));
    // Who orders nothing, or without end, is answered too.
    for bytes in [&b""[..], &[b'x'; 10_000]] {
        let mut stream = UnixStream::connect(&control).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        // Cut off with bytes unread, the stream may end with a reset.
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("error: ") || !bytes.is_empty(), "{answer}");
    }
    assert_eq!(running.end(), (Some(0), String::new()));
    assert!(!control.exists() && !folder.join("a.sock").exists());
    let trace = std::fs::read_to_string(&trace).unwrap();
    for line in [" a store 0x0 8\n", " a load 0x0 8\n", " link up\n", " b interrupt 0\n", " a command 5"] {
        assert!(trace.contains(line), "{trace}");
    }
}

#[test]
fn what_cannot_be_is_said_with_an_exit_code() {
    let folder = Folder::new();
    let failed = |words: &[&str]| {
        let output = run(words);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = failed(&["a.sock"]);
    assert!(code == Some(2) && said.contains("two sockets are needed"), "{said}");
    let nowhere = folder.join("no/a.sock");
    let (code, said) = failed(&[nowhere.to_str().unwrap(), "b.sock"]);
    assert!(code == Some(1) && said.contains("no/a.sock"), "{said}");
    let control = folder.join("c.sock");
    let (code, said) = failed(&["tell", control.to_str().unwrap(), "stats"]);
    assert!(code == Some(1) && said.contains("c.sock"), "{said}");
    let (code, said) = failed(&["tell", control.to_str().unwrap(), "jump"]);
    assert!(code == Some(2) && said.contains("is no order"), "{said}");
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert!(version.contains("register map 1 of 1957:0809"), "{version}");
    assert!(String::from_utf8(run(&["--help"]).stdout).unwrap().contains("Usage: rsm-ntb-emu A.sock B.sock"));
}

//! Clients that mean no good: the bridge answers or cuts them off, and the other host goes on.

mod common;

use common::{BYTES, Folder, Host, Pair, event, memory, start, taken};
use rsm_ntb_emu::wire::{self, Body, Command, Header};
use rsm_ntb_emu::{Emulator, Options, map};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A client that sends what it likes.
struct Raw(UnixStream);

impl Raw {
    fn connect(path: &Path) -> Raw {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        stream.set_write_timeout(Some(common::PATIENCE)).unwrap();
        Raw(stream)
    }

    /// One that began as it should.
    fn greeted(path: &Path) -> Raw {
        let mut raw = Raw::connect(path);
        let mut body = Body::words(&[0]);
        body.0.extend(b"{}\0");
        assert!(raw.ask(Command::Version as u16, &body.0).is_ok());
        raw
    }

    fn send(&mut self, command: u16, flags: u32, body: &[u8]) {
        self.0.write_all(&wire::message(7, command, flags, 0, body)).unwrap();
    }

    fn send_with(&mut self, command: u16, body: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        let bytes = wire::message(7, command, 0, 0, body);
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    /// The body of the reply, or the errno that it has.
    fn reply(&mut self) -> Result<Vec<u8>, Errno> {
        let mut header = [0; wire::HEADER];
        self.0.read_exact(&mut header).unwrap();
        let header = Header::from_bytes(&header);
        assert_eq!((header.number, header.flags & wire::KIND), (7, wire::REPLY));
        let mut body = vec![0; header.size as usize - wire::HEADER];
        self.0.read_exact(&mut body).unwrap();
        if header.flags & wire::FAILED == 0 { Ok(body) } else { Err(Errno::from_raw_os_error(header.error as i32)) }
    }

    fn ask(&mut self, command: u16, body: &[u8]) -> Result<Vec<u8>, Errno> {
        self.send(command, 0, body);
        self.reply()
    }

    /// It is cut off.
    fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        // Reset, where what it sent was not read to the end.
        self.0.read_to_end(&mut rest).map_or_else(|e| e.kind() == std::io::ErrorKind::ConnectionReset, |_| true)
    }
}

/// A bridge with a host at its second socket that looks after itself.
fn bridge() -> (Emulator, Host, [std::path::PathBuf; 2], Folder) {
    let folder = Folder::new();
    let (emulator, paths) = start(&folder, Options::default());
    let b = Host::up(&paths[1]);
    (emulator, b, paths, folder)
}

/// A proper host takes the place of the hostile one, and traffic goes both ways.
fn check(emulator: Emulator, b: Host, paths: [std::path::PathBuf; 2], folder: Folder) {
    let a = Host::up(&paths[0]);
    assert_eq!((taken(&a.events[0], true), taken(&b.events[0], true) > 0), (1, true));
    Pair { a, b, emulator, paths, folder }.check();
}

/// The bodies of commands that are in order.
fn proper() -> Vec<(Command, Vec<u8>)> {
    let access = |at: u64, region: u32, bytes: u32| {
        let mut body = Body::default().and(&[at]);
        body.0.extend(Body::words(&[region, bytes]).0);
        body.0
    };
    vec![
        (Command::DmaMap, Body::words(&[32, 3]).and(&[0, 0x5000, 4096]).0),
        (Command::DmaUnmap, Body::words(&[24, 0]).and(&[0x5000, 4096]).0),
        (Command::DeviceInfo, Body::words(&[16, 0, 0, 0]).0),
        (Command::RegionInfo, Body::words(&[32, 0, 4, 0]).and(&[0, 0]).0),
        (Command::IrqInfo, Body::words(&[16, 0, 2, 0]).0),
        (Command::SetIrqs, Body::words(&[20, 33, 2, 0, 0]).0),
        (Command::RegionRead, access(0, map::CONFIG, 4)),
        (Command::RegionWrite, [access(4, map::CONFIG, 2), vec![6, 0]].concat()),
        (Command::Reset, Vec::new()),
    ]
}

#[test]
fn a_message_that_is_too_short_or_too_long_is_refused_and_the_next_is_heard() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    for (command, body) in proper() {
        for length in 0..body.len() {
            assert_eq!(raw.ask(command as u16, &body[..length]), Err(Errno::INVAL), "{command:?} of {length} bytes");
        }
        let longer = [&body[..], &[0]].concat();
        assert_eq!(raw.ask(command as u16, &longer), Err(Errno::INVAL), "{command:?} with a byte more");
        assert!(raw.ask(command as u16, &body).is_ok(), "{command:?}");
    }
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn absurd_numbers_are_refused() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    let mut refused = |command: Command, body: Body| {
        assert_eq!(raw.ask(command as u16, &body.0), Err(Errno::INVAL), "{command:?} {body:?}");
    };
    let numbers = [0, 1, 4095, 4096, 1 << 26, (1 << 26) + 1, 1 << 32, 1 << 63, u64::MAX - 4095, u64::MAX];
    let access = |at: u64, region: u32, bytes: u32| {
        let mut body = Body::default().and(&[at]);
        body.0.extend(Body::words(&[region, bytes]).0);
        body
    };
    for region in [0, 2, 4, 7] {
        refused(Command::RegionRead, access(u64::MAX, region, 8));
        refused(Command::RegionRead, access(u64::MAX - 7, region, 8));
        refused(Command::RegionRead, access(1 << 26, region, 1));
        for bytes in [0, (1 << 20) + 1, u32::MAX] {
            refused(Command::RegionRead, access(0, region, bytes));
            refused(Command::RegionWrite, access(0, region, bytes));
        }
    }
    for region in [1, 3, 5, 6, 8, 9, u32::MAX] {
        refused(Command::RegionRead, access(0, region, 4));
        let mut write = access(0, region, 4);
        write.0.extend([0; 4]);
        refused(Command::RegionWrite, write);
    }
    refused(Command::RegionInfo, Body::words(&[32, 0, 9, 0]).and(&[0, 0]));
    refused(Command::IrqInfo, Body::words(&[16, 0, 5, 0]));
    for (start, count) in [(0, 9), (8, 1), (u32::MAX, 1), (u32::MAX, u32::MAX), (1, u32::MAX)] {
        refused(Command::SetIrqs, Body::words(&[20, 36, 2, start, count]));
        refused(Command::SetIrqs, Body::words(&[20, 33, 2, start, count]));
    }
    for flags in [0, 4, 8, 16, 32, 34, 36 | 64, u32::MAX] {
        refused(Command::SetIrqs, Body::words(&[20, flags, 2, 0, 1]));
    }
    for flags in [0, 4, u32::MAX] {
        refused(Command::DmaMap, Body::words(&[32, flags]).and(&[0, 0, 4096]));
        refused(Command::DmaUnmap, Body::words(&[24, flags]).and(&[0, 1]));
    }
    // Whatever the numbers are, there is an answer.
    for address in numbers {
        for size in numbers {
            for (command, body) in [
                (Command::DmaMap, Body::words(&[32, 3]).and(&[0, address, size])),
                (Command::DmaUnmap, Body::words(&[24, 0]).and(&[address, size])),
            ] {
                let answer = raw.ask(command as u16, &body.0);
                assert!(matches!(answer, Ok(_) | Err(Errno::INVAL | Errno::EXIST)), "{command:?} {answer:?}");
            }
        }
    }
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn what_is_no_message_ends_the_connection() {
    let (emulator, b, paths, folder) = bridge();
    let version = Body::words(&[0]).0;
    // Another command first, a reply first; lengths that no message has.
    let mut first = vec![wire::message(7, 9, 0, 0, &[0; 16]), wire::message(7, 1, wire::REPLY, 0, &version)];
    for size in [0u32, 1, 15, wire::MOST_BYTES as u32 + 1, u32::MAX] {
        let mut bytes = wire::message(7, 1, 0, 0, &version);
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        first.push(bytes);
    }
    for bytes in first {
        let mut raw = Raw::connect(&paths[0]);
        raw.0.write_all(&bytes).unwrap();
        assert!(raw.is_cut(), "{bytes:x?}");
    }
    let mut raw = Raw::greeted(&paths[0]);
    raw.send(Command::DeviceInfo as u16, wire::REPLY, &[0; 16]);
    assert!(raw.is_cut(), "a reply that nobody asked for");
    // The end of the stream, within a header and within a body.
    for length in [1, 15, 17] {
        let mut raw = Raw::greeted(&paths[0]);
        raw.0.write_all(&wire::message(7, 9, 0, 0, &[0; 16])[..length]).unwrap();
    }
    check(emulator, b, paths, folder);
}

#[test]
fn unknown_commands_and_versions_are_refused() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::connect(&paths[0]);
    assert_eq!(raw.ask(1, &Body::words(&[1]).0), Err(Errno::OPNOTSUPP), "major version 1");
    assert_eq!(raw.ask(1, &[0; 3]), Err(Errno::INVAL), "half a version");
    assert!(raw.ask(1, &[0; 4]).is_ok(), "a client without capabilities");
    assert_eq!(raw.ask(1, &[0; 4]), Err(Errno::INVAL), "another version");
    for command in (0..200).filter(|command| Command::from_number(*command).is_none()) {
        assert_eq!(raw.ask(command, &[0; 40]), Err(Errno::OPNOTSUPP), "{command}");
    }
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn what_wants_no_reply_is_done_and_not_answered() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    for (command, body) in proper() {
        raw.send(command as u16, wire::NO_REPLY, &body);
        raw.send(command as u16, wire::NO_REPLY, &body[..body.len() / 2]);
    }
    let write = proper().into_iter().find(|(command, _)| *command == Command::RegionWrite).unwrap().1;
    raw.send(Command::RegionWrite as u16, wire::NO_REPLY, &write);
    let read = proper().into_iter().find(|(command, _)| *command == Command::RegionRead).unwrap().1;
    let mut config = read.clone();
    config[0] = 4;
    assert_eq!(raw.ask(Command::RegionRead as u16, &config).unwrap()[16..18], [6, 0], "the store, and no other answer");
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn descriptors_that_do_not_belong_are_refused_and_closed() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let events: Vec<_> = (0..40).map(|_| event()).collect();
    let memory = memory(BYTES);
    let map = Body::words(&[32, 3]).and(&[0, 0, BYTES]).0;
    for (command, body) in proper().into_iter().filter(|(c, _)| !matches!(c, Command::DmaMap | Command::SetIrqs)) {
        raw.send_with(command as u16, &body, &[writer.as_fd()]);
        assert_eq!(raw.reply(), Err(Errno::INVAL), "{command:?}");
    }
    raw.send_with(Command::DmaMap as u16, &map, &[memory.as_fd(), memory.as_fd()]);
    assert_eq!(raw.reply(), Err(Errno::INVAL));
    raw.send_with(Command::DmaMap as u16, &map, &[writer.as_fd()]);
    assert_eq!(raw.reply(), Err(Errno::INVAL), "a pipe is no memory");
    raw.send_with(Command::DmaMap as u16, &map, &[events[0].as_fd()]);
    assert!(matches!(raw.reply(), Err(Errno::INVAL)), "nor is an event descriptor");
    let set = Body::words(&[20, 36, 2, 0, 1]).0;
    raw.send_with(Command::SetIrqs as u16, &set, &[writer.as_fd()]);
    assert_eq!(raw.reply(), Err(Errno::INVAL), "a pipe raises nothing");
    let all: Vec<_> = events.iter().map(|event| event.as_fd()).collect();
    raw.send_with(Command::SetIrqs as u16, &set, &all);
    assert_eq!(raw.reply(), Err(Errno::MFILE), "more than a message may bring");
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "the bridge has kept none of them");
    raw.send_with(Command::DmaMap as u16, &map, &[memory.as_fd()]);
    assert!(raw.reply().is_ok());
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn memory_without_end_leaves_room_for_others() {
    let (emulator, b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    let mut address = 0;
    // Files with nothing in them, longer ones first, until not even a page is left.
    for shift in (12..47).rev() {
        for _ in 0..4 {
            let hole = memory(1 << shift);
            raw.send_with(Command::DmaMap as u16, &Body::words(&[32, 3]).and(&[0, address, 4096]).0, &[hole.as_fd()]);
            address += 4096 * u64::from(raw.reply().is_ok());
        }
    }
    assert!(address > 0);
    drop(b);
    let mut other = Raw::greeted(&paths[1]);
    for address in (0..1 << 32).step_by(64 << 20) {
        let more = memory(64 << 20);
        let map = Body::words(&[32, 3]).and(&[0, address, 64 << 20]).0;
        other.send_with(Command::DmaMap as u16, &map, &[more.as_fd()]);
        assert_eq!(other.reply().map(drop), Ok(()));
    }
    drop((raw, other));
    let b = Host::up(&paths[1]);
    check(emulator, b, paths, folder);
}

#[test]
fn an_interrupt_that_its_client_made_to_wait_keeps_nobody_waiting() {
    let Pair { a, mut b, emulator, paths, folder } = Pair::new(Options::default());
    let event = &a.events[1];
    rustix::fs::fcntl_setfl(event, OFlags::RDWR).unwrap();
    rustix::io::write(event, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let ringing = std::thread::spawn(move || {
        b.ring(1);
        tell.send(()).unwrap();
        b
    });
    let rung = told.recv_timeout(common::PATIENCE);
    // Whoever waits for room gets it. The kernel's own raises go one further than writes do.
    let count = taken(event, false);
    assert!(count >= u64::MAX - 1, "{count}");
    let b = ringing.join().unwrap();
    rung.expect("the other host's doorbell waits for nobody");
    drop(a);
    check(emulator, b, paths, folder);
}

#[test]
fn a_client_that_reads_no_answers_keeps_nobody_waiting() {
    let (emulator, mut b, paths, folder) = bridge();
    let mut raw = Raw::greeted(&paths[0]);
    raw.0.set_nonblocking(true).unwrap();
    let read = {
        let mut body = Body::default().and(&[0]);
        body.0.extend(Body::words(&[map::WINDOW, 1 << 20]).0);
        wire::message(7, Command::RegionRead as u16, 0, 0, &body.0)
    };
    let mut asked = 0;
    while raw.0.write(&read).is_ok_and(|sent| sent == read.len()) && asked < 100_000 {
        asked += 1;
    }
    for _ in 0..100 {
        b.store(0, 1);
        assert!(!b.link());
    }
    drop(raw);
    check(emulator, b, paths, folder);
}

#[test]
fn random_bytes_harm_nobody() {
    let (emulator, b, paths, folder) = bridge();
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..60 {
        let mut raw = Raw::greeted(&paths[0]);
        for _ in 0..40 {
            // A length that fits, so that the fields are looked at; or any.
            let length = (random() % 64) as usize;
            let body: Vec<u8> = (0..length).map(|_| (random() >> (random() % 64)) as u8).collect();
            let mut bytes = wire::message(7, (random() % 16) as u16, (random() as u32) & wire::NO_REPLY, 0, &body);
            if random().is_multiple_of(32) {
                let at = (random() % bytes.len() as u64) as usize;
                bytes[at] = random() as u8;
            }
            if raw.0.write_all(&bytes).is_err() {
                break;
            }
        }
    }
    check(emulator, b, paths, folder);
}

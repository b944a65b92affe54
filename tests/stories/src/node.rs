//! The node: a program that reads a command a line and answers each with a line, `ok ...` or `err NAME text`.
//!
//! Commands name their objects; the table of them (`command`) says what each takes. Some go on in a thread
//! (`go NAME COMMAND..`, whose answer `join NAME` gives).
#![allow(unsafe_code)] // fork, exec, handlers: what the stories are about

use crate::command::Command;
use rsm::{AccessList, Code, Controller, Error, Export, Import, ImporterEvent, Mapping, Permission, Result, SegmentId};
use rsm_shm::memory::page_size;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Ends the storms of stores.
static HALT: AtomicBool = AtomicBool::new(false);

/// Commands that only one of the test programs has ([`commands!`](crate::commands)); `None` for what is none of them.
pub type More = fn(&Things, &[String]) -> Option<Result<String>>;

static MORE: std::sync::OnceLock<More> = std::sync::OnceLock::new();

/// What the node has made so far.
#[derive(Default)]
pub struct Things {
    /// Exports by name.
    pub exports: Mutex<HashMap<String, Arc<Export>>>,
    /// Imports by name.
    pub imports: Mutex<HashMap<String, Arc<Import>>>,
    /// Mappings, by the name of their import.
    pub mappings: Mutex<HashMap<String, Arc<Mapping>>>,
    /// What is told of the importers of an export.
    pub events: Mutex<HashMap<String, rsm::ImporterEvents>>,
    /// Clusters whose agent lives in this process.
    pub clusters: Mutex<HashMap<String, Arc<rsm::Cluster>>>,
    running: Mutex<HashMap<String, JoinHandle<String>>>,
    /// Kernel thread ids of running threads, to send signals to.
    threads: Mutex<HashMap<String, i32>>,
}

/// No other commands.
pub fn no_more(_: &Things, _: &[String]) -> Option<Result<String>> {
    None
}

/// Reads commands until standard input ends, and does what every node can and what `more` says.
pub fn run(more: More) {
    MORE.get_or_init(|| more);
    let things = Arc::new(Things::default());
    serve(|words| carry_out(&things, words));
}

/// Reads commands until standard input ends, and answers each.
pub fn serve(mut carry_out: impl FnMut(&[String]) -> Result<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let answer = answer(carry_out(&words));
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn answer(done: Result<String>) -> String {
    match done {
        Ok(text) => format!("ok {text}"),
        Err(error) => format!("err {} {error}", error.code().name()),
    }
}

/// The answer to what is no command of the program's.
///
/// # Errors
/// BAD_ARGS_ERRORS, always.
pub fn no_command(words: &[String]) -> Result<String> {
    Err(Error::with(Code::BadArgsErrors, format!("no command {words:?}")))
}

fn find<T>(of: &Mutex<HashMap<String, Arc<T>>>, name: &str) -> Arc<T> {
    Arc::clone(of.lock().unwrap().get(name).unwrap_or_else(|| panic!("nothing is called {name}")))
}

fn carry_out(things: &Arc<Things>, words: &[String]) -> Result<String> {
    let Some(command) = Command::read(words) else {
        return MORE.get().and_then(|more| more(things, words)).unwrap_or_else(|| no_command(words));
    };
    let done = |()| String::new();
    match &command {
        Command::Export { name, bytes } => {
            let export = Controller::open("shm0")?.export(*bytes)?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::ExportSealed { name, bytes } => {
            let export = Controller::open("shm0")?.export_sealed(*bytes)?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::ExportHuge { name, bytes } => {
            let export = Controller::open("shm0")?.export_huge(*bytes)?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::WriteAs { name, offset, value, user } => {
            let user = rustix::process::Uid::from_raw(*user);
            rustix::thread::set_thread_res_uid(user, user, user).expect("root");
            find(&things.exports, name).memory().write_volatile_u64(*offset, *value).map(done)
        }
        Command::Adopt { name, bytes } => {
            let start = pages(*bytes);
            // SAFETY: memory that is never unmapped, used through exports only.
            let export = unsafe { Controller::open("shm0")?.adopt(start, *bytes) }?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::AdoptFilled { name, bytes } => {
            let (start, length) = (pages(*bytes), *bytes);
            for at in (0..length).step_by(page_size()) {
                // SAFETY: inside a mapping of ours that nothing refers to.
                unsafe { start.add(at).cast::<u64>().write_volatile(7) };
            }
            // SAFETY: as above.
            let export = unsafe { Controller::open("shm0")?.adopt(start, length) }?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::AdoptAgain { name, other } => {
            let first = find(&things.exports, other);
            let memory = first.memory();
            // SAFETY: as above, the same memory once more.
            let export = unsafe { Controller::open("shm0")?.adopt(memory.as_ptr(), memory.len()) }?;
            things.exports.lock().unwrap().insert(name.to_owned(), Arc::new(export));
            Ok(String::new())
        }
        Command::Publish { name, id, node, mode } => {
            let mut access = AccessList::everyone();
            if let Some(node) = *node {
                access = AccessList::new().node(node, mode.expect("a mode for the node"));
            }
            let id = find(&things.exports, name).publish(SegmentId::new(*id), &access)?;
            Ok(id.to_string())
        }
        Command::Republish { name } => find(&things.exports, name).republish(&AccessList::everyone()).map(done),
        Command::Unpublish { name } => find(&things.exports, name).unpublish().map(done),
        Command::Destroy { name } => {
            let export = things.exports.lock().unwrap().remove(name).expect("exported");
            Arc::into_inner(export).expect("nobody else uses it").destroy().map(done)
        }
        Command::TryDestroy { name } => {
            let mut exports = things.exports.lock().unwrap();
            let export = exports.get_mut(name).expect("exported");
            Arc::get_mut(export).expect("nobody else uses it").try_destroy()?;
            drop(exports.remove(name));
            Ok(String::new())
        }
        Command::Connect { name, node, id, permission, within } => {
            let (node, id) = (*node, SegmentId::new(*id));
            let controller = Controller::open("shm0")?;
            let import = match *within {
                None => controller.connect(node, id, *permission)?,
                Some(within) => {
                    let within = Duration::from_millis(within);
                    controller.connect_within(node, id, *permission, within)?
                }
            };
            things.imports.lock().unwrap().insert(name.to_owned(), Arc::new(import));
            Ok(String::new())
        }
        Command::Common { name, id, bytes, permission } => {
            let (id, everyone) = (SegmentId::new(*id), AccessList::everyone());
            let import = Controller::open("shm0")?.common(id, *bytes, *permission, &everyone)?;
            things.imports.lock().unwrap().insert(name.to_owned(), Arc::new(import));
            Ok(String::new())
        }
        Command::Disconnect { name } => {
            let import = things.imports.lock().unwrap().remove(name).expect("connected");
            Arc::into_inner(import).expect("nobody else uses it").disconnect().map(done)
        }
        Command::Mode { name, mode } => {
            find(&things.imports, name).set_mode(*mode);
            Ok(String::new())
        }
        Command::Put { name, offset, value } => find(&things.imports, name).put_u64(*offset, *value).map(done),
        Command::Get { name, offset } => find(&things.imports, name).get_u64(*offset).map(|v| v.to_string()),
        Command::MapSpan { name, offset, value } => {
            let (import, mapping) = (find(&things.imports, name), find(&things.mappings, name));
            let span = import.open_barrier()?;
            mapping.memory().write_volatile_u64(*offset, *value)?;
            span.close().map(done)
        }
        Command::Span { name, offset, value } => {
            let import = find(&things.imports, name);
            let span = import.open_barrier()?;
            import.put_u64(*offset, *value)?;
            span.close().map(done)
        }
        Command::Read { name, offset } => {
            find(&things.exports, name).memory().read_volatile_u64(*offset).map(|v| v.to_string())
        }
        Command::Write { name, offset, value } => {
            find(&things.exports, name).memory().write_volatile_u64(*offset, *value).map(done)
        }
        Command::Map { name } => {
            let import = find(&things.imports, name);
            let mapping = import.map(0, import.len(), import.permission())?;
            things.mappings.lock().unwrap().insert(name.to_owned(), Arc::new(mapping));
            Ok(String::new())
        }
        Command::Unmap { name } => {
            things.mappings.lock().unwrap().remove(name);
            Ok(String::new())
        }
        Command::Store { name, offset, value } => {
            find(&things.mappings, name).memory().store_u64(*offset, *value, SeqCst)?;
            Ok(String::new())
        }
        Command::Load { name, offset } => {
            find(&things.mappings, name).memory().read_volatile_u64(*offset).map(|v| v.to_string())
        }
        Command::Post { name } => find(&things.imports, name).signal().map(done),
        Command::PostAll { name } => find(&things.exports, name).signal().map(done),
        Command::Watch { name } => {
            let events = find(&things.exports, name).watch_importers()?;
            things.events.lock().unwrap().insert(name.to_owned(), events);
            Ok(String::new())
        }
        Command::Event { name, within } => {
            let mut events = things.events.lock().unwrap();
            Ok(match events.get_mut(name).expect("watched").next(within.0)? {
                ImporterEvent::Connected(importer) => format!("connected {} {}", importer.node, importer.pid),
                ImporterEvent::Left(importer, why) => format!("left {} {} {why:?}", importer.node, importer.pid),
                other => panic!("{other:?}"),
            })
        }
        Command::WaitWhile { name, within } => find(&things.exports, name).wait_while_imported(within.0).map(done),
        Command::Why { name } => {
            Ok(find(&things.imports, name).why_aborted().map_or_else(|| "none".into(), |why| format!("{why:?}")))
        }
        Command::WaitImport { name, within } => find(&things.imports, name).wait(within.0).map(done),
        Command::WaitExport { name, within } => find(&things.exports, name).wait(within.0).map(done),
        Command::Go { name, command } => {
            let (things2, command) = (Arc::clone(things), command.0.clone());
            let (tell, told) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                // SAFETY: no arguments, no memory.
                tell.send(unsafe { libc::gettid() }).expect("the command loop waits");
                answer(carry_out(&things2, &command))
            });
            things.threads.lock().unwrap().insert(name.to_owned(), told.recv().expect("the thread runs"));
            things.running.lock().unwrap().insert(name.to_owned(), thread);
            Ok(String::new())
        }
        Command::Join { name } => {
            let thread = things.running.lock().unwrap().remove(name).expect("going");
            Ok(thread.join().expect("no panic"))
        }
        Command::Asleep { name } => Ok(is_asleep(things.threads.lock().unwrap()[name]).to_string()),
        Command::Running { name } => {
            let running = things.running.lock().unwrap();
            Ok((!running[name].is_finished()).to_string())
        }
        Command::Cycles { rounds } => {
            // Create, connect, transfer and give back, again and again.
            let controller = Controller::open("shm0")?;
            for _ in 0..*rounds {
                let export = controller.export(131_072)?;
                let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
                let import = controller.connect(controller.node().id(), id, Permission::ReadWrite)?;
                import.put_u64(0, 1)?;
                import.map(65536, 65536, Permission::Read)?;
                import.disconnect()?;
                export.destroy()?;
            }
            Ok(String::new())
        }
        Command::Poke { name } => {
            let thread = things.threads.lock().unwrap()[name];
            // SAFETY: a signal to a thread of this process, for which "handler" was called.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
            Ok(String::new())
        }
        Command::Handler {} => {
            install_handler();
            Ok(String::new())
        }
        Command::System {} => {
            // SAFETY: a C string. The signal of the child's end is blocked in this thread, and goes to others.
            let rc = unsafe { libc::system(c"exit 3".as_ptr()) };
            Ok(libc::WEXITSTATUS(rc).to_string())
        }
        Command::ForkStore { name, offset } => {
            Ok(fork_storing_child(&find(&things.mappings, name), *offset).to_string())
        }
        Command::ForkIdle {} => Ok(fork_idle_child().to_string()),
        Command::ForkStay { name } => {
            let import = find(&things.imports, name);
            Ok(fork_beside(|| {
                let put = import.put_u64(0, 1);
                // An export shows that it is one of the node by now, with all that it inherited.
                let export = Controller::open("shm0").and_then(|shm| shm.export(65536));
                put.is_ok() && export.is_ok() && import.wait(None).is_err_and(|error| error.code() == Code::ConnAborted)
            }))
        }
        Command::ForkExport {} => {
            Ok(fork_beside(|| Controller::open("shm0").and_then(|shm| shm.export(65536)).is_ok()))
        }
        Command::ForkExit {} => {
            let (child, mut status) = (BESIDE.load(std::sync::atomic::Ordering::SeqCst), 0);
            // SAFETY: reaps the child that was made.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            Ok(status.to_string())
        }
        Command::ForkCall { command } => Ok(in_child(|| answer(carry_out(things, &command.0)))),
        Command::ExecSleep {} => {
            exec_sleep();
            Ok(String::new())
        }
        Command::Daemonize {} => {
            // SAFETY: the child of a daemon(3) goes on with one thread, which is what this story is about.
            let rc = unsafe { libc::daemon(1, 1) };
            Ok(format!("{rc} {}", std::process::id()))
        }
        Command::CloseFrom { first } => {
            // SAFETY: closes what the application has no right to expect the library to survive, on purpose.
            let rc = unsafe { libc::syscall(libc::SYS_close_range, *first, u32::MAX, 0) };
            Ok(rc.to_string())
        }
        Command::Nofile { limit } => {
            set_nofile(*limit);
            Ok(String::new())
        }
        Command::PutLoop { name } => {
            // Implicit transfers until one fails.
            let import = find(&things.imports, name);
            let bytes = vec![1; import.len() - 64];
            loop {
                import.put(64, &bytes)?;
            }
        }
        Command::Storm { name, offset } => {
            let mapping = find(&things.mappings, name);
            let memory = mapping.memory();
            let mut value = 0;
            while !HALT.load(SeqCst) {
                value += 1;
                memory.store_u64(*offset, value, SeqCst)?;
            }
            Ok(value.to_string())
        }
        Command::Halt {} => {
            HALT.store(true, SeqCst);
            Ok(String::new())
        }
        Command::Observe { cluster } => {
            rsm::observe::Observer::attach(Some(cluster.as_str())).map(|o| o.nodes().len().to_string())
        }
        Command::Cluster { name, nodes } => {
            let cluster = rsm::Cluster::new(*nodes)?;
            things.clusters.lock().unwrap().insert(name.to_owned(), Arc::new(cluster));
            Ok(String::new())
        }
        Command::EndCluster { name } => {
            let cluster = things.clusters.lock().unwrap().remove(name).expect("started");
            drop(Arc::into_inner(cluster).expect("nobody else uses it"));
            Ok(String::new())
        }
        Command::HoldLease { name } => Ok(hold_lease(&find(&things.mappings, name)).to_string()),
        Command::Host { nodes } => Ok(host(*nodes)?),
        Command::Tallied {} => {
            let controller = Controller::open("shm0")?;
            let on = controller.node().membership().tallied().is_some();
            Ok(if on { "on" } else { "off" }.to_owned())
        }
        Command::Pid {} => Ok(std::process::id().to_string()),
        Command::SetEuid { user } => {
            // SAFETY: plain calls; the group goes first, while it may.
            let rc = unsafe { libc::setegid(*user) | libc::seteuid(*user) };
            Ok(rc.to_string())
        }
        Command::Become { user } => {
            // SAFETY: as above.
            let rc = unsafe { libc::setresgid(*user, *user, *user) | libc::setresuid(*user, *user, *user) };
            Ok(rc.to_string())
        }
        Command::Exit { code } => std::process::exit(*code),
        Command::Keep { name } => {
            keep(&find(&things.mappings, name));
            Ok(String::new())
        }
        Command::KeepStore { offset, value } => {
            kept(*offset).store(*value, SeqCst);
            Ok(String::new())
        }
        Command::KeepLoad { offset } => Ok(kept(*offset).load(SeqCst).to_string()),
        Command::Send { name } => Ok(send_to_myself(&find(&things.mappings, name)).to_string()),
        Command::Receive {} => {
            receive_and_keep();
            Ok(String::new())
        }
        Command::Close { name, offset } => {
            change_page("close", find(&things.exports, name).memory().as_ptr(), *offset);
            Ok(String::new())
        }
        Command::Replace { name, offset } => {
            change_page("replace", find(&things.exports, name).memory().as_ptr(), *offset);
            Ok(String::new())
        }
        Command::TakeAway { name, offset } => {
            change_page("takeaway", find(&things.exports, name).memory().as_ptr(), *offset);
            Ok(String::new())
        }
        Command::OwnStorm { name } => Ok(own_storm(&find(&things.exports, name)).to_string()),
        Command::Rebind { name } => {
            let mut export = things.exports.lock().unwrap().remove(name).expect("exported");
            let length = export.len();
            // SAFETY: memory that is never unmapped, used through exports only.
            let bound =
                unsafe { Arc::get_mut(&mut export).expect("nobody else uses it").rebind(pages(length), length) };
            things.exports.lock().unwrap().insert(name.to_owned(), export);
            bound.map(done)
        }
    }
}

/// Opens the memory behind a mapping by way of /proc and keeps a lease on it, as an unwilling importer might.
fn hold_lease(mapping: &Mapping) -> bool {
    let start = mapping.as_ptr().addr();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
    let range = maps.lines().find_map(|line| {
        let range = line.split(' ').next()?;
        (usize::from_str_radix(range.split('-').next()?, 16) == Ok(start)).then(|| range.to_owned())
    });
    let path = format!("/proc/self/map_files/{}", range.expect("the mapping"));
    let Ok(file) = std::fs::File::open(path) else { return false };
    let fd = std::os::fd::IntoRawFd::into_raw_fd(file);
    // SAFETY: plain fcntl commands; the descriptor is kept open on purpose. 10 is F_SETSIG: SIGIO would kill us.
    unsafe {
        libc::fcntl(fd, 10, libc::SIGURG);
        libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0
    }
}

/// What this program mapped behind the library's back.
static KEPT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Maps the memory of a mapping once more, where the library does not know of it.
fn keep(mapping: &Mapping) {
    let flags = rustix::mm::MremapFlags::MAYMOVE;
    // SAFETY: an old size of 0 leaves the mapping where it is and makes another one where the kernel chooses.
    let again = unsafe { rustix::mm::mremap(mapping.as_ptr().cast(), 0, mapping.len(), flags) }.expect("a mapping");
    KEPT.store(again.expose_provenance(), SeqCst);
}

/// A word of what was kept.
fn kept(offset: u64) -> &'static std::sync::atomic::AtomicU64 {
    let place = std::ptr::with_exposed_provenance::<u8>(KEPT.load(SeqCst) + offset as usize);
    // SAFETY: mapped by `keep` or `receive_and_keep` for ever, and stories use aligned offsets inside it.
    unsafe { &*place.cast() }
}

/// The ends of a socket that descriptors wait in.
static POST: Mutex<Option<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)>> = Mutex::new(None);

/// Opens the memory behind a mapping and leaves the descriptor in a socket, unread; `false` where /proc does not let us.
fn send_to_myself(mapping: &Mapping) -> bool {
    use std::os::fd::AsFd;
    let start = mapping.as_ptr().addr();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
    let range = maps.lines().filter_map(|line| line.split(' ').next());
    let range =
        range.into_iter().find(|r| r.split('-').next().map(|s| usize::from_str_radix(s, 16)) == Some(Ok(start)));
    let path = format!("/proc/self/map_files/{}", range.expect("the mapping"));
    let Ok(file) = std::fs::File::options().read(true).write(true).open(path) else { return false };
    let (here, there) = rsm_shm::socket::packet_pair().expect("a socket pair");
    rsm_shm::socket::send(&here, b"memory", &[file.as_fd()], rustix::net::SendFlags::empty()).expect("room");
    *POST.lock().unwrap() = Some((here, there));
    true
}

/// Takes the descriptor out of the socket and maps what it leads to.
fn receive_and_keep() {
    let (_here, there) = POST.lock().unwrap().take().expect("sent");
    let packet =
        rsm_shm::socket::receive(&there, rustix::net::RecvFlags::empty()).expect("a packet").expect("a packet");
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: fresh addresses that the kernel chooses.
    let mapped = unsafe { mmap(std::ptr::null_mut(), page_size(), access, flags, &packet.descriptors[0], 0) };
    KEPT.store(mapped.expect("a mapping").expose_provenance(), SeqCst);
}

/// Two threads store to words of their own until `halt`; says how many of their stores were not there afterwards.
fn own_storm(export: &Export) -> u64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = [export.len() / 2, export.len() - 8]
            .map(|offset| {
                scope.spawn(move || {
                    let memory = export.memory();
                    let word = memory.atomic_u64(offset as u64).expect("in the segment");
                    let (mut value, mut lost) = (0, 0);
                    while !HALT.load(SeqCst) {
                        lost += u64::from(word.load(SeqCst) != value);
                        value += 1;
                        word.store(value, SeqCst);
                    }
                    lost
                })
            })
            .into_iter()
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

/// Starts a cluster whose agent lives in this process; says how to join, a word for each node.
fn host(nodes: u32) -> Result<String> {
    let cluster = rsm::Cluster::new(nodes)?;
    let mut words = Vec::new();
    for node in 1..=nodes {
        let pairs: Vec<String> = cluster.environment(node)?.iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.push(pairs.join(","));
    }
    std::mem::forget(cluster); // ends with the process
    Ok(words.join(" "))
}

/// What a program should not do with a page of exported memory.
fn change_page(how: &str, start: *mut u8, offset: usize) {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
    let page = rustix::param::page_size();
    let place = start.wrapping_add(offset).cast();
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
    // SAFETY: a page of memory that this node mapped, which no story accesses again.
    unsafe {
        match how {
            "close" => mprotect(place, page, MprotectFlags::empty()),
            "replace" => mmap_anonymous(place, page, access, flags).map(drop),
            _ => munmap(place, page),
        }
    }
    .expect("a page of the range");
}

/// Fresh memory, for ever.
pub fn pages(length: usize) -> *mut u8 {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: fresh memory at addresses the kernel chooses.
    unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, flags) }.expect("memory").cast()
}

/// Whether a thread of this process sleeps in the kernel.
fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

fn install_handler() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, with SA_RESTART, the harder case (D-77).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
}

/// Forks a child that stores to a mapping for ever and never calls the library.
fn fork_storing_child(mapping: &Mapping, offset: u64) -> i32 {
    let word = mapping.memory().atomic_u64(offset).expect("in the mapping");
    // SAFETY: the child only stores through an inherited mapping and dies with its parent.
    unsafe {
        let parent = libc::getpid();
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let mut value = 0u64;
            while libc::getppid() == parent {
                value += 1;
                word.store(value, SeqCst);
            }
            libc::_exit(0);
        }
        child
    }
}

/// Forks a child that does nothing but keep what this process has open; it is ended by the story, or after a minute.
pub fn fork_idle_child() -> i32 {
    // SAFETY: the child makes two system calls.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            // Away from the story's pipes, whose end it would hold off.
            libc::close(0);
            libc::close(1);
            libc::alarm(60);
            libc::pause();
            libc::_exit(0);
        }
        child
    }
}

/// The last child made by [`fork_beside`].
static BESIDE: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

/// Runs something in a forked child that nobody waits for; gives its process id.
fn fork_beside(body: impl FnOnce() -> bool) -> String {
    // SAFETY: as in `in_child`.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::close(0);
            libc::close(1);
            libc::alarm(60);
            libc::_exit(i32::from(!body()));
        }
        BESIDE.store(child, std::sync::atomic::Ordering::SeqCst);
        child.to_string()
    }
}

/// Runs something in a forked child and gives what it said.
fn in_child(body: impl FnOnce() -> String) -> String {
    let Ok((mut reader, mut writer)) = std::io::pipe() else {
        return answer(Err(Error::with(Code::InsufficientResources, "no pipe")));
    };
    // SAFETY: this program forks from its command loop; what the child uses (the allocator, the library) supports it.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return answer(Err(Error::with(Code::InsufficientResources, "no child")));
    }
    if child == 0 {
        drop(reader);
        let text = body();
        let _ = writer.write_all(text.as_bytes());
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(0) };
    }
    drop(writer);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).expect("the child writes text");
    // SAFETY: reaps the child just made.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    text
}

fn exec_sleep() {
    // SAFETY: static C strings, a terminated argument list.
    unsafe {
        let program = c"sleep".as_ptr();
        let arguments = [program, c"60".as_ptr(), std::ptr::null()];
        libc::execvp(program, arguments.as_ptr());
    }
}

fn set_nofile(limit: u64) {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit.max(1024) };
    // SAFETY: the kernel reads the structure.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

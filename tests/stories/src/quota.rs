//! A file system that takes every write and says at close that it was too much, as NFS does with quotas: a FUSE server
//! in a few lines, seen only by the thread that mounted it and by what that thread starts.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Does something with such a file system mounted on a directory; says why it could not be mounted. Call it on a thread
/// that ends afterwards: it gets a mount namespace of its own, with which the file system goes.
fn with_quota(directory: &Path, act: impl FnOnce()) -> Result<(), String> {
    let failed = |what: &str| Err(format!("{what}: {}", std::io::Error::last_os_error()));
    let device = File::options().read(true).write(true).open("/dev/fuse").map_err(|e| format!("/dev/fuse: {e}"))?;
    let path = CString::new(directory.as_os_str().as_bytes()).unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let (kind, options) = (c"fuse.rsmquota", CString::new(options).unwrap());
    // SAFETY: a call with a number. It concerns this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return failed("unshare");
    }
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all strings end with a zero and outlive the calls, which keep none of them.
    let mounted = unsafe {
        libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()) == 0
            && libc::mount(c"quota".as_ptr(), path.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
    };
    if !mounted {
        return failed("mount");
    }
    let server = std::thread::spawn(move || serve(device));
    act();
    // SAFETY: as above. Whoever still has a file open there gets errors from it.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    server.join().unwrap();
    Ok(())
}

const ROOT: u64 = 1;

#[derive(Default)]
struct Files {
    names: HashMap<Vec<u8>, u64>,
    lengths: HashMap<u64, u64>,
}

/// Answers until the file system is unmounted.
fn serve(mut device: File) {
    let mut files = Files::default();
    let mut message = vec![0; 1 << 18];
    while let Ok(length) = device.read(&mut message) {
        let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().unwrap());
        let (operation, request, inode) = (word(0) >> 32, word(8), word(16));
        let Some(answer) = files.answer(operation, inode, &message[40..length]) else { continue };
        let (error, content) = answer.map_or_else(|errno| (-errno, Vec::new()), |content| (0, content));
        let mut reply = (16 + content.len() as u32).to_le_bytes().to_vec();
        reply.extend(error.to_le_bytes());
        reply.extend(request.to_le_bytes());
        reply.extend(content);
        // Fails for a request that was given up meanwhile.
        let _ = device.write(&reply);
    }
}

impl Files {
    /// The operations by the numbers of `linux/fuse.h`; nothing for those that take no answer.
    fn answer(&mut self, operation: u64, inode: u64, argument: &[u8]) -> Option<Result<Vec<u8>, i32>> {
        let word = |at: usize| u64::from_le_bytes(argument[at..at + 8].try_into().unwrap());
        let name = |at: usize| argument[at..].split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        Some(match operation {
            2 | 42 => return None,
            // LOOKUP, CREATE
            1 => self.names.get(&name(0)).map(|&inode| self.entry(inode)).ok_or(libc::ENOENT),
            35 => {
                let next = self.names.len() as u64 + ROOT + 1;
                let inode = *self.names.entry(name(16)).or_insert(next);
                self.lengths.insert(inode, 0);
                let mut content = self.entry(inode);
                content.extend(words(&[inode, 1]));
                Ok(content)
            }
            // GETATTR, SETATTR
            3 | 4 => {
                if operation == 4 && word(0) & 8 != 0 {
                    self.lengths.insert(inode, word(16));
                }
                Ok([words(&[0, 0]), self.attributes(inode)].concat())
            }
            // OPEN, OPENDIR
            14 | 27 => Ok(words(&[inode, 0])),
            // WRITE
            16 => {
                let written = word(16) & u64::from(u32::MAX);
                let length = self.lengths.entry(inode).or_default();
                *length = (*length).max(word(8) + written);
                Ok(words(&[written]))
            }
            // STATFS: room for all.
            17 => Ok(words(&[1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096 | 255 << 32, 4096, 0, 0, 0])),
            // FSYNC, FLUSH
            20 | 25 => Err(libc::EDQUOT),
            // INIT: version 7.31, writes of up to 128 KiB.
            26 => Ok(words(&[7 | 31 << 32, 1 << 16, 12 | 10 << 16 | (1 << 17) << 32, 1, 0, 0, 0, 0])),
            // READDIR, RELEASE, RELEASEDIR
            18 | 28 | 29 => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        })
    }

    fn entry(&self, inode: u64) -> Vec<u8> {
        [words(&[inode, 0, 0, 0, 0]), self.attributes(inode)].concat()
    }

    fn attributes(&self, inode: u64) -> Vec<u8> {
        let length = self.lengths.get(&inode).copied().unwrap_or(0);
        let mode: u64 = if inode == ROOT { 0o40777 } else { 0o100_666 };
        // The mode, and one link; the size of a block at the end.
        words(&[inode, length, length.div_ceil(512), 0, 0, 0, 0, mode << 32, 1, 0, 4096])
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Does something with such a file system at a directory that is there, or says why it cannot be had here.
pub fn attempt(directory: &Path, act: impl FnOnce() + Send + 'static) {
    let directory = directory.to_owned();
    let done = std::thread::spawn(move || with_quota(&directory, act)).join();
    match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(()) => {}
        Err(why) => eprintln!("skipped, no file system that has a quota: {why}"),
    }
}

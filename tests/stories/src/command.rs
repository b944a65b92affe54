//! Commands: how they are defined ([`commands!`](crate::commands)) and read, and those that every node understands. A word
//! too many or too few, or one that says nothing, is a mistake of the story's.

use rsm::{BarrierMode, Permission};
use std::time::Duration;

/// What is left of a command.
#[derive(Debug)]
pub struct Words<'a>(&'a [String]);

impl<'a> Words<'a> {
    /// The words of a command, after the first.
    pub fn new(words: &'a [String]) -> Words<'a> {
        Words(words)
    }

    /// Takes the next word, which says `what`.
    ///
    /// # Errors
    /// There is none left.
    pub fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let (first, rest) = self.0.split_first().ok_or_else(|| format!("it has no {what}"))?;
        self.0 = rest;
        Ok(first)
    }

    /// Ends the command.
    ///
    /// # Errors
    /// Words are left.
    pub fn end(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{:?} is too much", self.0)) }
    }
}

/// What a word of a command can be.
pub trait Field: Sized {
    /// Takes it from what is left of the command, where it is `what`.
    ///
    /// # Errors
    /// What is wrong with the word, or that there is none.
    fn take(words: &mut Words<'_>, what: &str) -> Result<Self, String>;
}

impl Field for String {
    fn take(words: &mut Words<'_>, what: &str) -> Result<String, String> {
        words.next(what).map(str::to_owned)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Field for $number {
            fn take(words: &mut Words<'_>, what: &str) -> Result<$number, String> {
                let word = words.next(what)?;
                let number = word.strip_prefix("0x").map_or_else(|| word.parse(), |hex| u64::from_str_radix(hex, 16));
                let number = number.ok().and_then(|number| <$number>::try_from(number).ok());
                number.ok_or_else(|| format!("its {what} {word:?} is no number, or too large"))
            }
        }
    )*};
}
numbers!(u64 u32 usize i32);

impl<T: Field> Field for Option<T> {
    fn take(words: &mut Words<'_>, what: &str) -> Result<Option<T>, String> {
        if words.0.is_empty() { Ok(None) } else { T::take(words, what).map(Some) }
    }
}

impl Field for Permission {
    fn take(words: &mut Words<'_>, what: &str) -> Result<Permission, String> {
        match words.next(what)? {
            "r" => Ok(Permission::Read),
            "w" => Ok(Permission::Write),
            "rw" => Ok(Permission::ReadWrite),
            other => Err(format!("its {what} is {other:?}, not r, w or rw")),
        }
    }
}

impl Field for BarrierMode {
    fn take(words: &mut Words<'_>, what: &str) -> Result<BarrierMode, String> {
        match words.next(what)? {
            "explicit" => Ok(BarrierMode::Explicit),
            "implicit" => Ok(BarrierMode::Implicit),
            other => Err(format!("its {what} is {other:?}, not explicit or implicit")),
        }
    }
}

/// How long to wait: milliseconds, or `forever`.
#[derive(Clone, Copy, Debug)]
pub struct Within(pub Option<Duration>);

impl Field for Within {
    fn take(words: &mut Words<'_>, what: &str) -> Result<Within, String> {
        if words.0.first().is_some_and(|word| word == "forever") {
            return words.next(what).map(|_| Within(None));
        }
        u64::take(words, what).map(|milliseconds| Within(Some(Duration::from_millis(milliseconds))))
    }
}

/// A command inside of another.
#[derive(Clone, Debug)]
pub struct Rest(pub Vec<String>);

impl Field for Rest {
    fn take(words: &mut Words<'_>, _: &str) -> Result<Rest, String> {
        Ok(Rest(std::mem::take(&mut words.0).to_vec()))
    }
}

/// Defines the commands of a program, and how they are read: `commands! { enum Command { /// What it does. Name "word" { field:
/// Type } .. } }`.
#[macro_export]
macro_rules! commands {
    ($(#[$about:meta])* $seen:vis enum $commands:ident {
        $($(#[$doc:meta])* $variant:ident $word:literal { $($field:ident: $type:ty),* })*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        $seen enum $commands {
            $($(#[$doc])* $variant { $(#[allow(missing_docs)] $field: $type),* },)*
        }

        impl $commands {
            /// Reads a command; `None` when it is none of these. Of one that is badly said the program ends.
            $seen fn read(words: &[String]) -> Option<$commands> {
                let (first, rest) = words.split_first()?;
                #[allow(unused_mut, reason = "none of them may have a field")]
                let mut rest = $crate::command::Words::new(rest);
                let mut read = || {
                    let command = match first.as_str() {
                        $($word => $commands::$variant {
                            $($field: $crate::command::Field::take(&mut rest, stringify!($field))?),*
                        },)*
                        _ => return Ok(None),
                    };
                    rest.end().map(|()| Some(command))
                };
                read().unwrap_or_else(|wrong: String| panic!("{words:?}: {wrong}"))
            }
        }
    };
}

/// Defines a word of a command that is one of a few: `choices! { enum Step { /// What it is. Name "word" .. } }`.
#[macro_export]
macro_rules! choices {
    ($(#[$about:meta])* $seen:vis enum $choices:ident { $($(#[$doc:meta])* $variant:ident $word:literal)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $seen enum $choices {
            $($(#[$doc])* $variant,)*
        }

        impl $crate::command::Field for $choices {
            fn take(words: &mut $crate::command::Words<'_>, what: &str) -> Result<$choices, String> {
                match words.next(what)? {
                    $($word => Ok($choices::$variant),)*
                    other => Err(format!("its {what} is {other:?}, not one of {:?}", [$($word),*])),
                }
            }
        }
    };
}

commands! {
    /// What every node understands.
    pub(crate) enum Command {
        /// Exports memory of rsm's.
        Export "export" { name: String, bytes: usize }
        /// Exports memory that only this process writes.
        ExportSealed "exportsealed" { name: String, bytes: usize }
        /// Becomes another user and stores to an export. For children only: there is no way back.
        WriteAs "writeas" { name: String, offset: u64, value: u64, user: u32 }
        /// Exports fresh memory of the program's.
        Adopt "adopt" { name: String, bytes: usize }
        /// As `adopt`, with 7 at the start of each 4096 bytes.
        AdoptFilled "adoptfilled" { name: String, bytes: usize }
        /// Exports the memory of another export once more.
        AdoptAgain "adoptagain" { name: String, other: String }
        /// Exports memory in huge pages.
        ExportHuge "exporthuge" { name: String, bytes: usize }
        /// Publishes for everybody, or for one node with a mode.
        Publish "publish" { name: String, id: u32, node: Option<u32>, mode: Option<u32> }
        /// Publishes for everybody from now on.
        Republish "republish" { name: String }
        /// Takes a segment back.
        Unpublish "unpublish" { name: String }
        /// Destroys an export.
        Destroy "destroy" { name: String }
        /// Destroys an export, which stays when that fails.
        TryDestroy "trydestroy" { name: String }
        /// Connects, at once or within so many milliseconds.
        Connect "connect" { name: String, node: u32, id: u32, permission: Permission, within: Option<u64> }
        /// Asks for a segment of the cluster, and connects to it.
        Common "common" { name: String, id: u32, bytes: usize, permission: Permission }
        /// Gives an import back.
        Disconnect "disconnect" { name: String }
        /// Says who vouches for transfers.
        Mode "mode" { name: String, mode: BarrierMode }
        /// Puts a word.
        Put "put" { name: String, offset: u64, value: u64 }
        /// Gets a word.
        Get "get" { name: String, offset: u64 }
        /// Puts a word in a span of its own.
        Span "span" { name: String, offset: u64, value: u64 }
        /// As a span, through the mapping.
        MapSpan "mapspan" { name: String, offset: u64, value: u64 }
        /// Loads a word of an export.
        Read "read" { name: String, offset: u64 }
        /// Stores a word of an export.
        Write "write" { name: String, offset: u64, value: u64 }
        /// Maps all of an import.
        Map "map" { name: String }
        /// Ends the mapping.
        Unmap "unmap" { name: String }
        /// Stores a word through the mapping.
        Store "store" { name: String, offset: u64, value: u64 }
        /// Loads a word through the mapping.
        Load "load" { name: String, offset: u64 }
        /// Posts to the export of an import.
        Post "post" { name: String }
        /// Posts to the imports of an export.
        PostAll "postall" { name: String }
        /// Listens to the importers of an export.
        Watch "watch" { name: String }
        /// Waits for what they do next.
        Event "event" { name: String, within: Within }
        /// Waits for a signal while somebody could post one.
        WaitWhile "waitwhile" { name: String, within: Within }
        /// Why an import was aborted.
        Why "why" { name: String }
        /// Waits for a signal at an import.
        WaitImport "waitimport" { name: String, within: Within }
        /// Waits for a signal at an export.
        WaitExport "waitexport" { name: String, within: Within }
        /// Carries a command out in a thread.
        Go "go" { name: String, command: Rest }
        /// The answer of a thread.
        Join "join" { name: String }
        /// Whether a thread sleeps in the kernel.
        Asleep "asleep" { name: String }
        /// Whether a thread goes on.
        Running "running" { name: String }
        /// Creates, connects, transfers and gives back, again and again.
        Cycles "cycles" { rounds: u64 }
        /// Sends SIGUSR1 to a thread.
        Poke "poke" { name: String }
        /// Installs a handler of SIGUSR1.
        Handler "handler" {}
        /// Calls system(3).
        System "system" {}
        /// Forks a child that stores to a mapping.
        ForkStore "forkstore" { name: String, offset: u64 }
        /// Forks a child that does nothing.
        ForkIdle "forkidle" {}
        /// Forks a child that goes on beside its parent, and ends with 0 when all was well; `forkexit` waits for it.
        ForkStay "forkstay" { name: String }
        /// Forks a child that exports.
        ForkExport "forkexport" {}
        /// Waits for the child that goes on.
        ForkExit "forkexit" {}
        /// Carries a command out in a forked child.
        ForkCall "forkcall" { command: Rest }
        /// Executes sleep(1).
        ExecSleep "execsleep" {}
        /// Calls daemon(3).
        Daemonize "daemonize" {}
        /// Closes all descriptors from this one on.
        CloseFrom "closefrom" { first: u64 }
        /// Sets the limit of descriptors.
        Nofile "nofile" { limit: u64 }
        /// Puts until a put fails.
        PutLoop "putloop" { name: String }
        /// Stores to a mapping until `halt`.
        Storm "storm" { name: String, offset: u64 }
        /// Ends the storms.
        Halt "halt" {}
        /// Looks at a cluster; says how many nodes it has.
        Observe "observe" { cluster: String }
        /// Starts a cluster.
        Cluster "cluster" { name: String, nodes: u32 }
        /// Ends it.
        EndCluster "endcluster" { name: String }
        /// Holds a lease on the memory of a mapping.
        HoldLease "holdlease" { name: String }
        /// Starts a cluster; says how to join it.
        Host "host" { nodes: u32 }
        /// Whether this process tallies.
        Tallied "tallied" {}
        /// The process id.
        Pid "pid" {}
        /// Changes the effective user and group.
        SetEuid "seteuid" { user: u32 }
        /// Becomes another user for good.
        Become "become" { user: u32 }
        /// Ends the process.
        Exit "exit" { code: i32 }
        /// Maps the memory of a mapping where the library does not know of it.
        Keep "keep" { name: String }
        /// Stores a word there.
        KeepStore "keepstore" { offset: u64, value: u64 }
        /// Loads a word there.
        KeepLoad "keepload" { offset: u64 }
        /// Leaves a descriptor of a mapping's memory in a socket.
        Send "send" { name: String }
        /// Takes it out and maps the memory.
        Receive "receive" {}
        /// Protects a page of an export.
        Close "close" { name: String, offset: usize }
        /// Maps other memory there.
        Replace "replace" { name: String, offset: usize }
        /// Unmaps it.
        TakeAway "takeaway" { name: String, offset: usize }
        /// Two threads store to an export until `halt`.
        OwnStorm "ownstorm" { name: String }
        /// Rebinds an export to fresh memory.
        Rebind "rebind" { name: String }
    }
}

//! What the process that means ill understands.

rsm_stories::choices! {
    /// How far a program that means well gets.
    pub(crate) enum Step {
        /// Looks at the cluster.
        Look "look"
        /// Lists its processes.
        Processes "processes"
        /// Asks what they do.
        Activity "activity"
        /// Joins.
        Join "join"
        /// Connects, puts, posts.
        Connect "connect"
        /// Connects twice.
        Twice "twice"
        /// Exports memory of its own.
        Adopt "adopt"
        /// Exports, publishes and takes back.
        Export "export"
        /// The same under an id of its choice.
        Published "published"
    }
}

rsm_stories::choices! {
    /// Who may do what with a segment.
    pub(crate) enum Kind {
        /// Everybody may write.
        Open "open"
        /// Others may read.
        Guarded "guarded"
        /// Nobody but the exporter can write.
        Sealed "sealed"
    }
}

rsm_stories::commands! {
    pub(crate) enum Command {
        /// Joins by hand.
        Join "join" {}
        /// Joins so often.
        Members "members" { most: u64 }
        /// Connects to the agent's socket so often and says nothing.
        Strangers "strangers" { count: u64 }
        /// The same, and hangs up.
        Connections "connections" { count: u64 }
        /// Creates segments.
        Segments "segments" { most: u64 }
        /// Asks for another memory object of each segment, again and again, and settles none.
        Replace "replace" { rounds: u64 }
        /// The same of a segment of whose range there is another export.
        ReplaceShared "replaceshared" { rounds: u64 }
        /// A published segment with so many importers; nobody can reach its memory.
        Crowd "crowd" { importers: u64 }
        /// Asks to unpublish, and does not wait.
        TellUnpublish "tellunpublish" {}
        /// What the agent answers.
        HearUnpublished "hearunpublished" {}
        /// Connects until that fails.
        ConnectAll "connectall" { node: u32, id: u32 }
        /// Stores over all that it may write.
        Scribble "scribble" { node: u32, id: u32, rounds: u64 }
        /// Does so once more.
        Rescribble "rescribble" { rounds: u64 }
        /// Asks on and on, and reads nothing.
        Flood "flood" { most: u64 }
        /// Sends descriptors that nobody asked for.
        Descriptors "descriptors" {}
        /// Sends what is no message.
        Garbage "garbage" {}
        /// Shuts down halves of its sockets.
        Halves "halves" {}
        /// Lets go of everything.
        Close "close" {}
        /// Forks a child that keeps everything.
        KeepInChild "keepinchild" {}
        /// Publishes its newest segment.
        Publish "publish" { id: u32 }
        // From here on: what the attack table and the false agents use.
        /// Drops all rights of its user.
        Become "become" { user: u32 }
        /// Starts a cluster with an agent of its own; says how to join.
        Host "host" { nodes: u32 }
        /// Exports and publishes.
        Export "export" { kind: Kind, id: u32 }
        /// Takes that back.
        Unpublish "unpublish" {}
        /// Loads a word of it.
        Read "read" { offset: u64 }
        /// Stores one.
        Write "write" { offset: u64, value: u64 }
        /// Connects to the segment that everybody knows, and gets its mark.
        ConnectOwn "connectown" {}
        /// Whether a signal is pending at the export.
        Pending "pending" {}
        /// Where the export's memory is.
        Where "where" {}
        /// Attacks the export of another process.
        Attack "attack" { name: String, exporter: i32, agent: i32, place: usize }
        /// Uses the library as any program would.
        Visit "visit" { step: Step }
        /// The process id.
        Pid "pid" {}
    }
}

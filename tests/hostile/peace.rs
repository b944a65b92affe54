//! A pair of nodes that goes about its business, and notices when anything of it changes.

use rsm::{AccessList, Cluster, Permission, SegmentId};
use rsm_stories::patience;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WORDS: u64 = 512;

/// Nodes 1 and 2 of a cluster, exchanging data and signals and asking their agent for things, until dropped.
pub(crate) struct Peace {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    rounds: AtomicU64,
    stop: AtomicU64,
    worst: AtomicU64,
}

impl Peace {
    /// Starts them.
    pub(crate) fn keep(cluster: &Cluster) -> Peace {
        let one = cluster.node(1).expect("node 1").controller("shm0").expect("shm0");
        let two = cluster.node(2).expect("node 2").controller("shm0").expect("shm0");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let access = AccessList::new().node(2, 0o666);
            let id = SegmentId::new(0x50_0000);
            let export = one.export(131072).expect("an export");
            export.publish(id, &access).expect("published");
            let import = two.connect(1, id, Permission::ReadWrite).expect("connected");
            for round in 1.. {
                if shared.stop.load(SeqCst) != 0 {
                    return;
                }
                // Data and signals there and back; a signal too many or too few shows in the next round.
                let word = round % WORDS * 8;
                import.put_u64(word, round).expect("a put");
                import.signal().expect("posted");
                export.wait(Some(patience())).expect("the importer's signal");
                assert_eq!(export.memory().read_volatile_u64(word).expect("a read"), round);
                export.memory().write_volatile_u64(65536 + word, round).expect("a write");
                export.signal().expect("posted");
                import.wait(Some(patience())).expect("the exporter's signal");
                assert_eq!(import.get_u64(65536 + word).expect("a get"), round);
                for none in [export.wait(Some(Duration::ZERO)), import.wait(Some(Duration::ZERO))] {
                    assert_eq!(none.expect_err("no signal was posted").code(), rsm::Code::Timeout);
                }
                // And now and then what the agent is needed for.
                if round % 64 == 0 {
                    let began = Instant::now();
                    drop(two.connect(1, id, Permission::Read).expect("connected again"));
                    drop(one.export(65536).expect("another export"));
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    shared.worst.fetch_max(took, SeqCst);
                }
                shared.rounds.store(round, SeqCst);
            }
        });
        Peace { state, thread: Some(thread) }
    }

    /// Waits until they have been through everything once more.
    #[track_caller]
    pub(crate) fn holds(&self) {
        let before = self.state.rounds.load(SeqCst);
        let deadline = Instant::now() + patience();
        while self.state.rounds.load(SeqCst) < before + 130 {
            let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(!over, "the pair was disturbed");
            assert!(Instant::now() < deadline, "the pair is stuck");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Ends it; says how often they went round and the longest time, in microseconds, that five requests to the agent
    /// took.
    pub(crate) fn end(mut self) -> (u64, u64) {
        self.state.stop.store(1, SeqCst);
        self.thread.take().expect("once").join().expect("the pair was disturbed");
        (self.state.rounds.load(SeqCst), self.state.worst.load(SeqCst))
    }
}

impl Drop for Peace {
    fn drop(&mut self) {
        self.state.stop.store(1, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

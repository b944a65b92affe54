//! Which operations there are, what each is compared with, and at which sizes.

/// What a number of an operation is good for beside its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yield {
    /// Nothing more.
    Time,
    /// Bytes in a second.
    Bytes,
    /// Operations in a second.
    Rate,
}

/// An operation that parties can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Its name.
    pub name: &'static str,
    /// What is done and clocked.
    pub what: &'static str,
    /// What other tools call the same.
    pub like: &'static str,
    /// Raw operations that are its limit; the fastest of a round counts.
    pub limits: &'static [&'static str],
    /// Whether the passive party takes part, or only looks afterwards.
    pub together: bool,
    /// How many of the reported times one operation takes: 2 where a round trip is reported as one way.
    pub ways: u32,
    /// What else is reported.
    pub gives: Yield,
    /// Whether bytes are those of a segment, which has whole pages.
    pub segment: bool,
    /// Bytes, if not told otherwise; one size where the operation has no choice.
    pub sizes: &'static [usize],
}

const K: usize = 1 << 10;
const M: usize = 1 << 20;

const fn op(name: &'static str, what: &'static str, limits: &'static [&'static str]) -> Op {
    Op { name, what, like: "", limits, together: false, ways: 1, gives: Yield::Time, segment: false, sizes: &[8] }
}

/// All operations, in the order in which they are shown.
pub const OPS: &[Op] = &[
    op("store", "a store of 8 bytes through a mapping", &["raw-store"]),
    Op { like: "osu_put_latency, at the caller", ..op("put64", "a put of one word, explicit mode", &["raw-store"]) },
    op("put64-implicit", "a put of one word with its verdict", &["raw-ordered"]),
    Op { like: "osu_get_latency", ..op("get64", "a get of one word, explicit mode", &["raw-load"]) },
    op("get64-implicit", "a get of one word with its verdict", &["raw-load"]),
    Op {
        like: "osu_put_latency with flush",
        ..op("barrier", "a barrier around one put: open, put, close", &["raw-ordered"])
    },
    Op { like: "osu_fop_latency", ..op("fetch-add", "an atomic addition through a mapping", &["raw-xadd"]) },
    op("post", "a signal posted with nobody asleep", &["raw-xadd"]),
    Op {
        like: "osu_put_bw, ucx_perftest -t ucp_put_bw",
        gives: Yield::Bytes,
        sizes: &[64, K, 4 * K, 64 * K, M],
        ..op("put", "a put that nobody reads meanwhile", &["raw-copy", "raw-copy-nt"])
    },
    Op {
        like: "osu_get_bw, ucx_perftest -t ucp_get",
        gives: Yield::Bytes,
        sizes: &[64, K, 4 * K, 64 * K, M],
        ..op("get", "a get of what nobody writes meanwhile", &["raw-read"])
    },
    Op {
        like: "osu_latency, ib_write_lat, ucx_perftest -t ucp_put_lat",
        together: true,
        ways: 2,
        sizes: &[8, K, 4 * K, 64 * K],
        ..op("latency", "a put seen by a spinning partner, one way", &["raw-latency"])
    },
    Op {
        like: "osu_put_bw where the target reads",
        together: true,
        gives: Yield::Bytes,
        sizes: &[64 * K, M],
        ..op("ack", "a put, the partner reads all of it and acknowledges", &["raw-ack", "raw-ack-nt"])
    },
    Op {
        like: "osu_mbw_mr",
        together: true,
        gives: Yield::Rate,
        ..op("rate", "a stream of puts of one word to a partner that looks at each", &["raw-rate"])
    },
    Op {
        like: "osu_barrier of 2",
        together: true,
        ..op("meet", "two processes wait for each other, by puts", &["raw-meet"])
    },
    Op {
        like: "osu_latency there and back",
        together: true,
        ..op("signal", "a signal there and back, both spinning", &["raw-latency", "raw-exchange"])
    },
    Op {
        together: true,
        sizes: &[K],
        ..op("notify", "a put and a signal, and a signal back, both spinning", &["raw-notify"])
    },
    Op { together: true, ..op("signal-asleep", "a signal there and back, both asleep", &["raw-futex"]) },
    Op {
        together: true,
        segment: true,
        sizes: &[M],
        ..op("connect", "connect, map, first store", &["raw-descriptor"])
    },
    Op { together: true, segment: true, sizes: &[M], ..op("publish", "export and publish", &["raw-memfd"]) },
];

/// The operation of this name.
pub fn find(name: &str) -> Option<&'static Op> {
    OPS.iter().find(|op| op.name == name)
}

impl Op {
    /// The sizes it is done at when `wanted` are asked for: those, where it has a choice.
    pub fn sizes(&self, wanted: &[usize]) -> Vec<usize> {
        if wanted.is_empty() || self.has_one_size() {
            return self.sizes.to_vec();
        }
        let mut sizes = wanted.to_vec();
        if self.segment {
            sizes.iter_mut().for_each(|size| *size = size.next_multiple_of(crate::region::HEAD));
            sizes.dedup();
        }
        sizes
    }

    /// Whether its size is part of what it is.
    pub fn has_one_size(&self) -> bool {
        self.sizes == [8]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_operation_has_a_limit() {
        for (i, op) in OPS.iter().enumerate() {
            assert!(OPS[i + 1..].iter().all(|other| other.name != op.name), "{}", op.name);
            assert!(!op.limits.is_empty() && op.limits.iter().all(|limit| limit.starts_with("raw-")), "{}", op.name);
            assert!(!op.sizes.is_empty());
        }
    }

    #[test]
    fn sizes_are_taken_where_there_is_a_choice() {
        assert_eq!(find("put").unwrap().sizes(&[100, 200]), [100, 200]);
        assert_eq!(find("put64").unwrap().sizes(&[100, 200]), [8]);
        assert_eq!(find("put64").unwrap().sizes(&[]), [8]);
        assert_eq!(find("connect").unwrap().sizes(&[64, 4096, 1 << 20]), [64 << 10, 1 << 20]);
        assert!(find("raw-copy").is_none());
    }
}

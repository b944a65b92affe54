//! iceoryx2: publish-subscribe of samples that are written in place, and its events.

use super::{read_all, said, stamped};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use rsm_perf::party::{Pairing, Party, Result, Side, Trouble};
use rsm_perf::protocol::Job;
use rsm_perf::raw::copies::expected_sum;
use rsm_perf::region::Buffer;
use std::time::Instant;

pub struct Iceoryx {
    node: Node<ipc::Service>,
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    notifier: Notifier<ipc::Service>,
    listener: Listener<ipc::Service>,
    name: String,
}

impl Iceoryx {
    pub fn new(pairing: &Pairing) -> Result<Iceoryx> {
        set_log_level(LogLevel::Fatal);
        let mut config = Config::default();
        // Its files go where the conductor removes them, and not to a place that all its users share.
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/iceoryx2");
        let root = Path::new(root.display().to_string().as_bytes()).map_err(|e| said(format!("{e:?}")))?;
        config.global.set_root_path(&root);
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>().map_err(said)?;
        let (out, back) = if pairing.side == Side::Active { ("ping", "pong") } else { ("pong", "ping") };
        let named = |what: &str, way: &str| -> Result<ServiceName> {
            format!("rsm-compare/{}/{what}/{way}", pairing.name).as_str().try_into().map_err(said)
        };
        let data = |way| -> Result<_> {
            node.service_builder(&named("data", way)?).publish_subscribe::<[u8]>().open_or_create().map_err(said)
        };
        let events =
            |way| -> Result<_> { node.service_builder(&named("event", way)?).event().open_or_create().map_err(said) };
        let publisher =
            data(out)?.publisher_builder().initial_max_slice_len(pairing.room.max(8)).create().map_err(said)?;
        let subscriber = data(back)?.subscriber_builder().create().map_err(said)?;
        let notifier = events(out)?.notifier_builder().create().map_err(said)?;
        let listener = events(back)?.listener_builder().create().map_err(said)?;
        // Both have their subscribers before either sends.
        pairing.introduce([1, 0, 0, 0, 0, 0, 0])?;
        publisher.update_connections().map_err(said)?;
        Ok(Iceoryx { node, publisher, subscriber, notifier, listener, name: pairing.name.clone() })
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let sample = self.publisher.loan_slice_uninit(bytes.len()).map_err(said)?;
        sample.write_from_slice(bytes).send().map_err(said)?;
        Ok(())
    }

    fn receive(&self, pairing: &Pairing, mut look: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut looked = Ok(());
        pairing.until(|| match self.subscriber.receive() {
            Ok(None) => false,
            Ok(Some(sample)) => {
                looked = look(&sample);
                true
            }
            Err(error) => {
                looked = Err(said(error));
                true
            }
        })?;
        looked
    }
}

impl Party for Iceoryx {
    fn name(&self) -> String {
        "iceoryx2".into()
    }

    fn ops(&self) -> Vec<&'static str> {
        vec!["latency", "ack", "signal", "notify", "signal-asleep", "publish"]
    }

    fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let mut buffer = Buffer::new(job.size);
        let expected = expected_sum(job.size);
        let word = |stamp: u64| self.send(&stamp.to_ne_bytes());
        let take_word = |stamp: u64| self.receive(pairing, |data| stamped(data, stamp));
        match (job.op.as_str(), pairing.side) {
            ("latency", side) => job.ping_pong(
                side,
                |stamp| {
                    buffer.stamp(stamp);
                    self.send(buffer.bytes())
                },
                take_word,
            ),
            ("signal", side) => job.ping_pong(side, word, take_word),
            ("signal-asleep", _) => job.asleep(
                pairing,
                |_| self.notifier.notify().map(drop).map_err(said),
                |_| loop {
                    match self.listener.blocking_wait_one().map_err(said)? {
                        Some(_) => break Ok(()),
                        None => pairing.worth_it(Instant::now())?,
                    }
                },
            ),
            ("ack" | "notify", Side::Active) => job.clock(|stamp| {
                buffer.stamp(stamp);
                self.send(buffer.bytes())?;
                take_word(stamp)
            }),
            (op, Side::Passive) if matches!(op, "ack" | "notify") => job.repeat(|stamp| {
                self.receive(
                    pairing,
                    |data| if op == "ack" { read_all(data, expected, stamp) } else { stamped(data, stamp) },
                )?;
                word(stamp)
            }),
            // A service and a publisher with its memory: what an export and its publication are.
            ("publish", Side::Active) => job.collect(|stamp| {
                let began = Instant::now();
                let name = format!("rsm-compare/{}/fresh/{stamp}", self.name);
                let name: ServiceName = name.as_str().try_into().map_err(said)?;
                let service = self.node.service_builder(&name).publish_subscribe::<[u8]>().create().map_err(said)?;
                let publisher = service.publisher_builder().initial_max_slice_len(job.size).create().map_err(said)?;
                // Pages are present in a fresh export.
                let sample = publisher.loan_slice(job.size).map_err(said)?;
                let taken = began.elapsed().as_nanos() as u64;
                drop(sample);
                drop(publisher);
                Ok(taken)
            }),
            ("publish", Side::Passive) => Ok(Vec::new()),
            (other, _) => Err(Trouble(format!("no operation {other:?}"))),
        }
    }

    fn check(&mut self, _: &str, _: usize, _: u64, _: &Pairing) -> Result<()> {
        Ok(())
    }
}

//! Profiles: how long calls take by the clocks that only they move, and the document that lists the numbers.

use rsm::lens::{Cost, Lens, PROFILES, Profile};
use rsm::{AccessList, BarrierMode, Cluster, Controller, Export, Import, Node, Permission, SegmentId};
use std::time::Duration;

/// Whole pages of every machine.
const SIZE: usize = 1 << 16;
const SOON: Option<Duration> = Some(Duration::from_secs(20));

struct Pair {
    cluster: Cluster,
    exporter: Node,
    importer: Node,
    export: Export,
    import: Import,
}

fn controller(node: &Node) -> Controller {
    node.controller("shm0").unwrap()
}

impl Pair {
    fn new(lens: Lens) -> Pair {
        let cluster = Cluster::builder(2).lens(lens).start().unwrap();
        let (exporter, importer) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
        let export = controller(&exporter).export(SIZE).unwrap();
        let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
        let import = controller(&importer).connect(1, id, Permission::ReadWrite).unwrap();
        import.set_mode(BarrierMode::Explicit);
        Pair { cluster, exporter, importer, export, import }
    }

    /// What calls of the importing node take, in nanoseconds.
    fn takes(&self, calls: impl FnOnce(&Import) -> rsm::Result<()>) -> u64 {
        let before = self.importer.modelled().unwrap();
        calls(&self.import).unwrap();
        (self.importer.modelled().unwrap() - before).as_nanos() as u64
    }
}

#[test]
fn calls_take_what_the_profile_says() {
    for row in PROFILES {
        let pair = Pair::new(Lens::clear(0).profile(row.profile).virtual_time());
        let time = |cost, bytes| row.profile.time(cost, bytes);
        assert_eq!(pair.importer.modelled().unwrap().as_nanos() as u64, time(Cost::Connect, 0));
        assert_eq!(pair.exporter.modelled(), Some(Duration::ZERO));
        assert_eq!(pair.takes(|import| import.put_u64(0, 1)), time(Cost::Store, 8));
        assert_eq!(pair.takes(|import| import.put(0, &[1; 4096])), time(Cost::Store, 4096));
        assert_eq!(pair.takes(|import| import.get_u64(0).map(drop)), time(Cost::Load, 8));
        assert_eq!(pair.takes(|import| import.get(0, &mut [0; 4096])), time(Cost::Load, 4096));
        let span = |import: &Import| {
            let span = import.open_barrier()?;
            import.put_u64(0, 2)?;
            span.order()?;
            span.close()
        };
        assert_eq!(pair.takes(span), time(Cost::Store, 8) + time(Cost::Order, 0) + time(Cost::Check, 0));
        pair.import.set_mode(BarrierMode::Implicit);
        assert_eq!(pair.takes(|import| import.put_u64(0, 3)), time(Cost::Store, 8) + time(Cost::Check, 0));
        assert_eq!(pair.takes(|import| import.get_u64(0).map(drop)), time(Cost::Load, 8));
        assert_eq!(pair.export.memory().read_volatile_u64(0), Ok(3));
    }
}

#[test]
fn signals_carry_the_time_of_who_posts_them() {
    let pair = Pair::new(Lens::clear(0).profile(Profile::DolphinNtb).virtual_time());
    let (store, signal) = (300, 2160);
    let clock = |node: &Node| node.modelled().unwrap().as_nanos() as u64;
    let began = clock(&pair.importer);
    pair.import.signal().unwrap();
    assert_eq!(clock(&pair.importer), began + store);
    pair.export.wait(SOON).unwrap();
    assert_eq!(clock(&pair.exporter), began + signal);
    // And back.
    pair.export.signal().unwrap();
    pair.import.wait(SOON).unwrap();
    assert_eq!(clock(&pair.importer), began + 2 * signal);
    // Who is later already is not put back.
    pair.import.put_u64s(0, &[0; 1024]).unwrap();
    let later = clock(&pair.importer);
    pair.export.signal().unwrap();
    pair.import.wait(SOON).unwrap();
    assert!(clock(&pair.importer) == later.max(clock(&pair.exporter) - store + signal));
    let told: Vec<(u32, u64)> =
        pair.cluster.modelled().iter().map(|(node, _, time)| (*node, time.as_nanos() as u64)).collect();
    assert_eq!(told, [(1, clock(&pair.exporter)), (2, clock(&pair.importer))]);
}

#[test]
fn with_a_real_clock_calls_take_no_less() {
    let pair = Pair::new(Lens::chaos(1).profile(Profile::Sci));
    assert_eq!((pair.importer.modelled(), pair.exporter.modelled()), (None, None));
    let began = std::time::Instant::now();
    for number in 0..100 {
        let span = pair.import.open_barrier().unwrap();
        pair.import.put_u64(0, number).unwrap();
        span.close().unwrap();
        pair.import.signal().unwrap();
        pair.export.wait(SOON).unwrap();
    }
    // Store, check, and a signal, which begins when its post does; but for looks at clocks.
    assert!(began.elapsed() >= Duration::from_nanos(90 * (700 + 4_000 + 10_000)));
    assert!(pair.cluster.modelled().iter().all(|(.., time)| time.is_zero()));
}

#[test]
fn loopback_and_mappings_take_no_modelled_time() {
    let pair = Pair::new(Lens::clear(0).profile(Profile::DolphinNtb).virtual_time());
    let mapping = pair.import.map(0, SIZE, Permission::ReadWrite).unwrap();
    assert_eq!(pair.takes(|_| mapping.memory().write_volatile_u64(0, 7)), 0);
    let loopback = pair.exporter.controller("loopback").unwrap();
    let export = loopback.export(SIZE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    loopback.connect(1, id, Permission::ReadWrite).unwrap().put_u64(0, 1).unwrap();
    assert_eq!(pair.exporter.modelled(), Some(Duration::ZERO));
}

/// `RSM_RECORD=1` writes the table into the document.
#[test]
fn the_document_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/profiles.md");
    let head = "| profile | store | load | check | order | signal | connect |\n|---|---|---|---|---|---|---|\n";
    let rows: String = PROFILES.iter().map(|row| format!("| {} |\n", row.cells().join(" | "))).collect();
    let document = std::fs::read_to_string(path).unwrap();
    let start = document.find(head).expect("the head of the table") + head.len();
    let end = start + document[start..].find("\n\n").expect("text after the table") + 1;
    if std::env::var_os("RSM_RECORD").is_some() {
        std::fs::write(path, format!("{}{rows}{}", &document[..start], &document[end..])).unwrap();
        return;
    }
    assert_eq!(&document[start..end], rows, "RSM_RECORD=1 cargo test --test profiles writes it");
}

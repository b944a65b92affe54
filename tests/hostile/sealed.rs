//! Sealed exports, end to end.

use rsm::{AccessList, Cluster, Code, Controller, Permission, SegmentId};
use rsm_stories::story;

fn two_nodes() -> (Cluster, Controller, Controller) {
    let cluster = Cluster::new(2).expect("a cluster");
    let one = cluster.node(1).expect("node 1").controller("shm0").expect("shm0");
    let two = cluster.node(2).expect("node 2").controller("shm0").expect("shm0");
    (cluster, one, two)
}

story!(a_sealed_segment_is_written_by_its_exporter_only);
fn a_sealed_segment_is_written_by_its_exporter_only() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export_sealed(131072).expect("an export");
    export.memory().write_volatile_u64(0, 1).expect("before it is published");
    let id = export.publish(SegmentId::any(), &AccessList::readers()).expect("published");
    let import = two.connect(1, id, Permission::Read).expect("connected");
    export.memory().write_volatile_u64(8, 2).expect("the exporter's mapping stays writable");
    assert_eq!((import.get_u64(0).expect("a get"), import.get_u64(8).expect("a get")), (1, 2));
    assert_eq!(import.put_u64(0, 3).expect_err("read only").code(), Code::PermDenied);
    let map = import.map(0, 131072, Permission::Read).expect("mapped");
    export.memory().write_volatile_u64(16, 4).expect("a write");
    assert_eq!(map.memory().read_volatile_u64(16).expect("a read"), 4);
    assert_eq!(import.map(0, 131072, Permission::ReadWrite).expect_err("read only").code(), Code::BadPerms);
    // Signals are not memory: they go both ways.
    import.signal().expect("posted");
    export.wait(Some(rsm_stories::patience())).expect("a signal");
}

story!(a_sealed_segment_refuses_every_write_bit);
fn a_sealed_segment_refuses_every_write_bit() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export_sealed(65536).expect("an export");
    let id = SegmentId::new(0x40_0000);
    for access in [AccessList::everyone(), AccessList::new().node(2, 0o444).node(1, 0o600)] {
        let error = export.publish(id, &access).expect_err("it lets somebody write");
        assert_eq!(error.code(), Code::BadAcl);
        assert!(error.to_string().contains("sealed segment can only be read"), "{error}");
    }
    // The default permissions would let the own user write; here they do not.
    export.publish(id, &AccessList::default_permissions()).expect("published");
    assert_eq!(export.republish(&AccessList::everyone()).expect_err("refused").code(), Code::BadAcl);
    export.republish(&AccessList::new().node(2, 0o444)).expect("reading only");
    for wanted in [Permission::Write, Permission::ReadWrite] {
        let error = two.connect(1, id, wanted).expect_err("it would write");
        assert_eq!(error.code(), Code::PermDenied, "{error}");
        assert!(error.to_string().contains("is sealed"), "{error}");
    }
    two.connect(1, id, Permission::Read).expect("reading");
    // A guarded one lets root pass and does not mind.
    let other = one.export(65536).expect("an export");
    other.publish(SegmentId::new(0x40_0001), &AccessList::everyone()).expect("published");
    two.connect(1, SegmentId::new(0x40_0001), Permission::ReadWrite).expect("connected");
}

story!(a_sealed_segment_is_taken_back_and_given_again);
fn a_sealed_segment_is_taken_back_and_given_again() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export_sealed(131072).expect("an export");
    for round in 1..20 {
        let id = export.publish(SegmentId::any(), &AccessList::readers()).expect("published");
        let import = two.connect(1, id, Permission::Read).expect("connected");
        let map = import.map(0, 131072, Permission::Read).expect("mapped");
        export.memory().write_volatile_u64(0, round).expect("a write");
        assert_eq!(map.memory().read_volatile_u64(0).expect("a read"), round);
        export.unpublish().expect("taken back");
        export.memory().write_volatile_u64(0, 1000).expect("a write");
        assert_ne!(map.memory().read_volatile_u64(0).expect("a read"), 1000, "a trash page (D-84)");
        assert_eq!(import.get_u64(0).expect_err("cut").code(), Code::ConnAborted);
        assert_eq!(export.memory().read_volatile_u64(0).expect("a read"), 1000);
    }
}

story!(a_sealed_segment_is_not_rebound);
#[allow(unsafe_code)] // memory of the program's own
fn a_sealed_segment_is_not_rebound() {
    let (_cluster, one, _two) = two_nodes();
    let mut export = one.export_sealed(65536).expect("an export");
    let place = 0x1000 as *mut u8; // never looked at
    // SAFETY: refused before the address is used.
    let error = unsafe { export.rebind(place, 65536) }.expect_err("no rebind");
    assert_eq!(error.code(), Code::RebindNotAllowed, "{error}");
}

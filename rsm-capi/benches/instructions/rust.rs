//! The probes of the Rust API: what a caller's loop pays, with everything inlined that the compiler likes to.

use rsm::{BarrierMode, Controller, Import, Mapping, Permission, SegmentId};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The environment variable that makes this program a probe, with the number of rounds.
pub(crate) const ROUNDS: &str = "RSM_PROBE_ROUNDS";

/// What the probes import from node 1.
pub(crate) const SEGMENT: SegmentId = SegmentId::new(0x40_0000);
/// Where a probe stores 1 to have signals posted to it, which is done when it finds 2.
pub(crate) const REQUEST: u64 = 8;

/// The environment variable that makes a probe wait until an observer watches.
pub(crate) const WATCHED: &str = "RSM_PROBE_WATCHED";

struct Pair {
    import: Import,
    mapping: Mapping,
}

macro_rules! probes {
    ($($name:ident($p:ident, $offset:ident, $value:ident) $body:expr;)*) => {
        mod functions {
            use super::*;
            $(
                #[inline(never)]
                pub(super) fn $name(p: &Pair, rounds: u64) -> rsm::Result<()> {
                    // Tells functions apart that the compiler would make one of.
                    black_box(stringify!($name));
                    for round in 0..rounds {
                        // Neither is known to the compiler, in any round.
                        let ($p, $offset, $value) = (p, black_box(64u64), black_box(round));
                        black_box($body);
                    }
                    Ok(())
                }
            )*
        }
        const PROBES: &[(&str, fn(&Pair, u64) -> rsm::Result<()>)] = &[$((stringify!($name), functions::$name)),*];
    };
}

probes! {
    probe_empty(_p, _offset, _value) ();
    probe_put8_explicit(p, offset, value) p.import.put_u8(offset, value as u8)?;
    probe_put16_explicit(p, offset, value) p.import.put_u16(offset, value as u16)?;
    probe_put32_explicit(p, offset, value) p.import.put_u32(offset, value as u32)?;
    probe_put64_explicit(p, offset, value) p.import.put_u64(offset, value)?;
    probe_get8_explicit(p, offset, _value) p.import.get_u8(offset)?;
    probe_get64_explicit(p, offset, _value) p.import.get_u64(offset)?;
    probe_put_64b_explicit(p, offset, value) p.import.put(offset, black_box(&[value as u8; 64]))?;
    probe_put_1k_explicit(p, offset, _value) p.import.put(offset, black_box(&BYTES[..1024]))?;
    probe_get_64b_explicit(p, offset, _value) p.import.get(offset, black_box(&mut [0; 64]))?;
    probe_get_1k_explicit(p, offset, _value) p.import.get(offset, black_box(&mut [0; 1024]))?;
    probe_vector_put_explicit(p, offset, _value) p.import.put_vectored(black_box(&[(offset, &BYTES[..64]); 8]))?;
    probe_span(p, _offset, _value) p.import.open_barrier()?.close()?;
    probe_span_put64(p, offset, value) {
        let span = p.import.open_barrier()?;
        p.import.put_u64(offset, value)?;
        span.close()?;
    };
    probe_order(p, _offset, _value) {
        let span = p.import.open_barrier()?;
        span.order()?;
        std::mem::forget(span);
    };
    probe_post(p, _offset, _value) p.import.signal()?;
    probe_wait(p, _offset, _value) p.import.wait(Some(Duration::from_secs(10)))?;
    probe_mapped_store(p, _offset, value) {
        // SAFETY: offset 64 of a page that is mapped writable, aligned.
        unsafe { p.mapping.as_ptr().add(64).cast::<u64>().write_volatile(value) };
    };
    probe_mapped_atomic(p, offset, value) p.mapping.memory().atomic_u64(offset)?.store(value, Relaxed);
    probe_put64_implicit(p, offset, value) p.import.put_u64(offset, value)?;
    probe_put8_implicit(p, offset, value) p.import.put_u8(offset, value as u8)?;
    probe_get64_implicit(p, offset, _value) p.import.get_u64(offset)?;
    probe_put_64b_implicit(p, offset, value) p.import.put(offset, black_box(&[value as u8; 64]))?;
    probe_get_64b_implicit(p, offset, _value) p.import.get(offset, black_box(&mut [0; 64]))?;
}

static BYTES: [u8; 4096] = [7; 4096];

/// Runs every probe.
pub(crate) fn run(rounds: u64) -> ExitCode {
    match probe(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe(rounds: u64) -> rsm::Result<()> {
    let controller = Controller::open("shm0")?;
    let import = controller.connect(1, SEGMENT, Permission::ReadWrite)?;
    let mapping = import.map(0, 1 << 16, Permission::ReadWrite)?;
    if std::env::var_os(WATCHED).is_some() {
        while controller.node().membership().tallied().is_none() {
            std::thread::yield_now();
        }
    }
    // Asks for signals to take.
    import.put_u64(REQUEST, 1)?;
    while import.get_u64(REQUEST)? != 2 {
        std::hint::spin_loop();
    }
    let pair = Pair { import, mapping };
    for (name, probe) in PROBES {
        let explicit = !name.ends_with("implicit");
        pair.import.set_mode(if explicit { BarrierMode::Explicit } else { BarrierMode::Implicit });
        black_box(probe)(&pair, rounds)?;
    }
    Ok(())
}

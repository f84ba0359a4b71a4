// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host may hand over: mistakes are found before a guest runs.

mod common;

use cki_abi::class::{CLASS_DATA, CLASS_PT};
use cki_abi::start_info::{ClassRange, Segment};
use cki_ksm_core::{Config, Refusal, Storage};
use common::*;

fn good() -> Config<'static> {
    const SEGMENTS: &[Segment] = &[
        Segment {
            base: LOW,
            size: MIB2,
        },
        Segment {
            base: HIGH,
            size: MIB2,
        },
    ];
    Config {
        segments: SEGMENTS,
        classes: &[],
        shared: &[Segment {
            base: SHARED,
            size: PAGE,
        }],
        vcpus: 1,
        pcid_base: 8,
        pcids: 8,
        slot_entry: SLOT_ENTRY,
    }
}

fn outcome(config: &Config<'_>) -> Result<(), Refusal> {
    let memory = Sparse::default();
    let storage = Storage {
        frames: words(1024),
        chunks: words(2),
    };
    monitor(&memory, config, storage).map(|_| ())
}

#[test]
fn a_good_configuration_is_accepted() {
    assert_eq!(outcome(&good()), Ok(()));
}

#[test]
fn segments_are_whole_ascending_disjoint_chunks() {
    let s = |base, size| Segment { base, size };
    let cases: [&[Segment]; 9] = [
        &[],
        &[s(LOW, 0)],
        &[s(LOW + PAGE, MIB2)],
        &[s(LOW, MIB2 + PAGE)],
        &[s(LOW, 2 * MIB2), s(LOW + MIB2, MIB2)],
        &[s(HIGH, MIB2), s(LOW, MIB2)],
        &[s(0u64.wrapping_sub(MIB2), MIB2)],
        &[s(1 << 52, MIB2)],
        &[s(LOW, !(MIB2 - 1))],
    ];
    for segments in cases {
        assert_eq!(
            outcome(&Config { segments, ..good() }),
            Err(Refusal::Argument),
            "{segments:x?}"
        );
    }
    let many = vec![s(LOW, MIB2); 33];
    assert_eq!(
        outcome(&Config {
            segments: &many,
            ..good()
        }),
        Err(Refusal::Argument)
    );
    let large = [s(LOW, 257 * GIB)];
    assert_eq!(
        outcome(&Config {
            segments: &large,
            ..good()
        }),
        Err(Refusal::Limit)
    );
}

#[test]
fn class_ranges_are_ascending_disjoint_and_inside_a_segment() {
    let r = |base, size, class: u64| ClassRange {
        base,
        size,
        class: class as u32,
        reserved: 0,
    };
    let cases: [&[ClassRange]; 9] = [
        &[r(LOW, PAGE, CLASS_DATA)],
        &[r(LOW, PAGE, 0)],
        &[r(LOW, PAGE, 5)],
        &[r(LOW, 0, CLASS_PT)],
        &[r(LOW + 8, PAGE, CLASS_PT)],
        &[r(LOW, PAGE + 8, CLASS_PT)],
        &[r(LOW, 2 * PAGE, CLASS_PT), r(LOW + PAGE, PAGE, CLASS_PT)],
        &[r(LOW + MIB2 - PAGE, 2 * PAGE, CLASS_PT)],
        &[r(HOST, PAGE, CLASS_PT)],
    ];
    for classes in cases {
        assert_eq!(
            outcome(&Config { classes, ..good() }),
            Err(Refusal::Argument),
            "{classes:x?}"
        );
    }
}

#[test]
fn shared_frames_are_not_the_containers() {
    let s = |base, size| Segment { base, size };
    for shared in [
        s(LOW, PAGE),
        s(LOW + MIB2 - PAGE, 2 * PAGE),
        s(LOW - PAGE, 2 * PAGE),
        s(SHARED, 0),
        s(SHARED + 8, PAGE),
        s(u64::MAX - PAGE + 1, PAGE),
    ] {
        let outcome = outcome(&Config {
            shared: &[shared],
            ..good()
        });
        assert_eq!(outcome, Err(Refusal::Argument), "{shared:x?}");
    }
}

#[test]
fn i5_the_monitors_slot_is_a_supervisor_link_outside_of_the_container() {
    for slot_entry in [
        0,
        SLOT_ENTRY & !P,
        SLOT_ENTRY | U,
        SLOT_ENTRY | PS,
        SLOT_ENTRY | NX,
        SLOT_ENTRY & !A,
        LOW | P | W | A,
    ] {
        let outcome = outcome(&Config {
            slot_entry,
            ..good()
        });
        assert_eq!(outcome, Err(Refusal::Argument), "{slot_entry:#x}");
    }
}

#[test]
fn counts_have_their_limits() {
    for vcpus in [0, 65] {
        assert_eq!(
            outcome(&Config { vcpus, ..good() }),
            Err(Refusal::Argument),
            "{vcpus} vCPUs"
        );
    }
    assert_eq!(
        outcome(&Config { pcids: 9, ..good() }),
        Err(Refusal::Argument)
    );
    assert_eq!(
        outcome(&Config {
            pcid_base: 4089,
            ..good()
        }),
        Err(Refusal::Argument)
    );
    assert_eq!(
        outcome(&Config {
            pcid_base: u32::MAX,
            ..good()
        }),
        Err(Refusal::Argument)
    );
}

#[test]
fn too_little_storage_is_refused() {
    let memory = Sparse::default();
    for (frames, chunks) in [(1023, 2), (1024, 1), (0, 0)] {
        let storage = Storage {
            frames: words(frames),
            chunks: words(chunks),
        };
        let outcome = monitor(&memory, &good(), storage).map(|_| ());
        assert_eq!(outcome, Err(Refusal::Argument), "{frames} {chunks}");
    }
}

#[test]
fn leftovers_in_the_storage_mean_nothing() {
    let storage = Storage {
        frames: words(1024),
        chunks: words(2),
    };
    for word in storage.frames.iter().chain(storage.chunks) {
        word.store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
    }
    let memory = Sparse::default();
    let monitor = monitor(&memory, &good(), storage).expect("a monitor");
    let frame = monitor.segments().find(LOW).expect("a frame");
    let word = monitor.frames().word(frame).expect("a word");
    assert_eq!(
        word,
        cki_ksm_core::frame::Word::fresh(cki_ksm_core::Class::Data)
    );
}

#[test]
fn frames_are_numbered_densely_over_the_segments() {
    let world = World::new();
    let segments = world.monitor.segments();
    for hpa in [LOW, LOW + 5 * MIB2 - PAGE, HIGH, HIGH + 2 * GIB - PAGE] {
        let frame = segments.find(hpa).expect("a frame");
        assert_eq!(oracle::frame_of(&world, hpa), Some(frame.index()));
    }
    assert_eq!(world.frame(HIGH), 5 * 512);
}

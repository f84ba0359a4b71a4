// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls by number, as the shell hands them over.

mod common;

use cki_abi::calls::arguments::*;
use cki_abi::calls::*;
use cki_abi::handlers::*;
use cki_abi::limits::BATCH_MAX;
use cki_abi::version::ABI_VERSION;
use cki_ksm_core::call::Refused;
use cki_ksm_core::{Action, Config, PhysMem, Refusal, Storage, descriptor};
use common::*;

const LINK: u64 = P | W | U | A;

fn call(world: &mut World, number: u64, arguments: [u64; 4]) -> Result<Action, Refused> {
    world.monitor.call(0, number, arguments, &mut world.scratch)
}

fn refused(why: Refusal) -> Result<Action, Refused> {
    Err(Refused { why, value: 0 })
}

#[test]
fn unknown_numbers_are_refused() {
    let mut world = World::small(1);
    for number in [
        KSM_CALLS,
        KSM_CALLS + 1,
        0xff,
        u64::from(u32::MAX),
        u64::MAX,
    ] {
        assert_eq!(
            call(&mut world, number, [0; 4]),
            refused(Refusal::Call),
            "{number:#x}"
        );
    }
}

#[test]
fn every_known_number_is_dispatched() {
    let mut world = World::small(1);
    for number in 0..KSM_CALLS {
        assert_ne!(
            call(&mut world, number, [0; 4]),
            refused(Refusal::Call),
            "{number}"
        );
    }
}

#[test]
fn the_version_is_the_abis() {
    let mut world = World::small(1);
    assert_eq!(
        call(&mut world, KSM_VERSION, [7; 4]),
        Ok(Action::Done(ABI_VERSION))
    );
}

#[test]
fn tables_are_declared_by_kind_and_flags() {
    let mut world = World::small(1);
    for (i, kind) in [TABLE_L1, TABLE_L2 | TABLE_USER, TABLE_L4, TABLE_L3]
        .into_iter()
        .enumerate()
    {
        let table = PT + i as u64 * PAGE;
        assert_eq!(
            call(&mut world, KSM_TABLE_DECLARE, [table, kind, 0, 0]),
            Ok(Action::Declared),
            "kind {kind:#x}"
        );
    }
    for kind in [
        0,
        5,
        8,
        TABLE_L4 | TABLE_USER,
        TABLE_L1 | 0x20,
        TABLE_L1 | 0x40,
        TABLE_L1 | 1 << 32,
        u64::MAX,
    ] {
        assert_eq!(
            call(&mut world, KSM_TABLE_DECLARE, [PT + 9 * PAGE, kind, 0, 0]),
            refused(Refusal::Argument),
            "kind {kind:#x}"
        );
    }
    assert_eq!(
        call(&mut world, KSM_TABLE_RELEASE, [PT, 0, 0, 0]),
        Ok(Action::Released)
    );
}

#[test]
fn entry_calls_return_old_values_where_they_have_them() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    let (first, second) = (DATA | P | U, DATA | P | W | U | NX | D);
    assert_eq!(
        call(&mut world, KSM_ENTRY_SET, [PT, first, 0, 0]),
        Ok(Action::Done(0))
    );
    assert_eq!(
        call(&mut world, KSM_ENTRY_EXCHANGE, [PT, second, 0, 0]),
        Ok(Action::Done(first))
    );
    assert_eq!(
        call(&mut world, KSM_ENTRY_COMPARE_EXCHANGE, [PT, first, 0, 0]),
        Err(Refused {
            why: Refusal::Changed,
            value: second
        })
    );
    assert_eq!(
        call(
            &mut world,
            KSM_ENTRY_COMPARE_EXCHANGE,
            [PT, second, first, 0]
        ),
        Ok(Action::Done(second))
    );
    assert_eq!(
        call(&mut world, KSM_ENTRY_CLEAR, [PT, W, 0, 0]),
        Ok(Action::Done(first))
    );
}

/// Writes a batch list to `hpa`, as the guest would.
fn list(world: &World, hpa: u64, updates: &[(u64, u64)]) {
    for (i, (entry, value)) in updates.iter().enumerate() {
        let at = hpa + 16 * i as u64;
        let frame = world.frame(at & !0xfff);
        world.memory.poke(frame, (at % PAGE / 8) as usize, *entry);
        world
            .memory
            .poke(frame, (at % PAGE / 8) as usize + 1, *value);
    }
}

#[test]
fn a_batch_applies_updates_in_order() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    let updates: Vec<_> = (0..BATCH_MAX)
        .map(|i| (PT + 8 * i, DATA | P | U | W | NX))
        .collect();
    list(&world, DATA + 0x800, &updates);
    assert_eq!(
        call(&mut world, KSM_ENTRY_BATCH, [DATA + 0x800, BATCH_MAX, 0, 0]),
        Ok(Action::Done(BATCH_MAX))
    );
    assert!((0..BATCH_MAX).all(|i| world.entry(PT, i) == DATA | P | U | W | NX));
}

#[test]
fn a_batch_stops_at_the_first_refusal_and_says_how_far_it_came() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    let good = DATA | P | U;
    list(
        &world,
        DATA,
        &[
            (PT, good),
            (PT + 8, good),
            (PT + 16, HOST | P | U),
            (PT + 24, good),
        ],
    );
    assert_eq!(
        call(&mut world, KSM_ENTRY_BATCH, [DATA, 4, 0, 0]),
        Err(Refused {
            why: Refusal::Range,
            value: 2
        })
    );
    assert_eq!([0, 1, 2, 3].map(|i| world.entry(PT, i)), [good, good, 0, 0]);
}

#[test]
fn a_batch_list_lies_in_one_data_frame() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    for (hpa, count, why) in [
        (DATA + 8, 1, Refusal::Argument),
        (DATA, 0, Refusal::Argument),
        (DATA, BATCH_MAX + 1, Refusal::Argument),
        (DATA, u64::MAX, Refusal::Argument),
        (DATA, 1 << 60, Refusal::Argument),
        (DATA + PAGE - 16, 2, Refusal::Argument),
        (HOST, 1, Refusal::Range),
        (PT, 1, Refusal::Class),
        (EXEC, 1, Refusal::Class),
    ] {
        let outcome = call(&mut world, KSM_ENTRY_BATCH, [hpa, count, 0, 0]);
        assert_eq!(outcome, refused(why), "{hpa:#x} {count}");
    }
}

/// Memory whose guest rewrites the batch list while it is being read.
struct Racing<'a> {
    memory: &'a Sparse,
    list: usize,
    reads: std::cell::Cell<usize>,
}

impl PhysMem for Racing<'_> {
    fn load(&self, frame: cki_ksm_core::Frame, index: usize) -> u64 {
        let value = self.memory.load(frame, index);
        if frame.index() == self.list {
            self.reads.set(self.reads.get() + 1);
            self.memory.poke(self.list, index, HOST | P | W | U);
        }
        value
    }
    fn store(&self, frame: cki_ksm_core::Frame, index: usize, value: u64) {
        self.memory.store(frame, index, value);
    }
    fn swap(&self, frame: cki_ksm_core::Frame, index: usize, value: u64) -> u64 {
        self.memory.swap(frame, index, value)
    }
    fn compare_exchange(
        &self,
        frame: cki_ksm_core::Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        self.memory.compare_exchange(frame, index, expected, value)
    }
    fn fetch_and(&self, frame: cki_ksm_core::Frame, index: usize, mask: u64) -> u64 {
        self.memory.fetch_and(frame, index, mask)
    }
}

#[test]
fn a_batch_list_is_read_once_before_it_is_judged() {
    let layout = World::small(1);
    let config = Config {
        segments: &layout.segments,
        classes: &layout.classes,
        shared: &[],
        vcpus: 1,
        pcid_base: 0,
        pcids: 0,
        slot_entry: SLOT_ENTRY,
    };
    let racing = Racing {
        memory: layout.memory,
        list: layout.frame(DATA),
        reads: Default::default(),
    };
    let storage = Storage {
        frames: words(2560),
        chunks: words(5),
    };
    let mut monitor = common::monitor(&racing, &config, storage).expect("a monitor");
    let mut scratch = cki_ksm_core::Scratch::new();
    monitor
        .call(
            0,
            KSM_TABLE_DECLARE,
            [PT, TABLE_L1 | TABLE_USER, 0, 0],
            &mut scratch,
        )
        .expect("L1");
    list(&layout, DATA, &[(PT, DATA | P | U), (PT + 8, DATA | P | U)]);
    let outcome = monitor.call(0, KSM_ENTRY_BATCH, [DATA, 2, 0, 0], &mut scratch);
    assert_eq!(outcome, Ok(Action::Done(2)));
    assert_eq!(racing.reads.get(), 4, "two words an update");
    assert_eq!([0, 1].map(|i| layout.entry(PT, i)), [DATA | P | U; 2]);
}

#[test]
fn flushes_name_their_scope() {
    let mut world = World::small(1);
    for (scope, pcid, action) in [
        (FLUSH_PCID, 3, Action::FlushPcid(0x103)),
        (FLUSH_ALL, 0, Action::FlushAll),
        (FLUSH_EVERYWHERE, 0, Action::FlushEverywhere),
    ] {
        assert_eq!(call(&mut world, KSM_FLUSH, [scope, pcid, 0, 0]), Ok(action));
    }
    assert_eq!(
        call(&mut world, KSM_FLUSH, [3, 0, 0, 0]),
        refused(Refusal::Argument)
    );
    assert_eq!(
        call(&mut world, KSM_FLUSH, [FLUSH_PCID, 8, 0, 0]),
        refused(Refusal::Argument)
    );
}

#[test]
fn roots_belong_to_the_calling_vcpu() {
    let mut world = World::small(2);
    let [.., l4] = world.tower(PT, 300);
    for vcpu in [0, 1] {
        let outcome = world
            .monitor
            .call(vcpu, KSM_ROOT_LOAD, [l4, 0, 0, 0], &mut world.scratch);
        assert_eq!(outcome, Ok(Action::LoadRoot(l4 | 0x100)));
        assert_eq!(world.references(l4), vcpu as u64 + 1);
    }
    let [.., other] = world.tower(PT + 8 * PAGE, 301);
    let outcome = world
        .monitor
        .call(1, KSM_ROOT_LOAD, [other, 0, 0, 0], &mut world.scratch);
    assert_eq!(outcome, Ok(Action::LoadRoot(other | 0x100)));
    assert_eq!([l4, other].map(|root| world.references(root)), [1, 1]);
}

#[test]
fn text_is_sealed_and_poked_by_call() {
    let mut world = World::small(1);
    assert_eq!(
        call(&mut world, KSM_EXEC_SEAL, [EXEC, 2, 0, 0]),
        Ok(Action::Done(2))
    );
    assert_eq!(
        call(&mut world, KSM_TEXT_POKE, [EXEC, DATA, 8, 0]),
        Ok(Action::Done(0))
    );
    assert_eq!(
        call(&mut world, KSM_EXEC_SEAL, [RO - PAGE, 2, 0, 0]),
        Err(Refused {
            why: Refusal::Class,
            value: 1
        })
    );
}

#[test]
fn handlers_are_gates_or_remembered_addresses() {
    let mut world = World::small(1);
    let rip = 0xffff_ffff_8100_0000;
    let gate = descriptor::guest_gate(14, rip).expect("#PF is the guest's");
    assert_eq!(
        call(&mut world, KSM_HANDLER_SET, [14, rip, 0, 0]),
        Ok(Action::SetGate { vector: 14, gate })
    );
    for index in HANDLER_EVENT_USER..HANDLER_END {
        for address in [rip, 0] {
            assert_eq!(
                call(&mut world, KSM_HANDLER_SET, [index, address, 0, 0]),
                Ok(Action::SetHandler { index, address })
            );
        }
        let outcome = call(&mut world, KSM_HANDLER_SET, [index, 1 << 47, 0, 0]);
        assert_eq!(outcome, refused(Refusal::Address));
    }
    for index in [1, 2, 8, 18, 32, 255, HANDLER_END, u64::MAX] {
        let outcome = call(&mut world, KSM_HANDLER_SET, [index, rip, 0, 0]);
        assert_eq!(outcome, refused(Refusal::Argument), "{index}");
    }
}

#[test]
fn vcpu_info_lies_in_a_data_frame() {
    let mut world = World::small(1);
    let Ok(Action::SetVcpuInfo { frame, offset }) = call(
        &mut world,
        KSM_VCPU_INFO_SET,
        [DATA + PAGE + 0x300, 0, 0, 0],
    ) else {
        panic!("accepted");
    };
    assert_eq!((frame.index(), offset), (world.frame(DATA + PAGE), 0x300));
    for (hpa, why) in [
        (DATA + 0x80, Refusal::Argument),
        (HOST, Refusal::Range),
        (PT, Refusal::Class),
        (EXEC, Refusal::Class),
        (RO, Refusal::Class),
        (SHARED, Refusal::Range),
    ] {
        assert_eq!(
            call(&mut world, KSM_VCPU_INFO_SET, [hpa, 0, 0, 0]),
            refused(why),
            "{hpa:#x}"
        );
    }
}

#[test]
fn every_refusal_has_its_own_number_and_message() {
    let mut codes: Vec<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
    codes.sort_unstable();
    assert!(
        codes.iter().copied().eq(1..=codes.len() as u64),
        "as in cki_abi::errors"
    );
    let mut messages: Vec<_> = Refusal::ALL.iter().map(ToString::to_string).collect();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), codes.len());
}

#[test]
fn a_loaded_table_is_usable_by_the_walker() {
    let mut world = World::small(1);
    let [l1, _, _, l4] = world.tower(PT, 300);
    world.set(l1, 0, DATA | P | W | NX).expect("map");
    assert_eq!(
        call(&mut world, KSM_ENTRY_SET, [l1 + 8, PT | P | NX, 0, 0]),
        Ok(Action::Done(0))
    );
    common::oracle::assert_root(&world, world.frame(l4));
    assert_eq!(
        call(&mut world, KSM_ENTRY_SET, [l4 + 8, l1 | LINK, 0, 0]),
        refused(Refusal::Type)
    );
}

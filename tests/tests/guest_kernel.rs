// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be seen of the guest kernel in its image alone.

use cki_tests::elf::Elf;
use cki_tests::variable;
use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};

/// Where `events` is in `struct cki_vcpu_info`.
const EVENTS: u64 = std::mem::offset_of!(cki_abi::vcpu::VcpuInfo, events) as u64;

/// Instructions that use the word at `offset` of the area of each CPU, by what they do with it.
#[derive(Debug, Default)]
struct Uses {
    /// They read it only.
    reads: usize,
    /// They change it in one step, whoever else does.
    locked: Vec<String>,
    /// They change it otherwise: what somebody else has stored meanwhile may be lost.
    unlocked: Vec<String>,
}

/// The uses in `text`, which is at `base`. Linux has such a word as %gs:OFFSET, mostly relative to RIP, or as
/// OFFSET(%register) with the area's address in the register.
fn uses(text: &[u8], base: u64, offset: u64) -> Uses {
    let mut uses = Uses::default();
    let mut decoder = Decoder::with_ip(64, text, base, DecoderOptions::NONE);
    let mut factory = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.memory_displacement64() != offset
            || (instruction.memory_base() == Register::None
                && instruction.segment_prefix() != Register::GS)
        {
            continue;
        }
        let info = factory.info(&instruction);
        let writes = info.used_memory().iter().any(|memory| {
            !matches!(
                memory.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None
            )
        });
        // XCHG with memory is locked in any case.
        let locked = instruction.has_lock_prefix() || instruction.mnemonic() == Mnemonic::Xchg;
        let place = format!("{:x} {:?}", instruction.ip(), instruction.mnemonic());
        match (writes, locked) {
            (false, _) => uses.reads += 1,
            (true, true) => uses.locked.push(place),
            (true, false) => uses.unlocked.push(place),
        }
    }
    uses
}

/// The host sets events from any of its CPUs while the guest takes them. An exchange that is not locked, as
/// `this_cpu_xchg()` is, loses those that come between its load and its store.
#[test]
fn a_guest_takes_its_events_with_locked_instructions_only() {
    let image = Elf::read(&variable("CKI_KERNEL").join("vmlinux")).expect("the kernel");
    let info = image
        .symbols
        .iter()
        .find(|symbol| symbol.name == "cki_vcpu_info")
        .expect("the guest's structure");
    let (_, text) = image.section(".text").expect("the kernel's text");
    let uses = uses(&text.bytes, text.address, info.value + EVENTS);
    assert!(uses.unlocked.is_empty(), "{:?}", uses.unlocked);
    assert!(!uses.locked.is_empty(), "nobody takes events: {uses:?}");
}

#[test]
fn what_takes_events_without_a_lock_is_found() {
    // What compilers make of this_cpu_xchg(x, 0): cmpxchg %rdx, %gs:0x40(%rip), and of mov.
    let unlocked = [0x65, 0x48, 0x0f, 0xb1, 0x15, 0x37, 0xf0, 0xff, 0xff];
    let stored = [0x65, 0x48, 0x89, 0x15, 0x38, 0xf0, 0xff, 0xff];
    // xchg %rbx, 0x40(%rax); lock cmpxchg %rdx, %gs:0x40(%rip); cmp $0, %gs:0x40(%rip).
    let exchange = [0x48, 0x87, 0x98, 0x40, 0, 0, 0];
    let locked = [0xf0, 0x65, 0x48, 0x0f, 0xb1, 0x15, 0x36, 0xf0, 0xff, 0xff];
    let read = [0x65, 0x48, 0x83, 0x3d, 0x37, 0xf0, 0xff, 0xff, 0];
    let of = |text: &[u8]| {
        let uses = uses(text, 0x1000, 0x40);
        (uses.reads, uses.locked.len(), uses.unlocked.len())
    };
    assert_eq!(of(&unlocked), (0, 0, 1));
    assert_eq!(of(&stored), (0, 0, 1));
    assert_eq!(of(&exchange), (0, 1, 0));
    assert_eq!(of(&locked), (0, 1, 0));
    assert_eq!(of(&read), (1, 0, 0));
}

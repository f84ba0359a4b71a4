// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be seen of the guest kernel in its image alone; and what becomes of a guest when the image is changed.

use cki_abi::calls::KSM_ENTRY_SET;
use cki_tests::elf::Elf;
use cki_tests::{machine, variable};
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

/// Maps a page that is no memory of the container's, by way of /dev/mem.
const MAP_FOREIGN: &str = r#"open(my $m, "<", "/dev/mem") or die; my $at = syscall(9, 0, 4096, 1, 1, fileno($m), 0xfee00000);
    print $at > 0 ? "mapped\n" : "refused: $!\n""#;

/// Runs that program under a kernel with these bytes in the place of its functions: what is said, and by whom.
fn map_foreign(changes: &[(&str, &[u8])]) -> (String, String) {
    let path = variable("CKI_KERNEL").join("vmlinux");
    let elf = Elf::read(&path).expect("the kernel");
    let mut image = std::fs::read(&path).expect("the kernel");
    for (name, code) in changes {
        let (_, at) = elf.function(name).expect("the function");
        image[at..at + code.len()].copy_from_slice(code);
    }
    let script = format!(
        "cat > /tmp/kernel; cki run --kernel /tmp/kernel --initrd /runtime/lib/initrd --image /dev/vda --memory 192M \
         -- perl -e '{MAP_FOREIGN}'; echo $?"
    );
    let options = ["--quiet", "--runtime", "host", "--memory", "768M"];
    let output = machine(
        &[&options[..], &["--deb", "perl"]].concat(),
        &["sh", "-c", &script],
        &image,
    );
    (output.text().to_owned(), output.stderr)
}

/// JMP from the end of code that is at an address.
fn jump(from: u64, to: u64) -> Vec<u8> {
    let distance = (to as i64 - from as i64 - 5) as i32;
    [&[0xe9][..], &distance.to_le_bytes()].concat()
}

/// What stands between such a program and the end of its container's kernel: a look at what is mapped, where there
/// is somebody to tell, and, behind that, a way on from what the monitor has refused.
#[test]
fn a_guest_kernel_without_its_refusals_dies_of_a_programs_mapping() {
    let (said, errors) = map_foreign(&[]);
    assert_eq!(said, "refused: Invalid argument\n0\n", "{errors}");

    // mov eax, 1; ret: everything may be mapped.
    let anything: (&str, &[u8]) = ("cki_may_map_range", &[0xb8, 1, 0, 0, 0, 0xc3]);
    let (said, errors) = map_foreign(&[anything]);
    // SIGBUS, for the program.
    assert_eq!(said, "135\n", "{errors}");

    // cki_entry_refused(entry, value, status) is cki_refused(KSM_ENTRY_SET, entry, value, status), as it once was:
    // mov rcx, rdx; mov rdx, rsi; mov rsi, rdi; mov edi, KSM_ENTRY_SET; jmp cki_refused.
    let elf = Elf::read(&variable("CKI_KERNEL").join("vmlinux")).expect("the kernel");
    let (from, _) = elf.function("cki_entry_refused").expect("the function");
    let (to, _) = elf.function("cki_refused").expect("the function");
    let mut end = vec![0x48, 0x89, 0xd1, 0x48, 0x89, 0xf2, 0x48, 0x89, 0xfe, 0xbf];
    end.extend((KSM_ENTRY_SET as u32).to_le_bytes());
    end.extend(jump(from + end.len() as u64, to));
    let (said, errors) = map_foreign(&[anything, ("cki_entry_refused", &end)]);
    assert_eq!(said, "125\n", "{errors}");
    assert!(errors.contains("the monitor refused call 3"), "{errors}");
}

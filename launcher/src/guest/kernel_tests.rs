// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernels made by hand, good and bad.

use proptest::prelude::*;

use super::*;

pub(crate) const PHYSICAL: u64 = 0x100_0000;
pub(crate) const VIRTUAL: u64 = 0xffff_ffff_8100_0000;
pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

/// A kernel with the parts of Linux's: 3 MiB of text, constants, static tables, data, bss.
pub(crate) fn linux_like() -> Kernel {
    Kernel::parse(&Elf::linux_like().bytes()[..]).unwrap()
}

/// An ELF file under construction.
#[derive(Clone)]
pub(crate) struct Elf {
    /// type, vaddr, paddr, contents, memory size, alignment.
    pub segments: Vec<(u32, u64, u64, Vec<u8>, u64, u64)>,
    pub machine: u16,
    pub kind: u16,
}

pub(crate) fn note(owner: &[u8], kind: u64, words: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((owner.len() as u32).to_le_bytes());
    bytes.extend((words.len() as u32 * 8).to_le_bytes());
    bytes.extend((kind as u32).to_le_bytes());
    bytes.extend(owner);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

impl Elf {
    pub(crate) fn linux_like() -> Elf {
        let text = 0x30_0000;
        let data = 0x40_0000;
        let notes = [
            note(b"Linux\0", 257, &[0]),
            note(b"CKI\0", NOTE_ABI_VERSION, &[ABI_VERSION]),
            note(b"CKI\0", NOTE_ENTRY, &[VIRTUAL + 0x200]),
            note(b"CKI\0", NOTE_EXEC_RANGE, &[PHYSICAL, PHYSICAL + text]),
            note(
                b"CKI\0",
                NOTE_RO_RANGE,
                &[PHYSICAL + text, PHYSICAL + text + 0x8_0000],
            ),
            note(
                b"CKI\0",
                NOTE_PT_RANGE,
                &[PHYSICAL + data, PHYSICAL + data + 0x5000],
            ),
            note(b"CKI\0", NOTE_DIRECT_MAP, &[DIRECT_MAP]),
        ]
        .concat();
        let mut code = vec![0x90; 0x1000];
        code[0x200] = 0xf4;
        Elf {
            segments: vec![
                (PT_LOAD, VIRTUAL, PHYSICAL, code, text + 0x8_0000, 0x20_0000),
                (
                    PT_LOAD,
                    VIRTUAL + data,
                    PHYSICAL + data,
                    vec![7; 0x2345],
                    0x1_0000,
                    0x20_0000,
                ),
                // Linux's per-CPU data is linked at 0.
                (
                    PT_LOAD,
                    0,
                    PHYSICAL + data + 0x1_0000,
                    vec![9; 0x800],
                    0x3000,
                    0x1000,
                ),
                (PT_NOTE, 0, 0, notes, 0, 4),
            ],
            machine: EM_X86_64,
            kind: ET_EXEC,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = self.segments.len();
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(PHYSICAL.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        for half in [64u16, 56, count as u16, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        let mut offset = (64 + 56 * count).next_multiple_of(8) as u64;
        let mut bodies: Vec<u8> = Vec::new();
        for (kind, vaddr, paddr, body, memory, align) in &self.segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(5u32.to_le_bytes());
            for word in [offset, *vaddr, *paddr, body.len() as u64, *memory, *align] {
                bytes.extend(word.to_le_bytes());
            }
            bodies.extend(body);
            offset += body.len() as u64;
        }
        bytes.resize((64 + 56 * count).next_multiple_of(8), 0);
        bytes.extend(bodies);
        bytes
    }

    fn with_notes(notes: &[Vec<u8>]) -> Elf {
        let mut elf = Elf::linux_like();
        elf.segments[3].3 = notes.concat();
        elf
    }

    fn parse(&self) -> Result<Kernel, KernelError> {
        Kernel::parse(&self.bytes()[..])
    }
}

fn standard_notes() -> Vec<Vec<u8>> {
    vec![
        note(b"CKI\0", NOTE_ABI_VERSION, &[ABI_VERSION]),
        note(b"CKI\0", NOTE_ENTRY, &[VIRTUAL]),
        note(b"CKI\0", NOTE_EXEC_RANGE, &[PHYSICAL, PHYSICAL + 0x1000]),
        note(b"CKI\0", NOTE_DIRECT_MAP, &[DIRECT_MAP]),
    ]
}

#[test]
fn a_kernel_is_read_as_its_headers_and_notes_say() {
    let kernel = linux_like();
    assert_eq!(kernel.image.start, PHYSICAL);
    assert_eq!(kernel.image.end, PHYSICAL + 0x41_3000);
    assert_eq!(kernel.virtual_base, VIRTUAL);
    assert_eq!(kernel.entry, VIRTUAL + 0x200);
    assert_eq!(kernel.direct_map, DIRECT_MAP);
    assert_eq!(kernel.loads.len(), 3);
    assert_eq!(kernel.exec[0].size(), 0x30_0000);
    assert_eq!(kernel.pt[0].size(), 0x5000);
    assert_eq!(kernel.ro[0].size(), 0x8_0000);
}

#[test]
fn an_ordinary_kernel_is_told_from_a_foreign_file() {
    let elf = Elf::with_notes(&[note(b"Xen\0", 1, &[3])]);
    assert_eq!(elf.parse(), Err(KernelError::NoNotes));
    assert!(matches!(
        Kernel::parse(&b"MZ not a kernel at all, but long enough to hold an ELF header......"[..]),
        Err(KernelError::NotElf(_))
    ));
    let mut elf = Elf::linux_like();
    elf.machine = 183;
    assert!(matches!(elf.parse(), Err(KernelError::NotElf(_))));
    let mut elf = Elf::linux_like();
    elf.kind = 3;
    assert!(matches!(elf.parse(), Err(KernelError::NotElf(_))));
}

#[test]
fn a_truncated_kernel_is_called_so() {
    let bytes = Elf::linux_like().bytes();
    for length in [bytes.len() - 1, 0x1400, 80] {
        let error = Kernel::parse(&bytes[..length]).unwrap_err();
        assert!(matches!(error, KernelError::Truncated(_)), "{error}");
    }
    assert!(matches!(
        Kernel::parse(&bytes[..40]),
        Err(KernelError::NotElf(_))
    ));
}

#[test]
fn each_required_note_is_missed_by_name() {
    let names = [
        "NOTE_ABI_VERSION",
        "NOTE_ENTRY",
        "NOTE_EXEC_RANGE",
        "NOTE_DIRECT_MAP",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let mut notes = standard_notes();
        notes.remove(number);
        assert_eq!(
            Elf::with_notes(&notes).parse(),
            Err(KernelError::MissingNote(name))
        );
    }
    assert!(Elf::with_notes(&standard_notes()).parse().is_ok());
}

#[test]
fn a_kernel_of_another_abi_is_refused() {
    let mut notes = standard_notes();
    notes[0] = note(b"CKI\0", NOTE_ABI_VERSION, &[ABI_VERSION + 1]);
    assert_eq!(
        Elf::with_notes(&notes).parse(),
        Err(KernelError::Version(ABI_VERSION + 1))
    );
}

#[test]
fn malformed_notes_are_refused() {
    let bad = [
        note(b"CKI\0", NOTE_PT_RANGE, &[PHYSICAL]),
        note(b"CKI\0", NOTE_PT_RANGE, &[PHYSICAL + 1, PHYSICAL + 0x1000]),
        note(
            b"CKI\0",
            NOTE_PT_RANGE,
            &[PHYSICAL + 0x2000, PHYSICAL + 0x1000],
        ),
        // Overlaps the text, and lies outside of the image.
        note(b"CKI\0", NOTE_PT_RANGE, &[PHYSICAL, PHYSICAL + 0x2000]),
        note(b"CKI\0", NOTE_RO_RANGE, &[PHYSICAL - 0x1000, PHYSICAL]),
        note(b"CKI\0", NOTE_RO_RANGE, &[0, !0xfff]),
        note(b"CKI\0", NOTE_ENTRY, &[VIRTUAL]),
        vec![1, 2, 3],
    ];
    for note in bad {
        let mut notes = standard_notes();
        notes.push(note.clone());
        let error = Elf::with_notes(&notes).parse().unwrap_err();
        assert!(matches!(error, KernelError::Malformed(_)), "{note:?}");
    }
}

#[test]
fn an_empty_range_says_nothing() {
    let mut notes = standard_notes();
    notes.push(note(b"CKI\0", NOTE_RO_RANGE, &[0, 0]));
    assert!(Elf::with_notes(&notes).parse().unwrap().ro.is_empty());
}

#[test]
fn an_entry_or_a_map_at_a_wrong_address_is_refused() {
    for (position, replacement) in [
        (1, note(b"CKI\0", NOTE_ENTRY, &[VIRTUAL + 0x2000])),
        (1, note(b"CKI\0", NOTE_ENTRY, &[0x40_0000])),
        (3, note(b"CKI\0", NOTE_DIRECT_MAP, &[DIRECT_MAP + 0x1000])),
    ] {
        let mut notes = standard_notes();
        notes[position] = replacement;
        let error = Elf::with_notes(&notes).parse().unwrap_err();
        assert!(matches!(error, KernelError::Malformed(_)));
    }
    // Linked in user space, in the monitor's slot, and not congruent modulo 2 MiB.
    for base in [0x100_0000, cki_abi::layout::SLOT_BASE, VIRTUAL + 0x1000] {
        let mut notes = standard_notes();
        notes[1] = note(b"CKI\0", NOTE_ENTRY, &[base]);
        let mut elf = Elf::with_notes(&notes);
        elf.segments[0].1 = base;
        assert!(matches!(elf.parse(), Err(KernelError::Malformed(_))));
    }
}

#[test]
fn segments_that_overlap_or_do_not_end_are_refused() {
    for (paddr, size) in [
        (PHYSICAL + 0x1000, 0x1_0000),
        (u64::MAX - 0xfff, 0x1_0000),
        (1 << 40, 0x1_0000),
        (PHYSICAL + 0x80_0000, 0x10),
    ] {
        let mut elf = Elf::linux_like();
        elf.segments[1].2 = paddr;
        elf.segments[1].4 = size;
        assert!(elf.parse().is_err(), "{paddr:#x} {size:#x}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = Kernel::parse(&bytes[..]);
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_parser_panic(
        changes in proptest::collection::vec((0usize..0x3f00, any::<u8>()), 1..12),
        words in proptest::collection::vec((0usize..80, any::<u64>()), 0..4),
        length in 0usize..0x4000,
    ) {
        let mut bytes = Elf::linux_like().bytes();
        let whole = bytes.len();
        for (at, value) in changes {
            bytes[at % whole] = value;
        }
        for (at, value) in words {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.truncate(length.max(64));
        if let Ok(kernel) = Kernel::parse(&bytes[..]) {
            // What is accepted can be planned with: no overflow, no range outside.
            let segments = [cki_abi::start_info::Segment { base: 1 << 30, size: 64 << 20 }];
            if let Ok(layout) = crate::guest::layout::Layout::plan(&segments, &kernel, 0, 4 << 20) {
                let _ = crate::guest::tables::BootTables::build(&layout, &kernel);
            }
        }
    }

    #[test]
    fn hostile_notes_never_panic(
        words in proptest::collection::vec(any::<u64>(), 0..6),
        kind in 0u64..9,
        size in any::<u32>(),
    ) {
        let mut notes = standard_notes();
        let mut extra = note(b"CKI\0", kind, &words);
        extra[4..8].copy_from_slice(&size.to_le_bytes());
        notes.push(extra);
        let _ = Elf::with_notes(&notes).parse();
        notes.pop();
        notes.push(note(b"CKI\0", kind, &words));
        let _ = Elf::with_notes(&notes).parse();
    }
}

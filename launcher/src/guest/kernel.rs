// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest kernel's ELF file: its loadable segments and its CKI notes.
//!
//! The file is whatever the user named: every number in it is checked here, and nothing outside of
//! what it describes is read. Only headers and notes are held in memory; segments are read from the
//! file straight into the guest.

use cki_abi::notes::{
    NOTE_ABI_VERSION, NOTE_DIRECT_MAP, NOTE_ENTRY, NOTE_EXEC_RANGE, NOTE_PT_RANGE, NOTE_RO_RANGE,
};
use cki_abi::version::ABI_VERSION;
use object::LittleEndian;
use object::elf::{EM_X86_64, ET_EXEC, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::ReadRef;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::{CHUNK, FRAME};

/// Program headers at most; Linux has five.
const SEGMENTS_MAX: usize = 64;
/// Bytes of all notes at most.
const NOTES_MAX: u64 = 64 << 10;
/// Bytes that the loaded image may occupy (Linux's KERNEL_IMAGE_SIZE).
const IMAGE_MAX: u64 = 1 << 30;
/// Ranges of one class at most.
const RANGES_MAX: usize = 16;
/// Owner of the notes.
const OWNER: &[u8] = b"CKI";

/// Why a file is no guest kernel.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No ELF file for x86-64.
    #[error("no 64-bit x86 ELF executable, as the vmlinux of a kernel build is: {0}")]
    NotElf(String),
    /// It says more than it holds.
    #[error("truncated: {0} lies beyond the end of the file")]
    Truncated(&'static str),
    /// Numbers that cannot be.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No CKI notes.
    #[error(
        "no kernel for CKI containers: it has no note of owner CKI (it must be built with CONFIG_CKI_GUEST)"
    )]
    NoNotes,
    /// One note is missing.
    #[error("no kernel for CKI containers: the note {0} is missing")]
    MissingNote(&'static str),
    /// For another ABI.
    #[error(
        "the kernel was built for ABI version {0}, this launcher has version {ABI_VERSION}; install both from one build"
    )]
    Version(u64),
}

/// A part of the file that goes to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Link-time physical address.
    pub paddr: u64,
    /// Bytes in memory, at least `file_size`; the rest is zero.
    pub memory_size: u64,
}

/// A range of link-time physical addresses, page-aligned, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Range {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// What the launcher needs to know of a guest kernel. All physical addresses are link-time ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What to load.
    pub loads: Vec<Load>,
    /// The image, first to last byte of `loads`, page-aligned.
    pub image: Range,
    /// Virtual address of the image's first byte, where it is linked to run. Congruent to its
    /// physical address modulo 2 MiB.
    pub virtual_base: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// Virtual address of hpa 0 in the direct map.
    pub direct_map: u64,
    /// Static page tables.
    pub pt: Vec<Range>,
    /// Text.
    pub exec: Vec<Range>,
    /// Constants.
    pub ro: Vec<Range>,
}

#[derive(Default)]
struct Notes {
    any: bool,
    version: Option<u64>,
    entry: Option<u64>,
    direct_map: Option<u64>,
    pt: Vec<Range>,
    exec: Vec<Range>,
    ro: Vec<Range>,
}

impl Kernel {
    /// Reads headers and notes of an ELF file.
    ///
    /// # Errors
    /// [`KernelError`] for anything but a kernel that can be loaded as it says.
    pub fn parse<'data, R: ReadRef<'data>>(file: R) -> Result<Kernel, KernelError> {
        let length = file
            .len()
            .map_err(|()| KernelError::Malformed("its length cannot be found"))?;
        let header = FileHeader64::<LittleEndian>::parse(file)
            .map_err(|error| KernelError::NotElf(error.to_string()))?;
        let endian = header
            .endian()
            .map_err(|error| KernelError::NotElf(error.to_string()))?;
        if header.e_machine(endian) != EM_X86_64 || header.e_type(endian) != ET_EXEC {
            return Err(KernelError::NotElf("another machine or type".to_owned()));
        }
        // Before program_headers, which would take the number from a section header.
        if usize::from(header.e_phnum(endian)) > SEGMENTS_MAX {
            return Err(KernelError::Malformed("too many program headers"));
        }
        let segments = header
            .program_headers(endian, file)
            .map_err(|_| KernelError::Truncated("the program header table"))?;

        let mut loads = Vec::new();
        let mut virtuals = Vec::new();
        let mut notes = Notes::default();
        let mut notes_size = 0;
        for segment in segments {
            let (offset, file_size) = segment.file_range(endian);
            let in_file = offset
                .checked_add(file_size)
                .is_some_and(|end| end <= length);
            match segment.p_type(endian) {
                PT_LOAD => {
                    if !in_file {
                        return Err(KernelError::Truncated("a loadable segment"));
                    }
                    let load = Load {
                        offset,
                        file_size,
                        paddr: segment.p_paddr(endian),
                        memory_size: segment.p_memsz(endian),
                    };
                    if load.memory_size < file_size {
                        return Err(KernelError::Malformed(
                            "a segment smaller than its contents",
                        ));
                    }
                    if load.paddr.checked_add(load.memory_size).is_none() {
                        return Err(KernelError::Malformed("a segment beyond all addresses"));
                    }
                    if load.memory_size != 0 {
                        loads.push(load);
                        virtuals.push(segment.p_vaddr(endian));
                    }
                }
                PT_NOTE => {
                    notes_size += file_size.min(NOTES_MAX + 1);
                    if notes_size > NOTES_MAX {
                        return Err(KernelError::Malformed("too many notes"));
                    }
                    if !in_file {
                        return Err(KernelError::Truncated("a note"));
                    }
                    let list = segment
                        .notes(endian, file)
                        .map_err(|_| KernelError::Malformed("a note segment"))?;
                    if let Some(list) = list {
                        notes.read(list, endian)?;
                    }
                }
                _ => {}
            }
        }
        assemble(loads, &virtuals, notes)
    }
}

impl Notes {
    fn read(
        &mut self,
        mut list: object::read::elf::NoteIterator<'_, FileHeader64<LittleEndian>>,
        endian: LittleEndian,
    ) -> Result<(), KernelError> {
        while let Some(note) = list.next().map_err(|_| KernelError::Malformed("a note"))? {
            if note.name() != OWNER {
                continue;
            }
            self.any = true;
            let words = words(note.desc())?;
            let kind = u64::from(note.n_type(endian));
            match (kind, &words[..]) {
                (NOTE_ABI_VERSION, &[version]) => set(&mut self.version, version)?,
                (NOTE_ENTRY, &[address]) => set(&mut self.entry, address)?,
                (NOTE_DIRECT_MAP, &[address]) => set(&mut self.direct_map, address)?,
                (NOTE_PT_RANGE, &[start, end]) => add(&mut self.pt, start, end)?,
                (NOTE_EXEC_RANGE, &[start, end]) => add(&mut self.exec, start, end)?,
                (NOTE_RO_RANGE, &[start, end]) => add(&mut self.ro, start, end)?,
                (
                    NOTE_ABI_VERSION | NOTE_ENTRY | NOTE_DIRECT_MAP | NOTE_PT_RANGE
                    | NOTE_EXEC_RANGE | NOTE_RO_RANGE,
                    _,
                ) => return Err(KernelError::Malformed("a CKI note of another size")),
                // A newer kernel may say more; the version tells what it relies on.
                _ => {}
            }
        }
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Result<Vec<u64>, KernelError> {
    if bytes.len() % 8 != 0 || bytes.len() > 64 {
        return Err(KernelError::Malformed("a CKI note of another size"));
    }
    Ok(bytes
        .chunks_exact(8)
        .map(|word| {
            word.iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | u64::from(byte))
        })
        .collect())
}

fn set(place: &mut Option<u64>, value: u64) -> Result<(), KernelError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(KernelError::Malformed("a CKI note that is there twice")),
    }
}

fn add(list: &mut Vec<Range>, start: u64, end: u64) -> Result<(), KernelError> {
    if (start | end) % FRAME != 0 || start > end {
        return Err(KernelError::Malformed("a CKI range that is no page range"));
    }
    // An empty section gives an empty range, which says nothing.
    if start == end {
        return Ok(());
    }
    if list.len() == RANGES_MAX {
        return Err(KernelError::Malformed("too many CKI ranges"));
    }
    list.push(Range { start, end });
    Ok(())
}

fn assemble(loads: Vec<Load>, virtuals: &[u64], notes: Notes) -> Result<Kernel, KernelError> {
    if !notes.any {
        return Err(KernelError::NoNotes);
    }
    let version = notes
        .version
        .ok_or(KernelError::MissingNote("NOTE_ABI_VERSION"))?;
    if version != ABI_VERSION {
        return Err(KernelError::Version(version));
    }
    let entry = notes.entry.ok_or(KernelError::MissingNote("NOTE_ENTRY"))?;
    let direct_map = notes
        .direct_map
        .ok_or(KernelError::MissingNote("NOTE_DIRECT_MAP"))?;
    if notes.exec.is_empty() {
        return Err(KernelError::MissingNote("NOTE_EXEC_RANGE"));
    }
    let image = image_of(&loads)?;
    let mut all: Vec<Range> = [&notes.pt, &notes.exec, &notes.ro]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    all.sort_unstable();
    if all.windows(2).any(|pair| pair[0].overlaps(&pair[1])) {
        return Err(KernelError::Malformed("CKI ranges that overlap"));
    }
    if all
        .iter()
        .any(|range| range.start < image.start || range.end > image.end)
    {
        return Err(KernelError::Malformed("a CKI range outside of the image"));
    }
    // Where the kernel is linked: the segment with the entry tells. Others may be linked elsewhere,
    // such as Linux's per-CPU data at address 0, and are reached through the same mapping.
    let (load, &vaddr) = loads
        .iter()
        .zip(virtuals)
        .find(|(load, vaddr)| entry.wrapping_sub(**vaddr) < load.memory_size)
        .ok_or(KernelError::Malformed("an entry outside of all segments"))?;
    let physical_entry = load.paddr + (entry - vaddr);
    if !notes
        .exec
        .iter()
        .any(|range| (range.start..range.end).contains(&physical_entry))
    {
        return Err(KernelError::Malformed("an entry outside of the text"));
    }
    let virtual_base = vaddr.wrapping_sub(load.paddr.wrapping_sub(image.start));
    if virtual_base.wrapping_sub(image.start) % CHUNK != 0 {
        return Err(KernelError::Malformed(
            "virtual and physical addresses that differ modulo 2 MiB",
        ));
    }
    if !is_kernel_half(virtual_base, image.size()) || direct_map % CHUNK != 0 {
        return Err(KernelError::Malformed(
            "an image or direct map outside of the kernel's half",
        ));
    }
    Ok(Kernel {
        loads,
        image,
        virtual_base,
        entry,
        direct_map,
        pt: notes.pt,
        exec: notes.exec,
        ro: notes.ro,
    })
}

fn image_of(loads: &[Load]) -> Result<Range, KernelError> {
    let start = loads.iter().map(|load| load.paddr).min();
    let end = loads.iter().map(|load| load.paddr + load.memory_size).max();
    let (Some(start), Some(end)) = (start, end) else {
        return Err(KernelError::Malformed("nothing to load"));
    };
    let start = start & !(FRAME - 1);
    let end = end
        .checked_next_multiple_of(FRAME)
        .ok_or(KernelError::Malformed("its size"))?;
    if end - start > IMAGE_MAX {
        return Err(KernelError::Malformed("an image of more than 1 GiB"));
    }
    let mut order: Vec<&Load> = loads.iter().collect();
    order.sort_unstable_by_key(|load| load.paddr);
    if order
        .windows(2)
        .any(|pair| pair[0].paddr + pair[0].memory_size > pair[1].paddr)
    {
        return Err(KernelError::Malformed("segments that overlap"));
    }
    Ok(Range { start, end })
}

/// Whether `size` bytes from `address` on lie in L4 slots 257 to 511.
#[must_use]
pub fn is_kernel_half(address: u64, size: u64) -> bool {
    // `checked_add` to the last byte: the half ends with the address space.
    address >= cki_abi::layout::SLOT_END && size != 0 && address.checked_add(size - 1).is_some()
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
pub(crate) mod tests;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Puts a kernel and what it needs into a container, and starts it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use cki_abi::class::CLASS_EXEC;
use cki_abi::limits::COMMAND_LINE_SIZE;
use cki_abi::start_info::StartInfo;
use cki_abi::uapi::start::Seal;
use object::read::ReadCache;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use super::FRAME;
use super::kernel::{Kernel, KernelError};
use super::layout::{Extent, Layout, LayoutError, default_page_tables};
use super::tables::{BootTables, TablesError};
use crate::module::{Container, ModuleError, StartRequest};

/// A file that goes into the guest.
#[derive(Debug)]
pub struct Input {
    /// Its name, for messages.
    pub path: PathBuf,
    /// Open for reading.
    pub file: File,
}

/// What a container is started with.
#[derive(Debug)]
pub struct Boot {
    /// The guest kernel, an ELF file.
    pub kernel: Input,
    /// The initial ramdisk.
    pub initrd: Option<Input>,
    /// The kernel's command line.
    pub cmdline: String,
    /// virtio-mmio devices, numbered from 0.
    pub devices: u32,
    /// Bytes of the page tables; `None` for [`default_page_tables`].
    pub page_tables: Option<u64>,
}

/// A container cannot be loaded or started.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel file.
    #[error("guest kernel {path}: {source}")]
    Kernel {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KernelError,
    },
    /// A file cannot be read as far as it says it goes.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An initial ramdisk without contents.
    #[error("initial ramdisk {0}: the file is empty")]
    Empty(PathBuf),
    /// The memory.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The boot page tables.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The command line.
    #[error(
        "the guest kernel's command line is {0} bytes long; {max} fit",
        max = COMMAND_LINE_SIZE - 1
    )]
    Cmdline(usize),
    /// A zero byte in it.
    #[error("the guest kernel's command line contains a zero byte")]
    CmdlineZero,
    /// The module.
    #[error(transparent)]
    Device(#[from] ModuleError),
}

fn unreadable(input: &Input, source: io::Error) -> LoadError {
    LoadError::Read {
        path: input.path.clone(),
        source,
    }
}

/// Reads the headers of a kernel file.
///
/// # Errors
/// [`LoadError::Kernel`], [`LoadError::Read`].
pub fn read_kernel(input: &Input) -> Result<Kernel, LoadError> {
    let file = input
        .file
        .try_clone()
        .map_err(|error| unreadable(input, error))?;
    let cache = ReadCache::new(file);
    Kernel::parse(&cache).map_err(|source| LoadError::Kernel {
        path: input.path.clone(),
        source,
    })
}

/// Loads and starts a container. What is returned reaches its Data frames, the only ones that can be
/// reached any more.
///
/// # Errors
/// [`LoadError`]; the container is of no use after one.
pub fn load(container: &dyn Container, boot: &Boot) -> Result<GuestMemoryMmap, LoadError> {
    let kernel = read_kernel(&boot.kernel)?;
    let initrd_size = match &boot.initrd {
        None => 0,
        Some(input) => match input.file.metadata() {
            Ok(metadata) if metadata.len() == 0 => {
                return Err(LoadError::Empty(input.path.clone()));
            }
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(unreadable(input, error)),
        },
    };
    let segments = container.segments();
    let total = segments.iter().map(|segment| segment.size).sum();
    let page_tables = boot
        .page_tables
        .unwrap_or_else(|| default_page_tables(total));
    let layout = Layout::plan(segments, &kernel, initrd_size, page_tables)?;
    let tables = BootTables::build(&layout, &kernel)?;
    let info = start_info(boot, &kernel, &layout, &tables)?;

    let memory = map(&container.memory(), &whole(&layout))?;
    for part in &kernel.loads {
        let place = Extent {
            hpa: part.paddr.wrapping_add(layout.phys_base),
            size: part.file_size,
        };
        copy(&memory, &boot.kernel, part.offset, place)?;
    }
    if let (Some(input), Some(place)) = (&boot.initrd, layout.initrd) {
        copy(&memory, input, 0, place)?;
    }
    for (number, table) in tables.tables.iter().enumerate() {
        let bytes: Vec<u8> = table.entries.iter().flat_map(|e| e.to_le_bytes()).collect();
        let hpa = tables.base + number as u64 * FRAME;
        memory
            .write_slice(&bytes, GuestAddress(hpa))
            .map_err(|error| ModuleError::Map(error.to_string()))?;
    }
    drop(memory);

    container.start(&request(info, &kernel, &layout, &tables))?;
    Ok(map(&container.memory(), &layout.data())?)
}

fn request(
    info: Box<StartInfo>,
    kernel: &Kernel,
    layout: &Layout,
    tables: &BootTables,
) -> StartRequest {
    let classes = layout.classes.clone();
    let seals = classes
        .iter()
        .filter(|range| u64::from(range.class) == CLASS_EXEC)
        .map(|range| Seal {
            hpa: range.base,
            frames: range.size / FRAME,
        })
        .collect();
    StartRequest {
        info,
        classes,
        seals,
        tables: tables.declarations(),
        root_hpa: tables.base,
        entry: kernel.entry,
    }
}

/// The start info, complete but for what the module sets itself: magic, version, vCPUs, clock,
/// TSC, PCIDs and the seed.
fn start_info(
    boot: &Boot,
    kernel: &Kernel,
    layout: &Layout,
    tables: &BootTables,
) -> Result<Box<StartInfo>, LoadError> {
    let line = boot.cmdline.as_bytes();
    if line.len() as u64 >= COMMAND_LINE_SIZE {
        return Err(LoadError::Cmdline(line.len()));
    }
    if line.contains(&0) {
        return Err(LoadError::CmdlineZero);
    }
    let mut info = Box::new(StartInfo {
        segment_count: layout.segments.len() as u32,
        class_count: layout.classes.len() as u32,
        phys_base: layout.phys_base,
        image_hpa: layout.image.hpa,
        image_size: layout.image.size,
        initrd_hpa: layout.initrd.map_or(0, |place| place.hpa),
        initrd_size: layout.initrd.map_or(0, |place| place.size),
        boot_root_hpa: tables.base,
        boot_tables_hpa: tables.base,
        boot_tables_size: tables.size(),
        direct_map: kernel.direct_map,
        device_count: boot.devices,
        ..StartInfo::default()
    });
    for (to, from) in info.segments.iter_mut().zip(&layout.segments) {
        *to = *from;
    }
    for (to, from) in info.classes.iter_mut().zip(&layout.classes) {
        *to = *from;
    }
    info.command_line[..line.len()].copy_from_slice(line);
    Ok(info)
}

fn whole(layout: &Layout) -> Vec<(Extent, u64)> {
    let mut offset = 0;
    layout
        .segments
        .iter()
        .map(|segment| {
            let place = Extent {
                hpa: segment.base,
                size: segment.size,
            };
            let at = offset;
            offset += segment.size;
            (place, at)
        })
        .collect()
}

/// Maps pieces of a container's memory at their host-physical addresses.
pub(crate) fn map(
    file: &Arc<File>,
    pieces: &[(Extent, u64)],
) -> Result<GuestMemoryMmap, ModuleError> {
    let failed = |error: &dyn std::fmt::Display| ModuleError::Map(error.to_string());
    let mut regions = Vec::with_capacity(pieces.len());
    for &(place, offset) in pieces {
        let region = MmapRegion::build(
            Some(FileOffset::from_arc(Arc::clone(file), offset)),
            place.size as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
        )
        .map_err(|error| failed(&error))?;
        let region = GuestRegionMmap::new(region, GuestAddress(place.hpa))
            .ok_or_else(|| failed(&"an address beyond 64 bits"))?;
        regions.push(region);
    }
    GuestMemoryMmap::from_regions(regions).map_err(|error| failed(&error))
}

/// Reads a part of a file into the guest, without a buffer in between.
fn copy(
    memory: &GuestMemoryMmap,
    input: &Input,
    offset: u64,
    place: Extent,
) -> Result<(), LoadError> {
    let mut file = input
        .file
        .try_clone()
        .map_err(|error| unreadable(input, error))?;
    file.seek(SeekFrom::Start(offset))
        .map_err(|error| unreadable(input, error))?;
    memory
        .read_exact_volatile_from(GuestAddress(place.hpa), &mut file, place.size as usize)
        .map_err(|error| match error {
            vm_memory::GuestMemoryError::IOError(error)
                if error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                let shorter = "it became shorter while it was read";
                unreadable(input, io::Error::new(error.kind(), shorter))
            }
            vm_memory::GuestMemoryError::IOError(error) => unreadable(input, error),
            error => unreadable(input, io::Error::other(error)),
        })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

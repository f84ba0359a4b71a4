// SPDX-License-Identifier: MIT OR Apache-2.0

//! /dev/cki, as its header has it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use cki_abi::version::ABI_VERSION;

const fn ioc(direction: u64, number: u64, size: usize) -> u64 {
    direction << 30 | (size as u64) << 16 | 0xcb << 8 | number
}

const GET_VERSION: u64 = ioc(0, 0x00, 0);
const GET_INFO: u64 = ioc(0, 0x01, 0);
const CREATE_CONTAINER: u64 = ioc(0, 0x02, 0);
const CREATE_VCPU: u64 = ioc(0, 0x20, 0);
const START: u64 = ioc(0, 0x21, 0);
const RAISE_EVENT: u64 = ioc(1, 0x22, size_of::<[u32; 2]>());
const KILL: u64 = ioc(0, 0x23, 0);
const RUN: u64 = ioc(0, 0x40, 0);

/// `struct cki_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Info {
    pub size: u32,
    pub mode: u32,
    pub missing: u32,
    pub abi_version: u32,
    pub vcpus_max: u32,
    pub containers: u32,
    pub pool_size: u64,
    pub pool_free: u64,
    pub tsc_khz: u64,
    pub monitor_pages: u32,
    reserved: u32,
}

/// `struct cki_create`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Create {
    pub size: u32,
    pub flags: u32,
    pub memory_size: u64,
    pub vcpus: u32,
    pub abi_version: u32,
    pub segment_count: u32,
    pub reserved: u32,
    pub segments: [[u64; 2]; 32],
}

impl Create {
    /// A container of one vCPU.
    pub fn new(memory_size: u64) -> Self {
        Create {
            size: size_of::<Self>() as u32,
            flags: 0,
            memory_size,
            vcpus: 1,
            abi_version: ABI_VERSION as u32,
            segment_count: 0,
            reserved: 0,
            segments: [[0; 2]; 32],
        }
    }
}

/// `struct cki_uapi_class` and `struct cki_boot_table` as words are laid out alike: hpa, size or
/// kind, class.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Class {
    pub hpa: u64,
    pub size: u64,
    pub class: u32,
    pub reserved: u32,
}

/// `struct cki_boot_table`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BootTable {
    pub hpa: u64,
    pub kind: u32,
    pub reserved: u32,
}

/// `struct cki_seal`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Seal {
    pub hpa: u64,
    pub frames: u64,
}

/// `struct cki_start`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Start {
    pub size: u32,
    pub flags: u32,
    pub start_info: u64,
    pub classes: u64,
    pub seals: u64,
    pub tables: u64,
    pub class_count: u32,
    pub seal_count: u32,
    pub table_count: u32,
    reserved: u32,
    pub root_hpa: u64,
    pub entry: u64,
    pub refusal_op: u32,
    pub refusal_error: u32,
    pub refusal_index: u32,
    reserved2: u32,
}

impl Default for Start {
    fn default() -> Self {
        Start {
            size: size_of::<Self>() as u32,
            flags: 0,
            start_info: 0,
            classes: 0,
            seals: 0,
            tables: 0,
            class_count: 0,
            seal_count: 0,
            table_count: 0,
            reserved: 0,
            root_hpa: 0,
            entry: 0,
            refusal_op: 0,
            refusal_error: 0,
            refusal_index: 0,
            reserved2: 0,
        }
    }
}

/// `struct cki_run`, the union as words.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Run {
    pub immediate_exit: u8,
    reserved: [u8; 3],
    pub exit_reason: u32,
    pub status: i64,
    pub value: u64,
    reserved2: [u64; 5],
    pub words: [u64; 64],
    pub exits_hypercall: u64,
    pub exits_interrupt: u64,
    pub exits_other: u64,
    pub idle_ns: u64,
    pub monitor_calls: u64,
    pub monitor_returns: u64,
}

fn ioctl(fd: &impl AsRawFd, request: u64, argument: u64) -> io::Result<i32> {
    // SAFETY: every request of this file takes no argument, a number, or a pointer to a live structure, which
    // the callers below pass; those that may grow say their size.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The system descriptor.
#[derive(Debug)]
pub struct System(File);

impl System {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/cki")
            .map(System)
    }

    /// CKI_GET_VERSION.
    pub fn version(&self) -> io::Result<i32> {
        ioctl(&self.0, GET_VERSION, 0)
    }

    /// CKI_GET_INFO into memory of `size` bytes, filled with ones behind that; all of the memory.
    pub fn info_of_size(&self, size: u32) -> io::Result<[u32; 64]> {
        let mut memory = [u32::MAX; 64];
        memory[0] = size;
        ioctl(&self.0, GET_INFO, &raw mut memory as u64)?;
        Ok(memory)
    }

    /// CKI_CREATE_CONTAINER with memory that begins with its own size, in bytes; the descriptor is closed.
    pub fn create_of_size(&self, memory: &mut [u32]) -> io::Result<()> {
        assert!(memory[0] as usize <= size_of_val(memory));
        let fd = ioctl(&self.0, CREATE_CONTAINER, memory.as_mut_ptr() as u64)?;
        // SAFETY: the call returned a new descriptor.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(())
    }

    /// CKI_GET_INFO.
    pub fn info(&self) -> io::Result<Info> {
        let mut info = Info {
            size: size_of::<Info>() as u32,
            ..Info::default()
        };
        ioctl(&self.0, GET_INFO, &raw mut info as u64)?;
        Ok(info)
    }

    /// CKI_CREATE_CONTAINER.
    pub fn create(&self, create: &mut Create) -> io::Result<Container> {
        let fd = ioctl(&self.0, CREATE_CONTAINER, &raw mut *create as u64)?;
        // SAFETY: the call returned a new descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Container {
            memory: Mapping::new(&fd, create.memory_size as usize)?,
            fd,
        })
    }
}

/// A shared mapping of a descriptor.
#[derive(Debug)]
pub struct Mapping {
    address: *mut u8,
    size: usize,
}

impl Mapping {
    fn new(fd: &impl AsRawFd, size: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping {
            address: address.cast(),
            size,
        })
    }

    /// Where this process sees an offset.
    pub fn address(&self, offset: usize) -> u64 {
        assert!(offset < self.size);
        self.address as u64 + offset as u64
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own.
        unsafe { libc::munmap(self.address.cast(), self.size) };
    }
}

// SAFETY: the address of shared memory, which is only read and written byte for byte.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// A container descriptor and its memory.
#[derive(Debug)]
pub struct Container {
    memory: Mapping,
    fd: OwnedFd,
}

impl Container {
    /// Copies bytes to an offset of the memory.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.memory.size);
        // SAFETY: inside of the mapping, which nothing else of this process refers to.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.memory.address.add(offset),
                bytes.len(),
            );
        }
    }

    /// The memory once more, no page of it there yet.
    pub fn map_again(&self) -> io::Result<Mapping> {
        Mapping::new(&self.fd, self.memory.size)
    }

    /// Has the kernel copy a byte of the memory to a file: an error, not a signal, if it is out of reach.
    pub fn copy_to(&self, file: &impl AsRawFd, offset: usize) -> io::Result<()> {
        assert!(offset < self.memory.size);
        // SAFETY: inside of the mapping, which only the kernel reads here.
        let result = unsafe {
            let byte = self.memory.address.add(offset);
            libc::write(file.as_raw_fd(), byte.cast(), 1)
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Stores a word.
    pub fn write_word(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }

    /// Reads a word, as the guest left it.
    pub fn read_word(&self, offset: usize) -> u64 {
        assert!(offset % 8 == 0 && offset + 8 <= self.memory.size);
        // SAFETY: aligned and inside of the mapping.
        unsafe {
            self.memory
                .address
                .add(offset)
                .cast::<u64>()
                .read_volatile()
        }
    }

    /// CKI_CREATE_VCPU.
    pub fn vcpu_descriptor(&self, number: u64) -> io::Result<OwnedFd> {
        let fd = ioctl(&self.fd, CREATE_VCPU, number)?;
        // SAFETY: the call returned a new descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The same, and maps its run page.
    pub fn vcpu(&self, number: u64) -> io::Result<Vcpu> {
        let fd = self.vcpu_descriptor(number)?;
        Ok(Vcpu {
            page: Mapping::new(&fd, 4096)?,
            fd,
        })
    }

    /// CKI_RAISE_EVENT.
    pub fn raise(&self, vcpu: u32, event: u32) -> io::Result<()> {
        let argument = [vcpu, event];
        ioctl(&self.fd, RAISE_EVENT, &raw const argument as u64).map(|_| ())
    }

    /// CKI_KILL.
    pub fn kill(&self) -> io::Result<()> {
        ioctl(&self.fd, KILL, 0).map(|_| ())
    }

    /// CKI_START.
    pub fn start(&self, start: &mut Start) -> io::Result<()> {
        ioctl(&self.fd, START, &raw mut *start as u64).map(|_| ())
    }
}

impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A vCPU descriptor and its run page.
#[derive(Debug)]
pub struct Vcpu {
    page: Mapping,
    fd: OwnedFd,
}

impl Vcpu {
    /// CKI_RUN, once: exit reason 0 is to run again.
    pub fn run_once(&self) -> io::Result<Run> {
        ioctl(&self.fd, RUN, 0)?;
        Ok(self.page())
    }

    /// CKI_RUN, until there is something to do.
    pub fn run(&self) -> io::Result<Run> {
        loop {
            let page = self.run_once()?;
            if page.exit_reason != 0 {
                return Ok(page);
            }
        }
    }

    /// The run page.
    pub fn page(&self) -> Run {
        // SAFETY: the page is mapped and holds a struct cki_run; the module changes it in CKI_RUN only.
        unsafe { self.page.address.cast::<Run>().read_volatile() }
    }

    /// Answers the last exit.
    pub fn answer(&self, status: i64, value: u64) {
        let run = self.page.address.cast::<Run>();
        // SAFETY: as in page().
        unsafe {
            (&raw mut (*run).status).write_volatile(status);
            (&raw mut (*run).value).write_volatile(value);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! /dev/cki as tests want it: the client `cki-module`, the container's memory, and calls that no client would make.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use cki_abi::uapi::DEVICE;
use cki_abi::uapi::container::Create;
use cki_abi::uapi::eventfd::{Ioeventfd, Irqfd};
use cki_abi::uapi::ioctls::{CREATE_CONTAINER, GET_INFO};
use cki_abi::uapi::run::RunPage;
use cki_abi::uapi::run::exits::EXIT_INTR;
use cki_abi::uapi::start::Start;
use cki_abi::uapi::system::Info;
use cki_abi::version::ABI_VERSION;
use cki_module::Mapping;

/// What a container of one vCPU is made with.
pub fn create(memory_size: u64) -> Create {
    Create {
        size: size_of::<Create>() as u32,
        memory_size,
        vcpus: 1,
        abi_version: ABI_VERSION as u32,
        ..Create::default()
    }
}

/// The system descriptor.
#[derive(Debug)]
pub struct System(cki_module::System);

impl System {
    /// Opens the device.
    pub fn open() -> Result<Self> {
        let system = cki_module::System::open(Path::new(DEVICE));
        system.map(System).context(DEVICE)
    }

    /// CKI_GET_VERSION.
    pub fn version(&self) -> io::Result<i32> {
        self.0.version()
    }

    /// CKI_GET_INFO.
    pub fn info(&self) -> io::Result<Info> {
        self.0.info()
    }

    /// CKI_CREATE_CONTAINER.
    pub fn create(&self, create: &mut Create) -> io::Result<Container> {
        let module = self.0.create(create)?;
        Ok(Container {
            memory: module.map(create.memory_size as usize)?,
            module,
        })
    }

    /// CKI_GET_INFO into memory of `size` bytes, filled with ones behind that; all of the memory.
    pub fn info_of_size(&self, size: u32) -> io::Result<[u32; 64]> {
        let mut memory = [u32::MAX; 64];
        memory[0] = size;
        self.with_size(GET_INFO, &mut memory)?;
        Ok(memory)
    }

    /// CKI_CREATE_CONTAINER with memory that begins with its own size, in bytes; the descriptor is closed.
    pub fn create_of_size(&self, memory: &mut [u32]) -> io::Result<()> {
        use std::os::fd::FromRawFd;

        let fd = self.with_size(CREATE_CONTAINER, memory)?;
        // SAFETY: the call returned a new descriptor.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(())
    }

    /// A call that is given a structure with its size in front. A size that is larger than the memory is refused by
    /// the module, or it would write behind it.
    fn with_size(&self, request: u64, memory: &mut [u32]) -> io::Result<i32> {
        assert!(memory[0] as usize <= size_of_val(memory) || memory[0] > 4096);
        // SAFETY: the module writes no more than the size in front says, and nothing for more than 4096.
        let result = unsafe {
            libc::ioctl(
                self.0.as_fd().as_raw_fd(),
                request as _,
                memory.as_mut_ptr(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(result)
    }
}

/// A container descriptor and its memory.
#[derive(Debug)]
pub struct Container {
    memory: Mapping,
    module: cki_module::Container,
}

impl Container {
    /// Copies bytes to an offset of the memory.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.memory.size());
        let to = self.memory.at::<u8>(offset);
        // SAFETY: inside of the mapping, which nothing else of this process refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// The memory once more, no page of it there yet.
    pub fn map_again(&self) -> io::Result<Mapping> {
        self.module.map(self.memory.size())
    }

    /// Has the kernel copy a byte of the memory to a file: an error, not a signal, if it is out of reach.
    pub fn copy_to(&self, file: &impl AsRawFd, offset: usize) -> io::Result<()> {
        let byte = self.memory.at::<u8>(offset);
        // SAFETY: inside of the mapping, which only the kernel reads here.
        let result = unsafe { libc::write(file.as_raw_fd(), byte.cast(), 1) };
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
        // SAFETY: aligned and inside of the mapping.
        unsafe { self.memory.at::<u64>(offset).read_volatile() }
    }

    /// CKI_CREATE_VCPU.
    pub fn vcpu_descriptor(&self, number: u64) -> io::Result<std::fs::File> {
        self.module.vcpu_descriptor(number)
    }

    /// The same, and maps its run page.
    pub fn vcpu(&self, number: u64) -> io::Result<Vcpu> {
        self.module.vcpu(number).map(Vcpu)
    }

    /// CKI_RAISE_EVENT.
    pub fn raise(&self, vcpu: u32, event: u32) -> io::Result<()> {
        self.module.raise(vcpu, event)
    }

    /// CKI_IOEVENTFD.
    pub fn ioeventfd(&self, wanted: Ioeventfd) -> io::Result<()> {
        self.module.ioeventfd(wanted)
    }

    /// CKI_IRQFD.
    pub fn irqfd(&self, wanted: Irqfd) -> io::Result<()> {
        self.module.irqfd(wanted)
    }

    /// CKI_KILL.
    pub fn kill(&self) -> io::Result<()> {
        self.module.kill()
    }

    /// CKI_START.
    pub fn start(&self, start: &mut Start) -> io::Result<()> {
        self.module.start(start)
    }
}

impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.module.file().as_fd()
    }
}

/// A vCPU descriptor and its run page.
#[derive(Debug)]
pub struct Vcpu(cki_module::Vcpu);

impl Vcpu {
    /// CKI_RUN, once: EXIT_INTR is to run again.
    pub fn run_once(&self) -> io::Result<RunPage> {
        self.0.run()?;
        Ok(self.page())
    }

    /// CKI_RUN, until there is something to do.
    pub fn run(&self) -> io::Result<RunPage> {
        loop {
            let page = self.run_once()?;
            if page.exit_reason != EXIT_INTR {
                return Ok(page);
            }
        }
    }

    /// Its descriptor, for a call of CKI_RUN that a test makes itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The run page.
    pub fn page(&self) -> RunPage {
        self.0.page().read()
    }

    /// Answers the last exit.
    pub fn answer(&self, status: i64, value: u64) {
        self.0.answer(status, value);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cki_abi::uapi::container::Create;
use cki_abi::uapi::ioctls::{CREATE_CONTAINER, GET_INFO, GET_VERSION};
use cki_abi::uapi::system::Info;

use crate::{Container, call};

/// The open device.
#[derive(Debug)]
pub struct System(File);

impl System {
    /// Opens the device file. That it is the module's, [`System::version`] tells.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map(System)
    }

    /// CKI_GET_VERSION.
    ///
    /// # Errors
    ///
    /// What the module says, or whoever serves the file.
    pub fn version(&self) -> io::Result<i32> {
        // SAFETY: the call takes no argument, and 0 is an address of nothing if the file is not the module's.
        unsafe { call::with_number(&self.0, GET_VERSION, 0) }
    }

    /// CKI_GET_INFO.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn info(&self) -> io::Result<Info> {
        let mut info = Info {
            size: size_of::<Info>() as u32,
            ..Info::default()
        };
        // SAFETY: the call takes an Info, which says its size.
        unsafe { call::with_structure(&self.0, GET_INFO, &mut info) }?;
        Ok(info)
    }

    /// CKI_CREATE_CONTAINER. The size is set here.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn create(&self, create: &mut Create) -> io::Result<Container> {
        create.size = size_of::<Create>() as u32;
        // SAFETY: the call takes a Create, which says its size.
        let descriptor = unsafe { call::with_structure(&self.0, CREATE_CONTAINER, create) }?;
        // SAFETY: the module has made the descriptor for this call.
        Ok(Container::new(unsafe { call::own(descriptor) }))
    }
}

impl AsFd for System {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

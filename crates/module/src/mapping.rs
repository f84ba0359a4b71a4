// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shared memory of a descriptor: a vCPU's run page, a container's memory.

use std::io;
use std::os::fd::AsRawFd;

/// A shared, writable mapping from offset 0 of a descriptor. Guest, module and other threads change what is in
/// it at any time: it is reached by its address only, and no reference to it exists.
#[derive(Debug)]
pub struct Mapping {
    address: *mut u8,
    size: usize,
}

impl Mapping {
    /// Maps `size` bytes.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn new(descriptor: &impl AsRawFd, size: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
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

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where this process sees a `T` at `offset`, all of which is in the mapping and aligned.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[must_use]
    pub fn at<T>(&self, offset: usize) -> *mut T {
        let end = offset.checked_add(size_of::<T>());
        assert!(
            end.is_some_and(|end| end <= self.size),
            "{offset} is outside"
        );
        let pointer = self.address.wrapping_add(offset).cast::<T>();
        assert!(pointer.is_aligned(), "{offset} is not aligned");
        pointer
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own.
        unsafe { libc::munmap(self.address.cast(), self.size) };
    }
}

// SAFETY: the address of shared memory, which any thread may use as well as another.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

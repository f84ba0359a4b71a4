// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/cki`: what a program and the host module say to each other; [`OVERVIEW`] tells how it is used.
//!
//! The C header `include/linux/cki.h` is generated from these items. Rust's client is the crate `cki-module`.

pub mod container;
pub mod eventfd;
pub mod ioctls;
pub mod run;
pub mod start;
pub mod system;
pub mod version;

/// The device's file.
pub const DEVICE: &str = "/dev/cki";

text! {
    /// /dev/cki: secure containers with a deprivileged guest kernel.
    ///
    /// Three kinds of file descriptors, as KVM has them:
    ///
    /// - system: `open("/dev/cki", O_RDWR | O_CLOEXEC)`
    /// - container: CKI_CREATE_CONTAINER on the system descriptor
    /// - vCPU: CKI_CREATE_VCPU on the container descriptor
    ///
    /// Life of a container: CKI_CREATE_CONTAINER takes memory from the pool and
    /// zeroes it. The launcher mmaps the container descriptor, loads kernel, initrd
    /// and boot page tables into the memory, and calls CKI_START, which fixes the
    /// class of each frame. CKI_CREATE_VCPU, mmap of the run page, CKI_RUN in a
    /// loop. Closing the last descriptor and unmapping the last mapping ends the
    /// container and gives its memory back, zeroed, however the launcher ends.
    ///
    /// Common errors of all calls: ENOTTY (no such call on this descriptor), EFAULT
    /// (bad pointer), EINVAL (a reserved field or unknown flag is not 0).
    ///
    /// A structure that begins with its size may grow at its end. The caller says
    /// how long its own is; fields that it does not have count as 0. Errors: EINVAL
    /// (shorter than its `CKI_*_SIZE_LEAST`), E2BIG (longer than the module knows, and
    /// something there is not 0). The layouts are the same for 32-bit programs.
    ///
    /// Numbers of calls: type 0xCB, 0x40 to 0x6F, of which 0x40 on are the system
    /// descriptor's, 0x50 on the container's, 0x60 on the vCPU's. No entry of Linux'
    /// Documentation/userspace-api/ioctl/ioctl-number.rst has them (as of 6.12; of
    /// type 0xCB, 0x00 to 0x1F are taken). A call whose structure may grow has
    /// neither its size nor a direction in its number (_IO): these would change
    /// with the structure, and an older module would not know the call. The others
    /// with a structure are _IOW.
    OVERVIEW
}

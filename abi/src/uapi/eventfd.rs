// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices that somebody else serves than who runs the vCPU: eventfds in the place of an exit, and of a call.

constants! { "Eventfds of a container", u32;
    /// Flag of CKI_IOEVENTFD: what is written has to be `value`.
    IOEVENTFD_VALUE = 1;
    /// CKI_IOEVENTFD, and CKI_IRQFD, of a container at most.
    EVENTFDS_MAX = 64;
}

structure! {
    /// CKI_IOEVENTFD: from now on, a write of the guest's to a register of a device signals an eventfd, and the vCPU
    /// goes on; it is no CKI_EXIT_MMIO_WRITE any more. It stays so until the container is gone, which keeps the
    /// eventfd, though not its descriptor, for as long. A counter that cannot become larger stays as it is.
    ///
    /// Errors: EBADF (no such descriptor), EINVAL (no eventfd, or something is not as said here), EEXIST (another one
    /// has such writes), EBUSY (after CKI_START or CKI_KILL), ENOSPC (there are CKI_EVENTFDS_MAX), ENOMEM.
    Ioeventfd as "ioeventfd", size 32 {
        /// A descriptor of an eventfd.
        fd: u32,
        /// 0 or CKI_IOEVENTFD_VALUE.
        flags: u32,
        /// Number of the device, less than CKI_DEVICES_MAX.
        device: u32,
        /// Bytes that the guest writes: 1, 2, 4 or 8.
        size: u32,
        /// Where, in bytes: less than 4096.
        offset: u64,
        /// With CKI_IOEVENTFD_VALUE what it writes, in as many bytes; otherwise 0.
        value: u64,
    }
}

structure! {
    /// CKI_IRQFD: from now on, a signal of an eventfd does what CKI_RAISE_EVENT does, whoever signals it, and takes
    /// its counter back. It stays so until the container is gone, which keeps the eventfd, though not its descriptor,
    /// for as long. One eventfd may raise several events; nobody but the module sees its signals any more, and one of
    /// EFD_SEMAPHORE keeps what is more than 1.
    ///
    /// Errors: EBADF (no such descriptor), EINVAL (no eventfd; flags; event), ENOENT (no such vCPU), EEXIST (it raises
    /// that event already), EBUSY (after CKI_START or CKI_KILL), ENOSPC (there are CKI_EVENTFDS_MAX), ENOMEM.
    Irqfd as "irqfd", size 16 {
        /// A descriptor of an eventfd.
        fd: u32,
        /// 0.
        flags: u32,
        /// Number of the vCPU.
        vcpu: u32,
        /// Bit number, 0 to 63 (CKI_EVENT_*).
        event: u32,
    }
}

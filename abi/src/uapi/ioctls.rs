// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls. Where a structure is passed whose size may grow, the number does not tell the size.

use super::container::Event;
use super::eventfd::{Ioeventfd, Irqfd};

constants! { "Numbers of the calls", u32;
    /// Type of all of them; see above for the numbers.
    IOC = 0xcb;
}

ioctls! { IOC;
    /// System. Returns CKI_UAPI_VERSION of the module. Argument 0.
    GET_VERSION = 0x40;
    /// System. `struct cki_info *`.
    GET_INFO = 0x41;
    /// System. `struct cki_create *`.
    CREATE_CONTAINER = 0x42;
    /// Container. Argument: number, 0 to vcpus - 1. Returns a vCPU descriptor (O_CLOEXEC). Errors: EINVAL, EEXIST,
    /// EBUSY (after CKI_START or CKI_KILL), ENOMEM, EMFILE.
    CREATE_VCPU = 0x50;
    /// Container. `struct cki_start *`.
    START = 0x51;
    /// Container. `struct cki_event *`.
    RAISE_EVENT = 0x52, Event;
    /// Container. Ends it: every later CKI_RUN fails with ESHUTDOWN; one that is under way returns, with that error or
    /// with an exit that it had come to. Argument 0.
    KILL = 0x53;
    /// Container. `struct cki_ioeventfd *`.
    IOEVENTFD = 0x54, Ioeventfd;
    /// Container. `struct cki_irqfd *`.
    IRQFD = 0x55, Irqfd;
    /// vCPU. Argument 0. Runs the guest until it needs the launcher. Returns 0 with exit_reason set. Errors:
    /// EINTR (signal or immediate_exit), EBUSY (another thread runs or starts it), ENXIO (KVM has this CPU in VMX
    /// operation), ESHUTDOWN (the container has ended), ENOEXEC (CKI_START was not called, or the vCPU has not
    /// been started), EINVAL (the thread has had CPUID taken from itself: ARCH_SET_CPUID).
    RUN = 0x60;
}

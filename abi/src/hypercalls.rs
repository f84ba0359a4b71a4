// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hypercalls: what the guest kernel asks of the host, through the monitor.
//!
//! Same gate, registers and errors as [`crate::calls`], with a number from
//! [`HC_BASE`] on. The monitor switches worlds and hands number and arguments to the module;
//! it looks at none of them, so the module (or the launcher) checks every one.

constants! { "Hypercalls: convention of the KSM calls, numbers from HC_BASE";
    /// First hypercall number.
    HC_BASE = 0x100;
    /// (hpa, length) -> rdx = bytes taken: writes to the console. At most one frame, not crossing it.
    HC_CONSOLE_WRITE = 0x100;
    /// (hpa, length) -> rdx = bytes put there: reads what the console has received; 0 if nothing.
    HC_CONSOLE_READ = 0x101;
    /// (tsc): raises EVENT_TIMER on this vCPU when the TSC reaches the value; 0 disarms. A value in
    /// the past raises it at once. One timer a vCPU.
    HC_TIMER_SET = 0x102;
    /// (): returns when an event is pending on this vCPU, at once if one is. The guest calls it with
    /// its interrupt flag 0 and looks at `events` itself afterwards.
    HC_IDLE = 0x103;
    /// (): lets the host run something else.
    HC_YIELD = 0x104;
    /// (device, offset, size) -> rdx = value: reads 1, 2, 4 or 8 bytes of a virtio-mmio device's
    /// registers (virtio 1.2, 4.2.2; offsets from 0x100 are the device's configuration).
    HC_MMIO_READ = 0x105;
    /// (device, offset, size, value): writes such a register.
    HC_MMIO_WRITE = 0x106;
    /// (reason, code): ends the container. SHUTDOWN_*; does not return.
    HC_SHUTDOWN = 0x107;
    /// (hpa, length): as HC_CONSOLE_WRITE for the last words of a panic, then ends the container as
    /// SHUTDOWN_PANIC; does not return.
    HC_PANIC = 0x108;
    /// Kept for a start of another vCPU. Not built: E_HOST always.
    HC_VCPU_START = 0x109;
    /// Kept for the end of a vCPU. Not built: E_HOST always.
    HC_VCPU_STOP = 0x10a;
    /// (mask, event): raises an event bit on the vCPUs of the mask.
    HC_EVENT_SEND = 0x10b;
    /// One past the last hypercall number.
    HC_END = 0x10c;
}

/// Constants that hypercalls take, and event bits.
pub mod arguments {
    constants! { "Arguments of hypercalls; bit numbers in events";
        /// HC_SHUTDOWN: power off; code is PID 1's exit status.
        SHUTDOWN_POWEROFF = 0;
        /// HC_SHUTDOWN: restart asked for; the launcher decides.
        SHUTDOWN_REBOOT = 1;
        /// HC_SHUTDOWN: the guest kernel panicked.
        SHUTDOWN_PANIC = 2;
        /// Event: the timer of HC_TIMER_SET.
        EVENT_TIMER = 0;
        /// Event: the console has input.
        EVENT_CONSOLE = 1;
        /// Event: first of IPI_EVENTS inter-processor events whose meaning is the guest's.
        EVENT_IPI = 8;
        /// Event: interrupt of virtio-mmio device n is EVENT_DEVICE + n.
        EVENT_DEVICE = 16;
    }
}

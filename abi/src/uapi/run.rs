// SPDX-License-Identifier: MIT OR Apache-2.0

//! The run page of a vCPU.

use crate::description::{Abi, Part};
use crate::monitor::Refusal;
use crate::words::Words;

/// Values of [`RunPage::exit_reason`].
pub mod exits {
    constants! { "Why CKI_RUN returned: cki_run.exit_reason", u32;
        /// A signal, immediate_exit, or work of the kernel: run again.
        EXIT_INTR = 0;
        /// `console`: the bytes are at its hpa.
        EXIT_CONSOLE_WRITE = 1;
        /// `console`: put up to its length bytes at its hpa.
        EXIT_CONSOLE_READ = 2;
        /// `mmio`.
        EXIT_MMIO_READ = 3;
        /// `mmio`.
        EXIT_MMIO_WRITE = 4;
        /// `shutdown`; the container has ended.
        EXIT_SHUTDOWN = 5;
        /// `console`: last words; the container has ended.
        EXIT_PANIC = 6;
        /// `fault`: the guest cannot go on; the container has ended.
        EXIT_GUEST_FAULT = 7;
        /// `fault`: the monitor ended the container.
        EXIT_MONITOR_FAULT = 8;
        /// `fault`: its memory or CPU broke; the container has ended.
        EXIT_MACHINE_CHECK = 9;
    }
}

constants! { "The run page", u32;
    /// Bytes of the vCPU descriptor's mapping.
    RUN_SIZE = 4096;
}

structure! {
    /// Bytes in one frame of class Data. The guest chose them, the module has checked them.
    Console as "run_console", size 24 {
        /// Host-physical address.
        hpa: u64,
        /// Bytes; 0 if a panic's last words cannot be read.
        length: u64,
        /// Place of `hpa` in the container's mmap.
        offset: u64,
    }
}

structure! {
    /// Access to a register.
    Mmio as "run_mmio", size 32 {
        /// Less than start_info.device_count.
        device: u64,
        /// Byte offset, less than 4096.
        offset: u64,
        /// 1, 2, 4 or 8.
        size: u64,
        /// What to write.
        value: u64,
    }
}

structure! {
    /// How the guest ended itself.
    Shutdown as "run_shutdown", size 16 {
        /// CKI_SHUTDOWN_*, or whatever the guest said.
        reason: u64,
        /// The guest's own.
        code: u64,
    }
}

structure! {
    /// What is known of a container that cannot go on.
    ///
    /// After CKI_EXIT_MACHINE_CHECK, `vector` is 18 and `cr2` the physical address that the machine reported, 0 if
    /// none; the host sends SIGBUS, too, as to any program whose memory breaks.
    Fault as "run_fault", size 112 {
        /// Of the exception, or CKI_FAULT_*.
        vector: u64,
        /// Its error code.
        error_code: u64,
        /// Where.
        rip: u64,
        /// Address of a page fault.
        cr2: u64,
        /// Stack.
        rsp: u64,
        /// 0.
        reserved: u64,
        /// The last call that the monitor refused.
        refusal: Refusal,
    }
}

from_words! {
    Console { hpa, length, offset }
    Mmio { device, offset, size, value }
    Shutdown { reason, code }
    Fault { vector, error_code, rip, cr2, rsp, reserved, refusal }
    Refusal { count, call, arguments, error, rip }
}

/// What goes with an exit: one of the structures above, by `exit_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Detail(pub [u64; DETAIL_WORDS]);

const DETAIL_WORDS: usize = 64;
const _: () = assert!(size_of::<Fault>() <= size_of::<Detail>());

impl Detail {
    /// Of EXIT_CONSOLE_WRITE, EXIT_CONSOLE_READ and EXIT_PANIC.
    #[must_use]
    pub fn console(&self) -> Console {
        Console::from_words(&self.0)
    }

    /// Of EXIT_MMIO_READ and EXIT_MMIO_WRITE.
    #[must_use]
    pub fn mmio(&self) -> Mmio {
        Mmio::from_words(&self.0)
    }

    /// Of EXIT_SHUTDOWN.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::from_words(&self.0)
    }

    /// Of EXIT_GUEST_FAULT, EXIT_MONITOR_FAULT and EXIT_MACHINE_CHECK.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::from_words(&self.0)
    }
}

impl Abi for Detail {
    const C_TYPE: &'static str = u64::C_TYPE;
    const COUNT: usize = DETAIL_WORDS;
    const PARTS: &'static [Part] = &[
        Part {
            name: "console",
            c_type: Console::C_TYPE,
            doc: &[" CKI_EXIT_CONSOLE_WRITE, CKI_EXIT_CONSOLE_READ, CKI_EXIT_PANIC."],
        },
        Part {
            name: "mmio",
            c_type: Mmio::C_TYPE,
            doc: &[" CKI_EXIT_MMIO_READ, CKI_EXIT_MMIO_WRITE."],
        },
        Part {
            name: "shutdown",
            c_type: Shutdown::C_TYPE,
            doc: &[" CKI_EXIT_SHUTDOWN."],
        },
        Part {
            name: "fault",
            c_type: Fault::C_TYPE,
            doc: &[" CKI_EXIT_GUEST_FAULT, CKI_EXIT_MONITOR_FAULT, CKI_EXIT_MACHINE_CHECK."],
        },
    ];
    const ZERO: Self = Detail([0; DETAIL_WORDS]);
}

structure! {
    /// At offset 0 of the vCPU descriptor's mapping. HC_TIMER_SET, HC_IDLE, HC_YIELD and HC_EVENT_SEND never come out
    /// here.
    ///
    /// The counts are since the start, and only grow, but for page_table_frames_used. Nothing of the guest's reaches
    /// them, and no other container's launcher this page. Those of the monitor and page_table_frames_used are as they
    /// were when the container last left for a physical interrupt or HC_IDLE, or CKI_RUN returned.
    RunPage as "run", size 728 {
        /// In: not 0 makes CKI_RUN return at once with EINTR after it has completed what the last exit asked for.
        immediate_exit: u8,
        /// 0.
        reserved: [u8; 3],
        /// Out: CKI_EXIT_INTR to CKI_EXIT_MACHINE_CHECK.
        exit_reason: u32,
        /// In, after the exits 1 to 4: 0, or an error CKI_E_*, negated, that the guest gets.
        status: i64,
        /// In, after the exits 1 to 4: bytes taken, bytes put there, value read, 0.
        value: u64,
        /// 0.
        reserved2: [u64; 5],
        /// Out: what goes with `exit_reason`.
        detail: Detail,
        /// How often the vCPU has left the container for a hypercall, since the start,
        exits_hypercall: u64,
        /// for a physical interrupt,
        exits_interrupt: u64,
        /// and otherwise.
        exits_other: u64,
        /// Nanoseconds spent idle.
        idle_ns: u64,
        /// Calls of the monitor, CKI_KSM_*, since the start.
        monitor_calls: u64,
        /// Returns by its GATE_IRET.
        monitor_returns: u64,
        /// Calls and returns that it has refused.
        monitor_refusals: u64,
        /// World switches into the container, those of CKI_START among them.
        entries: u64,
        /// Of exits_other: NMIs of the host,
        exits_nmi: u64,
        /// and machine checks.
        exits_machine_check: u64,
        /// Of exits_hypercall: HC_CONSOLE_WRITE, HC_CONSOLE_READ and HC_PANIC,
        hypercalls_console: u64,
        /// HC_TIMER_SET,
        hypercalls_timer_set: u64,
        /// HC_IDLE,
        hypercalls_idle: u64,
        /// HC_YIELD,
        hypercalls_yield: u64,
        /// HC_MMIO_READ,
        hypercalls_mmio_read: u64,
        /// HC_MMIO_WRITE,
        hypercalls_mmio_write: u64,
        /// and HC_EVENT_SEND.
        hypercalls_event_send: u64,
        /// Frames of class Pt that the container has, from CKI_START on.
        page_table_frames: u64,
        /// Those of them that are page tables now, as far as they became or ceased to be one on this vCPU: the sum over
        /// all vCPUs, modulo 2^64, is the container's.
        page_table_frames_used: u64,
    }
}

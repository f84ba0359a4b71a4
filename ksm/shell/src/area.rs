//! A vCPU's area in slot 256, and what the monitor keeps in it.

use cki_abi::handlers::{HANDLER_END, HANDLER_EVENT_USER};
use cki_abi::layout::{
    VCPU_BASE, VCPU_GDT, VCPU_IDT, VCPU_SCRATCH, VCPU_STATE, VCPU_STRIDE, VCPU_SWITCH, VCPU_TSS,
};
use cki_abi::monitor::VcpuSwitch;
use cki_ksm_core::descriptor::GDT_SLOTS;
use cki_ksm_core::event::EntryCode;
use cki_ksm_core::{Frame as PageFrame, Scratch};

/// What an event entry or GATE_IRET leaves on a stack, and `frame_return` pops.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// Vector, or [`ORIGIN_IRET`], [`ORIGIN_CALL`].
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    /// CS, and PKRS in the upper half.
    pub cs_and_pkrs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<Frame>() == 22 * 8);

/// `vector` of a frame that GATE_IRET made.
pub const ORIGIN_IRET: u64 = 0x200;
/// `vector` of a frame that a call's slow return made.
pub const ORIGIN_CALL: u64 = 0x201;

impl Frame {
    /// PKRS at the interruption.
    pub fn pkrs(&self) -> u64 {
        self.cs_and_pkrs >> 32
    }

    /// Whether it was in user mode.
    pub fn is_user(&self) -> bool {
        self.cs_and_pkrs & 3 == 3
    }
}

/// Operand of LGDT and LIDT, aligned so that the base is.
#[derive(Debug)]
#[repr(C, packed)]
pub struct TablePointer {
    pub limit: u16,
    pub base: u64,
}

/// At VCPU_STATE.
#[derive(Debug)]
#[repr(C)]
pub struct State {
    /// 1 when GDT, IDT and TSS are set up.
    pub ready: u64,
    /// 1 when a call has to return by a frame, because the guest has an event to take.
    pub slow_return: u64,
    /// Stack pointer of the suspended monitor; 0 if nothing is suspended.
    pub resume_rsp: u64,
    /// Stack pointer of the module; on it, where to return to.
    pub host_rsp: u64,
    /// Bridge page table: what to load into CR3 before that.
    pub bridge: u64,
    /// The guest's CR3, with the bit that keeps cached translations if there are PCIDs.
    pub root: u64,
    pub cr2: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub kernel_gs_base: u64,
    /// STAR, LSTAR, CSTAR, FMASK.
    pub syscall_msrs: [u64; 4],
    /// DS, ES, FS, GS.
    pub selectors: [u16; 4],
    pub gdtr: TablePointer,
    pub padding: [u8; 6],
    pub idtr: TablePointer,
    pub padding2: [u8; 6],
    /// Return address of the call under way, as the guest's stack had it. For the record only.
    pub call_rip: u64,
    /// Addresses set by KSM_HANDLER_SET, by index - HANDLER_EVENT_USER.
    pub handlers: [u64; (HANDLER_END - HANDLER_EVENT_USER) as usize],
    /// The guest's entry code.
    pub entry_code: EntryCode,
    /// Where the guest's `struct cki_vcpu_info` is.
    pub info: Option<(PageFrame, usize)>,
}

const _: () = assert!(size_of::<State>() <= 4096);

/// Address of a vCPU's area. A copy of it is no right: the area is the vCPU's own, and the monitor
/// runs on a vCPU in one place at a time.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Area(u64);

impl Area {
    /// Number of the vCPU.
    pub fn vcpu(self) -> usize {
        ((self.0 - VCPU_BASE) / VCPU_STRIDE) as usize
    }

    /// Its address.
    pub fn address(self) -> u64 {
        self.0
    }

    /// The area that an address lies in.
    pub fn containing(address: u64) -> Self {
        Area(address & !(VCPU_STRIDE - 1))
    }

    /// The monitor's state of the vCPU.
    pub fn state(self) -> &'static mut State {
        // SAFETY: the module maps the page for this vCPU alone; all-zero bytes (its content at
        // first) are a State, but for entry_code and info, which tables_entry writes before any
        // use. References do not outlive the statement that asks for them.
        unsafe { &mut *((self.0 + VCPU_STATE) as *mut State) }
    }

    /// What module and monitor hand each other. The module does not touch it while the monitor runs.
    pub fn switch(self) -> &'static mut VcpuSwitch {
        // SAFETY: as for state(); VcpuSwitch is plain integers.
        unsafe { &mut *((self.0 + VCPU_SWITCH) as *mut VcpuSwitch) }
    }

    /// Where batches and pokes are copied to.
    pub fn scratch(self) -> &'static mut Scratch {
        // SAFETY: as for state(); Scratch is a page of integers.
        unsafe { &mut *((self.0 + VCPU_SCRATCH) as *mut Scratch) }
    }

    /// The GDT (key 2).
    pub fn gdt(self) -> &'static mut [u64; GDT_SLOTS] {
        // SAFETY: as for state(). The CPU reads and (LTR) writes it too, through instructions that
        // the compiler does not move such accesses across.
        unsafe { &mut *((self.0 + VCPU_GDT) as *mut [u64; GDT_SLOTS]) }
    }

    /// The IDT (key 2).
    pub fn idt(self) -> &'static mut [[u64; 2]; 256] {
        // SAFETY: as for gdt().
        unsafe { &mut *((self.0 + VCPU_IDT) as *mut [[u64; 2]; 256]) }
    }

    /// The TSS (key 2), as the 26 words of 32 bits it is made of.
    pub fn tss(self) -> &'static mut [u32; 26] {
        // SAFETY: as for gdt().
        unsafe { &mut *((self.0 + VCPU_TSS) as *mut [u32; 26]) }
    }

    /// Stores RSP0 (index 0, word 1) or an IST (index 7 on, word 2 * index + 1).
    pub fn set_tss_stack(self, word: usize, rsp: u64) {
        let tss = self.tss();
        tss[word] = rsp as u32;
        tss[word + 1] = (rsp >> 32) as u32;
    }
}

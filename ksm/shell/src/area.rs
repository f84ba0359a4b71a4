// SPDX-License-Identifier: MIT OR Apache-2.0

//! A vCPU's area in slot 256, what the monitor keeps in it, and who may touch it.
//!
//! `docs/understand/soundness.md` has the argument; the short of it: an entry from the assembler makes one [`Vcpu`],
//! every reference to what is in the area borrows from it, and only `gates::exit`, which borrows it exclusively, lets
//! anybody else run.

use core::ptr::{self, NonNull};

use cki_abi::handlers::{HANDLER_END, HANDLER_EVENT_USER};
use cki_abi::layout::{
    VCPU_BASE, VCPU_GDT, VCPU_IDT, VCPU_SCRATCH, VCPU_STACK_TOP, VCPU_STATE, VCPU_STRIDE,
    VCPU_SWITCH, VCPU_TSS,
};
use cki_abi::limits::VCPUS_MAX;
use cki_ksm_core::descriptor::GDT_SLOTS;
use cki_ksm_core::event::EntryCode;
use cki_ksm_core::{Frame, Refusal, Scratch};

use crate::info::Info;
use crate::memory::DirectMap;
use crate::switch::Switch;
use crate::trap::TrapFrame;

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
    /// 1 when a call has to return by a trap frame, because the guest has an event to take.
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
    /// LSTAR, CSTAR, FMASK.
    pub syscall_msrs: [u64; 3],
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
    pub info: Option<(Frame, usize)>,
}

const _: () = assert!(size_of::<State>() <= 4096);

/// What the assembler knows of a vCPU's area: where it is. It is a number, and no right to anything.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct AreaAddress(u64);

impl AreaAddress {
    /// Of vCPU `number`.
    pub const fn of(number: u64) -> Self {
        AreaAddress(VCPU_BASE + number * VCPU_STRIDE)
    }

    /// For tests, which have areas elsewhere.
    #[cfg(test)]
    pub fn at(address: u64) -> Self {
        assert_eq!(address % (VCPU_STRIDE * VCPUS_MAX), 0);
        AreaAddress(address)
    }
}

const _: () = assert!(VCPU_BASE % (VCPU_STRIDE * VCPUS_MAX) == 0);

/// The vCPU that this runs on: the right to what is in its area. There is one at work at a time; it is not
/// copied, and not given to another CPU (a raw pointer in it sees to that).
#[derive(Debug)]
pub struct Vcpu {
    area: NonNull<u8>,
    memory: DirectMap,
}

impl Vcpu {
    /// The vCPU of an entry into Rust.
    ///
    /// # Safety
    ///
    /// `area` is that of the vCPU which this CPU runs, as the assembler (or `cpu::current_area`) has it, and no
    /// other `Vcpu` of it is used as long as this one: they are all in [`crate::gates::exit`], or belong to
    /// code that nothing returns to.
    pub unsafe fn enter(area: AreaAddress) -> Self {
        let pointer = ptr::with_exposed_provenance_mut(area.0 as usize);
        Vcpu {
            // SAFETY: areas are not at address 0.
            area: unsafe { NonNull::new_unchecked(pointer) },
            // SAFETY: before OP_INIT there are no frames to reach; from then on the map is there.
            memory: unsafe { DirectMap::new() },
        }
    }

    /// For [`crate::gates::exit`], and for addresses of what is in the area.
    pub fn address(&self) -> AreaAddress {
        AreaAddress(self.area.as_ptr() as u64)
    }

    /// Address of the byte at `offset` of the area.
    pub fn address_of(&self, offset: u64) -> u64 {
        self.address().0 + offset
    }

    /// Number of the vCPU.
    pub fn number(&self) -> usize {
        (self.address().0 / VCPU_STRIDE % VCPUS_MAX) as usize
    }

    fn at<T>(&self, offset: u64) -> *mut T {
        // SAFETY: offsets are those of the ABI, in the area.
        unsafe { self.area.add(offset as usize) }.as_ptr().cast()
    }

    /// The monitor's state of the vCPU. Not before [`Vcpu::begin`].
    pub fn state(&mut self) -> &mut State {
        // SAFETY: the module maps the page for this vCPU alone. `begin` has made its contents a State. The
        // assembler reads and writes it, too, but not as long as Rust code runs, and `self` is borrowed
        // as long as the reference lives.
        unsafe { &mut *self.at::<State>(VCPU_STATE) }
    }

    /// Makes the page of the state a [`State`], the first time, when it is all zero but for what MONITOR_ENTRY
    /// has put there. Whether it is the first.
    pub fn begin(&mut self) -> bool {
        let state = self.at::<State>(VCPU_STATE);
        // SAFETY: in the page of the state; `ready` is an integer, and what is written need not be a
        // value of its type before. All other fields are integers, for which zeroes are values.
        unsafe {
            let first = (&raw const (*state).ready).read() == 0;
            if first {
                (&raw mut (*state).entry_code).write(EntryCode::default());
                (&raw mut (*state).info).write(None);
                (&raw mut (*state).ready).write(1);
            }
            first
        }
    }

    /// What module and monitor hand each other.
    pub fn switch(&self) -> Switch<'_> {
        // SAFETY: the page stays mapped, and is nothing but integers. Whoever else touches it while this
        // vCPU is entered, the host's other CPUs, does so by single accesses of aligned words.
        Switch::new(unsafe { &*self.at(VCPU_SWITCH) })
    }

    /// Where batches and pokes are copied to.
    pub fn scratch(&mut self) -> &mut Scratch {
        // SAFETY: as for state(); the page is nothing but integers, and nobody else's.
        unsafe { &mut *self.at(VCPU_SCRATCH) }
    }

    /// The GDT (key 2).
    pub fn gdt(&mut self) -> &mut [u64; GDT_SLOTS] {
        // SAFETY: as for scratch(). The CPU reads it when it loads selectors, and writes it by LTR: the
        // assembler's instructions, and the guest's, which does not run now.
        unsafe { &mut *self.at(VCPU_GDT) }
    }

    /// The IDT (key 2).
    pub fn idt(&mut self) -> &mut [[u64; 2]; 256] {
        // SAFETY: as for scratch(). The CPU reads it when it delivers an event: not as long as this runs, but
        // for the end of the container, to which gates that the guest chose do not lead.
        unsafe { &mut *self.at(VCPU_IDT) }
    }

    /// The TSS (key 2), as the 26 words of 32 bits it is made of.
    pub fn tss(&mut self) -> &mut [u32; 26] {
        // SAFETY: as for idt().
        unsafe { &mut *self.at(VCPU_TSS) }
    }

    /// Stores RSP0 (index 0, word 1) or an IST (index 7 on, word 2 * index + 1).
    pub fn set_tss_stack(&mut self, word: usize, rsp: u64) {
        let tss = self.tss();
        tss[word] = rsp as u32;
        tss[word + 1] = (rsp >> 32) as u32;
    }

    /// The guest's `struct cki_vcpu_info`.
    ///
    /// # Errors
    ///
    /// [`Refusal::State`] before KSM_VCPU_INFO_SET.
    pub fn info(&self) -> Result<Info<'_>, Refusal> {
        // SAFETY: as for state(): reading borrows `self`, so nobody has a mutable reference.
        let state = unsafe { &*self.at::<State>(VCPU_STATE) };
        let (frame, offset) = state.info.ok_or(Refusal::State)?;
        Ok(Info::new(&self.memory, frame, offset))
    }

    /// Address of the guest's handler, 0 if there is none.
    pub fn handler(&mut self, index: u64) -> u64 {
        let slot = (index - HANDLER_EVENT_USER) as usize;
        self.state().handlers.get(slot).copied().unwrap_or(0)
    }

    /// Puts a trap frame on the call stack as if the guest had been interrupted and the vCPU had left for the host;
    /// the next OP_RUN resumes it at `resume`, which pops it. Nothing may be suspended on that stack.
    pub fn suspend_at(&mut self, trap: TrapFrame, resume: u64) {
        let registers = SUSPENDED - 7 * 8;
        // SAFETY: the call stack is 16 KiB. What runs now, an operation, uses its upper 12 KiB at most, below which
        // the trap frame ends, and nothing else uses it until OP_RUN. Both writes are aligned.
        unsafe {
            self.at::<TrapFrame>(registers + 7 * 8).write(trap);
            // What exit_to_host would have left: six registers and where to return to.
            self.at::<[u64; 7]>(registers)
                .write([0, 0, 0, 0, 0, 0, resume]);
        }
        self.state().resume_rsp = self.address_of(registers);
    }
}

/// Where the trap frame begins that `suspend_at` leaves.
const SUSPENDED: u64 = VCPU_STACK_TOP - 0x3100;

// It lies as IRETQ wants it when it is on a stack whose top is a multiple of 16, and whole below 12 KiB.
const _: () = assert!(SUSPENDED % 16 == 0);
const _: () = assert!(SUSPENDED + size_of::<TrapFrame>() as u64 <= VCPU_STACK_TOP - 0x3000);

// SPDX-License-Identifier: MIT OR Apache-2.0

//! GDT, IDT and TSS of a vCPU, as they are before the guest says anything.

use cki_abi::layout::{IST_COUNT, VCPU_GDT, VCPU_IDT, VCPU_IST_STRIDE, VCPU_IST_TOP};
use cki_abi::selectors::{GDT_SIZE, SYSCALL_MASK};
use cki_abi::vectors::DOUBLE_FAULT;
use cki_ksm_core::descriptor::{self, Owner};

use crate::area::{TablePointer, Vcpu};
use crate::gates;

/// Sets up GDT, IDT and TSS.
pub fn set_up_tables(vcpu: &mut Vcpu) {
    *vcpu.gdt() = descriptor::gdt(vcpu.number() as u64);
    for (vector, gate) in vcpu.idt().iter_mut().enumerate() {
        *gate = default_gate(vector as u64);
    }
    *vcpu.tss() = [0; 26];
    for ist in 1..=IST_COUNT {
        let top = vcpu.address_of(VCPU_IST_TOP + (ist - 1) * VCPU_IST_STRIDE);
        vcpu.set_tss_stack(7 + 2 * ist as usize, top);
    }
    // The I/O bitmap begins beyond the limit: there is none.
    vcpu.tss()[25] = (descriptor::TSS_SIZE as u32) << 16;
    let [gdt, idt] = [VCPU_GDT, VCPU_IDT].map(|offset| vcpu.address_of(offset));
    let state = vcpu.state();
    state.gdtr = TablePointer {
        limit: GDT_SIZE as u16 - 1,
        base: gdt,
    };
    state.idtr = TablePointer {
        limit: 0xfff,
        base: idt,
    };
    state.syscall_msrs = [0, 0, SYSCALL_MASK];
}

/// What a vector does before the guest has a handler for it: the monitor's event entry. For the
/// guest's own vectors and reserved ones that is the end of the container, with the vector named.
pub fn default_gate(vector: u64) -> [u64; 2] {
    let stub = gates::event_stub(vector);
    let gate = match descriptor::owner(vector) {
        Owner::Monitor { .. } => descriptor::monitor_gate(vector, stub),
        // As the gate of #DF: privileged, and on the stack of last resort.
        Owner::Guest | Owner::Nobody => descriptor::monitor_gate(DOUBLE_FAULT, stub),
    };
    gate.unwrap_or([0, 0])
}

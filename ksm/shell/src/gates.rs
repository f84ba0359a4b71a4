// SPDX-License-Identifier: MIT OR Apache-2.0

//! What of the assembler is used from Rust: the way to the host, and addresses.

use crate::area::{AreaAddress, Vcpu};

unsafe extern "C" {
    fn exit_to_host(area: AreaAddress);

    static event_stubs: u8;
    static gate_call: u8;
    static gate_iret: u8;
    static trap_return: u8;
}

/// Exits to the host, which finds `exit` and its arguments in the vCPU's switch page; returns
/// at the next OP_RUN. Not while the monitor's lock is held.
///
/// Until it returns, the area is anybody's: the host's, and that of operations of the module's, which make a
/// [`Vcpu`] of their own. `vcpu` is borrowed exclusively, so nothing here refers into it.
pub fn exit(vcpu: &mut Vcpu) {
    // SAFETY: saves what a C function preserves on this stack, which nothing uses until it returns;
    // FS, GS, CR2, CR3 and the system-call MSRs come back too.
    unsafe { exit_to_host(vcpu.address()) };
}

fn address(symbol: &u8) -> u64 {
    core::ptr::from_ref(symbol) as u64
}

/// The entry of `vector`.
pub fn event_stub(vector: u64) -> u64 {
    // SAFETY: only its address is taken.
    address(unsafe { &event_stubs }) + 16 * vector
}

/// Where a resumed vCPU pops its first trap frame.
pub fn trap_return_address() -> u64 {
    // SAFETY: only its address is taken.
    address(unsafe { &trap_return })
}

/// Whether `rip` is in GATE_CALL. At the guest's PKRS this is its beginning or its end: register moves, CALL's and
/// RET's accesses to the guest's stack. GATE_IRET can resume them, so an event may be delivered there.
pub fn in_gate_call(rip: u64) -> bool {
    // SAFETY: only their addresses are taken.
    let gate = unsafe { address(&gate_call)..address(&gate_iret) };
    gate.contains(&rip)
}

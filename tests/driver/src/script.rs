// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest `attack` executes: scripts of a few kinds of steps.

use cki_abi::calls::*;
use cki_abi::isa::MSR_IA32_PKRS;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::BOOT_INFO;
use cki_abi::selectors::{SEL_USER_CS, SEL_USER_DS};

pub(crate) use crate::step;

use crate::guest::{BASE, EXECUTE, TABLES, UNMAPPED, WRITE, entry_of};

/// Words of a step.
pub type Step = [u64; 6];

/// What an attack works with.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The container's memory.
    pub hpa: u64,
    /// A page of this process's, that is of the host's.
    pub victim: u64,
}

/// What is done to the container: bytes at offsets of its memory, before it starts, and the script.
#[derive(Debug, Default)]
pub struct Plan {
    /// Offset and bytes.
    pub plants: Vec<(u64, Vec<u8>)>,
    /// Steps.
    pub script: Vec<Step>,
}

/// What a successful attack leaves in the host's memory.
pub const MARK: u64 = 0x6d61_726b_6564_2e2e;
/// Byte of the CMOS that nobody uses, and what an attack on a device leaves there.
pub const CMOS_INDEX: u8 = 0x60;
/// See [`CMOS_INDEX`].
pub const CMOS_MARK: u8 = 0xa5;
/// `struct cki_vcpu_info`, where the guests have it.
const INFO: u64 = 0x11_0000;

/// P, W, A, D: a link in a kernel table.
pub const LINK: u64 = 0x63;
/// U.
pub const USER: u64 = 4;
/// PS.
pub const SUPERPAGE: u64 = 0x80;

impl Setting {
    /// The n-th of the container's page-table frames; 0 to 3 are the boot tables, L4 to L1.
    pub fn table(self, n: u64) -> u64 {
        self.hpa + TABLES + (n << 12)
    }

    /// Where the entry of the unmapped page is.
    pub fn unmapped_entry(self) -> u64 {
        entry_of(self.hpa, UNMAPPED)
    }

    /// An entry that maps the host's page.
    pub fn victim_page(self) -> u64 {
        self.victim | WRITE
    }
}

// A step each; the operands are those of `step`.

pub fn call(number: u64, arguments: [u64; 4]) -> Step {
    let [a, b, c, d] = arguments;
    [step::CALL, number, a, b, c, d]
}

pub fn set(entry: u64, value: u64) -> Step {
    call(KSM_ENTRY_SET, [entry, value, 0, 0])
}

pub fn declare(table: u64, kind: u64) -> Step {
    call(KSM_TABLE_DECLARE, [table, kind, 0, 0])
}

pub fn store(address: u64, value: u64) -> Step {
    [step::STORE, address, value, 0, 0, 0]
}

pub fn load(address: u64) -> Step {
    [step::LOAD, address, 0, 0, 0, 0]
}

pub fn invalidate(address: u64) -> Step {
    [step::INVALIDATE, address, 0, 0, 0, 0]
}

pub fn go(address: u64, eax: u64) -> Step {
    [step::GO, address, eax, 0, 0, 0]
}

pub fn iret(rip: u64, cs: u64, rflags: u64, ss: u64) -> Step {
    [step::IRET, rip, cs, rflags, ss, 0]
}

pub fn out(port: u64, byte: u8) -> Step {
    [step::OUT, port, u64::from(byte), 0, 0, 0]
}

/// Waits for longer than it takes to the next interrupt of the host's clock.
pub fn wait_for_an_interrupt() -> Step {
    [step::COUNT, 100_000_000, 0, 0, 0, 0]
}

/// A step without operands.
pub fn single(number: u64) -> Step {
    [number, 0, 0, 0, 0, 0]
}

pub fn set_info(s: Setting) -> Step {
    call(KSM_VCPU_INFO_SET, [s.hpa + INFO, 0, 0, 0])
}

/// Reads and overwrites the host's page, mapped at `address`.
pub fn rob_the_host(address: u64) -> [Step; 3] {
    [load(address), store(address, MARK), single(step::END)]
}

/// At PKRS = 0: reads the monitor's memory, and back to the guest's rights.
pub fn rob_the_monitor() -> [Step; 3] {
    let pkrs = [step::WRMSR, MSR_IA32_PKRS, PKRS_GUEST, 0, 0, 0];
    [load(BOOT_INFO), pkrs, single(step::END)]
}

/// Opens the page of text at `offset` to user mode, and goes there.
pub fn enter_user(s: Setting, offset: u64, rflags: u64) -> [Step; 6] {
    let user = LINK | USER;
    [
        set_info(s),
        set(s.table(0) + 511 * 8, s.table(1) | user),
        set(s.table(1) + 510 * 8, s.table(2) | user),
        set(s.table(2), s.table(3) | user),
        set(entry_of(s.hpa, offset), s.hpa + offset | EXECUTE | USER),
        iret(BASE + offset, SEL_USER_CS, rflags, SEL_USER_DS),
    ]
}

/// A plan without plants.
pub fn script(steps: &[&[Step]]) -> Plan {
    planted(vec![], steps)
}

/// A plan with all that it needs.
pub fn planted(plants: Vec<(u64, Vec<u8>)>, steps: &[&[Step]]) -> Plan {
    Plan {
        plants,
        script: steps.concat(),
    }
}

/// A plant of words.
pub fn words(offset: u64, words: &[u64]) -> (u64, Vec<u8>) {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    (offset, bytes.collect())
}

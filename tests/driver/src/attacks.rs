// SPDX-License-Identifier: MIT OR Apache-2.0

//! The attacks, at least one on each invariant (docs/understand/threat-model.md), in the order of tests/mutants.
//!
//! Where memory is the aim, the script reads and overwrites a page of the host's. Where it is a right,
//! the guest gets to PKRS = 0, reads the monitor's memory and takes PKRS back by WRMSR, which only the
//! monitor may execute.

use core::mem::offset_of;

use cki_abi::calls::arguments::*;
use cki_abi::calls::*;
use cki_abi::errors::*;
use cki_abi::faults::{FAULT_GATE_MISUSED, FAULT_NO_HANDLER};
use cki_abi::handlers::HANDLER_SYSCALL;
use cki_abi::isa::WRPKRS;
use cki_abi::layout::{BOOT_INFO, IMAGE_BASE};
use cki_abi::limits::{BATCH_MAX, CHUNK_SIZE};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS};
use cki_abi::vcpu::{InterruptedState, VcpuInfo};
use cki_abi::vectors::{GENERAL_PROTECTION, INVALID_OPCODE};

use crate::attack::Attack;
use crate::attack::Gain::{Cpu, Device, HostMemory, InterruptsOff, MonitorMemory};
use crate::attack::Refusal::{Error, Fault, HostGoesOn};
use crate::case::wrpkrs_of_the_gates;
use crate::guest::{BASE, DATA, EXECUTE, UNMAPPED, UNSEALED, WRITE, entry_of};
use crate::script::*;

/// Where the driver plants code and tables: pages of Data, the last two sealed frames of text.
const CODE: u64 = DATA + 0x3000;
const FAKES: u64 = DATA + 0x4000;
const TEXT_5: u64 = 0x5000;
const TEXT_6: u64 = 0x6000;

/// xor eax, eax; WRPKRS; ret: from here on everything is allowed.
const TAKE_OVER: [u8; 7] = [0x31, 0xc0, WRPKRS[0], WRPKRS[1], WRPKRS[2], WRPKRS[3], 0xc3];

macro_rules! attacks {
    ($($name:ident: $refusal:expr, else $gain:expr;)+) => {
        /// All of them.
        pub fn all() -> Vec<Attack> {
            vec![$(Attack {
                name: stringify!($name),
                plan: $name,
                refusal: $refusal,
                gain: $gain,
            }),+]
        }
    };
}

attacks! {
    host_frame: Error(E_RANGE), else HostMemory;
    writable_page_table: Error(E_CLASS), else HostMemory;
    superpage_of_several_classes: Error(E_CLASS), else HostMemory;
    poke_into_a_page_table: Error(E_CLASS), else HostMemory;
    vcpu_info_in_a_page_table: Error(E_CLASS), else HostMemory;
    executable_data: Error(E_EXECUTE), else MonitorMemory;
    user_leaf_without_user_bit: Error(E_EXECUTE), else MonitorMemory;
    link_at_a_wrong_level: Error(E_TYPE), else HostMemory;
    release_of_a_linked_table: Error(E_BUSY), else HostMemory;
    slot_256: Error(E_ROOT), else MonitorMemory;
    root_in_data: Error(E_ROOT), else MonitorMemory;
    wrpkrs_in_text: Error(E_GADGET), else MonitorMemory;
    wrpkrs_across_frames: Error(E_GADGET), else MonitorMemory;
    wrpkrs_poked: Error(E_GADGET), else MonitorMemory;
    jump_into_a_gate: Fault(FAULT_GATE_MISUSED), else MonitorMemory;
    iret_with_interrupts_off: Fault(FAULT_NO_HANDLER), else InterruptsOff;
    iret_with_io_privilege: Fault(FAULT_NO_HANDLER), else Device;
    iret_with_rights_of_its_own: Fault(FAULT_NO_HANDLER), else MonitorMemory;
    endless_loop_with_interrupts_off: HostGoesOn, else Cpu;
    system_call_with_interrupts_off: HostGoesOn, else Cpu;
    privileged_instructions: Fault(GENERAL_PROTECTION), else Device;
}

fn host_frame(s: Setting) -> Plan {
    script(&[
        &[set(s.unmapped_entry(), s.victim_page())],
        &rob_the_host(BASE + UNMAPPED),
    ])
}

/// The L1 that maps everything, by a name that can be written: any page is a store away.
fn writable_page_table(s: Setting) -> Plan {
    let entry = entry_of(s.hpa, CODE) - s.table(3);
    script(&[
        &[
            set(s.unmapped_entry(), s.table(3) | WRITE),
            store(BASE + UNMAPPED + entry, s.victim_page()),
            invalidate(BASE + CODE),
        ],
        &rob_the_host(BASE + CODE),
    ])
}

/// The same by way of a superpage over all of the first chunk.
fn superpage_of_several_classes(s: Setting) -> Plan {
    let entry = s.unmapped_entry() - s.hpa;
    script(&[
        &[
            set(s.table(2) + 8, s.hpa | WRITE | SUPERPAGE),
            store(BASE + CHUNK_SIZE + entry, s.victim_page()),
        ],
        &rob_the_host(BASE + UNMAPPED),
    ])
}

/// The same by the monitor's hand.
fn poke_into_a_page_table(s: Setting) -> Plan {
    planted(
        vec![words(CODE, &[s.victim_page()])],
        &[
            &[call(
                KSM_TEXT_POKE,
                [s.unmapped_entry(), s.hpa + CODE, 8, 0],
            )],
            &rob_the_host(BASE + UNMAPPED),
        ],
    )
}

/// The same by way of what the monitor stores for the guest: RSP of a #DB is a page-table entry.
fn vcpu_info_in_a_page_table(s: Setting) -> Plan {
    let stored = offset_of!(VcpuInfo, debug) + offset_of!(InterruptedState, rsp);
    script(&[
        &[
            declare(s.table(4), TABLE_L1),
            set(s.table(2) + 8, s.table(4) | LINK),
            call(KSM_VCPU_INFO_SET, [s.table(4), 0, 0, 0]),
            [step::TRAP, s.victim_page(), 0, 0, 0, 0],
        ],
        &rob_the_host(BASE + CHUNK_SIZE + (stored as u64 / 8 << 12)),
    ])
}

fn executable_data(s: Setting) -> Plan {
    planted(
        vec![(CODE, TAKE_OVER.to_vec())],
        &[
            &[
                set(s.unmapped_entry(), s.hpa + CODE | EXECUTE),
                go(BASE + UNMAPPED, 0),
            ],
            &rob_the_monitor(),
        ],
    )
}

/// Data at address 0x1000, below user tables, as a supervisor page.
fn user_leaf_without_user_bit(s: Setting) -> Plan {
    let [l3, l2, l1] = [4, 5, 6].map(|n| s.table(n));
    planted(
        vec![(CODE, TAKE_OVER.to_vec())],
        &[
            &[
                declare(l1, TABLE_L1 | TABLE_USER),
                declare(l2, TABLE_L2 | TABLE_USER),
                declare(l3, TABLE_L3 | TABLE_USER),
                set(l2, l1 | LINK | USER),
                set(l3, l2 | LINK | USER),
                set(s.table(0), l3 | LINK | USER),
                set(l1 + 8, s.hpa + CODE | EXECUTE),
                go(0x1000, 0),
            ],
            &rob_the_monitor(),
        ],
    )
}

/// The boot L1 in the place of an L3: its leaves are links to L2 tables now, which are Data.
fn link_at_a_wrong_level(s: Setting) -> Plan {
    let address = 0xffff << 48 | 300 << 39 | FAKES >> 12 << 30;
    planted(
        vec![
            words(FAKES, &[s.hpa + FAKES + 0x1000 | LINK]),
            words(FAKES + 0x1000, &[s.victim_page()]),
        ],
        &[
            &[set(s.table(0) + 300 * 8, s.table(3) | LINK)],
            &rob_the_host(address),
        ],
    )
}

/// An L1 that is released while it is linked, and becomes an L2: what it links as an L2 to another L1,
/// the CPU takes for a page to write.
fn release_of_a_linked_table(s: Setting) -> Plan {
    let [first, second] = [4, 5].map(|n| s.table(n));
    script(&[
        &[
            declare(first, TABLE_L1),
            declare(second, TABLE_L1),
            set(s.table(2) + 8, first | LINK),
            set(s.table(2) + 16, second | LINK),
            call(KSM_TABLE_RELEASE, [first, 0, 0, 0]),
            call(KSM_FLUSH, [FLUSH_EVERYWHERE, 0, 0, 0]),
            declare(first, TABLE_L2),
            set(first, second | LINK),
            store(BASE + CHUNK_SIZE, s.victim_page()),
        ],
        &rob_the_host(BASE + 2 * CHUNK_SIZE),
    ])
}

/// A page of the guest's text for wherever the monitor's text is: when the monitor has loaded CR3, its
/// next instruction is one of these, at PKRS = 0. They come to where the call would have returned to.
fn instead_of_the_monitor() -> (u64, Vec<u8>) {
    // xor eax, eax; mov rsp, where CALL left the return address; ret
    let mut code = vec![0x31, 0xc0, 0x48, 0xbc];
    code.extend((BASE + 0x18_0000 - 8).to_le_bytes());
    code.push(0xc3);
    let mut page = vec![0x90; 4096 - code.len()];
    page.extend(code);
    (TEXT_6, page)
}

/// Tables in Data (an L4, L3, L2, L1 in a row) for which slot 256 is text of the guest's.
fn false_tables(s: Setting) -> Vec<(u64, Vec<u8>)> {
    let table = |n: u64| s.hpa + FAKES + (n << 12);
    let mut l4 = [0; 512];
    l4[511] = s.table(1) | LINK;
    l4[256] = table(1) | LINK;
    let at = |n: u64| FAKES + (n << 12);
    vec![
        instead_of_the_monitor(),
        words(at(0), &l4),
        words(at(1), &[table(2) | LINK]),
        words(at(2) + (IMAGE_BASE >> 21 & 511) * 8, &[table(3) | LINK]),
        words(at(3), &[s.hpa + TEXT_6 | EXECUTE; 512]),
    ]
}

/// At PKRS = 0, in an address space without monitor: back into one with.
fn back_to_the_boot_tables(s: Setting) -> Step {
    [step::CR3, s.table(0), 0, 0, 0, 0]
}

fn slot_256(s: Setting) -> Plan {
    let [l4, l3, l2, l1] = [4, 5, 6, 7].map(|n| s.table(n));
    // As many pages as one call maps, and more than the monitor's text has.
    let updates: Vec<u64> = (0..BATCH_MAX)
        .flat_map(|page| [l1 + 8 * page, s.hpa + TEXT_6 | EXECUTE])
        .collect();
    planted(
        vec![instead_of_the_monitor(), words(FAKES, &updates)],
        &[
            &[
                declare(l1, TABLE_L1),
                declare(l2, TABLE_L2),
                declare(l3, TABLE_L3),
                declare(l4, TABLE_L4),
                call(KSM_ENTRY_BATCH, [s.hpa + FAKES, BATCH_MAX, 0, 0]),
                set(l2 + (IMAGE_BASE >> 21 & 511) * 8, l1 | LINK),
                set(l3, l2 | LINK),
                set(l4 + 511 * 8, s.table(1) | LINK),
                set(l4 + 256 * 8, l3 | LINK),
                call(KSM_ROOT_LOAD, [l4, 0, 0, 0]),
                back_to_the_boot_tables(s),
            ],
            &rob_the_monitor(),
        ],
    )
}

fn root_in_data(s: Setting) -> Plan {
    planted(
        false_tables(s),
        &[
            &[
                call(KSM_ROOT_LOAD, [s.hpa + FAKES, 0, 0, 0]),
                back_to_the_boot_tables(s),
            ],
            &rob_the_monitor(),
        ],
    )
}

fn seal_and_map(s: Setting) -> [Step; 2] {
    [
        call(KSM_EXEC_SEAL, [s.hpa + UNSEALED, 1, 0, 0]),
        set(entry_of(s.hpa, UNSEALED), s.hpa + UNSEALED | EXECUTE),
    ]
}

fn wrpkrs_in_text(s: Setting) -> Plan {
    planted(
        vec![(UNSEALED, TAKE_OVER.to_vec())],
        &[
            &seal_and_map(s),
            &[invalidate(BASE + UNSEALED), go(BASE + UNSEALED, 0)],
            &rob_the_monitor(),
        ],
    )
}

/// Half of it ends a frame that is sealed from the start, half begins the next.
fn wrpkrs_across_frames(s: Setting) -> Plan {
    let (first, second) = TAKE_OVER.split_at(4);
    let start = UNSEALED - first.len() as u64;
    planted(
        vec![(start, first.to_vec()), (UNSEALED, second.to_vec())],
        &[
            &seal_and_map(s),
            &[invalidate(BASE + UNSEALED), go(BASE + start, 0)],
            &rob_the_monitor(),
        ],
    )
}

fn wrpkrs_poked(s: Setting) -> Plan {
    let length = TAKE_OVER.len() as u64;
    planted(
        vec![(CODE, TAKE_OVER.to_vec())],
        &[
            &[
                call(KSM_TEXT_POKE, [s.hpa + TEXT_6, s.hpa + CODE, length, 0]),
                go(BASE + TEXT_6, 0),
            ],
            &rob_the_monitor(),
        ],
    )
}

/// To the WRPKRS that ends GATE_CALL, with the monitor's rights instead of the guest's in eax.
fn jump_into_a_gate(_: Setting) -> Plan {
    let found = wrpkrs_of_the_gates().expect("the monitor's image");
    script(&[&[go(found[1], 0)], &rob_the_monitor()])
}

fn iret_with_interrupts_off(s: Setting) -> Plan {
    script(&[&[
        set_info(s),
        iret(0, SEL_KERNEL_CS, 0x2, SEL_KERNEL_DS),
        single(step::FLAGS),
        single(step::END),
    ]])
}

/// To a user program that has IOPL = 3. It programs the CMOS and ends the container by an exception.
fn iret_with_io_privilege(s: Setting) -> Plan {
    let out = |port: u8, byte: u8| [0xb0, byte, 0xe6, port];
    let mut code = [out(0x70, CMOS_INDEX), out(0x71, CMOS_MARK)].concat();
    code.extend([0x0f, 0x0b]);
    planted(vec![(TEXT_5, code)], &[&enter_user(s, TEXT_5, 0x3202)])
}

/// PKRS = 8000_0000H closes nothing but key 15 to writes. An interrupt that strikes meanwhile is another look at
/// PKRS, so one strikes in each run, and not in some.
fn iret_with_rights_of_its_own(s: Setting) -> Plan {
    script(&[&[
        set_info(s),
        iret(0, SEL_KERNEL_CS | 1 << 63, 0x202, SEL_KERNEL_DS),
        wait_for_an_interrupt(),
        load(BOOT_INFO),
        single(step::END),
    ]])
}

/// jmp to itself.
const LOOP: [u8; 2] = [0xeb, 0xfe];

/// In the handler of an exception, which an interrupt gate would have entered with IF = 0.
fn endless_loop_with_interrupts_off(_: Setting) -> Plan {
    planted(
        vec![(TEXT_5, LOOP.to_vec())],
        &[&[
            call(KSM_HANDLER_SET, [INVALID_OPCODE, BASE + TEXT_5, 0, 0]),
            single(step::UD2),
        ]],
    )
}

/// The same in the handler of SYSCALL.
fn system_call_with_interrupts_off(s: Setting) -> Plan {
    planted(
        vec![(TEXT_5, vec![0x0f, 0x05]), (TEXT_6, LOOP.to_vec())],
        &[
            &[call(
                KSM_HANDLER_SET,
                [HANDLER_SYSCALL, BASE + TEXT_6, 0, 0],
            )],
            &enter_user(s, TEXT_5, 0x202),
        ],
    )
}

/// Without the extension there is no WRPKRS and so no call either: UD2 ends the container.
fn privileged_instructions(_: Setting) -> Plan {
    script(&[&[
        single(step::CLI),
        out(0x70, CMOS_INDEX),
        out(0x71, CMOS_MARK),
        single(step::UD2),
    ]])
}

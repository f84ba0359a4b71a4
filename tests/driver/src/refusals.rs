// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the monitor or the module has to refuse.

use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2, TABLE_USER};
use cki_abi::calls::*;
use cki_abi::errors::*;
use cki_abi::layout::GATE_CALL;
use cki_abi::selectors::*;

use crate::guest::{BASE, CONSTANTS, DATA, EXECUTE, TABLES, UNSEALED, WRITE};

/// The value, from the hpa of the container's memory.
pub type Entry = fn(u64) -> u64;

/// Values for the entry of an unmapped page, each against one rule.
pub fn refused_entries() -> Vec<(&'static str, Entry, u64)> {
    vec![
        ("host_frame", |_| 0x10_0000 | WRITE, E_RANGE),
        (
            "beyond_the_container",
            |hpa| hpa + 0x40_0000 | WRITE,
            E_RANGE,
        ),
        ("writable_page_table", |hpa| hpa + TABLES | WRITE, E_CLASS),
        ("writable_text", |hpa| hpa | WRITE, E_CLASS),
        ("writable_constants", |hpa| hpa + CONSTANTS | WRITE, E_CLASS),
        ("executable_data", |hpa| hpa + DATA | EXECUTE, E_EXECUTE),
        (
            "executable_page_table",
            |hpa| hpa + TABLES | EXECUTE,
            E_EXECUTE,
        ),
        ("unsealed_text", |hpa| hpa + UNSEALED | EXECUTE, E_EXECUTE),
        ("user_writable_text", |hpa| hpa | WRITE | 4, E_CLASS),
        ("global", |hpa| hpa + DATA | WRITE | 0x100, E_BITS),
        ("uncached", |hpa| hpa + DATA | WRITE | 0x10, E_BITS),
        ("monitors_key", |hpa| hpa + DATA | WRITE | 1 << 59, E_KEY),
    ]
}

/// Number and arguments, likewise.
pub type Call = fn(u64) -> [u64; 5];

/// Calls and hypercalls (number, four arguments), each against one rule.
pub fn refused_calls() -> Vec<(&'static str, Call, u64)> {
    vec![
        ("no_such_call", |_| [KSM_CALLS, 0, 0, 0, 0], E_CALL),
        (
            "slot_256",
            |hpa| [KSM_ENTRY_SET, hpa + TABLES + 256 * 8, 0, 0, 0],
            E_ROOT,
        ),
        (
            "entry_outside_of_tables",
            |hpa| [KSM_ENTRY_SET, hpa + DATA, 0, 0, 0],
            E_TYPE,
        ),
        (
            "entry_of_the_hosts",
            |_| [KSM_ENTRY_SET, 0x1000, 0, 0, 0],
            E_RANGE,
        ),
        (
            "table_in_data",
            |hpa| [KSM_TABLE_DECLARE, hpa + DATA, TABLE_L1, 0, 0],
            E_CLASS,
        ),
        (
            "table_twice",
            |hpa| [KSM_TABLE_DECLARE, hpa + TABLES, TABLE_L1, 0, 0],
            E_TYPE,
        ),
        (
            "user_l4",
            |hpa| {
                [
                    KSM_TABLE_DECLARE,
                    hpa + TABLES + 0x5000,
                    TABLE_USER | 4,
                    0,
                    0,
                ]
            },
            E_ARGUMENT,
        ),
        (
            "release_of_a_loaded_root",
            |hpa| [KSM_TABLE_RELEASE, hpa + TABLES, 0, 0, 0],
            E_BUSY,
        ),
        (
            "release_of_a_linked_table",
            |hpa| [KSM_TABLE_RELEASE, hpa + TABLES + 0x3000, 0, 0, 0],
            E_BUSY,
        ),
        (
            "root_of_another_level",
            |hpa| [KSM_ROOT_LOAD, hpa + TABLES + 0x1000, 0, 0, 0],
            E_ROOT,
        ),
        (
            "root_in_data",
            |hpa| [KSM_ROOT_LOAD, hpa + DATA, 0, 0, 0],
            E_ROOT,
        ),
        (
            "link_at_a_wrong_level",
            |hpa| {
                [
                    KSM_ENTRY_SET,
                    hpa + TABLES + 300 * 8,
                    hpa + TABLES + 0x3000 | 0x63,
                    0,
                    0,
                ]
            },
            E_TYPE,
        ),
        (
            "adopted_table_with_a_bad_entry",
            |hpa| [KSM_TABLE_DECLARE, hpa + TABLES + 0x3000, TABLE_L2, 0, 0],
            E_TYPE,
        ),
        (
            "poke_into_data",
            |hpa| [KSM_TEXT_POKE, hpa + DATA, hpa + DATA + 64, 4, 0],
            E_CLASS,
        ),
        (
            "seal_of_data",
            |hpa| [KSM_EXEC_SEAL, hpa + DATA, 1, 0, 0],
            E_CLASS,
        ),
        (
            "handler_in_the_monitor",
            |_| [KSM_HANDLER_SET, 13, GATE_CALL, 0, 0],
            E_ADDRESS,
        ),
        (
            "handler_of_an_interrupt",
            |_| [KSM_HANDLER_SET, 32, BASE, 0, 0],
            E_ARGUMENT,
        ),
        (
            // Where the host has no 32-bit programs, its devices have the vector.
            "handler_of_vector_0x80",
            |_| [KSM_HANDLER_SET, 0x80, BASE, 0, 0],
            E_ARGUMENT,
        ),
        (
            "handler_of_double_faults",
            |_| [KSM_HANDLER_SET, 8, BASE, 0, 0],
            E_ARGUMENT,
        ),
        (
            "handler_of_debug_exceptions",
            |_| [KSM_HANDLER_SET, 1, BASE, 0, 0],
            E_ARGUMENT,
        ),
        (
            "stack_not_canonical",
            |_| [KSM_STACK_SET, 1 << 60, 0, 0, 0],
            E_ADDRESS,
        ),
        (
            "tls_code_segment",
            |_| [KSM_TLS_SET, 0, 0x00af_fb00_0000_ffff, 0, 0],
            E_ARGUMENT,
        ),
        (
            "vcpu_info_in_a_page_table",
            |hpa| [KSM_VCPU_INFO_SET, hpa + TABLES, 0, 0, 0],
            E_CLASS,
        ),
        ("unknown_hypercall", |_| [0x1ff, 0, 0, 0, 0], E_CALL),
        (
            "console_write_from_the_host",
            |_| [0x100, 0x1000, 8, 0, 0],
            E_RANGE,
        ),
        (
            "console_write_from_a_page_table",
            |hpa| [0x100, hpa + TABLES, 8, 0, 0],
            E_CLASS,
        ),
        (
            "console_write_across_frames",
            |hpa| [0x100, hpa + DATA + 0xff8, 16, 0, 0],
            E_ARGUMENT,
        ),
        ("mmio_of_no_device", |_| [0x105, 0, 0, 4, 0], E_ARGUMENT),
    ]
}

/// Frames for GATE_IRET (rip, cs, rflags, rsp, ss), each wrong in one place.
pub fn refused_frames() -> Vec<(&'static str, [u64; 5])> {
    let good = [BASE, SEL_KERNEL_CS, 0x202, BASE + 0x18_0000, SEL_KERNEL_DS];
    let frame = |index: usize, value: u64| {
        let mut frame = good;
        frame[index] = value;
        frame
    };
    vec![
        ("interrupts_off", frame(2, 0x2)),
        ("iopl_3", frame(2, 0x3202)),
        ("nested_task", frame(2, 0x4202)),
        ("virtual_8086", frame(2, 0x2_0202)),
        ("rip_not_canonical", frame(0, 1 << 60)),
        ("monitors_pkrs_in_cs", frame(1, SEL_KERNEL_CS | 1 << 32)),
        ("tss_as_cs", frame(1, SEL_TSS)),
        ("user_cs_kernel_ss", frame(1, SEL_USER_CS)),
        ("null_cs", frame(1, 0)),
    ]
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The structures and numbers of `/dev/cki` against the C header, as a C compiler sees it.

use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use cki_launcher::device::uapi::{
    BootTable, Create, Event, Info, Run, Seal, Start, UAPI_VERSION, UapiClass, UapiSegment,
};
use cki_launcher::device::{system, uapi};

/// C expression and the value that it must have.
type Row = (String, u64);

macro_rules! structure {
    ($rows:ident, $c:literal, $rust:ident, $($c_field:literal = $field:ident),+) => {
        $rows.push((concat!("sizeof(struct ", $c, ")").to_owned(), size_of::<$rust>() as u64));
        $( $rows.push((
            concat!("offsetof(struct ", $c, ", ", $c_field, ")").to_owned(),
            offset_of!($rust, $field) as u64,
        )); )+
    };
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    structure!(
        rows,
        "cki_info",
        Info,
        "size" = size,
        "mode" = mode,
        "missing" = missing,
        "abi_version" = abi_version,
        "vcpus_max" = vcpus_max,
        "pool_size" = pool_size,
        "pool_free" = pool_free,
        "tsc_khz" = tsc_khz,
        "containers" = containers,
        "monitor_pages" = monitor_pages
    );
    structure!(
        rows,
        "cki_uapi_segment",
        UapiSegment,
        "hpa" = hpa,
        "size" = size
    );
    structure!(
        rows,
        "cki_create",
        Create,
        "size" = size,
        "memory_size" = memory_size,
        "vcpus" = vcpus,
        "flags" = flags,
        "abi_version" = abi_version,
        "segment_count" = segment_count,
        "segments" = segments
    );
    structure!(
        rows,
        "cki_uapi_class",
        UapiClass,
        "hpa" = hpa,
        "size" = size,
        "class_" = class
    );
    structure!(
        rows,
        "cki_boot_table",
        BootTable,
        "hpa" = hpa,
        "kind" = kind
    );
    structure!(rows, "cki_seal", Seal, "hpa" = hpa, "frames" = frames);
    structure!(
        rows,
        "cki_start",
        Start,
        "size" = size,
        "start_info" = start_info,
        "classes" = classes,
        "seals" = seals,
        "tables" = tables,
        "class_count" = class_count,
        "seal_count" = seal_count,
        "table_count" = table_count,
        "flags" = flags,
        "root_hpa" = root_hpa,
        "entry" = entry,
        "refusal_op" = refusal_op,
        "refusal_error" = refusal_error,
        "refusal_index" = refusal_index
    );
    structure!(rows, "cki_event", Event, "vcpu" = vcpu, "event" = event);
    structure!(
        rows,
        "cki_run",
        Run,
        "immediate_exit" = immediate_exit,
        "exit_reason" = exit_reason,
        "status" = status,
        "value" = value,
        "console" = payload,
        "mmio" = payload,
        "shutdown" = payload,
        "fault" = payload,
        "exits_hypercall" = exits_hypercall,
        "exits_interrupt" = exits_interrupt,
        "exits_other" = exits_other,
        "idle_ns" = idle_ns,
        "monitor_calls" = monitor_calls,
        "monitor_returns" = monitor_returns
    );
    // What `Exit::of` reads by index.
    for (part, word) in [
        ("console.hpa", 0),
        ("console.length", 1),
        ("mmio.device", 0),
        ("mmio.offset", 1),
        ("mmio.size", 2),
        ("mmio.value", 3),
        ("shutdown.reason", 0),
        ("shutdown.code", 1),
        ("fault.vector", 0),
        ("fault.error_code", 1),
        ("fault.rip", 2),
        ("fault.cr2", 3),
        ("fault.rsp", 4),
        ("fault.refusal_count", 6),
        ("fault.refusal_call", 7),
        ("fault.refusal_arguments", 8),
        ("fault.refusal_error", 12),
        ("fault.refusal_rip", 13),
    ] {
        rows.push((
            format!("offsetof(struct cki_run, {part})"),
            offset_of!(Run, payload) as u64 + 8 * word,
        ));
    }
    let constants = [
        ("CKI_UAPI_VERSION", UAPI_VERSION as u64),
        ("CKI_MODE_NONE", uapi::MODE_NONE.into()),
        ("CKI_MODE_CKI", uapi::MODE_CKI.into()),
        ("CKI_MISSING_PKS", uapi::missing::PKS.into()),
        ("CKI_MISSING_EXTENSION", uapi::missing::EXTENSION.into()),
        ("CKI_MISSING_CPU", uapi::missing::CPU.into()),
        ("CKI_MISSING_MONITOR", uapi::missing::MONITOR.into()),
        ("CKI_MISSING_POOL", uapi::missing::POOL.into()),
        ("CKI_MISSING_KERNEL", uapi::missing::KERNEL.into()),
        ("CKI_MISSING_VMX", uapi::missing::VMX.into()),
        ("CKI_UAPI_SEGMENTS_MAX", uapi::SEGMENTS_MAX as u64),
        ("CKI_RUN_SIZE", uapi::RUN_SIZE as u64),
        ("CKI_RUN_INTR", uapi::exit::INTR.into()),
        ("CKI_RUN_CONSOLE_WRITE", uapi::exit::CONSOLE_WRITE.into()),
        ("CKI_RUN_CONSOLE_READ", uapi::exit::CONSOLE_READ.into()),
        ("CKI_RUN_MMIO_READ", uapi::exit::MMIO_READ.into()),
        ("CKI_RUN_MMIO_WRITE", uapi::exit::MMIO_WRITE.into()),
        ("CKI_RUN_SHUTDOWN", uapi::exit::SHUTDOWN.into()),
        ("CKI_RUN_PANIC", uapi::exit::PANIC.into()),
        ("CKI_RUN_GUEST_FAULT", uapi::exit::GUEST_FAULT.into()),
        ("CKI_RUN_MONITOR_FAULT", uapi::exit::MONITOR_FAULT.into()),
        ("CKI_RUN_MACHINE_CHECK", uapi::exit::MACHINE_CHECK.into()),
    ];
    rows.extend(constants.map(|(name, value)| (name.to_owned(), value)));
    let ioctls = [
        "CKI_GET_VERSION",
        "CKI_GET_INFO",
        "CKI_CREATE_CONTAINER",
        "CKI_CREATE_VCPU",
        "CKI_START",
        "CKI_RAISE_EVENT",
        "CKI_KILL",
        "CKI_RUN",
    ];
    for (name, number) in ioctls.into_iter().zip(system::ioctls()) {
        rows.push((name.to_owned(), number));
    }
    rows
}

/// `_Static_assert`s for all rows; the file compiles only if every one holds.
fn program(rows: &[Row]) -> String {
    let mut text = String::from("#include <stddef.h>\n#include <linux/cki.h>\n");
    for (expression, value) in rows {
        text += &format!("_Static_assert(({expression}) == {value}ULL, \"{expression}\");\n");
    }
    text
}

fn compile(rows: &[Row]) -> Result<(), String> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kmod/include/uapi");
    assert!(header.join("linux/cki.h").exists(), "the header is there");
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("layout.c");
    std::fs::write(&source, program(rows)).expect("written");
    let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-fsyntax-only", "-idirafter"])
        .arg(header)
        .arg(&source)
        .output()
        .expect("a C compiler, which rustc needs too");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn structures_and_numbers_are_those_of_the_header() {
    compile(&rows()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_difference_would_be_found() {
    let mut rows = rows();
    rows[1].1 += 4;
    let error = compile(&rows).expect_err("a wrong offset is refused");
    assert!(error.contains(&rows[1].0), "{error}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C headers say what the Rust crate says, and C and the assembler can read them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cki_abi::description::{Constant, Structure};
use cki_abi::header::{HEADERS, abi, shared, uapi};

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn constants() -> impl Iterator<Item = &'static Constant> {
    let groups = abi::GROUPS.iter().chain(shared::GROUPS).chain(uapi::GROUPS);
    groups.flat_map(|group| group.constants)
}

fn structures() -> impl Iterator<Item = &'static &'static Structure> {
    let inner = abi::STRUCTURES.iter().chain(shared::STRUCTURES);
    inner.chain(uapi::STRUCTURES)
}

/// Runs the C compiler that Rust links with on `source` from standard input.
fn cc(arguments: &[&str], source: &str) -> Output {
    let mut child = Command::new("cc")
        .arg("-I")
        .arg(INCLUDE)
        .args(["-Wall", "-Wextra", "-Werror", "-c", "-o", "/dev/null"])
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the C compiler that Rust links with");
    let mut input = child.stdin.take().expect("piped");
    input
        .write_all(source.as_bytes())
        .expect("the compiler reads its input");
    drop(input);
    child.wait_with_output().expect("the compiler ends")
}

fn assert_compiles(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn each_committed_header_is_the_one_generated_from_rust() {
    for header in HEADERS {
        let path = Path::new(TOP).join(header.path);
        let committed = std::fs::read_to_string(&path).expect("the committed header");
        let mut generated = String::new();
        (header.write)(&mut generated).expect("writing to a string");
        assert!(
            committed == generated,
            "{} is not what the crate generates; run: cargo run -p cki-abi --example headers",
            path.display()
        );
    }
}

#[test]
fn c_sees_the_values_and_layouts_of_rust() {
    let mut rows = Vec::new();
    for constant in constants() {
        rows.push((format!("CKI_{}", constant.name), constant.value));
    }
    for ioctl in uapi::IOCTLS {
        rows.push((format!("CKI_{}", ioctl.name), ioctl.value));
    }
    for structure in structures() {
        let name = format!("struct cki_{}", structure.name);
        rows.push((format!("sizeof({name})"), structure.size as u64));
        for field in structure.fields {
            let members = field.parts.iter().map(|part| part.name);
            for member in members.chain([field.name]) {
                let offset = format!("__builtin_offsetof({name}, {member})");
                rows.push((offset, field.offset as u64));
            }
        }
    }
    let mut source = String::from("#include <linux/cki.h>\n#include <cki/abi.h>\n");
    for (expression, value) in rows {
        writeln!(
            source,
            "_Static_assert({expression} == {value:#x}ULL, \"{expression}\");"
        )
        .expect("writing to a string");
    }
    assert_compiles(&cc(&["-x", "c", "-std=gnu11"], &source));
}

#[test]
fn headers_for_programs_include_only_such_headers() {
    for header in HEADERS {
        let text = std::fs::read_to_string(Path::new(TOP).join(header.path)).expect("a header");
        let includes: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("#include"))
            .collect();
        let inner = header.path == "abi/include/cki/abi.h";
        assert!(header.path.starts_with("emulator/") || includes.len() > inner as usize);
        for include in includes {
            assert!(include.starts_with("#include <linux/"), "{include}");
        }
    }
}

#[test]
fn the_parts_of_the_run_page_are_read_where_c_has_them() {
    use cki_abi::monitor::Refusal;
    use cki_abi::uapi::run::{Detail, Fault};

    let mut words = [0; 64];
    for (place, word) in words.iter_mut().enumerate() {
        *word = place as u64;
    }
    let detail = Detail(words);
    assert_eq!((detail.console().hpa, detail.console().offset), (0, 2));
    assert_eq!((detail.mmio().device, detail.mmio().value), (0, 3));
    assert_eq!((detail.shutdown().reason, detail.shutdown().code), (0, 1));
    let fault = Fault {
        vector: 0,
        error_code: 1,
        rip: 2,
        cr2: 3,
        rsp: 4,
        reserved: 5,
        refusal: Refusal {
            count: 6,
            call: 7,
            arguments: [8, 9, 10, 11],
            error: 12,
            rip: 13,
        },
    };
    assert_eq!(detail.fault(), fault);
}

#[test]
fn no_two_calls_have_one_number() {
    let mut numbers: Vec<_> = uapi::IOCTLS.iter().map(|ioctl| ioctl.number).collect();
    assert!(numbers.is_sorted());
    numbers.dedup();
    assert_eq!(numbers.len(), uapi::IOCTLS.len());
    // What the header says of them.
    assert!(numbers.iter().all(|number| (0x40..0x70).contains(number)));
}

#[test]
fn c_refuses_a_value_that_differs() {
    let source = "#include <cki/abi.h>\n_Static_assert(CKI_ABI_VERSION == 0, \"\");\n";
    assert!(!cc(&["-x", "c", "-std=gnu11"], source).status.success());
}

#[test]
fn the_assembler_sees_the_values_and_offsets_of_rust() {
    let mut source = String::from("#include <cki/abi.h>\n");
    let groups = abi::GROUPS.iter().chain(shared::GROUPS);
    for constant in groups.flat_map(|group| group.constants) {
        writeln!(
            source,
            ".if CKI_{} - {:#x}\n.error \"differs\"\n.endif",
            constant.name, constant.value
        )
        .expect("writing to a string");
    }
    source
        .push_str("\tmov %rdi, %gs:CKI_OFFSETOF_VCPU_INFO_IRET + CKI_OFFSETOF_RETURN_STATE_RIP\n");
    assert_compiles(&cc(&["-x", "assembler-with-cpp"], &source));
}

#[test]
fn every_name_is_defined_once() {
    let ioctls = uapi::IOCTLS.iter().map(|ioctl| ioctl.name);
    let mut names: Vec<_> = constants().map(|c| c.name).chain(ioctls).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C header says what the Rust crate says, and C and the assembler can read it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/cki/abi.h");

fn generated() -> String {
    let mut text = String::new();
    cki_abi::header::write(&mut text).expect("writing to a string");
    text
}

/// Runs the C compiler that Rust links with on `source` from standard input.
fn cc(arguments: &[&str], source: &str) -> Output {
    let include = Path::new(COMMITTED)
        .parent()
        .and_then(Path::parent)
        .expect("include directory");
    let mut child = Command::new("cc")
        .arg("-I")
        .arg(include)
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
fn the_committed_header_is_the_one_generated_from_rust() {
    let committed = std::fs::read_to_string(COMMITTED).expect("the committed header");
    assert!(
        committed == generated(),
        "{COMMITTED} is not what the crate generates; run: \
         cargo run -p cki-abi --example header > abi/include/cki/abi.h"
    );
}

#[test]
fn c_sees_the_values_and_layouts_of_rust() {
    let mut source = String::from("#include <cki/abi.h>\n");
    for constant in cki_abi::header::GROUPS.iter().flat_map(|g| g.constants) {
        writeln!(
            source,
            "_Static_assert(CKI_{} == {:#x}ULL, \"\");",
            constant.name, constant.value
        )
        .expect("writing to a string");
    }
    assert_compiles(&cc(&["-x", "c", "-std=gnu11"], &source));
}

#[test]
fn c_refuses_a_value_that_differs() {
    let source = "#include <cki/abi.h>\n_Static_assert(CKI_ABI_VERSION == 0, \"\");\n";
    assert!(!cc(&["-x", "c", "-std=gnu11"], source).status.success());
}

#[test]
fn the_assembler_sees_the_values_and_offsets_of_rust() {
    let mut source = String::from("#include <cki/abi.h>\n");
    for constant in cki_abi::header::GROUPS.iter().flat_map(|g| g.constants) {
        writeln!(
            source,
            ".if CKI_{} - {:#x}\n.error \"differs\"\n.endif",
            constant.name, constant.value
        )
        .expect("writing to a string");
    }
    source.push_str("\tmov %rdi, %gs:CKI_OFFSETOF_VCPU_INFO_IRET + CKI_OFFSETOF_IRET_FRAME_RIP\n");
    assert_compiles(&cc(&["-x", "assembler-with-cpp"], &source));
}

#[test]
fn every_name_is_defined_once() {
    let mut names: Vec<_> = cki_abi::header::GROUPS
        .iter()
        .flat_map(|g| g.constants)
        .map(|c| c.name)
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The check that stops a kernel build with an instruction that a container's kernel may not execute
//! (`kernel/privileged-sites.awk`), tried on disassemblies as objdump writes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A disassembly with these instructions in `function`.
fn listing(section: &str, function: &str, instructions: &[&str]) -> String {
    let mut text = format!(
        "vmlinux:     file format elf64-x86-64\n\n\nDisassembly of section {section}:\n\n\
         ffffffff81000000 <{function}>:\n"
    );
    for (index, instruction) in instructions.iter().enumerate() {
        text += &format!("ffffffff8100{index:04x}:\t{instruction}\n");
    }
    text
}

fn check(disassembly: &str, known: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let (input, list) = (
        directory.path().join("disassembly"),
        directory.path().join("known"),
    );
    fs::write(&input, disassembly).unwrap();
    fs::write(&list, known).unwrap();
    Command::new("awk")
        .arg("-v")
        .arg(format!("known={}", list.display()))
        .arg("-f")
        .arg(root().join("kernel/privileged-sites.awk"))
        .arg(input)
        .output()
        .expect("awk is there")
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(reason), "{message:?} lacks {reason:?}");
}

#[test]
fn a_privileged_instruction_needs_a_reason() {
    let disassembly = listing(".text", "native_halt", &["push   %rbx", "hlt"]);
    assert_refused(&check(&disassembly, ""), "native_halt has hlt");
    assert_refused(&check(&disassembly, "native_halt\n"), "has no reason");
    for known in [
        "native_halt\tBehind pv_ops.\n",
        "native_*\tBehind pv_ops.\n",
    ] {
        assert!(check(&disassembly, known).status.success(), "{known}");
    }
}

#[test]
fn parts_that_the_compiler_made_count_as_their_function() {
    let disassembly = listing(".text", "stop_cpu.constprop.0", &["wbinvd"]);
    assert!(
        check(&disassembly, "stop_cpu\tNo such CPU.\n")
            .status
            .success()
    );
}

#[test]
fn ordinary_instructions_need_none_whatever_their_prefixes() {
    let disassembly = listing(
        ".text",
        "f",
        &[
            "mov    %cr2,%rax",
            "mov    %gs:0x28,%rax",
            "movzbl 0x10(%rdi),%eax",
            "movslq %esi,%rsi",
            "lock cmpxchg %rdx,(%rdi)",
            "rep stos %rax,%es:(%rdi)",
            "data16 cs nopw 0x0(%rax,%rax,1)",
            "cs call ffffffff81000000 <f>",
            "cmovae %rax,%rdx",
            "setne  %al",
            "jrcxz  ffffffff81000000 <f>",
            "xsavec64 (%rdi)",
            "verw   0x0(%rip)",
            "vptest %ymm1,%ymm0",
            "sysretq",
            "cli",
        ],
    );
    let output = check(&disassembly, "");
    assert_refused(&output, "f has cli and no reason");
}

#[test]
fn control_and_debug_registers_are_found_among_the_operands_of_mov() {
    for operands in [
        "%cr0,%rax",
        "%rax,%cr3",
        "%rdi,%cr4",
        "%db7,%rax",
        "%rax,%dr6",
    ] {
        let disassembly = listing(".text", "f", &[&format!("mov    {operands}")]);
        assert_refused(&check(&disassembly, ""), "f has mov");
    }
}

#[test]
fn a_mnemonic_that_nobody_has_looked_up_is_refused() {
    for instruction in [
        "newinsn %rax",
        "vmovdqu64 (%rdi),%zmm0",
        "(bad)",
        "repnz (bad)",
    ] {
        let disassembly = listing(".init.text", "f", &[instruction]);
        assert_refused(&check(&disassembly, ""), "f has ");
    }
}

#[test]
fn what_an_alternative_would_put_in_place_goes_by_its_mnemonic() {
    let disassembly = listing(
        ".altinstr_replacement",
        ".altinstr_replacement",
        &["xsaves64 (%rdi)"],
    );
    assert_refused(&check(&disassembly, ""), "alternative:xsaves64");
    let known = "alternative:xsaves64\tNo XSAVES feature.\n";
    assert!(check(&disassembly, known).status.success());
}

#[test]
fn a_listing_without_a_privileged_instruction_is_no_kernel() {
    assert_refused(&check("", ""), "not a disassembled kernel");
}

/// What the manual names as refused, in the table of section 4.1.
fn refused() -> Vec<String> {
    let manual = fs::read_to_string(root().join("docs/reference/isa.md")).unwrap();
    let table = manual
        .split("Among what is refused are:")
        .nth(1)
        .expect("isa.md has the table")
        .trim_start();
    table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| {
            word.len() > 2
                && word
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        })
        // MOV has operands that are refused; the others are no mnemonics.
        .filter(|word| {
            !matches!(
                *word,
                "MOV"
                    | "CPL"
                    | "CR0"
                    | "CR3"
                    | "CR4"
                    | "CR8"
                    | "DR0"
                    | "DR7"
                    | "IOPL"
                    | "SVM"
                    | "VMX"
            )
        })
        .map(str::to_lowercase)
        .collect()
}

#[test]
fn all_that_the_manual_names_as_refused_is_privileged_here() {
    let refused = refused();
    assert!(refused.len() > 80, "{refused:?}");
    for mnemonic in refused {
        let disassembly = listing(".text", "f", &[&mnemonic]);
        assert_refused(&check(&disassembly, ""), &format!("f has {mnemonic}"));
    }
}

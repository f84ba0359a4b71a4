// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of what deprivileged mode allows is the same in the emulator, in the tests that walk it
//! (`emulator/tests/rt/allow-list.h`) and in the manual (`docs/reference/isa.md`), and names what it should.
//!
//! After a change of the list `CKI_PRINT_LIST=1 cargo test --test allow_list -- --nocapture` prints the
//! manual's table.

// What is printed is for the reader of a log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};

/// The maps in the order of the list, with their names in the manual.
const MAPS: [(&str, &str); 7] = [
    ("ROOT", "one byte"),
    ("0F", "0F"),
    ("0F38", "0F 38"),
    ("0F3A", "0F 3A"),
    ("V0F", "VEX 1"),
    ("V38", "VEX 2"),
    ("V3A", "VEX 3"),
];

/// Mandatory prefixes in the order of their bits.
const PREFIXES: [(&str, &str); 4] = [("NP", "none"), ("P66", "66"), ("PF3", "F3"), ("PF2", "F2")];

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    /// Index in [`MAPS`].
    map: usize,
    first: u8,
    last: u8,
    memory: bool,
    register: bool,
    /// A bit for each value of ModRM.reg and, for registers, of ModRM.rm.
    reg: u8,
    rm: u8,
    /// A bit for each of [`PREFIXES`].
    prefixes: u8,
    when: String,
    names: String,
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).expect(path)
}

fn hexadecimal(text: &str) -> u8 {
    let digits = text.strip_prefix("0x").expect("a number in hexadecimal");
    u8::from_str_radix(digits, 16).expect("a byte")
}

fn prefix_bits(text: &str) -> u8 {
    if text == "PALL" {
        return 0xf;
    }
    text.split(" | ")
        .map(|name| {
            let position = PREFIXES.iter().position(|(short, _)| *short == name);
            1 << position.expect("a prefix")
        })
        .sum()
}

fn parse(text: &str) -> Line {
    let inner = text
        .strip_prefix("LISTED(")
        .and_then(|text| text.strip_suffix("\")"))
        .expect("LISTED(... \"names\")");
    let (fields, names) = inner.split_once(", \"").expect("names");
    let fields: Vec<_> = fields.split(", ").collect();
    let [map, first, last, mode, reg, rm, prefixes, when] = fields[..] else {
        panic!("eight fields before the names: {text}");
    };
    assert!(["ALL", "MEM", "REG"].contains(&mode), "{text}");
    assert!(["ANY", "L", "C", "W", "R0"].contains(&when), "{text}");
    Line {
        map: MAPS
            .iter()
            .position(|(short, _)| *short == map)
            .expect("a map"),
        first: hexadecimal(first),
        last: hexadecimal(last),
        memory: mode != "REG",
        register: mode != "MEM",
        reg: hexadecimal(reg),
        rm: hexadecimal(rm),
        prefixes: prefix_bits(prefixes),
        when: when.to_owned(),
        names: names.to_owned(),
    }
}

fn list() -> Vec<Line> {
    read("emulator/tests/rt/allow-list.h")
        .lines()
        .filter(|line| line.starts_with("LISTED("))
        .map(parse)
        .collect()
}

/// An encoding of 64-bit mode, by what the list knows of it.
#[derive(Debug, Clone, Copy)]
struct Encoding {
    map: &'static str,
    opcode: u8,
    modrm: u8,
    prefix: &'static str,
    rex_w: bool,
    rex_r: bool,
}

fn is_listed(lines: &[Line], encoding: Encoding) -> bool {
    let (mode, reg, rm) = (
        encoding.modrm >> 6,
        encoding.modrm >> 3 & 7,
        encoding.modrm & 7,
    );
    lines.iter().any(|line| {
        MAPS[line.map].0 == encoding.map
            && (line.first..=line.last).contains(&encoding.opcode)
            && line.prefixes & prefix_bits(encoding.prefix) != 0
            && line.reg & 1 << reg != 0
            && match mode {
                3 => line.register && line.rm & 1 << rm != 0,
                _ => line.memory,
            }
            && match line.when.as_str() {
                "C" => false,
                "W" => encoding.rex_w,
                "R0" => !encoding.rex_r,
                _ => true,
            }
    })
}

fn bits(mask: u8) -> Vec<String> {
    (0..8)
        .filter(|bit| mask & 1 << bit != 0)
        .map(|bit| format!("{bit}"))
        .collect()
}

/// The line as the manual prints it.
fn row(line: &Line) -> String {
    let opcodes = if line.first == line.last {
        format!("{:02X}", line.first)
    } else {
        format!("{:02X}-{:02X}", line.first, line.last)
    };
    let mut modrm = Vec::new();
    match (line.memory, line.register) {
        (true, false) => modrm.push("mem".to_owned()),
        (false, true) => modrm.push("mod 3".to_owned()),
        _ => (),
    }
    if line.reg != 0xff {
        modrm.push(format!("/{}", bits(line.reg).join(" /")));
    }
    if line.rm != 0xff {
        modrm.push(format!("rm {}", bits(line.rm).join(" ")));
    }
    let prefixes = if line.prefixes == 0xf {
        "any".to_owned()
    } else {
        let named = PREFIXES.iter().enumerate();
        let named = named.filter(|(bit, _)| line.prefixes & 1 << bit != 0);
        named
            .map(|(_, (_, name))| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let when = match line.when.as_str() {
        "L" => "64-bit",
        "C" => "compatibility",
        "W" => "REX.W = 1",
        "R0" => "REX.R = 0",
        _ => "",
    };
    let cells = [
        MAPS[line.map].1,
        &opcodes,
        &modrm.join(", "),
        &prefixes,
        when,
        &line.names,
    ];
    format!("| {} |", cells.join(" | ")).replace("|  |", "| |")
}

#[test]
fn the_emulator_has_the_list_that_the_tests_walk() {
    let patch = read("emulator/patches/0012-allow-list.patch");
    let (_, rest) = patch
        .split_once("+++ b/target/i386/tcg/cki-allow.h.inc\n")
        .expect("the patch adds the list");
    let added: String = rest
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix('+'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(added, read("emulator/tests/rt/allow-list.h"));
}

#[test]
fn the_manual_prints_the_list() {
    let rows: Vec<_> = list().iter().map(row).collect();
    if std::env::var_os("CKI_PRINT_LIST").is_some() {
        println!("{}", rows.join("\n"));
    }
    let manual = read("docs/reference/isa.md");
    let (_, section) = manual
        .split_once("\n| Map | Opcodes | ModRM | Prefixes | Only | Instructions |\n")
        .expect("the table of the list");
    let printed: Vec<_> = section
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(printed, rows);
}

#[test]
fn the_list_is_in_order() {
    let lines = list();
    assert!(lines.len() > 200, "only {} lines", lines.len());
    for pair in lines.windows(2) {
        let [a, b] = pair else { unreachable!() };
        let same = (a.map, a.first, a.last) == (b.map, b.first, b.last);
        let after = (a.map, a.last) < (b.map, b.first);
        assert!(same || after, "{a:?} and {b:?}");
        assert!(b.first <= b.last, "{b:?}");
        assert!(b.register || b.rm == 0xff, "{b:?} looks at rm of memory");
    }
}

fn encoding(map: &'static str, opcode: u8, modrm: u8, prefix: &'static str) -> Encoding {
    Encoding {
        map,
        opcode,
        modrm,
        prefix,
        rex_w: false,
        rex_r: false,
    }
}

/// Instructions that reach beyond a container, whether or not any processor of today has them all.
const REFUSED: [(&str, &str, u8, u8, &str); 92] = [
    ("CLTS", "0F", 0x06, 0, "NP"),
    ("INVD", "0F", 0x08, 0, "NP"),
    ("WBINVD", "0F", 0x09, 0, "NP"),
    ("WBNOINVD", "0F", 0x09, 0, "PF3"),
    ("WRMSR", "0F", 0x30, 0, "NP"),
    ("RDMSR", "0F", 0x32, 0, "NP"),
    ("RDPMC", "0F", 0x33, 0, "NP"),
    ("SYSENTER", "0F", 0x34, 0, "NP"),
    ("SYSEXIT", "0F", 0x35, 0, "NP"),
    ("GETSEC", "0F", 0x37, 0, "NP"),
    ("RSM", "0F", 0xaa, 0, "NP"),
    ("MOV from CR0", "0F", 0x20, 0xc0, "NP"),
    ("MOV from CR3", "0F", 0x20, 0xd8, "NP"),
    ("MOV from CR4", "0F", 0x20, 0xe0, "NP"),
    ("MOV to CR0", "0F", 0x22, 0xc0, "NP"),
    ("MOV to CR3", "0F", 0x22, 0xd8, "NP"),
    ("MOV to CR4", "0F", 0x22, 0xe0, "NP"),
    ("MOV from DR7", "0F", 0x21, 0xf8, "NP"),
    ("MOV to DR7", "0F", 0x23, 0xf8, "NP"),
    ("LLDT", "0F", 0x00, 0xd0, "NP"),
    ("LTR", "0F", 0x00, 0xd8, "NP"),
    ("LKGS", "0F", 0x00, 0xf0, "PF2"),
    ("LGDT", "0F", 0x01, 0x10, "NP"),
    ("LIDT", "0F", 0x01, 0x18, "NP"),
    ("LMSW", "0F", 0x01, 0xf0, "NP"),
    ("RSTORSSP", "0F", 0x01, 0x28, "PF3"),
    ("ENCLV", "0F", 0x01, 0xc0, "NP"),
    ("VMCALL", "0F", 0x01, 0xc1, "NP"),
    ("VMLAUNCH", "0F", 0x01, 0xc2, "NP"),
    ("VMRESUME", "0F", 0x01, 0xc3, "NP"),
    ("VMXOFF", "0F", 0x01, 0xc4, "NP"),
    ("PCONFIG", "0F", 0x01, 0xc5, "NP"),
    ("WRMSRNS", "0F", 0x01, 0xc6, "NP"),
    ("RDMSRLIST", "0F", 0x01, 0xc6, "PF2"),
    ("WRMSRLIST", "0F", 0x01, 0xc6, "PF3"),
    ("MONITOR", "0F", 0x01, 0xc8, "NP"),
    ("MWAIT", "0F", 0x01, 0xc9, "NP"),
    ("ERETS", "0F", 0x01, 0xca, "PF2"),
    ("ERETU", "0F", 0x01, 0xca, "PF3"),
    ("TDCALL", "0F", 0x01, 0xcc, "P66"),
    ("SEAMCALL", "0F", 0x01, 0xcf, "P66"),
    ("ENCLS", "0F", 0x01, 0xcf, "NP"),
    ("XSETBV", "0F", 0x01, 0xd1, "NP"),
    ("VMFUNC", "0F", 0x01, 0xd4, "NP"),
    ("ENCLU", "0F", 0x01, 0xd7, "NP"),
    ("VMRUN", "0F", 0x01, 0xd8, "NP"),
    ("VMMCALL", "0F", 0x01, 0xd9, "NP"),
    ("VMGEXIT", "0F", 0x01, 0xd9, "PF3"),
    ("VMLOAD", "0F", 0x01, 0xda, "NP"),
    ("VMSAVE", "0F", 0x01, 0xdb, "NP"),
    ("STGI", "0F", 0x01, 0xdc, "NP"),
    ("CLGI", "0F", 0x01, 0xdd, "NP"),
    ("SKINIT", "0F", 0x01, 0xde, "NP"),
    ("INVLPGA", "0F", 0x01, 0xdf, "NP"),
    ("SETSSBSY", "0F", 0x01, 0xe8, "PF3"),
    ("XSUSLDTRK", "0F", 0x01, 0xe8, "PF2"),
    ("UIRET", "0F", 0x01, 0xec, "PF3"),
    ("TESTUI", "0F", 0x01, 0xed, "PF3"),
    ("CLUI", "0F", 0x01, 0xee, "PF3"),
    ("STUI", "0F", 0x01, 0xef, "PF3"),
    ("MONITORX", "0F", 0x01, 0xfa, "NP"),
    ("MWAITX", "0F", 0x01, 0xfb, "NP"),
    ("CLZERO", "0F", 0x01, 0xfc, "NP"),
    ("RDPRU", "0F", 0x01, 0xfd, "NP"),
    ("INVLPGB", "0F", 0x01, 0xfe, "NP"),
    ("TLBSYNC", "0F", 0x01, 0xff, "NP"),
    ("RMPUPDATE", "0F", 0x01, 0xfe, "PF2"),
    ("RMPADJUST", "0F", 0x01, 0xfe, "PF3"),
    ("PVALIDATE", "0F", 0x01, 0xff, "PF2"),
    ("PSMASH", "0F", 0x01, 0xff, "PF3"),
    ("VMREAD", "0F", 0x78, 0xc0, "NP"),
    ("VMWRITE", "0F", 0x79, 0xc0, "NP"),
    ("PTWRITE", "0F", 0xae, 0x20, "PF3"),
    ("CLRSSBSY", "0F", 0xae, 0x30, "PF3"),
    ("INCSSPD", "0F", 0xae, 0xe8, "PF3"),
    ("UMONITOR", "0F", 0xae, 0xf0, "PF3"),
    ("UMWAIT", "0F", 0xae, 0xf0, "PF2"),
    ("TPAUSE", "0F", 0xae, 0xf0, "P66"),
    ("XRSTORS", "0F", 0xc7, 0x18, "NP"),
    ("XSAVES", "0F", 0xc7, 0x28, "NP"),
    ("VMPTRLD", "0F", 0xc7, 0x30, "NP"),
    ("VMCLEAR", "0F", 0xc7, 0x30, "P66"),
    ("VMXON", "0F", 0xc7, 0x30, "PF3"),
    ("VMPTRST", "0F", 0xc7, 0x38, "NP"),
    ("SENDUIPI", "0F", 0xc7, 0xf0, "PF3"),
    ("INVPCID", "0F38", 0x82, 0x00, "P66"),
    ("LOADIWKEY", "0F38", 0xdc, 0xc0, "PF3"),
    ("WRUSS", "0F38", 0xf5, 0x00, "P66"),
    ("WRSS", "0F38", 0xf6, 0x00, "NP"),
    ("ENQCMDS", "0F38", 0xf8, 0x00, "PF3"),
    ("URDMSR", "0F38", 0xf8, 0xc0, "PF2"),
    ("HRESET", "0F3A", 0xf0, 0xc0, "PF3"),
];

/// Instructions that kernels execute at CPL 0 and that reach no further than the container.
const ALLOWED: [(&str, &str, u8, u8, &str); 24] = [
    ("SYSCALL", "0F", 0x05, 0, "NP"),
    ("SYSRET", "0F", 0x07, 0, "NP"),
    ("UD2", "0F", 0x0b, 0, "NP"),
    ("MOV from CR2", "0F", 0x20, 0xd0, "NP"),
    ("MOV to CR2", "0F", 0x22, 0xd0, "NP"),
    ("RDTSC", "0F", 0x31, 0, "NP"),
    ("CPUID", "0F", 0xa2, 0, "NP"),
    ("VERW", "0F", 0x00, 0x28, "NP"),
    ("INVLPG", "0F", 0x01, 0x38, "NP"),
    ("CLAC", "0F", 0x01, 0xca, "NP"),
    ("STAC", "0F", 0x01, 0xcb, "NP"),
    ("XGETBV", "0F", 0x01, 0xd0, "NP"),
    ("SERIALIZE", "0F", 0x01, 0xe8, "NP"),
    ("RDPKRU", "0F", 0x01, 0xee, "NP"),
    ("WRPKRU", "0F", 0x01, 0xef, "NP"),
    ("SWAPGS", "0F", 0x01, 0xf8, "NP"),
    ("RDTSCP", "0F", 0x01, 0xf9, "NP"),
    ("ENDBR64", "0F", 0x1e, 0xfa, "PF3"),
    ("XSAVE", "0F", 0xae, 0x20, "NP"),
    ("WRGSBASE", "0F", 0xae, 0xd8, "PF3"),
    ("CLFLUSHOPT", "0F", 0xae, 0x38, "P66"),
    ("XSAVEC", "0F", 0xc7, 0x20, "NP"),
    ("RDPID", "0F", 0xc7, 0xf8, "PF3"),
    ("WRPKRS", "0F38", 0x6b, 0xda, "NP"),
];

#[test]
fn what_reaches_beyond_the_container_is_not_listed() {
    let lines = list();
    for (name, map, opcode, modrm, prefix) in REFUSED {
        assert!(
            !is_listed(&lines, encoding(map, opcode, modrm, prefix)),
            "{name}"
        );
    }
    let one_byte = [
        0x6c, 0x6d, 0x6e, 0x6f, 0xcd, 0xcf, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xf1,
        0xf4, 0xfa, 0xfb,
    ];
    for opcode in one_byte {
        assert!(
            !is_listed(&lines, encoding("ROOT", opcode, 0, "NP")),
            "{opcode:#x}"
        );
    }
    // CR8 and CR10 are CR0 and CR2 with REX.R.
    for opcode in [0x20, 0x22] {
        for modrm in [0xc0, 0xd0] {
            let with_rex_r = Encoding {
                rex_r: true,
                ..encoding("0F", opcode, modrm, "NP")
            };
            assert!(!is_listed(&lines, with_rex_r), "{with_rex_r:?}");
        }
    }
}

#[test]
fn what_kernels_execute_is_listed() {
    let lines = list();
    for (name, map, opcode, modrm, prefix) in ALLOWED {
        assert!(
            is_listed(&lines, encoding(map, opcode, modrm, prefix)),
            "{name}"
        );
    }
    let iretq = Encoding {
        rex_w: true,
        ..encoding("ROOT", 0xcf, 0, "NP")
    };
    assert!(is_listed(&lines, iretq), "IRETQ");
}

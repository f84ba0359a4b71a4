// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/reference/abi.md`, from the tables that the C headers are made of.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cki_abi::description::{Field, Group, Structure};
use cki_abi::header::{abi, shared, uapi};
use cki_abi::uapi::OVERVIEW;

use crate::text::{cell, module_doc, prose};

const HEAD: &str = "\
# Binary interfaces

What the parts of CKI agree on bit by bit. This page is generated from the tables of `abi/src`, as
the C headers in `abi/include` are; do not edit it. This writes it, and `check` compares it:

    CKI_WRITE=1 cargo test -p cki-tests --test interfaces

In C, each constant has `CKI_` before its name. What programs say to each other in JSON is [another
page](session.md).

";

const DEVICE: &str = "\
## `/dev/cki`

Between a launcher and the host module; in C `#include <linux/cki.h>`.

";

const SHARED: &str = "
## Guest and launcher

What a launcher has to know of a guest and its monitor. In C `#include <linux/cki_guest.h>`, which
the other two include.
";

const INNER: &str = "
## Monitor, guest kernel and module

In C `#include <cki/abi.h>`.
";

const EMULATOR: &str = "
## Tests of the emulator

These have the numbers of the extension and of the keys as `emulator/tests/rt/extension.h`, and
there besides:
";

/// The groups behind whose heading stands what the head of their source says.
const SOURCES: [(&str, &str); 4] = [
    ("E_CALL", "errors"),
    ("KSM_VERSION", "calls"),
    ("HC_BASE", "hypercalls"),
    ("FAULT_GATE_MISUSED", "faults"),
];

/// The whole page.
pub fn page(root: &Path) -> String {
    let mut out = HEAD.to_owned() + DEVICE + &prose(OVERVIEW);
    calls(&mut out);
    for group in uapi::GROUPS {
        constants(&mut out, group);
    }
    for shape in uapi::STRUCTURES {
        structure(&mut out, shape);
    }
    for (head, groups, structures) in [
        (SHARED, shared::GROUPS, shared::STRUCTURES),
        (INNER, abi::GROUPS, abi::STRUCTURES),
    ] {
        out.push_str(head);
        for group in groups {
            inner(&mut out, group, root);
        }
        for shape in structures {
            structure(&mut out, shape);
        }
    }
    out.push_str(EMULATOR);
    constants(&mut out, &cki_abi::marks::GROUP);
    out
}

/// A group, and behind its heading what the head of its source says.
fn inner(out: &mut String, group: &Group, root: &Path) {
    let first = group.constants.first().map(|constant| constant.name);
    let source = SOURCES.iter().find(|(name, _)| first == Some(name));
    let about = source.map(|(_, file)| {
        let path = root.join(format!("abi/src/{file}.rs"));
        let source = fs::read_to_string(path).expect("a source");
        // The first line is the heading's.
        prose(&module_doc(&source)[1..])
    });
    heading(out, group.title);
    if let Some(about) = about {
        out.push_str(&about);
        out.push('\n');
    }
    rows(out, group);
}

fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n### {title}\n");
}

fn calls(out: &mut String) {
    heading(out, "The calls");
    out.push_str("| call | number | value | what it does |\n|---|---|---|---|\n");
    for call in uapi::IOCTLS {
        let _ = writeln!(
            out,
            "| `CKI_{}` | {:#x} | {:#x} | {} |",
            call.name,
            call.number,
            call.value,
            cell(call.doc)
        );
    }
}

fn constants(out: &mut String, group: &Group) {
    heading(out, group.title);
    rows(out, group);
}

fn rows(out: &mut String, group: &Group) {
    out.push_str("| name | value | meaning |\n|---|---|---|\n");
    for constant in group.constants {
        let value = if constant.value < 1024 {
            constant.value.to_string()
        } else {
            format!("{:#x}", constant.value)
        };
        let doc = cell(constant.doc);
        let _ = writeln!(out, "| `{}` | {value} | {doc} |", constant.name);
    }
}

fn structure(out: &mut String, shape: &Structure) {
    heading(out, &format!("`struct cki_{}`", shape.name));
    out.push_str(&prose(shape.doc));
    let _ = writeln!(out, "\n{} bytes.\n", shape.size);
    out.push_str("| offset | type | member | meaning |\n|---|---|---|---|\n");
    for field in shape.fields {
        let _ = writeln!(
            out,
            "| {} | `{}` | `{}` | {} |",
            field.offset,
            c_type(field),
            field.name,
            cell(field.doc)
        );
        for part in field.parts {
            let doc = cell(part.doc);
            let _ = writeln!(
                out,
                "| {} | `{}` | `{}` | or: {doc} |",
                field.offset, part.c_type, part.name
            );
        }
    }
}

fn c_type(field: &Field) -> String {
    match field.count {
        0 => field.c_type.to_owned(),
        count => format!("{}[{count}]", field.c_type),
    }
}

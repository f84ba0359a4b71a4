// SPDX-License-Identifier: MIT OR Apache-2.0

//! Generates the C and assembler header from the items of this crate.

use core::fmt::{self, Write};

/// One `#define`.
#[derive(Debug)]
pub struct Constant {
    /// Rust name; C adds `CKI_`.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// Constants that belong together.
#[derive(Debug)]
pub struct Group {
    /// Heading in the header.
    pub title: &'static str,
    /// The constants in order.
    pub constants: &'static [Constant],
}

/// One member of a structure.
#[derive(Debug)]
pub struct Field {
    /// Same name in both languages.
    pub name: &'static str,
    /// C type of the member or, for an array, of its elements.
    pub c_type: &'static str,
    /// Number of elements; 0 for a member that is no array.
    pub count: usize,
    /// Bytes from the structure's start.
    pub offset: usize,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// One structure.
#[derive(Debug)]
pub struct Structure {
    /// C name without `struct cki_`.
    pub name: &'static str,
    /// Size in bytes, without implicit padding.
    pub size: usize,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
    /// Members in order.
    pub fields: &'static [Field],
}

/// A type that may be a member of an ABI structure.
pub trait Abi: Sized {
    /// Its C name (of the elements, for an array).
    const C_TYPE: &'static str;
    /// Number of elements; 0 if this is no array.
    const COUNT: usize;
    /// The value whose bytes are all zero.
    const ZERO: Self;
}

macro_rules! integer {
    ($($ty:ty => $c:literal),+) => { $(
        impl Abi for $ty {
            const C_TYPE: &'static str = $c;
            const COUNT: usize = 0;
            const ZERO: Self = 0;
        }
    )+ };
}

integer!(u8 => "__u8", u16 => "__u16", u32 => "__u32", u64 => "__u64");

impl<T: Abi + Copy, const N: usize> Abi for [T; N] {
    const C_TYPE: &'static str = T::C_TYPE;
    const COUNT: usize = N;
    const ZERO: Self = [T::ZERO; N];
}

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[
    crate::version::GROUP,
    crate::limits::GROUP,
    crate::isa::GROUP,
    crate::keys::GROUP,
    crate::class::GROUP,
    crate::selectors::GROUP,
    crate::layout::GROUP,
    crate::errors::GROUP,
    crate::calls::GROUP,
    crate::calls::arguments::GROUP,
    crate::hypercalls::GROUP,
    crate::hypercalls::arguments::GROUP,
    crate::handlers::GROUP,
    crate::notes::GROUP,
    crate::monitor::GROUP,
];

/// Every structure, in an order in which each one's members are defined before it.
pub const STRUCTURES: &[&Structure] = &[
    &crate::start_info::Segment::C,
    &crate::start_info::ClassRange::C,
    &crate::start_info::StartInfo::C,
    &crate::start_info::Clock::C,
    &crate::calls::BatchEntry::C,
    &crate::vcpu::IretFrame::C,
    &crate::vcpu::EventFrame::C,
    &crate::vcpu::VcpuInfo::C,
    &crate::monitor::Refusal::C,
    &crate::monitor::MonitorBoot::C,
    &crate::monitor::VcpuSwitch::C,
];

/// Writes the whole header.
///
/// # Errors
///
/// Only those of `out`.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    out.write_str(PROLOGUE)?;
    for group in GROUPS {
        writeln!(out, "\n/* ---- {} ---- */", group.title)?;
        for constant in group.constants {
            comment(out, "", constant.doc)?;
            writeln!(
                out,
                "#define CKI_{} {}",
                constant.name,
                Literal(constant.value)
            )?;
        }
    }
    out.write_str("\n/* ---- Sizes of the structures and offsets of their members ---- */\n")?;
    for structure in STRUCTURES {
        offsets(out, structure)?;
    }
    out.write_str("\n#ifndef __ASSEMBLER__\n\n#include <linux/types.h>\n")?;
    for structure in STRUCTURES {
        definition(out, structure)?;
    }
    out.write_str("\n#endif /* !__ASSEMBLER__ */\n\n#endif /* CKI_ABI_H */\n")
}

const PROLOGUE: &str = "\
/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The binary interfaces of CKI. Generated from the Rust crate cki-abi, which
 * is the definition; do not edit. For C and for assembler.
 */
#ifndef CKI_ABI_H
#define CKI_ABI_H

#ifdef __ASSEMBLER__
#define CKI_U64(x) x
#else
#define CKI_U64(x) x##ULL
#endif
";

/// A number as C and the assembler both read it.
struct Literal(u64);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            write!(f, "CKI_U64({})", self.0)
        } else {
            write!(f, "CKI_U64({:#x})", self.0)
        }
    }
}

fn comment(out: &mut dyn Write, indent: &str, doc: &[&str]) -> fmt::Result {
    if let [line] = doc {
        return writeln!(out, "{indent}/*{} */", Plain(line));
    }
    writeln!(out, "{indent}/*")?;
    for line in doc {
        writeln!(out, "{indent} *{}", Plain(line))?;
    }
    writeln!(out, "{indent} */")
}

/// Doc text without rustdoc's link brackets, which mean nothing in C.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['[', ']']) {
            let (before, after) = rest.split_at(at);
            f.write_str(before)?;
            // Only `[`...`]` around code is a link; an interval keeps its brackets.
            if !(after.starts_with("[`") || before.ends_with('`')) {
                f.write_str(&after[..1])?;
            }
            rest = &after[1..];
        }
        f.write_str(rest)
    }
}

/// An ASCII name in upper case, for macros.
struct Upper(&'static str);

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| f.write_char(c.to_ascii_uppercase()))
    }
}

fn offsets(out: &mut dyn Write, structure: &Structure) -> fmt::Result {
    let name = Upper(structure.name);
    writeln!(out, "#define CKI_SIZEOF_{name} {}", structure.size)?;
    for field in structure.fields {
        writeln!(
            out,
            "#define CKI_OFFSETOF_{name}_{} {}",
            Upper(field.name),
            field.offset
        )?;
    }
    Ok(())
}

fn definition(out: &mut dyn Write, structure: &Structure) -> fmt::Result {
    out.write_str("\n")?;
    comment(out, "", structure.doc)?;
    writeln!(out, "struct cki_{} {{", structure.name)?;
    for field in structure.fields {
        comment(out, "\t", field.doc)?;
        match field.count {
            0 => writeln!(out, "\t{} {};", field.c_type, field.name)?,
            n => writeln!(out, "\t{} {}[{n}];", field.c_type, field.name)?,
        }
    }
    out.write_str("};\n")?;
    let name = structure.name;
    writeln!(
        out,
        "_Static_assert(sizeof(struct cki_{name}) == {}, \"cki_{name}\");",
        structure.size
    )?;
    for field in structure.fields {
        writeln!(
            out,
            "_Static_assert(__builtin_offsetof(struct cki_{name}, {}) == {}, \"cki_{name}.{}\");",
            field.name, field.offset, field.name
        )?;
    }
    Ok(())
}

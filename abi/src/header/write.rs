// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pieces that headers are made of.

use core::fmt::{self, Display, Write};

use crate::description::{Constant, Group, Ioctl, Structure};

/// Constants for C and for the assembler; of structures the definitions for C, and sizes and offsets for both.
pub fn for_both(out: &mut dyn Write, groups: &[Group], structures: &[&Structure]) -> fmt::Result {
    for group in groups {
        writeln!(out, "\n/* ---- {} ---- */", group.title)?;
        for row in group.constants {
            constant(out, row, &Literal(row.value))?;
        }
    }
    out.write_str("\n/* ---- Sizes of the structures and offsets of their members ---- */\n")?;
    for structure in structures {
        offsets(out, structure)?;
    }
    out.write_str("\n#ifndef __ASSEMBLER__\n\n#include <linux/types.h>\n")?;
    for structure in structures {
        definition(out, structure)?;
        assertions(out, structure)?;
    }
    out.write_str("\n#endif /* !__ASSEMBLER__ */\n")
}

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

/// One `#define`, its value as `literal` shows it.
pub fn constant(out: &mut dyn Write, row: &Constant, literal: &dyn Display) -> fmt::Result {
    comment(out, "", row.doc)?;
    writeln!(out, "#define CKI_{} {literal}", row.name)
}

/// The number of an ioctl.
pub fn ioctl(out: &mut dyn Write, row: &Ioctl) -> fmt::Result {
    comment(out, "", row.doc)?;
    match row.structure {
        None => writeln!(
            out,
            "#define CKI_{} _IO(CKI_IOC, {:#x})",
            row.name, row.number
        ),
        Some(structure) => writeln!(
            out,
            "#define CKI_{} _IOW(CKI_IOC, {:#x}, {structure})",
            row.name, row.number
        ),
    }
}

fn member(
    out: &mut dyn Write,
    indent: &str,
    c_type: &str,
    name: &str,
    count: usize,
) -> fmt::Result {
    match count {
        0 => writeln!(out, "{indent}{c_type} {name};"),
        n => writeln!(out, "{indent}{c_type} {name}[{n}];"),
    }
}

/// A comment of one line or several.
pub fn comment(out: &mut dyn Write, indent: &str, doc: &[&str]) -> fmt::Result {
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

/// Sizes and offsets as macros, for the assembler.
pub fn offsets(out: &mut dyn Write, structure: &Structure) -> fmt::Result {
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

/// The structure in C.
pub fn definition(out: &mut dyn Write, structure: &Structure) -> fmt::Result {
    out.write_str("\n")?;
    comment(out, "", structure.doc)?;
    writeln!(out, "struct cki_{} {{", structure.name)?;
    for field in structure.fields {
        comment(out, "\t", field.doc)?;
        if field.parts.is_empty() {
            member(out, "\t", field.c_type, field.name, field.count)?;
            continue;
        }
        out.write_str("\tunion {\n")?;
        for part in field.parts {
            comment(out, "\t\t", part.doc)?;
            member(out, "\t\t", part.c_type, part.name, 0)?;
        }
        member(out, "\t\t", field.c_type, field.name, field.count)?;
        out.write_str("\t};\n")?;
    }
    out.write_str("};\n")
}

/// What the compiler is to check of the structure.
pub fn assertions(out: &mut dyn Write, structure: &Structure) -> fmt::Result {
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

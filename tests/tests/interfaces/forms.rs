// SPDX-License-Identifier: MIT OR Apache-2.0

//! What messages have as a text or a number: the grammar of each, for people and for machines.
//! `abi/session/tests/schema.rs` tries the types of `abi/session` on all of it.

use std::fmt::Write as _;

use cki_session::ContainerName;
use serde_json::{Value, json};

/// A text or a number with a form of its own.
pub struct Form {
    /// The type.
    pub name: &'static str,
    /// What it may be, as a cell of a table.
    pub grammar: &'static str,
    pub form: Kind,
    /// Some that are taken.
    pub examples: &'static [&'static str],
}

pub enum Kind {
    /// A whole number between these.
    Number(u64, u64),
    /// A text with this pattern (ECMA-262).
    Text(&'static str),
    /// A text of one of these formats that the schema language knows.
    Format(&'static [&'static str]),
}

use Kind::{Format, Number, Text};

/// All of them.
pub const FORMS: [Form; 11] = [
    Form {
        name: "Capability",
        grammar: "`ALL`, or a name of capabilities(7), in upper or lower case, with or without `CAP_`",
        form: Text("^[A-Za-z_]+$"),
        examples: &["NET_RAW", "cap_net_raw", "ALL"],
    },
    Form {
        name: "ContainerName",
        grammar: "1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first",
        form: Text(ContainerName::PATTERN),
        examples: &["web", "db-1.test"],
    },
    Form {
        name: "IpAddr",
        grammar: "an address of IPv4 or IPv6 (RFC 4291), without brackets",
        form: Format(&["ipv4", "ipv6"]),
        examples: &["192.0.2.7", "2001:db8::7"],
    },
    Form {
        name: "IpNet",
        grammar: "ADDRESS`/`LENGTH: an address and how many of its first bits are the network's",
        form: Text("^[0-9A-Fa-f.:]+/[0-9]{1,3}$"),
        examples: &["192.0.2.0/24", "10.0.2.15/24", "2001:db8::/32"],
    },
    Form {
        name: "Limit",
        grammar: "RESOURCE`=`SOFT[`:`HARD], where a value is a number or `unlimited`, and the resource `as`, `core`, \
            `cpu`, `data`, `fsize`, `locks`, `memlock`, `msgqueue`, `nice`, `nofile`, `nproc`, `rss`, `rtprio`, \
            `rttime`, `sigpending` or `stack`",
        form: Text(
            "^(as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)\
             =(unlimited|-1|[0-9]+)(:(unlimited|-1|[0-9]+))?$",
        ),
        examples: &["nofile=1024:4096", "core=0", "stack=unlimited"],
    },
    Form {
        name: "Memory",
        grammar: "NUMBER[UNIT]: whole MiB; the number may have a point, the unit is `K`, `M`, `G` or `T` (powers of \
            1024), in upper or lower case, with or without `B` or `iB`, and `M` if there is none",
        form: Text("^[0-9]+(\\.[0-9]{1,9})?([KkMmGgTt]([Ii]?[Bb])?)?$"),
        examples: &["512M", "1.5G", "2GiB", "64"],
    },
    Form {
        name: "ProcessId",
        grammar: "a number that the client chooses",
        form: Number(0, u32::MAX as u64),
        examples: &["1"],
    },
    Form {
        name: "Rate",
        grammar: "AMOUNT[`+`AMOUNT]: so much a second, and a burst if it is not as much; an amount is NUMBER[UNIT], a \
            whole number with a unit as of `Memory`, and without one bytes or operations",
        form: Text("^[0-9]+[KkMmGgTt]?([Ii]?[Bb])?(\\+[0-9]+[KkMmGgTt]?([Ii]?[Bb])?)?$"),
        examples: &["10M", "10M+64M", "100", "5kb"],
    },
    Form {
        name: "Signal",
        grammar: "a number of signal(7) for x86-64",
        form: Number(1, 64),
        examples: &["15"],
    },
    Form {
        name: "Tmpfs",
        grammar: "PATH[`:`OPTION`,`...]: an absolute path other than `/`, without `..`, and `size=`MEMORY or \
            `mode=`OCTAL (1777 if nothing is said)",
        form: Text("^/[^:]*(:((size=[^:,=]+|mode=[0-7]{1,5})(,|$))*)?$"),
        examples: &["/tmp", "/a:size=1M", "/a:size=1.5G,mode=755"],
    },
    Form {
        name: "User",
        grammar: "USER[`:`GROUP], each a name in the image's `/etc/passwd` or `/etc/group`, or a number",
        form: Text("^[^:\\n]+(:[^:\\n]+)?$"),
        examples: &["postgres", "1000:1000", "www-data:adm"],
    },
];

impl Form {
    /// As the schema has it.
    pub fn schema(&self) -> Value {
        let is_number = matches!(self.form, Number(..));
        let examples: Vec<Value> = self
            .examples
            .iter()
            .map(|text| match is_number {
                true => text.parse::<u64>().expect("a number").into(),
                false => (*text).into(),
            })
            .collect();
        let mut schema = match self.form {
            Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Text(pattern) => json!({ "type": "string", "pattern": pattern }),
            Format(formats) => {
                let formats = formats.iter().map(|format| json!({ "format": format }));
                json!({ "type": "string", "anyOf": formats.collect::<Vec<_>>() })
            }
        };
        schema["description"] = self.grammar.replace('`', "").into();
        schema["examples"] = examples.into();
        schema
    }
}

/// The last part of the page.
pub fn table() -> String {
    let mut out = "\n## Texts and numbers\n\nA part in brackets may be left out.\n\n".to_owned();
    out.push_str("| type | form | examples |\n|---|---|---|\n");
    for form in &FORMS {
        let grammar = form.grammar.replace('[', "\\[");
        let examples = form.examples.iter().map(|text| format!("`{text}`"));
        let examples = examples.collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "| `{}` | {grammar} | {examples} |", form.name);
    }
    out
}

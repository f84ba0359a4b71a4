// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reference of the modules' options, which is made of the options themselves; names that they had.

use std::fs;

use cki_tests::checkout;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::evaluator::{Evaluator, holds};
use crate::machines::writes;

/// Where it is.
const REFERENCE: &str = "docs/reference/nixos.md";
/// What stands in front of what is made.
const MARK: &str = "<!-- made of the options by tests/tests/nixpkgs/options.rs -->\n";
/// Characters in a line of the documents.
const WIDTH: usize = 100;

/// Where an option was, its old name and its new one.
const RENAMED: [(&str, &str, &str); 9] = {
    const ONE: &str = "services.cki.containers.one";
    const DISKS: &str = "services.cki.containers.one.disks";
    [
        (ONE, "limits", "ulimits"),
        (
            ONE,
            "network.limits.ingressBytes",
            "network.rates.ingressRate",
        ),
        (
            ONE,
            "network.limits.egressBytes",
            "network.rates.egressRate",
        ),
        (
            ONE,
            "network.limits.ingressPackets",
            "network.rates.ingressPackets",
        ),
        (
            ONE,
            "network.limits.egressPackets",
            "network.rates.egressPackets",
        ),
        (DISKS, "limits.readBytes", "rates.readBps"),
        (DISKS, "limits.writeBytes", "rates.writeBps"),
        (DISKS, "limits.readOperations", "rates.readIops"),
        (DISKS, "limits.writeOperations", "rates.writeIops"),
    ]
};

/// `text` in lines that begin with `indent`, the first with `first`.
fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let mut result = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            result += &line;
            result.push('\n');
            indent.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    result + &line + "\n"
}

/// An option as the reference has it.
fn described(option: &Value) -> Result<String, Failed> {
    let text = |field: &str| option[field].as_str().map(str::trim);
    let name = text("name").ok_or("an option without a name")?;
    let description = text("description").unwrap_or_default();
    let full = description.ends_with('.') && text("type").is_some() && text("example").is_some();
    holds(
        full,
        (name, "lacks a description, a type or an example", option),
    )?;
    let mut result = format!("### `{name}`\n\n{}\n", wrapped(description, "", ""));
    for (field, label) in [
        ("type", "type:    "),
        ("default", "default: "),
        ("example", "example: "),
    ] {
        let value = text(field).unwrap_or("none; it has to be set");
        result += &wrapped(value, &format!("    {label}"), "             ");
    }
    Ok(result)
}

pub(crate) fn every_option_says_what_it_is_and_the_reference_has_it(
    nix: &Evaluator,
) -> Result<(), Failed> {
    let options = nix.value("tests/nixos/options.nix")?;
    let options = options.as_array().ok_or("no options")?;
    holds(options.len() > 30, options.len())?;
    let is_containers = |option: &&Value| {
        let name = option["name"].as_str().unwrap_or_default();
        name.starts_with("services.cki.containers")
    };
    let mut made = String::new();
    for (title, of_containers) in [("The host", false), ("Containers", true)] {
        made += &format!("\n## {title}\n");
        for option in options
            .iter()
            .filter(|option| is_containers(option) == of_containers)
        {
            made += &format!("\n{}", described(option)?);
        }
    }
    let path = checkout().dir.join(REFERENCE);
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let (before, written) = text
        .split_once(MARK)
        .ok_or("the mark is not in the reference")?;
    if writes() {
        fs::write(&path, format!("{before}{MARK}{made}")).map_err(|error| error.to_string())?;
        return Ok(());
    }
    let differs = made.lines().zip(written.lines()).find(|(a, b)| a != b);
    holds(
        made == written,
        format!("{REFERENCE} is behind the options (CKI_WRITE=1 writes it): {differs:?}"),
    )
}

/// What was written before an option was renamed means what it meant, and is told the new name.
pub(crate) fn an_option_by_its_old_name_is_taken_with_a_warning(
    nix: &Evaluator,
) -> Result<(), Failed> {
    let facts = &nix.configurations()?["renamed"];
    let texts = |field: &str| -> Vec<&str> {
        let values = facts[field].as_array().map(Vec::as_slice);
        let texts = values.unwrap_or_default().iter();
        texts.filter_map(Value::as_str).collect()
    };
    let warned = texts("warned");
    holds(warned.len() == RENAMED.len(), &warned)?;
    for (option, from, to) in RENAMED {
        let said = warned.iter().any(|warning| {
            warning.starts_with(&format!("{option}: "))
                && warning.contains(&format!("`{from}'"))
                && warning.ends_with(&format!("renamed to `{to}'."))
        });
        holds(said, (from, to, &warned))?;
    }
    let taken = serde_json::json!([
        { "nofile": 64 },
        { "readBps": "1M", "writeBps": "2M", "readIops": "3", "writeIops": "4" },
        { "ingressRate": "5M", "egressRate": "6M", "ingressPackets": "7", "egressPackets": "8" },
    ]);
    let made = serde_json::json!([facts["ulimits"], facts["disk"], facts["network"]]);
    holds(made == taken, &made)?;
    holds(facts["refused"] == serde_json::json!([]), &facts["refused"])?;
    holds(facts["silent"] == serde_json::json!([]), &facts["silent"])
}

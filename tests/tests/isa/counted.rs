// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `-device cki-events` has to count between the marks of the image `bench/events`.

use std::collections::BTreeMap;

use serde_json::Value;

/// From the mark in front of it to its own: instructions, where the image has a known number of them, and
/// what else was counted; everything that is not named is 0.
struct Section {
    instructions: Option<u64>,
    counted: &'static [(&'static str, u64)],
}

/// The sections in order: the first ends with mark 1.
const SECTIONS: [Section; 12] = [
    // A mark is one instruction, and nothing else.
    section(Some(1), &[]),
    section(Some(1 + 2 * 50 + 1), &[]),
    section(Some(4 + 1), &[("mov_cr3", 3)]),
    section(Some(5 + 1), &[("invlpg", 5)]),
    section(Some(6 + 1), &[("mov_cr4_flush", 2)]),
    section(
        None,
        &[
            ("rdmsr", 1),
            ("vectors.0d", 1),
            ("wrmsr", 2),
            ("wrmsr_pkrs", 2),
        ],
    ),
    section(
        None,
        &[
            ("cki_off", 1),
            ("cki_on", 1),
            ("wrmsr", 2),
            ("wrpkrs", 3 * 10 + 1),
            ("wrpkrs_close", 10),
            ("wrpkrs_open", 10),
        ],
    ),
    section(
        None,
        &[
            ("cki_off", 1),
            ("cki_on", 1),
            ("event_pkrs", 1),
            ("iret", 1),
            ("iret_pkrs", 1),
            ("vectors.0d", 1),
            ("wrmsr", 2),
        ],
    ),
    section(
        None,
        &[("cki_on", 1), ("iret", 1), ("iret_pkrs", 1), ("wrmsr", 1)],
    ),
    section(
        None,
        &[
            ("cki_off", 1),
            ("syscall", 1),
            ("sysret", 1),
            ("vectors.80", 1),
            ("wrmsr", 1),
            ("wrpkrs", 1),
            ("wrpkrs_open", 1),
        ],
    ),
    section(
        None,
        &[
            ("rdmsr", 1),
            ("vmexits.81", 4),
            ("vmrun", 5),
            ("vmrun_flush", 1),
            ("wrmsr", 2),
        ],
    ),
    section(None, &[("vmexits.72", 1)]),
];

const fn section(instructions: Option<u64>, counted: &'static [(&'static str, u64)]) -> Section {
    Section {
        instructions,
        counted,
    }
}

/// One line of the device's file.
struct Record {
    instructions: u64,
    counted: BTreeMap<String, u64>,
}

fn record(line: &str, number: usize) -> Result<Record, String> {
    let wrong = |what: &str| format!("{what} in the record {line}");
    let value: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
    if value["mark"].as_u64() != Some(number as u64) {
        return Err(wrong(&format!("not mark {number}")));
    }
    let instructions = value["instructions"].as_u64();
    let mut counted = BTreeMap::new();
    for (table, prefix) in [
        ("events", ""),
        ("vectors", "vectors."),
        ("vmexits", "vmexits."),
    ] {
        let table = value[table]
            .as_object()
            .ok_or_else(|| wrong(&format!("no {table}")))?;
        for (name, count) in table {
            let count = count
                .as_u64()
                .ok_or_else(|| wrong("a count is no number"))?;
            counted.insert(format!("{prefix}{name}"), count);
        }
    }
    Ok(Record {
        instructions: instructions.ok_or_else(|| wrong("no instructions"))?,
        counted,
    })
}

/// The file has a record for each mark, and between any two of them exactly what the image did.
pub(crate) fn check(file: &str) -> Result<(), String> {
    let records = file
        .lines()
        .enumerate()
        .map(|(number, line)| record(line, number))
        .collect::<Result<Vec<_>, _>>()?;
    if records.len() != SECTIONS.len() + 1 {
        return Err(format!("{} records:\n{file}", records.len()));
    }
    for (number, (pair, section)) in records.windows(2).zip(&SECTIONS).enumerate() {
        let (before, after) = (&pair[0], &pair[1]);
        let mark = number + 1;
        let counted: Vec<(&str, u64)> = after
            .counted
            .iter()
            .map(|(name, count)| {
                let so_far = before.counted.get(name).copied().unwrap_or(0);
                (name.as_str(), count - so_far)
            })
            .filter(|(_, count)| *count != 0)
            .collect();
        if counted != section.counted {
            return Err(format!(
                "up to mark {mark}: {counted:?}, not {:?}",
                section.counted
            ));
        }
        let instructions = after.instructions - before.instructions;
        if section
            .instructions
            .is_some_and(|known| known != instructions)
        {
            return Err(format!(
                "up to mark {mark}: {instructions} instructions, not {:?}",
                section.instructions
            ));
        }
    }
    Ok(())
}

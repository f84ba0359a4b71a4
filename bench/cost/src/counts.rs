// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was counted between two marks.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::CostError;

/// Instructions and events between two marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed, a repeated string instruction once.
    pub instructions: u64,
    /// Events by name, only those that were there: `mov_cr3`, and `vectors.0e` for vector 14, `vmexits.400` for
    /// exit code 400H.
    pub events: BTreeMap<String, u64>,
}

/// One of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "mark")]
    _mark: u8,
    instructions: Option<u64>,
    events: BTreeMap<String, u64>,
    vectors: BTreeMap<String, u64>,
    vmexits: BTreeMap<String, u64>,
}

impl Record {
    fn parse(line: &str) -> Result<Self, CostError> {
        serde_json::from_str(line).map_err(|error| CostError::Counts(error.to_string()))
    }

    fn named(self) -> BTreeMap<String, u64> {
        let prefixed = |prefix: &'static str, table: BTreeMap<String, u64>| {
            table
                .into_iter()
                .map(move |(key, count)| (format!("{prefix}.{key}"), count))
        };
        self.events
            .into_iter()
            .chain(prefixed("vectors", self.vectors))
            .chain(prefixed("vmexits", self.vmexits))
            .collect()
    }
}

impl Counts {
    /// What is between two records, each a line of JSON with all that was counted since the emulator's start.
    ///
    /// # Errors
    ///
    /// [`CostError::Counts`] when a line is no such record, has no count of instructions (the machine ran without
    /// `-icount`), or when something is less in the second one.
    pub fn between(before: &str, after: &str) -> Result<Self, CostError> {
        let (before, after) = (Record::parse(before)?, Record::parse(after)?);
        let less = |what: &str| CostError::Counts(format!("{what} is less in the second record"));
        let (Some(first), Some(second)) = (before.instructions, after.instructions) else {
            return Err(CostError::Counts(
                "no instructions are counted; the machine needs -icount".to_owned(),
            ));
        };
        let instructions = second
            .checked_sub(first)
            .ok_or_else(|| less("instructions"))?;
        let mut before = before.named();
        let mut events = BTreeMap::new();
        for (name, count) in after.named() {
            let count = count
                .checked_sub(before.remove(&name).unwrap_or(0))
                .ok_or_else(|| less(&name))?;
            if count > 0 {
                events.insert(name, count);
            }
        }
        match before.into_iter().find(|(_, count)| *count > 0) {
            Some((name, _)) => Err(less(&name)),
            None => Ok(Self {
                instructions,
                events,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"{"mark":1,"instructions":100,"events":{"mov_cr3":2,"iret":1},"vectors":{"0e":1},"vmexits":{}}"#;

    #[test]
    fn two_records_give_what_is_between_them() {
        let after = r#"{"mark":2,"instructions":150,"events":{"mov_cr3":5,"iret":1},"vectors":{"0e":1,"20":3},"vmexits":{"400":2}}"#;
        let counts = Counts::between(BEFORE, after).expect("two records");
        assert_eq!(counts.instructions, 50);
        let events: Vec<_> = counts
            .events
            .iter()
            .map(|(k, n)| (k.as_str(), *n))
            .collect();
        assert_eq!(
            events,
            [("mov_cr3", 3), ("vectors.20", 3), ("vmexits.400", 2)]
        );
    }

    #[test]
    fn records_that_do_not_follow_each_other_are_refused() {
        for (after, reason) in [
            (
                r#"{"mark":2,"instructions":99,"events":{},"vectors":{},"vmexits":{}}"#,
                "instructions is less",
            ),
            (
                r#"{"mark":2,"instructions":150,"events":{"mov_cr3":1,"iret":1},"vectors":{"0e":1},"vmexits":{}}"#,
                "mov_cr3 is less",
            ),
            (
                r#"{"mark":2,"instructions":150,"events":{"mov_cr3":2,"iret":1},"vectors":{},"vmexits":{}}"#,
                "vectors.0e is less",
            ),
            (
                r#"{"mark":2,"events":{},"vectors":{},"vmexits":{}}"#,
                "needs -icount",
            ),
            (
                r#"{"mark":2,"instructions":150,"other":1,"events":{},"vectors":{},"vmexits":{}}"#,
                "unknown field `other`",
            ),
            ("", "EOF"),
        ] {
            let error = Counts::between(BEFORE, after).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

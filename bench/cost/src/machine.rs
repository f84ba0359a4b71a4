// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor as a file of constants.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::CostError;

/// One constant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Cycles of one.
    pub cycles: f64,
    /// The least that is plausible, in cycles.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// Who has published it, and of which processor; or that it is assumed.
    pub source: String,
}

/// The constants of a processor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What it is called in reports.
    pub name: String,
    /// An instruction.
    pub instruction: Constant,
    /// What an event takes beyond its instruction, by the emulator's name for it; `vectors` and `vmexits` stand
    /// for all vectors and exit codes that have no constant of their own (`vmexits.400`).
    pub events: BTreeMap<String, Constant>,
    /// Counted, and paid for with another event.
    pub within: BTreeMap<String, String>,
}

impl Machine {
    /// The processor of the paper's measurements.
    pub const ZEN4: &str = include_str!("../zen4.toml");

    /// Reads a file of constants, such as [`Machine::ZEN4`].
    ///
    /// # Errors
    ///
    /// [`CostError::Constants`] when it is no such file, a constant is outside of its own band or has no source,
    /// or an event is within one that has no constant.
    pub fn parse(text: &str) -> Result<Self, CostError> {
        let machine: Self =
            toml::from_str(text).map_err(|error| CostError::Constants(error.to_string()))?;
        let named = machine
            .events
            .iter()
            .map(|(name, constant)| (name.as_str(), constant));
        for (name, constant) in named.chain([("instruction", &machine.instruction)]) {
            let Constant {
                cycles, low, high, ..
            } = constant;
            if !(0.0 <= *low && low <= cycles && cycles <= high && high.is_finite()) {
                return Err(CostError::Constants(format!(
                    "{name}: {low}, {cycles} and {high} are not in order"
                )));
            }
            if constant.source.trim().is_empty() {
                return Err(CostError::Constants(format!("{name} has no source")));
            }
        }
        for (name, other) in &machine.within {
            if machine.events.contains_key(name) {
                return Err(CostError::Constants(format!(
                    "{name} has a constant, and is within {other}"
                )));
            }
            if !machine.events.contains_key(other) {
                return Err(CostError::Constants(format!(
                    "{name} is within {other}, which has no constant"
                )));
            }
        }
        Ok(machine)
    }

    /// The name and constant that pay for an event; none where another one does.
    pub(crate) fn pays<'a>(
        &'a self,
        event: &'a str,
    ) -> Result<Option<(&'a str, &'a Constant)>, CostError> {
        let family = event.split_once('.').map_or(event, |(family, _)| family);
        for name in [event, family] {
            if let Some(constant) = self.events.get(name) {
                return Ok(Some((name, constant)));
            }
            if self.within.contains_key(name) {
                return Ok(None);
            }
        }
        Err(CostError::NoConstant {
            machine: self.name.clone(),
            event: event.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_machine_has_a_constant_for_all_that_the_emulator_counts() {
        let machine = Machine::parse(Machine::ZEN4).expect("constants");
        let patch = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../emulator/patches/0020-count-events.patch"
        );
        let patch = std::fs::read_to_string(patch).expect("the patch");
        let counted: Vec<_> = patch
            .lines()
            .filter_map(|line| line.strip_prefix("+    X(")?.split_once(')'))
            .map(|(name, _)| name)
            .collect();
        assert!(counted.len() > 15, "{counted:?}");
        for name in counted.iter().chain(&["vectors.0e", "vmexits.400"]) {
            machine.pays(name).expect("a constant");
        }
        for name in machine.events.keys().chain(machine.within.keys()) {
            assert!(
                counted.contains(&name.as_str()) || name == "vectors" || name == "vmexits",
                "{name} is not counted"
            );
        }
    }

    #[test]
    fn our_machine_makes_sense_and_pays_for_every_vector_and_exit_code() {
        let machine = Machine::parse(Machine::ZEN4).expect("constants");
        for (name, pays) in [("vectors.0e", "vectors"), ("vmexits.400", "vmexits")] {
            let (payer, _) = machine.pays(name).expect("a constant").expect("it pays");
            assert_eq!(payer, pays);
        }
        assert!(machine.pays("vmrun").expect("known").is_none());
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        const GOOD: &str = "name = \"m\"\ninstruction = { cycles = 1, low = 0.5, high = 2, source = \"s\" }\n\
             [events]\na = { cycles = 3, low = 2, high = 4, source = \"s\" }\n[within]\nb = \"a\"\n";
        Machine::parse(GOOD).expect("a machine");
        for (from, to, reason) in [
            ("high = 4", "high = 2.5", "a: 2, 3 and 2.5"),
            ("low = 0.5", "low = -1", "instruction: -1, 1 and 2"),
            ("high = 2,", "high = inf,", "instruction: 0.5, 1 and inf"),
            (
                "source = \"s\" }\n[within]",
                "source = \" \" }\n[within]",
                "a has no source",
            ),
            ("b = \"a\"", "b = \"c\"", "within c, which has no constant"),
            (
                "b = \"a\"",
                "a = \"a\"",
                "a has a constant, and is within a",
            ),
            ("cycles = 3,", "", "missing field `cycles`"),
            ("name = ", "nome = ", "nome"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = Machine::parse(&text).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

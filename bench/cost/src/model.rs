// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cycles of what was counted, and how far the constants move them.

use std::collections::BTreeMap;

use crate::counts::Counts;
use crate::error::CostError;
use crate::machine::{Constant, Machine};

/// A result, and its extremes when every constant is anywhere between its least and its most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// With the constants as they are.
    pub value: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

/// How often each constant is paid.
type Bill<'a> = BTreeMap<&'a str, (f64, &'a Constant)>;

impl Machine {
    fn bill<'a>(&'a self, counts: &'a Counts) -> Result<Bill<'a>, CostError> {
        let mut bill = Bill::from([(
            "instruction",
            (counts.instructions as f64, &self.instruction),
        )]);
        for (event, count) in &counts.events {
            if let Some((name, constant)) = self.pays(event)? {
                bill.entry(name).or_insert((0.0, constant)).0 += *count as f64;
            }
        }
        Ok(bill)
    }

    /// Cycles that this processor would take.
    ///
    /// # Errors
    ///
    /// [`CostError::NoConstant`].
    pub fn cycles(&self, counts: &Counts) -> Result<Band, CostError> {
        let bill = self.bill(counts)?;
        let sum = |of: fn(&Constant) -> f64| bill.values().map(|(n, c)| n * of(c)).sum();
        Ok(Band {
            value: sum(|c| c.cycles),
            low: sum(|c| c.low),
            high: sum(|c| c.high),
        })
    }

    /// How many times the cycles of `base` those of `counts` are: one processor runs both, so each constant is the
    /// same on either side.
    ///
    /// # Errors
    ///
    /// [`CostError::NoConstant`], and [`CostError::Counts`] when `base` may take no cycles at all.
    pub fn ratio(&self, counts: &Counts, base: &Counts) -> Result<Band, CostError> {
        let (over, under) = (self.bill(counts)?, self.bill(base)?);
        if self.cycles(base)?.low <= 0.0 {
            return Err(CostError::Counts(
                "what is compared with may take no cycles".to_owned(),
            ));
        }
        let terms: Vec<_> = over
            .iter()
            .chain(&under)
            .map(|(name, (_, constant))| (*name, *constant))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(name, constant)| {
                let times = |bill: &Bill| bill.get(name).map_or(0.0, |(n, _)| *n);
                (times(&over), times(&under), constant)
            })
            .collect();
        let (a, b) = terms.iter().fold((0.0, 0.0), |(a, b), (m, n, c)| {
            (a + m * c.cycles, b + n * c.cycles)
        });
        Ok(Band {
            value: a / b,
            low: extreme(&terms, false),
            high: extreme(&terms, true),
        })
    }
}

/// The least or the most of `Σ mᵢcᵢ / Σ nᵢcᵢ`, each `cᵢ` in its band.
///
/// The quotient is monotone in each constant, so it is extreme at a corner; there, with `r` its value, a constant is
/// at its high end exactly when that makes `Σ (mᵢ - r nᵢ) cᵢ` go the wanted way. Choosing by the last `r` brings the
/// next one nearer, until none changes (Dinkelbach).
fn extreme(terms: &[(f64, f64, &Constant)], most: bool) -> f64 {
    let mut ratio = 1.0;
    loop {
        let (a, b) = terms.iter().fold((0.0, 0.0), |(a, b), (m, n, c)| {
            let up = m - ratio * n > 0.0;
            let c = if up == most { c.high } else { c.low };
            (a + m * c, b + n * c)
        });
        let next = a / b;
        if (next - ratio).abs() <= 1e-12 * ratio.abs() {
            return next;
        }
        ratio = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let constant = |cycles, low, high| Constant {
            cycles,
            low,
            high,
            source: "a test".to_owned(),
        };
        Machine {
            name: "m".to_owned(),
            instruction: constant(1.0, 0.5, 2.0),
            events: [
                ("mov_cr3".to_owned(), constant(100.0, 50.0, 400.0)),
                ("vmexits".to_owned(), constant(1000.0, 900.0, 1100.0)),
                ("vmexits.400".to_owned(), constant(3000.0, 3000.0, 3000.0)),
            ]
            .into(),
            within: [("vmrun".to_owned(), "vmexits".to_owned())].into(),
        }
    }

    fn counts(instructions: u64, events: &[(&str, u64)]) -> Counts {
        Counts {
            instructions,
            events: events.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect(),
        }
    }

    #[test]
    fn cycles_are_instructions_and_events_times_their_constants() {
        let counted = counts(
            1000,
            &[
                ("mov_cr3", 2),
                ("vmexits.72", 1),
                ("vmexits.81", 2),
                ("vmexits.400", 1),
                ("vmrun", 4),
            ],
        );
        let band = machine().cycles(&counted).expect("constants for all");
        assert_eq!(band.value, 1000.0 + 200.0 + 3000.0 + 3000.0);
        assert_eq!(band.low, 500.0 + 100.0 + 2700.0 + 3000.0);
        assert_eq!(band.high, 2000.0 + 800.0 + 3300.0 + 3000.0);
    }

    #[test]
    fn what_has_no_constant_is_an_error() {
        let error = machine()
            .cycles(&counts(1, &[("invlpg", 1)]))
            .expect_err("no constant");
        assert_eq!(
            error.to_string(),
            "the machine m has no constant for invlpg, which was counted"
        );
    }

    #[test]
    fn a_ratio_takes_each_constant_once() {
        let base = counts(1000, &[]);
        // Twice the instructions are twice the cycles, whatever one takes.
        let band = machine().ratio(&counts(2000, &[]), &base).expect("a ratio");
        assert_eq!((band.value, band.low, band.high), (2.0, 2.0, 2.0));
        assert!(machine().ratio(&base, &counts(0, &[])).is_err());
    }

    /// The least and most over all corners, one after the other.
    fn corners(machine: &Machine, a: &Counts, b: &Counts) -> (f64, f64) {
        let names: Vec<_> = machine.events.keys().cloned().collect();
        let at = |corner: u32| {
            let end = |bit: usize, constant: &mut Constant| {
                let cycles = if corner >> bit & 1 == 1 {
                    constant.high
                } else {
                    constant.low
                };
                constant.cycles = cycles;
            };
            let mut machine = machine.clone();
            end(0, &mut machine.instruction);
            for (bit, name) in names.iter().enumerate() {
                end(bit + 1, machine.events.get_mut(name).expect("an event"));
            }
            let value = |counts| machine.cycles(counts).expect("constants").value;
            value(a) / value(b)
        };
        let ratios: Vec<f64> = (0..1 << (names.len() + 1)).map(at).collect();
        (
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        )
    }

    #[test]
    fn the_extremes_of_a_ratio_are_those_of_all_corners() {
        let machine = machine();
        let some = [
            counts(1000, &[]),
            counts(1000, &[("mov_cr3", 10)]),
            counts(900, &[("mov_cr3", 3), ("vmexits.72", 7)]),
            counts(5, &[("vmexits.400", 2), ("mov_cr3", 1)]),
        ];
        for a in &some {
            for b in &some {
                let band = machine.ratio(a, b).expect("a ratio");
                let (low, high) = corners(&machine, a, b);
                assert!((band.low / low - 1.0).abs() < 1e-9, "{a:?} {b:?}");
                assert!((band.high / high - 1.0).abs() < 1e-9, "{a:?} {b:?}");
                assert!(band.low <= band.value && band.value <= band.high);
            }
        }
    }
}

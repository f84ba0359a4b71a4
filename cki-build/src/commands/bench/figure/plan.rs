// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is to be measured, and in which order.

use cki_figures::Key;

use crate::compared::{FIG12, Size, Workload, word};
use crate::measured::{FigureArgs, FigureRuntime};

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measurement {
    pub workload: Workload,
    pub size: Size,
    pub runtime: FigureRuntime,
    /// From 1.
    pub round: u32,
}

impl Measurement {
    /// As records name it.
    pub(super) fn key(self) -> Key {
        Key {
            workload: word(&self.workload),
            size: word(&self.size),
            runtime: word(&self.runtime),
            clients: None,
            round: self.round,
        }
    }
}

/// All of it, in an order in which nothing that changes with time falls on one runtime alone: each round has everything
/// once, and every other round begins with the last runtime.
pub(super) fn plan(args: &FigureArgs) -> Vec<Measurement> {
    let mut all = Vec::new();
    for round in 1..=args.repeat {
        let mut runtimes = args.runtimes.clone();
        if round % 2 == 0 {
            runtimes.reverse();
        }
        for &size in &args.sizes {
            for workload in FIG12 {
                all.extend(runtimes.iter().map(|&runtime| Measurement {
                    workload,
                    size,
                    runtime,
                    round,
                }));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_take_turns_and_each_begins_a_round() {
        let args = FigureArgs {
            runtimes: vec![FigureRuntime::Native, FigureRuntime::Cki],
            sizes: vec![Size::Tiny],
            repeat: 2,
            log: "log".into(),
            plots: "plots".into(),
        };
        let all = plan(&args);
        assert_eq!(all.len(), 6 * 2 * 2);
        let order: Vec<_> = all.iter().map(|one| one.key().runtime).collect();
        assert_eq!(order[..4], ["native", "cki", "native", "cki"]);
        assert_eq!(order[12..16], ["cki", "native", "cki", "native"]);
        assert_eq!(all[0].workload, all[1].workload);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `anneal`: elements of a circuit are placed so that their wires are short, by simulated annealing.

use crate::finding::{Finding, Wrong};
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// Wires that lead to an element.
const WIRES: usize = 5;
/// How hot it is at the begin, in units of length.
const START: f64 = 2_000.0;
/// What is left of that after each step.
const COOLING: f64 = 1.0 / 1.5;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Places in a row.
    pub width: usize,
    /// Rows; each place has an element.
    pub height: usize,
    /// Temperatures.
    pub steps: usize,
    /// Pairs of elements that are tried at each temperature.
    pub swaps: usize,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let (width, height, steps, swaps) = match size {
            Size::Tiny => (100, 50, 16, 1_000),
            Size::Small => (400, 250, 64, 5_000),
            Size::Paper => (800, 500, 128, 15_000),
        };
        Self {
            width,
            height,
            steps,
            swaps,
        }
    }
}

/// Elements, their wires and their places.
#[derive(Debug)]
struct Circuit {
    width: usize,
    /// For each element, where it is.
    places: Vec<usize>,
    /// For each element, whom its wires join it with, in both directions.
    joined: Vec<Vec<u32>>,
}

impl Circuit {
    fn new(parameters: Parameters, random: &mut Random) -> Self {
        let elements = parameters.width * parameters.height;
        let mut joined = vec![Vec::new(); elements];
        for element in 0..elements {
            for _ in 0..WIRES {
                let other = index(random.below(elements as u64));
                joined[element].push(number(other));
                joined[other].push(number(element));
            }
        }
        Self {
            width: parameters.width,
            places: (0..elements).collect(),
            joined,
        }
    }

    /// How far apart two elements are, along rows and columns.
    fn apart(&self, one: usize, other: usize) -> u64 {
        let [one, other] = [one, other].map(|element| self.places[element]);
        let across = (one % self.width).abs_diff(other % self.width);
        let along = (one / self.width).abs_diff(other / self.width);
        (across + along) as u64
    }

    /// Length of the wires of an element.
    fn wires(&self, element: usize) -> u64 {
        let joined = self.joined[element].iter();
        joined
            .map(|&other| self.apart(element, other as usize))
            .sum()
    }

    /// Length of all wires, each of which two elements have.
    fn length(&self) -> u64 {
        let all = (0..self.places.len()).map(|element| self.wires(element));
        all.sum::<u64>() / 2
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.places.swap(one, other);
    }
}

fn number(element: usize) -> u32 {
    u32::try_from(element).expect("there are fewer elements")
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an address has 64 bits")
}

/// exp(-x) for an x that is not negative, within 0.002: by products only, which are the same on every machine.
fn decay(x: f64) -> f64 {
    let mut power = (1.0 - x / 1_024.0).max(0.0);
    for _ in 0..10 {
        power *= power;
    }
    power
}

/// Whether it is taken that the length changes from `old` to `new`: if it is less, or by chance, while it is hot.
#[expect(
    clippy::cast_precision_loss,
    reason = "lengths are far below 2^53 units"
)]
fn is_taken(old: u64, new: u64, temperature: f64, random: &mut Random) -> bool {
    // A number is drawn in either case, so that what follows does not depend on the lengths.
    let chance = random.fraction();
    new < old || chance < decay((new - old) as f64 / temperature)
}

/// Anneals; `change` swaps two elements and says what the length was before and is after, of as many wires as it
/// likes, as long as all that change are among them.
fn anneal(
    circuit: &mut Circuit,
    parameters: Parameters,
    random: &mut Random,
    change: impl Fn(&mut Circuit, usize, usize) -> (u64, u64),
) -> u64 {
    let elements = circuit.places.len() as u64;
    let mut temperature = START;
    let mut taken = 0;
    for _ in 0..parameters.steps {
        for _ in 0..parameters.swaps {
            let [one, other] = [(); 2].map(|()| index(random.below(elements)));
            let (old, new) = change(circuit, one, other);
            if is_taken(old, new, temperature, random) {
                taken += 1;
            } else {
                circuit.swap(one, other);
            }
        }
        temperature *= COOLING;
    }
    taken
}

/// Swaps, and looks at the wires of the two elements. One between them is there twice, and stays as long as it is.
fn change(circuit: &mut Circuit, one: usize, other: usize) -> (u64, u64) {
    let old = circuit.wires(one) + circuit.wires(other);
    circuit.swap(one, other);
    (old, circuit.wires(one) + circuit.wires(other))
}

/// Anneals a circuit; the sum is of all places.
///
/// # Errors
///
/// If a place has not exactly one element.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let mut random = Random::new(seed, stream::ANNEAL);
    let mut circuit = Circuit::new(parameters, &mut random);
    let begin = circuit.length();
    let taken = anneal(&mut circuit, parameters, &mut random, change);
    let end = circuit.length();
    let mut elements = vec![0; circuit.places.len()];
    let mut finding = Finding::default();
    for &place in &circuit.places {
        elements[place] += 1;
        finding.sum.add(place as u64);
    }
    if elements.iter().any(|&elements| elements != 1) {
        return Err(Wrong::Result("a place has not one element"));
    }
    finding.counts = vec![
        ("elements", elements.len() as u64),
        ("swaps", (parameters.steps * parameters.swaps) as u64),
        ("taken", taken),
        ("length before", begin),
        ("length after", end),
    ];
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, with all wires measured before and after.
    fn naive(circuit: &mut Circuit, one: usize, other: usize) -> (u64, u64) {
        let old = circuit.length();
        circuit.swap(one, other);
        (old, circuit.length())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_wires_of_two_elements_change_as_all_wires_do(
            width in 1_usize..9, height in 1_usize..9, steps in 0_usize..20, seed: u64,
        ) {
            let parameters = Parameters { width, height, steps, swaps: 20 };
            let annealed = |change: fn(&mut Circuit, usize, usize) -> (u64, u64)| {
                let mut random = Random::new(seed, stream::ANNEAL);
                let mut circuit = Circuit::new(parameters, &mut random);
                let taken = anneal(&mut circuit, parameters, &mut random, change);
                (circuit.places, taken)
            };
            prop_assert_eq!(annealed(change), annealed(naive));
        }
    }

    #[test]
    fn wires_get_shorter() {
        let finding = run(Parameters::of(Size::Tiny), 1).expect("nothing is wrong");
        let [begin, end] = [3, 4].map(|at| finding.counts[at].1);
        assert!(end < begin, "{finding:?}");
    }

    #[test]
    fn what_is_worse_is_taken_by_chance_while_it_is_hot_and_never_in_the_cold() {
        let mut random = Random::new(1, 0);
        let hot = (0..1_000).filter(|_| is_taken(100, 110, 10.0, &mut random));
        assert!((320..420).contains(&hot.count()));
        assert!((0..1_000).all(|_| !is_taken(100, 110, 1e-3, &mut random)));
        assert!((0..1_000).all(|_| is_taken(110, 100, 1e-3, &mut random)));
    }

    #[test]
    fn decay_is_the_exponential_function() {
        for step in 0..2_000 {
            let x = f64::from(step) / 10.0;
            assert!((decay(x) - (-x).exp()).abs() < 0.002, "{x}");
        }
        assert!(decay(1e9) < 1e-300);
    }
}

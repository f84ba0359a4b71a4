// SPDX-License-Identifier: MIT OR Apache-2.0

//! `xs-lookup`: cross sections of materials are looked up and added, as a Monte Carlo simulation of neutrons does.

use crate::finding::{Finding, Wrong};
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// Kinds of cross section: total, elastic, absorption, fission, neutrons from fission.
const KINDS: usize = 5;
const NUCLIDES: usize = 68;
/// How many nuclides a material consists of, and in how many of 1,000 lookups the neutron is in it: the first is fuel.
const MATERIALS: [(usize, u64); 12] = [
    (34, 140),
    (5, 52),
    (4, 275),
    (4, 134),
    (27, 154),
    (21, 64),
    (21, 66),
    (21, 55),
    (21, 8),
    (21, 15),
    (9, 25),
    (9, 12),
];
/// Lookups in the life of a particle.
const LOOKUPS: usize = 34;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Energies for which the cross sections of a nuclide are known.
    pub points: usize,
    /// Neutrons.
    pub particles: usize,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let (points, particles) = match size {
            Size::Tiny => (200, 500),
            Size::Small => (2_000, 10_000),
            Size::Paper => (11_303, 50_000),
        };
        Self { points, particles }
    }
}

/// The cross sections for one energy.
#[derive(Debug, Clone, Copy)]
struct Point {
    energy: f64,
    sections: [f64; KINDS],
}

/// A nuclide in a material, and how much of it there is.
#[derive(Debug, Clone, Copy)]
struct Part {
    nuclide: usize,
    density: f64,
}

#[derive(Debug)]
struct Data {
    /// For each nuclide, by rising energy; the first is for 0, the last for 1.
    nuclides: Vec<Vec<Point>>,
    materials: Vec<Vec<Part>>,
}

impl Data {
    fn new(points: usize, random: &mut Random) -> Self {
        let nuclides = (0..NUCLIDES).map(|_| {
            let mut energies: Vec<f64> = (2..points).map(|_| random.fraction()).collect();
            energies.extend([0.0, 1.0]);
            energies.sort_by(f64::total_cmp);
            let point = |energy| Point {
                energy,
                sections: std::array::from_fn(|_| random.fraction()),
            };
            energies.into_iter().map(point).collect()
        });
        let nuclides = nuclides.collect();
        let materials = MATERIALS.map(|(parts, _)| {
            let mut left: Vec<usize> = (0..NUCLIDES).collect();
            let parts = (0..parts).map(|_| Part {
                nuclide: left.swap_remove(index(random.below(left.len() as u64))),
                density: random.fraction(),
            });
            parts.collect()
        });
        Self {
            nuclides,
            materials: materials.into(),
        }
    }

    /// Cross sections of a material: of each of its nuclides those between the two points around the energy, by
    /// `below`, which names the lower one of them.
    fn macroscopic(
        &self,
        material: usize,
        energy: f64,
        below: impl Fn(usize) -> usize,
    ) -> [f64; KINDS] {
        let mut sums = [0.0; KINDS];
        for part in &self.materials[material] {
            let at = below(part.nuclide);
            let [low, high] = [at, at + 1].map(|at| &self.nuclides[part.nuclide][at]);
            let share = (high.energy - energy) / (high.energy - low.energy);
            for (kind, sum) in sums.iter_mut().enumerate() {
                let section =
                    high.sections[kind] - share * (high.sections[kind] - low.sections[kind]);
                *sum += part.density * section;
            }
        }
        sums
    }
}

/// All energies of all nuclides, with the point of each nuclide that is not above.
#[derive(Debug)]
struct Union {
    energies: Vec<f64>,
    /// A row of `NUCLIDES` for each energy.
    below: Vec<u32>,
}

impl Union {
    fn new(data: &Data) -> Self {
        let all = data.nuclides.iter().flatten();
        let mut energies: Vec<f64> = all.map(|point| point.energy).collect();
        energies.sort_by(f64::total_cmp);
        let mut below = Vec::with_capacity(energies.len() * NUCLIDES);
        let mut at = [0_u32; NUCLIDES];
        for energy in &energies {
            for (points, at) in data.nuclides.iter().zip(&mut at) {
                // The last point has none above it.
                while *at as usize + 2 < points.len() && points[*at as usize + 1].energy <= *energy
                {
                    *at += 1;
                }
            }
            below.extend(at);
        }
        Self { energies, below }
    }

    /// The row of an energy: the last one that is not above.
    fn row(&self, energy: f64) -> &[u32] {
        let above = self.energies.partition_point(|other| *other <= energy);
        &self.below[(above - 1) * NUCLIDES..above * NUCLIDES]
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an address has 64 bits")
}

/// In which material the neutron is, and with which energy.
fn next(random: &mut Random) -> (usize, f64) {
    let mut place = random.below(1_000);
    let material = MATERIALS.iter().position(|(_, often)| {
        let here = place < *often;
        place = place.saturating_sub(*often);
        here
    });
    (
        material.expect("they are 1,000 together"),
        random.fraction(),
    )
}

/// Looks up; the sum is of all cross sections that were asked for.
///
/// # Errors
///
/// If what was found is not the point next to an energy.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let mut random = Random::new(seed, stream::XS_LOOKUP);
    let data = Data::new(parameters.points, &mut random);
    let union = Union::new(&data);
    let mut finding = Finding::default();
    let lookups = parameters.particles * LOOKUPS;
    for _ in 0..lookups {
        let (material, energy) = next(&mut random);
        let row = union.row(energy);
        let part = data.materials[material][0].nuclide;
        let points = &data.nuclides[part];
        let at = row[part] as usize;
        if !(points[at].energy..=points[at + 1].energy).contains(&energy) {
            return Err(Wrong::Result("an energy is not between its points"));
        }
        for sum in data.macroscopic(material, energy, |nuclide| row[nuclide] as usize) {
            finding.sum.add(sum.to_bits());
        }
    }
    finding.counts = vec![
        ("nuclides", NUCLIDES as u64),
        ("energies", union.energies.len() as u64),
        ("lookups", lookups as u64),
    ];
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum::Sum;
    use proptest::prelude::*;

    /// The same without the table: each nuclide is searched from its first point.
    fn naive(parameters: Parameters, seed: u64) -> Sum {
        let mut random = Random::new(seed, stream::XS_LOOKUP);
        let data = Data::new(parameters.points, &mut random);
        let mut sum = Sum::new();
        for _ in 0..parameters.particles * LOOKUPS {
            let (material, energy) = next(&mut random);
            let below = |nuclide: usize| {
                let above = data.nuclides[nuclide]
                    .iter()
                    .position(|point| point.energy > energy);
                above.expect("the last is for 1") - 1
            };
            for section in data.macroscopic(material, energy, below) {
                sum.add(section.to_bits());
            }
        }
        sum
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_table_finds_what_a_search_from_the_begin_finds(
            points in 2_usize..40, particles in 0_usize..8, seed: u64,
        ) {
            let parameters = Parameters { points, particles };
            let finding = run(parameters, seed).expect("nothing is wrong");
            prop_assert_eq!(finding.sum, naive(parameters, seed));
        }
    }

    #[test]
    fn at_a_point_the_cross_section_is_the_points() {
        let data = Data::new(10, &mut Random::new(1, 0));
        let Part { nuclide, density } = data.materials[2][0];
        let alone = Data {
            materials: vec![vec![Part { nuclide, density }]],
            ..data
        };
        let point = alone.nuclides[nuclide][4];
        let found = alone.macroscopic(0, point.energy, |_| 4);
        for (found, section) in found.iter().zip(point.sections) {
            assert!((found - density * section).abs() < 1e-12);
        }
    }

    #[test]
    fn materials_come_as_often_as_they_should() {
        assert_eq!(MATERIALS.iter().map(|(_, often)| often).sum::<u64>(), 1_000);
        let mut random = Random::new(1, 0);
        let fuel = (0..10_000).filter(|_| next(&mut random).0 == 0).count();
        assert!((1_250..1_550).contains(&fuel), "{fuel}");
    }
}

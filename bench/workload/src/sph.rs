// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sph`: a fluid of particles falls in a box (smoothed particle hydrodynamics on a grid of cells).
//!
//! Density, pressure and viscosity are those of Müller, Charypar and Gross, "Particle-Based Fluid Simulation for
//! Interactive Applications" (SCA 2003). The unit of length is the distance of particles at the begin, that of mass is
//! a particle.

use std::f64::consts::PI;

use crate::finding::{Finding, Wrong};
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// How far particles reach.
const REACH: f64 = 1.7;
const REACH_3: f64 = REACH * REACH * REACH;
/// Pressure of a density that is too high by one.
const STIFFNESS: f64 = 10.0;
const VISCOSITY: f64 = 0.4;
/// Along the second axis.
const GRAVITY: f64 = -9.8;
/// Time of a frame.
const STEP: f64 = 0.01;
/// What a wall leaves of a velocity.
const BOUNCE: f64 = -0.5;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Particles along each edge of the cube that they are at the begin.
    pub edge: usize,
    /// Steps of time.
    pub frames: usize,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let edge = match size {
            Size::Tiny => 14,
            Size::Small => 40,
            Size::Paper => 67,
        };
        Self { edge, frames: 5 }
    }
}

type Vector = [f64; 3];

#[derive(Debug, Clone, PartialEq)]
struct Particle {
    /// Which, from the begin to the end.
    number: usize,
    place: Vector,
    velocity: Vector,
    density: f64,
    acceleration: Vector,
}

/// Particles, in a box from 0 to `walls`.
#[derive(Debug, Clone, PartialEq)]
struct Fluid {
    walls: Vector,
    particles: Vec<Particle>,
}

impl Fluid {
    /// A cube of particles, none quite in its place, in a box of twice its width.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an edge is far below 2^53 particles"
    )]
    fn new(edge: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, stream::SPH);
        let mut particles = Vec::with_capacity(edge.pow(3));
        for number in 0..edge.pow(3) {
            let at = [number % edge, number / edge % edge, number / edge / edge];
            particles.push(Particle {
                number,
                place: at.map(|n| n as f64 + 0.4 + 0.2 * random.fraction()),
                velocity: [0.0; 3],
                density: 0.0,
                acceleration: [0.0; 3],
            });
        }
        let edge = edge as f64;
        Self {
            walls: [2.0 * edge, edge, edge],
            particles,
        }
    }

    /// One step of time, with the pairs that `pairs` finds.
    fn step(&mut self, pairs: impl Fn(&mut Self, &mut dyn FnMut(&mut Particle, &mut Particle))) {
        for particle in &mut self.particles {
            particle.density = weight(0.0);
            particle.acceleration = [0.0, GRAVITY, 0.0];
        }
        pairs(self, &mut attract);
        pairs(self, &mut push);
        for particle in &mut self.particles {
            for axis in 0..3 {
                particle.velocity[axis] += STEP * particle.acceleration[axis];
                particle.place[axis] += STEP * particle.velocity[axis];
                let inside = particle.place[axis].clamp(0.0, self.walls[axis]);
                if inside != particle.place[axis] {
                    particle.place[axis] = inside;
                    particle.velocity[axis] *= BOUNCE;
                }
            }
        }
    }

    /// Which cell of which grid this place is in: cells are `REACH` wide.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place is inside of its box, which is at 0 and small"
    )]
    fn cell(place: f64) -> usize {
        (place / REACH) as usize
    }

    /// Pairs within reach, found by cells.
    fn near(&mut self, act: &mut dyn FnMut(&mut Particle, &mut Particle)) {
        let size = self.walls.map(|wall| Self::cell(wall) + 1);
        let index = |at: [usize; 3]| (at[2] * size[1] + at[1]) * size[0] + at[0];
        // The order of particles is that of their cells, and in a cell that which they had.
        self.particles
            .sort_by_key(|particle| index(particle.place.map(Self::cell)));
        let mut begins = vec![0; index([0, 0, size[2]]) + 1];
        for particle in &self.particles {
            begins[index(particle.place.map(Self::cell)) + 1] += 1;
        }
        for cell in 1..begins.len() {
            begins[cell] += begins[cell - 1];
        }
        for one in 0..self.particles.len() {
            let (before, rest) = self.particles.split_at_mut(one);
            let particle = &mut rest[0];
            let [x, y, z] = particle.place.map(Self::cell);
            for z in z.saturating_sub(1)..=z {
                for y in y.saturating_sub(1)..=(y + 1).min(size[1] - 1) {
                    // Cells that follow each other along the first axis have particles that do.
                    let from = begins[index([x.saturating_sub(1), y, z])];
                    let to = begins[index([(x + 1).min(size[0] - 1), y, z]) + 1].min(one);
                    for other in &mut before[from.min(to)..to] {
                        act(particle, other);
                    }
                }
            }
        }
    }
}

/// How much of a particle is at a place that is away from it, by the square of the distance.
fn weight(square: f64) -> f64 {
    let near = REACH * REACH - square;
    315.0 / (64.0 * PI * (REACH_3 * REACH_3 * REACH_3)) * near * near * near
}

/// The vector from the second to the first, and the square of its length, if that is within reach.
fn apart(one: &Particle, other: &Particle) -> Option<(Vector, f64)> {
    let between: Vector = std::array::from_fn(|axis| one.place[axis] - other.place[axis]);
    let square = between[0] * between[0] + between[1] * between[1] + between[2] * between[2];
    (square < REACH * REACH && square > 0.0).then_some((between, square))
}

/// Adds each one's part to the density of the other.
fn attract(one: &mut Particle, other: &mut Particle) {
    if let Some((_, square)) = apart(one, other) {
        let weight = weight(square);
        one.density += weight;
        other.density += weight;
    }
}

/// Accelerates both, in opposite directions.
fn push(one: &mut Particle, other: &mut Particle) {
    let Some((between, square)) = apart(one, other) else {
        return;
    };
    let distance = square.sqrt();
    let near = REACH - distance;
    let scale = 45.0 / (PI * (REACH_3 * REACH_3)) * near / (one.density * other.density);
    let pressure = STIFFNESS * (one.density + other.density - 2.0).max(0.0) / 2.0;
    for (axis, length) in between.into_iter().enumerate() {
        let away = pressure * near * length / distance;
        let along = VISCOSITY * (other.velocity[axis] - one.velocity[axis]);
        one.acceleration[axis] += scale * (away + along);
        other.acceleration[axis] -= scale * (away + along);
    }
}

/// Lets the fluid fall; the sum is of the places and velocities of all particles.
///
/// # Errors
///
/// If a particle has left the box, or the particles have accelerated each other to somewhere.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let mut fluid = Fluid::new(parameters.edge, seed);
    for _ in 0..parameters.frames {
        fluid.step(Fluid::near);
        check(&fluid)?;
    }
    fluid.particles.sort_by_key(|particle| particle.number);
    let mut finding = Finding::default();
    for particle in &fluid.particles {
        for number in particle.place.iter().chain(&particle.velocity) {
            finding.sum.add(number.to_bits());
        }
    }
    finding.counts = vec![
        ("particles", fluid.particles.len() as u64),
        ("frames", parameters.frames as u64),
    ];
    Ok(finding)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are far fewer than 2^53 particles"
)]
fn check(fluid: &Fluid) -> Result<(), Wrong> {
    let mut total = [0.0; 3];
    for particle in &fluid.particles {
        for (axis, total) in total.iter_mut().enumerate() {
            if !(0.0..=fluid.walls[axis]).contains(&particle.place[axis]) {
                return Err(Wrong::Result("a particle is not in its box"));
            }
            *total += particle.acceleration[axis];
        }
    }
    total[1] -= GRAVITY * fluid.particles.len() as f64;
    if total
        .iter()
        .all(|sum| sum.abs() < 1e-9 * fluid.particles.len() as f64)
    {
        Ok(())
    } else {
        Err(Wrong::Result("particles have no equal and opposite forces"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pairs.
    fn all(fluid: &mut Fluid, act: &mut dyn FnMut(&mut Particle, &mut Particle)) {
        for one in 0..fluid.particles.len() {
            let (before, rest) = fluid.particles.split_at_mut(one);
            for other in before {
                act(&mut rest[0], other);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn cells_find_what_all_pairs_find(edge in 1_usize..7, frames in 1..6, seed: u64) {
            let mut fluid = Fluid::new(edge, seed);
            let mut naive = fluid.clone();
            for _ in 0..frames {
                fluid.step(Fluid::near);
                naive.step(all);
            }
            fluid.particles.sort_by_key(|particle| particle.number);
            for (one, other) in fluid.particles.iter().zip(&naive.particles) {
                for axis in 0..3 {
                    // Sums of the same numbers in another order.
                    let apart = (one.place[axis] - other.place[axis]).abs();
                    prop_assert!(apart < 1e-9, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_particle_alone_falls_as_galilei_has_it_and_stays_in_its_box() {
        let mut fluid = Fluid::new(1, 1);
        let begin = fluid.particles[0].place[1];
        fluid.step(Fluid::near);
        let fallen = begin + GRAVITY * STEP * STEP;
        assert!((fluid.particles[0].place[1] - fallen).abs() < 1e-12);
        for _ in 0..1000 {
            fluid.step(Fluid::near);
            assert_eq!(check(&fluid), Ok(()));
        }
    }

    #[test]
    fn a_fluid_that_is_squeezed_expands() {
        let mut fluid = Fluid::new(3, 1);
        for particle in &mut fluid.particles {
            particle.place = particle.place.map(|x| 1.0 + x / 3.0);
        }
        let width = |fluid: &Fluid| {
            let places = || fluid.particles.iter().map(|particle| particle.place[0]);
            places().fold(f64::MIN, f64::max) - places().fold(f64::MAX, f64::min)
        };
        let begin = width(&fluid);
        fluid.step(Fluid::near);
        assert!(width(&fluid) > begin);
    }

    #[test]
    fn the_density_inside_is_about_one_particle_in_a_cube_of_their_distance() {
        let mut fluid = Fluid::new(7, 1);
        fluid.step(Fluid::near);
        fluid.particles.sort_by_key(|particle| particle.number);
        let density = fluid.particles[7 * 7 * 7 / 2].density;
        assert!((0.9..1.1).contains(&density), "{density}");
    }

    #[test]
    fn a_particle_outside_is_noticed() {
        let mut fluid = Fluid::new(2, 1);
        fluid.step(Fluid::near);
        assert_eq!(check(&fluid), Ok(()));
        fluid.particles[3].place[2] = f64::NAN;
        assert!(check(&fluid).is_err());
    }

    #[test]
    fn a_force_without_its_opposite_is_noticed() {
        let mut fluid = Fluid::new(2, 1);
        fluid.step(Fluid::near);
        fluid.particles[3].acceleration[0] += 1e-3;
        assert!(check(&fluid).is_err());
    }
}

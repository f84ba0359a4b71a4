// SPDX-License-Identifier: MIT OR Apache-2.0

//! What vCPUs may still have cached (Intel SDM Vol. 3A 4.10).
//!
//! The model is the worst CPU allowed: whatever a vCPU has once walked through, it may go on using
//! until it flushes everything. A cached paging-structure entry leads to the frame it led to when
//! it was cached, with the rights gathered then; from there on the walk reads memory as it is now.

use std::collections::HashSet;

use super::oracle::{Reached, Rights, assert_walk, frame_of};
use super::{ADDRESS, P, PS, World};

/// The paging-structure caches of all vCPUs.
#[derive(Debug, Default)]
pub struct Caches {
    vcpus: Vec<HashSet<Reached>>,
    roots: Vec<Option<usize>>,
}

impl Caches {
    pub fn new(vcpus: usize) -> Self {
        Caches {
            vcpus: vec![HashSet::new(); vcpus],
            roots: vec![None; vcpus],
        }
    }

    /// Everything cached, in order, for comparing states.
    pub fn contents(&self) -> Vec<Vec<Reached>> {
        let sorted = |cache: &HashSet<Reached>| {
            let mut cached: Vec<_> = cache.iter().copied().collect();
            cached.sort_unstable();
            cached
        };
        self.vcpus.iter().map(sorted).collect()
    }

    pub fn load_root(&mut self, vcpu: usize, frame: usize) {
        self.roots[vcpu] = Some(frame);
    }

    /// The roots of the vCPUs that have one.
    pub fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        self.roots.iter().flatten().copied()
    }

    pub fn flush(&mut self, vcpu: usize) {
        self.vcpus[vcpu].clear();
    }

    /// The vCPU walks along an address: it caches every table on the way, starting from its root or,
    /// as the CPU may, from any table that it has cached before.
    pub fn touch(&mut self, world: &World, vcpu: usize, indexes: [usize; 4]) {
        let Some(root) = self.roots[vcpu] else { return };
        let mut starts: Vec<_> = self.vcpus[vcpu].iter().copied().collect();
        starts.push(Reached {
            frame: root,
            level: 4,
            rights: Rights::ALL,
        });
        for mut at in starts {
            while at.level > 1 {
                let index = indexes[4 - at.level as usize];
                if at.level == 4 && index == 256 {
                    break;
                }
                let entry = world.memory.word(at.frame, index);
                if entry & P == 0 || (at.level < 4 && entry & PS != 0) {
                    break;
                }
                let frame = frame_of(world, entry & ADDRESS).expect("I4: a table outside");
                at = Reached {
                    frame,
                    level: at.level - 1,
                    rights: at.rights.through(entry),
                };
                self.vcpus[vcpu].insert(at);
            }
        }
    }

    /// Asserts I1 to I4 for everything that walks from a cached table reach.
    pub fn assert_harmless(&self, world: &World) {
        for at in self.vcpus.iter().flatten() {
            assert_walk(world, *at);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the CPU would make of the page tables, worked out without the monitor's code.
//!
//! It walks memory as the walker does (Intel SDM Vol. 3A 4.5), with effective rights, and asserts
//! the invariants about everything reachable. It knows classes from the host's list, and nothing
//! of the monitor's frame words.

use std::collections::HashSet;

use super::{ADDRESS, NX, P, PAGE, PS, SHARED, SLOT_ENTRY, U, W, World};
use cki_abi::class::{CLASS_DATA, CLASS_EXEC};

/// Rights gathered on the way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights {
    pub user: bool,
    pub write: bool,
    pub fetch: bool,
}

impl Rights {
    pub const ALL: Rights = Rights {
        user: true,
        write: true,
        fetch: true,
    };

    pub fn through(self, entry: u64) -> Self {
        Rights {
            user: self.user && entry & U != 0,
            write: self.write && entry & W != 0,
            fetch: self.fetch && entry & NX == 0,
        }
    }
}

/// A table as a walker (or a stale cache) reaches it: frame number, level that it is read at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reached {
    pub frame: usize,
    pub level: u8,
    pub rights: Rights,
}

/// Dense number of a frame of the container, from the host's list.
pub fn frame_of(world: &World, hpa: u64) -> Option<usize> {
    let mut first = 0;
    for segment in &world.segments {
        if hpa >= segment.base && hpa < segment.base + segment.size {
            return Some(first + ((hpa - segment.base) / PAGE) as usize);
        }
        first += (segment.size / PAGE) as usize;
    }
    None
}

pub fn class_of(world: &World, hpa: u64) -> Option<u64> {
    frame_of(world, hpa)?;
    let found = world
        .classes
        .iter()
        .find(|c| hpa >= c.base && hpa < c.base + c.size);
    Some(found.map_or(CLASS_DATA, |c| u64::from(c.class)))
}

/// Asserts I1 to I4 for everything that a walk from `start` reaches.
pub fn assert_walk(world: &World, start: Reached) {
    walk(world, start, &mut HashSet::new());
}

fn walk(world: &World, at: Reached, seen: &mut HashSet<Reached>) {
    if !seen.insert(at) {
        return;
    }
    for (index, entry) in world.memory.entries(at.frame) {
        if entry & P == 0 {
            continue;
        }
        if at.level == 4 && index == 256 {
            assert_eq!(entry, SLOT_ENTRY, "I5: slot 256 of frame {:#x}", at.frame);
            continue;
        }
        let rights = at.rights.through(entry);
        if at.level == 1 || (at.level < 4 && entry & PS != 0) {
            assert_leaf(world, at, index, entry, rights);
        } else {
            let table = entry & ADDRESS;
            let frame = frame_of(world, table)
                .unwrap_or_else(|| panic!("I4: {at:?} entry {index} links {entry:#x} outside"));
            assert_eq!(
                class_of(world, table),
                Some(cki_abi::class::CLASS_PT),
                "I4: {at:?} entry {index} links {entry:#x}, which is not Pt"
            );
            walk(
                world,
                Reached {
                    frame,
                    level: at.level - 1,
                    rights,
                },
                seen,
            );
        }
    }
}

fn assert_leaf(world: &World, at: Reached, index: usize, entry: u64, rights: Rights) {
    let what = format!("{at:?} entry {index} = {entry:#x}, effective {rights:?}");
    let frames = 1u64 << (9 * (u64::from(at.level) - 1));
    let base = entry & ADDRESS & !(frames * PAGE - 1);
    for hpa in (0..frames).map(|i| base + i * PAGE) {
        let Some(class) = class_of(world, hpa) else {
            assert_eq!(hpa, SHARED, "I1: {what} maps {hpa:#x}");
            assert!(!rights.write, "I1: {what} writes a shared frame");
            assert!(!rights.fetch, "I3: {what} executes a shared frame");
            continue;
        };
        assert!(
            !rights.write || class == CLASS_DATA,
            "I2: {what} writes {hpa:#x}"
        );
        if rights.fetch && !rights.user {
            assert_eq!(class, CLASS_EXEC, "I3: {what} executes {hpa:#x} at CPL 0");
            let frame = frame_of(world, hpa).expect("of the container");
            let bytes = world.memory.bytes(frame);
            let found = bytes.windows(4).any(|w| w == cki_abi::isa::WRPKRS);
            assert!(!found, "I6: {what} makes WRPKRS in {hpa:#x} executable");
        }
    }
    // Memory types and G, whatever the rights (PAT is bit 7 in an L1 entry, bit 12 in others).
    let pat = if at.level == 1 { 1 << 7 } else { 1 << 12 };
    assert_eq!(
        entry & (0x18 | 0x100 | pat),
        0,
        "{what} has a memory type or G"
    );
    if !rights.user {
        assert_eq!(entry >> 59 & 0xf, 0, "{what} chooses a supervisor key");
    }
}

/// Asserts I1 to I5 for an L4 at a frame.
pub fn assert_root(world: &World, frame: usize) {
    assert_eq!(
        world.memory.word(frame, 256),
        SLOT_ENTRY,
        "I5: slot 256 of {frame:#x}"
    );
    assert_walk(
        world,
        Reached {
            frame,
            level: 4,
            rights: Rights::ALL,
        },
    );
}

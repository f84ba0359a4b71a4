// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest that goes to user mode and back.

use anyhow::{Context as _, Result, ensure};
use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2, TABLE_L3, TABLE_USER};
use cki_abi::limits::FRAME_SIZE;
use cki_abi::uapi::start::BootTable;

use crate::device::System;
use crate::guest::{Guest, MEMORY, Prepared, TABLES};
use crate::page::{Rounds, at};

/// Where user mode has its page, and which that is, as in every.s.
pub const TEXT: u64 = 0x40_0000;
const FRAME: u64 = 0x10_8000;
/// P, U, A, D; and W, for tables.
const LEAF: u64 = 0x65;
const LINK: u64 = 0x67;
/// Tables that are free: of level 1, 2 and 3.
const FREE: [u64; 3] = [4, 5, 6];

/// Where the guest counts events by where they found it, and has the looks and returns of its two ways.
const AT_LOOKS: usize = at!(Rounds, at_looks);
const IN_USER_MODE: usize = at!(Rounds, in_user_mode);
const WAYS: usize = at!(Rounds, ways);

/// Events so far, by where they found the guest.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    at_looks: u64,
    in_user_mode: u64,
}

impl Found {
    /// What the guest has counted.
    pub fn read(guest: &Guest) -> Self {
        let count = |at| guest.container.read_word(at);
        Found {
            at_looks: count(AT_LOOKS),
            in_user_mode: count(IN_USER_MODE),
        }
    }

    /// A strike at `address` had the guest take its event there: in user mode at once, and behind its last look at
    /// that look, to which it went back.
    pub fn is_right(self, guest: &Guest, address: u64) -> Result<()> {
        let now = Found::read(guest);
        let way = |n: usize| [0, 8].map(|at| guest.container.read_word(WAYS + 16 * n + at));
        let behind_a_look = (0..2)
            .map(way)
            .any(|[look, back]| look < address && address <= back);
        ensure!(
            !behind_a_look || now.at_looks > self.at_looks,
            "the guest went on behind its look"
        );
        let in_user_mode = (TEXT..TEXT + FRAME_SIZE).contains(&address);
        ensure!(
            !in_user_mode || now.in_user_mode > self.in_user_mode,
            "user mode went on with an event pending"
        );
        Ok(())
    }
}

/// The guest `every_user`, with a page of user mode's.
pub fn prepare(system: &System) -> Result<Guest> {
    let mut prepared = Prepared::new(system, "every_user", MEMORY)?;
    let hpa = prepared.hpa;
    let table = |n: u64| TABLES + (n << 12);
    let [l1, l2, l3] = FREE.map(table);
    for (at, level, value) in [
        (l1, 1, hpa + FRAME | LEAF),
        (l2, 2, hpa + l1 | LINK),
        (l3, 3, hpa + l2 | LINK),
        (table(0), 4, hpa + l3 | LINK),
    ] {
        let index = TEXT >> (3 + 9 * level) & 511;
        let entry = at + index * 8;
        prepared.container.write_word(entry as usize, value);
    }
    let kinds = [TABLE_L1, TABLE_L2, TABLE_L3];
    let new = [l1, l2, l3].into_iter().zip(kinds);
    let mut tables: Vec<_> = new
        .map(|(at, kind)| BootTable {
            hpa: hpa + at,
            kind: (kind | TABLE_USER) as u32,
            reserved: 0,
        })
        .collect();
    tables.append(&mut prepared.tables);
    prepared.tables = tables;
    prepared.start(|_, _| {}).context("a guest with user mode")
}

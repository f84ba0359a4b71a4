// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which random numbers are whose, so that a change of one workload changes no other's.

pub const BTREE: u64 = 1;
pub const SPH: u64 = 2;
pub const XS_LOOKUP: u64 = 3;
pub const ANNEAL: u64 = 4;
pub const FP_GROWTH: u64 = 5;
pub const DEDUP: u64 = 6;
pub const SQLITE_BENCH: u64 = 7;
pub const KV_LOAD: u64 = 8;

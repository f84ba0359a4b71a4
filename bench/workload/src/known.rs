// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sums of seed 1, on every machine.

use cki_workload_names::{SEED, Size, Workload};

/// At the three sizes.
const KNOWN: &[(Workload, [u64; 3])] = &[
    (
        Workload::Btree,
        [
            0x59a7_9ba8_7c1b_0a05,
            0xb5a7_e083_0fc1_4852,
            0x730c_5fb3_1ba8_33fb,
        ],
    ),
    (
        Workload::Sph,
        [
            0x010c_426a_750d_2552,
            0x889c_3993_e65e_5a89,
            0xcff5_a627_a98b_5e83,
        ],
    ),
    (
        Workload::XsLookup,
        [
            0xa047_8cde_5977_2d8c,
            0x70d5_246b_31e4_f5e5,
            0xa7ec_148c_9160_65e5,
        ],
    ),
    (
        Workload::Anneal,
        [
            0x9ccd_53a1_3cf9_7d4d,
            0xc316_fe3d_d4ec_427e,
            0xc080_f331_45c9_a432,
        ],
    ),
    (
        Workload::Dedup,
        [
            0x094b_b14f_97e3_a11b,
            0x8a22_112b_17d4_1987,
            0x75dc_410d_4f8c_a855,
        ],
    ),
    (
        Workload::FpGrowth,
        [
            0x0d29_a650_a60a_c083,
            0xabb4_9653_1ecb_9704,
            0x540a_bd99_4119_61ea,
        ],
    ),
    (
        Workload::SqliteBench,
        [
            0x0b77_1000_138d_b58f,
            0xb00d_7021_989f_5a89,
            0x8d61_0a10_6d75_8ff7,
        ],
    ),
];

/// What the result of this workload has to sum up to, where that is known: for the seed that is taken when none is
/// named.
#[must_use]
pub fn sum(name: Workload, size: Size, seed: u64) -> Option<u64> {
    let (_, sums) = KNOWN.iter().find(|(known, _)| *known == name)?;
    (seed == SEED).then_some(sums[size as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn each_workload_has_its_sum_at_each_size() {
        for name in Workload::value_variants() {
            for &size in Size::value_variants() {
                assert!(sum(*name, size, SEED).is_some(), "{name:?} {size:?}");
                assert_eq!(sum(*name, size, SEED + 1), None);
            }
        }
    }
}

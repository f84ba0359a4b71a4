// SPDX-License-Identifier: MIT OR Apache-2.0

//! What others have published: the claims of the paper's artifact, and the numbers of its own logs (the folder `log` of
//! shijc-sjtu/cki-artifact: an EPYC 9654, everything in a virtual machine, means of five).

/// A row of a table of the artifact's logs, with the columns CKI, PVM and HVM. The two others had a root file system on
/// virtio-fs and pages of 4 KiB, CKI one in memory and pages of 1 GiB, so not all of the difference is CKI's.
pub type Row = (&'static str, [f64; 3]);

/// Seconds; what is ours for each is named first.
pub const FIG12: [Row; 6] = [
    ("btree", [4.604, 8.686, 15.351]),
    ("xsbench", [2.686, 2.723, 4.823]),
    ("canneal", [3.866, 4.294, 6.124]),
    ("dedup", [1.270, 2.240, 2.468]),
    ("fluidanimate", [1.050, 1.192, 4.012]),
    ("freqmine", [4.912, 5.078, 6.524]),
];

/// Microseconds a row.
pub const FIG14: [Row; 7] = [
    ("fillseq", [7.978, 10.612, 7.883]),
    ("fillseqbatch", [2.063, 2.665, 2.186]),
    ("fillrandom", [13.379, 17.528, 13.740]),
    ("fillrandbatch", [8.946, 11.782, 9.470]),
    ("overwritebatch", [8.986, 11.714, 9.284]),
    ("readseq", [0.620, 0.623, 0.653]),
    ("readrandom", [0.621, 0.635, 0.673]),
];

/// Thousands of requests a second of memcached, with 1, 6 and 12 clients.
pub const MEMCACHED: [Row; 3] = [
    ("1", [119.11, 85.00, 30.54]),
    ("6", [256.11, 101.00, 39.75]),
    ("12", [270.40, 129.28, 40.22]),
];

/// The same of Redis.
pub const REDIS: [Row; 3] = [
    ("1", [110.44, 94.11, 62.58]),
    ("6", [318.20, 190.10, 120.58]),
    ("12", [321.65, 252.71, 138.69]),
];

/// A column of a [`Row`] that CKI is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// Paging in software.
    Pvm = 1,
    /// A virtual machine in a virtual machine.
    HvmNested = 2,
}

/// The largest share of the other's time that CKI saves, and in which row.
#[must_use]
pub fn most_saved(rows: &[Row], other: Other) -> (&'static str, f64) {
    most(rows, |row| 1.0 - row[0] / row[other as usize])
}

/// The largest ratio of CKI's throughput to the other's.
#[must_use]
pub fn most_gained(rows: &[Row], other: Other) -> (&'static str, f64) {
    most(rows, |row| row[0] / row[other as usize])
}

fn most(rows: &[Row], of: impl Fn(&[f64; 3]) -> f64) -> (&'static str, f64) {
    let values = rows.iter().map(|(name, row)| (*name, of(row)));
    values
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .unwrap_or(("nothing", 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_is((name, value): (&str, f64), expected: (&str, f64)) {
        assert_eq!(name, expected.0);
        assert!((value - expected.1).abs() < 6e-4, "{value}");
    }

    #[test]
    fn the_largest_differences_are_those_of_the_logs() {
        assert_is(
            most_saved(&FIG12, Other::HvmNested),
            ("fluidanimate", 0.738),
        );
        assert_is(most_saved(&FIG12, Other::Pvm), ("btree", 0.470));
        assert_is(most_saved(&FIG14, Other::Pvm), ("fillseq", 0.248));
        let (clients, memcached) = most_gained(&MEMCACHED, Other::HvmNested);
        assert_eq!(clients, "12");
        assert!((6.7..6.8).contains(&memcached), "{memcached}");
        assert_is(most_gained(&REDIS, Other::HvmNested), ("6", 2.6389));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sqlite-bench`: SQLite writes rows and reads them, in order and at random, one by one and in batches.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::finding::{Finding, Wrong};
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// Rows that a transaction writes, of those that write several.
const BATCH: u64 = 1_000;
/// Bytes of a value. A key has 16: the digits of its number.
const VALUE: usize = 100;
/// Random bytes, of which values are parts.
const POOL: usize = 1 << 20;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Rows that each step writes or reads.
    pub entries: u64,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let entries = match size {
            Size::Tiny => 2_000,
            Size::Small => 100_000,
            Size::Paper => 1_000_000,
        };
        Self { entries }
    }
}

/// A step that writes.
struct Fill {
    name: &'static str,
    /// Whether keys come in their order.
    in_order: bool,
    /// Rows of a transaction.
    batch: u64,
    /// Whether the database is empty before it.
    fresh: bool,
}

/// In the order in which they run.
const FILLS: [Fill; 5] = [
    Fill {
        name: "fillseq",
        in_order: true,
        batch: 1,
        fresh: true,
    },
    Fill {
        name: "fillseqbatch",
        in_order: true,
        batch: BATCH,
        fresh: true,
    },
    Fill {
        name: "fillrandom",
        in_order: false,
        batch: 1,
        fresh: true,
    },
    Fill {
        name: "fillrandbatch",
        in_order: false,
        batch: BATCH,
        fresh: true,
    },
    Fill {
        name: "overwritebatch",
        in_order: false,
        batch: BATCH,
        fresh: false,
    },
];

/// What is in the database: for each key, where in the pool its value begins.
type Rows = Vec<Option<usize>>;

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an address has 64 bits")
}

fn key(number: u64) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

/// The key and the value's place in the pool of the next row that a step writes.
fn row(fill: &Fill, at: u64, entries: u64, random: &mut Random) -> (u64, usize) {
    let key = if fill.in_order {
        at
    } else {
        random.below(entries)
    };
    (key, index(random.below((POOL - VALUE) as u64)))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA cache_size = 4096;
         PRAGMA synchronous = OFF;
         PRAGMA journal_mode = WAL;
         PRAGMA wal_autocheckpoint = 4096;
         PRAGMA locking_mode = EXCLUSIVE;
         CREATE TABLE test (key BLOB, value BLOB, PRIMARY KEY (key)) WITHOUT ROWID;",
    )?;
    Ok(connection)
}

/// A database, and what has to be in it.
struct Bench {
    connection: Connection,
    /// Where its files are, which go with this.
    folder: Option<TempDir>,
    pool: Vec<u8>,
    rows: Rows,
    finding: Finding,
}

impl Bench {
    /// Does a step and takes its time.
    fn timed<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&mut Self) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        let begin = Instant::now();
        let result = step(self)?;
        self.finding
            .steps
            .push((name, begin.elapsed().as_secs_f64()));
        Ok(result)
    }

    fn fill(&mut self, fill: &Fill, entries: u64, random: &mut Random) -> Result<(), Wrong> {
        let mut insert = self
            .connection
            .prepare("REPLACE INTO test (key, value) VALUES (?1, ?2)")?;
        for at in 0..entries {
            let whole = fill.batch > 1;
            if whole && at % fill.batch == 0 {
                self.connection.execute_batch("BEGIN")?;
            }
            let (number, from) = row(fill, at, entries, random);
            insert.execute(params![key(number), &self.pool[from..from + VALUE]])?;
            self.rows[index(number)] = Some(from);
            if whole && (at % fill.batch == fill.batch - 1 || at == entries - 1) {
                self.connection.execute_batch("COMMIT")?;
            }
        }
        self.connection
            .execute_batch("PRAGMA wal_checkpoint(FULL)")?;
        Ok(())
    }

    /// Whether this is the value of a row.
    fn is(&self, number: u64, value: &[u8]) -> bool {
        let known = self.rows.get(index(number)).copied().flatten();
        known.is_some_and(|from| value == &self.pool[from..from + VALUE])
    }

    /// Reads all rows by their keys' order; none may be missing. The sum takes in what they are.
    fn scan(&mut self) -> Result<u64, Wrong> {
        let mut select = self
            .connection
            .prepare("SELECT key, value FROM test ORDER BY key")?;
        let mut found = select.query([])?;
        let mut missing = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.is_some());
        let (mut sum, mut rows) = (self.finding.sum, 0);
        while let Some(row) = found.next()? {
            let number = missing.next().map(|(number, _)| number as u64);
            let number = number.ok_or(Wrong::Result("a row was never written"))?;
            let value = row.get_ref(1)?.as_blob()?;
            if row.get_ref(0)?.as_blob()? != key(number) || !self.is(number, value) {
                return Err(Wrong::Result("a row is not what was written last"));
            }
            sum.add(number);
            value.chunks(8).for_each(|part| sum.add(word(part)));
            rows += 1;
        }
        if missing.next().is_some() {
            return Err(Wrong::Result("a row is missing"));
        }
        self.finding.sum = sum;
        Ok(rows)
    }

    /// Looks up as many random keys, which are there or not.
    fn look_up(&mut self, entries: u64, random: &mut Random) -> Result<u64, Wrong> {
        let mut select = self
            .connection
            .prepare("SELECT value FROM test WHERE key = ?1")?;
        let (mut sum, mut rows) = (self.finding.sum, 0);
        for _ in 0..entries {
            let number = random.below(entries);
            let mut found = select.query([key(number)])?;
            let Some(row) = found.next()? else {
                if self.rows[index(number)].is_some() {
                    return Err(Wrong::Result("a row was not found"));
                }
                continue;
            };
            let value = row.get_ref(0)?.as_blob()?;
            if !self.is(number, value) {
                return Err(Wrong::Result("a row is not what was written last"));
            }
            sum.add(word(&value[..8]));
            rows += 1;
        }
        self.finding.sum = sum;
        Ok(rows)
    }

    /// Does something within one transaction.
    fn within<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.connection.execute_batch("BEGIN")?;
        let result = work(self)?;
        self.connection.execute_batch("COMMIT")?;
        Ok(result)
    }
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rfold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn pool(random: &mut Random) -> Vec<u8> {
    let words = (0..POOL / 8).map(|_| random.number().to_le_bytes());
    words.flatten().collect()
}

/// Does all steps, in a database below the folder for temporary files. After each that writes, all rows are read and
/// compared with what has to be there, which is no part of the step's time; the sum is of all that is read.
///
/// # Errors
///
/// If a row is missing or another one, or SQLite says no.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let Parameters { entries } = parameters;
    let mut random = Random::new(seed, stream::SQLITE_BENCH);
    let mut bench = Bench {
        connection: Connection::open_in_memory()?,
        folder: None,
        pool: pool(&mut random),
        rows: Rows::new(),
        finding: Finding::default(),
    };
    for fill in &FILLS {
        if fill.fresh {
            bench.rows = vec![None; index(entries)];
            let folder = tempfile::tempdir().map_err(|error| Wrong::Failed(error.to_string()))?;
            // This closes the last one, whose files go then.
            bench.connection = open(&folder.path().join("rows.db"))?;
            bench.folder = Some(folder);
        }
        bench.timed(fill.name, |bench| bench.fill(fill, entries, &mut random))?;
        let rows = bench.scan()?;
        bench.finding.counts.push((fill.name, rows));
    }
    let rows = bench.timed("readseq", |bench| bench.within(Bench::scan))?;
    bench.finding.counts.push(("readseq", rows));
    let rows = bench.timed("readrandom", |bench| {
        bench.within(|bench| bench.look_up(entries, &mut random))
    })?;
    bench.finding.counts.push(("readrandom", rows));
    Ok(bench.finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum::Sum;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The same with a map in the database's place.
    fn naive(entries: u64, seed: u64) -> (Sum, Vec<u64>) {
        let mut random = Random::new(seed, stream::SQLITE_BENCH);
        let pool = pool(&mut random);
        let (mut sum, mut counts) = (Sum::new(), Vec::new());
        let mut map = BTreeMap::new();
        let scan = |map: &BTreeMap<u64, usize>, sum: &mut Sum| {
            for (&number, &from) in map {
                sum.add(number);
                let value = &pool[from..from + VALUE];
                value.chunks(8).for_each(|part| sum.add(word(part)));
            }
            map.len() as u64
        };
        for fill in &FILLS {
            if fill.fresh {
                map.clear();
            }
            for at in 0..entries {
                let (number, from) = row(fill, at, entries, &mut random);
                map.insert(number, from);
            }
            counts.push(scan(&map, &mut sum));
        }
        counts.push(scan(&map, &mut sum));
        let mut found = 0;
        for _ in 0..entries {
            if let Some(&from) = map.get(&random.below(entries)) {
                sum.add(word(&pool[from..from + 8]));
                found += 1;
            }
        }
        counts.push(found);
        (sum, counts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_database_has_what_a_map_has(entries in 1_u64..2_500, seed: u64) {
            let finding = run(Parameters { entries }, seed).expect("nothing is wrong");
            let (sum, counts) = naive(entries, seed);
            prop_assert_eq!(finding.sum, sum);
            let found: Vec<u64> = finding.counts.iter().map(|(_, count)| *count).collect();
            prop_assert_eq!(found, counts);
        }
    }

    fn filled() -> Bench {
        let mut bench = Bench {
            connection: open(Path::new(":memory:")).expect("a database"),
            folder: None,
            pool: pool(&mut Random::new(1, 0)),
            rows: vec![None; 50],
            finding: Finding::default(),
        };
        let filled = bench.fill(&FILLS[0], 50, &mut Random::new(1, 0));
        filled.expect("rows are written");
        bench.scan().expect("they are there");
        bench
    }

    #[test]
    fn each_change_of_the_database_is_noticed() {
        for change in [
            "DELETE FROM test WHERE key = (SELECT max(key) FROM test)",
            "DELETE FROM test WHERE key = (SELECT min(key) FROM test)",
            "UPDATE test SET value = zeroblob(100) WHERE key = (SELECT max(key) FROM test)",
            "INSERT INTO test (key, value) VALUES (CAST('0000000000000050' AS BLOB), zeroblob(100))",
        ] {
            let mut bench = filled();
            bench.connection.execute_batch(change).expect("changed");
            assert!(bench.scan().is_err(), "{change}");
        }
        let mut bench = filled();
        bench
            .connection
            .execute_batch("DELETE FROM test")
            .expect("changed");
        assert!(bench.look_up(50, &mut Random::new(1, 0)).is_err());
    }

    #[test]
    fn each_step_has_its_time() {
        let finding = run(Parameters { entries: 10 }, 1).expect("nothing is wrong");
        let steps: Vec<_> = finding.steps.iter().map(|(name, _)| *name).collect();
        let counts: Vec<_> = finding.counts.iter().map(|(name, _)| *name).collect();
        assert_eq!(steps, counts);
        assert!(finding.steps.iter().all(|(_, seconds)| *seconds > 0.0));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program that writes versions of blocks to a disk and syncs them (`tests/programs/journal.pl`), and whether
//! what it was promised is there.

/// The program, in Perl.
pub const PROGRAM: &str = include_str!("../programs/journal.pl");
/// Bytes of a block.
const BLOCK: usize = 4096;
/// Bytes from one block to the next.
const DISTANCE: usize = 64 << 10;
/// The first, which says what is safe, and those with versions.
const BLOCKS: usize = 64;
/// The most blocks, one after the other, that are written at once.
const TOGETHER: u64 = 4;
/// Bytes of a disk that has room for all of them.
pub const DISK: usize = BLOCKS * DISTANCE;

/// What the program has said.
#[derive(Debug, Default)]
pub struct Journal {
    /// Blocks and the versions that were written to them, in order.
    written: Vec<(u64, u64)>,
    /// The last version of which it heard that it is safe.
    pub synced: u64,
}

impl Journal {
    /// Hears a line of the program's output.
    ///
    /// # Panics
    /// When it is none of its lines.
    pub fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |word: &str| word.parse().expect("a number");
        match words[..] {
            ["w", block, version] => self.written.push((number(block), number(version))),
            ["s", version] => self.synced = number(version),
            _ => panic!("{line:?} is no line of the program's"),
        }
    }

    /// The first block of `disk` that is older than was promised when `safe` was, or was never written so. The
    /// program may have written more than it was heard of: later versions, and further blocks of the last one.
    #[must_use]
    pub fn lost(&self, disk: &[u8], safe: u64) -> Option<String> {
        (1..BLOCKS as u64).find_map(|block| {
            let versions = self.written.iter().filter(|(of, _)| *of == block);
            let versions: Vec<u64> = versions.map(|(_, version)| *version).collect();
            let last = self.last();
            let least = versions.iter().rfind(|version| **version <= safe);
            let least = least.copied().unwrap_or(0);
            match contents(disk, block) {
                None => Some(format!("block {block} is torn")),
                Some(0) if least == 0 => None,
                Some(found) if found >= least && versions.contains(&found) => None,
                Some(found) if found > last => None,
                Some(found) if found == last && self.may_go_on_to(block) => None,
                Some(found) => Some(format!(
                    "block {block} has version {found}; version {least} was safe"
                )),
            }
        })
    }

    /// Whether `block` may be written together with the last that was heard of.
    fn may_go_on_to(&self, block: u64) -> bool {
        let last = self.written.last().map_or(0, |(block, _)| *block);
        (last + 1..last + TOGETHER).contains(&block)
    }

    fn last(&self) -> u64 {
        self.written.last().map_or(0, |(_, version)| *version)
    }

    /// Whether every block has its last version.
    #[must_use]
    pub fn is_complete(&self, disk: &[u8]) -> bool {
        let last = self.last();
        self.lost(disk, last).is_none() && safe(disk) == Some(last)
    }
}

/// What the first block of `disk` says is safe.
#[must_use]
pub fn safe(disk: &[u8]) -> Option<u64> {
    contents(disk, 0)
}

/// The version of a block, 0 if it was never written; `None` if it is not whole.
fn contents(disk: &[u8], block: u64) -> Option<u64> {
    let start = block as usize * DISTANCE;
    let bytes = &disk[start..start + BLOCK];
    let version = &bytes[8..16];
    let number = u64::from_le_bytes(version.try_into().expect("8 bytes"));
    let unit = [&block.to_le_bytes()[..], version].concat();
    match number {
        0 => bytes.iter().all(|&byte| byte == 0).then_some(0),
        _ => bytes
            .chunks(16)
            .all(|chunk| chunk == unit)
            .then_some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(disk: &mut [u8], block: u64, version: u64) {
        let unit = [block.to_le_bytes(), version.to_le_bytes()].concat();
        let start = block as usize * DISTANCE;
        disk[start..start + BLOCK].copy_from_slice(&unit.repeat(256));
    }

    #[test]
    fn what_was_promised_is_looked_for() {
        let mut journal = Journal::default();
        for line in ["w 1 1", "w 2 2", "s 2", "w 1 3"] {
            journal.hear(line);
        }
        let mut disk = vec![0; DISK];
        assert_eq!(journal.lost(&disk, 0), None);
        assert!(journal.lost(&disk, 1).unwrap().contains("block 1"));
        put(&mut disk, 1, 3);
        assert_eq!(journal.lost(&disk, 1), None);
        assert!(journal.lost(&disk, 2).unwrap().contains("block 2"));
        put(&mut disk, 2, 2);
        assert_eq!((journal.lost(&disk, 3), safe(&disk)), (None, Some(0)));
        assert!(!journal.is_complete(&disk));
        put(&mut disk, 0, 3);
        assert!(journal.is_complete(&disk));
        // A version that is another block's, and half of one.
        put(&mut disk, 2, 1);
        assert!(journal.lost(&disk, 0).unwrap().contains("version 1"));
        put(&mut disk, 2, 4);
        assert_eq!(journal.lost(&disk, 2), None);
        put(&mut disk, 2, 2);
        disk[2 * DISTANCE + 2048] = 9;
        assert!(journal.lost(&disk, 0).unwrap().contains("torn"));
    }

    #[test]
    fn blocks_written_at_once_may_be_there_before_all_of_them_were_heard_of() {
        let mut journal = Journal::default();
        for line in ["w 9 1", "s 1", "w 30 2"] {
            journal.hear(line);
        }
        let at_once = |last| {
            let mut disk = vec![0; DISK];
            put(&mut disk, 9, 1);
            (30..=last).for_each(|block| put(&mut disk, block, 2));
            disk
        };
        assert_eq!(journal.lost(&at_once(33), 1), None);
        assert!(journal.lost(&at_once(34), 1).unwrap().contains("block 34"));
        // Nothing comes before the first of them.
        let mut disk = at_once(33);
        put(&mut disk, 29, 2);
        assert!(journal.lost(&disk, 1).unwrap().contains("block 29"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The search for WRPKRS in a page of text (I6); across pages, [`crate::edges`].

use core::ops::Range;

use cki_abi::isa::WRPKRS;

use crate::memory::WORDS;

const LENGTH: usize = WRPKRS.len();
/// Byte `at` of words.
pub(crate) fn byte_of(words: impl Fn(usize) -> u64, at: usize) -> u8 {
    (words(at / 8) >> (at % 8 * 8)) as u8
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not 0 if a byte of the word is 0: the classic test. Above the lowest such byte the bits may be wrong.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Byte `index` of the sequence, eight times. (So the sequence itself is no operand in the monitor's own
/// text, which guests can jump into. The build of the monitor counts.)
const fn repeated(index: usize) -> u64 {
    WRPKRS[index] as u64 * LOW
}

/// Whether a sequence could end in this word of a page. For most words it cannot.
pub(crate) const fn may_end_in(word: u64) -> bool {
    zero_bytes(word ^ repeated(LENGTH - 1)) != 0
}

/// Words of a page that are looked at together.
const GROUP: usize = 8;
/// What things take, in units of some 16 instructions: to look for the last byte in a group; to look for
/// the sequence there; edges and bookkeeping of a page.
const GLANCE: u32 = 5;
const CLOSE_LOOK: u32 = 11;
const PAGE: u32 = 44;
/// What a page takes without the sequence's last byte, as most are.
const USUAL: u32 = (WORDS / GROUP) as u32 * GLANCE + PAGE;
/// What a call may take.
const CALL: u32 = 3 * USUAL;
const _: () = {
    let worst = (WORDS / GROUP) as u32 * (GLANCE + CLOSE_LOOK) + PAGE;
    assert!(worst <= CALL, "a call can look at any page");
};

/// How much looking is left for a call (I9).
#[derive(Clone, Copy, Debug)]
pub struct Effort(u32);

impl Effort {
    /// As much as a call may take: any page, or several of those that programs are made of.
    #[must_use]
    pub const fn of_a_call() -> Self {
        Effort(CALL)
    }

    fn spend(&mut self, effort: u32) -> bool {
        match self.0.checked_sub(effort) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

/// What a page contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Not the sequence.
    Nothing,
    /// The sequence.
    Sequence,
    /// Nobody knows: there was not enough effort left to look everywhere.
    NotEnoughEffort,
}

/// Looks for the sequence in whole in a page, given as its words.
#[must_use]
pub fn search_page(word: impl Fn(usize) -> u64, effort: &mut Effort) -> Found {
    if !effort.spend(PAGE) {
        return Found::NotEnoughEffort;
    }
    let mut previous = 0;
    for first in (0..WORDS).step_by(GROUP) {
        if !effort.spend(GLANCE) {
            return Found::NotEnoughEffort;
        }
        let words: [u64; GROUP] = core::array::from_fn(|i| word(first + i));
        let ends = words.iter().fold(0, |ends, word| {
            ends | zero_bytes(word ^ repeated(LENGTH - 1))
        });
        if ends != 0 {
            if !effort.spend(CLOSE_LOOK) {
                return Found::NotEnoughEffort;
            }
            if group_contains(previous, &words) {
                return Found::Sequence;
            }
        }
        previous = words[GROUP - 1];
    }
    Found::Nothing
}

/// Whether a sequence ends in one of the words, which follow `previous`.
#[cold]
fn group_contains(mut previous: u64, words: &[u64; GROUP]) -> bool {
    let [first, second, third, last] = core::array::from_fn(repeated);
    let mut found = 0;
    for &current in words {
        let before = |bytes: u32| current << (8 * bytes) | previous >> (64 - 8 * bytes);
        // A byte of it is 0 where all four are what they have to be.
        let difference =
            current ^ last | before(1) ^ third | before(2) ^ second | before(3) ^ first;
        found |= zero_bytes(difference);
        previous = current;
    }
    found != 0
}

/// 0x80 in each byte of `word` that is `byte`, exactly.
const fn equal_bytes(word: u64, repeated: u64) -> u64 {
    let difference = word ^ repeated;
    !(((difference & !HIGH) + !HIGH) | difference) & HIGH
}

/// Whether the sequence could be read so that it ends in one of the words `range` of a page, each byte
/// of which is that of `old` or that of `new`.
#[must_use]
pub fn may_spell(
    range: Range<usize>,
    old: impl Fn(usize) -> u64,
    new: impl Fn(usize) -> u64,
) -> bool {
    let pattern: [u64; LENGTH] = core::array::from_fn(repeated);
    let matches = |index: usize| {
        let (old, new) = (old(index), new(index));
        pattern.map(|byte| equal_bytes(old, byte) | equal_bytes(new, byte))
    };
    let mut previous = match range.start.checked_sub(1) {
        Some(index) => matches(index),
        None => [0; LENGTH],
    };
    for index in range {
        let current = matches(index);
        let before = |byte: usize, bytes: u32| {
            current[byte] << (8 * bytes) | previous[byte] >> (64 - 8 * bytes)
        };
        if current[3] & before(2, 1) & before(1, 2) & before(0, 3) != 0 {
            return true;
        }
        previous = current;
    }
    false
}

#[cfg(test)]
mod tests {
    const BYTES: usize = cki_abi::limits::FRAME_SIZE as usize;

    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Bytes of the sequence and near ones, so that it comes up.
    fn byte() -> impl Strategy<Value = u8> {
        let near = [0x0e, 0x8f, 0xb8, 0xeb, 0x5a, 0xdb, 0, 0x80];
        prop_oneof![
            3 => prop::sample::select(WRPKRS.to_vec()),
            1 => prop::sample::select(near.to_vec()),
        ]
    }

    fn page(at: usize, bytes: &[u8], filler: u8) -> [u8; BYTES] {
        let mut page = [filler; BYTES];
        let end = (at + bytes.len()).min(BYTES);
        page[at..end].copy_from_slice(&bytes[..end - at]);
        page
    }

    fn words(page: &[u8; BYTES]) -> impl Fn(usize) -> u64 + '_ {
        |index| u64::from_le_bytes(core::array::from_fn(|i| page[index * 8 + i]))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn words_find_what_bytes_find(at in 0..BYTES, bytes in vec(byte(), 1..48), filler in byte()) {
            let page = page(at, &bytes, filler);
            let expected = page.windows(LENGTH).any(|window| window == WRPKRS);
            let mut effort = Effort::of_a_call();
            let found = search_page(words(&page), &mut effort);
            prop_assert_eq!(found == Found::Sequence, expected);
            prop_assert_ne!(found, Found::NotEnoughEffort, "a call can look at any page");
        }

        #[test]
        fn a_mix_is_found_as_byte_by_byte(
            at in 0..BYTES,
            old in vec(byte(), 1..20),
            new in vec(byte(), 1..20),
            first in 0..WORDS,
            count in 1..8usize,
        ) {
            let (old, new) = (page(at, &old, 0x90), page(at, &new, 0x90));
            let range = first..(first + count).min(WORDS);
            let expected = (range.start * 8..range.end * 8).any(|end| {
                end >= LENGTH - 1
                    && (0..LENGTH).all(|i| {
                        let at = end + 1 - LENGTH + i;
                        old[at] == WRPKRS[i] || new[at] == WRPKRS[i]
                    })
            });
            prop_assert_eq!(may_spell(range, words(&old), words(&new)), expected);
        }
    }
}

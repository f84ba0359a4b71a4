// SPDX-License-Identifier: MIT OR Apache-2.0

//! `dedup`: a stream is cut into chunks by its contents, and what was there before is stored only once.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};

use crate::finding::{Finding, Wrong};
use crate::map::Map;
use crate::random::Random;
use crate::stream;
use cki_workload_names::Size;

/// How many bytes decide whether the stream is cut behind them.
const WINDOW: usize = 48;
/// Of 2^12 places, one is a cut.
const CUT_BITS: u32 = 12;
/// Bytes that a chunk has at least, unless it is the last.
const LEAST: usize = 1_024;
/// Bytes that a chunk has at most.
const MOST: usize = 16_384;
/// Any odd number whose bits are in no order: here the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Words that text consists of.
const WORDS: u64 = 512;

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Bytes of the stream.
    pub bytes: usize,
}

impl Parameters {
    /// Those of a size.
    #[must_use]
    pub const fn of(size: Size) -> Self {
        let mib = match size {
            Size::Tiny => 1,
            Size::Small => 8,
            Size::Paper => 31,
        };
        Self { bytes: mib << 20 }
    }
}

/// What is kept of a stream.
#[derive(Debug, Default)]
struct Archive {
    /// Each chunk that is not the same as one before, compressed; with the place of its first byte.
    stored: Vec<(usize, Vec<u8>)>,
    /// For each chunk of the stream, how long it is and which of those it is.
    chunks: Vec<(usize, usize)>,
    sum: crate::sum::Sum,
}

/// A stream of pieces: a quarter is text, a quarter is random, and half was there before.
fn input(bytes: usize, random: &mut Random) -> Vec<u8> {
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(random)).collect();
    let mut all = Vec::with_capacity(bytes);
    while all.len() < bytes {
        let length = index(1_000 + random.below(30_000)).min(bytes - all.len());
        let end = all.len() + length;
        match random.below(4) {
            0 => {
                while all.len() < end {
                    all.extend(&words[index(random.below(WORDS))]);
                }
            }
            1 => {
                while all.len() < end {
                    all.extend(random.number().to_le_bytes());
                }
            }
            _ if !all.is_empty() => {
                let from = index(random.below(all.len() as u64));
                let to = all.len().min(from + length);
                all.extend_from_within(from..to);
            }
            _ => {}
        }
        all.truncate(end);
    }
    all
}

/// Letters with a space behind them.
fn word(random: &mut Random) -> Vec<u8> {
    let letters = 2 + random.below(8);
    let letter = |_| b'a' + u8::try_from(random.below(26)).expect("there are 26");
    (0..letters).map(letter).chain([b' ']).collect()
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an address has 64 bits")
}

/// What a byte counts; 0 counts, too.
fn weight(byte: u8) -> u64 {
    u64::from(byte) + 1
}

/// Whether the stream may be cut behind the bytes with this fingerprint.
const fn is_cut(fingerprint: u64) -> bool {
    fingerprint >> (u64::BITS - CUT_BITS) == 0
}

/// Where chunks end. The fingerprint of the last [`WINDOW`] bytes is that of Karp and Rabin: the next byte comes in,
/// and the one that is now too far away goes out.
fn ends(stream: &[u8]) -> Vec<usize> {
    // What a byte counts after a whole window.
    let outgoing = FACTOR.wrapping_pow(u32::try_from(WINDOW).expect("small"));
    let mut ends = Vec::new();
    let (mut begin, mut fingerprint) = (0, 0_u64);
    for (at, &byte) in stream.iter().enumerate() {
        fingerprint = fingerprint.wrapping_mul(FACTOR).wrapping_add(weight(byte));
        if let Some(last) = at.checked_sub(WINDOW) {
            let gone = weight(stream[last]).wrapping_mul(outgoing);
            fingerprint = fingerprint.wrapping_sub(gone);
        }
        let length = at + 1 - begin;
        if length == MOST || (length >= LEAST && is_cut(fingerprint)) {
            ends.push(at + 1);
            begin = at + 1;
        }
    }
    if begin < stream.len() {
        ends.push(stream.len());
    }
    ends
}

fn compress(chunk: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(chunk)?;
    encoder.finish()
}

/// Cuts, hashes, compresses what is new.
fn pack(stream: &[u8]) -> io::Result<Archive> {
    let mut archive = Archive::default();
    let mut known = Map::<[u8; 32], usize>::default();
    let mut begin = 0;
    for end in ends(stream) {
        let chunk = &stream[begin..end];
        let digest: [u8; 32] = Sha256::digest(chunk).into();
        let next = archive.stored.len();
        let which = *known.entry(digest).or_insert(next);
        if which == next {
            archive.stored.push((begin, compress(chunk)?));
        }
        archive.chunks.push((chunk.len(), which));
        archive.sum.add(chunk.len() as u64);
        archive.sum.add(which as u64);
        let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
        archive.sum.add(u64::from_be_bytes(first));
        begin = end;
    }
    Ok(archive)
}

/// Whether the stream comes out of the archive again.
fn check(archive: &Archive, stream: &[u8]) -> Result<(), Wrong> {
    let mut begin = 0;
    for &(length, which) in &archive.chunks {
        let (first, compressed) = &archive.stored[which];
        let chunk = stream.get(begin..begin + length);
        let same = if begin == *first {
            let mut unpacked = Vec::with_capacity(length);
            let read = DeflateDecoder::new(&compressed[..]).read_to_end(&mut unpacked);
            read.is_ok() && chunk == Some(&unpacked)
        } else {
            chunk.is_some() && chunk == stream.get(*first..*first + length)
        };
        if !same {
            return Err(Wrong::Result("a chunk is not what was in the stream"));
        }
        begin += length;
    }
    if begin != stream.len() {
        return Err(Wrong::Result("the chunks are not the whole stream"));
    }
    Ok(())
}

/// Packs a stream, and looks whether it can be unpacked; the sum is of all chunks, by length, digest and which of the
/// stored ones it is.
///
/// # Errors
///
/// If the stream does not come out again.
pub fn run(parameters: Parameters, seed: u64) -> Result<Finding, Wrong> {
    let stream = input(parameters.bytes, &mut Random::new(seed, stream::DEDUP));
    let archive = pack(&stream).map_err(|error| Wrong::Failed(error.to_string()))?;
    check(&archive, &stream)?;
    let compressed: usize = archive.stored.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Finding {
        counts: vec![
            ("bytes", stream.len() as u64),
            ("chunks", archive.chunks.len() as u64),
            ("stored chunks", archive.stored.len() as u64),
            ("stored bytes", compressed as u64),
        ],
        sum: archive.sum,
        ..Finding::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same with a fingerprint of each window by itself, and without hashes: chunks are compared.
    fn naive(stream: &[u8]) -> Vec<(usize, usize)> {
        let mut chunks = Vec::new();
        let mut stored: Vec<&[u8]> = Vec::new();
        let mut begin = 0;
        for end in 1..=stream.len() {
            let window = &stream[end.saturating_sub(WINDOW)..end];
            let fingerprint = window.iter().fold(0_u64, |sum, &byte| {
                sum.wrapping_mul(FACTOR).wrapping_add(weight(byte))
            });
            let length = end - begin;
            let cut = length >= LEAST && is_cut(fingerprint);
            if cut || length == MOST || end == stream.len() {
                let chunk = &stream[begin..end];
                let which = stored.iter().position(|other| *other == chunk);
                chunks.push((length, which.unwrap_or(stored.len())));
                if which.is_none() {
                    stored.push(chunk);
                }
                begin = end;
            }
        }
        chunks
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn chunks_are_those_that_a_comparison_of_bytes_finds(bytes in 0_usize..200_000, seed: u64) {
            let stream = input(bytes, &mut Random::new(seed, 0));
            prop_assert_eq!(stream.len(), bytes);
            let archive = pack(&stream).expect("packed");
            prop_assert_eq!(check(&archive, &stream), Ok(()));
            prop_assert_eq!(archive.chunks, naive(&stream));
        }
    }

    #[test]
    fn a_byte_more_changes_the_chunks_around_it_only() {
        let mut stream = input(500_000, &mut Random::new(1, 0));
        let before = pack(&stream).expect("packed").chunks.len();
        let copy = stream.clone();
        stream.push(7);
        stream.extend(copy);
        let archive = pack(&stream).expect("packed");
        assert!(
            archive.stored.len() < before + 5,
            "{} {before}",
            archive.stored.len()
        );
    }

    #[test]
    fn half_of_the_stream_was_there_before_and_text_gets_smaller() {
        let finding = run(Parameters::of(Size::Tiny), 1).expect("nothing is wrong");
        let [bytes, chunks, stored, compressed] =
            [0, 1, 2, 3].map(|at: usize| finding.counts[at].1);
        assert!(stored < chunks * 3 / 4, "{finding:?}");
        assert!(compressed < bytes * 2 / 3, "{finding:?}");
    }

    #[test]
    fn an_archive_of_something_else_is_noticed() {
        let stream = input(100_000, &mut Random::new(1, 0));
        let mut other = stream.clone();
        other[50_000] ^= 1;
        let mut archive = pack(&stream).expect("packed");
        assert!(check(&archive, &other).is_err());
        assert!(check(&archive, &stream[..99_999]).is_err());
        archive.chunks.pop();
        assert!(check(&archive, &stream).is_err());
    }
}

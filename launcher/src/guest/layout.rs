// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where in the container's memory everything is, and which class each frame has.
//!
//! ```text
//! lowest segment with room     image (Exec, Pt, Ro where its notes say, else Data)
//! next room, 2 MiB aligned     frames for tables (Pt): boot tables first, the rest is the guest's
//! highest segment with room    initial ramdisk (Data), at the end
//! everything else              Data
//! ```
//!
//! # How much Pt
//!
//! Classes are fixed while memory is delegated, so these frames are set aside here: one 16th of the memory
//! up to 4 GiB and one 32nd of what exceeds it, at least 4 MiB, rounded up to 2 MiB. A small process
//! needs about a dozen tables (48 KiB), one that touches all memory once 1/512 of it, so the 16 MiB of a
//! 256 MiB container serve some 340 small processes. `--page-tables` overrides it.

use cki_abi::class::{CLASS_DATA, CLASS_EXEC, CLASS_PT, CLASS_RO};
use cki_abi::limits::{FRAME_SIZE, PT_FRAMES_MAX};
use cki_abi::start_info::{ClassRange, Segment};

use super::kernel::{Kernel, Range};
use super::{CHUNK, FRAME};

/// Least bytes of page tables.
const PAGE_TABLES_MIN: u64 = 4 << 20;
/// Up to here a 16th.
const PAGE_TABLES_KNEE: u64 = 4 << 30;
/// Most bytes of them. What is set aside beyond is nobody's.
const PAGE_TABLES_MAX: u64 = PT_FRAMES_MAX * FRAME_SIZE;
/// Memory that a guest needs besides what is loaded, to say how much would do.
const WORKING_MIN: u64 = 16 << 20;

/// The container's memory is too small.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Altogether.
    #[error(
        "{} MiB of memory are too little: kernel, initial ramdisk and page tables take {} MiB; try {} MiB",
        .memory >> 20, .loaded.div_ceil(1 << 20), .suggested >> 20
    )]
    TooSmall {
        /// Bytes there are.
        memory: u64,
        /// Bytes that are loaded or set aside.
        loaded: u64,
        /// Bytes to try.
        suggested: u64,
    },
    /// In pieces that are too small.
    #[error(
        "the host's memory pool is fragmented: no piece of it holds the {what} of {} MiB",
        .size.div_ceil(1 << 20)
    )]
    Fragmented {
        /// What does not fit.
        what: &'static str,
        /// Bytes of it.
        size: u64,
    },
    /// The page tables are no multiple of 2 MiB, or nothing.
    #[error("page tables take a multiple of 2 MiB, at least 2 MiB")]
    PageTables,
}

/// A range of the container's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Host-physical address.
    pub hpa: u64,
    /// Bytes.
    pub size: u64,
}

/// The whole layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The memory, ascending.
    pub segments: Vec<Segment>,
    /// Frames that are not Data, ascending and disjoint.
    pub classes: Vec<ClassRange>,
    /// The loaded image.
    pub image: Extent,
    /// What to add to a link-time physical address to get its hpa; wraps.
    pub phys_base: u64,
    /// Frames for page tables; the boot tables are at the start.
    pub page_tables: Extent,
    /// The initial ramdisk.
    pub initrd: Option<Extent>,
}

/// Bytes of the page tables of a container of `memory` bytes, if nobody says how many.
#[must_use]
pub fn default_page_tables(memory: u64) -> u64 {
    let size = memory.min(PAGE_TABLES_KNEE) / 16 + memory.saturating_sub(PAGE_TABLES_KNEE) / 32;
    let size = size.max(PAGE_TABLES_MIN).next_multiple_of(CHUNK);
    size.min(PAGE_TABLES_MAX)
}

/// Free ranges, at most one a segment: taken from both ends.
struct Free(Vec<Range>);

impl Free {
    /// Takes from the low end of the first range with room: `size` bytes at an address congruent to
    /// `phase` modulo 2 MiB.
    fn low(&mut self, size: u64, phase: u64) -> Option<u64> {
        for range in &mut self.0 {
            let Some(at) = range
                .start
                .checked_next_multiple_of(CHUNK)
                .and_then(|at| at.checked_add(phase))
            else {
                continue;
            };
            if at <= range.end && range.end - at >= size {
                range.start = at + size;
                return Some(at);
            }
        }
        None
    }

    /// Takes whole frames from the high end of the last range with room.
    fn high(&mut self, size: u64) -> Option<u64> {
        let size = size.checked_next_multiple_of(FRAME)?;
        let range = self
            .0
            .iter_mut()
            .rev()
            .find(|range| range.end - range.start >= size)?;
        range.end -= size;
        // The low end may be inside of a frame's chunk, but is frame-aligned like all sizes here.
        Some(range.end)
    }
}

impl Layout {
    /// Places a kernel and an initial ramdisk of `initrd` bytes (0: none) in `segments`, with
    /// `page_tables` bytes for page tables.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn plan(
        segments: &[Segment],
        kernel: &Kernel,
        initrd: u64,
        page_tables: u64,
    ) -> Result<Layout, LayoutError> {
        if page_tables == 0 || page_tables % CHUNK != 0 {
            return Err(LayoutError::PageTables);
        }
        let memory: u64 = segments.iter().map(|segment| segment.size).sum();
        let loaded = [kernel.image.size(), page_tables, initrd]
            .into_iter()
            .filter_map(|size| size.checked_next_multiple_of(CHUNK))
            .fold(0, u64::saturating_add);
        let fail = |what, size| {
            if loaded > memory {
                let suggested = loaded
                    .saturating_add(WORKING_MIN)
                    .checked_next_power_of_two()
                    .unwrap_or(u64::MAX);
                LayoutError::TooSmall {
                    memory,
                    loaded,
                    suggested,
                }
            } else {
                LayoutError::Fragmented { what, size }
            }
        };
        let mut free = Free(
            segments
                .iter()
                .map(|segment| Range {
                    start: segment.base,
                    end: segment.base + segment.size,
                })
                .collect(),
        );
        let image = Extent {
            size: kernel.image.size(),
            hpa: free
                .low(kernel.image.size(), kernel.image.start % CHUNK)
                .ok_or_else(|| fail("kernel", kernel.image.size()))?,
        };
        let page_tables = Extent {
            hpa: free
                .low(page_tables, 0)
                .ok_or_else(|| fail("page tables", page_tables))?,
            size: page_tables,
        };
        let initrd = match initrd {
            0 => None,
            size => Some(Extent {
                hpa: free
                    .high(size)
                    .ok_or_else(|| fail("initial ramdisk", size))?,
                size,
            }),
        };
        let phys_base = image.hpa.wrapping_sub(kernel.image.start);
        let mut classes: Vec<ClassRange> = [
            (&kernel.exec, CLASS_EXEC),
            (&kernel.pt, CLASS_PT),
            (&kernel.ro, CLASS_RO),
        ]
        .into_iter()
        .flat_map(|(ranges, class)| {
            ranges.iter().map(move |range| ClassRange {
                base: range.start.wrapping_add(phys_base),
                size: range.size(),
                class: class as u32,
                reserved: 0,
            })
        })
        .collect();
        classes.push(ClassRange {
            base: page_tables.hpa,
            size: page_tables.size,
            class: CLASS_PT as u32,
            reserved: 0,
        });
        classes.sort_unstable_by_key(|range| range.base);
        Ok(Layout {
            segments: segments.to_vec(),
            classes,
            image,
            phys_base,
            page_tables,
            initrd,
        })
    }

    /// The class of all frames that `size` bytes (at least 1) from `hpa` on touch; `None` if they
    /// differ. The range lies in a segment.
    #[must_use]
    pub fn class_of(&self, hpa: u64, size: u64) -> Option<u64> {
        let end = hpa + size;
        let mut class = CLASS_DATA;
        for range in &self.classes {
            let range_end = range.base + range.size;
            if range.base >= end || range_end <= hpa {
                continue;
            }
            if range.base <= hpa && end <= range_end {
                return Some(u64::from(range.class));
            }
            class = 0;
        }
        (class == CLASS_DATA).then_some(class)
    }

    /// The Data frames, ascending, with their offsets in the container's mmap: what stays reachable
    /// after the start.
    #[must_use]
    pub fn data(&self) -> Vec<(Extent, u64)> {
        let mut data = Vec::new();
        let mut offset = 0;
        for segment in &self.segments {
            let end = segment.base + segment.size;
            let mut at = segment.base;
            let inside = self
                .classes
                .iter()
                .filter(|range| range.base >= segment.base && range.base < end)
                .map(|range| (range.base, range.base + range.size));
            for (start, next) in inside.chain([(end, end)]) {
                if start > at {
                    let place = Extent {
                        hpa: at,
                        size: start - at,
                    };
                    data.push((place, offset + (at - segment.base)));
                }
                at = next;
            }
            offset += segment.size;
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::kernel::tests::linux_like;

    const MIB: u64 = 1 << 20;

    fn segments(list: &[(u64, u64)]) -> Vec<Segment> {
        list.iter()
            .map(|&(base, size)| Segment {
                base: base * MIB,
                size: size * MIB,
            })
            .collect()
    }

    #[test]
    fn the_page_tables_grow_with_memory_and_are_whole_chunks() {
        assert_eq!(default_page_tables(32 * MIB), 4 * MIB);
        assert_eq!(default_page_tables(256 * MIB), 16 * MIB);
        assert_eq!(default_page_tables(300 * MIB), 20 * MIB);
        assert_eq!(default_page_tables(4096 * MIB), 256 * MIB);
        assert_eq!(default_page_tables(8192 * MIB), 384 * MIB);
        assert_eq!(default_page_tables(12_288 * MIB), 512 * MIB);
        assert_eq!(default_page_tables(262_144 * MIB), 512 * MIB);
    }

    #[test]
    fn image_tables_and_ramdisk_have_places_of_their_own() {
        let kernel = linux_like();
        let memory = segments(&[(0x400, 64)]);
        let layout = Layout::plan(&memory, &kernel, 5000, 4 * MIB).unwrap();
        assert_eq!(layout.image.hpa, 0x400 * MIB);
        assert_eq!(
            layout.phys_base,
            (0x400 * MIB).wrapping_sub(kernel.image.start)
        );
        assert!(layout.page_tables.hpa >= layout.image.hpa + layout.image.size);
        assert_eq!(layout.page_tables.hpa % CHUNK, 0);
        let initrd = layout.initrd.unwrap();
        assert_eq!(initrd.hpa, 0x400 * MIB + 64 * MIB - 8192);
        assert_eq!(initrd.size, 5000);
        let mut end = 0;
        for range in &layout.classes {
            assert!(range.base >= end, "ascending and disjoint");
            end = range.base + range.size;
        }
    }

    #[test]
    fn data_and_classes_together_are_all_memory_with_the_offsets_of_the_mapping() {
        let kernel = linux_like();
        let memory = segments(&[(0x400, 16), (0x800, 32), (0xa00, 2)]);
        let layout = Layout::plan(&memory, &kernel, 4096, 4 * MIB).unwrap();
        let data: u64 = layout.data().iter().map(|(place, _)| place.size).sum();
        let other: u64 = layout.classes.iter().map(|range| range.size).sum();
        assert_eq!(data + other, 50 * MIB);
        for (place, offset) in layout.data() {
            assert_eq!(layout.class_of(place.hpa, place.size), Some(CLASS_DATA));
            let expected = match place.hpa / MIB {
                0x400..0x410 => place.hpa - 0x400 * MIB,
                0x800..0x820 => place.hpa - 0x800 * MIB + 16 * MIB,
                _ => place.hpa - 0xa00 * MIB + 48 * MIB,
            };
            assert_eq!(offset, expected);
        }
    }

    #[test]
    fn a_span_of_several_classes_has_none() {
        let kernel = linux_like();
        let layout = Layout::plan(&segments(&[(0x400, 64)]), &kernel, 0, 4 * MIB).unwrap();
        let exec = layout.classes[0];
        assert_eq!(u64::from(exec.class), CLASS_EXEC);
        assert_eq!(layout.class_of(exec.base, FRAME), Some(CLASS_EXEC));
        assert_eq!(layout.class_of(exec.base, exec.size + FRAME), None);
        assert_eq!(
            layout.class_of(layout.page_tables.hpa, CHUNK),
            Some(CLASS_PT)
        );
    }

    #[test]
    fn too_little_memory_says_how_much_would_do() {
        let kernel = linux_like();
        let error = Layout::plan(&segments(&[(0x400, 4)]), &kernel, 0, 4 * MIB).unwrap_err();
        let LayoutError::TooSmall { suggested, .. } = error else {
            panic!("{error}");
        };
        assert!(Layout::plan(&segments(&[(0x400, suggested / MIB)]), &kernel, 0, 4 * MIB).is_ok());
    }

    #[test]
    fn memory_in_small_pieces_is_refused_with_the_reason() {
        let kernel = linux_like();
        let pieces: Vec<(u64, u64)> = (0..16).map(|n| (0x400 + 4 * n, 2)).collect();
        let error = Layout::plan(&segments(&pieces), &kernel, 0, 4 * MIB).unwrap_err();
        assert!(matches!(
            error,
            LayoutError::Fragmented { what: "kernel", .. }
        ));
    }

    #[test]
    fn page_tables_that_are_not_whole_chunks_are_refused() {
        let memory = segments(&[(0x400, 64)]);
        for page_tables in [0, FRAME, CHUNK + FRAME] {
            assert_eq!(
                Layout::plan(&memory, &linux_like(), 0, page_tables),
                Err(LayoutError::PageTables)
            );
        }
    }
}

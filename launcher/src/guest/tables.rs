// SPDX-License-Identifier: MIT OR Apache-2.0

//! The boot page tables: the kernel where it is linked, and all memory in the direct map.
//!
//! Every frame is mapped with the rights of its class, and nothing else: text is executable where the
//! image is mapped and nowhere else, only Data is writable. A and D are set beforehand, so that the CPU
//! has nothing to write in a table of the boot's. The monitor judges each entry before
//! it declares a table, so a mistake here stops the container, not its isolation; a test has the
//! monitor's own rules adopt what is built.

use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2, TABLE_L3, TABLE_L4};
use cki_abi::class::{CLASS_DATA, CLASS_EXEC};
use cki_abi::entry;

use super::kernel::{Kernel, is_kernel_half};
use super::layout::Layout;
use super::{CHUNK, FRAME};
use cki_abi::uapi::start::BootTable;

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// Tables that cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TablesError {
    /// The kernel asks for two things at one address.
    #[error("the kernel's direct map and its image overlap, or leave the kernel's half")]
    Overlap,
    /// There is no room for the boot tables.
    #[error(
        "{} MiB for page tables are too little: those that the guest starts with take {} KiB",
        .page_tables >> 20, .needed >> 10
    )]
    TooSmall {
        /// Bytes for all tables.
        page_tables: u64,
        /// Bytes needed.
        needed: u64,
    },
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// 1 to 4.
    pub level: u8,
    /// Its entries.
    pub entries: Box<[u64; ENTRIES]>,
}

/// The boot page tables, in consecutive frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootTables {
    /// hpa of the first, which is the root.
    pub base: u64,
    /// Table n is at `base` + n frames.
    pub tables: Vec<Table>,
}

impl BootTables {
    /// Builds the tables for a kernel in its place, at the start of the frames for tables.
    ///
    /// # Errors
    /// [`TablesError`].
    pub fn build(layout: &Layout, kernel: &Kernel) -> Result<BootTables, TablesError> {
        let mut built = BootTables {
            base: layout.page_tables.hpa,
            tables: Vec::new(),
        };
        built.new_table(4);
        built.map(
            layout,
            kernel.virtual_base,
            layout.image.hpa,
            layout.image.size,
            true,
        )?;
        for segment in &layout.segments {
            let address = kernel.direct_map.wrapping_add(segment.base);
            built.map(layout, address, segment.base, segment.size, false)?;
        }
        if built.size() > layout.page_tables.size {
            return Err(TablesError::TooSmall {
                page_tables: layout.page_tables.size,
                needed: built.size(),
            });
        }
        Ok(built)
    }

    /// Bytes of all tables.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tables.len() as u64 * FRAME
    }

    /// What `CKI_START` is told: every table after those that it links to.
    #[must_use]
    pub fn declarations(&self) -> Vec<BootTable> {
        let kinds = [TABLE_L1, TABLE_L2, TABLE_L3, TABLE_L4];
        let mut list = Vec::with_capacity(self.tables.len());
        for (level, kind) in (1..=4).zip(kinds) {
            for (number, table) in self.tables.iter().enumerate() {
                if table.level == level {
                    list.push(BootTable {
                        hpa: self.hpa(number),
                        kind: kind as u32,
                        reserved: 0,
                    });
                }
            }
        }
        list
    }

    fn hpa(&self, number: usize) -> u64 {
        self.base + number as u64 * FRAME
    }

    fn new_table(&mut self, level: u8) -> usize {
        self.tables.push(Table {
            level,
            entries: Box::new([0; ENTRIES]),
        });
        self.tables.len() - 1
    }

    /// Maps `size` bytes, with 2 MiB pages where a chunk is of one class.
    fn map(
        &mut self,
        layout: &Layout,
        address: u64,
        hpa: u64,
        size: u64,
        executable: bool,
    ) -> Result<(), TablesError> {
        if !is_kernel_half(address, size) {
            return Err(TablesError::Overlap);
        }
        let mut done = 0;
        while done < size {
            let (to, from) = (hpa + done, address + done);
            let whole = (to | from) % CHUNK == 0 && size - done >= CHUNK;
            let class = whole.then(|| layout.class_of(to, CHUNK)).flatten();
            let (level, step, class) = match class {
                Some(class) => (2, CHUNK, class),
                // A frame is of one class: ranges are made of whole frames.
                None => (1, FRAME, layout.class_of(to, FRAME).unwrap_or(0)),
            };
            self.set_leaf(from, level, to | rights(class, executable))?;
            done += step;
        }
        Ok(())
    }

    fn set_leaf(&mut self, address: u64, level: u8, value: u64) -> Result<(), TablesError> {
        let mut table = 0;
        for parent in (level + 1..=4).rev() {
            table = self.child(table, index(address, parent))?;
        }
        let large = if level == 2 { entry::PAGE_SIZE } else { 0 };
        let entry = &mut self.tables[table].entries[index(address, level)];
        if *entry != 0 {
            return Err(TablesError::Overlap);
        }
        *entry = value | large;
        Ok(())
    }

    /// The table that an entry links to, made if there is none.
    fn child(&mut self, table: usize, index: usize) -> Result<usize, TablesError> {
        let entry = self.tables[table].entries[index];
        if entry == 0 {
            let child = self.new_table(self.tables[table].level - 1);
            // Rights are the leaf's; a link takes none away.
            self.tables[table].entries[index] =
                self.hpa(child) | entry::PRESENT | entry::WRITABLE | entry::ACCESSED;
            return Ok(child);
        }
        if entry & entry::PAGE_SIZE != 0 {
            return Err(TablesError::Overlap);
        }
        Ok((((entry & entry::ADDRESS) - self.base) / FRAME) as usize)
    }
}

/// Index of `address` in a table of a level.
fn index(address: u64, level: u8) -> usize {
    (address >> (3 + 9 * u32::from(level))) as usize % ENTRIES
}

fn rights(class: u64, executable: bool) -> u64 {
    let present = entry::PRESENT | entry::ACCESSED | entry::DIRTY;
    match class {
        CLASS_DATA => present | entry::WRITABLE | entry::NO_EXECUTE,
        CLASS_EXEC if executable => present,
        _ => present | entry::NO_EXECUTE,
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;

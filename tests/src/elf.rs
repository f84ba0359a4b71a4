// SPDX-License-Identifier: MIT OR Apache-2.0

//! As much of an ELF file as it takes to find the instructions of our own images.

use std::path::Path;

use object::LittleEndian;
use object::elf::{FileHeader64, SHT_SYMTAB, STT_FUNC, STT_SECTION};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

/// A section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it is linked to; 0 in a module.
    pub address: u64,
    /// Where its bytes are in the file.
    pub offset: usize,
    /// Its bytes, none if the file has none of it.
    pub bytes: Vec<u8>,
}

/// A symbol that is defined in a section.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address, or, in a module, its offset in the section.
    pub value: u64,
    /// Index of its section.
    pub section: usize,
    /// Compiled code, as opposed to a label of an assembler file.
    pub function: bool,
}

/// A file of 64 bits in little endian.
#[derive(Clone, Debug)]
pub struct Elf {
    /// Its sections, by index.
    pub sections: Vec<Section>,
    /// Its symbols, by section and value.
    pub symbols: Vec<Symbol>,
}

impl Elf {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(bytes: &[u8]) -> object::read::Result<Self> {
        let header = FileHeader64::<LittleEndian>::parse(bytes)?;
        let endian = header.endian()?;
        let table = header.sections(endian, bytes)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut sections = Vec::new();
        for section in table.iter() {
            sections.push(Section {
                name: text(table.section_name(endian, section)?),
                address: section.sh_addr(endian),
                offset: section.sh_offset(endian) as usize,
                bytes: section.data(endian, bytes)?.to_vec(),
            });
        }
        let entries = table.symbols(endian, bytes, SHT_SYMTAB)?;
        let mut symbols = Vec::new();
        for (index, entry) in entries.enumerate() {
            let section = entries.symbol_section(endian, entry, index)?;
            let Some(section) = section.filter(|_| entry.st_type() != STT_SECTION) else {
                continue;
            };
            symbols.push(Symbol {
                name: text(entries.symbol_name(endian, entry)?),
                value: entry.st_value(endian),
                section: section.0,
                function: entry.st_type() == STT_FUNC,
            });
        }
        symbols.sort_by(|a, b| (a.section, a.value, &a.name).cmp(&(b.section, b.value, &b.name)));
        Ok(Elf { sections, symbols })
    }

    /// The function of this name: its address, and where it is in the file.
    ///
    /// # Errors
    /// When there is none.
    pub fn function(&self, name: &str) -> Result<(u64, usize), String> {
        let mut symbols = self.symbols.iter();
        let symbol = symbols
            .find(|symbol| symbol.name == name && symbol.function)
            .ok_or_else(|| format!("no function {name}"))?;
        let section = &self.sections[symbol.section];
        let offset = section.offset + (symbol.value - section.address) as usize;
        Ok((symbol.value, offset))
    }

    /// The section of this name, with its index.
    ///
    /// # Errors
    /// When there is none.
    pub fn section(&self, name: &str) -> Result<(usize, &Section), String> {
        let mut sections = self.sections.iter().enumerate();
        sections
            .find(|(_, section)| section.name == name)
            .ok_or_else(|| format!("no section {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_and_one_that_is_cut_off_is_refused() {
        let whole = std::fs::read(std::env::current_exe().expect("a test")).expect("read");
        let elf = Elf::parse(&whole).expect("an ELF file");
        let (index, text) = elf.section(".text").expect("text");
        let (address, offset) = elf.function("main").expect("a function");
        assert!(elf.symbols.iter().any(|symbol| symbol.section == index));
        let inside = (address - text.address) as usize;
        assert_eq!(whole[offset..offset + 4], text.bytes[inside..inside + 4]);
        for length in [0, 3, 100, whole.len() / 2] {
            Elf::parse(&whole[..length]).expect_err("it is cut off");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! As much of ELF (gABI, chapters 4 and 5) as it takes to find the instructions of our own images.

use std::path::Path;

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

const NO_BITS: u64 = 8;
const FUNCTION: u8 = 2;
const SECTION_SYMBOL: u8 = 3;

impl Elf {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).ok_or_else(|| format!("{} is cut off or no ELF file", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.strip_prefix(b"\x7fELF\x02\x01")?;
        let headers = word(bytes, 0x28, 8)? as usize;
        let (size, count) = (word(bytes, 0x3a, 2)? as usize, word(bytes, 0x3c, 2)?);
        let names = word(bytes, 0x3e, 2)? as usize;
        let header = |index: usize| headers + index * size;
        // sh_name, sh_type, sh_addr, sh_offset, sh_size, sh_link
        let content = |index: usize| {
            let at = header(index);
            let (start, length) = (word(bytes, at + 24, 8)?, word(bytes, at + 32, 8)?);
            bytes.get(start as usize..start.checked_add(length)? as usize)
        };
        let mut sections = Vec::new();
        let mut symbols = Vec::new();
        for index in 0..count as usize {
            let at = header(index);
            let kind = word(bytes, at + 4, 4)?;
            let name = text(content(names)?, word(bytes, at, 4)? as usize)?;
            let data = if kind == NO_BITS {
                &[]
            } else {
                content(index)?
            };
            if name == ".symtab" {
                let strings = content(word(bytes, at + 40, 4)? as usize)?;
                for entry in data.chunks_exact(24) {
                    let kind = entry[4] & 15;
                    let section = word(entry, 6, 2)? as usize;
                    if section == 0 || section >= count as usize || kind == SECTION_SYMBOL {
                        continue;
                    }
                    symbols.push(Symbol {
                        name: text(strings, word(entry, 0, 4)? as usize)?,
                        value: word(entry, 8, 8)?,
                        section,
                        function: kind == FUNCTION,
                    });
                }
            }
            sections.push(Section {
                name,
                address: word(bytes, at + 16, 8)?,
                offset: word(bytes, at + 24, 8)? as usize,
                bytes: data.to_vec(),
            });
        }
        symbols.sort_by(|a, b| (a.section, a.value, &a.name).cmp(&(b.section, b.value, &b.name)));
        Some(Elf { sections, symbols })
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

/// `length` bytes as a number.
fn word(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at + length)?;
    Some(
        part.iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte)),
    )
}

fn text(strings: &[u8], at: usize) -> Option<String> {
    let rest = strings.get(at..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

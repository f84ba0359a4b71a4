// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paragraphs of `Field: value` lines, the format of every text file in a Debian archive (Debian Policy,
//! section 5.1; deb822(5)).

use std::io::{self, BufRead};

/// Why a file is not made of paragraphs.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The file could not be read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// A line that is neither a field, a continuation, a comment nor empty.
    #[error("line {line}: expected 'Field: value', found '{text}'")]
    Syntax {
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// The same field twice in one paragraph.
    #[error("line {line}: field '{field}' appears twice in one paragraph")]
    Duplicate {
        /// Line number, from 1.
        line: usize,
        /// The field's name.
        field: String,
    },
}

/// One paragraph: fields in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
    /// Line number of the first field, from 1.
    pub line: usize,
}

impl Paragraph {
    /// The value of a field; names are compared without regard to case. Lines of a value that spans several are
    /// separated by `\n`, each without its leading white space.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Takes the value of a field out of the paragraph.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self
            .fields
            .iter()
            .position(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(self.fields.swap_remove(at).1)
    }

    /// Words of a field that is a list separated by white space (`Suites`, `URIs`...).
    pub fn words<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(name).unwrap_or("").split_whitespace()
    }
}

/// Reads paragraphs one by one, so that a large index is never in memory as a whole.
pub struct Paragraphs<R> {
    input: R,
    line: usize,
    buffer: String,
    keep: Option<&'static [&'static str]>,
}

impl<R: BufRead> Paragraphs<R> {
    /// Reads every field.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 0,
            buffer: String::new(),
            keep: None,
        }
    }

    /// Reads only the fields of `keep` (written as in the file) and skips the others, which are most of an index.
    pub fn keeping(input: R, keep: &'static [&'static str]) -> Self {
        Self {
            keep: Some(keep),
            ..Self::new(input)
        }
    }

    fn next_paragraph(&mut self) -> Result<Option<Paragraph>, ControlError> {
        let mut paragraph = Paragraph::default();
        // A paragraph may consist of skipped fields alone; it still is one.
        let mut seen = false;
        let mut keep_current = false;
        loop {
            self.buffer.clear();
            if self.input.read_line(&mut self.buffer)? == 0 {
                return Ok(seen.then_some(paragraph));
            }
            self.line += 1;
            let line = self.buffer.trim_end();
            if line.starts_with('#') {
                continue;
            }
            if line.is_empty() {
                if seen {
                    return Ok(Some(paragraph));
                }
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if !seen {
                    return Err(self.syntax());
                }
                let current = paragraph.fields.last_mut().filter(|_| keep_current);
                if let Some((_, value)) = current {
                    value.push('\n');
                    value.push_str(line.trim_start());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':').filter(|(n, _)| is_field_name(n)) else {
                return Err(self.syntax());
            };
            if !seen {
                seen = true;
                paragraph.line = self.line;
            }
            keep_current = self.keep.is_none_or(|keep| keep.contains(&name));
            if keep_current {
                if paragraph.get(name).is_some() {
                    return Err(ControlError::Duplicate {
                        line: self.line,
                        field: name.to_owned(),
                    });
                }
                paragraph
                    .fields
                    .push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }

    fn syntax(&self) -> ControlError {
        ControlError::Syntax {
            line: self.line,
            text: self.buffer.trim_end().to_owned(),
        }
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(|b| b.is_ascii_graphic())
}

impl<R: BufRead> Iterator for Paragraphs<R> {
    type Item = Result<Paragraph, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_paragraph().transpose()
    }
}

/// Reads all paragraphs of a text.
///
/// # Errors
/// See [`ControlError`].
pub fn parse(text: &str) -> Result<Vec<Paragraph>, ControlError> {
    Paragraphs::new(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_separated_by_empty_lines() {
        let all = parse("\n\nPackage: a\nVersion: 1\n\n \t\n\nPackage: b\n").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("version"), Some("1"));
        assert_eq!(all[1].get("Package"), Some("b"));
        assert_eq!(all[1].line, 8);
    }

    #[test]
    fn a_value_goes_on_in_indented_lines_and_comments_are_no_part_of_it() {
        let all = parse("URIs: x\n# not this\n y\n\tz\nSuites: s\n").unwrap();
        assert_eq!(all[0].get("URIs"), Some("x\ny\nz"));
        assert_eq!(all[0].words("URIs").collect::<Vec<_>>(), ["x", "y", "z"]);
    }

    #[test]
    fn skipped_fields_take_their_continuation_lines_with_them() {
        let text = "A: 1\nB: 2\n more\nC: 3\n\nB: only\n";
        let all: Vec<_> = Paragraphs::keeping(text.as_bytes(), &["A", "C"])
            .map(Result::unwrap)
            .collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].get("A"), all[0].get("B"), all[0].get("C")),
            (Some("1"), None, Some("3"))
        );
    }

    #[test]
    fn what_is_no_control_file_is_refused_with_its_line() {
        let line = |text| match parse(text).unwrap_err() {
            ControlError::Syntax { line, .. } | ControlError::Duplicate { line, .. } => line,
            ControlError::Read(e) => panic!("{e}"),
        };
        assert_eq!(line("A: 1\nnonsense\n"), 2);
        assert_eq!(line(" starts indented\n"), 1);
        assert_eq!(line("A: 1\nB: 2\na: 3\n"), 3);
        assert_eq!(line("<html>\n"), 1);
        assert!(parse("A: \u{0}\n").is_ok());
        assert!(matches!(
            Paragraphs::new(&b"A: \xff\n"[..]).next(),
            Some(Err(ControlError::Read(_)))
        ));
    }
}

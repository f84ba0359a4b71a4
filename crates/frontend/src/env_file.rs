// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files of variables, in the form that other container engines read (`--env-file`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::variable::{NotText, Variable};

/// A file of variables that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of its lines is invalid.
    #[error("{path}, line {line}: expected NAME=VALUE, NAME alone or a comment after #")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A variable of ours that one of its lines names.
    #[error("{path}, line {line}: {source}")]
    Ours {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why it cannot be passed on.
        source: NotText,
    },
}

/// The variables of a file: one a line, `NAME=VALUE`, with the value as it stands. `NAME` alone is the variable of
/// ours, if there is one. Empty lines and those that begin with `#` say nothing.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, EnvFileError> {
    let text = fs::read_to_string(path).map_err(|source| EnvFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let path = path.to_owned();
    let mut found = Vec::new();
    for (line, variable) in parse(&text) {
        let Some(variable) = variable else {
            return Err(EnvFileError::Line { path, line });
        };
        match variable.resolve(|name| std::env::var_os(name)) {
            Ok(variable) => found.extend(variable),
            Err(source) => return Err(EnvFileError::Ours { path, line, source }),
        }
    }
    Ok(found)
}

/// The variables in `text`, or nothing for an invalid line, with the lines' numbers.
fn parse(text: &str) -> impl Iterator<Item = (usize, Option<Variable>)> {
    (1..)
        .zip(text.lines())
        // A name cannot begin with a blank, a value may.
        .map(|(number, line)| (number, line.trim_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (name, _) = line.split_once('=').unwrap_or((line.trim_end(), ""));
            let is_name = !name.contains(char::is_whitespace);
            let line = if line.contains('=') { line } else { name };
            (number, line.parse().ok().filter(|_| is_name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_taken_as_they_stand() {
        let text = "# a comment\n\nA=1\n  B= two words \nC=\nHOME\nNONE\nD=\"q\"=x\r\n";
        let expected = [
            (3, "A", Some("1")),
            (4, "B", Some(" two words ")),
            (5, "C", Some("")),
            (6, "HOME", None),
            (7, "NONE", None),
            (8, "D", Some("\"q\"=x")),
        ];
        let expected = expected.map(|(line, name, value)| {
            let (name, value) = (name.to_owned(), value.map(str::to_owned));
            (line, Some(Variable { name, value }))
        });
        assert_eq!(parse(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_that_is_no_variable_is_told_by_its_number() {
        for (text, line) in [("A=1\n=x\n", 2), ("export A=1", 1), ("A=1\n\nA B\n", 3)] {
            let found = parse(text).find(|(_, variable)| variable.is_none());
            assert_eq!(found, Some((line, None)), "{text}");
        }
        let error = read(Path::new("/nonexistent/env")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/env"), "{error}");
    }
}

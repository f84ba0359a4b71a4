// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files of variables, in the form that other container engines read (`--env-file`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
    /// One of its lines is no variable.
    #[error("{path}, line {line}: expected NAME=VALUE, NAME alone or a comment after #")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// The variables of a file: one a line, `NAME=VALUE`, with the value as it stands. `NAME` alone is the variable of
/// ours, if there is one. Empty lines and those that begin with `#` say nothing.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, EnvFileError> {
    let text = fs::read_to_string(path).map_err(|source| EnvFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, |name| std::env::var(name).ok()).map_err(|line| EnvFileError::Line {
        path: path.to_owned(),
        line,
    })
}

/// The variables in `text`, or the number of the first line that is none.
fn parse(
    text: &str,
    ours: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, usize> {
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // A name cannot begin with a blank, a value may.
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), ours(line.trim_end())),
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
            return Err(index + 1);
        }
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_taken_as_they_stand() {
        let text = "# a comment\n\nA=1\n  B= two words \nC=\nHOME\nNONE\nD=\"q\"=x\r\n";
        let ours = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        let got = parse(text, ours).unwrap();
        let got: Vec<_> = got.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            got,
            ["A=1", "B= two words ", "C=", "HOME=/home/u", "D=\"q\"=x"]
        );
    }

    #[test]
    fn a_line_that_is_no_variable_is_told_by_its_number() {
        for (text, line) in [("A=1\n=x\n", 2), ("export A=1", 1), ("A=1\n\nA B\n", 3)] {
            assert_eq!(parse(text, |_| None), Err(line), "{text}");
        }
        let error = read(Path::new("/nonexistent/env")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/env"), "{error}");
    }
}

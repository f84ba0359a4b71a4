// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of the source tree, and what a piece of code in a document means by a path.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{BookError, read};

/// Directories that are no part of the source, wherever they are.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Endings of file names that documents speak of. A name with another ending is not looked for.
const ENDINGS: [&str; 14] = [
    "rs", "c", "h", "S", "s", "nix", "toml", "json", "md", "patch", "awk", "sh", "config", "svg",
];

/// A source tree.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    files: BTreeSet<String>,
    directories: BTreeSet<String>,
}

/// What a code span names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// No path at all.
    Nothing,
    /// A file of the tree, and the line of the name behind its colon.
    File {
        /// From the root.
        path: String,
        /// From 1.
        line: Option<usize>,
    },
    /// Several files end like this, or it is a directory.
    Something,
    /// A path that is not in the tree, or a name that is not in its file.
    Missing(String),
}

impl Tree {
    /// Lists the files below `root`.
    ///
    /// # Errors
    ///
    /// [`BookError::Io`] when a directory cannot be listed.
    pub fn at(root: &Path) -> Result<Self, BookError> {
        let mut tree = Self {
            root: root.to_owned(),
            files: BTreeSet::new(),
            directories: BTreeSet::new(),
        };
        tree.walk(root, "")?;
        Ok(tree)
    }

    fn walk(&mut self, directory: &Path, prefix: &str) -> Result<(), BookError> {
        let failed = |source| BookError::Io {
            path: directory.to_owned(),
            source,
        };
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(failed)?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.walk(&entry.path(), &format!("{path}/"))?;
                self.directories.insert(path);
            } else if kind.is_file() {
                self.files.insert(path);
            }
        }
        Ok(())
    }

    /// Whether the tree has this file.
    #[must_use]
    pub fn has_file(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether the tree has this directory.
    #[must_use]
    pub fn has_directory(&self, path: &str) -> bool {
        self.directories.contains(path.trim_end_matches('/'))
    }

    /// The Markdown files below `docs/`, without `docs/`.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter_map(|path| path.strip_prefix("docs/"))
            .filter(|path| path.ends_with(".md"))
    }

    /// All files below a directory whose name has one of the endings.
    pub fn files_below<'a>(
        &'a self,
        directory: &'a str,
        ending: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.files
            .iter()
            .map(String::as_str)
            .filter(move |path| path.starts_with(directory) && path.ends_with(ending))
    }

    /// The text of a file.
    ///
    /// # Errors
    ///
    /// [`BookError::Io`] when it is not there or not UTF-8.
    pub fn text(&self, path: &str) -> Result<String, BookError> {
        read(self.root.join(path))
    }

    /// What the code span `code` names.
    ///
    /// A path is written from the root of the tree, or as its end (`gates.s`, `guest/tables.rs`), as far as the rest
    /// is clear. `path:name` is a name in that file.
    #[must_use]
    pub fn named(&self, code: &str) -> Named {
        let (path, name) = code.split_once(':').unwrap_or((code, ""));
        let Some(shape) = self.shape(path) else {
            return Named::Nothing;
        };
        let found: Vec<_> = match shape {
            Shape::Directory => {
                let wanted = path.trim_end_matches('/');
                let there = self
                    .directories
                    .iter()
                    .any(|known| ends_with_path(known, wanted));
                return if there {
                    Named::Something
                } else {
                    Named::Missing(path.to_owned())
                };
            }
            Shape::File if self.has_file(path) => vec![path],
            Shape::File => {
                let ends = |known: &&String| ends_with_path(known, path);
                self.files.iter().filter(ends).map(String::as_str).collect()
            }
        };
        match found.as_slice() {
            [] => Named::Missing(path.to_owned()),
            [one] if name.is_empty() => Named::File {
                path: (*one).to_owned(),
                line: None,
            },
            [one] => match self.text(one).ok().and_then(|text| line_of(&text, name)) {
                Some(line) => Named::File {
                    path: (*one).to_owned(),
                    line: Some(line),
                },
                None => Named::Missing(code.to_owned()),
            },
            _ if name.is_empty() => Named::Something,
            _ => Named::Missing(format!("{code} (which of {} files?)", found.len())),
        }
    }

    /// Whether this looks like a path of the tree.
    fn shape(&self, path: &str) -> Option<Shape> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_./-+".contains(c);
        // These stand for any name and number.
        let pattern = path.contains("NAME") || path.contains("NNNN");
        if path.is_empty()
            || pattern
            || path.starts_with(['/', '.', '-'])
            || !path.chars().all(allowed)
        {
            return None;
        }
        let (stem, ending) = path.rsplit_once('.').unwrap_or((path, ""));
        let ours = path
            .split_once('/')
            .is_some_and(|(first, _)| self.has_directory(first));
        if !stem.is_empty() && ENDINGS.contains(&ending) {
            Some(Shape::File)
        } else if path.ends_with('/') {
            Some(Shape::Directory)
        } else if ours {
            Some(if self.has_file(path) {
                Shape::File
            } else {
                Shape::Directory
            })
        } else {
            None
        }
    }
}

enum Shape {
    File,
    Directory,
}

/// Whether the path `known` is `end`, or ends with it behind a `/`.
fn ends_with_path(known: &str, end: &str) -> bool {
    known
        .strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// The line, from 1, that defines `name`, else the first one that has it as a word.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let has = |line: &str| {
        line.match_indices(name).any(|(at, _)| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            !line[..at].ends_with(word) && !line[at + name.len()..].starts_with(word)
        })
    };
    let defines = |line: &str| {
        let line = line.trim_start_matches('+');
        let rust = [
            "fn ", "struct ", "enum ", "const ", "static ", "trait ", "mod ",
        ]
        .iter()
        .any(|word| line.contains(&format!("{word}{name}")));
        let assembler = line.starts_with(&format!("{name}:"))
            || line.contains(&format!("({name})")) && line.starts_with("SYM");
        let c = line.starts_with(|c: char| c.is_ascii_alphabetic())
            && line.contains(&format!("{name}("))
            && !line.ends_with(';');
        let assigned = line.trim_start().starts_with(&format!("{name} ="));
        let define = line.starts_with(&format!("#define {name}"));
        has(line) && (rust || assembler || c || assigned || define)
    };
    let at = |test: &dyn Fn(&str) -> bool| text.lines().position(test).map(|index| index + 1);
    at(&defines).or_else(|| at(&has))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, text) in [
            ("ksm/core/src/rules.rs", "// judge\n\npub fn judge() {}\n"),
            ("ksm/shell/src/lib.rs", ""),
            ("ksm/core/src/lib.rs", ""),
            ("target/left.rs", ""),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        let tree = Tree::at(dir.path()).expect("a tree");
        (dir, tree)
    }

    fn file(path: &str, line: Option<usize>) -> Named {
        Named::File {
            path: path.to_owned(),
            line,
        }
    }

    #[test]
    fn a_path_may_be_whole_or_its_end() {
        let (_dir, tree) = tree();
        assert_eq!(
            tree.named("ksm/core/src/rules.rs"),
            file("ksm/core/src/rules.rs", None)
        );
        assert_eq!(tree.named("rules.rs"), file("ksm/core/src/rules.rs", None));
        assert_eq!(tree.named("lib.rs"), Named::Something);
        assert_eq!(tree.named("ksm/core"), Named::Something);
        assert_eq!(tree.named("core/"), Named::Something);
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let (_dir, tree) = tree();
        for code in [
            "gone.rs",
            "left.rs",
            "ksm/gone",
            "gone/",
            "les.rs",
            "rules.rs:nothing",
            "lib.rs:judge",
        ] {
            assert!(matches!(tree.named(code), Named::Missing(_)), "{code}");
        }
    }

    #[test]
    fn other_code_is_no_path() {
        let (_dir, tree) = tree();
        for code in [
            "/dev/cki",
            "cki run",
            "a | b",
            "--flag",
            "CKI_START",
            "1/20",
            "../x.rs",
            "a.rs b.rs",
            "ksm/NAME.rs",
        ] {
            assert_eq!(tree.named(code), Named::Nothing, "{code}");
        }
    }

    #[test]
    fn a_name_leads_to_its_definition() {
        let (_dir, tree) = tree();
        assert_eq!(
            tree.named("rules.rs:judge"),
            file("ksm/core/src/rules.rs", Some(3))
        );
    }
}

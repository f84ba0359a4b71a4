// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which file of a crate uses which other one, read from `use` declarations and paths.
//!
//! Only what is compiled outside tests counts. A path leads to the file that has what it names, through
//! re-exports; passing a name on without using it is no use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::source::{self, Import, Source};

/// A module that has a file of its own.
#[derive(Debug)]
struct Module {
    /// Path of its file.
    file: PathBuf,
    /// Names from the crate's root to it.
    path: Vec<String>,
    /// What its file has.
    source: Source,
}

/// The modules of one crate, by their path from its root.
#[derive(Debug)]
pub struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

/// How many re-exports a path may lead through.
const REEXPORTS: usize = 8;

impl Crate {
    /// Reads the modules of the crate with this root file (`src/lib.rs`).
    ///
    /// # Errors
    /// Those of reading files; a `mod` declaration without a file is one, and so is a file that is no Rust.
    pub fn read(root: &Path) -> Result<Self, std::io::Error> {
        let mut this = Self {
            modules: BTreeMap::new(),
        };
        this.add(root, Vec::new(), true)?;
        Ok(this)
    }

    fn add(&mut self, file: &Path, path: Vec<String>, root: bool) -> Result<(), std::io::Error> {
        let source = source::read(&fs::read_to_string(file)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        let directory = match (file.parent(), file.file_stem()) {
            (Some(parent), Some(stem)) if !root && stem != "mod" => parent.join(stem),
            (Some(parent), _) => parent.to_owned(),
            _ => PathBuf::new(),
        };
        for child in &source.modules {
            let flat = directory.join(format!("{child}.rs"));
            let nested = directory.join(child).join("mod.rs");
            let mut below = path.clone();
            below.push(child.clone());
            self.add(if flat.exists() { &flat } else { &nested }, below, false)?;
        }
        let module = Module {
            file: file.to_owned(),
            path: path.clone(),
            source,
        };
        self.modules.insert(path, module);
        Ok(())
    }

    /// For each file, the files of this crate that it uses.
    #[must_use]
    pub fn uses(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        self.modules
            .values()
            .map(|module| {
                let used = module
                    .source
                    .paths
                    .iter()
                    .chain(
                        module
                            .source
                            .imports
                            .iter()
                            .filter(|import| {
                                !import.public || module.source.words.contains(&import.name)
                            })
                            .map(|import| &import.path),
                    )
                    .filter_map(|path| self.resolve(&module.path, path, REEXPORTS))
                    .filter(|file| *file != module.file)
                    .collect();
                (module.file.as_path(), used)
            })
            .collect()
    }

    /// For each top module, which is a file and the folder of its name, the other top modules of this crate that it
    /// uses. The root file is one as well, without a name.
    #[must_use]
    pub fn uses_of_folders(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let folders: BTreeMap<&Path, &str> = self
            .modules
            .values()
            .map(|module| {
                let top = module.path.first().map_or("", String::as_str);
                (module.file.as_path(), top)
            })
            .collect();
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, used) in self.uses() {
            let from = folders[file];
            let others = used.into_iter().map(|file| folders[file]);
            found
                .entry(from)
                .or_default()
                .extend(others.filter(|to| *to != from));
        }
        found
    }

    /// The file that has what `path` names when it stands in the module `from`; none when that is not this crate's.
    fn resolve(&self, from: &[String], path: &[String], left: usize) -> Option<&Path> {
        let left = left.checked_sub(1)?;
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.to_vec(), &path[1..]),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                (
                    from[..from.len().saturating_sub(ups)].to_vec(),
                    &path[ups..],
                )
            }
            first => {
                let here = self.modules.get(from)?;
                if here.source.modules.iter().any(|name| name == first) {
                    (from.to_vec(), path)
                } else {
                    // A name that this file has imported, such as a module's.
                    let import = here
                        .source
                        .imports
                        .iter()
                        .find(|import| import.name == first)?;
                    let whole: Vec<_> = import.path.iter().chain(&path[1..]).cloned().collect();
                    return self.resolve(from, &whole, left);
                }
            }
        };
        while let Some(next) = rest.first() {
            let mut below = at.clone();
            below.push(next.clone());
            if !self.modules.contains_key(&below) {
                break;
            }
            (at, rest) = (below, &rest[1..]);
        }
        let module = self.modules.get(&at)?;
        if let Some(name) = rest.first() {
            if let Some(file) = self.reexported(module, name, rest, left) {
                return Some(file);
            }
        }
        Some(&module.file)
    }

    /// The file of what `module` only passes on under `name`.
    fn reexported(
        &self,
        module: &Module,
        name: &str,
        rest: &[String],
        left: usize,
    ) -> Option<&Path> {
        if module.source.defines.contains(name) {
            return None;
        }
        let passed_on = |import: &Import| -> Option<&Path> {
            if import.name == name {
                let whole: Vec<_> = import.path.iter().chain(&rest[1..]).cloned().collect();
                return self.resolve(&module.path, &whole, left);
            }
            if import.name != "*" {
                return None;
            }
            let file = self.resolve(&module.path, &import.path, left)?;
            let whole = self.modules.values().find(|m| m.file == file)?;
            whole.source.defines.contains(name).then_some(file)
        };
        module.source.imports.iter().find_map(passed_on)
    }
}

/// Sets of files, or of folders, that use each other in a circle, each with more than one of them.
#[must_use]
pub fn circles<'a, T: Ord + ?Sized>(
    uses: &BTreeMap<&'a T, BTreeSet<&'a T>>,
) -> Vec<BTreeSet<&'a T>> {
    let reach = |start: &'a T| {
        let mut found = BTreeSet::new();
        let mut todo = vec![start];
        while let Some(file) = todo.pop() {
            for &next in uses.get(file).into_iter().flatten() {
                if found.insert(next) {
                    todo.push(next);
                }
            }
        }
        found
    };
    let reached: BTreeMap<&T, BTreeSet<&T>> =
        uses.keys().map(|&file| (file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (&file, others) in &reached {
        if others.contains(file) {
            let back = |other: &&&T| reached.get(**other).is_some_and(|r| r.contains(file));
            found.insert(others.iter().filter(back).copied().collect::<BTreeSet<_>>());
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, text).expect("written");
        }
        dir
    }

    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let dir = written(files);
        let read = Crate::read(&dir.path().join("lib.rs")).expect("modules");
        let name = |file: &&Path| {
            let name = file.strip_prefix(dir.path()).expect("below");
            name.display().to_string()
        };
        circles(&read.uses())
            .iter()
            .map(|circle| circle.iter().map(name).collect())
            .collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B; fn f() { super::a::A; }"),
            ("c.rs", "use super::{a::{self, A}, b::B};"),
        ]);
        assert_eq!(found, [["a.rs", "b.rs"]]);
    }

    #[test]
    fn what_only_an_attribute_names_makes_a_circle_too() {
        for attribute in [
            "#[error(\"{0}\", crate::b::B::MOST)]",
            "#[serde(with = \"super::b::inner\")]",
        ] {
            let found = circles_of(&[
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", &format!("{attribute} pub struct A(u8);")),
                (
                    "b.rs",
                    "pub struct B; pub mod inner {} fn f(_: crate::a::A) {}",
                ),
            ]);
            assert_eq!(found, [["a.rs", "b.rs"]], "{attribute}");
        }
    }

    #[test]
    fn a_circle_through_a_parent_is_seen_and_a_facade_is_none() {
        let parent = [
            ("lib.rs", "mod a; pub struct Error; fn f() { a::g() }"),
            ("a.rs", "use crate::Error; pub fn g() {}"),
        ];
        assert_eq!(circles_of(&parent), [["a.rs", "lib.rs"]]);
        let facade = [
            ("lib.rs", "mod a; mod e; pub use e::Error; pub use a::*;"),
            ("a.rs", "use crate::Error; pub fn g() {}"),
            ("e.rs", "pub struct Error;"),
        ];
        assert_eq!(circles_of(&facade), [[""; 0]; 0]);
    }

    #[test]
    fn what_a_facade_passes_on_counts_as_where_it_is() {
        let found = circles_of(&[
            (
                "lib.rs",
                "pub mod a; pub mod e; pub use a::*; pub use e::{Error as Fault};",
            ),
            ("a.rs", "use crate::Fault; pub fn g() {}"),
            ("e.rs", "pub struct Error; fn f() { crate::g() }"),
        ]);
        assert_eq!(found, [["a.rs", "e.rs"]]);
    }

    #[test]
    fn longer_circles_and_nested_files_are_seen_and_tests_are_not_read() {
        let found = circles_of(&[
            ("lib.rs", "mod a;"),
            (
                "a.rs",
                "mod b; mod c; #[cfg(test)] mod tests; use b::B; pub const X: u8 = 0;",
            ),
            (
                "a/b.rs",
                "use super::c::C; pub struct B; #[cfg(test)] mod tests { use crate::a::X; }",
            ),
            (
                "a/c.rs",
                "pub struct C; /* use crate::a::X; */ const S: &str = \"crate::a::X\";",
            ),
            ("a/tests.rs", "use super::*;"),
        ]);
        assert_eq!(found, [[""; 0]; 0]);
        let found = circles_of(&[
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; mod c; use b::B; pub const X: u8 = 0;"),
            ("a/b.rs", "use super::c::C; pub struct B;"),
            ("a/c.rs", "pub struct C; const Y: u8 = crate::a::X;"),
        ]);
        assert_eq!(found, [["a/b.rs", "a/c.rs", "a.rs"]]);
    }

    #[test]
    fn folders_are_in_a_circle_when_files_of_theirs_are_not() {
        let dir = written(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "mod e; mod f; use crate::b::B; fn f() { f::g() }"),
            ("a/e.rs", "pub struct E;"),
            ("a/f.rs", "use super::e::E; pub fn g() {}"),
            ("b.rs", "use crate::a::e::E; pub struct B;"),
            ("c.rs", "use crate::a::f::g; use crate::b::B;"),
        ]);
        let read = Crate::read(&dir.path().join("lib.rs")).expect("modules");
        assert!(circles(&read.uses()).is_empty());
        let found = circles(&read.uses_of_folders());
        assert_eq!(found, [BTreeSet::from(["a", "b"])]);
    }
}

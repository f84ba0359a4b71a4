// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of the repository itself share: which files are tracked, which licence each states, which crates are
//! linked into which program, which advisories there are about them, what hosted CI runs, which file uses which,
//! which lines of Rust are too wide.
//!
//! Used by: its own tests, which are among the "tests of the crates" of `cki-build check`, and by themselves:
//! `cargo test -p cki-house`. May use: no crate of ours; in tests, the command line of `cki-build`.

pub mod advisories;
pub mod crates;
pub mod hosted;
pub mod licences;
pub mod modules;
pub mod source;
pub mod width;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that this crate was compiled in.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn root() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    path.canonicalize()
        .expect("the checkout that the tests were compiled in")
}

/// Paths, relative to the checkout, of the files that git tracks and that are there, sorted.
///
/// # Panics
/// When git does not know the checkout.
#[must_use]
pub fn tracked() -> Vec<String> {
    let root = root();
    let output = Command::new("git")
        .current_dir(&root)
        .args(["ls-files", "-z", "--cached"])
        .output()
        .expect("git starts");
    assert!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files: Vec<_> = String::from_utf8(output.stdout)
        .expect("names of files are UTF-8")
        .split_terminator('\0')
        .filter(|path| root.join(path).exists())
        .map(str::to_owned)
        .collect();
    files.sort();
    files
}

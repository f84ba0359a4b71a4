// SPDX-License-Identifier: MIT OR Apache-2.0

//! What of the series applies to another Linux than ours (`kernel/try-series.sh`). `CKI_LINUX` names an unpacked
//! kernel, a newer one above all; without it that test is left out, and counted so. One mail that does not apply makes
//! it fail, with the list of all.

// What applied and what did not is for people to read.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let tree = std::env::var_os("CKI_LINUX").map(PathBuf::from);
    let about = format!(
        "the_series_applies ({})",
        tree.as_ref().map_or(
            "skipped: CKI_LINUX names no unpacked kernel".to_owned(),
            |tree| tree.display().to_string()
        )
    );
    let absent = tree.is_none();
    let trials = vec![
        Trial::test("a_mail_is_said_to_apply_at_other_lines_or_not", || {
            tell();
            Ok(())
        }),
        Trial::test("what_is_no_kernel_is_refused", || {
            refuse();
            Ok(())
        }),
        Trial::test(about, move || applies(&tree.expect("ignored without one")))
            .with_ignored_flag(absent),
    ];
    let mut arguments = Arguments::from_args();
    if absent {
        // Not even by --include-ignored.
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn kernel(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../kernel")
        .join(path)
}

fn try_series(series: &Path, tree: &Path) -> Output {
    Command::new("bash")
        .arg(kernel("try-series.sh"))
        .args([series, tree])
        .output()
        .expect("a shell")
}

fn applies(tree: &Path) -> Result<(), Failed> {
    let series = tempfile::tempdir()?;
    let made = Command::new("bash")
        .arg(kernel("series.sh"))
        .args([&kernel(".."), series.path()])
        .arg("CKI <nobody@example.org>")
        .output()?;
    assert!(made.status.success(), "{made:?}");
    let output = try_series(series.path(), tree);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// A mail that changes the third of five lines, in a file of `arch/x86`.
fn mail(file: &str) -> String {
    format!(
        "Subject: [RFC PATCH] x86: change it\n\n---\ndiff --git a/arch/x86/{file} b/arch/x86/{file}\n\
         --- a/arch/x86/{file}\n+++ b/arch/x86/{file}\n\
         @@ -1,5 +1,5 @@\n one\n two\n-three\n+3\n four\n five\n"
    )
}

/// A tree of Linux 6.99 with these files in `arch/x86`.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(tree.path().join("arch/x86")).expect("made");
    let version = "VERSION = 6\nPATCHLEVEL = 99\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n";
    fs::write(tree.path().join("Makefile"), version).expect("written");
    for (name, text) in files {
        fs::write(tree.path().join("arch/x86").join(name), text).expect("written");
    }
    tree
}

fn tell() {
    let series = tempfile::tempdir().expect("a directory");
    for (number, file) in (1..).zip(["same", "moved", "near", "far", "gone"]) {
        let name = format!("000{number}-{file}.patch");
        fs::write(series.path().join(name), mail(file)).expect("written");
    }
    let same = "one\ntwo\nthree\nfour\nfive\n";
    let files = [
        ("same", same),
        ("moved", "zero\none\ntwo\nthree\nfour\nfive\n"),
        ("near", "1\ntwo\nthree\nfour\n5\n"),
        ("far", "one\ntwo\n3.0\nfour\nfive\n"),
    ];
    let other = tree(&files);
    let output = try_series(series.path(), other.path());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "Linux 6.99.0-rc1",
            "0001-same: applies",
            "0002-moved: applies",
            "0003-near: applies with other lines around",
            "0004-far: 1 of 1 hunks do not apply",
            "0005-gone: 1 of 1 hunks do not apply",
            "3 of 5 mails apply",
        ],
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(1));
    // The tree is as it was.
    for (name, text) in files {
        let path = other.path().join("arch/x86").join(name);
        assert_eq!(fs::read_to_string(path).expect("text"), text);
    }
    for file in ["0004-far.patch", "0005-gone.patch"] {
        fs::remove_file(series.path().join(file)).expect("removed");
    }
    let output = try_series(series.path(), other.path());
    assert!(output.status.success(), "{output:?}");
}

fn refuse() {
    let series = tempfile::tempdir().expect("a directory");
    let output = try_series(series.path(), series.path());
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("is no tree of Linux"), "{told}");
}

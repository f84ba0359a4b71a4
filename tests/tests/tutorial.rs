// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exercise of `docs/hack/first-change.md`, done as the page says: its test fails without its rule, and all
//! tests of the monitor's rules pass with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The Rust code of the page, block by block.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```rust\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the end of the code").0)
        .collect()
}

/// A workspace of the rules and what they use, in a directory of its own.
fn workspace(root: &Path, into: &Path) {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let manifest: String = manifest
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| {
            if line.starts_with("members") {
                "members = [\"abi\", \"ksm/core\"]\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(into.join("Cargo.toml"), manifest).expect("a manifest");
    let status = Command::new("cp")
        .args([
            "--recursive",
            "--parents",
            "Cargo.lock",
            "abi",
            "ksm/core",
            "docs",
            "tests",
            "ksm/shell",
        ])
        .arg(into)
        .current_dir(root)
        .status()
        .expect("cp is started");
    assert!(status.success(), "{status}");
}

/// Changes a file by `change`, which has to change it.
fn edit(file: PathBuf, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(&file).expect("the file");
    let changed = change(&text);
    assert_ne!(text, changed, "{} is as it was", file.display());
    fs::write(file, changed).expect("the file");
}

fn cargo_test(workspace: &Path) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args([
            "test",
            "--offline",
            "--package",
            "cki-ksm-core",
            "--no-fail-fast",
        ])
        .env("CARGO_TARGET_DIR", workspace.join("target"))
        .current_dir(workspace)
        .output()
        .expect("cargo is started")
}

#[test]
#[ignore = "compiles the rules twice: `check --all`"]
fn the_first_change_works_as_its_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/hack/first-change.md")).expect("the page");
    let blocks = blocks(&page);
    let [tests, rule] = blocks[..] else {
        panic!("the page has {} blocks of code", blocks.len());
    };
    let dir = tempfile::tempdir().expect("a directory");
    workspace(&root, dir.path());

    // Step 2: the old test becomes two.
    edit(dir.path().join("ksm/core/tests/execute.rs"), |text| {
        let old = "#[test]\nfn i3_user_programs_may_execute_their_memory()";
        let (before, rest) = text.split_once(old).expect("the old test");
        let (_, after) = rest.split_once("\n}\n").expect("its end");
        format!("{before}{tests}{after}")
    });
    let output = cargo_test(dir.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success(),
        "the new test passes without the rule"
    );
    let failed: Vec<_> = text
        .lines()
        .filter(|line| line.ends_with("... FAILED"))
        .collect();
    assert_eq!(
        failed,
        ["test i3_user_programs_execute_nothing_that_they_can_write ... FAILED"],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // Step 3: the rule, where user tables are handled, behind what is there.
    edit(dir.path().join("ksm/core/src/rules.rs"), |text| {
        let (before, rest) = text.split_once("fn judge_bits").expect("the function");
        let user = rest.find("    if user {").expect("user tables");
        let end =
            user + rest[user..].find("        }\n").expect("what is there") + "        }\n".len();
        format!(
            "{before}fn judge_bits{}{rule}{}",
            &rest[..end],
            &rest[end..]
        )
    });
    let output = cargo_test(dir.path());
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );

    // Step 5: the mutant that the page names no longer applies, and no other.
    let mut broken = Vec::new();
    for entry in fs::read_dir(dir.path().join("tests/mutants")).expect("the mutants") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.ends_with(".patch") {
            let status = Command::new("git")
                .args(["apply", "--check"])
                .arg(&path)
                .current_dir(dir.path())
                .status()
                .expect("git is started");
            if !status.success() {
                broken.push(name.into_owned());
            }
        }
    }
    assert_eq!(broken, ["07-user_leaf_without_user_bit.patch"]);
}

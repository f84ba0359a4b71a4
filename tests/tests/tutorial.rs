// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exercise of `docs/hack/first-change.md`: its code fits the tree as the page says, its program does what the page
//! says, and with `check --all` its test fails without its rule, and all tests of the monitor's rules pass with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cki_tests::{run_program, variable};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/hack/first-change.md")).expect("the page")
}

/// The step of the page whose heading begins with this number.
fn step(page: &str, number: u32) -> &str {
    let rest = page
        .split_once(&format!("\n## {number}. "))
        .expect("the step")
        .1;
    rest.split_once("\n## ").map_or(rest, |(step, _)| step)
}

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

/// The name of the function of the first test in some code.
fn test_name(code: &str) -> &str {
    let (_, rest) = code.split_once("\nfn ").expect("a test");
    rest.split_once('(').expect("its name").0
}

/// The workspace with the exercise: its tests, and a function that adds its rule.
struct Exercise {
    dir: tempfile::TempDir,
    page: String,
}

impl Exercise {
    /// A copy of the tree as it is.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        workspace(&root(), dir.path());
        Self { dir, page: page() }
    }

    fn blocks(&self) -> [&str; 2] {
        let blocks = blocks(&self.page);
        blocks
            .try_into()
            .expect("a block for the tests, one for the rule")
    }

    /// The name of the test that the exercise adds, which is the second one in its block.
    fn new_test(&self) -> &str {
        let (_, second) = self.blocks()[0].split_once("\n}\n").expect("two tests");
        test_name(second)
    }

    /// Step 2: the old test becomes two.
    fn write_the_test(&self) {
        let tests = self.blocks()[0];
        edit(self.dir.path().join("ksm/core/tests/execute.rs"), |text| {
            let old = format!("#[test]\nfn {}()", test_name(tests));
            let (before, rest) = text.split_once(&old).expect("the old test");
            let (_, after) = rest.split_once("\n}\n").expect("its end");
            assert!(
                !text.contains(self.new_test()),
                "the new test is there already"
            );
            format!("{before}{tests}{after}")
        });
    }

    /// Step 3: the rule, where user tables are handled, behind what is there.
    fn change_the_rule(&self) {
        let rule = self.blocks()[1];
        edit(self.dir.path().join("ksm/core/src/rules.rs"), |text| {
            let (before, rest) = text.split_once("fn judge_bits").expect("the function");
            let user = rest.find("    if user {").expect("user tables");
            let end = user
                + rest[user..].find("        }\n").expect("what is there")
                + "        }\n".len();
            assert!(rest[end..].starts_with("    } else"), "{}", &rest[end..]);
            format!(
                "{before}fn judge_bits{}{rule}{}",
                &rest[..end],
                &rest[end..]
            )
        });
    }
}

#[test]
fn the_code_of_the_first_change_fits_the_tree() {
    let exercise = Exercise::new();
    exercise.write_the_test();
    exercise.change_the_rule();
    let failure = format!("test {} ... FAILED\n", exercise.new_test());
    assert!(step(&exercise.page, 2).contains(&failure), "{failure}");

    // Step 5: the mutant that the page names no longer applies, and no other.
    let mut broken = Vec::new();
    for entry in fs::read_dir(exercise.dir.path().join("tests/mutants")).expect("the mutants") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.ends_with(".patch") {
            let status = Command::new("git")
                .args(["apply", "--check"])
                .arg(&path)
                .current_dir(exercise.dir.path())
                .status()
                .expect("git is started");
            if !status.success() {
                broken.push(name.into_owned());
            }
        }
    }
    assert_eq!(broken, ["07-user_leaf_without_user_bit.patch"]);
    assert!(step(&exercise.page, 5).contains("git apply --check tests/mutants/07-*.patch"));
}

#[test]
fn the_program_of_the_first_change_writes_what_it_may_execute_today() {
    let page = page();
    let command: String = step(&page, 1)
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    let script = command.replace("cargo run --release --", "\"$CKI_BUILD\" --quiet");
    assert_ne!(script, command, "the page starts the tool in another way");
    assert!(variable("CKI_BUILD").exists());
    let output = run_program("sh", ["-c", &script], b"");
    assert_eq!(
        (output.text(), output.status),
        ("written\n", 0),
        "{}",
        output.stderr
    );
}

#[test]
fn what_the_first_change_makes_the_kernel_say_is_what_it_says() {
    let page = page();
    let said = step(&page, 4)
        .lines()
        .find(|line| line.starts_with("    cki: "))
        .expect("a message");
    let (_, message) = said.split_once("]: ").expect("the process before it");
    let number = cki_abi::errors::E_EXECUTE.to_string();
    let (words, code) = message.rsplit_once(' ').expect("a number");
    assert_eq!(code, number);
    let words = words.split_once(" of ").expect("an address").0;
    let kernel = root().join("kernel/src/arch/x86/cki/refused.c");
    let kernel = fs::read_to_string(kernel).expect("the source");
    assert!(
        kernel.contains(&format!("cki: %s[%d]: {words} of %#llx: error %ld\\n")),
        "{words}"
    );
}

#[test]
#[ignore = "compiles the rules twice: `check --all`"]
fn the_first_change_works_as_its_page_says() {
    let exercise = Exercise::new();
    exercise.write_the_test();
    let output = cargo_test(exercise.dir.path());
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
        [format!("test {} ... FAILED", exercise.new_test())],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    exercise.change_the_rule();
    let output = cargo_test(exercise.dir.path());
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

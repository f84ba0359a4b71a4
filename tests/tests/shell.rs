// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the flake has for those who change CKI: `nix develop` and `nix fmt`.

use std::path::Path;
use std::process::Output;

use cki_nix::Nix;
use cki_process::exec::Command;
use cki_tests::checkout;

/// Runs `nix SUBCOMMAND ARGUMENTS` for the checkout, in the folder `here`.
fn nix(subcommand: &str, here: &Path, arguments: &[&str]) -> Output {
    let command = Command::new("nix")
        .args([subcommand, "--offline"])
        .args(arguments)
        .cwd(here);
    Nix::current()
        .with_env(command)
        .output()
        .expect("nix is started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command in the development shell prints.
fn in_shell(here: &Path, command: &[&str]) -> String {
    let flake = checkout().dir;
    let mut arguments = vec![flake.to_str().expect("a path in UTF-8"), "--command"];
    arguments.extend(command);
    let output = nix("develop", here, &arguments);
    assert!(
        output.status.success(),
        "{command:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn the_development_shell_has_the_pinned_tools_on_the_machines_files() {
    let scratch = tempfile::tempdir().expect("a folder");
    let here = scratch.path();
    for program in ["rustc", "cargo", "cargo-clippy"] {
        let version = in_shell(here, &[program, "--version"]);
        assert!(version.contains("1.85"), "{program}: {version}");
    }
    std::fs::write(
        here.join("word.c"),
        "#include <stdio.h>\nint main(void) { return puts(\"here\") < 0; }\n",
    )
    .expect("a file of the machine");
    in_shell(here, &["gcc", "-o", "word", "word.c"]);
    // It is the machine's program, too: what was built is where it was asked for, and runs outside.
    let output = Command::new(here.join("word")).output().expect("it starts");
    assert_eq!(text(&output.stdout), "here\n");
}

#[test]
fn rust_programs_are_built_and_tested_in_the_development_shell() {
    let scratch = tempfile::tempdir().expect("a folder");
    let here = scratch.path();
    std::fs::create_dir(here.join("src")).expect("a folder");
    std::fs::write(
        here.join("Cargo.toml"),
        "[package]\nname = \"word\"\nedition = \"2024\"\n",
    )
    .expect("a file");
    std::fs::write(
        here.join("src/lib.rs"),
        "#[test]\nfn sums() {\n    assert_eq!(1 + 1, 2);\n}\n",
    )
    .expect("a file");
    let output = in_shell(here, &["cargo", "test", "--offline"]);
    assert!(output.contains("test sums ... ok"), "{output}");
    assert!(
        here.join("target/nix-develop").is_dir(),
        "in a folder of its own"
    );
    in_shell(here, &["cargo", "fmt", "--check"]);
    in_shell(
        here,
        &["cargo", "clippy", "--offline", "--", "--deny", "warnings"],
    );
}

#[test]
fn the_nix_files_are_formatted() {
    let dir = checkout().dir;
    let output = nix("fmt", &dir, &["--", "--check"]);
    assert!(
        output.status.success(),
        "run `nix fmt`:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
fn a_nix_file_that_is_not_formatted_is_named_and_then_formatted() {
    let scratch = tempfile::tempdir().expect("a folder");
    let file = scratch.path().join("x.nix");
    let path = file.to_str().expect("a path in UTF-8");
    std::fs::write(&file, "{a=1;\n      b = 2;}\n").expect("a file");
    let dir = checkout().dir;
    let check = || nix("fmt", &dir, &["--", "--check", path]);
    let before = check();
    assert_eq!(before.status.code(), Some(1), "{}", text(&before.stderr));
    assert_eq!(text(&before.stdout), format!("{path}: not formatted\n"));
    assert!(nix("fmt", &dir, &["--", path]).status.success());
    let after = check();
    assert!(
        after.status.success(),
        "{}{}",
        text(&after.stdout),
        text(&after.stderr)
    );
}

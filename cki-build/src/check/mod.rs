// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running all tests and adding them up.

pub mod libtest;
pub mod needs;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use rustix::process::Signal;

use cki_process::exec::{Command, ExecError};
pub use libtest::{Count, Counter};

/// Outputs of the flake that the tests need, and the variable by which each is told of it.
pub const NEEDED: [(&str, &str); 33] = [
    ("cki-qemu", "CKI_QEMU"),
    ("qemu-stock", "CKI_QEMU_STOCK"),
    ("cki-isa-tests", "CKI_ISA_TESTS"),
    ("cki-host", "CKI_HOST"),
    ("cki-host-disk", "CKI_HOST_DISK"),
    ("cki-host-debian", "CKI_HOST_DEBIAN"),
    ("cki-host-xen", "CKI_HOST_XEN"),
    ("cki-runtime-debian", "CKI_RUNTIME_DEBIAN"),
    ("cki-kernel-debug", "CKI_KERNEL_DEBUG"),
    ("cki-kmod-debug", "CKI_KMOD_DEBUG"),
    ("cki-witness-debug", "CKI_WITNESS_DEBUG"),
    ("cki-host-debug", "CKI_HOST_DEBUG"),
    ("cki-runtime-debug", "CKI_RUNTIME_DEBUG"),
    ("cki-kernel", "CKI_KERNEL"),
    ("cki-runtime", "CKI_RUNTIME"),
    ("cki-ksm", "CKI_KSM"),
    ("cki-ksm-mutants", "CKI_KSM_MUTANTS"),
    ("cki-kmod", "CKI_KMOD"),
    ("cki-kmod-tests", "CKI_KMOD_TESTS"),
    ("cki-monitor-driver", "CKI_MONITOR_DRIVER"),
    ("cki-micro", "CKI_MICRO"),
    ("cki-workload", "CKI_WORKLOAD"),
    ("cki-witness", "CKI_WITNESS"),
    ("debian-kernel", "CKI_DEBIAN_KERNEL"),
    ("cki-kmod-debian", "CKI_KMOD_DEBIAN"),
    ("cki-kmod-tests-debian", "CKI_KMOD_TESTS_DEBIAN"),
    ("cki-variants", "CKI_VARIANTS"),
    ("cki-docs", "CKI_DOCS"),
    ("cki-system", "CKI_SYSTEM"),
    ("cki-system-disk", "CKI_SYSTEM_DISK"),
    ("cki-vm", "CKI_VM"),
    ("cki-test-web", "CKI_TEST_WEB"),
    ("cki-test-ssh", "CKI_TEST_SSH"),
];

/// How the tests of a suite are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// By the summaries of Rust's test harness on standard output.
    Harness,
    /// The command is one test.
    One,
}

/// A command that is one test or runs many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// What it is called.
    pub name: &'static str,
    /// The command.
    pub command: Command,
    /// How it counts.
    pub counting: Counting,
}

/// `cargo` in the checkout; the one that runs us when one does.
#[must_use]
pub fn cargo(checkout: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    Command::new(program).cwd(checkout)
}

/// Unit and integration tests that need nothing built by Nix; with `all`, also those that are left out otherwise.
#[must_use]
pub fn unit_tests(checkout: &Path, filter: Option<&str>, all: bool) -> Suite {
    let command = cargo(checkout).args([
        "test",
        "--workspace",
        "--exclude",
        "cki-tests",
        "--no-fail-fast",
        "--",
    ]);
    Suite {
        name: "tests of the crates",
        command: command
            .args(all.then_some("--include-ignored"))
            .args(filter),
        counting: Counting::Harness,
    }
}

/// Tests of the machine and of the flake; with `all`, also those that are left out otherwise.
#[must_use]
pub fn machine_tests(
    checkout: &Path,
    filter: Option<&str>,
    all: bool,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Suite {
    let command = cargo(checkout).args(["test", "--package", "cki-tests", "--no-fail-fast", "--"]);
    let command = command
        .args(all.then_some("--include-ignored"))
        .args(filter);
    let command = env
        .into_iter()
        .fold(command, |command, (key, value)| command.env(key, value));
    Suite {
        name: "tests of the machine",
        command,
        counting: Counting::Harness,
    }
}

/// Formatting and lints, each one test.
#[must_use]
pub fn lints(checkout: &Path) -> [Suite; 2] {
    let suite = |name, args: &[&str]| Suite {
        name,
        command: cargo(checkout).args(args.iter().copied()),
        counting: Counting::One,
    };
    [
        suite("fmt", &["fmt", "--all", "--check"]),
        suite(
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny",
                "warnings",
            ],
        ),
    ]
}

/// The documentation of the crates, of what is private too, has no link that leads nowhere, nor anything else that
/// rustdoc warns of.
#[must_use]
pub fn documentation(checkout: &Path) -> Suite {
    Suite {
        name: "doc",
        command: cargo(checkout)
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--keep-going",
            ])
            .env("RUSTDOCFLAGS", "--deny warnings"),
        counting: Counting::One,
    }
}

/// Runs `suite`: standard error goes to ours, standard output to `output`, as they come.
///
/// # Errors
/// [`ExecError`] when it cannot be started.
pub fn run(suite: &Suite, output: &mut dyn Write) -> Result<Count, ExecError> {
    let failed = |source| suite.command.spawn_error(source);
    let reader = suite
        .command
        .expression(Signal::TERM)
        .stdin_null()
        .reader()
        .map_err(failed)?;
    let mut lines = BufReader::new(reader);
    let mut counter = Counter::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        // The count matters even when nobody reads along.
        let _ = output.write_all(&line).and_then(|()| output.flush());
        counter.line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let ended = lines.get_ref().try_wait().map_err(failed)?;
    let success = ended.is_some_and(|output| output.status.success());
    Ok(match suite.counting {
        Counting::Harness => counter.finish(success),
        Counting::One => Count {
            passed: u64::from(success),
            failed: u64::from(!success),
            ignored: 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(suite: &Suite) -> Vec<String> {
        suite.command.argv()[1..].to_vec()
    }

    #[test]
    fn the_crates_are_tested_without_the_machine_and_to_the_end() {
        let suite = unit_tests(Path::new("/x"), Some("session"), false);
        assert_eq!(
            words(&suite),
            [
                "test",
                "--workspace",
                "--exclude",
                "cki-tests",
                "--no-fail-fast",
                "--",
                "session"
            ]
        );
        assert_eq!(suite.command.dir(), Some(Path::new("/x")));
    }

    #[test]
    fn the_machine_tests_are_told_where_the_outputs_are() {
        let env = [("CKI_QEMU".into(), "/nix/store/q".into())];
        let suite = machine_tests(Path::new("/x"), None, false, env);
        let expected = ["test", "--package", "cki-tests", "--no-fail-fast", "--"];
        assert_eq!(words(&suite), expected);
        assert_eq!(
            suite.command.env_value("CKI_QEMU"),
            Some("/nix/store/q".as_ref())
        );
    }

    #[test]
    fn a_warning_in_the_documentation_is_a_failure() {
        let suite = documentation(Path::new("/x"));
        let flags = suite.command.env_value("RUSTDOCFLAGS");
        assert_eq!(flags, Some("--deny warnings".as_ref()));
        assert_eq!(words(&suite)[0], "doc");
    }

    #[test]
    fn the_long_form_leaves_no_test_out() {
        let suite = unit_tests(Path::new("/x"), Some("book"), true);
        assert_eq!(words(&suite)[5..], ["--", "--include-ignored", "book"]);
        let suite = machine_tests(Path::new("/x"), Some("book"), true, []);
        assert_eq!(words(&suite)[4..], ["--", "--include-ignored", "book"]);
    }

    #[test]
    fn a_command_without_a_harness_is_one_test() {
        let suite = |script: &str, counting| Suite {
            name: "x",
            command: Command::new("sh").args(["-c", script]),
            counting,
        };
        let mut output = Vec::new();
        let count = run(&suite("exit 1", Counting::One), &mut output).expect("runs");
        assert_eq!((count.passed, count.failed), (0, 1));
        let count = run(&suite("echo hi", Counting::One), &mut output).expect("runs");
        assert_eq!((count.passed, count.failed), (1, 0));
        assert_eq!(output, b"hi\n");
    }

    #[test]
    fn a_runner_killed_by_a_signal_has_failed() {
        let suite = Suite {
            name: "x",
            command: Command::new("sh").args(["-c", "echo 'running 2 tests'; kill -9 $$"]),
            counting: Counting::Harness,
        };
        let count = run(&suite, &mut Vec::new()).expect("runs");
        assert_eq!((count.passed, count.failed), (0, 1));
    }
}

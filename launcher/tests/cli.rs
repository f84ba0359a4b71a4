// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary, as far as it goes on a machine without `/dev/cki`: bad input has a message and a status.

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::{cki, erofs, file, refused};

#[test]
fn an_absent_device_is_named() {
    refused(
        &["--device", "/dev/no-such", "info"],
        125,
        &["/dev/no-such does not exist", "module cki"],
    );
}

#[test]
fn a_device_of_somebody_else_is_told_with_who_may_open_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let device = file(directory.path(), "cki", b"");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("allowed");
    };
    mode(device.as_ref(), 0o060);
    let copy = directory.path().join("launcher");
    // By another process: a child of another test that inherited a descriptor for writing would make it busy.
    let copied = Command::new("cp")
        .args([env!("CARGO_BIN_EXE_cki").as_ref(), copy.as_os_str()])
        .status();
    assert!(copied.expect("cp is started").success());
    // Root may open anything: as root, be somebody else.
    let mut command = Command::new(&copy);
    mode(directory.path(), 0o755);
    if std::fs::metadata(&device).expect("there").uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let output = command
        .args(["--device", &device, "info"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    for part in ["may not be opened by user", "only user", "members of group"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn another_device_is_told_from_ours() {
    refused(
        &["--device", "/dev/null", "info"],
        125,
        &["/dev/null is not the device of CKI"],
    );
}

#[test]
fn bad_images_and_kernels_are_refused_before_the_device_is_asked() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = file(directory.path(), "text", b"hello\n");
    let image = file(directory.path(), "image", &erofs());
    let half = file(directory.path(), "half", &erofs()[..4096]);
    let folder = directory.path().to_str().expect("UTF-8");
    let run = |kernel: &str, root: &str, parts: &[&str]| {
        refused(
            &["run", "--kernel", kernel, "--image", root, "--", "true"],
            125,
            parts,
        );
    };
    run(&text, &text, &["application image", "no EROFS image"]);
    run(&text, &half, &["truncated", "8192", "4096"]);
    run(&text, &image, &["guest kernel", "no 64-bit x86 ELF"]);
    run(&text, "/no/such", &["/no/such", "No such file"]);
    run(&text, folder, &["is no file"]);
    run(&text, "/dev/null", &["is no file"]);
    // A foreign ELF file: ourselves.
    run(env!("CARGO_BIN_EXE_cki"), &image, &["guest kernel"]);
}

#[test]
fn usage_errors_have_the_status_of_failures() {
    refused(&["run"], 125, &["--kernel"]);
    refused(&["frob"], 125, &["frob"]);
    let run = ["run", "--kernel", "k", "--image", "r"];
    let with = |more: &[&'static str]| [&run[..], more, &["--", "true"]].concat();
    refused(&with(&["--memory", "0.3G"]), 125, &["307M or 308M"]);
    refused(
        &with(&["--memory", "257G"]),
        125,
        &["at most 256G, not 257G"],
    );
    refused(&with(&["--workdir", "tmp"]), 125, &["absolute path"]);
    refused(&with(&["--session-fd", "3"]), 125, &["--session-fd"]);
    let session = [&run[..], &["--session-fd", "5"]].concat();
    for twice in [
        &["--disk-fd", "a=5"][..],
        &["--disk-fd", "a=6", "--volume-fd", "b=6"],
    ] {
        refused(&[&session[..], twice].concat(), 125, &["is named twice"]);
    }
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let help = |stdout: std::process::Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cki"));
        command
            .arg("--help")
            .stdout(stdout)
            .output()
            .expect("it runs")
    };
    let full = std::fs::File::create("/dev/full").expect("there");
    let output = help(full.into());
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("No space left"), "{text}");
    // A reader that has enough is none.
    let (reader, writer) = UnixStream::pair().expect("a pair");
    drop(reader);
    let output = help(OwnedFd::from(writer).into());
    assert_eq!(output.status.code(), Some(0));
    let output = help(std::process::Stdio::piped());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("128+N"), "{text}");
}

#[test]
fn manual_pages_and_completions_are_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("man");
    let output = cki(&["man", "--out", out.to_str().expect("UTF-8")]);
    assert!(output.status.success());
    assert!(out.join("cki.1").exists() && out.join("cki-run.1").exists());
    let script = cki(&["completions", "bash"]);
    assert!(String::from_utf8_lossy(&script.stdout).contains("--page-tables"));
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_the_programs_end() {
    let directory = tempfile::tempdir().expect("a directory");
    // A manual page is longer than one of a shell's blocks.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 1; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_cki"), "man", "--out"])
        .arg(directory.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(125),
        "{:?} {text}",
        output.status
    );
    assert!(text.contains("File too large"), "{text}");
}

#[test]
fn a_file_that_cannot_be_a_disk_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("disk.qcow2"), b"QFI\xfb").unwrap();
    std::fs::write(path("small"), "x").unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    std::fs::write(path("used"), [0; 512]).unwrap();
    let used = std::fs::File::open(path("used")).unwrap();
    rustix::fs::flock(&used, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for (name, parts) in [
        ("missing", ["no such file", "truncate"]),
        ("missing:ro", ["no such file", "truncate"]),
        ("disk.qcow2", ["qcow2 image", "-O raw"]),
        ("small", ["has 1 bytes", "truncate -s %512"]),
        ("directory", ["is a directory", "a file in it"]),
        ("disk.qcow2:format=raw", ["4 bytes", "truncate"]),
        ("used", ["in use", "FILE:ro"]),
        ("used:ro", ["in use", "FILE:ro"]),
    ] {
        let disk = path(name);
        let arguments = ["run", "--kernel", "/dev/null", "--console", "--disk", &disk];
        refused(&arguments, 125, &[&parts[..], &["cki: disk "]].concat());
    }
    let arguments = ["run", "--kernel", "/dev/null", "--console", "--disk", ":ro"];
    refused(&arguments, 125, &["no file is named"]);
    let sockets = path("small");
    let arguments = [
        "run",
        "--kernel",
        "/dev/null",
        "--console",
        "--vsock",
        &sockets,
    ];
    // Root has to say whose sockets are meant, too.
    let user: &[&str] = match nix::unistd::Uid::effective().is_root() {
        true => &["--jail-user", "0"],
        false => &[],
    };
    let arguments = [&arguments, user].concat();
    refused(
        &arguments,
        125,
        &["exists and is no socket", "another path"],
    );
}

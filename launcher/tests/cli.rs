//! The binary, as far as it goes on a machine without `/dev/cki`: bad input has a message and a status.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn cki(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cki"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn refused(arguments: &[&str], status: i32, parts: &[&str]) {
    let output = cki(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(output.stdout.is_empty());
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn file(directory: &Path, name: &str, contents: &[u8]) -> String {
    let path = directory.join(name);
    let mut file = std::fs::File::create(&path).expect("created");
    file.write_all(contents).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn erofs() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[1024..1028].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
    image[1036] = 12;
    image[1060] = 2;
    image
}

#[test]
fn an_absent_device_is_named() {
    refused(
        &["--device", "/dev/no-such", "info"],
        125,
        &["/dev/no-such does not exist", "module cki"],
    );
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
            &["run", "--kernel", kernel, "--root", root, "--", "true"],
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
fn usage_errors_have_the_usual_status() {
    refused(&["run"], 2, &["--kernel"]);
    refused(&["frob"], 2, &["frob"]);
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

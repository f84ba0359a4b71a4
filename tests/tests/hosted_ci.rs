// SPDX-License-Identifier: MIT OR Apache-2.0

//! What hosted CI publishes (`.ci/artifacts`): it is there, with sums that are right, and can be tried. What of hosted
//! CI needs no built machine is tested in `crates/house/tests/hosted_ci.rs`.

use std::process::Command;

use cki_tests::variable;

#[test]
fn artifacts_are_complete_with_their_sums_and_start() {
    let out = tempfile::tempdir().expect("a folder");
    let status = Command::new(variable("CKI_FLAKE").join(".ci/artifacts"))
        .arg(out.path())
        .env("CKI_BUILD", variable("CKI_BUILD"))
        .status()
        .expect("it starts");
    assert!(status.success(), "{status}");
    let mut names: Vec<_> = out
        .path()
        .read_dir()
        .expect("a folder")
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("a name")
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "SHA256SUMS",
            "SOURCE",
            "busybox.copyright",
            "cki",
            "cki-build",
            "cki-build.copyright",
            "cki-docs.tar.gz",
            "cki-host.qcow2",
            "cki-init.copyright",
            "cki-launcher.copyright",
            "cki-qemu.tar.gz",
            "linux.copyright",
            "lua.erofs",
            "runtime.erofs",
        ]
    );
    let sums = Command::new("sha256sum")
        .current_dir(out.path())
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .status()
        .expect("sha256sum starts");
    assert!(sums.success());
    let listed = std::fs::read_to_string(out.path().join("SHA256SUMS")).expect("the sums");
    assert_eq!(listed.lines().count(), names.len() - 1, "{listed}");
    for (program, says) in [("cki-build", "cki-build 0.1.0\n"), ("cki", "cki 0.1.0\n")] {
        let output = Command::new(out.path().join(program))
            .arg("--version")
            .output()
            .expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), says);
    }
    // The book is a folder that a browser shows.
    let book = Command::new("tar")
        .current_dir(out.path())
        .args(["--extract", "--file", "cki-docs.tar.gz"])
        .status()
        .expect("tar starts");
    assert!(book.success());
    for page in ["index.html", "a-z.html", "try/first-container.html"] {
        assert!(out.path().join("cki-docs").join(page).is_file(), "{page}");
    }
    // The emulator runs from wherever it is unpacked, and has its licences with it.
    let unpacked = Command::new("tar")
        .current_dir(out.path())
        .args(["--extract", "--file", "cki-qemu.tar.gz"])
        .status()
        .expect("tar starts");
    assert!(unpacked.success());
    let cpus = Command::new(out.path().join("cki-qemu/bin/qemu-system-x86_64"))
        .args(["-cpu", "help"])
        .output()
        .expect("it starts");
    assert!(cpus.status.success(), "{cpus:?}");
    for path in ["share/qemu/bios-256k.bin", "share/doc/qemu/copyright"] {
        assert!(out.path().join("cki-qemu").join(path).is_file(), "{path}");
    }
    // The kernel's licence, and where its source is.
    let text = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("a text");
    assert!(text("linux.copyright").contains("GNU GENERAL PUBLIC LICENSE"));
    let head = Command::new("git")
        .current_dir(variable("CKI_FLAKE"))
        .args(["rev-parse", "HEAD"])
        .output()
        .expect("git starts");
    let head = String::from_utf8(head.stdout).expect("UTF-8");
    assert!(
        head.len() > 40 && text("SOURCE").contains(head.trim()),
        "{head} {}",
        text("SOURCE")
    );
    // What the licences of linked crates want to have passed on is passed on.
    let texts = std::fs::read_to_string(out.path().join("cki-launcher.copyright")).expect("a text");
    for part in [
        "Licence: MIT OR Apache-2.0",
        "Apache License",
        "GNU LESSER GENERAL PUBLIC LICENSE",
        "  virtio-queue ",
        "Redistribution and use in source and binary forms",
    ] {
        assert!(texts.contains(part), "{part:?} is not in {texts}");
    }
}

#[test]
fn licences_are_beside_what_the_host_image_is_made_of() {
    let texts = variable("CKI_HOST").join("share/doc");
    for (part, licence) in [
        ("busybox", "GNU GENERAL PUBLIC LICENSE"),
        ("cki-init", "MIT License"),
        ("linux", "GNU GENERAL PUBLIC LICENSE"),
    ] {
        let text = std::fs::read_to_string(texts.join(part).join("copyright")).expect("a text");
        assert!(text.contains(licence), "{part}: {text}");
    }
}

#[test]
fn licences_are_beside_kernel_and_emulator_and_what_is_linked_into_it() {
    for (output, part, words) in [
        ("CKI_KERNEL", "linux", "GNU GENERAL PUBLIC LICENSE"),
        ("CKI_QEMU", "qemu", "GNU GENERAL PUBLIC LICENSE"),
        ("CKI_QEMU", "libglib2.0-0", "LGPL"),
        (
            "CKI_QEMU",
            "libpcre2-8-0",
            "Redistribution and use in source and binary forms",
        ),
        ("CKI_QEMU", "zlib1g", "This software is provided 'as-is'"),
        ("CKI_QEMU", "seabios", "LGPL"),
    ] {
        let path = variable(output)
            .join("share/doc")
            .join(part)
            .join("copyright");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{part}: {e}"));
        assert!(text.contains(words), "{part}: {text}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories of the user's in containers: what POSIX promises of files, and what a volume refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use cki_tests::{Output, run_on};

/// Checks of what POSIX promises, in the directory where it is started; a line for each.
const POSIX: &[u8] = include_bytes!("../programs/posix.py");

/// What it puts out.
const CHECKED: [&str; 17] = [
    "create and exclusive create",
    "rename over, across and exchange",
    "hard links share a file",
    "symbolic links are text",
    "an unlinked file lives as long as it is open",
    "truncate, extend and punch holes",
    "append is atomic between processes",
    "extended attributes",
    "permissions and owners",
    "times are set and kept",
    "a shared mapping is written to the file",
    "a private mapping is not",
    "locks exclude each other",
    "names of 255 bytes, and no longer ones",
    "a thousand files are listed once each",
    "a FIFO connects processes",
    "a directory is removed only when it is empty",
];

fn run(volume: &str, command: &[&str], stdin: &[u8]) -> Output {
    run_on(
        "cki",
        &["--deb", "python3", "--volume", volume],
        command,
        stdin,
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn files_of_a_volume_behave_as_posix_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let volume = format!("{}:/work", text(directory.path()));
    let output = run(&volume, &["sh", "-c", "cd /work && python3 -"], POSIX);
    assert_eq!(output.status, 0, "{}\n{}", output.text(), output.stderr);
    let expected: String = CHECKED.iter().map(|name| format!("{name}\n")).collect();
    assert_eq!(output.text(), expected);
    // What was made in there is here, and nothing was left behind.
    let kept = directory.path().join("kept");
    assert_eq!(fs::read(&kept).unwrap(), b"made in a container\n");
    let metadata = fs::metadata(&kept).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_volume_refuses_what_is_not_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("volume/inside")).unwrap();
    fs::write(at("secret"), "secret").unwrap();
    fs::write(at("volume/file"), "content\n").unwrap();
    fs::set_permissions(at("volume/file"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("../secret", at("volume/up")).unwrap();
    let script = "cd /work || exit 1
        cat file
        cat up inside/../../secret 2> /dev/null && echo out
        mknod memory c 1 1 2> /dev/null && echo device
        for change in 'touch new' 'rm file' 'mv file other' 'chmod 600 file' 'ln file hard' 'sh -c \"echo x >> file\"'
        do eval $change 2> /dev/null && echo changed: $change; done
        mount -o remount,rw /work 2> /dev/null; touch new 2> /dev/null && echo remounted
        true";
    let volume = format!("{}:/work:ro", text(&at("volume")));
    let output = run(&volume, &["sh", "-c", script], b"");
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.text(), "content\n");
    assert_eq!(fs::read(at("volume/file")).unwrap(), b"content\n");
    assert_eq!(fs::read_dir(at("volume")).unwrap().count(), 3);
}

#[test]
fn a_directory_that_is_not_there_is_a_sentence() {
    for (volume, reason) in [
        ("/nonexistent/directory:/work", "No such file or directory"),
        ("/etc/passwd:/work", "Not a directory"),
    ] {
        let output = run(volume, &["true"], b"");
        assert_eq!(output.status, 125, "{}", output.stderr);
        let (directory, _) = volume.split_once(':').unwrap();
        assert!(
            output.stderr.contains(directory) && output.stderr.contains(reason),
            "{}",
            output.stderr
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that can be disks, and files that cannot.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn arg(text: &str) -> DiskArg {
    text.parse().unwrap()
}

fn refused(path: &Path, read_only: bool) -> String {
    let path = path.to_owned();
    match open(&DiskArg { path, read_only }) {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_disk_is_named_with_or_without_ro() {
    assert_eq!(arg("a:b"), arg("a:b:rw"));
    assert!(arg("/x:ro").read_only && !arg("/x").read_only);
    assert_eq!(arg("/x:ro").path, Path::new("/x"));
    for bad in ["", ":ro", ":rw"] {
        assert!(bad.parse::<DiskArg>().is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_disk_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let text = refused(&path, false);
    assert!(
        text.contains("no such file") && text.contains("truncate"),
        "{text}"
    );
    assert!(refused(dir.path(), true).contains("no block device"));
    assert!(refused(Path::new("/dev/null"), false).contains("no block device"));
    std::fs::write(&path, [1; 511]).unwrap();
    assert!(refused(&path, false).contains("512 bytes"));
    std::fs::write(&path, [1; 512]).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    // Root may write it all the same.
    if !nix::unistd::geteuid().is_root() {
        let text = refused(&path, false);
        assert!(text.contains("writing") && text.contains(":ro"), "{text}");
    }
    // As the contents of an image are, whatever wrote them there.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, [&QCOW2[..], &[0; 508]].concat()).unwrap();
    assert!(refused(&path, false).contains("-O raw"));
    let named = dir.path().join("disk.qcow2");
    std::fs::write(&named, [0; 512]).unwrap();
    assert!(refused(&named, false).contains("-O raw"));
}

#[test]
fn a_disk_has_one_writer_or_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [1; 4096]).unwrap();
    let disk = |read_only| DiskArg {
        path: path.clone(),
        read_only,
    };
    let writer = open(&disk(false)).unwrap();
    for read_only in [true, false] {
        let text = refused(&path, read_only);
        assert!(text.contains("in use") && text.contains(":ro"), "{text}");
    }
    drop(writer);
    let (first, second) = (open(&disk(true)).unwrap(), open(&disk(true)).unwrap());
    assert!(refused(&path, false).contains("in use"));
    drop((first, second));
    open(&disk(false)).unwrap();
}

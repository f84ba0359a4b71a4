// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that can be disks, and files that cannot.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use imago::FormatCreateBuilder;
use imago::qcow2::Qcow2;

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
    assert!(refused(&path, false).contains("by its name"));
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

fn image(path: &Path) -> Vec<u8> {
    File::create_new(path).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let file = imago::file::File::try_from(file).unwrap();
    Qcow2::<_, Arc<imago::FormatAccess<_>>>::create_builder(file)
        .size(1 << 20)
        .create()
        .unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_qcow2_image_is_a_disk_and_a_damaged_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    let bytes = image(&path);
    let mut disk = open(&arg(path.to_str().unwrap())).unwrap();
    assert_eq!(disk.size(), 1 << 20);
    disk.write(&[7; 4096], 8192).unwrap();
    disk.zero(8192, 512, true).unwrap();
    disk.flush().unwrap();
    drop(disk);
    let mut disk = open(&arg(&format!("{}:ro", path.display()))).unwrap();
    let mut found = [1; 4096];
    disk.read(&mut found, 8192).unwrap();
    assert!(
        found[..512].iter().all(|&byte| byte == 0) && found[512..].iter().all(|&byte| byte == 7)
    );
    drop(disk);
    // Its first words: magic, version, backing file at, its length, cluster bits, size, ...
    let damaged = |at: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        std::fs::write(&path, bytes).unwrap();
        refused(&path, false)
    };
    for (at, with) in [
        (0, &b"QFI\xfa"[..]),
        (4, &[0, 0, 0, 9]),
        (20, &[0, 0, 0, 60]),
        (40, &[0xff; 8]),
        (48, &[0xff; 8]),
    ] {
        let text = damaged(at, with);
        assert!(text.contains("qemu-img check"), "{at}: {text}");
    }
    std::fs::write(&path, b"QFI\xfb").unwrap();
    assert!(refused(&path, false).contains("qemu-img check"));
}

#[test]
fn an_image_that_refers_to_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, [0x5e; 4096]).unwrap();
    let mut bytes = image(&path);
    let name = secret.to_str().unwrap().as_bytes();
    // The name of a backing file, within the first cluster.
    bytes[8..16].copy_from_slice(&0x400u64.to_be_bytes());
    bytes[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
    bytes[0x400..0x400 + name.len()].copy_from_slice(name);
    std::fs::write(&path, bytes).unwrap();
    let text = refused(&path, true);
    assert!(text.contains("qemu-img convert"), "{text}");
}

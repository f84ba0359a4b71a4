// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that can be disks, and files that cannot.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, fcntl};

use super::*;

/// A disk that the command line names so.
fn option(path: &Path, words: &str) -> DiskOption {
    format!("{}{words}", path.display()).parse().unwrap()
}

fn refused(path: &Path, words: &str, reader: Reader) -> String {
    match open(&option(path, words), reader) {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    }
}

const BOTH: [Reader; 2] = [Reader::Emulator, Reader::Launcher];

#[test]
fn what_is_no_disk_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for reader in BOTH {
        let text = refused(&path, "", reader);
        assert!(text.contains("no such file") && text.contains("truncate"));
        let text = refused(dir.path(), "", reader);
        assert!(text.contains("is a directory"), "{text}");
        for path in [Path::new("/dev/null"), dir.path()] {
            assert!(refused(path, ":ro", reader).contains("is no file"));
        }
        assert!(refused(&socket, "", reader).contains("No such device"));
    }
    for reader in BOTH {
        for (length, reason) in [
            (0, "single sector of 512 bytes"),
            (511, "has 511 bytes"),
            (513, "truncate -s %512"),
        ] {
            std::fs::write(&path, vec![1; length]).unwrap();
            for words in ["", ":ro"] {
                let text = refused(&path, words, reader);
                assert!(text.contains(reason), "{text}");
            }
        }
        std::fs::write(&path, [1; 512]).unwrap();
        let disk = open(&option(&path, ""), reader).unwrap();
        assert_eq!((disk.format, disk.is_read_only), (Format::Raw, false));
    }
}

#[test]
fn a_file_that_may_not_be_written_is_taken_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [1; 512]).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(dir.path(), 0o755);
    mode(&path, 0o444);
    // Root may write it all the same, so this thread is somebody else for files.
    let other = std::thread::spawn(move || {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
        let text = refused(&path, "", Reader::Emulator);
        assert!(text.contains("writing") && text.contains(":ro"), "{text}");
        assert!(
            open(&option(&path, ":ro"), Reader::Emulator)
                .unwrap()
                .is_read_only
        );
        path
    });
    let path = other.join().unwrap();
    mode(&path, 0o000);
    let other = std::thread::spawn(move || {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
        let text = refused(&path, ":ro", Reader::Launcher);
        assert!(text.contains("reading") && !text.contains(":ro"), "{text}");
    });
    other.join().unwrap();
}

#[test]
fn what_a_container_wrote_makes_no_qcow2_image() {
    let dir = tempfile::tempdir().unwrap();
    let (path, named) = (dir.path().join("disk"), dir.path().join("disk.qcow2"));
    let mut image = vec![0; 512];
    image[..4].copy_from_slice(b"QFI\xfb");
    std::fs::write(&path, &image).unwrap();
    std::fs::write(&named, &image).unwrap();
    for reader in BOTH {
        let text = refused(&path, "", reader);
        assert!(
            text.contains("format=raw") && text.contains("format=qcow2"),
            "{text}"
        );
        for path in [&path, &named] {
            let disk = open(&option(path, ":format=raw"), reader).unwrap();
            assert_eq!(disk.format, Format::Raw);
        }
    }
    for (path, words) in [(&path, ":format=qcow2"), (&named, ""), (&named, ":ro")] {
        assert!(refused(path, words, Reader::Launcher).contains("-O raw"));
        // Its version is 0.
        assert!(refused(path, words, Reader::Emulator).contains("version"));
    }
    std::fs::write(&named, [0; 512]).unwrap();
    for reader in BOTH {
        assert!(refused(&named, "", reader).contains("does not begin as one"));
    }
    let other = dir.path().join("disk.VMDK");
    std::fs::write(&other, [0; 512]).unwrap();
    assert!(refused(&other, "", Reader::Emulator).contains("another format"));
    open(&option(&other, ":format=raw"), Reader::Emulator).unwrap();
}

#[test]
fn a_disk_has_one_writer_or_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [1; 4096]).unwrap();
    let take = |words| open(&option(&path, words), Reader::Launcher).unwrap();
    let writer = take("");
    for words in [":ro", ""] {
        let text = refused(&path, words, Reader::Emulator);
        assert!(text.contains("in use") && text.contains(":ro"), "{text}");
    }
    // Whoever inherits it has it.
    let inherited = writer.file.try_clone().unwrap();
    drop(writer);
    assert!(refused(&path, "", Reader::Launcher).contains("in use"));
    drop(inherited);
    let (first, second) = (take(":ro"), take(":ro"));
    assert!(refused(&path, "", Reader::Launcher).contains("in use"));
    drop((first, second));
    take("");
}

#[test]
fn a_disk_of_qemus_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [1; 4096]).unwrap();
    // As QEMU does: the first byte is that of reading, the second that of writing.
    let lock = |byte: i64| {
        let file = File::open(&path).unwrap();
        let read = libc::flock {
            l_type: libc::F_RDLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: byte,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&read)).unwrap();
        file
    };
    let reader = lock(100);
    assert!(refused(&path, "", Reader::Emulator).contains("in use"));
    open(&option(&path, ":ro"), Reader::Emulator).unwrap();
    let writer = lock(101);
    assert!(refused(&path, ":ro", Reader::Emulator).contains("in use"));
    drop((reader, writer));
    open(&option(&path, ""), Reader::Emulator).unwrap();
}

#[test]
fn qemu_finds_a_disk_in_use_that_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, [1; 4096]).unwrap();
    let other = File::open(&path).unwrap();
    let locked = |range: std::ops::Range<i64>| -> Vec<i64> {
        let is_locked = |byte: &i64| {
            let mut asked = libc::flock {
                l_type: libc::F_WRLCK as i16,
                l_whence: libc::SEEK_SET as i16,
                l_start: *byte,
                l_len: 1,
                l_pid: 0,
            };
            fcntl(&other, FcntlArg::F_OFD_GETLK(&mut asked)).unwrap();
            asked.l_type != libc::F_UNLCK as i16
        };
        range.filter(is_locked).collect()
    };
    for reader in BOTH {
        let disk = open(&option(&path, ""), reader).unwrap();
        assert_eq!(locked(0..512), [100, 101, 103, 201, 203]);
        drop(disk);
        let disks = [":ro", ":ro"].map(|words| open(&option(&path, words), reader).unwrap());
        assert_eq!(locked(0..512), [100, 201, 203]);
        drop(disks);
        assert_eq!(locked(0..512), [0; 0]);
    }
}

#[test]
fn a_word_that_is_no_option_is_named_with_those_that_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    for words in [":foo=1", ":read-bp=10M:ro", ":or", ":foo=1:bar=2"] {
        let text = refused(&path, words, Reader::Emulator);
        assert!(text.contains("make one"), "{text}");
    }
    std::fs::write(&path, [1; 512]).unwrap();
    for (words, word) in [
        (":foo=1", "\"foo=1\""),
        (":read-bp=10M:ro", "\"read-bp=10M\""),
        (":or", "\"or\""),
        (":foo=1:bar=2", "\"foo=1:bar=2\""),
    ] {
        let text = refused(&path, words, Reader::Emulator);
        for part in [word, "format=qcow2", "read-bps=RATE", "write-iops=RATE"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

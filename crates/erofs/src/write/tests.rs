// SPDX-License-Identifier: MIT OR Apache-2.0

//! Written file systems, read again.

use std::io::Cursor;

use super::reader::read;
use super::*;
use crate::Disk;

fn path(text: &str) -> Vec<&[u8]> {
    text.split('/').map(str::as_bytes).collect()
}

fn file(writer: &mut Writer<Cursor<Vec<u8>>>, name: &str, contents: &[u8]) {
    let attributes = Attributes::of_root(0o644);
    let size = contents.len() as u64;
    let added = writer.file(&path(name), attributes, size, &mut &*contents);
    added.expect("added");
}

fn written(fill: impl Fn(&mut Writer<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).expect("begun");
    fill(&mut writer);
    writer.finish().expect("finished").into_inner()
}

#[test]
fn files_of_every_length_around_a_block_come_back() {
    let lengths = [
        0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 6144, 6145, 8192, 20_000,
    ];
    let contents = |length: usize| (0..length).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let image = written(|writer| {
        for length in lengths {
            file(writer, &format!("f{length}"), &contents(length));
        }
    });
    let all = read(&image);
    for length in lengths {
        assert!(
            all[&format!("/f{length}")].data == contents(length),
            "{length}"
        );
    }
}

#[test]
fn many_small_files_are_not_held_in_memory() {
    let each = [7; 2048];
    let count = TAILS_MAX / 2048 + 100;
    let image = written(|writer| {
        for n in 0..count {
            file(writer, &format!("f{n}"), &each);
        }
        assert!(writer.tails <= TAILS_MAX, "{}", writer.tails);
    });
    let all = read(&image);
    assert_eq!(all.len() as u64, count + 1);
    let damaged = (0..count).find(|n| all[&format!("/f{n}")].data != each);
    assert_eq!(damaged, None);
}

#[test]
fn directories_larger_than_a_block_are_found_by_every_name() {
    let name = |n: u32| format!("dir/{}-{n}", "x".repeat((n % 90) as usize));
    let image = written(|writer| {
        for n in 0..3000 {
            file(writer, &name(n), &n.to_le_bytes());
        }
        // Before `.` and `..` in the order of bytes.
        file(writer, "dir/+", b"plus");
    });
    let all = read(&image);
    for n in 0..3000 {
        assert_eq!(all[&format!("/{}", name(n))].data, n.to_le_bytes());
    }
    assert_eq!(all["/dir/+"].data, b"plus");
    assert_eq!(all.len(), 3003);
}

#[test]
fn links_modes_and_pipes_come_back() {
    let image = written(|writer| {
        file(writer, "a/file", b"x");
        let attributes = Attributes::of_root;
        let link = writer.symlink(&path("a/link"), attributes(0o777), b"../target");
        link.expect("added");
        let long = "t".repeat(3000);
        let link = writer.symlink(&path("long"), attributes(0o777), long.as_bytes());
        link.expect("added");
        let tree = writer.tree();
        let hard = tree.hard_link(&path("hard"), &path("a/file"));
        hard.expect("added");
        tree.directory(&path("a"), attributes(0o700))
            .expect("added");
        let fifo = tree.device(&path("pipe"), attributes(0o600), Kind::Fifo, (0, 0));
        fifo.expect("added");
        let disk = tree.device(
            &path("sda300"),
            attributes(0o660),
            Kind::BlockDevice,
            (8, 300),
        );
        disk.expect("added");
    });
    let all = read(&image);
    let entry = |name: &str, mode: u16, data: &[u8]| {
        let found = &all[name];
        assert_eq!((found.mode, &found.data[..]), (mode, data), "{name}");
    };
    entry("/a/link", 0o120_777, b"../target");
    entry("/long", 0o120_777, "t".repeat(3000).as_bytes());
    entry("/pipe", 0o010_600, &[0; 4]);
    entry("/sda300", 0o060_660, &0x0010_082c_u32.to_le_bytes());
    assert_eq!(all["/a"].mode, 0o040_700);
    assert_eq!(all["/hard"], all["/a/file"]);
    assert_eq!((all["/hard"].links, all["/long"].links), (2, 1));
    // Its own name, its own dot, and the two dots of `a`.
    assert_eq!(all[""].links, 3);
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let image = written(|writer| {
        file(writer, "file", b"old");
        file(writer, "file", b"new");
        file(writer, "was-a-dir/x", b"x");
        file(writer, "was-a-dir", b"now a file");
    });
    let all = read(&image);
    assert_eq!(all["/file"].data, b"new");
    assert_eq!(all["/was-a-dir"].data, b"now a file");
    assert!(!all.contains_key("/was-a-dir/x"));
}

#[test]
fn equal_entries_make_equal_bits_and_the_size_is_the_files() {
    let image = || {
        written(|writer| {
            file(writer, "zeros", &[0; 3 * 4096]);
            let mut attributes = Attributes::of_root(0o4755);
            (attributes.user, attributes.group, attributes.modified) = (7, 8, 9);
            let xattrs = &mut attributes.xattrs;
            xattrs.insert(b"user.a".to_vec(), vec![1; 300]);
            xattrs.insert(b"security.capability".to_vec(), vec![2; 20]);
            let added = writer.file(&path("su"), attributes, 3, &mut &b"abc"[..]);
            added.expect("added");
        })
    };
    let one = image();
    assert!(one == image());
    let found = &read(&one)["/su"];
    assert_eq!((found.mode, found.user, found.modified), (0o104_755, 7, 9));
    let xattrs = [
        (6, b"capability".to_vec(), vec![2; 20]),
        (1, b"a".to_vec(), vec![1; 300]),
    ];
    assert_eq!(found.xattrs, xattrs);
    let size = one.len() as u64;
    assert_eq!(Disk::parse(&one), Some(Disk::Whole { size }));
}

#[test]
fn what_cannot_be_an_entry_is_refused() {
    let mut tree = Tree::default();
    let attributes = || Attributes::of_root(0o755);
    let long = "n".repeat(256);
    for name in ["", ".", "a/..", "a//b", "nul\0", &long] {
        let error = tree.directory(&path(name), attributes());
        assert!(
            matches!(error, Err(TreeError::Name(_))),
            "{name:?}: {error:?}"
        );
    }
    let fifo = |tree: &mut Tree, name| tree.device(&path(name), attributes(), Kind::Fifo, (0, 0));
    fifo(&mut tree, "pipe").expect("added");
    assert_eq!(
        fifo(&mut tree, "pipe/below"),
        Err(TreeError::NoDirectory("pipe".to_owned()))
    );
    for target in ["missing", "pipe/x", "dir"] {
        tree.directory(&path("dir"), attributes()).expect("added");
        let linked = tree.hard_link(&path("hard"), &path(target));
        assert_eq!(linked, Err(TreeError::Link(target.to_owned())));
    }
    for (name, length) in [
        ("odd.x", 1),
        ("system.x", 1),
        ("user.", 1),
        ("user.x", 65536),
    ] {
        let mut attributes = attributes();
        let xattrs = &mut attributes.xattrs;
        xattrs.insert(name.as_bytes().to_vec(), vec![0; length]);
        let error = tree.directory(&path("x"), attributes);
        assert!(matches!(error, Err(TreeError::Xattr(_))), "{name}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Images in every form, and what becomes of their layers.

#[allow(dead_code, reason = "made for other tests, too")]
mod make;
#[allow(dead_code, reason = "made for other tests, too")]
mod open;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use cki_erofs::write::{Attributes, Kind, Writer};
use make::{Layer, config, docker, gzip, index, manifest, oci, zstd};
use open::{archived, converted, made, opened, refused, small};
use serde_json::json;
use tar::EntryType;

type Memory = Writer<Cursor<Vec<u8>>>;

fn expected(fill: impl Fn(&mut Memory)) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).expect("begun");
    fill(&mut writer);
    writer.finish().expect("finished").into_inner()
}

fn root(mode: u16) -> Attributes {
    Attributes::of_root(mode)
}

#[test]
fn every_form_of_an_image_gives_the_same_layers_and_configuration() {
    let plain = [small(), Layer::new().file("x", &[7; 9000]).bytes()];
    let config = config(&plain);
    let dir = tempfile::tempdir().expect("a directory");
    let mut images = Vec::new();
    for (name, files) in [
        ("plain", oci(&config, &plain)),
        (
            "gzip",
            oci(&config, &plain.clone().map(|layer| gzip(&layer))),
        ),
        (
            "zstd",
            oci(&config, &plain.clone().map(|layer| zstd(&layer))),
        ),
        ("docker", docker(&config, &plain)),
    ] {
        let (archive, unpacked) = (
            dir.path().join(format!("{name}.tar")),
            dir.path().join(name),
        );
        files.archive(&archive);
        files.directory(&unpacked);
        for path in [archive, unpacked] {
            let layers = dir.path().join(format!("layers{}", images.len()));
            let (image, paths) = opened(&path, &layers).expect(name);
            let read = |path| fs::read(path).expect("read");
            images.push((image.config, paths.iter().map(read).collect::<Vec<_>>()));
        }
    }
    let (config, _) = &images[0];
    assert!(images.iter().all(|image| *image == images[0]));
    assert_eq!(
        [&config.entrypoint[..], &config.cmd].concat(),
        ["/bin/sh", "-c", "true"]
    );
    let env = [("PATH", "/bin:/usr/bin"), ("EMPTY", "")];
    assert_eq!(config.env, env.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(config.user.as_deref(), Some("daemon:adm"));
    assert_eq!(config.workdir.as_deref(), Some("/srv"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(
        (&config.volumes[..], &config.ports[..]),
        (&["/data".to_owned()][..], &["80/tcp".to_owned()][..])
    );
}

/// Two archives in `dir`: an image of one layer, and one that has another layer on it.
fn two_images(dir: &Path) -> (PathBuf, PathBuf) {
    let (one, two) = (dir.join("1.tar"), dir.join("2.tar"));
    let upper = Layer::new().file("x", b"x").bytes();
    oci(&config(&[small()]), &[small()]).archive(&one);
    let layers = [small(), upper];
    docker(&config(&layers), &layers).archive(&two);
    (one, two)
}

#[test]
fn a_layer_is_made_once_and_shared() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = two_images(dir.path());
    let (_, first) = opened(&one, dir.path()).expect("an image");
    let before = first[0].metadata().expect("there").ino();
    let (_, second) = opened(&two, dir.path()).expect("an image");
    assert_eq!(second[0], first[0]);
    let after = second[0].metadata().expect("there").ino();
    assert_eq!(before, after);
}

#[test]
fn only_a_layer_that_is_not_there_is_announced() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = two_images(dir.path());
    assert_eq!(made(&one, dir.path()), [0]);
    assert_eq!(made(&one, dir.path()), [0; 0]);
    assert_eq!(made(&two, dir.path()), [1]);
}

#[test]
fn entries_of_every_type_are_kept_with_their_attributes() {
    let archive = Layer::new()
        .directory("./")
        .entry(EntryType::Directory, "tmp/", 0o1777, b"")
        .entry(EntryType::Regular, "/bin/su", 0o4755, &[1; 5000])
        .link(EntryType::Symlink, "bin/sh", "/bin/su")
        .link(EntryType::Link, "bin/su2", "bin/su")
        .pax(
            "SCHILY.xattr.security.capability",
            &[1, 0, 0, 2, 0, 0x20, 0xff],
        )
        .file("ping", b"p")
        .device(EntryType::Char, "dev/null", 1, 3)
        .device(EntryType::Block, "dev/sda", 8, 300)
        .entry(EntryType::Fifo, "pipe", 0o600, b"")
        .bytes();
    let image = expected(|writer| {
        writer.tree().directory(&[], root(0o755)).expect("added");
        writer
            .tree()
            .directory(&[b"tmp"], root(0o1777))
            .expect("added");
        let su = writer.file(&[b"bin", b"su"], root(0o4755), 5000, &mut &[1_u8; 5000][..]);
        su.expect("added");
        let sh = writer.symlink(&[b"bin", b"sh"], root(0o777), b"/bin/su");
        sh.expect("added");
        let su2 = writer.tree().hard_link(&[b"bin", b"su2"], &[b"bin", b"su"]);
        su2.expect("added");
        let mut attributes = root(0o644);
        let value = vec![1, 0, 0, 2, 0, 0x20, 0xff];
        attributes
            .xattrs
            .insert(b"security.capability".to_vec(), value);
        let ping = writer.file(&[b"ping"], attributes, 1, &mut &b"p"[..]);
        ping.expect("added");
        let tree = writer.tree();
        let null = tree.device(
            &[b"dev", b"null"],
            root(0o600),
            Kind::CharacterDevice,
            (1, 3),
        );
        null.expect("added");
        let sda = tree.device(&[b"dev", b"sda"], root(0o600), Kind::BlockDevice, (8, 300));
        sda.expect("added");
        let pipe = tree.device(&[b"pipe"], root(0o600), Kind::Fifo, (0, 0));
        pipe.expect("added");
    });
    assert!(converted(archive) == image);
}

#[test]
fn deletions_become_those_of_overlayfs() {
    let archive = Layer::new()
        .directory("a/")
        .file("a/.wh.gone", b"")
        .file("a/.wh.again", b"")
        .file("a/again", b"new")
        .file("a/.wh.dir", b"")
        .directory("a/dir/")
        .file("b/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        // As umoci writes what has become a file.
        .file("file", b"new")
        .file("file/.wh.gone", b"")
        .file("file/dir/.wh.gone", b"")
        .file("file/.wh..wh..opq", b"")
        // As umoci writes what hides all that was below it.
        .file("hides/.wh..wh..opq", b"")
        .directory("hides/")
        .bytes();
    let image = expected(|writer| {
        writer
            .tree()
            .directory(&[b"a"], root(0o755))
            .expect("added");
        let again = writer.file(&[b"a", b"again"], root(0o644), 3, &mut &b"new"[..]);
        again.expect("added");
        let tree = writer.tree();
        tree.directory(&[b"a", b"dir"], root(0o755)).expect("added");
        let file = writer.file(&[b"file"], root(0o644), 3, &mut &b"new"[..]);
        file.expect("added");
        let tree = writer.tree();
        tree.directory(&[b"hides"], root(0o755)).expect("added");
        for path in [&b"b"[..], b"hides"] {
            let marked = tree.mark(&[path], b"trusted.overlay.opaque", b"y");
            marked.expect("marked");
        }
        tree.mark(&[b"a", b"dir"], b"trusted.overlay.opaque", b"y")
            .expect("added");
        let gone = tree.device(&[b"a", b"gone"], root(0), Kind::CharacterDevice, (0, 0));
        gone.expect("added");
    });
    assert!(converted(archive) == image);
}

/// As `umoci insert` writes it.
#[test]
fn an_archive_may_end_with_the_contents_of_its_last_entry() {
    let whole = Layer::new().file("a", &[1; 600]).file("b", &[2; 600]);
    let whole = whole.bytes();
    let cut = whole[..512 + 1024 + 512 + 600].to_vec();
    assert!(converted(cut) == converted(whole));
}

#[test]
fn a_large_file_of_zeros_takes_no_room() {
    use std::os::unix::fs::MetadataExt as _;
    let archive = Layer::new().file("zeros", &vec![0; 8 << 20]).bytes();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("image.tar");
    oci(&config(std::slice::from_ref(&archive)), &[gzip(&archive)]).archive(&path);
    let (_, layers) = opened(&path, dir.path()).expect("an image");
    let meta = layers[0].metadata().expect("there");
    assert!(
        meta.len() > 8 << 20 && meta.blocks() * 512 < 1 << 20,
        "{meta:?}"
    );
}

#[test]
fn names_are_no_way_out_of_the_image() {
    // Absolute names and targets are the image's own: nothing is written to the user's file system.
    let absolute = Layer::new()
        .file("/etc/x", b"x")
        .link(EntryType::Link, "y", "/etc/x")
        .bytes();
    let relative = Layer::new()
        .file("etc/x", b"x")
        .link(EntryType::Link, "y", "etc/x")
        .bytes();
    assert!(converted(absolute) == converted(relative));
}

#[test]
fn the_image_for_this_machine_is_taken_out_of_several() {
    let mut files = oci(&config(&[small()]), &[small()]);
    let mut ours = manifest(&files);
    let mut other = ours.clone();
    ours["platform"] = json!({"os": "linux", "architecture": "amd64"});
    other["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let mut attestation = ours.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    index(&mut files, &[other.clone(), attestation, ours.clone()]);
    archived(&files).expect("an image");
    // An index in the index, as docker writes it.
    let list = json!({"schemaVersion": 2, "manifests": [other, ours]}).to_string();
    let (digest, size) = files.blob(list.into_bytes());
    let nested = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": size});
    index(&mut files, &[nested]);
    archived(&files).expect("an image");

    index(&mut files, &[other.clone()]);
    assert!(refused(&files).contains("for linux/arm64; containers run linux/amd64"));
    index(&mut files, &[ours.clone(), ours.clone()]);
    assert!(refused(&files).contains("several images: sha256:"));
    index(&mut files, &[]);
    assert!(refused(&files).contains("it has no image"));
}

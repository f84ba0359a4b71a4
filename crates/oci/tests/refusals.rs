// SPDX-License-Identifier: MIT OR Apache-2.0

//! Archives that are damaged or mean harm: each is refused by name.

#[allow(dead_code, reason = "made for other tests, too")]
mod make;
#[allow(dead_code, reason = "made for other tests, too")]
mod open;

use std::fs;
use std::path::Path;

use make::{Layer, config, docker, gzip, manifest, oci, sha256, zstd};
use open::{archived, converted, opened, refused, refused_layer, small};
use serde_json::json;
use tar::EntryType;

#[test]
fn entries_that_lead_out_or_cannot_be_are_refused_by_name() {
    let fifo = EntryType::Fifo;
    for (layer, words) in [
        (
            Layer::new().file("a/../../etc/passwd", b""),
            "\"a/../../etc/passwd\" has `..`",
        ),
        (Layer::new().file("..", b""), "\"..\" has `..`"),
        (
            Layer::new().link(EntryType::Link, "x", "../../etc/shadow"),
            "hard link to \"../../etc/shadow\"",
        ),
        (
            Layer::new().link(EntryType::Link, "x", "/etc/shadow"),
            "hard link to etc/shadow, which is no file",
        ),
        (
            Layer::new()
                .link(EntryType::Symlink, "l", "/etc")
                .file("l/x", b""),
            "l is no directory",
        ),
        (
            Layer::new().device(EntryType::Char, "d", 0, 0),
            "stands for a deletion",
        ),
        (
            Layer::new().device(EntryType::Block, "d", 1, 0x1f_ffff),
            "device number",
        ),
        (Layer::new().file(".wh.", b""), "cannot be a file's name"),
        (Layer::new().file(".wh...", b""), "cannot be a file's name"),
        (
            Layer::new().entry(EntryType::new(b'V'), "x", 0, b""),
            "unknown type 'V'",
        ),
        (
            Layer::new().entry(fifo, "d/d", 0, b"").file("d/d/x", b""),
            "no directory",
        ),
        (
            Layer::new()
                .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
                .directory("d/"),
            "trusted.overlay.redirect",
        ),
        (
            Layer::new()
                .pax("SCHILY.xattr.trusted.overlay.opaque", b"y")
                .directory("d/"),
            "overlayfs' own",
        ),
        (
            Layer::new()
                .pax("SCHILY.xattr.odd.name", b"y")
                .directory("d/"),
            "odd.name",
        ),
        (
            Layer::new().pax("uid", b"99999999999").directory("d/"),
            "owner",
        ),
        (
            Layer::new()
                .pax("path", "d/".repeat(300).as_bytes())
                .directory("d/"),
            "256 directories deep",
        ),
        (
            Layer::new()
                .pax("GNU.sparse.major", b"1")
                .file("GNUSparseFile.7/x", b"0\n"),
            "sparse",
        ),
    ] {
        let message = refused_layer(layer.bytes());
        assert!(message.contains(words), "{words}: {message}");
        assert!(message.contains("is refused"), "{message}");
    }
}

#[test]
fn a_name_or_attribute_without_end_is_refused_before_it_is_held() {
    let long = vec![b'a'; 2 << 20];
    for layer in [
        Layer::new()
            .entry(EntryType::GNULongName, "././@LongLink", 0, &long)
            .file("x", b""),
        Layer::new()
            .entry(EntryType::GNULongLink, "././@LongLink", 0, &long)
            .link(EntryType::Symlink, "x", "y"),
        Layer::new().pax("path", &long).file("x", b""),
        Layer::new()
            .pax("SCHILY.xattr.user.a", &long)
            .file("x", b""),
    ] {
        let message = refused_layer(layer.bytes());
        let words = "too large: more than 1 MiB for the name of an entry";
        assert!(message.contains(words), "{message}");
    }
    // Contents of a skipped entry are none of a name's.
    let skipped = Layer::new().file(".wh..wh.plnk", &long).file("x", b"x");
    converted(skipped.bytes());
}

#[test]
fn messages_show_the_beginning_of_a_long_name() {
    let long = format!("../{}", "a".repeat(100_000));
    let message = refused_layer(
        Layer::new()
            .pax("path", long.as_bytes())
            .file("x", b"")
            .bytes(),
    );
    assert!(
        message.contains("aaaa...\" has `..`"),
        "{}",
        &message[..300]
    );
    assert!(message.len() < 600, "{}", message.len());
}

#[test]
fn damaged_parts_are_refused_with_both_digests_or_sizes() {
    let stored = [gzip(&small())];
    let good = oci(&config(&[small()]), &stored);
    archived(&good).expect("an image");
    let digest = sha256(&stored[0]);

    let mut flipped = good.clone();
    // The time in gzip's header: the layer is the same, its digest is not.
    flipped.part(&digest)[4] ^= 1;
    let message = refused(&flipped);
    assert!(
        message.contains("its digest is sha256:") && message.contains(&digest),
        "{message}"
    );

    let mut short = good.clone();
    short.part(&digest).pop();
    assert!(
        refused(&short).contains("bytes, not"),
        "{}",
        refused(&short)
    );

    let mut missing = good.clone();
    missing.0.retain(|(name, _)| !name.ends_with(&digest));
    assert!(refused(&missing).contains(&format!("it has no blobs/sha256/{digest}")));

    // Each blob is what its digest says, but the layer is not the one that the configuration means.
    let other = oci(&config(&[Layer::new().file("other", b"").bytes()]), &stored);
    let id = sha256(&small());
    assert!(refused(&other).contains(&id), "{}", refused(&other));

    for kind in ["manifest", "configuration"] {
        let mut files = good.clone();
        let manifest = manifest(&files)["digest"].as_str().expect("text")[7..].to_owned();
        let config = sha256(config(&[small()]).to_string().as_bytes());
        let name = if kind == "manifest" { manifest } else { config };
        let byte = files
            .part(&name)
            .iter_mut()
            .find(|byte| **byte == b'2' || **byte == b'6');
        *byte.expect("a digit") = b'7';
        let message = refused(&files);
        assert!(
            message.contains(kind) && message.contains("is damaged"),
            "{message}"
        );
    }
}

#[test]
fn damaged_compression_and_archives_are_refused() {
    let whole = Layer::new().file("x", &[5; 100_000]).bytes();
    let half = whole[..60_000].to_vec();
    assert!(refused_layer(half).contains("is damaged"));
    for compress in [gzip, zstd] {
        let mut stored = compress(&whole);
        stored.truncate(stored.len() / 2);
        let message = refused(&oci(&config(std::slice::from_ref(&whole)), &[stored]));
        assert!(message.contains("is damaged"), "{message}");
    }
}

#[test]
fn a_layer_that_ends_within_an_entry_is_refused_though_its_digest_is_right() {
    let whole = Layer::new().pax("path", b"a name").file("a", &[1; 600]);
    let whole = whole.bytes();
    // Within the attributes, before and within the header, the contents, and what is behind them.
    for length in [700, 1024, 1100, 1536, 1600, 2135, 2300] {
        let message = refused_layer(whole[..length].to_vec());
        assert!(message.contains("is damaged"), "{length}: {message}");
    }
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("image.tar");
    let open = |path: &Path| opened(path, dir.path()).expect_err("refused").to_string();
    oci(&config(&[small()]), &[small()]).archive(&path);
    let bytes = fs::read(&path).expect("read");
    for length in [600, 1500, 3000, bytes.len() / 2] {
        fs::write(&path, &bytes[..length]).expect("written");
        let message = open(&path);
        assert!(
            message.contains("damaged") || message.contains("has no"),
            "{length}: {message}"
        );
    }
    fs::write(&path, gzip(&bytes)).expect("written");
    assert!(open(&path).contains("gunzip it first"));
    fs::write(&path, "a text").expect("written");
    assert!(open(&path).contains("neither a directory nor a tar archive"));
    assert!(open(Path::new("/dev/null")).contains("neither a directory"));
    // What is no file may be meant for a registry.
    let absent = open(Path::new("docker.io/library/redis"));
    assert!(absent.contains("no registry is asked") && absent.contains("podman save"));
    assert!(open(&dir.path().join("missing")).contains("missing"));
    assert!(!absent.contains("leave"), "{absent}");
    let typed = open(Path::new("docker-archive:app.tar"));
    let cure = "leave `docker-archive:` out: `--oci app.tar`";
    assert!(typed.ends_with(cure), "{typed}");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).expect("made");
    let message = open(&empty);
    let named = format!(
        "the image {} is incomplete: it has no index.json",
        empty.display()
    );
    assert!(message.contains(&named), "{message}");
}

#[test]
fn a_directory_gives_only_files_that_are_below_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = dir.path().join("image");
    let files = oci(&config(&[small()]), &[small()]);
    files.directory(&image);
    opened(&image, dir.path()).expect("an image");
    let blob = image.join(format!("blobs/sha256/{}", sha256(&small())));
    let outside = dir.path().join("outside");
    fs::rename(&blob, &outside).expect("moved");
    std::os::unix::fs::symlink(&outside, &blob).expect("linked");
    let layers = dir.path().join("other");
    let message = opened(&image, &layers).expect_err("refused").to_string();
    assert!(message.contains("it has no blobs"), "{message}");
    fs::remove_file(&blob).expect("removed");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &blob,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("made");
    let message = opened(&image, &layers).expect_err("refused").to_string();
    assert!(message.contains("it has no blobs"), "{message}");
}

#[test]
fn an_image_of_another_architecture_is_refused_by_its_configuration_too() {
    for (key, value, shown) in [
        ("architecture", "arm64", "linux/arm64"),
        ("os", "windows", "windows/amd64"),
    ] {
        let mut config = config(&[small()]);
        config[key] = json!(value);
        let message = refused(&docker(&config, &[small()]));
        assert!(message.contains(&format!("for {shown}")), "{message}");
    }
}

#[test]
fn what_docker_names_is_looked_at_as_well() {
    let layers = [small()];
    let mut files = docker(&config(&layers), &layers);
    *files.part("manifest.json") = b"[]".to_vec();
    assert!(refused(&files).contains("it has no image"));
    let out = json!([{"Config": "../config.json", "Layers": ["/etc/shadow"]}]);
    *files.part("manifest.json") = out.to_string().into_bytes();
    assert!(refused(&files).contains("it has no ../config.json"));
    let two =
        json!([{"Config": "a", "RepoTags": ["a:1"], "Layers": []}, {"Config": "b", "Layers": []}]);
    *files.part("manifest.json") = two.to_string().into_bytes();
    assert!(refused(&files).contains("several images: a:1, b"));
}

#[test]
fn numbers_and_forms_that_make_no_sense_are_refused() {
    let two = config(&[small(), small()]);
    assert!(refused(&oci(&two, &[small()])).contains("names 2 layers, the manifest 1"));
    assert!(refused(&oci(&config(&[]), &[])).contains("names 0 layers"));
    let many = vec![small(); 128];
    assert!(refused(&oci(&config(&many), &many)).contains("more than 127 layers"));
    let mut files = oci(&config(&[small()]), &[small()]);
    *files.part("index.json") = b"{\"manifests\": 7}".to_vec();
    assert!(refused(&files).contains("index.json of the image is not understood"));
    *files.part("index.json") = vec![b' '; (4 << 20) + 1];
    assert!(refused(&files).contains("too large"));
    let mut odd = config(&[small()]);
    odd["rootfs"]["diff_ids"] = json!(["md5:1"]);
    assert!(refused(&oci(&odd, &[small()])).contains("is not sha256:"));
}

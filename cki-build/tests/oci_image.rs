// SPDX-License-Identifier: MIT OR Apache-2.0

//! `image oci`: the disk of another engine's image, made where there is no checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cki_erofs::Disk;
use cki_frontend::ImageConfig;
use sha2::{Digest as _, Sha256};

/// An image of two empty layers, as a directory in the OCI image layout.
struct Layout {
    dir: PathBuf,
    manifest: String,
    config: String,
    layer: String,
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

impl Layout {
    fn write(dir: &Path) -> Self {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("made");
        let put = |bytes: &[u8]| {
            fs::write(blobs.join(digest(bytes)), bytes).expect("written");
            digest(bytes)
        };
        // The end of a tar archive, and one with more zeros after it, for layers that differ.
        let layers = [1024, 2048].map(|size| (put(&vec![0; size]), size));
        let ids = layers.clone().map(|(digest, _)| format!("sha256:{digest}"));
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": ids },
            "config": {
                "Entrypoint": ["server"], "Cmd": ["--all"], "Env": ["A=b c"], "StopSignal": "SIGQUIT",
            },
        })
        .to_string();
        let layers = layers.map(|(digest, size)| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": format!("sha256:{digest}"), "size": size,
            })
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", put(config.as_bytes())), "size": config.len(),
            },
            "layers": layers,
        })
        .to_string();
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{}", put(manifest.as_bytes())), "size": manifest.len(),
            }],
        });
        fs::write(dir.join("index.json"), index.to_string()).expect("written");
        Self {
            dir: dir.to_owned(),
            manifest: format!("sha256:{}", digest(manifest.as_bytes())),
            config: format!("sha256:{}", digest(config.as_bytes())),
            layer: digest(&[0; 1024]),
        }
    }

    /// Its status, and what it says of what is wrong.
    fn image(&self, output: &Path, options: &[&str]) -> (Option<i32>, String) {
        let place = output.parent().expect("a directory");
        let cache = tempfile::tempdir().expect("a directory");
        let output = Command::new(env!("CARGO_BIN_EXE_cki-build"))
            .arg("--cache")
            .arg(cache.path())
            .args(["--quiet", "image", "oci"])
            .arg(&self.dir)
            .arg("--output")
            .arg(output)
            .args(options)
            // As in Nix's sandbox.
            .current_dir(place)
            .env_clear()
            .env("HOME", "/homeless-shelter")
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }
}

#[test]
fn an_image_becomes_a_disk_and_what_it_says_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::write(&dir.path().join("layout"));
    let (disk, config) = (dir.path().join("disk.raw"), dir.path().join("config.json"));
    let config_option = config.to_str().expect("a plain name");
    for digest in [&layout.manifest, &layout.config] {
        let options = [
            "--config",
            config_option,
            "--digest",
            digest,
            "--stopped-by",
            "QUIT",
        ];
        let (status, told) = layout.image(&disk, &options);
        assert_eq!((status, told.as_str()), (Some(0), ""));
    }
    let bytes = fs::read(&disk).expect("the disk");
    let found = Disk::parse(&bytes).expect("layers");
    assert_eq!(found.size(), bytes.len() as u64);
    let said = ImageConfig::read(&config).expect("the configuration");
    assert_eq!(said.argv::<String>(&[]), ["server", "--all"]);
    assert_eq!(said.env, [("A".to_owned(), "b c".to_owned())]);
    assert_eq!(said.stop_signal.as_deref(), Some("SIGQUIT"));
    // The same bits each time.
    let again = dir.path().join("again.raw");
    assert_eq!(layout.image(&again, &[]).0, Some(0));
    assert!(fs::read(&again).expect("the disk") == bytes);
}

#[test]
fn another_image_signal_or_layer_than_was_said_is_refused_and_nothing_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::write(&dir.path().join("layout"));
    let disk = dir.path().join("disk.raw");
    let other = format!("sha256:{}", "0".repeat(64));
    let refused = |options: &[&str]| {
        let (status, told) = layout.image(&disk, options);
        assert_eq!(status, Some(125), "{told}");
        assert!(!disk.exists());
        told
    };
    let told = refused(&["--digest", &other]);
    assert!(
        told.contains(&format!("the image is not {other}")),
        "{told}"
    );
    assert!(
        told.contains(&layout.manifest) && told.contains(&layout.config),
        "{told}"
    );
    let told = refused(&["--stopped-by", "TERM"]);
    assert!(told.contains("SIGQUIT ends its program"), "{told}");
    let layer = layout.dir.join("blobs/sha256").join(&layout.layer);
    fs::write(layer, [1; 1024]).expect("written");
    let told = refused(&[]);
    assert!(told.contains("is damaged"), "{told}");
}

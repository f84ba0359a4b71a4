// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes images as tools write them, right ones and wrong ones.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

/// One frame that is to be skipped, and two with contents.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let skipped = [
        &0x184d_2a50_u32.to_le_bytes()[..],
        &3_u32.to_le_bytes(),
        b"abc",
    ]
    .concat();
    let frame = |part: &[u8]| compress_to_vec(part, CompressionLevel::Fastest);
    [skipped, frame(one), frame(two)].concat()
}

/// A layer's archive.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// An entry whose name is written as it is, whatever it is.
    pub fn entry(mut self, kind: EntryType, name: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = header(kind, name, mode);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).expect("appended");
        self
    }

    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, 0o644, data)
    }

    pub fn directory(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, 0o755, b"")
    }

    pub fn link(mut self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = header(kind, name, 0o777);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, &b""[..]).expect("appended");
        self
    }

    pub fn device(mut self, kind: EntryType, name: &str, major: u32, minor: u32) -> Self {
        let mut header = header(kind, name, 0o600);
        header.set_device_major(major).expect("set");
        header.set_device_minor(minor).expect("set");
        header.set_cksum();
        self.0.append(&header, &b""[..]).expect("appended");
        self
    }

    /// Extended attributes of the next entry.
    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        let extensions = [(key, value)];
        self.0.append_pax_extensions(extensions).expect("appended");
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("finished")
    }
}

fn header(kind: EntryType, name: &str, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Files of an image by their names.
#[derive(Clone)]
pub struct Files(pub Vec<(String, Vec<u8>)>);

impl Files {
    pub fn part(&mut self, end: &str) -> &mut Vec<u8> {
        let found = self.0.iter_mut().find(|(name, _)| name.ends_with(end));
        &mut found.expect("there").1
    }

    pub fn blob(&mut self, bytes: Vec<u8>) -> (String, usize) {
        let (digest, size) = (sha256(&bytes), bytes.len());
        self.0.push((format!("blobs/sha256/{digest}"), bytes));
        (format!("sha256:{digest}"), size)
    }

    pub fn archive(&self, path: &Path) {
        let mut builder = Builder::new(std::fs::File::create(path).expect("created"));
        for (name, bytes) in &self.0 {
            let mut header = header(EntryType::Regular, name, 0o644);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, &bytes[..]).expect("appended");
        }
        builder.finish().expect("finished");
    }

    pub fn directory(&self, path: &Path) {
        for (name, bytes) in &self.0 {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            std::fs::write(file, bytes).expect("written");
        }
    }
}

/// A configuration for layers with these archives.
pub fn config(layers: &[Vec<u8>]) -> Value {
    let ids: Vec<_> = layers
        .iter()
        .map(|l| format!("sha256:{}", sha256(l)))
        .collect();
    json!({
        "architecture": "amd64", "os": "linux",
        "config": {
            "User": "daemon:adm", "Env": ["PATH=/bin:/usr/bin", "EMPTY="], "WorkingDir": "/srv",
            "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["true"], "StopSignal": "SIGQUIT",
            "Volumes": {"/data": {}}, "ExposedPorts": {"80/tcp": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": [],
    })
}

/// An OCI image layout; `stored` are the layers as they are in it.
pub fn oci(config: &Value, stored: &[Vec<u8>]) -> Files {
    let mut files = Files(vec![(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    )]);
    let descriptor = |(digest, size): (String, usize), kind: &str| {
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": digest, "size": size})
    };
    let config = files.blob(config.to_string().into_bytes());
    let config = descriptor(config, "config.v1+json");
    let layers: Vec<_> = stored
        .iter()
        .map(|layer| descriptor(files.blob(layer.clone()), "layer.v1.tar+gzip"))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    });
    let manifest = files.blob(manifest.to_string().into_bytes());
    index(&mut files, &[descriptor(manifest, "manifest.v1+json")]);
    files
}

/// Sets the index.
pub fn index(files: &mut Files, manifests: &[Value]) {
    files.0.retain(|(name, _)| name != "index.json");
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    files
        .0
        .push(("index.json".to_owned(), index.to_string().into_bytes()));
}

/// The descriptor of the only manifest.
pub fn manifest(files: &Files) -> Value {
    let index = files.0.iter().find(|(name, _)| name == "index.json");
    let index: Value = serde_json::from_slice(&index.expect("there").1).expect("JSON");
    index["manifests"][0].clone()
}

/// What `docker save` wrote before it wrote OCI layouts.
pub fn docker(config: &Value, layers: &[Vec<u8>]) -> Files {
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", sha256(&config));
    let mut files = Files(vec![(name.clone(), config)]);
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        names.push(format!("{number}/layer.tar"));
        files.0.push((names[number].clone(), layer.clone()));
    }
    let manifest = json!([{"Config": name, "RepoTags": ["a:latest"], "Layers": names}]);
    files.0.push((
        "manifest.json".to_owned(),
        manifest.to_string().into_bytes(),
    ));
    files
}

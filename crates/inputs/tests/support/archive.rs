// SPDX-License-Identifier: MIT OR Apache-2.0

//! A small Debian archive on a [`Server`].

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cki_inputs::Inputs;
use cki_inputs::downloads::Downloads;
use cki_inputs::mirrors::Mirrors;
use cki_inputs::request::Request;
use cki_inputs::shown::Shown;
use cki_inputs::signature::Verifier;
use cki_nix::Nix;
use cki_process::cancel::Cancel;
use cki_process::progress::Step;
use liblzma::write::XzEncoder;

use super::{Server, policy, sha256};

/// A request that [`Archive::first`] can serve.
pub const REQUEST: &str = r#"
version = 1
architecture = "amd64"
suites = [
  { name = "stable", component = "main", indexes = ["packages"] },
  { name = "stable-backports", component = "main", indexes = ["packages", "sources"], automatic = false },
]
seed = { package = "busybox-static", file = "bin/busybox" }
base = { packages = ["gcc", "bash"] }
[tools]
flex = "*"
[sources]
linux = { package = "linux-source", suite = "stable-backports" }
qemu = { source = "qemu", suite = "stable-backports" }
"#;

pub fn request(text: &str) -> Request {
    Request::parse(text, Path::new("request.toml")).unwrap()
}

/// The date of [`Archive::move_on`].
pub const MOVED_ON: &str = "Sat, 12 Sep 2026 10:00:00 UTC";

/// A package: name, version, more fields separated by `;`.
type Row<'a> = (&'a str, &'a str, &'a str);

pub struct Archive {
    pub server: Server,
    pub dir: tempfile::TempDir,
    gpgv: PathBuf,
}

pub fn xz(text: &str) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 6);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The .deb of a package. Only the seed's has to be a real one.
pub fn deb(name: &str, version: &str) -> Vec<u8> {
    if name != "busybox-static" {
        return format!("!<arch>\nthe package {name} {version}").into_bytes();
    }
    let program = format!("#!/bin/sh\necho busybox {version}\n");
    let mut data = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    data.append_data(&mut header, "./bin/busybox", program.as_bytes())
        .unwrap();
    let mut encoder = XzEncoder::new(Vec::new(), 6);
    encoder.write_all(&data.into_inner().unwrap()).unwrap();
    let data = encoder.finish().unwrap();
    let mut archive = ar::Builder::new(Vec::new());
    archive
        .append(&ar::Header::new(b"debian-binary".into(), 4), &b"2.0\n"[..])
        .unwrap();
    archive
        .append(
            &ar::Header::new(b"data.tar.xz".into(), data.len() as u64),
            data.as_slice(),
        )
        .unwrap();
    archive.into_inner().unwrap()
}

pub fn pool_path(name: &str, version: &str) -> String {
    format!("pool/main/{name}_{version}_amd64.deb")
}

impl Archive {
    /// An archive that has nothing yet. Its signatures are "checked" by a program that finds every file well signed;
    /// the tests of signatures use the real gpgv.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gpgv = dir.path().join("gpgv");
        let script = "#!/bin/sh\nfor file; do :; done\necho '[GNUPG:] GOODSIG 1 x' >&2\n\
            echo '[GNUPG:] VALIDSIG 1' >&2\ncat \"$file\"\n";
        cki_process::files::write_program(&gpgv, script).unwrap();
        Self {
            server: Server::start(),
            dir,
            gpgv,
        }
    }

    /// An archive in its first state.
    pub fn first() -> Self {
        let archive = Self::empty();
        archive.publish("stable", "Sat, 11 Jul 2026 10:16:37 UTC", STABLE, None);
        let source = ("qemu", "10.0-1", "qemu_10.0.orig.tar.xz");
        archive.publish(
            "stable-backports",
            "Sat, 21 Nov 2026 02:10:46 UTC",
            BACKPORTS,
            Some(source),
        );
        archive
    }

    /// Puts the archive in its second state: newer gcc and m4.
    pub fn move_on(&self) {
        let newer = |name: &str| ["gcc", "m4"].contains(&name);
        let rows: Vec<Row<'_>> = STABLE
            .iter()
            .map(|(n, v, f)| (*n, if newer(n) { "99" } else { v }, *f))
            .collect();
        self.publish("stable", MOVED_ON, &rows, None);
    }

    /// Makes a suite consist of these packages (and this source package and tarball), with their files in the pool.
    /// Indexes of before disappear, packages stay.
    pub fn publish(
        &self,
        suite: &str,
        date: &str,
        rows: &[Row<'_>],
        source: Option<(&str, &str, &str)>,
    ) {
        let mut packages = String::new();
        for (name, version, fields) in rows {
            let file = deb(name, version);
            let path = pool_path(name, version);
            packages += &format!(
                "Package: {name}\nVersion: {version}\nFilename: {path}\nSize: {}\n",
                file.len()
            );
            packages += &format!("SHA256: {}\n", sha256(&file));
            for field in fields.split(';').map(str::trim).filter(|f| !f.is_empty()) {
                packages += &format!("{field}\n");
            }
            packages += "\n";
            self.server.put(&format!("/{path}"), file);
        }
        let mut indexes = vec![("main/binary-amd64/Packages.xz", xz(&packages))];
        if let Some((name, version, tarball)) = source {
            let file = format!("tarball of {name} {version}").into_bytes();
            let (hash, size) = (sha256(&file), file.len());
            let text = format!(
                "Package: {name}\nVersion: {version}\nDirectory: pool/main/{name}\n\
                 Checksums-Sha256:\n {hash} {size} {tarball}\n"
            );
            self.server
                .put(&format!("/pool/main/{name}/{tarball}"), file);
            indexes.push(("main/source/Sources.xz", xz(&text)));
        }
        let mut release = format!("Codename: {suite}\nVersion: 1.0\nDate: {date}\nSHA256:\n");
        for (path, contents) in indexes {
            release += &format!(" {} {} {path}\n", sha256(&contents), contents.len());
            self.server.put(&format!("/dists/{suite}/{path}"), contents);
        }
        self.server
            .put(&format!("/dists/{suite}/InRelease"), release);
    }

    /// A inputs that uses this archive and a Nix store of its own.
    pub fn inputs(&self, nix: Nix) -> Inputs {
        self.inputs_in(&self.dir.path().join("cache"), nix)
    }

    /// The same with another cache.
    pub fn inputs_in(&self, cache: &Path, nix: Nix) -> Inputs {
        let keyring = self.dir.path().join("keyring.gpg");
        fs::write(&keyring, "").unwrap();
        let mirrors = Mirrors::named(&self.server.url).unwrap();
        let cache = Downloads::open(cache).unwrap();
        let mut inputs = Inputs::new(
            cache,
            mirrors,
            nix,
            policy(),
            Shown::new(Step::to(std::io::sink())),
            Cancel::new(),
        );
        inputs.verifier = Verifier::new(keyring).with_gpgv(&self.gpgv);
        inputs
    }
}

pub const STABLE: &[Row<'_>] = &[
    ("busybox-static", "1.35", ""),
    ("gcc", "12", "Depends: libc6 (>= 2), binutils"),
    ("binutils", "2.40", "Depends: libc6"),
    (
        "bash",
        "5.2",
        "Depends: libc6; Essential: yes; Pre-Depends: libtinfo6",
    ),
    ("libc6", "2.36", "Depends: libgcc-s1"),
    ("libgcc-s1", "12", "Depends: libc6"),
    ("libtinfo6", "6.4", ""),
    ("flex", "2.6", "Depends: libc6, m4"),
    ("m4", "1.4", ""),
    ("bison", "3.8", "Depends: m4"),
    ("mawk", "1.3", "Priority: required; Provides: awk"),
    ("base-files", "12.4", "Essential: yes; Pre-Depends: awk"),
    ("redis-server", "7.0", "Depends: libc6 (>= 2.30)"),
    ("libstdc++6", "12~rc1+b2", ""),
];

pub const BACKPORTS: &[Row<'_>] = &[
    ("linux-source", "6.12", "Depends: unavailable"),
    ("flex", "9", ""),
];

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build release`: a signed release of small outputs, used, verified, and changed by single bits.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use cki_nix::Nix;
use cki_process::exec::Command;
use cki_tests::{Output, checkout, cki, git};

/// A checkout whose flake has one output, which the seed builds.
fn flake(dir: &Path) -> PathBuf {
    let to = dir.join("flake");
    fs::create_dir(&to).expect("created");
    let copy = checkout().copy_to(&to).expect("copied");
    let text = r#"{
  outputs = { self }:
    let
      system = "x86_64-linux";
      lock = builtins.fromJSON (builtins.readFile ./nix/debian/lock.json);
      inputs = import ./nix/debian/inputs.nix { inherit lock system; };
    in {
      packages.${system}.small = derivation {
        name = "small";
        inherit system;
        builder = "${inputs.seed}/busybox";
        args = [ "sh" "-c" "echo the output of a release > $out" ];
      };
    };
}
"#;
    fs::write(copy.dir.join("flake.nix"), text).expect("written");
    git(&copy.dir, &["rm", "--quiet", "--cached", "flake.lock"]);
    git(&copy.dir, &["add", "flake.nix"]);
    git(&copy.dir, &["commit", "--quiet", "-m", "all"]);
    copy.dir
}

struct Case {
    dir: tempfile::TempDir,
    flake: PathBuf,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let flake = flake(dir.path());
        for (name, trusted) in [("key", "signers"), ("other", "others")] {
            let key = dir.path().join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            made.arg(&key).read().expect("a key");
            let public = fs::read_to_string(key.with_extension("pub")).expect("read");
            let line = format!("releases@example.org {public}");
            fs::write(dir.path().join(trusted), line).expect("written");
        }
        let case = Self { dir, flake };
        let made = Nix::current().nix_store().args([
            OsStr::new("--generate-binary-cache-key"),
            OsStr::new("test-1"),
            case.at("cache-key").as_os_str(),
            case.at("cache-key.pub").as_os_str(),
        ]);
        made.read().expect("a key");
        case
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cki(&self, words: &[&OsStr]) -> Output {
        let cache = self.at("cki-cache");
        let options = [
            OsStr::new("--flake"),
            self.flake.as_os_str(),
            OsStr::new("--cache"),
            cache.as_os_str(),
        ];
        cki(words.iter().copied().chain(options))
    }

    fn make(&self, name: &str) -> Output {
        let (to, key, cache_key) = (self.at(name), self.at("key"), self.at("cache-key"));
        self.cki(&[
            "release".as_ref(),
            to.as_ref(),
            "--output=small".as_ref(),
            "--key".as_ref(),
            key.as_ref(),
            "--cache-key".as_ref(),
            cache_key.as_ref(),
        ])
    }

    fn verify(&self, name: &str, signers: &str, more: &[&str]) -> Output {
        let (of, signers) = (self.at(name), self.at(signers));
        let mut words: Vec<&OsStr> = vec![
            "release".as_ref(),
            "--verify".as_ref(),
            of.as_ref(),
            "--signers".as_ref(),
            signers.as_ref(),
        ];
        words.extend(more.iter().map(OsStr::new));
        self.cki(&words)
    }
}

/// All files below a directory, with their contents.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below it").to_owned();
                found.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    found
}

#[test]
fn a_release_is_reproducible_can_be_used_and_names_every_bit_that_was_changed() {
    let case = Case::new();
    let made = case.make("one");
    assert_eq!(made.status, 0, "{}{}", made.text(), made.stderr);
    let again = case.make("two");
    assert_eq!(again.status, 0, "{}{}", again.text(), again.stderr);
    let all = files(&case.at("one"));
    assert!(all == files(&case.at("two")), "two runs differ");
    for name in [
        "sbom.cdx.json",
        "sbom.spdx.json",
        "provenance.json",
        "manifest.json.sig",
    ] {
        assert!(all.contains_key(Path::new(name)), "{name}");
    }
    // Nothing is written over.
    let third = case.make("one");
    assert!(
        third.status == 125 && third.stderr.contains("not empty"),
        "{}",
        third.stderr
    );

    let good = case.verify("one", "signers", &["--rebuild"]);
    assert_eq!(good.status, 0, "{}{}", good.text(), good.stderr);
    assert!(
        good.text().contains("signed by releases@example.org"),
        "{}",
        good.text()
    );
    let foreign = case.verify("one", "others", &[]);
    assert_eq!(foreign.status, 1);
    assert!(
        foreign.text().contains("none of the keys"),
        "{}",
        foreign.text()
    );

    // A bit in the middle of each file, one after the other.
    for (name, contents) in &all {
        let path = case.at("one").join(name);
        let mut changed = contents.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed).expect("written");
        let told = case.verify("one", "signers", &[]);
        assert_eq!(told.status, 1, "{}: {}", name.display(), told.text());
        // The list and its signature stand for each other.
        let name = name.to_str().expect("text");
        let named = name.trim_end_matches(".sig");
        assert!(told.text().contains(named), "{name}: {}", told.text());
        fs::write(&path, contents).expect("written");
    }
    assert_eq!(
        case.verify("one", "signers", &[]).status,
        0,
        "all is as it was"
    );

    // Another Nix store takes the output from the cache, with the key and not without.
    let manifest: serde_json::Value =
        serde_json::from_slice(&all[Path::new("manifest.json")]).expect("JSON");
    let output = manifest["outputs"][0]["path"].as_str().expect("a path");
    let key = fs::read_to_string(case.at("cache-key.pub")).expect("read");
    let take = |key: &str, store: &str| {
        let from = format!("file://{}", case.at("one/cache").display());
        let command = Nix::current().nix().args(["copy", "--from", &from, "--to"]);
        let command = command
            .arg(case.at(store))
            .args(["--option", "trusted-public-keys", key]);
        command.arg(output).output().expect("nix is started")
    };
    let refused = take(
        "other-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "refused",
    );
    assert!(!refused.status.success());
    let taken = take(key.trim(), "taken");
    assert!(
        taken.status.success(),
        "{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    let text = fs::read(case.at("taken").join(output.trim_start_matches('/')));
    assert_eq!(text.expect("read"), b"the output of a release\n");
    for store in ["refused", "taken"] {
        // Stores are read-only.
        let writable = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(case.at(store));
        let _ = writable.read();
    }

    // The lock of another commit is not what was released.
    let lock = case.flake.join("Cargo.lock");
    let text = fs::read_to_string(&lock).expect("read");
    fs::write(&lock, format!("{text}\n")).expect("written");
    let other = case.verify("one", "signers", &[]);
    assert!(
        other.status == 1 && other.text().contains("check that out"),
        "{}",
        other.text()
    );
    let dirty = case.make("three");
    assert!(
        dirty.status == 125 && dirty.stderr.contains("has changes"),
        "{}",
        dirty.stderr
    );
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The flake: what it needs, and what its outputs depend on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cki_nix::checkout::Checkout;
use cki_nix::{Nix, Target};
use cki_process::exec::Command;
use cki_process::progress::Progress;
use cki_tests::{Output, checkout, cki, flake, git, variable};

#[path = "nix/rebuilds.rs"]
mod rebuilds;

/// Outputs with sources of every kind in them.
const ATTRS: [&str; 4] = ["cki-host", "cki-qemu", "cki-build", "cki-host-disk"];

fn targets(checkout: &Checkout) -> BTreeMap<String, Target> {
    targets_of(checkout, &ATTRS)
}

fn targets_of(checkout: &Checkout, attrs: &[&str]) -> BTreeMap<String, Target> {
    let attrs: Vec<_> = attrs.iter().map(|attr| (*attr).to_owned()).collect();
    Nix::current()
        .targets(flake(checkout).as_str(), &attrs, Progress::quiet())
        .expect("the flake can be evaluated")
}

/// The checkout as it is, as the only commit of a repository called `name`.
fn committed(dir: &Path, name: &str) -> Checkout {
    let to = dir.join(name);
    std::fs::create_dir(&to).expect("created");
    let copy = checkout().copy_to(&to).expect("copied");
    git(&to, &["commit", "--quiet", "-m", "all"]);
    copy
}

fn nix(args: &[&str]) -> Command {
    Nix::current().nix().args(args)
}

#[test]
fn the_flake_shows_its_packages_without_fetching_nixpkgs() {
    let flake = flake(&checkout());
    // A proxy that is not there, so that any download fails.
    let json = nix(&["flake", "show", "--json", flake.as_str()])
        .env("https_proxy", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .read()
        .expect("nix flake show works offline");
    let shown: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let packages = &shown["packages"]["x86_64-linux"];
    for attr in ATTRS.iter().chain(&["cki-kernel", "cki-init"]) {
        assert_eq!(packages[attr]["type"], "derivation", "{attr}");
    }
    // What tests are made with is no package, and is built by its name all the same.
    let fixtures = ["cki-ksm-mutants", "cki-isa-tests", "qemu-stock"];
    let known = targets_of(&checkout(), &fixtures);
    for attr in fixtures {
        assert!(packages.get(attr).is_none(), "{attr}");
        assert!(known.contains_key(attr), "{attr}");
    }
    // Each kind of output has something in it.
    for (kind, name) in [
        ("apps", "fetch"),
        ("apps", "vm"),
        ("devShells", "default"),
        ("checks", "cki-isa-tests"),
    ] {
        assert!(shown[kind]["x86_64-linux"].get(name).is_some(), "{kind}");
    }
    assert!(shown["formatter"].get("x86_64-linux").is_some());
    for kind in ["overlays", "nixosModules"] {
        assert!(shown[kind].get("default").is_some(), "{kind}");
    }
    for name in ["host", "container"] {
        assert!(shown["templates"].get(name).is_some(), "{name}");
    }
}

#[test]
fn missing_inputs_stop_the_build_with_the_sentence_that_says_what_to_run() {
    // A store with nothing in it.
    let dir = tempfile::tempdir().expect("a directory");
    let store = dir.path().join("store");
    let flake = flake(&checkout());
    let installable = format!("{}#tests.cki-isa-tests", flake.as_str());
    let output = nix(&["build", "--no-link", "--store"])
        .arg(&store)
        .arg(installable)
        .output()
        .expect("nix is started");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("cki-build fetch"), "{message}");
    // Stores are read-only.
    Command::new("chmod")
        .args(["-R", "u+w"])
        .arg(&store)
        .read()
        .expect("the store can be made writable");
}

#[test]
fn outputs_do_not_depend_on_where_the_checkout_is_nor_on_its_depth() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = committed(dir.path(), "plain");
    let expected = targets(&plain);
    git(
        &plain.dir,
        &["commit", "--quiet", "--allow-empty", "-m", "more history"],
    );
    let shallow = dir.path().join("shallow");
    let url = format!("file://{}", plain.dir.display());
    git(
        dir.path(),
        &["clone", "--quiet", "--depth", "1", &url, "shallow"],
    );
    let shallow = Checkout::find(Some(&shallow)).expect("a checkout");
    assert!(
        shallow
            .state()
            .expect("git works")
            .expect("a repository")
            .shallow
    );
    assert_eq!(targets(&shallow), expected);
}

/// Changes a file of `cki-build`, which is then another one.
fn change(checkout: &Checkout) {
    let source = checkout.dir.join("cki-build/src/main.rs");
    let text = std::fs::read_to_string(&source).expect("read");
    std::fs::write(&source, format!("{text}// changed\n")).expect("written");
}

#[test]
fn a_checkout_is_built_as_it_is_whatever_its_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = committed(dir.path(), "plain");
    let before = targets(&plain);
    change(&plain);
    let expected = targets(&plain);
    assert_ne!(expected, before);
    git(&plain.dir, &["checkout", "--quiet", "."]);
    // A branch that is no `master`, and a commit that is not what is built.
    for name in ["c++ ü#%20", "c++@,:='$;&"] {
        let to = dir.path().join(name);
        std::fs::create_dir(&to).expect("created");
        let checkout = plain.copy_to(&to).expect("copied");
        git(&to, &["commit", "--quiet", "-m", "all"]);
        git(&to, &["checkout", "--quiet", "-b", "topic"]);
        change(&checkout);
        assert_eq!(targets(&checkout), expected, "{name}");
    }
    // An unpacked archive, with what cargo has built.
    change(&plain);
    let unpacked = dir.path().join("unpacked");
    std::fs::rename(&plain.dir, &unpacked).expect("renamed");
    std::fs::remove_dir_all(unpacked.join(".git")).expect("removed");
    std::fs::create_dir(unpacked.join("target")).expect("created");
    std::fs::write(unpacked.join("target/built"), "").expect("written");
    let unpacked = Checkout::find(Some(&unpacked)).expect("a checkout");
    assert_eq!(unpacked.git, None);
    assert_eq!(targets(&unpacked), expected);
}

#[test]
fn a_dirty_checkout_is_built_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = committed(dir.path(), "dirty");
    let before = targets(&checkout);
    change(&checkout);
    let after = targets(&checkout);
    assert_ne!(after["cki-build"], before["cki-build"]);
    assert_eq!(
        after["cki-host"], before["cki-host"],
        "the tool is no part of the host image"
    );
    assert_eq!(after["cki-qemu"], before["cki-qemu"]);
}

#[test]
fn a_file_that_git_does_not_know_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = committed(dir.path(), "untracked");
    std::fs::write(checkout.dir.join("nix/new.nix"), "{ }").expect("written");
    let flake = checkout.dir.join("flake.nix");
    let text = std::fs::read_to_string(&flake).expect("read");
    let text = text.replace(
        "packages = debian.packages;",
        "packages = debian.packages // import ./nix/new.nix;",
    );
    std::fs::write(&flake, text).expect("written");
    let output = cki_on(&checkout.dir, &["build", "cki-init"]);
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("git add nix/new.nix"),
        "{}",
        output.stderr
    );
}

/// Runs `cki-build` on `flake`, with a cache of its own, so that the roots of these results go with it.
fn cki_on(flake: &Path, words: &[&str]) -> Output {
    let cache = flake.with_file_name("cache");
    let options = [
        "--flake".as_ref(),
        flake.as_os_str(),
        "--cache".as_ref(),
        cache.as_os_str(),
    ];
    cki(words.iter().map(OsStr::new).chain(options))
}

/// A flake of derivations that `sh` builds with `script` in the sandbox, named by attribute.
fn flake_of(dir: &Path, scripts: &[(&str, &str)]) -> PathBuf {
    let checkout = committed(dir, "flake");
    let derivations: String = scripts
        .iter()
        .map(|(name, script)| format!("{name} = build \"{name}\" ''{script}'';\n"))
        .collect();
    let text = format!(
        r#"{{
  outputs = {{ self }}:
    let
      system = "x86_64-linux";
      lock = builtins.fromJSON (builtins.readFile ./nix/debian/lock.json);
      inputs = import ./nix/debian/inputs.nix {{ inherit lock system; }};
      build = name: script: derivation {{
        inherit name system;
        builder = "${{inputs.seed}}/busybox";
        args = [ "sh" "-c" "busybox=${{inputs.seed}}/busybox; ${{script}}" ];
      }};
    in {{ packages.${{system}} = {{ {derivations} }}; }};
}}
"#
    );
    std::fs::write(checkout.dir.join("flake.nix"), text).expect("written");
    git(&checkout.dir, &["rm", "--quiet", "--cached", "flake.lock"]);
    checkout.dir
}

#[test]
fn verify_tells_equal_builds_from_different_ones_and_names_file_and_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let flake = flake_of(
        dir.path(),
        &[
            ("good", "$busybox mkdir $out; echo always > $out/file"),
            (
                "bad",
                "$busybox mkdir -p $out/lib; echo always > $out/first; \
                 { echo always; $busybox cat /proc/sys/kernel/random/uuid; } > $out/lib/second",
            ),
        ],
    );
    let verify = |attr: &str| cki_on(&flake, &["verify", attr]);
    let good = verify("good");
    assert_eq!(good.status, 0, "{}{}", good.text(), good.stderr);
    assert!(
        good.text().contains("1 of 1 derivations"),
        "{}",
        good.text()
    );
    let bad = verify("bad");
    assert_eq!(bad.status, 1, "{}{}", bad.text(), bad.stderr);
    // The two random numbers may begin alike, but hardly for long.
    assert!(
        bad.text().contains("lib/second differs from byte "),
        "{}",
        bad.text()
    );
}

#[test]
fn a_failed_build_ends_with_its_log_and_no_result() {
    let dir = tempfile::tempdir().expect("a directory");
    let flake = flake_of(dir.path(), &[("broken", "echo about to fail; exit 3")]);
    let output = cki_on(&flake, &["build", "broken"]);
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("the build of broken failed"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("about to fail"), "{}", output.stderr);
    assert_eq!(output.text(), "");
}

/// A daemon of this machine's Nix that ends with the test.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Root would write the store itself if Nix were not told of the daemon. Also, `cores = 0` is what installers write.
#[test]
fn root_builds_by_the_daemon_where_one_answers_and_with_all_cores() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "echo $NIX_BUILD_CORES > $out";
    let flake = flake_of(dir.path(), &[("cores", script)]);
    let socket = dir.path().join("socket");
    let log = dir.path().join("log");
    let daemon = std::process::Command::new("nix-daemon")
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .env("NIX_CONFIG", "build-users-group =\n")
        .stderr(std::fs::File::create(&log).expect("a log"))
        .spawn();
    let _daemon = Daemon(daemon.expect("a daemon"));
    let start = std::time::Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(start.elapsed().as_secs() < 20, "no daemon");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let cache = dir.path().join("cache");
    let output = std::process::Command::new(variable("CKI_BUILD"))
        .args(["build", "cores", "--flake"])
        .arg(&flake)
        .arg("--cache")
        .arg(&cache)
        .env("NIX_DAEMON_SOCKET_PATH", &socket)
        .env("NIX_CONFIG", "cores = 0")
        .output()
        .expect("cki-build is started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let out = String::from_utf8_lossy(&output.stdout);
    let cores = std::fs::read_to_string(out.trim()).expect("built");
    let available = std::thread::available_parallelism().expect("a number");
    assert_eq!(cores.trim(), available.to_string());
    let log = std::fs::read_to_string(&log).expect("read");
    assert!(log.contains("accepted connection from pid"), "{log}");
}

/// What `nix run .#fetch` starts needs nothing that Nix has built: without cki-build it calls cargo, on the checkout
/// around it or on the flake itself.
#[test]
fn the_fetch_of_the_flake_needs_no_build() {
    let checkout = checkout();
    let flake = flake(&checkout);
    let program = nix(&["eval", "--raw", "--impure", "--expr"])
        .arg(format!(
            "(builtins.getFlake \"{}\").apps.x86_64-linux.fetch.program",
            flake.as_str()
        ))
        .read_text()
        .expect("it evaluates");
    let script = Path::new(&program);
    let source = script.parent().and_then(Path::parent).expect("the flake");
    let dir = tempfile::tempdir().expect("a directory");
    let (target, cache) = (dir.path().join("target"), dir.path().join("cache"));
    // It says from where it is called, and what it makes says what it is called with.
    let cargo = "#!/bin/sh\necho cargo in \"$PWD\" \"$@\"\n\
        mkdir -p \"$CARGO_TARGET_DIR/release\" && cd \"$CARGO_TARGET_DIR/release\" || exit\n\
        printf '#!/bin/sh\\necho \"$0\" \"$@\"' > cki-build && chmod +x cki-build\n";
    let tool = |name: &str, text: &str| {
        cki_process::files::write_program(&dir.path().join(name), text).expect("written");
    };
    let run = |at: &Path| {
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let output = std::process::Command::new(script)
            .args(["--json", "cki-host"])
            .current_dir(at)
            .env("PATH", path)
            .env("CKI_CACHE", &cache)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .expect("it is started");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let expected = |source: &Path, target: &Path| {
        let (source, target) = (source.display(), target.display());
        format!(
            "cargo in {source} build --quiet --release --locked --package cki-build\n\
             {target}/release/cki-build --flake {source} fetch --json cki-host\n"
        )
    };
    // A machine may have a cargo of its own in /usr/bin, so that of the test comes first.
    tool("cargo", cargo);
    let here = checkout.dir.join("docs");
    assert_eq!(run(&here), expected(&checkout.dir, &target));
    let by_itself = expected(source, &cache.join("target"));
    assert_eq!(run(dir.path()), by_itself);
    // A directory with the same files is as good, unless others can write there, or there is another flake.
    let copy = dir.path().join("copy");
    let status = std::process::Command::new("cp")
        .args(["-r", "--no-preserve=mode"])
        .args([source, &copy])
        .status()
        .expect("cp is started");
    assert!(status.success());
    assert_eq!(run(&copy), expected(&copy, &target));
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&copy, mode).expect("changed");
    };
    mode(0o1777);
    assert_eq!(run(&copy), by_itself);
    mode(0o755);
    std::fs::write(copy.join("cki-build/build.rs"), "fn main() {}").expect("written");
    std::fs::write(copy.join("flake.nix"), "{ }").expect("written");
    assert_eq!(run(&copy.join("docs")), by_itself);
    tool("cki-build", "#!/bin/sh\necho cki-build \"$@\"\n");
    assert_eq!(run(dir.path()), "cki-build fetch --json cki-host\n");
}

#[test]
fn doctor_finds_this_machine_healthy() {
    let output = cki([
        "doctor",
        "--json",
        "--flake",
        &variable("CKI_FLAKE").to_string_lossy(),
    ]);
    let report: serde_json::Value = serde_json::from_str(output.text()).expect("JSON");
    assert_eq!(report["healthy"], true, "{}", output.text());
    assert_eq!(output.status, 0);
    let fetched = cki(["fetch", "--json"]);
    let fetched: serde_json::Value = serde_json::from_str(fetched.text()).expect("JSON");
    let same = format!("all {} pinned files are in the store", fetched["files"]);
    assert!(output.text().contains(&same), "{same}: {}", output.text());
}

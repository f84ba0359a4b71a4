// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build image`: the images are what they are said to be.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cki_tests::{Output, cki, emulator, run_program, variable};
use rustix::process::{Pid, Signal, kill_process};

/// Offset and value of the erofs superblock's magic (Linux, fs/erofs/erofs_fs.h).
const EROFS_MAGIC: (usize, [u8; 4]) = (1024, 0xe0f5_e1e2_u32.to_le_bytes());

/// Bytes before the first layer of a disk.
const FIRST_LAYER: usize = 40 * 512;

fn image(words: &[&str], output: &Path) -> Output {
    let words = ["image"].iter().chain(words).map(OsStr::new);
    cki(words.chain([OsStr::new("-o"), output.as_os_str()]))
}

/// What a machine prints, in the order in which it does.
struct Console<R> {
    from: R,
    /// Read, but not asked for yet.
    ahead: Vec<u8>,
}

impl<R: Read> Console<R> {
    /// Waits for `text`; returns what came up to its end.
    fn wait_for(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self
                .ahead
                .windows(text.len())
                .position(|window| window == text.as_bytes())
            {
                let seen = self.ahead.drain(..at + text.len()).collect();
                return String::from_utf8(seen).expect("the console is text");
            }
            let n = self.from.read(&mut buffer).expect("it can be read");
            let so_far = String::from_utf8_lossy(&self.ahead);
            assert!(n > 0, "the machine ended before {text:?} came:\n{so_far}");
            self.ahead.extend_from_slice(&buffer[..n]);
        }
    }
}

/// A machine that boots a disk, and another one that comes before it.
struct Machine {
    console: Console<ChildStdout>,
    keyboard: ChildStdin,
    process: Child,
}

impl Machine {
    fn start(disk: &Path, before: Option<&Path>) -> Self {
        let qemu = variable("CKI_QEMU");
        let mut command = Command::new("timeout");
        command
            .arg("300")
            .arg(emulator::program(&qemu))
            .args(["-M", "pc", "-cpu", emulator::CPU, "-m", "512M"])
            .args(["-serial", "stdio"]);
        emulator::plain(&mut command, &qemu);
        let drives = before
            .iter()
            .map(|path| (*path, "before", 2))
            .chain([(disk, "boot", 1)]);
        for (path, name, order) in drives {
            let format = match path.extension() {
                Some(extension) if extension == "qcow2" => "qcow2",
                _ => "raw",
            };
            let path = path.display();
            command.arg("-drive");
            command.arg(format!("file={path},format={format},if=none,id={name}"));
            command.arg("-device");
            command.arg(format!("virtio-blk-pci,drive={name},bootindex={order}"));
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = child.expect("the emulator is started");
        Machine {
            console: Console {
                from: process.stdout.take().expect("piped"),
                ahead: Vec::new(),
            },
            keyboard: process.stdin.take().expect("piped"),
            process,
        }
    }
}

/// Ends the machine whatever becomes of the test.
impl Drop for Machine {
    fn drop(&mut self) {
        // `timeout` tells the emulator of this signal, as it could not of SIGKILL.
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// A disk with a table of MS-DOS's and one partition from sector 2048 on, which holds these bytes.
fn with_a_partition(content: &[u8]) -> Vec<u8> {
    const START: u32 = 2048;
    let sectors = u32::try_from(content.len().div_ceil(512)).expect("a small disk");
    let mut disk = vec![0; START as usize * 512];
    disk[450] = 0x83;
    disk[454..458].copy_from_slice(&START.to_le_bytes());
    disk[458..462].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend_from_slice(content);
    disk.resize((START + sectors) as usize * 512, 0);
    disk
}

#[test]
fn the_host_disk_boots_to_a_shell_on_the_serial_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = dir.path().join("host.qcow2");
    let output = image(&["cki-host"], &disk);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(std::fs::read(&disk).expect("read")[..4], *b"QFI\xfb");

    // A disk that says that it is the runtime disk, and comes first.
    let posing = dir.path().join("posing.raw");
    let ours = variable("CKI_RUNTIME").join("runtime.erofs");
    let mut bytes = std::fs::read(ours).expect("read");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&posing, with_a_partition(&bytes)).expect("written");
    let mut machine = Machine::start(&disk, Some(&posing));
    let Machine {
        console, keyboard, ..
    } = &mut machine;
    console.wait_for("# ");
    keyboard
        .write_all(b"echo answer-$((6*7)); uname -r\n")
        .expect("typed");
    console.wait_for("answer-42");
    let release = console.wait_for("# ");
    assert!(release.contains("cki"), "{release}");
    // Its second partition has what containers are started from.
    keyboard.write_all(b"cki info\n").expect("typed");
    console.wait_for("isolation: full (cki)");
    console.wait_for("memory pool: 128 MiB");
    console.wait_for("# ");
    keyboard.write_all(b"reboot -f\n").expect("typed");
    let mut rest = Vec::new();
    console
        .from
        .read_to_end(&mut rest)
        .expect("the console can be read");
    let status = machine.process.wait().expect("it is waited for");
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_host_disk_whose_runtime_disk_was_changed_starts_no_container() {
    let dir = tempfile::tempdir().expect("a directory");
    let (image, raw) = (
        variable("CKI_HOST_DISK").join("cki-host.qcow2"),
        dir.path().join("host.raw"),
    );
    let converted = Command::new(variable("CKI_QEMU").join("bin/qemu-img"))
        .args(["convert", "-f", "qcow2", "-O", "raw"])
        .args([&image, &raw])
        .status()
        .expect("qemu-img is started");
    assert!(converted.success());
    // The last bit of the second partition's file system, whose place and size the table has in sectors.
    let disk = std::fs::File::options().read(true).write(true).open(&raw);
    let disk = disk.expect("opened");
    let mut entry = [0; 8];
    disk.read_exact_at(&mut entry, 462 + 8).expect("read");
    let start = 512 * u64::from(u32::from_le_bytes(entry[..4].try_into().expect("four")));
    let runtime = std::fs::metadata(variable("CKI_RUNTIME").join("runtime.erofs"));
    let last = start + runtime.expect("there").len() - 1;
    let mut byte = [0];
    disk.read_exact_at(&mut byte, last).expect("read");
    disk.write_all_at(&[byte[0] ^ 1], last).expect("written");

    let mut machine = Machine::start(&raw, None);
    let Machine {
        console, keyboard, ..
    } = &mut machine;
    console.wait_for("no containers: 1 partition(s) say that they are the runtime disk, and none");
    console.wait_for("# ");
    keyboard
        .write_all(b"ls /dev/cki /runtime; echo has-$((6*7))\n")
        .expect("typed");
    let answer = console.wait_for("has-42");
    assert!(answer.contains("/dev/cki: No such file"), "{answer}");
    assert!(!answer.contains("lib"), "{answer}");
}

#[test]
fn an_application_image_is_a_disk_of_layers_that_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("app.img");
    let output = image(&["app", "--deb", "lua5.4", "--json"], &file);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let report: serde_json::Value = serde_json::from_str(output.text()).expect("JSON");
    let bytes = std::fs::read(&file).expect("read");
    assert_eq!(report["format"], "layers");
    assert_eq!(report["size"], bytes.len());

    // The layers are those from which `run` starts programs, one after the other.
    let sources = report["sources"].as_array().expect("a list");
    assert_eq!(sources.len(), 2);
    let mut at = FIRST_LAYER;
    let mut sizes = Vec::new();
    for source in sources {
        let layer = std::fs::read(source.as_str().expect("a path")).expect("read");
        let (offset, magic) = EROFS_MAGIC;
        assert_eq!(layer[offset..offset + 4], magic);
        assert!(bytes[at..at + layer.len()] == layer);
        at += layer.len();
        sizes.push(layer.len());
    }
    // What every Debian has is in the lower one alone.
    assert!(sizes[1] * 20 < sizes[0], "{sizes:?}");

    // The file runs, and so does what `run` makes of the same packages; both show one file system.
    let script = "cat /var/lib/dpkg/info/lua5.4.list; dpkg -s lua5.4 bash | grep ^Status; \
                  stat -c '%A %U:%G %n' /usr/bin/su /var/mail /etc/lua5.4; readlink -e /usr/bin/lua";
    let run = |words: &[&str]| {
        let command = ["--", "sh", "-c", script];
        let words = ["run"].iter().chain(words).chain(&command).map(OsStr::new);
        let output = cki(words);
        assert_eq!(output.status, 0, "{}", output.stderr);
        output.text().to_owned()
    };
    let path = file.to_str().expect("a plain name");
    let seen = run(&["--image", path]);
    assert!(seen.contains("/usr/bin/lua5.4\n"), "{seen}");
    assert_eq!(
        seen.matches("Status: install ok installed").count(),
        2,
        "{seen}"
    );
    assert!(seen.contains("-rwsr-xr-x root:root /usr/bin/su"), "{seen}");
    assert!(seen.contains("drwxrwsr-x root:mail /var/mail"), "{seen}");
    assert_eq!(run(&["--deb", "lua5.4"]), seen);
}

#[test]
fn a_lock_file_keeps_the_packages_of_an_image() {
    let dir = tempfile::tempdir().expect("a directory");
    let [first, second, lock] = ["first", "second", "lock"].map(|name| dir.path().join(name));
    let name = lock.to_str().expect("a plain name");
    let make = |deb: &str, options: &[&str], file: &Path| {
        let words = [&["app", "--deb", deb, "--lock", name], options].concat();
        image(&words, file)
    };
    let output = make("lua5.4", &["--locked"], &first);
    assert_eq!(output.status, 125);
    assert!(output.stderr.contains("there is no "), "{}", output.stderr);
    let output = make("lua5.4", &[], &first);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let output = make("lua5.4", &["--locked"], &second);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let read = |file: &Path| std::fs::read(file).expect("read");
    assert!(read(&first) == read(&second));
    let output = make("bc", &[], &second);
    assert_eq!(output.status, 125);
    let why = "pins an image with lua5.4, not with bc";
    assert!(output.stderr.contains(why), "{}", output.stderr);
    // It is the file that counts: one that names another package of the same name is not made up for.
    let text = std::fs::read_to_string(&lock).expect("read");
    std::fs::write(&lock, text.replace("lua5.4_", "lua5.5_")).expect("written");
    let output = make("lua5.4", &["--locked"], &second);
    assert_eq!(output.status, 125);
    let why = "is no lock file of an image";
    assert!(output.stderr.contains(why), "{}", output.stderr);
}

#[test]
fn a_file_that_is_no_image_is_refused_before_a_machine_is_started() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = dir.path().join("text");
    std::fs::write(&text, "text").expect("written");
    let text = text.to_str().expect("a plain name");
    for (option, file, part) in [
        (
            "--image",
            "/nonexistent",
            "cannot read the image /nonexistent",
        ),
        (
            "--image",
            text,
            "is no image that `cki-build image app` writes",
        ),
        ("--oci", "/nonexistent", "cannot read /nonexistent"),
        ("--oci", text, "neither a directory nor a tar archive"),
    ] {
        let output = cki(["run", option, file, "--", "true"].map(OsStr::new));
        assert_eq!(output.status, 125, "{}", output.stderr);
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}

#[test]
fn nothing_but_a_file_is_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = image(&["app", "--deb", "lua5.4"], dir.path());
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("is a directory"),
        "{}",
        output.stderr
    );
    let output = image(
        &["app", "--deb", "lua5.4"],
        &dir.path().join("no/such/app.img"),
    );
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("there is no directory"),
        "{}",
        output.stderr
    );
    let output = image(&["cki-host"], Path::new("/dev/null"));
    assert_eq!(output.status, 125);
    assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_image() {
    // A file system of 1 MiB, in a mount namespace that ends with the command.
    let dir = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=1M tmpfs \"$1\" && \"$2\" image app --deb lua5.4 -o \"$1/app.img\"; \
        status=$?; ls -A \"$1\"; exit $status";
    let output = run_program(
        "unshare",
        [
            OsStr::new("--mount"),
            OsStr::new("sh"),
            OsStr::new("-c"),
            OsStr::new(script),
            OsStr::new("sh"),
            dir.path().as_os_str(),
            variable("CKI_BUILD").as_os_str(),
        ],
        b"",
    );
    assert_eq!(output.status, 125, "{}", output.stderr);
    assert!(
        output.stderr.contains("the disk is full"),
        "{}",
        output.stderr
    );
    assert_eq!(output.text(), "", "something was left behind");
}

/// Where Nix builds for this `cki-build`, when it does.
fn building(cache: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let scratch = below(&cache.join("scratch"));
    scratch.iter().flat_map(|dir| below(dir)).collect()
}

/// Whether there is a file below `dir`, at any depth.
fn has_a_file(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        entry
            .file_type()
            .is_ok_and(|kind| kind.is_file() || (kind.is_dir() && has_a_file(&entry.path())))
    })
}

/// `cki-build` while it builds an image of `packages` at `output`, and where Nix builds it, with some files in already;
/// or none where the store had the image already.
fn while_it_builds(packages: &[&str], output: &Path) -> Option<(Child, PathBuf)> {
    let cache = variable("CKI_CACHE");
    let before = building(&cache);
    let mut child = Command::new(variable("CKI_BUILD"))
        .args(["--quiet", "image", "app", "-o"])
        .arg(output)
        .args(packages.iter().map(|name| format!("--deb={name}")))
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    let start = Instant::now();
    loop {
        let new = building(&cache).into_iter().find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("nix-build-") && !before.contains(path) && has_a_file(path)
        });
        if let Some(path) = new {
            return Some((child, path));
        }
        if let Some(status) = child.try_wait().expect("it is ours") {
            assert!(status.success(), "it has failed: {status}");
            std::fs::remove_file(output).expect("it was written");
            return None;
        }
        assert!(
            start.elapsed() < Duration::from_secs(200),
            "nothing is built"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_image_build_that_is_interrupted_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = dir.path().join("never.img");
    // Sets of packages that nothing else asks for; they are pinned, so that none has to be downloaded. A run of this
    // test that could not interrupt has left its image in the store: then the next set is taken.
    let sets: [&[&str]; 6] = [
        &["bc", "flex", "lz4", "mtools"],
        &["bc", "flex", "lz4"],
        &["bc", "flex", "mtools"],
        &["bc", "lz4", "mtools"],
        &["flex", "lz4", "mtools"],
        &["bc", "flex"],
    ];
    let found = sets
        .into_iter()
        .find_map(|packages| while_it_builds(packages, &output));
    let (mut child, build) = found.expect("the store has all of these images: collect its garbage");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it is there");
    let status = child.wait().expect("it is ours");
    assert_eq!(status.signal(), Some(2), "{status}");
    assert!(!build.exists(), "{} is left", build.display());
    assert!(!output.exists());
}

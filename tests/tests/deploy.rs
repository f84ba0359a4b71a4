// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build deploy`, with a host that is a machine with the system disk (`images/system`): it is put on another
//! system, goes back when that is not well, and when the tool is killed.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cki_process::files::write_program;
use cki_tests::system::{Machine, disk, key};
use cki_tests::{Output, long, run_program, variable};
use sha2::{Digest as _, Sha256};

/// What stands in a block of the file system that is nobody's, before its superblock.
const MARK: &[u8] = b"another system";
const BLOCK: usize = 4096;
/// What a step may take beside whatever else this machine does.
const LIMIT: Duration = Duration::from_secs(560);

fn variable_file(name: &str, file: &str) -> PathBuf {
    variable(name).join(file)
}

/// A system that differs from the built one in its first block, and so in the hashes up to that over all of them.
fn another_system(to: &Path) -> String {
    fs::create_dir(to).expect("made");
    for file in ["bzImage", "initrd"] {
        symlink(variable_file("CKI_SYSTEM", file), to.join(file)).expect("linked");
    }
    let mut root = fs::read(variable_file("CKI_SYSTEM", "root.verity")).expect("read");
    let name = fs::read_to_string(variable_file("CKI_SYSTEM", "system")).expect("read");
    let (blocks, hash) = name.trim().split_once(':').expect("a number and a hash");
    let blocks: usize = blocks.parse().expect("a number");
    let digest = |block: &[u8]| Sha256::digest(block);
    // The hashes of blocks fill blocks, whose hashes fill blocks, and so on; the last of these levels comes first.
    let mut levels = Vec::new();
    let mut count = blocks;
    while count > 1 {
        count = count.div_ceil(BLOCK / 32);
        levels.push(count);
    }
    let mut starts = Vec::new();
    let mut at = root.len() / BLOCK;
    for count in &levels {
        at -= count;
        starts.push(at);
    }
    assert_eq!(at, blocks, "the hashes are right behind the blocks");
    let top = root[at * BLOCK..][..BLOCK].to_vec();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    assert_eq!(hex(&digest(&top)), hash, "that is how it is hashed");
    root[..MARK.len()].copy_from_slice(MARK);
    let mut below = digest(&root[..BLOCK]);
    for start in starts {
        root[start * BLOCK..][..32].copy_from_slice(&below);
        below = digest(&root[start * BLOCK..][..BLOCK]);
    }
    fs::write(to.join("root.verity"), root).expect("written");
    let name = format!("{blocks}:{}", hex(&below));
    fs::write(to.join("system"), format!("{name}\n")).expect("written");
    name
}

/// How a system's name begins where it is told.
fn short(name: &str) -> &str {
    &name.split_once(':').expect("a hash").1[..12]
}

/// A host that is started again whenever it restarts.
struct Host {
    directory: PathBuf,
    port: u16,
    ends: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Host {
    /// A host with a state disk, so that its host key stays; ssh knows it already.
    fn start(directory: &Path) -> Self {
        let public = key(&directory.join("root"));
        let system = directory.join("system.qcow2");
        fs::copy(
            variable_file("CKI_SYSTEM_DISK", "cki-system.qcow2"),
            &system,
        )
        .expect("copied");
        let state = directory.join("state.raw");
        let made = run_program(
            "mkfs.ext4",
            [OsString::from("-q"), state.clone().into(), "64M".into()],
            b"",
        );
        assert_eq!(made.status, 0, "{}", made.stderr);
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = port.expect("a port").port();
        let words = ["-m", "1G", "-no-reboot"].map(str::to_owned).into_iter();
        let words = words
            .chain(disk(&system, "qcow2", "", ",bootindex=1"))
            .chain(disk(&state, "raw", "", ",serial=cki-state"));
        let words: Vec<String> = words.collect();
        let ends = Arc::new(AtomicBool::new(false));
        let keeper = {
            let (ends, console) = (Arc::clone(&ends), directory.join("console"));
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let mut machine = Machine::start_at(port, console.clone(), &public, &words);
                    while !ends.load(Ordering::Relaxed) && !machine.has_ended() {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
            })
        };
        let host = Self {
            directory: directory.to_owned(),
            port,
            ends,
            keeper: Some(keeper),
        };
        host.make_ssh();
        host
    }

    /// A configuration and a program `ssh` that `cki-build` finds first.
    fn make_ssh(&self) {
        let tools = variable("CKI_TEST_SSH");
        let at = |name: &str| self.directory.join(name).display().to_string();
        let text = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking no\n",
            at("root"),
            at("known")
        );
        fs::write(self.directory.join("config"), text).expect("written");
        fs::create_dir(self.directory.join("bin")).expect("made");
        let tools = tools.display();
        let text = format!(
            "#!/bin/sh\nexec {tools}/lib/ld-linux-x86-64.so.2 --library-path {tools}/lib {tools}/bin/ssh \"$@\"\n"
        );
        write_program(&self.directory.join("bin/ssh"), &text).expect("a program");
    }

    /// The command line of a deployment to it.
    fn command(&self, words: &[&str]) -> Vec<OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut search = OsString::from("PATH=");
        search.push(self.directory.join("bin"));
        search.push(":");
        search.push(path);
        let host = format!("root@127.0.0.1:{}", self.port);
        let mut all = vec![search, variable("CKI_BUILD").into(), "deploy".into()];
        all.extend(words.iter().map(OsString::from));
        all.extend(["--host".into(), host.into(), "--ssh-config".into()]);
        all.push(self.directory.join("config").into());
        if ["switch", "test", "boot", "dry-activate"].contains(&words[0]) {
            all.extend(["--system".into(), self.directory.join("new").into()]);
        }
        all
    }

    fn deploy(&self, words: &[&str]) -> Output {
        let output = run_program("env", self.command(words), b"");
        eprintln!(
            "{words:?}: {}\n{}{}",
            output.status,
            output.stderr,
            output.text()
        );
        output
    }

    /// Deploys, which has to end so, and gives what is said of the host.
    #[track_caller]
    fn does(&self, words: &[&str], status: i32) -> String {
        let output = self.deploy(words);
        assert_eq!(output.status, status, "{words:?}: {}", output.stderr);
        output.text().to_owned()
    }

    /// Starts a deployment.
    fn begin(&self, words: &[&str]) -> Child {
        let mut command = Command::new("env");
        let quiet = command.args(self.command(words)).stdin(Stdio::null());
        quiet.stdout(Stdio::null()).spawn().expect("started")
    }

    /// Waits until its state, as it is told, has this in it.
    fn wait_for(&self, said: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let output = self.deploy(&["status"]);
            if output.text().contains(said) {
                return output.text().to_owned();
            }
            assert!(Instant::now() < deadline, "never {said}: {}", output.text());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Has ssh know its key from here on, as who connects by hand for the first time does: a deployment takes none.
    fn is_known(&self) {
        let deadline = Instant::now() + LIMIT;
        let config = self.directory.join("config").display().to_string();
        let port = self.port.to_string();
        let accept = "StrictHostKeyChecking=accept-new";
        let words = [
            "-F",
            &config,
            "-o",
            accept,
            "-p",
            &port,
            "root@127.0.0.1",
            "true",
        ];
        loop {
            let output = run_program(self.directory.join("bin/ssh"), words, b"");
            if output.status == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{}", output.stderr);
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

#[test]
fn a_host_is_switched_goes_back_and_says_in_which_state_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let name = another_system(&directory.path().join("new"));
    let old = fs::read_to_string(variable_file("CKI_SYSTEM", "system")).expect("read");
    let (old, new) = (short(&old), short(&name));
    let host = Host::start(directory.path());
    let unknown = host.wait_for("does not know its host key");
    assert!(unknown.contains("connect once by hand"), "{unknown}");
    host.is_known();
    let fresh = format!("runs {old} (slot a, the default); slot b has no whole system");
    assert!(host.does(&["status"], 0).contains(&fresh));
    host.does(&["dry-activate"], 0);
    assert!(
        host.does(&["status"], 0).contains(&fresh),
        "a plan changes nothing"
    );

    // A probe that is never green, and so a tool that goes back before the trial is over; or one that is killed.
    let mut killed = host.begin(&["switch", "--probe", "false"]);
    host.wait_for(&format!("runs {new} (slot b) on trial"));
    killed.kill().expect("it is ours");
    killed.wait().expect("it ends");
    let ended = host.does(&["rollback"], 0);
    let failed =
        format!("runs {old} (slot a, the default); slot b has {new}; the trial of {new} failed");
    assert!(
        ended.contains(&format!("went back: it {failed}")),
        "{ended}"
    );
    assert!(host.does(&["switch"], 1).contains("--force tries it again"));

    let done = host.does(
        &[
            "switch",
            "--force",
            "--probe",
            "head -c 14 /dev/mapper/system | grep -qx 'another system'",
        ],
        0,
    );
    let runs = format!("done: it runs {new} (slot b, the default); slot a has {old}");
    assert!(done.contains(&runs), "{done}");
    assert!(host.does(&["switch"], 0).contains("nothing to do"));
    if !long() {
        return;
    }
    assert!(
        host.does(&["rollback"], 0)
            .contains(&format!("done: it runs {old} (slot a, the default)"))
    );
    // Not well in time: the tool has it go back.
    let red = host.does(
        &[
            "switch",
            "--limit",
            "2m",
            "--probe",
            "echo never >&2; false",
        ],
        1,
    );
    assert!(red.contains("false`: never"), "{red}");
    assert!(red.contains(&failed), "{red}");
    // Killed, and nobody comes: the host goes back by itself.
    let mut killed = host.begin(&["switch", "--force", "--limit", "2m", "--probe", "false"]);
    host.wait_for("on trial");
    killed.kill().expect("it is ours");
    killed.wait().expect("it ends");
    host.wait_for(&failed);
    // The next start keeps it by itself.
    assert!(
        host.does(&["boot", "--force"], 0)
            .contains("which the next start tries")
    );
    let restart = run_program(
        host.directory.join("bin/ssh"),
        [
            "-F",
            &host.directory.join("config").display().to_string(),
            "-p",
            &host.port.to_string(),
            "root@127.0.0.1",
            "systemctl reboot",
        ],
        b"",
    );
    assert!([0, 255].contains(&restart.status), "{}", restart.stderr);
    host.wait_for(&format!("runs {new} (slot b, the default)"));
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hosts that are machines with the system disk, and the tool that deploys to them.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Write as _, stderr};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use cki_process::files::write_program;
use cki_tests::system::{Machine, disk, key, own_disk, ssh};
use cki_tests::{Output, variable};
use sha2::{Digest as _, Sha256};

/// What stands in a block of the file system that is nobody's, before its superblock.
pub const MARK: &str = "another system";
const BLOCK: usize = 4096;
/// What a step may take beside whatever else this machine does.
const LIMIT: Duration = Duration::from_secs(560);
const PAUSE: Duration = Duration::from_millis(200);

fn of_system(file: &str) -> PathBuf {
    variable("CKI_SYSTEM").join(file)
}

/// How a system's name begins where it is told.
fn short(name: &str) -> String {
    name.split_once(':').expect("a hash").1[..12].to_owned()
}

/// Makes a system in `to` that differs from the built one in its first block, and so in the hashes up to that over all
/// of them.
fn another_system(to: &Path) -> String {
    fs::create_dir(to).expect("made");
    for file in ["bzImage", "initrd"] {
        symlink(of_system(file), to.join(file)).expect("linked");
    }
    let contents = fs::read_to_string(of_system("contents")).expect("read");
    let lines = contents.lines().map(|line| match line.split_once(' ') {
        Some(("module", _)) => format!("module {}", "0".repeat(64)),
        _ if line.starts_with("package bash ") => "package bash 99 1".to_owned(),
        _ => line.to_owned(),
    });
    let contents: Vec<String> = lines.collect();
    fs::write(to.join("contents"), contents.join("\n")).expect("written");
    let mut root = fs::read(of_system("root.verity")).expect("read");
    let name = fs::read_to_string(of_system("system")).expect("read");
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
    root[..MARK.len()].copy_from_slice(MARK.as_bytes());
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

/// What a host's keeper is told.
#[derive(Debug, Default)]
struct Orders {
    ends: AtomicBool,
    /// The power goes.
    cut: AtomicBool,
    starts: AtomicU32,
}

/// A host that is started again whenever it restarts. It has a disk for its state, so that its key stays.
#[derive(Debug)]
pub struct Host {
    /// Of this machine, where it is reached.
    pub port: u16,
    orders: Arc<Orders>,
    keeper: Option<JoinHandle<()>>,
    console: PathBuf,
}

impl Host {
    fn start(directory: &Path, public: &str) -> Self {
        fs::create_dir(directory).expect("made");
        let (system, state) = (directory.join("system.qcow2"), directory.join("state.raw"));
        own_disk(&system);
        let made = Command::new("mkfs.ext4")
            .arg("-q")
            .arg(&state)
            .arg("64M")
            .output();
        let made = made.expect("mkfs.ext4 is started");
        assert!(made.status.success(), "{made:?}");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = port.expect("a port").port();
        let words = ["-m", "1G", "-no-reboot"].map(str::to_owned).into_iter();
        let words = words
            .chain(disk(&system, "qcow2", "", ",bootindex=1"))
            .chain(disk(&state, "raw", "", ",serial=cki-state"));
        let words: Vec<String> = words.collect();
        let console = directory.join("console");
        let orders = Arc::new(Orders::default());
        let keeper = {
            let (orders, console, public) =
                (Arc::clone(&orders), console.clone(), public.to_owned());
            std::thread::spawn(move || {
                while !orders.ends.load(Ordering::SeqCst) {
                    let mut machine =
                        Machine::start_at(Some(port), console.clone(), &public, &words);
                    orders.starts.fetch_add(1, Ordering::SeqCst);
                    while !orders.ends.load(Ordering::SeqCst)
                        && !orders.cut.swap(false, Ordering::SeqCst)
                        && !machine.has_ended()
                    {
                        sleep(PAUSE);
                    }
                }
            })
        };
        Self {
            port,
            orders,
            keeper: Some(keeper),
            console,
        }
    }

    /// Takes its power, and gives it back.
    pub fn cut(&self) {
        let before = self.starts();
        self.orders.cut.store(true, Ordering::SeqCst);
        self.wait_for_start(before);
    }

    fn starts(&self) -> u32 {
        self.orders.starts.load(Ordering::SeqCst)
    }

    fn wait_for_start(&self, before: u32) {
        let deadline = Instant::now() + LIMIT;
        while self.starts() == before {
            assert!(Instant::now() < deadline, "it is not started again");
            sleep(PAUSE);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.orders.ends.store(true, Ordering::SeqCst);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        if std::thread::panicking() {
            let console = fs::read(&self.console).unwrap_or_default();
            let _ = writeln!(
                stderr(),
                "its console:\n{}",
                String::from_utf8_lossy(&console)
            );
        }
    }
}

/// A deployment that goes on.
#[derive(Debug)]
pub struct Begun {
    tool: Child,
    said: PathBuf,
}

impl Begun {
    /// Waits until it has said this.
    #[track_caller]
    pub fn says(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            // In this order: what it says last counts, too.
            let ended = self.tool.try_wait().expect("it is ours");
            let said = fs::read_to_string(&self.said).expect("text");
            if said.contains(text) {
                return;
            }
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "never {text}: {said}"
            );
            sleep(PAUSE);
        }
    }

    /// Kills it: it has no time to do anything.
    #[track_caller]
    pub fn kill(mut self) {
        assert_eq!(
            self.tool.try_wait().expect("it is ours"),
            None,
            "it has ended by itself"
        );
        self.tool.kill().expect("it is ours");
        self.tool.wait().expect("it ends");
    }

    /// Waits for its end, and gives its status and what it has said.
    pub fn ends(mut self) -> (Option<i32>, String) {
        let status = self.tool.wait().expect("it ends");
        (status.code(), fs::read_to_string(&self.said).expect("text"))
    }
}

/// Hosts, and who deploys to them.
#[derive(Debug)]
pub struct Fleet {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// How the system that they have is called.
    pub old: String,
    /// How the one is called that they are to have.
    pub new: String,
    directory: PathBuf,
    start: Instant,
    told: RefCell<Vec<String>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("CKI_TOLD").is_some() {
            let _ = writeln!(stderr(), "{}", self.told.borrow().concat());
        }
    }
}

impl Fleet {
    /// So many hosts, none of which ssh knows.
    pub fn start(directory: &Path, count: usize) -> Self {
        let new = another_system(&directory.join("new"));
        let old = fs::read_to_string(of_system("system")).expect("read");
        let public = key(&directory.join("root"));
        let hosts = (0..count).map(|at| Host::start(&directory.join(at.to_string()), &public));
        let hosts = hosts.collect();
        let fleet = Self {
            hosts,
            old: short(&old),
            new: short(&new),
            directory: directory.to_owned(),
            start: Instant::now(),
            told: RefCell::default(),
        };
        fleet.make_ssh();
        fleet
    }

    /// A configuration, and a program `ssh` that `cki-build` finds first. A deployment takes no key whatever this
    /// configuration says.
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

    /// Begins a deployment to all.
    pub fn begin(&self, words: &[&str]) -> Begun {
        let mut path = self.directory.join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(variable("CKI_BUILD"));
        command.env("PATH", path).arg("deploy").args(words);
        for host in &self.hosts {
            command.args(["--host", &format!("root@127.0.0.1:{}", host.port)]);
        }
        command
            .arg("--ssh-config")
            .arg(self.directory.join("config"));
        if ["switch", "test", "boot", "dry-activate", "diff"].contains(&words[0]) {
            command.arg("--system").arg(self.directory.join("new"));
        }
        let said = self.directory.join("said");
        let file = File::create(&said).expect("a file");
        let other = file.try_clone().expect("the same");
        command.stdin(Stdio::null()).stdout(file).stderr(other);
        Begun {
            tool: command.spawn().expect("the tool is started"),
            said,
        }
    }

    fn deploy(&self, words: &[&str]) -> (Option<i32>, String) {
        let (status, said) = self.begin(words).ends();
        let line = format!("{:?} {words:?}: {status:?}\n{said}", self.start.elapsed());
        self.told.borrow_mut().push(line);
        (status, said)
    }

    /// Deploys, which has to end so, and gives what is said.
    #[track_caller]
    pub fn does(&self, words: &[&str], expected: i32) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (status, said) = self.deploy(words);
            // A machine that is busy with other work may keep a question waiting for too long.
            let unasked = said.contains("nothing was changed on it")
                && ["cannot be reached", "was lost", "changes its slots"]
                    .iter()
                    .any(|why| said.contains(why));
            if unasked && Instant::now() < deadline {
                sleep(PAUSE);
                continue;
            }
            assert_eq!(status, Some(expected), "{words:?}: {said}");
            return said;
        }
    }

    /// Waits until `status` tells this.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (_, said) = self.deploy(&["status"]);
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < deadline, "never {text}: {said}");
            sleep(Duration::from_secs(1));
        }
    }

    /// Runs a script as root of a host, as who connects by hand does.
    pub fn ask(&self, host: &Host, options: &[&str], script: &str) -> Output {
        let config = self.directory.join("config").into_os_string();
        let port = host.port.to_string();
        let words = ["-F".into(), config, "-p".into(), port.into()].into_iter();
        let words = words.chain(options.iter().map(OsString::from));
        ssh("ssh", words.chain(["root@127.0.0.1".into(), script.into()]))
    }

    /// Connects to each by hand for the first time, and takes its key.
    pub fn are_known(&self) {
        let start = Instant::now();
        for host in &self.hosts {
            let accept = [
                "-o",
                "StrictHostKeyChecking=accept-new",
                "-o",
                "BatchMode=yes",
            ];
            while self.ask(host, &accept, "true").status != 0 {
                assert!(start.elapsed() < LIMIT, "it does not come up");
                sleep(PAUSE);
            }
        }
    }
}

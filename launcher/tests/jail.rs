// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a launcher still is when its guest runs, as the kernel sees it, and that it runs none when it cannot give up
//! what it should. With a host module that is preloaded (`module.c`). Most of it only root can try; for others those
//! tests are left out, and counted so. A machine has the same of the real one (`tests/tests/jail.rs`).

mod common;
#[path = "common/preloaded.rs"]
mod preloaded;

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use cki_abi::version::ABI_VERSION;
use cki_session::{Event, Failure, FailureKind, Outcome};
use common::kernel;
use libtest_mimic::{Arguments, Trial};
use nix::unistd::{Gid, Uid};
use preloaded::Launcher;
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
};

/// A test, by its name.
macro_rules! named {
    ($test:ident) => {
        (stringify!($test), $test as fn())
    };
}

const TESTS: [(&str, fn()); 3] = [
    named!(whoever_else_starts_one_stays_who_they_are_without_the_capabilities_that_they_had),
    named!(what_means_nothing_is_refused),
    named!(what_a_starter_left_open_is_closed),
];

/// Those that only root can try.
const OF_ROOT: [(&str, fn()); 6] = [
    named!(what_root_starts_becomes_a_user_of_its_own_in_an_empty_root),
    named!(root_names_the_user_that_its_launcher_becomes),
    named!(with_sockets_their_directory_is_all_that_is_seen),
    named!(one_that_cannot_give_up_what_it_has_runs_no_guest),
    named!(where_groups_cannot_be_left_there_have_to_be_none),
    named!(a_capability_that_is_only_inheritable_is_given_up),
];

fn main() {
    let mut arguments = Arguments::from_args();
    let is_root = Uid::effective().is_root();
    if !is_root {
        // Not even by --include-ignored.
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    let trial = |(name, test): (&str, fn())| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run)
    };
    let of_root = OF_ROOT.map(|test| trial(test).with_ignored_flag(!is_root));
    let trials = TESTS.map(trial).into_iter().chain(of_root).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn started(prepare: impl FnOnce(&mut Command), options: &[&str]) -> Launcher {
    let mut launcher = Launcher::start_by(prepare, &[], options, &kernel(ABI_VERSION));
    launcher.wait_running();
    launcher
}

impl Launcher {
    /// Its file below `/proc`.
    fn file(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// What the kernel says of each of its threads: the words behind each name.
    fn statuses(&self) -> Vec<HashMap<String, String>> {
        let threads = fs::read_dir(self.file("task")).expect("it runs");
        let status = |thread: std::io::Result<fs::DirEntry>| {
            let path = thread.expect("a thread").path().join("status");
            let text = fs::read_to_string(path).expect("it runs");
            let words = |line: &str| {
                let (name, words) = line.split_once(':')?;
                let words: Vec<_> = words.split_whitespace().collect();
                Some((name.to_owned(), words.join(" ")))
            };
            text.lines().filter_map(words).collect()
        };
        threads.map(status).collect()
    }

    /// The file systems that it sees: where, options, and kind, by place.
    fn mounts(&self) -> Vec<[String; 3]> {
        let text = fs::read_to_string(self.file("mountinfo")).expect("it runs");
        let mount = |line: &str| {
            let (mount, kind) = line.split_once(" - ")?;
            let words: Vec<_> = mount.split(' ').collect();
            let kind = kind.split(' ').next()?;
            Some([words[4], words[5], kind].map(str::to_owned))
        };
        let mut mounts: Vec<_> = text
            .lines()
            .map(|line| mount(line).expect("a mount"))
            .collect();
        mounts.sort();
        mounts
    }

    /// What is in its root directory.
    fn root(&self) -> Vec<String> {
        let names = fs::read_dir(self.file("root")).expect("it runs");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        names
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect()
    }

    fn namespace(&self, name: &str) -> PathBuf {
        fs::read_link(self.file(&format!("ns/{name}"))).expect("it runs")
    }

    fn ends(mut self) {
        self.kill();
        self.end();
    }
}

const NOTHING: &str = "0000000000000000";

/// Holds each thread to be that user and group, with no right beside.
fn holds(launcher: &Launcher, user: u32, group: u32, sets: &[&str]) {
    let statuses = launcher.statuses();
    assert!(statuses.len() > 2, "{statuses:?}");
    for status in statuses {
        assert_eq!(status["Uid"], [user; 4].map(|id| id.to_string()).join(" "));
        assert_eq!(status["Gid"], [group; 4].map(|id| id.to_string()).join(" "));
        for set in sets {
            assert_eq!(status[*set], NOTHING, "{set}");
        }
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    }
}

const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
const ALL_SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"];

fn what_root_starts_becomes_a_user_of_its_own_in_an_empty_root() {
    let launcher = started(|_| {}, &[]);
    let user = 0x7000_0000 + launcher.child.id();
    holds(&launcher, user, user, &ALL_SETS);
    assert!(
        launcher
            .statuses()
            .iter()
            .all(|status| status["Groups"].is_empty())
    );
    assert_eq!(launcher.root(), [""; 0]);
    let [[place, options, kind]] = &launcher.mounts()[..] else {
        panic!("{:?}", launcher.mounts());
    };
    assert_eq!((&**place, &**kind), ("/", "tmpfs"));
    assert!(options.starts_with("ro,nosuid,nodev,noexec"), "{options}");
    assert!(fs::write(launcher.file("root").join("new"), "").is_err());
    let ours = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).expect("it is ours");
    assert_ne!(launcher.namespace("mnt"), ours("mnt"));
    // Others' mounts are as they were.
    assert!(fs::read_dir("/proc/self").is_ok());
    // Two that run at a time are two users.
    let other = started(|_| {}, &[]);
    assert_ne!(other.statuses()[0]["Uid"], launcher.statuses()[0]["Uid"]);
    other.ends();
    launcher.ends();
}

fn root_names_the_user_that_its_launcher_becomes() {
    for (named, user, group) in [("991", 991, 991), ("991:77", 991, 77), ("0", 0, 0)] {
        let launcher = started(|_| {}, &["--jail-user", named]);
        holds(&launcher, user, group, &ALL_SETS);
        assert_eq!(launcher.root(), [""; 0]);
        launcher.ends();
    }
}

fn with_sockets_their_directory_is_all_that_is_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("beside"), "").expect("written");
    let socket = directory.path().join("s");
    let option = socket.to_str().expect("UTF-8");
    let launcher = started(|_| {}, &["--vsock", option, "--jail-user", "0"]);
    holds(&launcher, 0, 0, &ALL_SETS);
    assert_eq!(launcher.root(), ["sockets"]);
    let mounts = launcher.mounts();
    let places: Vec<_> = mounts.iter().map(|[place, ..]| &**place).collect();
    assert_eq!(places, ["/", "/sockets"]);
    for [place, options, _] in &mounts {
        assert!(
            options.starts_with("ro,nosuid,nodev,noexec"),
            "{place} {options}"
        );
    }
    let inside = launcher.file("root").join("sockets");
    assert!(inside.join("beside").exists() && inside.join("s").exists());
    assert!(fs::write(inside.join("new"), "").is_err());
    // Names of sockets that are no files are another namespace's.
    let ours = fs::read_link("/proc/self/ns/net").expect("it is ours");
    assert_ne!(launcher.namespace("net"), ours);
    launcher.ends();
}

/// Makes whoever is to start something another user, who keeps one capability.
fn as_nobody(command: &mut Command) {
    let become_nobody = || {
        let one = CapabilitySet::NET_ADMIN;
        set_keep_capabilities(true)?;
        nix::unistd::setgroups(&[])?;
        nix::unistd::setresgid(65534.into(), 65534.into(), 65534.into())?;
        nix::unistd::setresuid(65534.into(), 65534.into(), 65534.into())?;
        let sets = CapabilitySets {
            effective: one,
            permitted: one,
            inheritable: one,
        };
        set_capabilities(None, sets)?;
        configure_capability_in_ambient_set(one, true)?;
        Ok(())
    };
    // SAFETY: it makes system calls, and nothing else.
    unsafe { command.pre_exec(become_nobody) };
}

fn whoever_else_starts_one_stays_who_they_are_without_the_capabilities_that_they_had() {
    if Uid::effective().is_root() {
        let launcher = started(as_nobody, &[]);
        holds(&launcher, 65534, 65534, &SETS);
        launcher.ends();
        return;
    }
    let launcher = started(|_| {}, &[]);
    let (user, group) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    holds(&launcher, user, group, &SETS);
    launcher.ends();
}

/// Why a launcher that is started so runs no guest.
fn failure(prepare: impl FnOnce(&mut Command), options: &[&str]) -> String {
    let launcher = Launcher::start_by(prepare, &[], options, &kernel(ABI_VERSION));
    let (status, text, messages) = launcher.end();
    assert_eq!((status.code(), &*text), (Some(125), ""));
    match messages.last() {
        Some(Event::Ended {
            outcome: Outcome::Failed(Failure { message, kind }),
            ..
        }) => {
            assert_eq!(*kind, FailureKind::Internal);
            message.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn one_that_cannot_give_up_what_it_has_runs_no_guest() {
    for (missing, step) in [
        (CapabilitySet::SYS_ADMIN, "namespaces"),
        (CapabilitySet::SETPCAP, "securebits"),
        (CapabilitySet::SETGID, "groups"),
        (CapabilitySet::SETUID, "the user 1"),
    ] {
        let prepare = |command: &mut Command| {
            let take = move || {
                // There is one to leave.
                nix::unistd::setgroups(&[Gid::from_raw(5)])?;
                Ok(remove_capability_from_bounding_set(missing)?)
            };
            // SAFETY: it makes system calls, and nothing else.
            unsafe { command.pre_exec(take) };
        };
        let message = failure(prepare, &[]);
        for part in [step, "Operation not permitted", "or as root with", "group"] {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }
}

fn what_means_nothing_is_refused() {
    if Uid::effective().is_root() {
        let message = failure(as_nobody, &["--jail-user", "991"]);
        assert!(message.contains("only root"), "{message}");
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let message = failure(|_| {}, &["--vsock", socket.to_str().expect("UTF-8")]);
        assert!(message.contains("--jail-user"), "{message}");
        assert!(!socket.exists());
    } else {
        let message = failure(|_| {}, &["--jail-user", "991"]);
        assert!(message.contains("only root"), "{message}");
    }
}

/// What these are open at in a launcher that a careless starter has left them in.
const LEFT: [i32; 3] = [20, 21, 1000];

fn what_a_starter_left_open_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = fs::File::create(directory.path().join("log")).expect("created");
    let place = fs::File::open(directory.path()).expect("it is ours");
    let (socket, mut other) = UnixStream::pair().expect("a pair");
    let files = [log.as_raw_fd(), place.as_raw_fd(), socket.as_raw_fd()];
    let leave = move || {
        for (file, number) in files.into_iter().zip(LEFT) {
            // SAFETY: it makes a system call about two numbers, of which nobody else uses the second.
            if unsafe { libc::dup2(file, number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    let launcher = started(
        |command| {
            // SAFETY: it makes system calls, and nothing else.
            unsafe { command.pre_exec(leave) };
        },
        &[],
    );
    drop((log, place, socket));
    for open in fs::read_dir(launcher.file("fd")).expect("it runs") {
        let at = fs::read_link(open.expect("an entry").path()).expect("it runs");
        assert!(!at.starts_with(directory.path()), "{at:?}");
    }
    // Nobody has the other end.
    assert_eq!(other.read(&mut [0]).expect("its end"), 0);
    launcher.ends();
}

/// Makes whoever is to start something root of a user namespace that lets nobody leave groups, as `unshare -r` does.
fn as_root_of_a_namespace(command: &mut Command, keeps_groups: bool) {
    let enter = move || {
        let groups = [Gid::from_raw(5)];
        nix::unistd::setgroups(if keeps_groups { &groups } else { &[] })?;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", "0 0 1")?;
        fs::write("/proc/self/gid_map", "0 0 1")
    };
    // SAFETY: it makes system calls, with paths for which no memory is needed.
    unsafe { command.pre_exec(enter) };
}

fn where_groups_cannot_be_left_there_have_to_be_none() {
    let launcher = started(
        |command| as_root_of_a_namespace(command, false),
        &["--jail-user", "0"],
    );
    holds(&launcher, 0, 0, &ALL_SETS);
    assert_eq!(launcher.root(), [""; 0]);
    launcher.ends();
    let message = failure(
        |command| as_root_of_a_namespace(command, true),
        &["--jail-user", "0"],
    );
    for part in [
        "its groups",
        "unshare -r",
        "--clear-groups",
        "as a user of the group",
    ] {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
}

fn a_capability_that_is_only_inheritable_is_given_up() {
    let launcher = started(
        |command| {
            as_nobody(command);
            let keep_inheritable = || {
                let none = CapabilitySet::empty();
                let sets = CapabilitySets {
                    effective: none,
                    permitted: none,
                    inheritable: CapabilitySet::NET_ADMIN,
                };
                Ok(set_capabilities(None, sets)?)
            };
            // SAFETY: it makes a system call, and nothing else.
            unsafe { command.pre_exec(keep_inheritable) };
        },
        &[],
    );
    holds(&launcher, 65534, 65534, &SETS);
    launcher.ends();
}

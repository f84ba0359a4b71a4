// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work in a container that an engine of Debian's makes: on the machine's own kernel (runc, crun), or on gVisor's in
//! user mode.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cki_disk::DiskOption;
use cki_frontend::Runtime;
use cki_machine::Ended;
use cki_session::Status;
use serde_json::{Value, json};

use super::interface::{MEMORY, Side, Work, layers};
use crate::error::Error;
use crate::lab::{Job, Lab};

/// Makes the root file system and starts the engine.
const SCRIPT: &str = concat!(include_str!("root.sh"), include_str!("engine.sh"));

/// What a process of the container may do: what docker, podman and containerd allow.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// runc.
pub(crate) const RUNC: Engine = Engine::of("runc");
/// crun.
pub(crate) const CRUN: Engine = Engine::of("crun");
/// gVisor, as its users have it. Debian 12 itself has one of 2022, which does not know systrap. Its control groups are
/// for limits, of which there are none.
pub(crate) const GVISOR: Engine = Engine {
    program: "runsc",
    package: "runsc/bookworm-backports",
    options: &["--platform=systrap", "--ignore-cgroups", "--network=none"],
};

/// An engine.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Its program.
    pub(crate) program: &'static str,
    /// The package that has it.
    pub(crate) package: &'static str,
    /// What the program is told besides.
    pub(crate) options: &'static [&'static str],
}

impl Engine {
    const fn of(name: &'static str) -> Self {
        Self {
            program: name,
            package: name,
            options: &[],
        }
    }

    fn packages(&self) -> [&'static str; 2] {
        [self.package, "mount"]
    }
}

impl Side for Engine {
    fn working(&self) -> String {
        format!("working in a container of {}", self.program)
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn images(&self, lab: &dyn Lab) -> Result<BTreeMap<String, PathBuf>, Error> {
        Ok(layers(lab.layers_of(&self.packages())?))
    }

    fn run(&self, lab: &dyn Lab, work: &Work) -> Result<Job, Error> {
        // One layer, which is a file system.
        let root = lab.disk_of(&work.package)?;
        let config = config(&work.command, "/run/box/rootfs", None).to_string();
        Ok(Job {
            memory: MEMORY,
            packages: self.packages().into(),
            disks: vec![DiskOption {
                is_read_only: true,
                ..DiskOption::raw(root)
            }],
            ..Job::new(
                Runtime::Native,
                &[
                    &["sh", "-c", SCRIPT, "engine", &config, self.program],
                    self.options,
                ]
                .concat(),
            )
        })
    }

    fn judge(&self, ended: &Ended) -> Result<(), Error> {
        match ended.outcome.status() {
            Status::OK => Ok(()),
            status => Err(Error::Failed(format!(
                "{0} did not do the work (status {1}), and has said why; `cki-build run --runtime native --deb {2} -- \
                 {0} --version` shows whether it starts in the machine, and `--runtimes` without it leaves it out",
                self.program, status.0, self.package
            ))),
        }
    }
}

/// The configuration of a container (OCI Runtime Specification 1.0.2) for `argv`: with namespaces and capabilities as
/// usual, a /tmp in memory, and without a filter of system calls. Its network is `netns`, or one with nothing in it.
pub(crate) fn config(argv: &[String], root: &str, netns: Option<&str>) -> Value {
    let namespace = |kind: &str| json!({ "type": kind });
    let mut namespaces = ["pid", "ipc", "uts", "mount", "cgroup"]
        .map(namespace)
        .to_vec();
    namespaces.push(match netns {
        Some(path) => json!({ "type": "network", "path": path }),
        None => namespace("network"),
    });
    let mount = |target: &str, kind: &str, options: &[&str]| {
        let options = [&["nosuid"], options].concat();
        json!({ "destination": target, "type": kind, "source": kind, "options": options })
    };
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": argv,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": root, "readonly": false },
        "hostname": "work",
        "mounts": [
            mount("/proc", "proc", &["noexec", "nodev"]),
            mount("/dev", "tmpfs", &["strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["noexec", "nodev"]),
            mount("/sys", "sysfs", &["noexec", "nodev", "ro"]),
            mount("/tmp", "tmpfs", &["nodev", "mode=1777"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::Outcome;

    #[test]
    fn a_container_of_an_engine_is_one_with_namespaces_of_its_own() {
        let argv = ["cki-workload", "sph"].map(str::to_owned);
        let config = config(&argv, "/r", None);
        assert_eq!(config["process"]["args"], json!(argv));
        assert_eq!(config["root"], json!({ "path": "/r", "readonly": false }));
        let namespaces = config["linux"]["namespaces"].as_array().expect("a list");
        let kinds: Vec<_> = namespaces.iter().map(|one| one["type"].as_str()).collect();
        let expected = ["pid", "ipc", "uts", "mount", "cgroup", "network"].map(Some);
        assert_eq!(kinds, expected);
        let tmp = config["mounts"].as_array().expect("a list").last();
        assert_eq!(tmp.expect("a mount")["destination"], "/tmp");
    }

    #[test]
    fn a_container_of_a_server_has_the_network_that_was_made_for_it() {
        let config = config(&[], "/r", Some("/run/netns/side"));
        let namespaces = config["linux"]["namespaces"].as_array().expect("a list");
        let network = json!({ "type": "network", "path": "/run/netns/side" });
        assert_eq!(namespaces.last(), Some(&network));
    }

    #[test]
    fn an_engine_that_fails_is_named_with_what_to_do() {
        let judged = RUNC.judge(&Ended::at_once(Outcome::Exited(0), None));
        assert!(judged.is_ok());
        let error = RUNC.judge(&Ended::at_once(Outcome::Exited(127), None));
        let error = error.expect_err("it failed").to_string();
        for words in ["status 127", "--deb runc -- runc --version", "--runtimes"] {
            assert!(error.contains(words), "{error}");
        }
    }
}

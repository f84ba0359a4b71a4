// SPDX-License-Identifier: MIT OR Apache-2.0

//! Servers of keys and values, asked from outside of their container: what a request takes of the whole machine, which
//! asks, too.

use cki_disk::DiskOption;
use cki_figures::Took;
use cki_frontend::Runtime;
use cki_session::{Memory, Status};
use cki_workload_names::Size;
use serde::Deserialize;

use crate::args::FigureRuntime;
use crate::error::Error;
use crate::lab::{Given, Job, Lab};
use crate::side::{self, config};
use crate::work::word;

/// Of the machine; half of it is for containers.
const MEMORY: Memory = Memory::constant(1024);
/// Starts the server and asks it.
const SCRIPT: &str = include_str!("server.sh");
/// The machine has the same image for every runtime, and each server has that for its root file system.
pub(super) const PACKAGES: [&str; 6] = [
    "crun",
    "iproute2",
    "memcached",
    "mount",
    "redis-server",
    "runc",
];

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Memcached,
    Redis,
}

impl Server {
    /// Its name, which is that of its protocol.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Memcached => "memcached",
            Self::Redis => "redis",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Memcached => "11211",
            Self::Redis => "6379",
        }
    }

    /// The artifact's command.
    const fn command(self) -> &'static [&'static str] {
        match self {
            Self::Memcached => &["memcached", "-u", "nobody"],
            Self::Redis => &["redis-server", "--save", "", "--protected-mode", "no"],
        }
    }
}

/// What is asked of a server, of the artifact's parameters as much as fits the size.
#[derive(Debug, Clone, Copy)]
struct Amount {
    /// Requests of all clients together.
    requests: u32,
    /// Keys, and their standard deviation from the middle one: so many that most of what is asked for was stored.
    keys: &'static str,
    deviation: &'static str,
}

const fn amount(size: Size) -> Amount {
    let (requests, keys, deviation) = match size {
        Size::Tiny => (12_000, "5000", "342"),
        Size::Small => (120_000, "50000", "3417"),
        Size::Paper => (1_200_000, "500000", "34167"),
    };
    Amount {
        requests,
        keys,
        deviation,
    }
}

/// What the script puts out.
#[derive(Debug, Deserialize)]
struct Said {
    load: Load,
    /// Nanoseconds.
    idle: f64,
}

/// What `cki-kv-load --json` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Load {
    sets: u64,
    gets: u64,
    hits: u64,
    seconds: f64,
    sum: String,
}

/// Why a server is not asked on a runtime, if it is not.
pub(super) const fn why_not(runtime: FigureRuntime) -> Option<&'static str> {
    match runtime {
        FigureRuntime::Gvisor => Some(
            "gVisor of July 2024 takes every network namespace of Linux 6.12 for the host's own, and refuses a network \
             there",
        ),
        FigureRuntime::Uml => Some("its network by a tap is not set up here"),
        FigureRuntime::XenPv => Some(
            "Debian's kernel has its network cards as modules, which the machine does not load, and a guest of Xen for \
             the server alone is not set up here",
        ),
        FigureRuntime::Native | FigureRuntime::Runc | FigureRuntime::Crun | FigureRuntime::Cki => {
            None
        }
    }
}

/// Asks the server on a runtime.
pub(super) fn serve(
    lab: &dyn Lab,
    runtime: FigureRuntime,
    server: Server,
    clients: u32,
    size: Size,
) -> Result<Took, Error> {
    let load = lab.outputs(&["cki-workload"])?["cki-workload"].clone();
    let disk = lab.disk_of(&load)?;
    let job = Job {
        memory: MEMORY,
        packages: PACKAGES.into(),
        disks: vec![DiskOption {
            is_read_only: true,
            ..DiskOption::raw(disk)
        }],
        command: words(runtime, server, clients, size, &load.to_string_lossy()),
        ..Job::new(Runtime::Host, &[])
    };
    let (mut machine, disks) = lab.prepare(&job)?;
    machine.icount = true;
    let step = lab.step(&format!("asking {} on {}", server.name(), word(&runtime)));
    let given = Given {
        disks,
        ..Given::default()
    };
    let (ended, output) = lab.execute(&machine, &job, given, Box::new(|| {}))?;
    step.finish();
    if ended.outcome.status() != Status::OK {
        return Err(Error::Failed(format!(
            "{} does not serve on {}, and has said why; `--runtimes` without {1} leaves that out",
            server.name(),
            word(&runtime)
        )));
    }
    took(&output, side::emulator_seconds(&ended))
}

/// The command in the machine.
fn words(
    runtime: FigureRuntime,
    server: Server,
    clients: u32,
    size: Size,
    load: &str,
) -> Vec<String> {
    let argv: Vec<String> = server.command().iter().map(ToString::to_string).collect();
    let config = match runtime {
        FigureRuntime::Native | FigureRuntime::XenPv | FigureRuntime::Cki => String::new(),
        FigureRuntime::Runc | FigureRuntime::Crun | FigureRuntime::Gvisor | FigureRuntime::Uml => {
            config(&argv, "/run/box/rootfs", Some("/run/netns/side")).to_string()
        }
    };
    let amount = amount(size);
    let each = amount.requests / clients;
    let named = [
        ("how", &*word(&runtime)),
        ("config", &config),
        ("load", load),
        ("protocol", server.name()),
        ("port", server.port()),
        ("clients", &clients.to_string()),
        ("requests", &each.to_string()),
        ("keys", amount.keys),
        ("deviation", amount.deviation),
    ];
    let named = named.map(|(name, value)| format!("{name}={value}"));
    let words = ["sh", "-c", SCRIPT, "server"]
        .map(str::to_owned)
        .into_iter();
    let words = words.chain(named).chain(["--".to_owned()]);
    words.chain(argv).collect()
}

/// What the requests took.
fn took(output: &str, emulator_seconds: Option<f64>) -> Result<Took, Error> {
    let wrong = |why: String| Error::Failed(format!("{why}; the machine said:\n{output}"));
    let Said { load, idle } = serde_json::from_str(output).map_err(|e| wrong(e.to_string()))?;
    let counts = [
        (cki_figures::REQUESTS, load.sets + load.gets),
        ("gets", load.gets),
        ("hits", load.hits),
    ];
    if load.hits == 0 {
        return Err(wrong("the server had no value that was stored".to_owned()));
    }
    Ok(Took {
        instructions: (load.seconds * 1e9).round() - idle,
        steps: std::collections::BTreeMap::new(),
        counts: counts.map(|(name, count)| (name.to_owned(), count)).into(),
        emulator_seconds: emulator_seconds.unwrap_or_default(),
        sum: load.sum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_process::exec::Command;

    #[test]
    fn a_server_is_asked_as_in_the_artifact() {
        let words = words(
            FigureRuntime::Cki,
            Server::Redis,
            12,
            Size::Tiny,
            "/nix/store/load",
        );
        assert_eq!(
            words[3..],
            [
                "server",
                "how=cki",
                "config=",
                "load=/nix/store/load",
                "protocol=redis",
                "port=6379",
                "clients=12",
                "requests=1000",
                "keys=5000",
                "deviation=342",
                "--",
                "redis-server",
                "--save",
                "",
                "--protected-mode",
                "no"
            ]
        );
    }

    #[test]
    fn an_engine_gets_a_container_with_the_servers_network() {
        let words = words(
            FigureRuntime::Crun,
            Server::Memcached,
            1,
            Size::Tiny,
            "/load",
        );
        assert_eq!(words[4], "how=crun");
        let config = words[5].strip_prefix("config=").expect("its configuration");
        assert!(config.contains("/run/netns/side"), "{config}");
        let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
        assert_eq!(config["process"]["args"][0], "memcached");
    }

    /// A machine that has no second disk.
    #[test]
    fn the_script_says_what_it_lacks_or_does_not_know() {
        let words = words(FigureRuntime::Native, Server::Redis, 1, Size::Tiny, "/load");
        let said = |words: &[String]| {
            let output = Command::new(&words[0]).args(&words[1..]).output();
            let output = output.expect("a shell");
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let lacking = said(&words);
        assert!(lacking.contains("no disk with what asks"), "{lacking}");
        let mut odd = words;
        odd[5] = "depth=7".to_owned();
        assert_eq!(said(&odd), "server.sh: what is depth=7?\n");
    }

    #[test]
    fn idleness_is_no_instruction() {
        let said = |hits: u64| {
            format!(
                r#"{{"load":{{"sets":6,"gets":5,"hits":{hits},"seconds":0.5,"per_second":22.0,"sum":"1f"}},"idle":100000000}}"#
            )
        };
        let took = took(&said(5), Some(1.0)).expect("it is done");
        assert_eq!(took.instructions.to_bits(), 4e8_f64.to_bits());
        assert_eq!(took.counts["requests"], 11);
        let forgetful = super::took(&said(0), Some(1.0)).expect_err("nothing was kept");
        assert!(forgetful.to_string().contains("no value"), "{forgetful}");
    }
}

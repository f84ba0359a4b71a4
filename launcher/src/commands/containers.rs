// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki list`, `cki kill`: containers that run under a name.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};
use cki_launcher::container_names::{ContainerNames, Found, State};
use cki_launcher::counts::Counts;
use cki_launcher::signals;
use cki_session::{Signal, Status, printable};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

use super::stats;
use crate::cli::KillArgs;
use crate::json::escaped;
use crate::sentence::sentence;

/// `cki list`.
pub fn list(json: bool) -> anyhow::Result<Status> {
    let names = ContainerNames::default();
    let found = names.all()?;
    let mut out = io::stdout().lock();
    if json {
        let counts = |state: &State| stats::ask(&names.stats(state)).ok();
        writeln!(out, "{}", to_json(found, counts)?)?;
        return Ok(Status::OK);
    }
    writeln!(out, "{:<24} {:>8} {:>8}  PROGRAM", "NAME", "PID", "MEMORY")?;
    for found in found {
        writeln!(out, "{}", row(found))?;
    }
    Ok(Status::OK)
}

/// A line of the table. Of one that cannot be read, as when its launcher is of a later version, the name is known, and
/// why it cannot.
fn row(found: Found) -> String {
    let (pid, memory, rest) = match found.state {
        Ok(State {
            pid,
            memory,
            process,
            ..
        }) => (pid.to_string(), memory.to_string(), process.argv.join(" ")),
        Err(error) => (
            "-".to_owned(),
            "-".to_owned(),
            format!("({})", sentence(&error.into())),
        ),
    };
    // The arguments may be an image's; a line is one container's, whatever is in them.
    let line = |text: &str| printable(text).replace(['\n', '\t'], " ");
    let (name, rest) = (line(&found.name), line(&rest));
    format!("{name:<24} {pid:>8} {memory:>8}  {rest}")
}

/// The same for programs: one that cannot be read has its name and `error`.
fn to_json(
    found: Vec<Found>,
    counts: impl Fn(&State) -> Option<Counts>,
) -> serde_json::Result<String> {
    escaped(&objects(found, counts)?)
}

/// A container, with what it has counted if its launcher says that.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
}

/// What that says.
fn objects(
    found: Vec<Found>,
    counts: impl Fn(&State) -> Option<Counts>,
) -> serde_json::Result<Vec<serde_json::Value>> {
    let object = |found: Found| match found.state {
        Ok(state) => serde_json::to_value(Listed {
            counts: counts(&state),
            state,
        }),
        Err(error) => {
            Ok(serde_json::json!({ "name": found.name, "error": sentence(&error.into()) }))
        }
    };
    found.into_iter().map(object).collect()
}

/// `cki kill`.
pub fn kill(args: &KillArgs) -> anyhow::Result<Status> {
    kill_one_of(&ContainerNames::default(), args)
}

fn kill_one_of(names: &ContainerNames, args: &KillArgs) -> anyhow::Result<Status> {
    // The launcher passes on what it gets; SIGKILL is its own end, and the container's.
    let passed_on = cki_session::FORWARDED.contains(&args.signal) || args.signal == Signal::KILL;
    let state = names.find(&args.name)?;
    if !passed_on {
        bail!("signal {} cannot be passed on to a container", args.signal);
    }
    signal(names, &state, args.signal)?;
    Ok(Status::OK)
}

/// Sends a signal to the launcher of a container.
pub(super) fn signal(names: &ContainerNames, state: &State, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(state.pid).context("its launcher has no process")?;
    let cannot = "cannot send the signal";
    let launcher = pidfd_open(pid, PidfdFlags::empty()).context(cannot)?;
    // Of this directory, too: another may have the name by now, and be somebody else's.
    if !names.is_launcher(state).context(cannot)? || names.find(&state.name)? != *state {
        bail!(
            "process {} is not, or no longer, the launcher of the container {}, though its directory in {} says so",
            state.pid,
            state.name,
            cki_launcher::container_names::DIRECTORY
        );
    }
    signals::send(launcher.as_fd(), signal).context(cannot)
}

#[cfg(test)]
mod tests {
    use cki_launcher::container_names::{NameError, start_time};
    use cki_session::{Memory, Process};

    use super::*;

    fn two() -> Vec<Found> {
        let state = State {
            name: "a".parse().unwrap(),
            pid: 7,
            started: 0,
            memory: Memory::constant(64),
            process: Process::new(["echo", "a\nb c\t\u{9b}2J"]),
        };
        let error = NameError::Io {
            path: "/run/cki/b/state.json".into(),
            source: io::Error::other("unknown field"),
        };
        let found = |name: &str, state| Found {
            name: name.to_owned(),
            state,
        };
        vec![found("a", Ok(state)), found("b", Err(error))]
    }

    #[test]
    fn a_containers_launcher_is_sent_the_signal() {
        let directory = tempfile::tempdir().unwrap();
        let names = ContainerNames::below(directory.path());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let state = State {
            name: "a".parse().unwrap(),
            pid: child.id() as i32,
            started: start_time(child.id() as i32).unwrap(),
            memory: Memory::constant(64),
            process: Process::new(["true"]),
        };
        let _a = names.take(&state).unwrap();
        let (name, signal) = ("a".parse().unwrap(), Signal::KILL);
        let sent = kill_one_of(&names, &KillArgs { name, signal });
        assert_eq!(sent.unwrap(), Status::OK);
        assert!(!child.wait().unwrap().success());
    }

    /// Who else is no launcher, the tests of [`ContainerNames::is_launcher`] hold.
    #[test]
    fn who_has_got_a_dead_launchers_number_is_sent_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let names = ContainerNames::below(directory.path());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        // Somebody holds the lock, and the state is that of a launcher which had the number before.
        let state = State {
            name: "a".parse().unwrap(),
            pid: child.id() as i32,
            started: start_time(child.id() as i32).unwrap() - 1,
            memory: Memory::constant(64),
            process: Process::new(["true"]),
        };
        let _a = names.take(&state).unwrap();
        let (name, signal) = ("a".parse().unwrap(), Signal::KILL);
        let error = kill_one_of(&names, &KillArgs { name, signal }).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("not, or no longer, the launcher"),
            "{error:#}"
        );
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_cannot_be_read_is_listed_with_the_reason() {
        let rows: Vec<_> = two().into_iter().map(row).collect();
        let columns: Vec<Vec<_>> = rows
            .iter()
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(columns[0][..4], ["a", "7", "64M", "echo"]);
        assert!(rows[0].ends_with("echo a b c \u{fffd}2J"), "{:?}", rows[0]);
        assert_eq!(columns[1][..3], ["b", "-", "-"]);
        let note = "(/run/cki/b/state.json: unknown field)";
        assert!(rows[1].ends_with(note), "{}", rows[1]);
        let counts = |_: &State| {
            Some(Counts {
                vcpus: vec![[("entries".to_owned(), 7)].into()],
                ..Counts::default()
            })
        };
        let silent = objects(two(), |_| None).unwrap();
        assert_eq!(silent[0].get("counts"), None);
        let objects = objects(two(), counts).unwrap();
        assert_eq!(objects[0]["counts"]["vcpus"][0]["entries"], 7);
        assert_eq!(
            (&objects[0]["pid"], &objects[0]["name"]),
            (&7.into(), &"a".into())
        );
        let of_b =
            serde_json::json!({"name": "b", "error": "/run/cki/b/state.json: unknown field"});
        assert_eq!(objects[1], of_b);
        let text = to_json(two(), counts).unwrap();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(
            serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap(),
            objects
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build deploy`

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cli::Global;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use cki_deploy::args::{Action, Deploy};
use cki_deploy::error::Trouble;
use cki_deploy::host::SshHost;
use cki_deploy::many::{Many, each};
use cki_deploy::name::short;
use cki_deploy::one::{One, Options};
use cki_deploy::probes::Probes;
use cki_deploy::ssh::Ssh;
use cki_deploy::system::System;
use cki_deploy::{Did, HostOutcome};
use cki_process::interrupt::Deferred;
use cki_process::progress::Progress;
use cki_session::Status;

/// Time between two questions whether a host is up.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a host may take nothing of what is written to it: its disk may be slow.
const STILL: Duration = Duration::from_secs(120);

pub(super) fn deploy(global: &Global, args: &Deploy) -> Result<Status, Error> {
    let hosts = &args.hosts.hosts;
    if hosts.is_empty() {
        return Err(Trouble::NoHost.into());
    }
    let mut names = BTreeSet::new();
    for host in hosts {
        if !names.insert(host.to_string()) {
            return Err(Trouble::Twice(host.to_string()).into());
        }
    }
    let system = system(global, args)?;
    let options = Options {
        limit: args.probes.limit,
        period: args.probes.period,
        grace: args.probes.grace.unwrap_or_default(),
        pause: PAUSE,
        still: STILL,
        probes: Probes {
            commands: args.probes.commands.clone(),
            urls: args.probes.urls.clone(),
        },
        force: args.force,
    };
    let many = Many {
        jobs: args.hosts.jobs,
        canary: args.hosts.canary,
        atomic: args.hosts.atomic,
    };
    let deferred = Deferred::start().map_err(|source| Error::Io {
        path: "signals".into(),
        source,
    })?;
    let step = Progress::new(global.quiet).short_step(&format!("{} hosts", hosts.len()));
    let stop = || deferred.came();
    let act = |host: &SshHost, action| {
        let ssh = Ssh {
            program: "ssh".into(),
            config: args.hosts.ssh_config.clone(),
            host: host.clone(),
        };
        let say = |text: &str| step.note(&format!("{host}: {text}"));
        One::new(ssh, &options, &say, &stop).act(action, system.as_ref())
    };
    let outcomes = each(
        hosts,
        many,
        &|host| act(host, args.action),
        &|host| act(host, Action::Rollback),
        &stop,
    );
    step.finish();
    let good = outcomes.iter().all(|outcome| outcome.good);
    if global.json {
        print_json(&serde_json::json!({ "good": good, "hosts": &outcomes }))?;
    } else {
        lines(&outcomes).iter().try_for_each(|line| print(line))?;
    }
    deferred.finish();
    Ok(if good { Status::OK } else { Status::NO })
}

/// The system that it is about, built if it is none that the user names.
fn system(global: &Global, args: &Deploy) -> Result<Option<System>, Error> {
    if !args.action.takes_a_system() {
        return Ok(None);
    }
    let directory = match &args.system {
        Some(directory) => directory.clone(),
        None => Context::new(global)?.outputs(&["cki-system"])?["cki-system"]
            .out
            .clone(),
    };
    Ok(Some(System::read(&directory)?))
}

/// A line for each host, and one for all if there are several.
fn lines(outcomes: &[HostOutcome]) -> Vec<String> {
    let mut lines: Vec<String> = outcomes.iter().flat_map(of_host).collect();
    if outcomes.len() > 1 {
        let good = outcomes.iter().filter(|outcome| outcome.good).count();
        lines.push(format!(
            "{} hosts: {good} as asked for, {} not",
            outcomes.len(),
            outcomes.len() - good
        ));
    }
    lines
}

/// A host's line, and what would be different on it.
fn of_host(outcome: &HostOutcome) -> Vec<String> {
    let mut lines = vec![line(outcome)];
    if let Some(changes) = &outcome.changes {
        let of_changes = changes.lines();
        lines.push(match of_changes.len() {
            0 => "  nothing would be different".to_owned(),
            _ => format!(
                "  with {}:",
                short(changes.system.to.as_deref().unwrap_or_default())
            ),
        });
        lines.extend(of_changes.iter().map(|change| format!("    {change}")));
    }
    lines
}

fn line(outcome: &HostOutcome) -> String {
    let did = match outcome.did {
        Did::Asked | Did::LeftOut | Did::Undone => "",
        Did::Nothing => "nothing to do: it ",
        Did::Switched => "done: it ",
        Did::OnTrial => "not confirmed yet (`deploy confirm`): it ",
        Did::Armed => "prepared: it ",
        Did::Disarmed => "taken back: it ",
        Did::Ended => "went back: it ",
        Did::Failed => "FAILED: ",
        Did::Interrupted => "INTERRUPTED: ",
    };
    format!("{}: {did}{}", outcome.host, outcome.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_line_and_several_have_a_sum() {
        let outcome = |did, good| HostOutcome {
            host: "root@a".to_owned(),
            good,
            did,
            text: "runs x".to_owned(),
            state: None,
            changes: None,
        };
        assert_eq!(
            lines(&[outcome(Did::Switched, true)]),
            ["root@a: done: it runs x"]
        );
        let both = [outcome(Did::Asked, true), outcome(Did::Failed, false)];
        assert_eq!(
            lines(&both),
            [
                "root@a: runs x",
                "root@a: FAILED: runs x",
                "2 hosts: 1 as asked for, 1 not"
            ]
        );
    }
}

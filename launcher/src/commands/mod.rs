// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the commands do.

mod containers;
mod devices;
mod disks;
mod exec;
mod health;
mod run;
mod stats;
mod volumes;

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use cki_abi::uapi::system::Info;
use cki_launcher::module;
use cki_launcher::module::error::describe_missing;
use cki_launcher::module::real::System;
use cki_session::{Isolation, Memory, Outcome, Status, complain};
use clap::CommandFactory as _;

use crate::cli::Cli;

pub use containers::{kill, list};
pub use exec::exec;
pub use health::health;
pub use run::run;
pub use stats::stats;

/// Says on standard error what the status alone does not.
fn explain(outcome: &Outcome, memory: Option<Memory>) {
    if let Some(sentence) = explanation(outcome, memory) {
        complain(&format!("cki: {sentence}"));
    }
}

/// What the status alone does not say. `memory` is the container's, if it is an option of whoever reads this.
fn explanation(outcome: &Outcome, memory: Option<Memory>) -> Option<String> {
    let option = memory.map(|memory| format!("--memory {memory}"));
    let sentence = outcome.explanation("container", option.as_deref())?;
    Some(match outcome.is_out_of_memory() {
        true => format!("{sentence}, and its kernel killed the program"),
        false => sentence,
    })
}

/// The isolation that containers have here, for people and scripts.
fn isolation(info: &Info) -> String {
    match module::isolation(info) {
        Isolation::Full => Isolation::Full.to_string(),
        // Nothing runs, not even natively.
        Isolation::None => "none".to_owned(),
    }
}

/// `cki info`: status 0 if containers run here, 1 if not.
pub fn info(device: &Path, json: bool) -> anyhow::Result<Status> {
    let info = System::open(device)?.info()?;
    let runs = module::isolation(&info) == Isolation::Full;
    let missing = if runs {
        String::new()
    } else {
        describe_missing(info.missing)
    };
    let mut out = io::stdout().lock();
    if json {
        let object = serde_json::json!({
            "isolation": isolation(&info),
            "runs": runs,
            "missing": missing,
            "abi_version": info.abi_version,
            "vcpus_max": info.vcpus_max,
            "pool_bytes": info.pool_size,
            "pool_free_bytes": info.pool_free,
            "containers": info.containers,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "isolation: {}", isolation(&info))?;
        if !runs {
            writeln!(out, "no container can run: {missing}")?;
        }
        let (size, free) = (info.pool_size >> 20, info.pool_free >> 20);
        writeln!(out, "memory pool: {size} MiB, {free} MiB free")?;
        writeln!(out, "containers: {}", info.containers)?;
    }
    Ok(if runs { Status::OK } else { Status::NO })
}

/// `cki completions`.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cki", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Status::OK)
}

/// `cki man`.
pub fn man(out: &Path) -> anyhow::Result<Status> {
    std::fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), out))
        .with_context(|| format!("cannot write manual pages to {}", out.display()))?;
    Ok(Status::OK)
}

#[cfg(test)]
mod tests {
    use cki_session::{Failure, FailureKind, Signal};

    use super::*;

    #[test]
    fn what_a_status_does_not_say_is_said() {
        let killed = |out_of_memory, out_of_page_tables| Outcome::Signaled {
            signal: Signal::KILL,
            out_of_memory,
            out_of_page_tables,
        };
        let sentence = |outcome| explanation(&outcome, Some(Memory::constant(64)));
        for (outcome, word) in [
            (killed(true, false), "out of memory (--memory 64M)"),
            (killed(true, true), "its memory (--memory 64M)"),
            (
                Outcome::Failed(Failure::new(FailureKind::Internal, "why")),
                "why",
            ),
            (Outcome::TimedOut, "time limit"),
        ] {
            let text = sentence(outcome).unwrap();
            assert!(text.contains(word), "{text}");
        }
        // Of `cki exec`, memory is no option.
        let text = explanation(&killed(true, false), None).unwrap();
        assert!(text.contains("out of memory, and"), "{text}");
        for outcome in [Outcome::Exited(1), killed(false, false)] {
            assert_eq!(sentence(outcome), None);
        }
    }
}

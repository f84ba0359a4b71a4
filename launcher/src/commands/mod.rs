// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the commands do.

mod containers;
mod exec;
mod run;
mod volumes;

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use cki_abi::uapi::system::Info;
use cki_launcher::module;
use cki_launcher::module::error::describe_missing;
use cki_launcher::module::real::System;
use cki_session::{Isolation, Status};
use clap::CommandFactory as _;

use crate::cli::Cli;

pub use containers::{kill, list};
pub use exec::exec;
pub use run::run;

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

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-workload NAME...`: does workloads one after the other, checks their results, and says what they are.

use std::io::{self, Write as _};
use std::process::ExitCode;

use cki_workload::{Done, SEED, Size, Workload, run};
use clap::Parser;

/// Does kinds of work that the paper on CKI measured, and checks the results
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The workloads
    #[arg(value_name = "NAME", required = true)]
    names: Vec<Workload>,
    /// How much of it
    #[arg(long, value_name = "SIZE", default_value = "tiny")]
    size: Size,
    /// What its input is made from; for 1, the result is known
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// Write an object in a line for each instead of lines
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    for name in &arguments.names {
        let done = match run(*name, arguments.size, arguments.seed) {
            Ok(done) => done,
            Err(wrong) => return failed(&format_args!("{name}: {wrong}")),
        };
        if let Err(error) = write(&done, arguments.json) {
            return failed(&format_args!("cannot write the result: {error}"));
        }
    }
    ExitCode::SUCCESS
}

fn write(done: &Done, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, done)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{done}")?;
    }
    out.flush()
}

fn failed(why: &dyn std::fmt::Display) -> ExitCode {
    // The status says it too.
    let _ = writeln!(io::stderr(), "cki-workload: {why}");
    ExitCode::FAILURE
}

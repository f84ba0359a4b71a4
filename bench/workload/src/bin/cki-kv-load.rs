// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-kv-load`: asks a Redis or memcached server, and says how long it takes to answer.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use cki_workload::kv_load::{Keys, Load, Protocol, Report, SILENCE, run};
use clap::Parser;

/// Stores values in a server and gets them again, and says how long it takes to answer
///
/// What is not said is as in the paper's artifact, which asks with memtier_benchmark.
#[derive(Debug, Parser)]
#[command(name = "cki-kv-load", version)]
struct Arguments {
    /// Where the server listens, as 127.0.0.1:6379
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// What it speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "redis")]
    protocol: Protocol,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    clients: u64,
    /// Requests that each may have on their way
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pipeline: u32,
    /// Bytes of a value
    #[arg(
        long, value_name = "BYTES", default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576)
    )]
    value_size: u32,
    /// How many keys there are
    #[arg(
        long, value_name = "N", default_value_t = 500_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    keys: u64,
    /// The standard deviation of keys from the middle one
    #[arg(
        long, value_name = "N", default_value_t = 34_167,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000_000)
    )]
    deviation: u32,
    /// For how long it asks; not with --requests
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u64,
    /// How many requests each connection makes, in place of a time
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    requests: Option<u64>,
    /// What keys and values are made from
    #[arg(long, value_name = "N", default_value_t = cki_workload::SEED)]
    seed: u64,
    /// Write one object instead of lines
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn load(&self) -> Load {
        Load {
            protocol: self.protocol,
            clients: self.clients,
            pipeline: self.pipeline as usize,
            value_size: self.value_size as usize,
            keys: Keys {
                count: self.keys,
                deviation: self.deviation.into(),
            },
            seed: self.seed,
            requests: self.requests.unwrap_or(u64::MAX),
            time: match self.requests {
                Some(_) => None,
                None => Some(Duration::from_secs(self.seconds)),
            },
            silence: SILENCE,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let written = run(arguments.server, &arguments.load())
        .map_err(|error| error.to_string())
        .and_then(|report| {
            let written = write(&report, arguments.json);
            written.map_err(|error| format!("cannot write the result: {error}"))
        });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The status says it too.
            let _ = writeln!(io::stderr(), "cki-kv-load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn write(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        let Report {
            sets,
            gets,
            hits,
            seconds,
            per_second,
            ..
        } = report;
        writeln!(
            out,
            "stored: {sets}, got: {gets}, of which {hits} were there"
        )?;
        writeln!(
            out,
            "replies in a second: {per_second:.0}, for {seconds:.2} s"
        )?;
        for (what, latency) in [("store", &report.set_latency), ("get", &report.get_latency)] {
            writeln!(
                out,
                "microseconds to {what}: median {}, 90 % {}, 99 % {}, 99.9 % {}, longest {}",
                latency.p50, latency.p90, latency.p99, latency.p999, latency.max
            )?;
        }
    }
    out.flush()
}

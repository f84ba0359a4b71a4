// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench`

mod lab;

use std::io::Read;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use rustix::process::Signal;
use serde::Serialize;

use super::run::say;
use crate::cli::{Bench, BenchKind, RunArgs, Runtime};
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::prepare::{Preparation, prepare};
use crate::resident::OWN;
use cki_machine::{Ended, Machine};
use cki_measure::args::{CompareArgs, FigureArgs, MeasureArgs, ReportArgs};
use cki_measure::figure::{self, Choice};
use cki_measure::lab::{Given, Job, Lab as _, succeed};
use cki_measure::{Figure, io, micro, nmi, records};
use cki_nix::log::Event;
use cki_process::exec::Command;
use cki_session::Status;
use cki_session::console::INIT_LINE;

/// What `bench boot` measures.
const RUNTIMES: [Runtime; 2] = [Runtime::Native, Runtime::Cki];

pub(super) fn bench(context: &Context, args: &Bench) -> Result<Status, Error> {
    match &args.what {
        BenchKind::Build { attrs } => build(context, attrs),
        BenchKind::Boot { runs } => boot(context, *runs),
        BenchKind::Fig12(args) => measure(context, Figure::Fig12, args, &[]),
        BenchKind::Fig14(args) => measure(context, Figure::Fig14, args, &[]),
        BenchKind::Fig16(args) => measure(context, Figure::Fig16, &args.figure, &args.clients),
        BenchKind::All(args) => all(context, args),
        BenchKind::Compare(args) => compare(context, args),
        BenchKind::Report(args) => report(context, args),
        BenchKind::Io => {
            let report = io::io(context)?;
            let measures = "instructions of the whole machine, without those of idleness, that input and output take: \
                of a process and of a container on one machine";
            show(context, measures, &report, || report.table())
        }
        BenchKind::Micro => {
            let report = micro::micro(context)?;
            let measures = "instructions counted by the emulator (-icount shift=0), a repeated string instruction \
                once; native and container in one machine";
            show(context, measures, &report, || report.table())
        }
        BenchKind::Nmi { duration } => {
            let report = nmi::nmi(context, *duration)?;
            let measures = "containers from start to end under NMIs that the emulator injects on each processor";
            show(context, measures, &report, || report.text())?;
            Ok(if report.good() {
                Status::OK
            } else {
                Status::NO
            })
        }
    }
}

/// A result: what it is of, and its numbers.
fn show(
    context: &Context,
    measures: &str,
    report: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<Status, Error> {
    if context.global.json {
        print_json(&serde_json::json!({ "measures": measures, "report": report }))?;
    } else {
        print(&text())?;
    }
    Ok(Status::OK)
}

fn measure(
    context: &Context,
    figure: Figure,
    args: &FigureArgs,
    clients: &[u32],
) -> Result<Status, Error> {
    let choice = Choice {
        figure,
        only: &args.only,
        clients,
    };
    let summary = figure::records(context, &args.measure, &choice)?;
    if context.global.json {
        print_json(&summary)?;
    } else {
        print(&summary.table())?;
    }
    Ok(Status::OK)
}

fn compare(context: &Context, args: &CompareArgs) -> Result<Status, Error> {
    let comparison = records::compare(&args.first, &args.second)?;
    let slower: Vec<_> = comparison.slower(args.within).collect();
    if context.global.json {
        print_json(&serde_json::json!({
            "within_percent": args.within,
            "pairs": comparison.pairs,
            "alone": comparison.alone,
            "above": slower,
        }))?;
    } else {
        print(&comparison.table())?;
    }
    for pair in &slower {
        say(&format!(
            "{} ({}) on {} takes {:.3} times as many instructions, more than {} % above",
            pair.workload, pair.size, pair.runtime, pair.ratio, args.within
        ));
    }
    Ok(if slower.is_empty() {
        Status::OK
    } else {
        Status::NO
    })
}

fn report(context: &Context, args: &ReportArgs) -> Result<Status, Error> {
    let report = records::report(&args.log)?;
    if context.global.json {
        print_json(&report)?;
    } else {
        print(records::markdown(&report, &args.plots).trim_end())?;
    }
    Ok(Status::OK)
}

/// All figures, and what becomes of the claims.
fn all(context: &Context, measure: &MeasureArgs) -> Result<Status, Error> {
    for figure in Figure::ALL {
        figure::records(context, measure, &Choice::all(figure))?;
    }
    let MeasureArgs { log, plots, .. } = measure;
    let [log, plots] = [log, plots].map(ToOwned::to_owned);
    report(context, &ReportArgs { log, plots })
}

#[derive(Debug, Serialize)]
struct BuildTime {
    attribute: String,
    seconds: f64,
    equal: bool,
}

fn build(context: &Context, attrs: &[String]) -> Result<Status, Error> {
    let targets = context.build(attrs)?;
    let mut times = Vec::new();
    for (name, target) in &targets {
        let step = context.progress.step(&format!("building {name} again"));
        let rebuild = cki_nix::derivations::Rebuild {
            drv: target.drv.clone(),
            outputs: vec![target.out.clone()],
        };
        let start = Instant::now();
        // 0 is Nix's number for all cores, as in an ordinary build.
        let verdict = cki_verify::check(&context.nix, &rebuild, 0, &|event| {
            if let Event::Line { line, .. } = event {
                step.detail(line);
            }
        })?;
        let seconds = start.elapsed().as_secs_f64();
        step.finish();
        if !context.global.json {
            print(&format!("{name:20} {seconds:8.1} s"))?;
        }
        times.push(BuildTime {
            attribute: name.clone(),
            seconds,
            equal: verdict.equal,
        });
    }
    if context.global.json {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        print_json(&serde_json::json!({
            "measures": "wall-clock time of building each output's own derivation again, all its inputs being in the \
                store",
            "cores": cores,
            "outputs": times,
        }))?;
    } else {
        print(
            "measured: wall-clock time of building each output's own derivation again, all its inputs being there",
        )?;
    }
    Ok(Status::OK)
}

/// One warm run, times in milliseconds.
#[derive(Debug, Clone, Serialize)]
struct BootTime {
    /// What the program ran on.
    runtime: String,
    /// From starting another `cki-build run` to its first byte of output.
    enter_to_first_byte: f64,
    /// Parts of the preparation: evaluating and building, all of which is remembered.
    outputs: f64,
    plan: f64,
    image: f64,
    /// From starting QEMU to init's hello.
    boot: f64,
    /// From init's hello to the program.
    start: f64,
    /// From the program's start to its first byte.
    first_byte: f64,
    /// From there to the end of QEMU.
    end: f64,
}

fn boot(context: &Context, runs: u32) -> Result<Status, Error> {
    let mut times = Vec::new();
    for runtime in RUNTIMES {
        let job = Job::new(runtime, &["echo", "first byte"]);
        let args = lab::args(&job)?;
        // What is built here is not built in what is measured.
        prepare(context, &args)?;
        for _ in 0..runs {
            let enter = enter_to_first_byte(context, &args)?;
            let (machine, preparation) = prepare(context, &args)?;
            let (ended, _) = succeed(context, &machine, &job, Given::default(), Box::new(|| {}))?;
            times.push(phases(runtime, enter, preparation, &ended)?);
        }
    }
    let (machine, _) = context.prepare(&Job::new(Runtime::Native, &["true"]))?;
    let virtual_ns = virtual_time_to_init(context, machine)?;
    if context.global.json {
        print_json(&serde_json::json!({
            "measures": "warm runs of `echo`; milliseconds of wall-clock time",
            "runs": times,
            "virtual_ns_to_init": virtual_ns,
            "virtual_ns_measures": "the kernel's clock when it starts init, at one instruction a nanosecond (-icount \
                shift=0), idle time skipped but counted",
        }))?;
    } else {
        for t in &times {
            print(&format!(
                "{:6}: Enter to first byte {:.0} ms; prepare {:.0}, boot to init {:.0}, program started {:.0}, first \
                 byte {:.0}, end {:.0} ms",
                t.runtime,
                t.enter_to_first_byte,
                t.outputs + t.plan + t.image,
                t.boot,
                t.start,
                t.first_byte,
                t.end
            ))?;
        }
        print(&format!(
            "kernel to init: {:.1} million instructions (virtual time at one a nanosecond, -icount shift=0)",
            virtual_ns as f64 / 1e6
        ))?;
    }
    Ok(Status::OK)
}

/// What a runtime is called on the command line.
fn name(runtime: Runtime) -> String {
    runtime
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Time from starting `cki-build run` to the first byte of its standard output.
fn enter_to_first_byte(context: &Context, args: &RunArgs) -> Result<Duration, Error> {
    let failed = |source| Error::Io {
        path: "/proc/self/exe".into(),
        source,
    };
    let command = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("--quiet")
        .arg("--flake")
        .arg(&context.checkout.dir)
        .arg("--cache")
        .arg(context.cache.dir())
        .args([
            "run",
            "--machine",
            OWN,
            "--runtime",
            &name(args.runtime),
            "--",
        ])
        .args(args.command.iter().cloned());
    let start = Instant::now();
    let mut output = command
        .expression(Signal::TERM)
        .stdin_null()
        .reader()
        .map_err(|source| command.spawn_error(source))?;
    let mut byte = [0];
    let n = output.read(&mut byte).map_err(failed)?;
    let elapsed = start.elapsed();
    if n == 0 {
        return Err(Error::Bench(format!("{command} wrote nothing")));
    }
    std::io::copy(&mut output, &mut std::io::sink()).map_err(failed)?;
    Ok(elapsed)
}

fn phases(
    runtime: Runtime,
    enter: Duration,
    preparation: Preparation,
    ended: &Ended,
) -> Result<BootTime, Error> {
    let times = ended.times;
    let (Some(hello), Some(started), Some(first_byte)) =
        (times.hello, times.started, times.first_byte)
    else {
        return Err(Error::Bench(
            "the machine did not go through all its phases".to_owned(),
        ));
    };
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    Ok(BootTime {
        runtime: name(runtime),
        enter_to_first_byte: ms(enter),
        outputs: ms(preparation.outputs),
        plan: ms(preparation.plan),
        image: ms(preparation.image),
        boot: ms(hello - times.start),
        start: ms(started.saturating_duration_since(hello)),
        first_byte: ms(first_byte.saturating_duration_since(started)),
        end: ms(times.end.saturating_duration_since(first_byte)),
    })
}

/// The kernel's clock in nanoseconds when it starts init, on a machine that takes a nanosecond for each instruction.
fn virtual_time_to_init(context: &Context, machine: Machine) -> Result<u64, Error> {
    let machine = Machine {
        icount: true,
        cpus: 1,
        ..machine
    };
    let job = Job::new(Runtime::Native, &["dmesg"]);
    let (_, log) = succeed(context, &machine, &job, Given::default(), Box::new(|| {}))?;
    init_time(&log)
        .ok_or_else(|| Error::Bench(format!("the kernel's log has no line {INIT_LINE:?}")))
}

/// The time of [`INIT_LINE`] in a kernel log such as `[    0.512345] Run /init as init process`, in nanoseconds.
fn init_time(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains(INIT_LINE))?;
    let (_, rest) = line.split_once('[')?;
    let (time, _) = rest.split_once(']')?;
    let (seconds, micros) = time.trim().split_once('.')?;
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
    Some(seconds * 1_000_000_000 + micros * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_log_tells_when_init_was_started() {
        let log = "[    0.000000] Linux version\n[    1.512345] Run /init as init process\n";
        assert_eq!(init_time(log), Some(1_512_345_000));
        assert_eq!(init_time("[    0.000000] Linux version\n"), None);
        assert_eq!(init_time("Run /init as init process"), None);
    }
}

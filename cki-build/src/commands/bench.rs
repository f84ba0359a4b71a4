// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench`

mod figure;
mod io;
mod limits;
mod micro;
mod nmi;
mod nmi_report;
pub(super) mod program;
mod records;

use std::io::Read;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use rustix::process::Signal;
use serde::Serialize;

use crate::cli::{Bench, BenchKind, RunArgs, Runtime};
use crate::context::Context;
use crate::error::Error;
use crate::measured::{MeasureArgs, ReportArgs};
use crate::output::{print, print_json};
use crate::prepare::{Preparation, prepare};
use crate::resident::OWN;
use cki_figures::Figure;
use cki_machine::{Ended, Machine};
use cki_nix::log::Event;
use cki_process::exec::Command;
use cki_session::Status;
use figure::Choice;
use program::{Given, INIT_LINE, execute, program};

/// What `bench boot` measures.
const RUNTIMES: [Runtime; 2] = [Runtime::Native, Runtime::Cki];

pub(super) fn bench(context: &Context, args: &Bench) -> Result<Status, Error> {
    match &args.what {
        BenchKind::Build { attrs } => build(context, attrs),
        BenchKind::Boot { runs } => boot(context, *runs),
        BenchKind::Fig12(args) => figure::measure(context, Figure::Fig12, args, &[]),
        BenchKind::Fig14(args) => figure::measure(context, Figure::Fig14, args, &[]),
        BenchKind::Fig16(args) => {
            figure::measure(context, Figure::Fig16, &args.figure, &args.clients)
        }
        BenchKind::All(args) => all(context, args),
        BenchKind::Compare(args) => records::compare(context, args),
        BenchKind::Report(args) => records::report(context, args),
        BenchKind::Io => io::io(context),
        BenchKind::Micro => micro::micro(context),
        BenchKind::Nmi { duration } => nmi::nmi(context, *duration),
    }
}

/// All figures, and what becomes of the claims.
fn all(context: &Context, measure: &MeasureArgs) -> Result<Status, Error> {
    for figure in Figure::ALL {
        figure::records(context, measure, &Choice::all(figure))?;
    }
    let MeasureArgs { log, plots, .. } = measure;
    let [log, plots] = [log, plots].map(ToOwned::to_owned);
    records::report(context, &ReportArgs { log, plots })
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
        let verdict = crate::verify::check(&context.nix, &rebuild, 0, &|event| {
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
            "measures": "wall-clock time of building each output's own derivation again, all its inputs being in the store",
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
        let args = program(runtime, &["echo", "first byte"]);
        // What is built here is not built in what is measured.
        prepare(context, &args)?;
        for _ in 0..runs {
            let enter = enter_to_first_byte(context, &args)?;
            let (machine, preparation) = prepare(context, &args)?;
            let (ended, _) = execute(&machine, &args, Given::default(), || {})?;
            times.push(phases(runtime, enter, preparation, &ended)?);
        }
    }
    let (machine, _) = prepare(context, &program(Runtime::Native, &["true"]))?;
    let virtual_ns = virtual_time_to_init(machine)?;
    if context.global.json {
        print_json(&serde_json::json!({
            "measures": "warm runs of `echo`; milliseconds of wall-clock time",
            "runs": times,
            "virtual_ns_to_init": virtual_ns,
            "virtual_ns_measures": "the kernel's clock when it starts init, at one instruction a nanosecond (-icount shift=0), idle time skipped but counted",
        }))?;
    } else {
        for t in &times {
            print(&format!(
                "{:6}: Enter to first byte {:.0} ms; prepare {:.0}, boot to init {:.0}, program started {:.0}, first byte {:.0}, end {:.0} ms",
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
fn virtual_time_to_init(machine: Machine) -> Result<u64, Error> {
    let machine = Machine {
        icount: true,
        cpus: 1,
        ..machine
    };
    let (_, log) = execute(
        &machine,
        &program(Runtime::Native, &["dmesg"]),
        Given::default(),
        || {},
    )?;
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

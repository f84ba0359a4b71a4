// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build machine`

use std::io::{ErrorKind, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::exec;
use crate::cli::HostKernel;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::place;
use crate::resident::{Named, Ssh, Start, What};
use cki_frontend::UserTerminal;
use cki_machine::resident::{self, Setup, Up};
use cki_session::{Container, Memory, Status};

/// Time that programs have to end when their machine does.
const GRACE: Duration = Duration::from_secs(10);
/// Processors that are taken without being asked for, at most.
const CPUS_MAX: usize = 8;

pub(super) fn machine(context: &Context, what: &What) -> Result<Status, Error> {
    match what {
        What::Start(args) => start(context, args),
        What::Stop(args) => stop(context, args),
        What::Status(args) => status(context, args),
        What::List => list(context),
        What::Ssh(args) => ssh(context, args),
    }
}

fn start(context: &Context, args: &Start) -> Result<Status, Error> {
    let name = args.machine.name(context.machine.as_deref());
    let directory = place::directory(context, name)?;
    // The least of a container is the least of all together; the most of one is not.
    if args.memory < Container::LEAST_MEMORY {
        return Err(Error::Pool(args.memory));
    }
    let (host, runtime_disk) = HostKernel::Cki.attrs();
    let outputs = context.outputs(&[host, "cki-qemu", runtime_disk])?;
    let here = std::thread::available_parallelism().map_or(1, |count| count.get().min(CPUS_MAX));
    let machines = place::machines(context);
    let setup = Setup {
        machines: std::path::absolute(&machines).map_err(|source| Error::Io {
            path: machines,
            source,
        })?,
        name: name.to_owned(),
        qemu: outputs["cki-qemu"].out.clone(),
        host: outputs[host].out.clone(),
        runtime_disk: outputs[runtime_disk].out.join("runtime.erofs"),
        network: !args.no_network,
        cpus: args.cpus.unwrap_or(here as u32),
        pool: args.memory,
        places: args.places,
        tsc_khz: context.counter.khz(),
    };
    let step = context.progress.short_step("starting the machine");
    let status = resident::start(Path::new("/proc/self/exe"), &directory, &setup)?;
    step.finish();
    show(context, name, &status)
}

fn show(context: &Context, name: &str, status: &resident::MachineStatus) -> Result<Status, Error> {
    if context.global.json {
        print_json(status)?;
        return Ok(Status::OK);
    }
    let memory = |mib: u32| Memory::from_mib(mib.into()).map_or("0M".to_owned(), |m| m.to_string());
    print(&format!(
        "the machine {name} is up: {} of {} places free, {} of {} for containers free",
        status.free_places,
        status.places,
        memory(status.free_mib),
        memory(status.pool_mib)
    ))?;
    Ok(Status::OK)
}

fn stop(context: &Context, args: &Named) -> Result<Status, Error> {
    let name = args.name(context.machine.as_deref());
    let directory = place::directory(context, name)?;
    let up = Up::find(&directory)?.ok_or_else(|| Error::NotUp(name.to_owned()))?;
    let step = context.progress.short_step("stopping the machine");
    up.stop(GRACE)?;
    step.finish();
    Ok(Status::OK)
}

fn status(context: &Context, args: &Named) -> Result<Status, Error> {
    let name = args.name(context.machine.as_deref());
    let directory = place::directory(context, name)?;
    if let Some(mut up) = Up::find(&directory)? {
        return show(context, name, &up.status()?);
    }
    if context.global.json {
        print_json(&serde_json::json!({ "name": name, "up": false }))?;
    } else {
        print(&format!("the machine {name} is not up"))?;
    }
    Ok(Status::NO)
}

/// A machine that is up.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    #[serde(flatten)]
    status: resident::MachineStatus,
}

fn list(context: &Context) -> Result<Status, Error> {
    let machines = place::machines(context);
    let entries = match machines.read_dir() {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let entries = entries.map_err(|source| Error::Io {
        path: machines,
        source,
    })?;
    let names = entries
        .into_iter()
        .map(|entry| entry.file_name().into_string());
    let mut names: Vec<String> = names.filter_map(Result::ok).collect();
    names.sort_unstable();
    let mut up = Vec::new();
    for name in names {
        // What has no name of a machine is none.
        let Ok(directory) = place::directory(context, &name) else {
            continue;
        };
        // One that ends just now is not up.
        if let Some(mut machine) = Up::find(&directory)? {
            let status = machine.status()?;
            up.push(Listed { name, status });
        }
    }
    if context.global.json {
        print_json(&up)?;
        return Ok(Status::OK);
    }
    if up.is_empty() {
        print("no machine is up")?;
    }
    for Listed { name, status } in up {
        show(context, &name, &status)?;
    }
    Ok(Status::OK)
}

fn ssh(context: &Context, args: &Ssh) -> Result<Status, Error> {
    let is_shell = args.command.is_empty();
    let words = match is_shell {
        true => vec!["sh".to_owned(), "-l".to_owned()],
        false => args.command.clone(),
    };
    let mut request = cki_session::Run::new(words);
    let is_at_terminal = is_shell && std::io::stdin().is_terminal();
    let terminal = is_at_terminal.then(UserTerminal::of_streams);
    let terminal = terminal.transpose().map_err(Error::Terminal)?;
    if let Some(terminal) = &terminal {
        request.process.terminal = Some(terminal.size());
        request.process.env.extend(UserTerminal::kind());
    }
    let name = args.machine.name(context.machine.as_deref());
    exec::in_machine(context, name, request, terminal, true)
}

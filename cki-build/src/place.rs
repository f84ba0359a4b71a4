// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where `run` runs: in a machine of its own, or in one that stays up.

use std::path::PathBuf;

use cki_frontend::Runtime;
use cki_machine::resident::{Build, Directory, Lease, MachineStatus, ResidentError, Up, Wanted};
use cki_machine::{Machine, MachineError};
use cki_session::{Connection, ContainerName, ContainerNameError, complain};
use cki_volume::client::{StartError, VolumeProcess};

use crate::cli::{HostKernel, RunArgs};
use crate::context::Context;
use crate::error::Error;
use crate::resident::{DEFAULT, OWN};
use crate::volumes;

/// The directories of all machines of a user.
#[must_use]
pub fn machines(context: &Context) -> PathBuf {
    context.cache.dir().join("machines")
}

/// The directory of the machine `name`.
///
/// # Errors
/// An invalid name.
pub fn directory(context: &Context, name: &str) -> Result<Directory, Error> {
    if name == OWN {
        let machine = name.to_owned();
        let why = format!("`{OWN}` stands for a machine that does not stay up");
        return Err(Error::Unsuitable { machine, why });
    }
    Ok(Directory::new(&machines(context), name)?)
}

/// The machine that was asked for by name, if any was: by `--machine`, or by the variable, which says nothing of
/// programs that choose the machine that they run on.
fn asked<'a>(args: &'a RunArgs, variable: Option<&'a str>) -> Result<Option<&'a str>, Error> {
    let variable = variable.filter(|_| !is_about_the_machine(args));
    match args.machine.as_deref().or(variable) {
        Some(OWN) if args.name.is_some() => Err(Error::NamelessOwn),
        asked => Ok(asked),
    }
}

/// Refuses before anything is built what can be refused by then: a place in a machine that is not up, or for what no
/// machine that stays up does.
///
/// # Errors
/// As [`find`].
pub fn check(context: &Context, args: &RunArgs) -> Result<(), Error> {
    let asked = asked(args, context.machine.as_deref())?;
    if asked == Some(OWN) || (asked.is_none() && args.name.is_none()) {
        return Ok(());
    }
    let name = asked.unwrap_or(DEFAULT);
    if let Some(why) = unsuitable(args, context.global.verbose) {
        return Err(Error::Unsuitable {
            machine: name.to_owned(),
            why: why.to_owned(),
        });
    }
    let directory = directory(context, name)?;
    match asked {
        Some(_) => Up::expect(&directory).map(drop)?,
        None => Up::find(&directory)?.map(drop).ok_or(Error::Nameless)?,
    }
    Ok(())
}

/// A place of a machine that stays up, for what would else be run in `machine`, and the processes that serve its
/// volumes; `None` for a machine of its own.
///
/// # Errors
/// What was asked for by name cannot be had, or a volume cannot.
pub fn find(
    context: &Context,
    args: &RunArgs,
    machine: &Machine,
) -> Result<Option<(Lease, Vec<VolumeProcess>)>, Error> {
    let asked = asked(args, context.machine.as_deref())?;
    if asked == Some(OWN) {
        return Ok(None);
    }
    // What only a machine of its own is for needs no word.
    if asked.is_none() && args.name.is_none() && is_about_the_machine(args) {
        return Ok(None);
    }
    let name = asked.unwrap_or(DEFAULT);
    let directory = directory(context, name)?;
    let found = match asked {
        Some(_) => Some(Up::expect(&directory)?),
        None if args.name.is_some() => Up::find(&directory)?,
        None => Up::find(&directory).unwrap_or_else(|error| {
            fall_back(context, &error.to_string());
            None
        }),
    };
    let Some(up) = found else {
        return match args.name {
            Some(_) => Err(Error::Nameless),
            None => Ok(None),
        };
    };
    match lease(up, args, machine) {
        Ok(taken) => Ok(Some(taken)),
        // It would be the same in a machine of its own.
        Err(NoPlace::Volume(error)) => Err(error.into()),
        Err(NoPlace::Machine(why)) if asked.is_some() || args.name.is_some() => {
            Err(Error::Unsuitable {
                machine: name.to_owned(),
                why,
            })
        }
        Err(NoPlace::Machine(why)) => {
            fall_back(context, &why);
            Ok(None)
        }
    }
}

/// Says why the program is not run in the machine that is up.
fn fall_back(context: &Context, why: &str) {
    if !context.global.quiet {
        complain(&format!("cki-build: in a machine of its own: {why}"));
    }
}

/// Whether the options choose the machine that the program runs on.
fn is_about_the_machine(args: &RunArgs) -> bool {
    args.runtime != Runtime::Cki || args.host_kernel != HostKernel::Cki
}

/// Why there is no place.
enum NoPlace {
    /// It lies with the machine.
    Machine(String),
    /// Or with a directory of the user's.
    Volume(StartError),
}

impl From<ResidentError> for NoPlace {
    fn from(error: ResidentError) -> Self {
        Self::Machine(match error {
            ResidentError::Refused { why, .. } => why,
            error => error.to_string(),
        })
    }
}

fn lease(
    mut up: Up,
    args: &RunArgs,
    machine: &Machine,
) -> Result<(Lease, Vec<VolumeProcess>), NoPlace> {
    if let Some(why) = unsuitable(args, machine.verbose) {
        return Err(NoPlace::Machine(why.to_owned()));
    }
    if let Some(why) = differs(&up.status()?, args, machine) {
        return Err(NoPlace::Machine(why));
    }
    let wanted = Wanted {
        memory: Some(args.memory),
        disk: Some(machine.app.clone()),
        publish: machine
            .network
            .as_ref()
            .map_or_else(Vec::new, |network| network.publish.clone()),
    };
    let started = volumes::start(&args.program.volume);
    let (sockets, processes) = started.map_err(NoPlace::Volume)?;
    Ok((up.lease(wanted, sockets)?, processes))
}

/// What of the command line a machine that stays up does not do.
fn unsuitable(args: &RunArgs, verbose: bool) -> Option<&'static str> {
    [
        (
            args.runtime != Runtime::Cki,
            "a machine that stays up runs containers only (--runtime)",
        ),
        (
            args.host_kernel != HostKernel::Cki,
            "a machine that stays up has the kernel cki (--host-kernel)",
        ),
        (
            !args.disk.is_empty(),
            "a machine that stays up has no disks of yours (--disk)",
        ),
        (
            verbose,
            "the console of a machine that stays up is in its log (--verbose)",
        ),
    ]
    .into_iter()
    .find_map(|(is_so, why)| is_so.then_some(why))
}

/// Why the machine that is up is not what the program would get otherwise.
fn differs(status: &MachineStatus, args: &RunArgs, machine: &Machine) -> Option<String> {
    if status.build != Build::of(machine) {
        return Some(
            "the machine that is up is of another build of the checkout; stop it and start it anew"
                .to_owned(),
        );
    }
    if args.network.network != Connection::None && !status.network {
        return Some("the machine that is up has no network (--network none)".to_owned());
    }
    None
}

/// Makes a request for a machine of its own one for the place.
///
/// # Errors
/// [`MachineError::Request`].
pub fn adapt(
    request: &mut cki_session::Run,
    lease: &Lease,
    name: Option<&ContainerName>,
) -> Result<(), MachineError> {
    request.image_disk.clone_from(&lease.serial);
    for (volume, name) in request.root.volumes.iter_mut().zip(&lease.volumes) {
        volume.name.clone_from(name);
    }
    // The card is the machine's, and set up.
    request.interface = None;
    if let Some(container) = &mut request.container {
        // Not by our process: that of another namespace may have the same number.
        let own = || format!("run-{}", lease.number).parse();
        let refused = |error: ContainerNameError| MachineError::Request(error.to_string());
        container.name = Some(name.cloned().map_or_else(own, Ok).map_err(refused)?);
    }
    request
        .check()
        .map_err(|error| MachineError::Request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// What `run` with these words asks for, where the variable has this value.
    fn asked_by(words: &str, variable: Option<&str>) -> Option<String> {
        let line = format!("cki-build run {words} -- true");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Run(args) = cli.command else {
            unreachable!("it is `run`")
        };
        asked(&args, variable).unwrap().map(str::to_owned)
    }

    #[test]
    fn the_variable_says_where_programs_run_that_do_not_say_it_themselves() {
        let work = Some("work");
        assert_eq!(asked_by("", None), None);
        assert_eq!(asked_by("", work).as_deref(), work);
        assert_eq!(asked_by("--name x", work).as_deref(), work);
        assert_eq!(asked_by("--machine other", work).as_deref(), Some("other"));
        assert_eq!(asked_by("--machine own", work).as_deref(), Some(OWN));
        assert_eq!(asked_by("", Some(OWN)).as_deref(), Some(OWN));
        // No machine that stays up can do that.
        for words in ["--runtime native", "--runtime host", "--host-kernel debian"] {
            assert_eq!(asked_by(words, work), None, "{words}");
            let named = format!("{words} --machine work");
            assert_eq!(asked_by(&named, None).as_deref(), work, "{words}");
        }
    }
}

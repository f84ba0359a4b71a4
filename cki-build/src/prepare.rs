// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the command line of `run` to a machine and the request for its init.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::app::App;
use crate::cli::{HostKernel, RunArgs, Runtime};
use crate::context::Context;
use crate::disks;
use crate::error::Error;
use crate::network::NetworkArgs;
use cki_frontend::VolumeOption;
use cki_machine::{HostImage, Machine, MachineError, MachineNetwork};
use cki_process::exec::Command;
use cki_session::{Container, Memory, Terminal};
use cki_volume::client;

/// How long the parts of the preparation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preparation {
    /// Emulator and host image.
    pub outputs: Duration,
    /// Resolving the packages.
    pub plan: Duration,
    /// The application image.
    pub image: Duration,
}

/// Refuses memory that no container takes.
fn holds_a_container(memory: Memory) -> Result<(), MachineError> {
    let sound = Container::new(memory).check();
    sound.map_err(|error| MachineError::Request(error.to_string()))
}

/// Refuses containers on a kernel that has no ring 0 to share with them.
fn can_have_containers(args: &RunArgs) -> Result<(), MachineError> {
    if args.host_kernel == HostKernel::Xen && args.runtime != Runtime::Native {
        let message = "a guest of Xen can have no containers of ours, whose kernels need ring 0: with --host-kernel \
             xen, say --runtime native";
        return Err(MachineError::Request(message.to_owned()));
    }
    Ok(())
}

/// Refuses options for a container where there is none.
fn has_its_container(args: &RunArgs) -> Result<(), MachineError> {
    if args.runtime == Runtime::Cki {
        return Ok(());
    }
    let message = if !args.program.volume.is_empty() {
        "volumes need a container: leave --runtime out"
    } else if args.disk.iter().any(|disk| !disk.rates.is_empty()) {
        "rates of disks (:read-bps=..., ...) need a container: leave --runtime out"
    } else {
        return Ok(());
    };
    Err(MachineError::Request(message.to_owned()))
}

/// Builds whatever the machine needs.
///
/// # Errors
/// [`Error`].
pub fn prepare(context: &Context, args: &RunArgs) -> Result<(Machine, Preparation), Error> {
    let (host, runtime_disk) = args.host_kernel.attrs();
    let attrs = match args.runtime {
        Runtime::Cki if args.cpus > 1 => return Err(Error::Cpus(args.cpus)),
        Runtime::Cki | Runtime::Host => vec![host, "cki-qemu", runtime_disk],
        Runtime::Native => vec![host, "cki-qemu"],
    };
    if args.runtime != Runtime::Cki && args.memory < Machine::LEAST_MEMORY {
        return Err(Error::Memory(args.memory));
    }
    // Before anything is built; the whole request is looked at later.
    has_its_container(args)?;
    can_have_containers(args)?;
    if args.runtime == Runtime::Cki {
        holds_a_container(args.memory)?;
    }
    args.program.volume.iter().try_for_each(is_there)?;
    let network = network(args)?;
    network.check(args.runtime)?;
    let card = network.machine(args.runtime);
    card.as_ref().map_or(Ok(()), MachineNetwork::check)?;
    let start = Instant::now();
    let outputs = context.outputs(&attrs)?;
    let built = Instant::now();
    let app = App::provide(context, &args.contents)?;
    let preparation = Preparation {
        outputs: built - start,
        plan: app.plan,
        image: built.elapsed() - app.plan,
    };
    tracing::debug!(?preparation, "prepared");
    let host = HostImage::load(&outputs[host].out)?;
    let mut machine = Machine::new(
        &outputs["cki-qemu"].out,
        host,
        app.disk,
        args.memory,
        args.cpus,
    );
    machine.tsc_khz = Some(context.counter.khz());
    machine.network = card;
    machine.verbose = context.global.verbose;
    if let Some(disk) = outputs.get(runtime_disk) {
        machine.runtime_disk = Some(disk.out.join("runtime.erofs"));
    }
    if args.runtime == Runtime::Cki {
        machine.memory = machine.host.memory_for(args.memory);
    }
    if let Some(hypervisor) = &machine.host.hypervisor {
        machine.memory = args.memory.plus_mib(hypervisor.mib);
    }
    Ok((machine, preparation))
}

/// That the directory of a volume is one. What else may be wrong with it, its process says when it is started.
fn is_there(volume: &VolumeOption) -> Result<(), MachineError> {
    let directory = &volume.directory;
    let Err(error) = client::Shared::look_at(directory) else {
        return Ok(());
    };
    let make = |words: &[&str]| {
        Command::new("mkdir")
            .args(words.iter().copied())
            .arg(directory)
            .to_string()
    };
    // `name:/path` of other engines.
    let hint = match (error.kind(), directory.components().count()) {
        (ErrorKind::NotFound, _) if directory.starts_with("~") => {
            "; that `~` is a home directory, a shell knows at the beginning of a word alone: use $HOME".to_owned()
        }
        (ErrorKind::NotFound, 1) => format!(
            "; a volume is a directory of yours, by its path, and none is kept by name: `{}` makes this one",
            make(&[])
        ),
        (ErrorKind::NotFound, _) => format!("; make it first (`{}`)", make(&["-p"])),
        _ => String::new(),
    };
    let message = format!("the volume {}: {error}{hint}", directory.display());
    Err(MachineError::Request(message))
}

/// The network, as far as the machine's kernel has a network card: only ours has.
fn network(args: &RunArgs) -> Result<NetworkArgs, MachineError> {
    match args.host_kernel {
        HostKernel::Cki => Ok(args.network.clone()),
        HostKernel::Debian | HostKernel::Debug | HostKernel::Xen if args.network.says_nothing() => {
            Ok(NetworkArgs::none())
        }
        HostKernel::Debian | HostKernel::Debug | HostKernel::Xen => Err(MachineError::Request(
            "there is a network with --host-kernel cki only; leave the network options out"
                .to_owned(),
        )),
    }
}

/// The request for init of a machine, before there is one: [`start_as`] completes it. `terminal` gives the size of the
/// program's, if it is to have one.
///
/// # Errors
/// [`MachineError::Request`] when an argument is no UTF-8, which the protocol cannot carry, when a file of
/// variables cannot be used, and when nobody could carry the request out.
pub fn request(
    args: &RunArgs,
    verbose: bool,
    terminal: impl FnOnce() -> Terminal,
) -> Result<cki_session::Run, MachineError> {
    let text = |word: &OsString| {
        word.clone().into_string().map_err(|word| {
            MachineError::Request(format!("the argument {word:?} is not valid UTF-8"))
        })
    };
    let network = network(args)?;
    let container = match args.runtime {
        Runtime::Native | Runtime::Host => None,
        Runtime::Cki => Some(Container {
            memory: args.memory,
            cmdline: String::new(),
            verbose,
            network: network.container()?,
            name: None,
            disks: disks::of_container(&args.disk),
            page_tables: None,
        }),
    };
    let pool = match args.runtime {
        Runtime::Native | Runtime::Cki => None,
        Runtime::Host => Memory::from_mib(u64::from(args.memory.mib()) / 2).ok(),
    };
    has_its_container(args)?;
    let argv = args.command.iter().map(text).collect::<Result<_, _>>()?;
    let request = args.program.request(argv, terminal);
    let mut run = request.map_err(|error| MachineError::Request(error.to_string()))?;
    run.container = container;
    run.pool = pool;
    run.interface = network.interface(args.runtime);
    run.check()
        .map_err(|error| MachineError::Request(error.to_string()))?;
    Ok(run)
}

/// Has the container's kernel start as `machine` says.
pub fn start_as(machine: &Machine, request: &mut cki_session::Run) {
    if let Some(container) = &mut request.container {
        container
            .cmdline
            .clone_from(&machine.host.container_cmdline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::Contents;
    use cki_frontend::{ProcessOptions, ProgramOptions};
    use cki_machine::Board;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::Path;

    fn args(runtime: Runtime, command: Vec<OsString>) -> RunArgs {
        RunArgs {
            runtime,
            host_kernel: HostKernel::Cki,
            machine: Some(crate::resident::OWN.to_owned()),
            name: None,
            contents: Contents::default(),
            memory: Memory::constant(512),
            cpus: 1,
            timeout: None,
            program: ProgramOptions {
                process: ProcessOptions {
                    env: vec!["A=1".parse().expect("a variable")],
                    ..ProcessOptions::default()
                },
                ..ProgramOptions::default()
            },
            network: NetworkArgs::none(),
            disk: Vec::new(),
            command,
        }
    }

    fn machine() -> Machine {
        let host = HostImage {
            kernel: "/h/vmlinux".into(),
            initrd: "/h/initrd".into(),
            session_initrd: "/h/session".into(),
            cmdline: "quiet".into(),
            container_cmdline: "tsc=reliable".into(),
            board: Board::Microvm,
            host_mib: 192,
            hypervisor: None,
        };
        let memory = Memory::constant(704);
        Machine::new(
            Path::new("/q"),
            host,
            Path::new("/a.img").to_owned(),
            memory,
            1,
        )
    }

    #[test]
    fn network_options_are_refused_where_there_is_no_network() {
        let mut args = args(Runtime::Cki, vec!["true".into()]);
        args.host_kernel = HostKernel::Debian;
        args.network = NetworkArgs::default();
        assert_eq!(network(&args).unwrap(), NetworkArgs::none());
        args.network.options.publish = vec!["8080:80".parse().unwrap()];
        let error = network(&args).unwrap_err().to_string();
        assert!(error.contains("--host-kernel cki"), "{error}");
    }

    #[test]
    fn a_guest_of_xen_is_refused_containers() {
        let mut args = args(Runtime::Cki, vec!["true".into()]);
        args.host_kernel = HostKernel::Xen;
        for runtime in [Runtime::Cki, Runtime::Host] {
            args.runtime = runtime;
            let error = can_have_containers(&args).expect_err("none can be");
            assert!(error.to_string().contains("--runtime native"), "{error}");
        }
        args.runtime = Runtime::Native;
        assert!(can_have_containers(&args).is_ok());
    }

    #[test]
    fn a_volume_that_is_not_there_is_told_that_it_is_a_directory_to_be_made() {
        let error =
            |text: &str| is_there(&text.parse().expect("a volume")).map_err(|e| e.to_string());
        let named = error("no-such-data:/data").expect_err("not there");
        assert!(named.contains("`mkdir no-such-data`"), "{named}");
        let path = error("/nonexistent/data:/data").expect_err("not there");
        assert!(
            path.contains("make it first (`mkdir -p /nonexistent/data`)"),
            "{path}"
        );
        // They are to be pasted.
        let odd = error("/no such;x/data:/data").expect_err("not there");
        assert!(odd.contains("`mkdir -p '/no such;x/data'`"), "{odd}");
        let home = error("~/data:/data").expect_err("not there");
        assert!(home.contains("$HOME") && !home.contains("mkdir"), "{home}");
        assert_eq!(error(".:/data"), Ok(()));
    }

    #[test]
    fn a_volume_of_a_single_file_is_told_to_name_its_directory() {
        // Of this crate, where its tests run: a name without a path, too.
        for file in [
            "Cargo.toml",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ] {
            let volume = format!("{file}:/etc/file").parse().expect("a volume");
            let error = is_there(&volume).expect_err("a file").to_string();
            assert!(
                error.contains(file) && error.contains("name the one that this is in"),
                "{error}"
            );
            assert!(!error.contains("mkdir"), "{error}");
        }
    }

    #[test]
    fn the_request_says_what_the_command_line_said() {
        let command = vec!["sh".into(), "-c".into(), "exit 7".into()];
        let request =
            request(&args(Runtime::Native, command), false, || Terminal::USUAL).expect("valid");
        assert_eq!(request.process.argv, ["sh", "-c", "exit 7"]);
        assert_eq!(request.process.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!(request.container, None);
    }

    #[test]
    fn a_container_gets_the_memory_that_was_asked_for() {
        let args = args(Runtime::Cki, vec!["true".into()]);
        let mut request = request(&args, false, || Terminal::USUAL).expect("valid");
        start_as(&machine(), &mut request);
        assert_eq!(
            request.container,
            Some(Container {
                memory: Memory::constant(512),
                cmdline: "tsc=reliable".into(),
                verbose: false,
                network: None,
                name: None,
                disks: Vec::new(),
                page_tables: None,
            })
        );
    }

    #[test]
    fn rates_of_disks_and_networks_are_a_containers() {
        let limited = |runtime| {
            let mut args = args(runtime, vec!["true".into()]);
            args.disk = vec!["x:write-iops=7".parse().expect("a disk")];
            request(&args, false, || Terminal::USUAL)
        };
        let container = limited(Runtime::Cki).expect("valid").container;
        let disks = container.expect("a container").disks;
        assert_eq!(disks[0].rates.to_string(), ":write-iops=7");
        for runtime in [Runtime::Native, Runtime::Host] {
            let message = limited(runtime).expect_err("no container").to_string();
            assert!(message.contains("rates of disks"), "{message}");
        }
    }

    #[test]
    fn a_request_that_nobody_could_carry_out_is_refused_before_a_machine_is_started() {
        let message = request(&args(Runtime::Cki, Vec::new()), false, || Terminal::USUAL)
            .expect_err("no program")
            .to_string();
        assert!(message.contains("argv is empty"), "{message}");
    }

    #[test]
    fn an_argument_that_the_protocol_cannot_carry_is_refused() {
        let word = OsString::from_vec(vec![b'a', 0xff]);
        let message = request(&args(Runtime::Cki, vec![word]), false, || Terminal::USUAL)
            .expect_err("not UTF-8")
            .to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }
}

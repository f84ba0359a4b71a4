// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-init`: PID 1 of a CKI machine.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use anyhow::Context;
use cki_init::resident::{self, server};
use cki_init::session::place::Place;
use cki_init::session::serve;
use cki_init::shell;
use cki_init::system::cmdline;
use cki_init::system::{machine, modules, mounts, net};
use cki_session::cmdline::Mode;

fn main() {
    if let Some((place, generation)) = place_to_serve() {
        if let Err(error) = serve::serve_place(place, generation) {
            // A client that has gone needs no word.
            if !error.is_end_of_client() {
                machine::report(&format!("place {place}: {error}"));
                std::process::exit(1);
            }
        }
        return;
    }
    if std::process::id() != 1 {
        machine::report("this program is PID 1 of a CKI machine and does nothing elsewhere");
        std::process::exit(2);
    }
    // A panic ends PID 1, and with it the machine: the kernel panics and restarts.
    let Err(error) = start();
    machine::report(&format!("{error:#}"));
    machine::restart()
}

/// The place that this process is to serve, and its number among those that did before, if it was started for that.
fn place_to_serve() -> Option<(u32, u64)> {
    let mut words = std::env::args().skip(1);
    if std::process::id() == 1 || words.next()? != server::PLACE {
        return None;
    }
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Does what the command line asks for; returns only to say why it could not.
fn start() -> anyhow::Result<Infallible> {
    mounts::leave_initial_root()?;
    mounts::mount_early(Path::new("/"))?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("cannot read the kernel's release")?;
    modules::load_all(Path::new("/lib/modules"), &release)?;
    net::raise_loopback().context("cannot bring up the loopback interface")?;
    let cmdline = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    match cmdline::mode(&cmdline)? {
        Mode::Shell => shell::run(
            cmdline::pool(&cmdline)?,
            cmdline::runtime(&cmdline)?.as_ref(),
        ),
        Mode::Session => {
            let io_ports = machine::io_ports(Path::new("/dev")).context("cannot open /dev/port")?;
            serve::run(match io_ports {
                Some(_) => Place::Machine,
                None => Place::Container,
            })?;
            machine::end_session(io_ports.as_ref());
            anyhow::bail!("the machine has no isa-debug-exit device")
        }
        Mode::Machine => {
            let io_ports = machine::io_ports(Path::new("/dev")).context("cannot open /dev/port")?;
            resident::run(&release)?;
            machine::end_session(io_ports.as_ref());
            anyhow::bail!("the machine has no isa-debug-exit device")
        }
    }
}

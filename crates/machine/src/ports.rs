// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our ends of the machine's channels.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::channel::Channel;
use super::disks;
use super::volumes;

/// One connected socket for each channel of a session.
#[derive(Debug)]
pub struct Ports {
    pub control: UnixStream,
    pub stdin: UnixStream,
    pub stdout: UnixStream,
    pub stderr: UnixStream,
}

/// QEMU's ends, until it is started.
#[derive(Debug)]
pub struct Inherited(Mutex<Vec<(i32, OwnedFd)>>);

impl Ports {
    /// Makes the socket pairs, and one for the console. QEMU gets the sockets of whoever serves volumes and the files
    /// of disks, too.
    pub fn new(
        served: Vec<UnixStream>,
        files: Vec<File>,
    ) -> io::Result<(Self, UnixStream, Inherited)> {
        let mut theirs = Vec::new();
        let mut pair = |channel| {
            let (ours, other) = UnixStream::pair()?;
            theirs.push((Channel::fd(channel), OwnedFd::from(other)));
            io::Result::Ok(ours)
        };
        let ports = Self {
            control: pair(Channel::Control)?,
            stdin: pair(Channel::Stdin)?,
            stdout: pair(Channel::Stdout)?,
            stderr: pair(Channel::Stderr)?,
        };
        let console = pair(Channel::Console)?;
        for (index, socket) in served.into_iter().enumerate() {
            theirs.push((volumes::fd(index), OwnedFd::from(socket)));
        }
        for (index, file) in files.into_iter().enumerate() {
            theirs.push((disks::fd(index), OwnedFd::from(file)));
        }
        Ok((ports, console, Inherited::new(theirs)))
    }

    /// All of them, in the order of [`cki_session::port::ALL`].
    pub fn all(&self) -> [&UnixStream; 4] {
        [&self.control, &self.stdin, &self.stdout, &self.stderr]
    }
}

impl Inherited {
    /// These, each with its number in QEMU.
    pub fn new(theirs: Vec<(i32, OwnedFd)>) -> Self {
        Self(Mutex::new(theirs))
    }

    /// What an emulator's process is to be: it has the descriptors, room for more, and Ctrl-C is for us. In our process
    /// group it would end by itself at the same time, and its end would be taken for a crash.
    pub fn prepare(&self, child: &mut std::process::Command) -> io::Result<()> {
        use std::os::unix::process::CommandExt as _;
        child.process_group(0);
        raise_descriptors();
        self.give_to(child)
    }

    /// Has `child` inherit the descriptors at their numbers. They close here once it is spawned, so
    /// that our ends see the end of file when QEMU is gone; a second child would get none.
    fn give_to(&self, child: &mut std::process::Command) -> io::Result<()> {
        let mut theirs = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mappings = theirs
            .drain(..)
            .map(|(child_fd, parent_fd)| FdMapping {
                parent_fd,
                child_fd,
            })
            .collect();
        child
            .fd_mappings(mappings)
            .map_err(|_| io::Error::other("two channels have the same descriptor"))?;
        Ok(())
    }
}

/// Has us, and so what we start from now on, have as many descriptors as we may: QEMU has one for each connection to a
/// published port, and where it can have no more, clients wait for ever. Many a login gives a thousand and allows a
/// thousand times as many, or has no end of them, which old programs do not take well: they close each. Says how many
/// there are.
pub(crate) fn raise_descriptors() -> u64 {
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    match limit.current {
        Some(now) if now < allowed => {
            let current = Some(allowed);
            // A limit that stays is met later, if ever.
            let raised = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
            raised.map_or(now, |()| allowed)
        }
        now => now.unwrap_or(ENOUGH),
    }
}

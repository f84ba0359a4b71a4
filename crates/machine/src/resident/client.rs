// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that stays up, for its clients.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::directory::Directory;
use super::error::ResidentError;
use super::lease::Lease;
use super::messages::{Answer, Ask, MachineStatus, SERVE, Wanted};
use super::passing::MessageSocket;
use super::setup::Setup;
use crate::app_disk::AppDisk;
use crate::ports::Ports;

/// How long a supervisor may take to answer: it waits for volumes, for a place and for its hello, 50 seconds together,
/// and for QEMU, which takes milliseconds for each port, volume and disk. One that stands still is given 20 seconds for
/// the step that it does not answer, and as much for each step that is undone then: of these, a client need not hear
/// the end.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

/// A connection to a machine that is up.
#[derive(Debug)]
pub struct Up {
    directory: Directory,
    connection: MessageSocket,
}

/// Starts the machine, which stays up when this process ends. `program` keeps it up: one that calls
/// [`super::serve_if_asked`].
///
/// # Errors
/// [`ResidentError`].
pub fn start(
    program: &std::path::Path,
    directory: &Directory,
    setup: &Setup,
) -> Result<MachineStatus, ResidentError> {
    let name = directory.name();
    if directory.connect()?.is_some() {
        return Err(ResidentError::Up(name.to_owned()));
    }
    let cannot = || ResidentError::system("cannot start the process that keeps the machine up");
    let (ours, its) = UnixStream::pair().map_err(cannot())?;
    let mut child = Command::new(program)
        .arg0("cki-build")
        .arg(SERVE)
        .current_dir("/")
        .stdin(OwnedFd::from(its))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot())?;
    let mut connection = MessageSocket::new(ours);
    let why = match connection.say(setup).and_then(|()| connection.hear()) {
        Ok(Some(Answer::Status(status))) => return Ok(status),
        Ok(Some(Answer::Refused { message })) => message,
        Ok(_) => "the process that keeps it up has ended".to_owned(),
        Err(error) => error.to_string(),
    };
    // It ends by itself, now at the latest.
    drop(connection);
    let _ = child.wait();
    let up = ResidentError::Up(name.to_owned());
    if why == up.to_string() {
        return Err(up);
    }
    Err(ResidentError::Start {
        name: name.to_owned(),
        why,
    })
}

impl Up {
    /// The machine, or `None` when it is not up.
    ///
    /// # Errors
    /// [`ResidentError`] when there is no telling.
    pub fn find(directory: &Directory) -> Result<Option<Self>, ResidentError> {
        Self::find_patiently(directory, ANSWER_LIMIT)
    }

    fn find_patiently(
        directory: &Directory,
        limit: Duration,
    ) -> Result<Option<Self>, ResidentError> {
        let Some(socket) = directory.connect()? else {
            return Ok(None);
        };
        let cannot = ResidentError::system("cannot use a socket");
        socket.set_read_timeout(Some(limit)).map_err(cannot)?;
        Ok(Some(Self {
            directory: directory.clone(),
            connection: MessageSocket::new(socket),
        }))
    }

    /// As [`Up::find`], where it is an error that it is not up.
    ///
    /// # Errors
    /// [`ResidentError`].
    pub fn expect(directory: &Directory) -> Result<Self, ResidentError> {
        let name = directory.name().to_owned();
        Self::find(directory)?.ok_or(ResidentError::Down(name))
    }

    fn lost(&self, why: String) -> ResidentError {
        ResidentError::Lost {
            name: self.directory.name().to_owned(),
            why,
            log: self.directory.log(),
        }
    }

    fn ask(
        &mut self,
        ask: &Ask,
        with: &[UnixStream],
        files: &mut Vec<OwnedFd>,
    ) -> Result<Answer, ResidentError> {
        let with: Vec<_> = with.iter().map(AsFd::as_fd).collect();
        let said = self.connection.hand_over(ask, &with);
        if let Err(error) = &said {
            if error.kind() == io::ErrorKind::InvalidData {
                // A path that is no UTF-8, for example.
                return Err(ResidentError::Refused {
                    name: self.directory.name().to_owned(),
                    why: format!("it cannot be asked for that: {error}"),
                });
            }
        }
        let answer = said.and_then(|()| self.connection.receive(files));
        match answer {
            Ok(Some(Answer::Refused { message: why })) => Err(ResidentError::Refused {
                name: self.directory.name().to_owned(),
                why,
            }),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.lost("has gone".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.lost(format!("is of another version: {error}")))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.lost("does not answer".to_owned()))
            }
            Err(error) => Err(self.lost(format!("has gone: {error}"))),
        }
    }

    /// How it is.
    ///
    /// # Errors
    /// [`ResidentError`].
    pub fn status(&mut self) -> Result<MachineStatus, ResidentError> {
        match self.ask(&Ask::Status, &[], &mut Vec::new())? {
            Answer::Status(status) => Ok(status),
            _ => Err(self.lost("gave another answer".to_owned())),
        }
    }

    /// Takes a place of it, for a container with volumes that others serve at the other ends of these sockets, which
    /// are the machine's then.
    ///
    /// # Errors
    /// [`ResidentError::Refused`] when there is none, or not what is wanted.
    pub fn lease(
        mut self,
        mut wanted: Wanted,
        sockets: Vec<UnixStream>,
    ) -> Result<Lease, ResidentError> {
        // The supervisor is in another directory.
        let disk = wanted.disk.as_ref().map(AppDisk::absolute).transpose();
        wanted.disk = disk.map_err(ResidentError::system("cannot tell the current directory"))?;
        let mut files = Vec::new();
        let count = sockets.len();
        let ask = Ask::Lease {
            wanted,
            volumes: count,
        };
        let answer = self.ask(&ask, &sockets, &mut files)?;
        let ports: Result<[OwnedFd; 4], _> = files.try_into();
        let (
            Answer::Leased {
                serial,
                volumes,
                emulator,
                number,
            },
            Ok(ports),
        ) = (answer, ports)
        else {
            return Err(self.lost("gave another answer".to_owned()));
        };
        if volumes.len() != count {
            return Err(self.lost("gave another answer".to_owned()));
        }
        let [control, stdin, stdout, stderr] = ports.map(UnixStream::from);
        let connection = self.connection.into_socket();
        let cannot = ResidentError::system("cannot use a socket");
        connection.set_read_timeout(None).map_err(cannot)?;
        Ok(Lease {
            connection,
            ports: Ports {
                control,
                stdin,
                stdout,
                stderr,
            },
            serial,
            volumes,
            emulator,
            number,
        })
    }

    /// Ends it; programs get SIGTERM, and so much time. It is gone on return.
    ///
    /// # Errors
    /// [`ResidentError`].
    pub fn stop(mut self, grace: Duration) -> Result<(), ResidentError> {
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        let said = self.connection.say(&Ask::Stop { grace_ms });
        said.map_err(|error| self.lost(format!("has gone: {error}")))?;
        self.connection.wait_for_end();
        // Its end, or that it took longer than it may.
        match self.directory.connect()? {
            None => Ok(()),
            Some(_) => Err(self.lost("does not end".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn the_supervisor_hears_of_files_by_their_absolute_paths() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::new(scratch.path(), "m").unwrap();
        let locked = directory.lock().unwrap();
        let listener = locked.listen().unwrap();
        let supervisor = std::thread::spawn(move || {
            let mut client = MessageSocket::new(listener.accept().unwrap().0);
            let asked = client.hear().unwrap();
            let message = "no".to_owned();
            client.say(&Answer::Refused { message }).unwrap();
            (asked, listener)
        });
        let up = Up::expect(&directory).unwrap();
        let wanted = Wanted {
            disk: Some(AppDisk::Raw("app.img".into())),
            ..Wanted::default()
        };
        let error = up.lease(wanted, Vec::new()).unwrap_err();
        assert!(error.to_string().ends_with(": no"), "{error}");
        let no_text = std::ffi::OsStr::from_bytes(b"\xff").to_owned();
        let wanted = Wanted {
            disk: Some(AppDisk::Raw(no_text.into())),
            ..Wanted::default()
        };
        let up = Up::expect(&directory).unwrap();
        let error = up.lease(wanted, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("cannot be asked"), "{error}");
        let Some(Ask::Lease { wanted: heard, .. }) = supervisor.join().unwrap().0 else {
            panic!("no lease was asked for");
        };
        let expected = std::env::current_dir().unwrap().join("app.img");
        assert_eq!(heard.disk, Some(AppDisk::Raw(expected)));
    }

    #[test]
    fn a_machine_that_does_not_answer_is_not_waited_for_without_end() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::new(scratch.path(), "m").unwrap();
        assert!(Up::find(&directory).unwrap().is_none());
        let locked = directory.lock().unwrap();
        // Connections are taken by the kernel, and nobody answers.
        let _listener = locked.listen().unwrap();
        let find = || Up::find_patiently(&directory, Duration::from_millis(20)).unwrap();
        let error = find().unwrap().status().unwrap_err().to_string();
        assert!(error.contains("does not answer"), "{error}");
        let error = find().unwrap().stop(Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("does not end"), "{error}");
    }
}

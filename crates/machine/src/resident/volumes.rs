// SPDX-License-Identifier: MIT OR Apache-2.0

//! Volumes of a machine that stays up: a port of the machine for each, with the socket of whoever serves it behind it.
//!
//! Nothing of a volume is used again. Its port is plugged in for a lease and unplugged when nothing of the lease's
//! container is left; its socket is its own, and goes with it; and no two ports have one name for as long as the
//! machine is up. So what was on its way to or from a volume whose container or client was killed reaches nobody.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::qmp::Qmp;

/// Volumes of all containers of a machine that stays up together.
pub(super) const MOST: usize = 32;

/// QEMU's name for the device whose ports they are; its bus is `volumes.0`.
pub(super) const BUS: &str = "volumes";

/// What all names begin with, of volumes and of their devices in QEMU.
const NAME: &str = "volume";

/// The ports of a machine.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many volumes there have been.
    last: usize,
    /// How many are there.
    taken: usize,
    /// How many of these will be free without anybody's doing.
    ending: usize,
}

/// The volumes of a lease, plugged in until this is dropped.
#[derive(Debug)]
pub(super) struct Plugged<'m> {
    volumes: &'m Volumes,
    monitor: &'m Qmp,
    taken: usize,
    is_ending: bool,
    names: Vec<String>,
}

/// Whether a device of QEMU's is the port of a volume.
pub(super) fn is_port(device: &str) -> bool {
    device.starts_with(NAME)
}

/// Closes the socket behind a port that QEMU has taken out.
pub(super) fn close(monitor: &Qmp, device: &str) {
    // One that is not there is none to close.
    let _ = monitor.execute("chardev-remove", &json!({"id": device}));
}

impl Volumes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plugs in a volume for each of these sockets, all or none. Those that others are giving back are waited for, so
    /// long.
    pub(super) fn plug<'m>(
        &'m self,
        monitor: &'m Qmp,
        sockets: Vec<OwnedFd>,
        patience: Duration,
    ) -> Result<Plugged<'m>, String> {
        let first = self.take(sockets.len(), patience)?;
        let mut plugged = Plugged {
            volumes: self,
            monitor,
            taken: sockets.len(),
            is_ending: false,
            names: Vec::new(),
        };
        for (number, socket) in (first..).zip(sockets) {
            let name = format!("{NAME}{number}");
            plug_in(monitor, &name, socket)
                .map_err(|why| format!("a volume cannot be plugged into the machine: {why}"))?;
            plugged.names.push(name);
        }
        Ok(plugged)
    }

    /// Takes so many; the number of the first.
    fn take(&self, count: usize, patience: Duration) -> Result<usize, String> {
        let must_wait = |state: &mut State| state.ending > 0 && state.taken + count > MOST;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, must_wait);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.taken + count > MOST {
            return Err(format!(
                "of its {MOST} volumes for all containers {} are free, and {count} wanted: more are when a container \
                 with volumes ends",
                MOST - state.taken
            ));
        }
        let first = state.last + 1;
        state.last += count;
        state.taken += count;
        Ok(first)
    }
}

/// Plugs in one; nothing of it stays where that fails.
fn plug_in(monitor: &Qmp, name: &str, socket: OwnedFd) -> Result<(), String> {
    // What QEMU has not answered it may still do: so each step is undone that may have been done, in the order in which
    // QEMU does what it is told, and what there is nothing to undo of it refuses.
    let close_file = || drop(monitor.execute("closefd", &json!({"fdname": name})));
    monitor
        .give(name, socket.as_fd())
        .inspect_err(|_| close_file())?;
    // From now on it is QEMU's alone, and its other end sees when it closes.
    drop(socket);
    let behind = json!({
        "id": name,
        "backend": {"type": "socket", "data": {
            "addr": {"type": "fd", "data": {"str": name}}, "server": false,
        }},
    });
    monitor.execute("chardev-add", &behind).inspect_err(|_| {
        close_file();
        close(monitor, name);
    })?;
    let device = json!({
        "driver": "virtserialport", "id": name, "bus": format!("{BUS}.0"), "chardev": name,
        "name": port(name),
    });
    monitor
        .execute("device_add", &device)
        .map(drop)
        .inspect_err(|_| {
            // If there is a port after all, QEMU says when its socket can be closed.
            unplug(monitor, name);
            close(monitor, name);
        })
}

/// Takes a port out. QEMU has its number free for another on return, and says by itself when the socket can be closed.
fn unplug(monitor: &Qmp, name: &str) {
    // One that is not there is none to take out.
    let _ = monitor.execute("device_del", &json!({"id": name}));
}

/// The name of the port of a volume.
fn port(name: &str) -> String {
    let volume = cki_session::Volume {
        name: name.to_owned(),
        path: String::new(),
        read_only: false,
    };
    volume.port()
}

impl Plugged<'_> {
    /// What the machine calls them, in the order of their sockets.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Their client has gone, so they will be unplugged.
    pub(super) fn are_ending(&mut self) {
        if !std::mem::replace(&mut self.is_ending, true) {
            self.volumes.lock().ending += self.taken;
        }
    }
}

impl Drop for Plugged<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            unplug(self.monitor, name);
        }
        let mut state = self.volumes.lock();
        state.taken -= self.taken;
        if self.is_ending {
            state.ending -= self.taken;
        }
        drop(state);
        self.volumes.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::mpsc::{self, Receiver};
    use std::thread;

    use serde_json::Value;

    use super::super::passing::MessageSocket;
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    /// What a QEMU was asked: a command, the name in it, and the socket that came along.
    type Asked = (String, String, Option<UnixStream>);

    /// A QEMU that does whatever it is asked, but for one command with one name.
    fn qemu(refused: Option<(&'static str, &'static str)>) -> (Qmp, Receiver<Asked>) {
        let no = serde_json::json!({"error": {"desc": "no"}});
        qemu_that(move |asked| Some(refused == Some(asked)).map(|is| is.then(|| no.clone())))
    }

    /// A QEMU that answers nothing from one command on.
    fn qemu_until(command: &'static str) -> (Qmp, Receiver<Asked>) {
        let mut answers = true;
        let (qmp, asked) = qemu_that(move |(next, _)| {
            answers &= next != command;
            answers.then_some(None)
        });
        (qmp.with_patience(SOON), asked)
    }

    /// A QEMU that answers nothing, all is well, or something else, to a command with a name in it.
    fn qemu_that(
        mut answers: impl FnMut((&str, &str)) -> Option<Option<Value>> + Send + 'static,
    ) -> (Qmp, Receiver<Asked>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            let mut client = MessageSocket::new(theirs);
            let mut files = Vec::new();
            while let Ok(Some(message)) = client.receive::<Value>(&mut files) {
                let arguments = &message["arguments"];
                let what = [&arguments["id"], &arguments["fdname"]];
                let what = what.iter().find_map(|value| value.as_str());
                let what = what.unwrap_or_default().to_owned();
                let command = message["execute"].as_str().unwrap().to_owned();
                let answer = answers((&command, &what));
                let socket = files.pop().map(UnixStream::from);
                let _ = sender.send((command, what, socket));
                if let Some(answer) = answer {
                    let mut answer = answer.unwrap_or(serde_json::json!({"return": {}}));
                    answer["id"] = message["id"].clone();
                    client.say(&answer).unwrap();
                }
            }
        });
        let qmp = Qmp::new(ours, |_, _| {}).unwrap();
        assert_eq!(asked.recv().unwrap().0, "qmp_capabilities");
        (qmp, asked)
    }

    /// Sockets for QEMU, and whoever serves volumes at their other ends.
    fn sockets(count: usize) -> (Vec<OwnedFd>, Vec<UnixStream>) {
        let pairs = (0..count).map(|_| UnixStream::pair().unwrap());
        pairs.map(|(one, other)| (one.into(), other)).unzip()
    }

    fn words(asked: &Receiver<Asked>) -> Vec<String> {
        let word = |(command, what, _): Asked| format!("{command} {what}");
        asked.try_iter().map(word).collect()
    }

    #[test]
    fn each_volume_has_a_port_of_its_own_whose_name_is_never_used_again() {
        let (qmp, asked) = qemu(None);
        let volumes = Volumes::default();
        let (ours, mut servers) = sockets(2);
        let plugged = volumes.plug(&qmp, ours, SOON).unwrap();
        assert_eq!(plugged.names(), ["volume1", "volume2"]);
        for (name, server) in ["volume1", "volume2"].into_iter().zip(&mut servers) {
            let (command, what, socket) = asked.recv().unwrap();
            assert_eq!((&*command, &*what), ("getfd", name));
            // It is connected with the server of this one.
            let mut socket = socket.unwrap();
            server.write_all(b"x").unwrap();
            socket.read_exact(&mut [0]).unwrap();
            // QEMU is the only one who has it.
            drop(socket);
            assert_eq!(server.read(&mut [0]).unwrap(), 0);
            for command in ["chardev-add", "device_add"] {
                assert_eq!(asked.recv().unwrap().0, command);
            }
        }
        drop(plugged);
        assert_eq!(words(&asked), ["device_del volume1", "device_del volume2"]);
        close(&qmp, "volume1");
        assert_eq!(words(&asked), ["chardev-remove volume1"]);
        let next = volumes.plug(&qmp, sockets(1).0, SOON).unwrap();
        assert_eq!(next.names(), ["volume3"]);
        // Not even when nothing came of one.
        drop(next);
        assert!(is_port("volume3") && !is_port("app-3"));
    }

    #[test]
    fn of_volumes_that_cannot_all_be_plugged_in_none_stays() {
        for (command, cleared) in [
            ("getfd", &["closefd volume2"][..]),
            (
                "chardev-add",
                &["closefd volume2", "chardev-remove volume2"],
            ),
            (
                "device_add",
                &["device_del volume2", "chardev-remove volume2"],
            ),
        ] {
            let (qmp, asked) = qemu(Some((command, "volume2")));
            let volumes = Volumes::default();
            let (ours, mut servers) = sockets(3);
            let why = volumes.plug(&qmp, ours, SOON).unwrap_err();
            assert!(why.contains("plugged into the machine: no"), "{why}");
            let words: Vec<_> = words(&asked)
                .into_iter()
                .skip_while(|word| word != &format!("{command} volume2"))
                .skip(1)
                .collect();
            let expected = [cleared, &["device_del volume1"]].concat();
            assert_eq!(words, expected, "{command}");
            // The one that came to nobody's hands is closed.
            assert_eq!(servers[2].read(&mut [0]).unwrap(), 0);
            let all = volumes.plug(&qmp, sockets(MOST).0, SOON);
            assert!(all.is_ok(), "{command}: a port is lost");
        }
    }

    #[test]
    fn what_a_qemu_may_still_do_that_does_not_answer_is_undone_behind_it() {
        for (command, undone) in [
            ("getfd", &["closefd volume1"][..]),
            (
                "chardev-add",
                &["closefd volume1", "chardev-remove volume1"],
            ),
            (
                "device_add",
                &["device_del volume1", "chardev-remove volume1"],
            ),
        ] {
            let (qmp, asked) = qemu_until(command);
            let volumes = Volumes::default();
            let why = volumes.plug(&qmp, sockets(1).0, SOON).unwrap_err();
            assert!(why.contains("does not answer"), "{why}");
            let heard = std::iter::from_fn(|| asked.recv_timeout(10 * SOON).ok());
            let words: Vec<_> = heard
                .map(|(command, what, _)| format!("{command} {what}"))
                .skip_while(|word| word != &format!("{command} volume1"))
                .skip(1)
                .collect();
            assert_eq!(words, undone, "{command}");
        }
    }

    #[test]
    fn volumes_that_are_given_back_are_waited_for_and_others_are_not() {
        let (qmp, _asked) = qemu(None);
        let (qmp, volumes) = (Arc::new(qmp), Arc::new(Volumes::default()));
        let long = Duration::from_secs(60);
        let mut most = volumes.plug(&qmp, sockets(MOST - 1).0, long).unwrap();
        let one = volumes.plug(&qmp, sockets(1).0, long).unwrap();
        // Nobody is about to go.
        let why = volumes.plug(&qmp, sockets(2).0, long).unwrap_err();
        assert_eq!(
            why,
            "of its 32 volumes for all containers 0 are free, and 2 wanted: more are when a container with volumes ends"
        );
        // Somebody is, but takes too long.
        most.are_ending();
        assert!(volumes.plug(&qmp, sockets(1).0, SOON).is_err());
        let waiting = thread::spawn({
            let (qmp, volumes) = (Arc::clone(&qmp), Arc::clone(&volumes));
            move || {
                let plugged = volumes.plug(&qmp, sockets(2).0, long);
                plugged.map(|plugged| plugged.names().len())
            }
        });
        thread::sleep(SOON);
        drop(most);
        assert_eq!(waiting.join().unwrap(), Ok(2));
        drop(one);
        assert!(volumes.plug(&qmp, sockets(MOST).0, SOON).is_ok());
        // Who has none takes none.
        let all = volumes.plug(&qmp, sockets(MOST).0, SOON).unwrap();
        assert!(volumes.plug(&qmp, Vec::new(), long).is_ok());
        drop(all);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a session is told, by the threads that relay its streams and by others.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use cki_session::{Event, Signal};

use super::meter::Meter;
use super::relay::{self, Relayed};

/// What the session is told.
#[derive(Debug)]
pub(crate) enum Input {
    Init(Event),
    ControlEnd(Result<(), String>),
    First(Instant),
    /// All output that was announced has come, of one of the streams.
    Complete,
    Stdout(Relayed),
    Stderr(Relayed),
    /// The machine has gone; with the emulator's status, if it was ours.
    Gone(Option<ExitStatus>),
    Signal(Signal),
}

/// Sends signals to the program of a session from another thread.
#[derive(Debug, Clone)]
pub struct Signals(pub(crate) Sender<Input>);

impl Signals {
    /// Sends `signal` to the program. It ends the session instead where [`Forwarding`](cki_session::Forwarding) says
    /// so; Ctrl-Z (SIGTSTP) stops this process too, once it was passed on. A program with a terminal of its own
    /// has its own Ctrl-Z: then this process alone stops.
    pub fn send(&self, signal: Signal) {
        // The session may be over already: then there is no program to get it.
        let _ = self.0.send(Input::Signal(signal));
    }
}

/// Relays a stream of the program in a thread of its own.
pub(crate) fn relay_output(
    from: UnixStream,
    mut to: Box<dyn Write + Send>,
    events: Sender<Input>,
    meter: Meter,
    is_stdout: bool,
) {
    thread::spawn(move || {
        let Ok(rest) = from.try_clone() else { return };
        let tell = |input| {
            let _ = events.send(input);
        };
        let first = |at| tell(Input::First(at));
        let result = relay::output(from, &mut *to, &meter, first, || tell(Input::Complete));
        meter.end();
        let ended = matches!(result, Relayed::End);
        let _ = events.send(if is_stdout {
            Input::Stdout(result)
        } else {
            Input::Stderr(result)
        });
        if !ended {
            relay::drain(rest);
        }
    });
}

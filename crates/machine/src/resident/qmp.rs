// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's monitor protocol (QEMU, docs/interop/qmp-spec): JSON, commands with a number, answers with the same, events.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::passing;

/// How long QEMU may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

type Answer = Result<Value, String>;

/// QEMU's monitor.
#[derive(Debug)]
pub(super) struct Qmp {
    port: Mutex<UnixStream>,
    waiting: Arc<Mutex<Waiting>>,
    patience: Duration,
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    senders: HashMap<u64, Sender<Answer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Qmp {
    /// The monitor at the other end of `port`. Each event goes to `on`, with its name and data; nothing is heard
    /// meanwhile.
    pub(super) fn new(
        port: UnixStream,
        mut on: impl FnMut(&str, &Value) + Send + 'static,
    ) -> io::Result<Self> {
        let from = BufReader::new(port.try_clone()?);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let answered = Arc::clone(&waiting);
        thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(event) = message["event"].as_str() {
                    on(event, &message["data"]);
                } else if let Some(number) = message["id"].as_u64() {
                    let sender = lock(&answered).senders.remove(&number);
                    if let Some(sender) = sender {
                        let _ = sender.send(answer(&message));
                    }
                }
            }
            // Whoever still waits hears that there is nobody left.
            lock(&answered).senders.clear();
        });
        let qmp = Self {
            port: Mutex::new(port),
            waiting,
            patience: ANSWER_LIMIT,
        };
        qmp.send("qmp_capabilities", &json!({}), &[], 0)?;
        Ok(qmp)
    }

    /// One that is waited for no longer than that.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn send(
        &self,
        command: &str,
        arguments: &Value,
        files: &[BorrowedFd<'_>],
        number: u64,
    ) -> io::Result<()> {
        let message = json!({"execute": command, "arguments": arguments, "id": number});
        passing::send(&lock(&self.port), format!("{message}\n").as_bytes(), files)
    }

    /// Has QEMU do something; what it gives, or why it does not.
    pub(super) fn execute(&self, command: &str, arguments: &Value) -> Answer {
        self.execute_with(command, arguments, &[])
    }

    /// Gives QEMU a file, by this name, for one command to take over.
    pub(super) fn give(&self, name: &str, file: BorrowedFd<'_>) -> Answer {
        self.execute_with("getfd", &json!({"fdname": name}), &[file])
    }

    fn execute_with(&self, command: &str, arguments: &Value, files: &[BorrowedFd<'_>]) -> Answer {
        let (sender, receiver) = mpsc::channel();
        let number = {
            let mut waiting = lock(&self.waiting);
            waiting.last += 1;
            let number = waiting.last;
            waiting.senders.insert(number, sender);
            number
        };
        let sent = self.send(command, arguments, files, number);
        let heard = match sent {
            Ok(()) => receiver
                .recv_timeout(self.patience)
                .map_err(|error| match error {
                    RecvTimeoutError::Timeout => "the emulator does not answer".to_owned(),
                    RecvTimeoutError::Disconnected => format!("the emulator has gone: {error}"),
                }),
            Err(error) => Err(format!("the emulator has gone: {error}")),
        };
        heard.unwrap_or_else(|why| {
            // An answer that comes later is nobody's.
            lock(&self.waiting).senders.remove(&number);
            Err(why)
        })
    }
}

fn answer(message: &Value) -> Answer {
    match &message["error"] {
        Value::Null => Ok(message["return"].clone()),
        error => Err(error["desc"]
            .as_str()
            .unwrap_or("QEMU does not say why")
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn answers_find_their_commands_and_events_are_told() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, events) = mpsc::channel();
        let qmp = Qmp::new(ours, move |event, data| {
            let _ = sender.send((event.to_owned(), data.clone()));
        })
        .unwrap();
        let qemu = thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut next =
                || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
            let mut theirs = theirs;
            assert_eq!(next()["execute"], "qmp_capabilities");
            let asked = next();
            let answers = [
                json!({"return": {}, "id": 0}),
                json!({"event": "VSERPORT_CHANGE", "data": {"id": "a", "open": true}}),
                json!({"return": {"x": 1}, "id": asked["id"]}),
            ];
            for answer in answers {
                theirs.write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
            let asked = next();
            let refused =
                json!({"error": {"class": "GenericError", "desc": "no"}, "id": asked["id"]});
            theirs.write_all(format!("{refused}\n").as_bytes()).unwrap();
        });
        assert_eq!(qmp.execute("query", &json!({})), Ok(json!({"x": 1})));
        assert_eq!(events.recv().unwrap().1["id"], "a");
        assert_eq!(qmp.execute("query", &json!({})), Err("no".to_owned()));
        qemu.join().unwrap();
        let error = qmp.execute("query", &json!({})).unwrap_err();
        assert!(error.contains("has gone"), "{error}");
        assert!(lock(&qmp.waiting).senders.is_empty());
    }

    #[test]
    fn an_answer_that_comes_late_is_nobodys() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, events) = mpsc::channel();
        let qmp = Qmp::new(ours, move |event, _| {
            let _ = sender.send(event.to_owned());
        });
        let qmp = qmp.unwrap().with_patience(Duration::from_millis(20));
        let error = qmp.execute("query", &json!({})).unwrap_err();
        assert!(error.contains("does not answer"), "{error}");
        assert!(lock(&qmp.waiting).senders.is_empty());
        let late = json!({"return": {}, "id": 1});
        let event = json!({"event": "AFTER"});
        write!(&theirs, "{late}\n{event}\n").unwrap();
        assert_eq!(events.recv().unwrap(), "AFTER");
    }
}

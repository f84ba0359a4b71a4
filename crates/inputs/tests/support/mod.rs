// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mirror on this machine that misbehaves on demand, and a Debian archive to put on it.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod archive;
pub mod case;
pub mod nix;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cki_inputs::apt_proxy::Proxies;
use cki_inputs::downloads::Downloads;
use cki_inputs::fetch::Fetcher;
use cki_inputs::fetch::download::{Download, Policy};
use cki_inputs::shown::Shown;
use cki_process::cancel::Cancel;
use cki_process::progress::Step;
use sha2::{Digest, Sha256};

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Answers as it should, also to a range.
    Serve,
    /// Promises all, sends so many bytes and closes the connection.
    Cut(usize),
    /// Sends so many bytes and then nothing more, without closing.
    Stall(usize),
    /// Sends everything, whatever range was asked for.
    IgnoreRange,
    /// Promises all, and sends a byte a second.
    Drip,
    /// Answers with this status and no contents.
    Status(u16),
}

#[derive(Default)]
struct Route {
    body: Vec<u8>,
    next: VecDeque<Behaviour>,
    always: Option<Behaviour>,
}

/// The server. It listens until the test ends.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    routes: Arc<Mutex<BTreeMap<String, Route>>>,
    requests: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    /// What it says of the time, as HTTP writes dates.
    date: Arc<Mutex<Option<String>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            routes: Arc::default(),
            requests: Arc::default(),
            sent: Arc::default(),
            closing: Arc::default(),
            date: Arc::default(),
        };
        let shared = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = shared.clone();
                thread::spawn(move || server.answer(stream.unwrap()));
            }
        });
        server
    }

    /// Serves `body` at `path`.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        let route = Route {
            body: body.into(),
            ..Route::default()
        };
        self.routes.lock().unwrap().insert(path.into(), route);
    }

    pub fn remove(&self, path: &str) {
        self.routes.lock().unwrap().remove(path);
    }

    /// Behaves like this at the next requests for `path`, one after the other.
    pub fn next(&self, path: &str, behaviours: &[Behaviour]) {
        self.routes
            .lock()
            .unwrap()
            .get_mut(path)
            .unwrap()
            .next
            .extend(behaviours);
    }

    /// Behaves like this at all further requests for `path`.
    pub fn always(&self, path: &str, behaviour: Behaviour) {
        self.routes.lock().unwrap().get_mut(path).unwrap().always = Some(behaviour);
    }

    /// Has this for its clock from now on.
    pub fn tell_date(&self, date: &str) {
        *self.date.lock().unwrap() = Some(date.into());
    }

    /// Ends all stalled connections.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Bytes of contents that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Paths that were asked for, with the beginning of the range.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let head = first.starts_with("HEAD ");
        let mut from = 0_usize;
        for line in lines.take_while(|l| !l.is_empty()) {
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.trim_end_matches('-').parse().unwrap();
            }
        }
        let label = if head {
            format!("HEAD {path}")
        } else if from == 0 {
            path.clone()
        } else {
            format!("{path} from {from}")
        };
        self.requests.lock().unwrap().push(label);
        let (body, behaviour) = match self.routes.lock().unwrap().get_mut(&path) {
            Some(route) if head => (route.body.clone(), Behaviour::Cut(0)),
            Some(route) => {
                let behaviour = route
                    .next
                    .pop_front()
                    .or(route.always)
                    .unwrap_or(Behaviour::Serve);
                (route.body.clone(), behaviour)
            }
            None => (Vec::new(), Behaviour::Status(404)),
        };
        // The other side may hang up at any time; that is not the server's failure.
        let _ = self.send(&mut stream, &body, from, behaviour);
    }

    fn send(
        &self,
        stream: &mut TcpStream,
        body: &[u8],
        from: usize,
        behaviour: Behaviour,
    ) -> std::io::Result<()> {
        if let Behaviour::Status(status) = behaviour {
            return write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        let from = if matches!(behaviour, Behaviour::IgnoreRange) {
            0
        } else {
            from
        };
        if from > 0 && from >= body.len() {
            return write!(
                stream,
                "HTTP/1.1 416 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        let rest = &body[from..];
        let date = self.date.lock().unwrap().clone();
        let date = date.map_or_else(String::new, |date| format!("Date: {date}\r\n"));
        let head = if from > 0 {
            format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
                body.len() - 1,
                body.len()
            )
        } else {
            "200 OK".into()
        };
        write!(
            stream,
            "HTTP/1.1 {head}\r\nContent-Length: {}\r\n{date}Connection: close\r\n\r\n",
            rest.len()
        )?;
        let count = match behaviour {
            Behaviour::Cut(count) | Behaviour::Stall(count) => count.min(rest.len()),
            _ => rest.len(),
        };
        if matches!(behaviour, Behaviour::Drip) {
            for byte in rest {
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_secs(1));
            }
        }
        stream.write_all(&rest[..count])?;
        stream.flush()?;
        self.sent.fetch_add(count as u64, Ordering::SeqCst);
        while matches!(behaviour, Behaviour::Stall(_)) && !self.closing.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Files of a release that was signed with a key made for these tests; tests/fixtures/signed/make says how.
pub fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/signed")
        .join(name)
}

/// Bytes that look random but are the same each time.
pub fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut block = [seed; 32];
    let mut bytes = Vec::new();
    while bytes.len() < length {
        block = Sha256::digest(block).into();
        bytes.extend(block);
    }
    bytes.truncate(length);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The download of `body` from `path` on each of the servers.
pub fn download(name: &str, servers: &[&Server], body: &[u8]) -> Download {
    Download {
        name: name.into(),
        urls: servers
            .iter()
            .map(|s| format!("{}/{name}", s.url))
            .collect(),
        sha256: sha256(body),
        size: body.len() as u64,
        snapshot: Some("20260711T101637Z".into()),
    }
}

/// Short pauses, so that tests of failures do not take long.
pub fn policy() -> Policy {
    Policy {
        parallel: 4,
        retries: 2,
        backoff: Duration::from_millis(10),
        patience: Duration::from_secs(20),
        whole: None,
    }
}

/// Keeps the lines that are shown.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What is shown goes here.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::new(Shown::new(Step::to(self.clone())))
    }

    /// The lines so far, without who says them.
    pub fn all(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone())
            .unwrap()
            .lines()
            .map(|line| line.trim_start_matches("cki-build: ").to_owned())
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A cache in `dir` and a fetcher for it.
pub fn fetcher(dir: &Path) -> (Downloads, Fetcher, Cancel) {
    let cache = Downloads::open(dir).unwrap();
    let cancel = Cancel::new();
    let fetcher = Fetcher::new(
        cache.clone(),
        Lines::default().shown(),
        cancel.clone(),
        policy(),
        Proxies::default,
    );
    (cache, fetcher, cancel)
}

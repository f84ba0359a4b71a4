// SPDX-License-Identifier: MIT OR Apache-2.0

//! A server for the tests: it keeps keys and values as the real ones do, or does something wrong.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::protocol::Protocol;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Values that were not stored.
    OtherValue,
    /// A refusal for whatever is asked.
    Refuses,
    /// A line that is no reply.
    Chatters,
    /// Nothing.
    Sleeps,
    /// Nothing, and no connection any more.
    Closes,
}

type Store = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// It ends when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(protocol: Protocol, fault: Option<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let store = Store::default();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let store = Arc::clone(&store);
                let stream = stream.expect("a connection");
                // It ends with its connection.
                thread::spawn(move || serve(stream, protocol, fault, &store));
            }
        });
        Self {
            address,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_some_and(|ended| ended.is_ok()) || thread::panicking());
    }
}

/// What is asked: to get, or to store this.
type Request = (String, Option<Vec<u8>>);

fn serve(
    stream: TcpStream,
    protocol: Protocol,
    fault: Option<Fault>,
    store: &Store,
) -> io::Result<()> {
    let mut from = BufReader::new(stream.try_clone()?);
    let mut to = stream;
    while let Some((key, value)) = match protocol {
        Protocol::Redis => redis(&mut from)?,
        Protocol::Memcached => memcached(&mut from)?,
    } {
        let mut store = store.lock().expect("no thread panicked");
        let reply = match (fault, value) {
            (Some(Fault::Closes), _) => return Ok(()),
            (Some(Fault::Sleeps), _) => continue,
            (Some(Fault::Chatters), _) => b"good morning\r\n".to_vec(),
            (Some(Fault::Refuses), _) => match protocol {
                Protocol::Redis => b"-ERR no\r\n".to_vec(),
                Protocol::Memcached => b"SERVER_ERROR no\r\n".to_vec(),
            },
            (fault, Some(mut value)) => {
                if fault == Some(Fault::OtherValue) {
                    value[0] ^= 1;
                }
                store.insert(key, value);
                match protocol {
                    Protocol::Redis => b"+OK\r\n".to_vec(),
                    Protocol::Memcached => b"STORED\r\n".to_vec(),
                }
            }
            (_, None) => found(protocol, &key, store.get(&key)),
        };
        drop(store);
        to.write_all(&reply)?;
    }
    Ok(())
}

fn found(protocol: Protocol, key: &str, value: Option<&Vec<u8>>) -> Vec<u8> {
    match (protocol, value) {
        (Protocol::Redis, None) => b"$-1\r\n".to_vec(),
        (Protocol::Redis, Some(value)) => {
            [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
        }
        (Protocol::Memcached, None) => b"END\r\n".to_vec(),
        (Protocol::Memcached, Some(value)) => {
            let head = format!("VALUE {key} 0 {}\r\n", value.len());
            [head.as_bytes(), value, b"\r\nEND\r\n"].concat()
        }
    }
}

fn line(from: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let bytes = from.read_line(&mut line)?;
    Ok((bytes > 0).then(|| line.trim_end().to_owned()))
}

fn data(from: &mut BufReader<TcpStream>, length: &str) -> io::Result<Vec<u8>> {
    let length: usize = length.parse().expect("a length");
    let mut data = vec![0; length + 2];
    from.read_exact(&mut data)?;
    data.truncate(length);
    Ok(data)
}

/// A list of strings, each with its length.
fn redis(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some(head) = line(from)? else {
        return Ok(None);
    };
    let count: usize = head
        .strip_prefix('*')
        .and_then(|n| n.parse().ok())
        .expect("a list");
    let mut words = Vec::new();
    for _ in 0..count {
        let length = line(from)?.expect("a length");
        words.push(data(from, length.strip_prefix('$').expect("a string"))?);
    }
    let text = |word: &[u8]| String::from_utf8(word.to_vec()).expect("text");
    match &words[..] {
        [set, key, value] if set == b"SET" => Ok(Some((text(key), Some(value.clone())))),
        [get, key] if get == b"GET" => Ok(Some((text(key), None))),
        other => panic!("{other:?}"),
    }
}

fn memcached(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some(head) = line(from)? else {
        return Ok(None);
    };
    match &head.split(' ').collect::<Vec<_>>()[..] {
        ["set", key, "0", "0", length] => Ok(Some(((*key).to_owned(), Some(data(from, length)?)))),
        ["get", key] => Ok(Some(((*key).to_owned(), None))),
        other => panic!("{other:?}"),
    }
}

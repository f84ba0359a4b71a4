// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two protocols: what is asked, and what is answered.
//!
//! Redis: RESP 2, as its documentation has it. memcached: the classic text protocol, `doc/protocol.txt` there.

use clap::ValueEnum;
use serde::Serialize;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// That of Redis
    Redis,
    /// That of memcached, as text
    Memcached,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The value was stored.
    Stored,
    /// It is this.
    Value(&'a [u8]),
    /// There is none.
    Missing,
    /// The server says no, in this line.
    Refused(&'a [u8]),
}

/// Bytes that no server sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Strange;

/// A reply with how many bytes it has, or none yet.
pub type Read<'a> = Result<Option<(Reply<'a>, usize)>, Strange>;

/// A line without its end is not longer than this.
const LINE: usize = 1_024;
const END: &[u8] = b"\r\n";

impl Protocol {
    /// Asks to store a value.
    pub fn set(self, to: &mut Vec<u8>, key: &str, value: &[u8]) {
        let length = value.len();
        let head = match self {
            Self::Redis => format!(
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${length}\r\n",
                key.len()
            ),
            Self::Memcached => format!("set {key} 0 0 {length}\r\n"),
        };
        to.extend(head.as_bytes());
        to.extend(value);
        to.extend(END);
    }

    /// Asks for a value.
    pub fn get(self, to: &mut Vec<u8>, key: &str) {
        let text = match self {
            Self::Redis => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
            Self::Memcached => format!("get {key}\r\n"),
        };
        to.extend(text.as_bytes());
    }

    /// The first reply of `bytes`.
    ///
    /// # Errors
    ///
    /// If they are none of this protocol.
    pub fn reply(self, bytes: &[u8]) -> Read<'_> {
        let Some(line) = line(bytes)? else {
            return Ok(None);
        };
        let head = line.len() + END.len();
        let rest = &bytes[head..];
        let short = |reply| Ok(Some((reply, head)));
        match self {
            Self::Redis => {
                match line {
                    b"+OK" => short(Reply::Stored),
                    b"$-1" => short(Reply::Missing),
                    [b'-', ..] => short(Reply::Refused(line)),
                    [b'$', length @ ..] => Ok(data(rest, length)?
                        .map(|value| (Reply::Value(value), head + value.len() + 2))),
                    _ => Err(Strange),
                }
            }
            Self::Memcached => match line {
                b"STORED" => short(Reply::Stored),
                b"END" => short(Reply::Missing),
                _ if is_refusal(line) => short(Reply::Refused(line)),
                _ => {
                    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
                    let [b"VALUE", _, _, length] = words[..] else {
                        return Err(Strange);
                    };
                    let Some(value) = data(rest, length)? else {
                        return Ok(None);
                    };
                    let behind = &rest[value.len() + END.len()..];
                    let end = b"END\r\n";
                    if behind.len() < end.len() {
                        return Ok(None);
                    }
                    if !behind.starts_with(end) {
                        return Err(Strange);
                    }
                    let length = head + value.len() + END.len() + end.len();
                    Ok(Some((Reply::Value(value), length)))
                }
            },
        }
    }
}

/// What memcached answers to what it does not like, or cannot do.
fn is_refusal(line: &[u8]) -> bool {
    let starts = [
        &b"ERROR"[..],
        b"CLIENT_ERROR",
        b"SERVER_ERROR",
        b"NOT_STORED",
    ];
    starts.iter().any(|start| line.starts_with(start))
}

/// The first line without its end.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Strange> {
    let end = bytes
        .windows(END.len())
        .take(LINE)
        .position(|two| two == END);
    match end {
        Some(at) => Ok(Some(&bytes[..at])),
        None if bytes.len() > LINE => Err(Strange),
        None => Ok(None),
    }
}

/// As many bytes as `length` says in digits, when they and the end of their line are there.
fn data<'a>(bytes: &'a [u8], length: &[u8]) -> Result<Option<&'a [u8]>, Strange> {
    let length = std::str::from_utf8(length).map_err(|_| Strange)?;
    let length: u32 = length.parse().map_err(|_| Strange)?;
    let length = length as usize;
    match bytes.get(length..length + END.len()) {
        None => Ok(None),
        Some(end) if end == END => Ok(Some(&bytes[..length])),
        Some(_) => Err(Strange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(ask: impl Fn(&mut Vec<u8>)) -> String {
        let mut bytes = Vec::new();
        ask(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn requests_are_as_the_protocols_have_them() {
        use Protocol::{Memcached, Redis};
        assert_eq!(
            asked(|to| Redis.set(to, "key", b"a\nb")),
            "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\na\nb\r\n"
        );
        assert_eq!(
            asked(|to| Redis.get(to, "key")),
            "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
        );
        assert_eq!(
            asked(|to| Memcached.set(to, "key", b"a\nb")),
            "set key 0 0 3\r\na\nb\r\n"
        );
        assert_eq!(asked(|to| Memcached.get(to, "key")), "get key\r\n");
    }

    /// Each beginning of a reply is none yet, and the whole with more behind it is that reply.
    fn read(protocol: Protocol, bytes: &[u8], expected: &Reply<'_>) {
        for end in 0..bytes.len() {
            assert_eq!(
                protocol.reply(&bytes[..end]),
                Ok(None),
                "{end} of {bytes:?}"
            );
        }
        let more = [bytes, b"+O"].concat();
        for all in [bytes, &more[..]] {
            let (reply, length) = protocol
                .reply(all)
                .expect("no strange bytes")
                .expect("whole");
            assert_eq!((&reply, length), (expected, bytes.len()));
        }
    }

    #[test]
    fn replies_of_redis_are_read_however_they_are_cut() {
        let redis = Protocol::Redis;
        read(redis, b"+OK\r\n", &Reply::Stored);
        read(redis, b"$-1\r\n", &Reply::Missing);
        read(redis, b"$5\r\na\r\nbc\r\n", &Reply::Value(b"a\r\nbc"));
        read(redis, b"$0\r\n\r\n", &Reply::Value(b""));
        read(
            redis,
            b"-OOM no memory\r\n",
            &Reply::Refused(b"-OOM no memory"),
        );
    }

    #[test]
    fn replies_of_memcached_are_read_however_they_are_cut() {
        let memcached = Protocol::Memcached;
        read(memcached, b"STORED\r\n", &Reply::Stored);
        read(memcached, b"END\r\n", &Reply::Missing);
        read(
            memcached,
            b"VALUE key 0 7\r\nEND\r\nab\r\nEND\r\n",
            &Reply::Value(b"END\r\nab"),
        );
        read(memcached, b"ERROR\r\n", &Reply::Refused(b"ERROR"));
        read(
            memcached,
            b"SERVER_ERROR out of memory\r\n",
            &Reply::Refused(b"SERVER_ERROR out of memory"),
        );
    }

    #[test]
    fn what_is_no_reply_is_noticed() {
        for bytes in [
            &b"hello\r\n"[..],
            b"$x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc\r\n",
            &[b'$'; 2_000],
        ] {
            assert_eq!(Protocol::Redis.reply(bytes), Err(Strange), "{bytes:?}");
        }
        for bytes in [
            &b"+OK\r\n"[..],
            b"VALUE key 0\r\n",
            b"VALUE key 0 1\r\nabc\r\n",
            b"VALUE key 0 1\r\na\r\nSTORED\r\n",
        ] {
            assert_eq!(Protocol::Memcached.reply(bytes), Err(Strange), "{bytes:?}");
        }
    }
}

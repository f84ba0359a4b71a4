// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asking an address whether it answers.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::name::shown;

/// What an answer may take, from looking up the name to the end of its first line.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said when it is over.
const LATE: &str = "it does not answer in time";

/// Time between two looks whether somebody asks for the end.
const TURN: Duration = Duration::from_millis(50);

/// An address without encryption: `http://MACHINE[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    authority: String,
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or(
            "expected http://MACHINE[:PORT][/PATH]; for anything else, have a command ask (--probe CMD)",
        )?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@' || c == '#';
        if authority.is_empty() || text.contains(odd) {
            return Err("expected http://MACHINE[:PORT][/PATH]".to_owned());
        }
        Ok(Self {
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl Url {
    /// Asks once, for at most `within`, and ten seconds, until `stop` says that it is to end.
    ///
    /// # Errors
    /// What came instead of 2xx or 3xx.
    pub fn ask(&self, within: Duration, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let until = Instant::now() + within.min(LIMIT);
        let (tell, answer) = mpsc::channel();
        let url = self.clone();
        // Looking up a name has no limit, and neither that nor a connection that is being made can be ended.
        thread::Builder::new()
            .spawn(move || tell.send(url.status(until)))
            .map_err(|error| error.to_string())?;
        let status = loop {
            match answer.recv_timeout(TURN) {
                Ok(status) => break status.map_err(|error| said_by(&error))?,
                Err(_) if stop() => return Err("interrupted".to_owned()),
                Err(_) if Instant::now() >= until => return Err(LATE.to_owned()),
                Err(_) => {}
            }
        };
        match status.split(' ').nth(1).and_then(|code| code.parse().ok()) {
            Some(200..=399) if status.starts_with("HTTP/") => Ok(()),
            _ => Err(format!("it answers {:?}", shown(&status))),
        }
    }

    /// The first line of the answer, if it has come by then.
    fn status(&self, until: Instant) -> io::Result<String> {
        let left = || {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                Err(io::Error::from(io::ErrorKind::TimedOut))
            } else {
                Ok(left)
            }
        };
        let has_port = self
            .authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { "" } else { ":80" };
        let mut last = io::Error::other("it has no address");
        let mut addresses = format!("{}{port}", self.authority).to_socket_addrs()?;
        while let Some(address) = addresses.next() {
            // One from which nothing comes leaves time for the others.
            let shares = u32::try_from(addresses.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            let share = left()? / shares;
            let mut stream = match TcpStream::connect_timeout(&address, share) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_write_timeout(Some(left()?))?;
            // At once: whoever answers the first piece may not read another.
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: cki-build\r\nConnection: close\r\n\r\n",
                self.path, self.authority
            );
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            let mut piece = [0; 512];
            while !answer.contains(&b'\n') && answer.len() < 4096 {
                stream.set_read_timeout(Some(left()?))?;
                match stream.read(&mut piece)? {
                    0 => break,
                    length => answer.extend_from_slice(&piece[..length]),
                }
            }
            let line = answer
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            return Ok(String::from_utf8_lossy(line).trim_end().to_owned());
        }
        Err(last)
    }
}

fn said_by(error: &io::Error) -> String {
    match error.kind() {
        // The time of a read or a write.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => LATE.to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is asked of an address that answers with this line.
    fn asked(line: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).expect("a request");
            stream.write_all(line.as_bytes()).expect("written");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let url: Url = format!("http://{address}/up?now=1").parse().expect("a URL");
        let answer = url.ask(LIMIT, &|| false);
        (answer, server.join().expect("it ends"))
    }

    #[test]
    fn only_an_answer_that_says_so_is_good() {
        let (answer, request) = asked("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(answer, Ok(()));
        assert!(
            request.starts_with("GET /up?now=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert_eq!(asked("HTTP/1.0 302 Found\r\n").0, Ok(()));
        for line in [
            "HTTP/1.1 503 Unavailable\r\n",
            "SSH-2.0-x 200\r\n",
            "",
            "HTTP/1.1 x\r\n",
        ] {
            assert!(asked(line).0.is_err(), "{line}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = nobody.local_addr().expect("an address");
        drop(nobody);
        let url: Url = format!("http://{address}").parse().expect("a URL");
        assert!(url.ask(LIMIT, &|| false).is_err());
    }

    /// An address at which somebody answers with a byte each 50 ms, of a line without end.
    fn dripping() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            while stream.write_all(b"H").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        format!("http://{address}/").parse().expect("a URL")
    }

    #[test]
    fn an_answer_has_one_time_for_all_of_it_and_is_not_waited_for_behind_the_end() {
        let start = Instant::now();
        let dripped = dripping().ask(Duration::from_millis(500), &|| false);
        let why = dripped.expect_err("it never ends");
        assert_eq!(why, LATE);
        assert!(start.elapsed() >= Duration::from_millis(500));
        assert!(start.elapsed() < LIMIT / 2);
        // The one that asks goes away, too, in its time.
        let late = dripping().status(Instant::now() + Duration::from_millis(300));
        assert_eq!(said_by(&late.expect_err("it never ends")), LATE);
        let start = Instant::now();
        let stop = || start.elapsed() >= Duration::from_millis(200);
        let stopped = dripping().ask(LIMIT, &stop);
        assert_eq!(stopped, Err("interrupted".to_owned()));
        assert!(start.elapsed() < LIMIT / 2);
        assert!(dripping().ask(Duration::ZERO, &|| false).is_err());
    }

    #[test]
    fn what_is_no_such_address_is_refused() {
        for text in [
            "https://a/",
            "a",
            "http://",
            "http:///x",
            "http://a b/",
            "http://u@a/",
            "http://a/\r\n",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}

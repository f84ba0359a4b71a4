// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asking an address whether it answers.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use super::name::shown;

/// What an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

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
    /// Asks once.
    ///
    /// # Errors
    /// What came instead of 2xx or 3xx.
    pub fn ask(&self) -> Result<(), String> {
        let status = self.status().map_err(|error| error.to_string())?;
        match status.split(' ').nth(1).and_then(|code| code.parse().ok()) {
            Some(200..=399) if status.starts_with("HTTP/") => Ok(()),
            _ => Err(format!("it answers {:?}", shown(&status))),
        }
    }

    /// The first line of the answer.
    fn status(&self) -> std::io::Result<String> {
        let has_port = self
            .authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { "" } else { ":80" };
        let mut last = std::io::Error::other("it has no address");
        for address in format!("{}{port}", self.authority).to_socket_addrs()? {
            let mut stream = match TcpStream::connect_timeout(&address, LIMIT) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            write!(
                stream,
                "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: cki-build\r\nConnection: close\r\n\r\n",
                self.path, self.authority
            )?;
            let mut answer = Vec::new();
            let mut piece = [0; 512];
            while !answer.contains(&b'\n') && answer.len() < 4096 {
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

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
        let answer = url.ask();
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
        assert!(url.ask().is_err());
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

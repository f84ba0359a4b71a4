// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a host is named.

use std::fmt;
use std::str::FromStr;

/// A host: `USER@MACHINE[:PORT]`. Without a user or a port, ssh has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshHost {
    /// As ssh takes it.
    pub destination: String,
    /// The port.
    pub port: Option<u16>,
}

impl FromStr for SshHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            "expected USER@MACHINE or USER@MACHINE:PORT; an IPv6 address with a port stands in brackets"
                .to_owned()
        };
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (machine, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((machine, ""))) => (machine, None),
            Some(Some((machine, port))) => {
                (machine, Some(port.strip_prefix(':').ok_or_else(form)?))
            }
            Some(None) => return Err(form()),
            None => match rest.split_once(':') {
                // Several colons are those of an address.
                Some((machine, port)) if !port.contains(':') => (machine, Some(port)),
                _ => (rest, None),
            },
        };
        let good = |word: &str| {
            !word.is_empty()
                && !word.starts_with('-')
                && !word.contains(|c: char| {
                    c.is_whitespace() || c.is_control() || "\"'`$\\;&<>|(){}@/".contains(c)
                })
        };
        if !good(machine) || !user.is_none_or(good) {
            return Err(form());
        }
        let port = port
            .map(|port| port.parse().ok().filter(|port| *port > 0).ok_or_else(form))
            .transpose()?;
        let destination =
            user.map_or_else(|| machine.to_owned(), |user| format!("{user}@{machine}"));
        Ok(Self { destination, port })
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.destination.rsplit_once('@')) {
            (Some(port), Some((user, machine))) if machine.contains(':') => {
                write!(f, "{user}@[{machine}]:{port}")
            }
            (Some(port), _) => write!(f, "{}:{port}", self.destination),
            (None, _) => f.write_str(&self.destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_user_a_machine_and_a_port() {
        for (text, destination, port) in [
            ("root@a.example", "root@a.example", None),
            ("root@a.example:2222", "root@a.example", Some(2222)),
            ("a", "a", None),
            ("root@::1", "root@::1", None),
            ("root@[::1]", "root@::1", None),
            ("root@[::1]:22", "root@::1", Some(22)),
        ] {
            let host: SshHost = text.parse().expect(text);
            assert_eq!((&*host.destination, host.port), (destination, port));
            assert_eq!(host.to_string().parse(), Ok(host));
        }
        for text in [
            "",
            "root@",
            "@a",
            "-oProxyCommand=x",
            "root@-a",
            "a:",
            "a:0",
            "a:70000",
            "a:b",
            "[::1",
            "a b",
            "a;b",
            "[a]b",
        ] {
            assert!(text.parse::<SshHost>().is_err(), "{text}");
        }
    }
}

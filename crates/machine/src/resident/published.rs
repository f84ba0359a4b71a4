// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ports of ours that lead into a machine that stays up, for as long as a lease.

use cki_session::Publish;
use serde_json::json;

use super::qmp::Qmp;
use crate::network::{listener, our_end, rule};

/// Ports that are published until this is dropped.
#[derive(Debug)]
pub(super) struct Published<'m> {
    monitor: &'m Qmp,
    ports: Vec<Publish>,
}

/// Has QEMU do what only its monitor for people has; it says nothing when it has done it.
fn tell(monitor: &Qmp, line: &str) -> Result<(), String> {
    let said = monitor.execute("human-monitor-command", &json!({"command-line": line}))?;
    match said.as_str().unwrap_or_default().trim() {
        "" => Ok(()),
        why => Err(why.to_owned()),
    }
}

impl<'m> Published<'m> {
    /// Publishes these, all or none.
    pub(super) fn new(monitor: &'m Qmp, ports: &[Publish]) -> Result<Self, String> {
        let mut published = Self {
            monitor,
            ports: Vec::new(),
        };
        for port in ports {
            tell(monitor, &format!("hostfwd_add net {}", rule(port)))
                .map_err(|why| format!("cannot publish the port {}: {why}", our_end(port)))?;
            published.ports.push(*port);
        }
        Ok(published)
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        for port in &self.ports {
            // QEMU says that it has done it, too.
            let _ = tell(
                self.monitor,
                &format!("hostfwd_remove net {}", listener(port)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn ports_are_published_all_or_none_and_not_for_longer() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let qemu = std::thread::spawn(move || {
            let lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut told = Vec::new();
            for line in lines.map_while(Result::ok).skip(1) {
                let command: serde_json::Value = serde_json::from_str(&line).unwrap();
                let line = command["arguments"]["command-line"].as_str().unwrap();
                let said = if line.contains(":81-") {
                    "in use\r\n"
                } else {
                    ""
                };
                told.push(line.to_owned());
                let answer = json!({"return": said, "id": command["id"]});
                theirs.write_all(format!("{answer}\n").as_bytes()).unwrap();
                if told.len() == 5 {
                    break;
                }
            }
            told
        });
        let monitor = Qmp::new(ours, |_, _| {}).unwrap();
        let ports = ["127.0.0.1:80:80", "81:8080/udp"].map(|text| text.parse().unwrap());
        drop(Published::new(&monitor, &ports[..1]).unwrap());
        let why = Published::new(&monitor, &ports).unwrap_err();
        assert_eq!(why, "cannot publish the port 81/udp: in use");
        assert_eq!(
            qemu.join().unwrap(),
            [
                "hostfwd_add net tcp:127.0.0.1:80-10.0.2.15:80",
                "hostfwd_remove net tcp:127.0.0.1:80",
                "hostfwd_add net tcp:127.0.0.1:80-10.0.2.15:80",
                "hostfwd_add net udp::81-10.0.2.15:8080",
                "hostfwd_remove net tcp:127.0.0.1:80",
            ]
        );
    }
}

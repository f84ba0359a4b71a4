// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ports of ours that lead into a machine that stays up, for as long as a lease.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cki_session::{Protocol, Publish};
use serde_json::json;

use super::qmp::Qmp;
use crate::network::{listener, our_end, rule};

/// The ports of the machine that lead to its containers now.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<Vec<(Protocol, u16)>>);

/// Ports that are published until this is dropped.
#[derive(Debug)]
pub(super) struct Published<'m> {
    monitor: &'m Qmp,
    ports: Vec<Publish>,
    claims: &'m Claims,
    claimed: Vec<(Protocol, u16)>,
}

/// Has QEMU do what only its monitor for people has; it says nothing when it has done it.
fn tell(monitor: &Qmp, line: &str) -> Result<(), String> {
    let said = monitor.execute("human-monitor-command", &json!({"command-line": line}))?;
    match said.as_str().unwrap_or_default().trim() {
        "" => Ok(()),
        why => Err(why.to_owned()),
    }
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Vec<(Protocol, u16)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the machine's ports behind these, all or none; they may be others of ours, on other addresses.
    fn claim(&self, ports: &[Publish]) -> Result<Vec<(Protocol, u16)>, String> {
        let mut claims = self.lock();
        let of = |port: &Publish| (port.protocol, port.container);
        if let Some(port) = ports.iter().find(|port| claims.contains(&of(port))) {
            return Err(format!(
                "cannot publish the port {}: another container there has one of this number",
                port.host
            ));
        }
        let claimed: Vec<_> = ports.iter().map(of).collect();
        claims.extend(&claimed);
        Ok(claimed)
    }
}

impl<'m> Published<'m> {
    /// Publishes these, all or none.
    pub(super) fn new(
        monitor: &'m Qmp,
        claims: &'m Claims,
        ports: &[Publish],
    ) -> Result<Self, String> {
        let mut published = Self {
            monitor,
            ports: Vec::new(),
            claimed: claims.claim(ports)?,
            claims,
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
        let claimed = &self.claimed;
        self.claims.lock().retain(|claim| !claimed.contains(claim));
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
        let claims = Claims::default();
        drop(Published::new(&monitor, &claims, &ports[..1]).unwrap());
        let why = Published::new(&monitor, &claims, &ports).unwrap_err();
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

    #[test]
    fn a_port_of_the_machine_leads_to_one_container() {
        let port = |text: &str| [text.parse::<Publish>().unwrap()];
        let claims = Claims::default();
        let first = claims.claim(&port("127.0.0.1:8080:8080")).unwrap();
        let why = claims.claim(&port("127.0.0.2:8080:8080")).unwrap_err();
        assert!(why.contains("8080"), "{why}");
        claims.claim(&port("127.0.0.2:8080:8080/udp")).unwrap();
        claims.lock().retain(|claim| !first.contains(claim));
        claims.claim(&port("127.0.0.2:8080:8080")).unwrap();
    }
}

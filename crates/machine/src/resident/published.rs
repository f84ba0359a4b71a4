// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ports of ours that lead into a machine that stays up, for as long as a lease.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cki_session::{Protocol, Publish};
use serde_json::json;

use super::qmp::Qmp;
use crate::ipv6::{Relay, hop, is_for_qemu, reached_at, same_way};
use crate::network::{door, listener, our_end, rule};

/// Hops that are tried: somebody may take one before QEMU has it.
const HOPS: usize = 5;

/// The ports of the machine that lead to its containers now.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<Vec<(Protocol, u16)>>);

/// Ports that are published until this is dropped.
#[derive(Debug)]
pub(super) struct Published<'m> {
    monitor: &'m Qmp,
    /// Those that QEMU has.
    ports: Vec<Publish>,
    /// What they have on IPv6.
    relay: Relay,
    claims: &'m Claims,
    claimed: Vec<(Protocol, u16)>,
}

/// Has QEMU do what only its monitor for people has; what it says then, which is nothing when it has published a port.
fn tell(monitor: &Qmp, line: &str) -> Result<String, String> {
    let said = monitor.execute("human-monitor-command", &json!({"command-line": line}))?;
    Ok(said.as_str().unwrap_or_default().trim().to_owned())
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

fn cannot(port: &Publish, why: &str) -> String {
    format!("cannot publish the port {}: {why}", our_end(port))
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
            relay: Relay::default(),
            claimed: claims.claim(ports)?,
            claims,
        };
        let opened: Result<Vec<_>, _> = ports.iter().map(door).collect();
        let doors = opened.map_err(|error| error.to_string())?;
        for port in ports.iter().filter(|port| is_for_qemu(port)) {
            let added = published.add(port).and_then(|added| added);
            added.map_err(|why| cannot(port, &why))?;
        }
        let mut ways = Vec::new();
        for (port, door) in ports.iter().zip(doors) {
            let Some(door) = door else { continue };
            if same_way(port, &published.ports).is_none() {
                let added = published.add_hop(port, ports);
                added.map_err(|why| cannot(port, &why))?;
            }
            let way = same_way(port, &published.ports);
            ways.extend(way.map(|way| (door, reached_at(way))));
        }
        published.relay =
            Relay::start(ways).map_err(|error| format!("cannot publish ports on IPv6: {error}"))?;
        Ok(published)
    }

    /// Has QEMU publish a port. The inner error is why it does not, the outer one that it does not answer.
    fn add(&mut self, port: &Publish) -> Result<Result<(), String>, String> {
        let said = tell(self.monitor, &format!("hostfwd_add net {}", rule(port)))?;
        if !said.is_empty() {
            return Ok(Err(said));
        }
        self.ports.push(*port);
        Ok(Ok(()))
    }

    /// Has QEMU publish a hop for a port, which has another number than all of `others`.
    fn add_hop(&mut self, port: &Publish, others: &[Publish]) -> Result<(), String> {
        let mut tries = 0;
        loop {
            let hop = hop(port, others).map_err(|error| error.to_string())?;
            let added = self.add(&hop)?;
            tries += 1;
            if added.is_ok() || tries == HOPS {
                return added;
            }
        }
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        // Nobody is relayed to a hop that is another's.
        self.relay.stop();
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
    use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
    use std::net::{Ipv6Addr, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread::JoinHandle;

    use super::*;

    /// QEMU's monitor. It says to each line what `says` does, and in the end which they were.
    fn qemu(
        mut says: impl FnMut(&str) -> &'static str + Send + 'static,
    ) -> (Qmp, JoinHandle<Vec<String>>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let qemu = std::thread::spawn(move || {
            let lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut told = Vec::new();
            for line in lines.map_while(Result::ok).skip(1) {
                let command: serde_json::Value = serde_json::from_str(&line).unwrap();
                let Some(line) = command["arguments"]["command-line"].as_str() else {
                    break;
                };
                told.push(line.to_owned());
                let answer = json!({"return": says(line), "id": command["id"]});
                theirs.write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
            told
        });
        (Qmp::new(ours, |_, _| {}).unwrap(), qemu)
    }

    /// What it was told, up to now.
    fn told(monitor: &Qmp, qemu: JoinHandle<Vec<String>>) -> Vec<String> {
        let _ = monitor.execute("quit", &json!({}));
        qemu.join().unwrap()
    }

    #[test]
    fn ports_are_published_all_or_none_and_not_for_longer() {
        let (monitor, qemu) = qemu(|line| match line.contains(":81-") {
            true => "in use\r\n",
            false => "",
        });
        let ports = ["127.0.0.1:80:80", "127.0.0.1:81:8080/udp"].map(|text| text.parse().unwrap());
        let claims = Claims::default();
        drop(Published::new(&monitor, &claims, &ports[..1]).unwrap());
        let why = Published::new(&monitor, &claims, &ports).unwrap_err();
        assert_eq!(why, "cannot publish the port 127.0.0.1:81/udp: in use");
        assert_eq!(
            told(&monitor, qemu),
            [
                "hostfwd_add net tcp:127.0.0.1:80-10.0.2.15:80",
                "hostfwd_remove net tcp:127.0.0.1:80",
                "hostfwd_add net tcp:127.0.0.1:80-10.0.2.15:80",
                "hostfwd_add net udp:127.0.0.1:81-10.0.2.15:8080",
                "hostfwd_remove net tcp:127.0.0.1:80",
            ]
        );
    }

    #[test]
    fn a_port_on_ipv6_is_relayed_for_as_long_as_the_lease_by_a_hop_that_nobody_has_taken() {
        let local = |port| (Ipv6Addr::LOCALHOST, port);
        let free = TcpListener::bind(local(0)).expect("this test needs IPv6: ::1");
        let port = free.local_addr().unwrap().port();
        let publish = [format!("[::1]:{port}:80").parse::<Publish>().unwrap()];
        let claims = Claims::default();
        // Somebody takes the first two hops; at the third, QEMU listens.
        let (sender, listeners) = std::sync::mpsc::channel();
        let mut tries = 0;
        let (monitor, qemu) = qemu(move |line| {
            if let Some(hop) = line.strip_prefix("hostfwd_add net tcp:") {
                tries += 1;
                if tries < 3 {
                    return "could not set up";
                }
                let (hop, _) = hop.split_once('-').unwrap();
                sender.send(TcpListener::bind(hop).unwrap()).unwrap();
            }
            ""
        });
        let why = Published::new(&monitor, &claims, &publish).unwrap_err();
        let named = format!("cannot publish the port [::1]:{port}/tcp: ");
        assert!(why.starts_with(&named), "{why}");
        assert!(why.contains("another program listens there"), "{why}");
        drop(free);
        let published = Published::new(&monitor, &claims, &publish).unwrap();
        let mut client = TcpStream::connect(local(port)).unwrap();
        let (mut server, _) = listeners.recv().unwrap().accept().unwrap();
        server.write_all(b"here").unwrap();
        let mut word = [0; 4];
        client.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"here");
        // The machine's port is taken, whichever of ours leads there.
        let other = ["127.0.0.1:8080:80".parse().unwrap()];
        Published::new(&monitor, &claims, &other).unwrap_err();
        drop(published);
        assert_eq!(client.read(&mut word).unwrap(), 0);
        let refused = TcpStream::connect(local(port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let told = told(&monitor, qemu);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(
            told[3].replace("remove", "add"),
            told[2].split('-').next().unwrap()
        );
    }

    #[test]
    fn a_hop_is_not_tried_without_end() {
        let (monitor, qemu) = qemu(|_| "could not set up");
        let free = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("this test needs IPv6: ::1");
        let port = free.local_addr().unwrap().port();
        drop(free);
        let publish = [format!("[::1]:{port}:80").parse().unwrap()];
        let why = Published::new(&monitor, &Claims::default(), &publish).unwrap_err();
        assert!(why.ends_with("could not set up"), "{why}");
        assert_eq!(told(&monitor, qemu).len(), HOPS);
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

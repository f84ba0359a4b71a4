// SPDX-License-Identifier: MIT OR Apache-2.0

//! `kv-load`: asks a server that keeps keys and values, Redis or memcached, and says how long it takes to answer.
//!
//! One thread serves all connections. Each value is made from its key, so that each value that a server gives back can
//! be checked.

use std::net::SocketAddr;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

mod client;
mod counts;
mod error;
mod keys;
mod load;
mod protocol;
#[cfg(test)]
mod server;

use client::Client;
use counts::Counts;
pub use counts::Latency;
pub use error::Error;
pub use keys::Keys;
pub use load::{Load, SILENCE};
pub use protocol::Protocol;

/// What came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Values that were stored.
    pub sets: u64,
    /// Values that were asked for.
    pub gets: u64,
    /// Those of them that were there.
    pub hits: u64,
    /// How long it took, by the clock.
    pub seconds: f64,
    /// Replies in a second.
    pub per_second: f64,
    /// How long it took to store, in microseconds.
    pub set_latency: Latency,
    /// How long it took to get.
    pub get_latency: Latency,
    /// Of all keys in the order of each client, in hexadecimal digits: the same for a seed, unless time ended it.
    pub sum: String,
}

/// Asks the server at `to`, and checks what it answers.
///
/// # Errors
///
/// If a reply is wrong or there is none.
pub fn run(to: SocketAddr, load: &Load) -> Result<Report, Error> {
    let clients = (0..load.clients).map(|number| Client::connect(to, number, load.seed));
    let clients: Result<Vec<Client>, _> = clients.collect();
    let mut clients = clients.map_err(|error| Error::Connect(to, error))?;
    let mut counts = Counts::new();
    let begin = Instant::now();
    let mut heard = begin;
    // Once at least, however short the time is.
    let mut asks = true;
    loop {
        if asks {
            clients.iter_mut().for_each(|client| client.ask(load));
        }
        for client in &mut clients {
            client.send()?;
        }
        if !clients.iter().any(Client::waits) {
            break;
        }
        for at in ready(&clients)? {
            if clients[at].receive(load, &mut counts)? {
                heard = Instant::now();
            }
        }
        if heard.elapsed() > load.silence {
            return Err(Error::Silent(load.silence));
        }
        asks = load.time.is_none_or(|time| begin.elapsed() < time);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let mut sum = crate::sum::Sum::new();
    clients
        .iter()
        .for_each(|client| sum.add(client.sum.value()));
    Ok(Report {
        sets: counts.sets.len(),
        gets: counts.gets.len(),
        hits: counts.hits,
        seconds,
        per_second: rate(counts.all(), seconds),
        set_latency: Latency::of(&counts.sets),
        get_latency: Latency::of(&counts.gets),
        sum: format!("{:016x}", sum.value()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a count is far below 2^53")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Waits until something has come or can be sent, or a second is over; which clients have something to read.
fn ready(clients: &[Client]) -> Result<Vec<usize>, Error> {
    let flags = |client: &Client| match client.has_output() {
        true => PollFlags::IN | PollFlags::OUT,
        false => PollFlags::IN,
    };
    let poll_fd = |client| PollFd::new(Client::stream(client), flags(client));
    let mut descriptors: Vec<PollFd<'_>> = clients.iter().map(poll_fd).collect();
    let second = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    match poll(&mut descriptors, Some(&second)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(Error::Connection(error.into())),
    }
    let all = descriptors.iter().enumerate();
    // An end or an error is told by reading.
    let some = all.filter(|(_, one)| one.revents().intersects(!PollFlags::OUT));
    Ok(some.map(|(at, _)| at).collect())
}

#[cfg(test)]
mod tests {
    use super::server::{Fault, Server};
    use super::*;
    use crate::random::Random;
    use crate::stream;
    use crate::sum::Sum;
    use std::collections::HashSet;
    use std::time::Duration;

    const LOAD: Load = Load {
        protocol: Protocol::Redis,
        clients: 1,
        pipeline: 11,
        value_size: 500,
        keys: Keys {
            count: 200,
            deviation: 30.0,
        },
        seed: 1,
        requests: 500,
        time: None,
        silence: SILENCE,
    };

    /// What one client has to find: keys that it has stored before.
    fn naive(load: &Load) -> (u64, u64) {
        let mut random = Random::new(load.seed, stream::KV_LOAD << 32);
        let (mut stored, mut hits, mut keys) = (HashSet::new(), 0, Sum::new());
        for request in 0..load.requests {
            let key = load.keys.next(&mut random);
            keys.add(key);
            if request % 2 == 0 {
                stored.insert(key);
            } else {
                hits += u64::from(stored.contains(&key));
            }
        }
        let mut sum = Sum::new();
        sum.add(keys.value());
        (hits, sum.value())
    }

    #[test]
    fn a_client_finds_what_it_stored() {
        for protocol in [Protocol::Redis, Protocol::Memcached] {
            for pipeline in [1, 11, 1_000] {
                let load = Load {
                    protocol,
                    pipeline,
                    ..LOAD
                };
                let server = Server::start(protocol, None);
                let report = run(server.address, &load).expect("nothing is wrong");
                let (hits, sum) = naive(&load);
                assert_eq!((report.sets, report.gets, report.hits), (250, 250, hits));
                assert_eq!(report.sum, format!("{sum:016x}"));
                // Known for seed 1.
                assert_eq!(report.sum, "7f23ddf740963663");
                let latency = &report.get_latency;
                assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.max);
            }
        }
    }

    #[test]
    fn twelve_clients_have_keys_of_their_own_and_one_sum() {
        let server = Server::start(Protocol::Redis, None);
        let load = Load {
            clients: 12,
            ..LOAD
        };
        let one = run(server.address, &load).expect("nothing is wrong");
        let other = run(server.address, &load).expect("nothing is wrong");
        assert_eq!((one.sets, one.gets), (3_000, 3_000));
        assert_eq!(one.sum, other.sum);
        assert!(other.hits > one.hits, "all is stored before the second");
    }

    #[test]
    fn a_time_that_is_over_ends_it_with_all_replies() {
        let server = Server::start(Protocol::Memcached, None);
        let load = Load {
            protocol: Protocol::Memcached,
            requests: u64::MAX,
            time: Some(Duration::from_millis(50)),
            ..LOAD
        };
        let report = run(server.address, &load).expect("nothing is wrong");
        assert!(report.seconds >= 0.05);
        assert!(
            report.sets - report.gets <= 1 && report.gets > 0,
            "{report:?}"
        );
    }

    #[test]
    fn a_time_that_is_over_at_once_leaves_what_goes_at_once() {
        let server = Server::start(Protocol::Redis, None);
        let time = Some(Duration::ZERO);
        let report = run(server.address, &Load { time, ..LOAD }).expect("nothing is wrong");
        assert_eq!((report.sets, report.gets), (6, 5));
    }

    #[test]
    fn a_server_that_is_wrong_is_noticed() {
        for protocol in [Protocol::Redis, Protocol::Memcached] {
            let error = |fault| {
                let server = Server::start(protocol, Some(fault));
                run(server.address, &Load { protocol, ..LOAD }).expect_err("noticed")
            };
            assert!(matches!(error(Fault::OtherValue), Error::Value(_)));
            assert!(matches!(error(Fault::Refuses), Error::Refused(_)));
            assert!(matches!(error(Fault::Chatters), Error::Strange));
            let patient = Server::start(protocol, Some(Fault::Sleeps));
            let silence = Duration::from_millis(10);
            let load = Load {
                protocol,
                silence,
                ..LOAD
            };
            let error_of_silence = run(patient.address, &load).expect_err("noticed");
            assert!(matches!(error_of_silence, Error::Silent(_)));
            assert!(matches!(
                error(Fault::Closes),
                Error::Closed | Error::Connection(_)
            ));
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_told() {
        // A port that no server of this time has, nor one that a test is given.
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = run(address, &LOAD).expect_err("nobody listens");
        assert!(
            error
                .to_string()
                .starts_with("cannot connect to 127.0.0.1:"),
            "{error}"
        );
    }
}

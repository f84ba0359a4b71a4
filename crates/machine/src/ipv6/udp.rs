// SPDX-License-Identifier: MIT OR Apache-2.0

//! Datagrams of UDP, relayed from a socket for each client, by which its answers find it.
//! A client that asks several addresses of ours counts as several.
//!
//! What finds no room anywhere is lost, as datagrams may be.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::datagrams::{self, Ends};
use super::room::{Room, Share};

/// How long nothing is said before a client is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// Clients of a port at most; one more takes the place of the one that was silent for longest.
const MOST: usize = 256;
/// Bytes of a datagram at most.
const LARGEST: usize = 64 << 10;
/// Datagrams of one socket before others have their turn.
const BATCH: usize = 32;
/// After a datagram that could not be received.
const PAUSE: Duration = Duration::from_millis(100);

/// One client's way to the server.
#[derive(Debug)]
struct Client {
    socket: UdpSocket,
    /// When something was said last, by either side.
    last: Mutex<Instant>,
    _room: Room,
}

/// Relays each client by a socket of its own.
pub(super) async fn relay(socket: UdpSocket, to: SocketAddr, share: Share) {
    let mut clients = Clients {
        door: Arc::new(socket),
        to,
        share,
        known: HashMap::new(),
    };
    loop {
        let door = Arc::clone(&clients.door);
        let heard = match door.readable().await {
            Ok(()) => clients.hear(),
            Err(error) => Err(error),
        };
        if heard.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::task::yield_now().await;
    }
}

struct Clients {
    door: Arc<UdpSocket>,
    to: SocketAddr,
    share: Share,
    /// A client lives as long as the task that passes its answers on.
    known: HashMap<Ends, (Weak<Client>, AbortHandle)>,
}

impl Clients {
    /// Passes on what is there.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; LARGEST];
        for _ in 0..BATCH {
            let door = &self.door;
            let next = || datagrams::receive(door, &mut buffer);
            match door.try_io(Interest::READABLE, next) {
                Ok((count, ends)) => {
                    let client = self.find(&ends).or_else(|| self.welcome(ends));
                    if let Some(client) = client {
                        client.touch();
                        let _ = send(&client.socket, &buffer[..count], SendFlags::DONTWAIT);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn find(&self, ends: &Ends) -> Option<Arc<Client>> {
        self.known.get(ends)?.0.upgrade()
    }

    /// A client that was not there; none if there is no room for it.
    fn welcome(&mut self, ends: Ends) -> Option<Arc<Client>> {
        self.make_place();
        let room = self.share.one()?;
        let client = Arc::new(Client::new(self.to, room).ok()?);
        let answering = answer(Arc::clone(&client), Arc::clone(&self.door), ends);
        let task = tokio::spawn(answering).abort_handle();
        self.known.insert(ends, (Arc::downgrade(&client), task));
        Some(client)
    }

    /// Forgets those that have gone, if all places are taken, and one more if that is not enough.
    fn make_place(&mut self) {
        if self.known.len() < MOST {
            return;
        }
        self.known
            .retain(|_, (client, _)| client.strong_count() > 0);
        if self.known.len() < MOST {
            return;
        }
        let silent = |(client, _): &(Weak<Client>, _)| {
            client.upgrade().map_or(IDLE, |client| client.silent_for())
        };
        let longest = self.known.iter().max_by_key(|(_, known)| silent(known));
        if let Some(ends) = longest.map(|(ends, _)| *ends) {
            if let Some((_, task)) = self.known.remove(&ends) {
                task.abort();
            }
        }
    }
}

impl Client {
    /// To be made where the runtime is.
    fn new(to: SocketAddr, room: Room) -> io::Result<Self> {
        // From an address of this computer's to the same: where it has that address no more, nobody else's computer is
        // taken for the machine.
        let socket = std::net::UdpSocket::bind((to.ip(), 0))?;
        // Nobody else's datagrams come to it then.
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            last: Mutex::new(Instant::now()),
            _room: room,
        })
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silent_for(&self) -> Duration {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed()
    }

    /// Passes on the answers that are there.
    fn pass_on(&self, door: &UdpSocket, ends: &Ends) -> io::Result<()> {
        let mut buffer = [0; LARGEST];
        for _ in 0..BATCH {
            match self.socket.try_recv(&mut buffer) {
                Ok(count) => {
                    self.touch();
                    let _ = datagrams::answer(door, &buffer[..count], ends);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Passes answers on until nothing was said for a while, or nobody is there to answer; if the client says something
/// after that, it is a new one.
async fn answer(client: Arc<Client>, door: Arc<UdpSocket>, ends: Ends) {
    loop {
        let left = IDLE.saturating_sub(client.silent_for());
        if left.is_zero() {
            return;
        }
        match tokio::time::timeout(left, client.socket.readable()).await {
            Ok(Ok(())) if client.pass_on(&door, &ends).is_ok() => tokio::task::yield_now().await,
            // Something may have been asked meanwhile.
            Err(_) => {}
            Ok(_) => return,
        }
    }
}

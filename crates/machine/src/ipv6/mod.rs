// SPDX-License-Identifier: MIT OR Apache-2.0

//! Published ports on IPv6. QEMU publishes on IPv4 addresses only, so we listen on IPv6 ourselves, and relay to a
//! port on IPv4 that QEMU publishes.

mod datagrams;
mod doors;
mod hops;
mod room;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use room::Share;

pub(crate) use doors::Door;
pub(crate) use hops::{hop, is_for_qemu, reached_at, same_way};

/// Relays from doors until it is stopped or dropped. All connections end with it.
#[derive(Debug, Default)]
pub(crate) struct Relay(Mutex<Option<Running>>);

/// The thread of all relayed connections, which ends when the sender is dropped.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Relay {
    /// Relays what comes to each door to the address beside it.
    pub(crate) fn start(ways: Vec<(Door, SocketAddr)>) -> io::Result<Self> {
        if ways.is_empty() {
            return Ok(Self::default());
        }
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let inside = runtime.enter();
        let share = Share::new();
        for (door, to) in ways {
            let share = share.clone();
            match door {
                Door::Tcp(socket) => {
                    let listener = tokio::net::TcpListener::from_std(socket)?;
                    runtime.spawn(tcp::relay(listener, to, share));
                }
                Door::Udp(socket) => {
                    datagrams::prepare(&socket)?;
                    let socket = tokio::net::UdpSocket::from_std(socket)?;
                    runtime.spawn(udp::relay(socket, to, share));
                }
            }
        }
        drop(inside);
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            // A task that panics ends alone. With the runtime all tasks are dropped, and their sockets with them.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new()
            .name("ipv6".to_owned())
            .spawn(serve)?;
        Ok(Self(Mutex::new(Some(Running { stop, thread }))))
    }

    /// Stops, if nobody has yet. Nothing of it is left on return.
    pub(crate) fn stop(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running { stop, thread }) = running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Connections of TCP, relayed both ways.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt::set_socket_keepalive;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::room::Share;

/// Bytes that are on their way in one direction of a connection.
const PIECE: usize = 16 << 10;
/// After a client that could not be taken: there are too many files just now.
const PAUSE: Duration = Duration::from_millis(100);

/// Relays each client to a connection of its own.
pub(super) async fn relay(listener: TcpListener, to: SocketAddr, share: Share) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Others wait in the kernel meanwhile.
        let room = share.wait(2).await;
        tokio::spawn(async move {
            serve(client, to).await;
            drop(room);
        });
    }
}

/// Serves a client until both directions have ended. Where nobody listens, its connection is closed.
async fn serve(client: TcpStream, to: SocketAddr) {
    let Ok(server) = connect(to).await else {
        return;
    };
    for stream in [&client, &server] {
        // Pieces go on as they come.
        let _ = stream.set_nodelay(true);
    }
    // A client that has vanished is noticed, as late as that is by the kernel's settings (tcp(7)).
    let _ = set_socket_keepalive(&client, true);
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mut directions = JoinSet::new();
    directions.spawn(pass_on(from_client, to_server));
    directions.spawn(pass_on(from_server, to_client));
    // If one fails, the other ends with the set.
    while let Some(Ok(Ok(()))) = directions.join_next().await {}
}

/// A connection from an address of this computer's to the same: where it has that address no more, nobody else's
/// computer is taken for the machine.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((to.ip(), 0).into())?;
    socket.connect(to).await
}

/// Passes one direction on, and its end. Where the other side takes no more, this direction alone is over: what that
/// side had said before may still be on its way here, which is lost if both end, as with `copy_bidirectional`. An error
/// is that the connection is reset.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 || to.write_all(&piece[..count]).await.is_err() {
            // It fails where the other side has gone.
            let _ = to.shutdown().await;
            return Ok(());
        }
    }
}

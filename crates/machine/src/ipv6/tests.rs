// SPDX-License-Identifier: MIT OR Apache-2.0

//! Relaying between real sockets. They need a machine with IPv6, at least on its loopback interface.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use cki_session::Publish;

use super::*;

/// What any step may take on a busy machine.
const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

/// A port of `::1` that nobody has.
fn free() -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
        .expect("this test needs IPv6 on the loopback interface: ::1 cannot be listened on");
    listener.local_addr().unwrap().port()
}

/// A relay from `::1`, of either protocol, and where it listens.
fn relay(protocol: &str, to: SocketAddr) -> (Relay, SocketAddr) {
    let port = free();
    let publish: Publish = format!("[::1]:{port}:80/{protocol}").parse().unwrap();
    let door = Door::open(&publish).unwrap().unwrap();
    let relay = Relay::start(vec![(door, to)]).unwrap();
    (relay, (Ipv6Addr::LOCALHOST, port).into())
}

fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn client(at: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(at).unwrap();
    client.set_read_timeout(LIMIT).unwrap();
    client
}

fn accept(server: &TcpListener) -> TcpStream {
    let (stream, _) = server.accept().unwrap();
    stream.set_read_timeout(LIMIT).unwrap();
    stream
}

fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

fn datagrams(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(LIMIT).unwrap();
    socket
}

#[test]
fn bytes_go_both_ways_and_each_side_ends_its_half() {
    let (server, to) = server();
    let (_relay, at) = relay("tcp", to);
    let much: Vec<u8> = (0..1 << 20).map(|number: u32| (number / 7) as u8).collect();
    for client_is_first in [true, false] {
        let (ours, theirs) = (client(at), accept(&server));
        let (first, second) = match client_is_first {
            true => (&ours, &theirs),
            false => (&theirs, &ours),
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                (&*first).write_all(&much).unwrap();
                first.shutdown(Shutdown::Write).unwrap();
            });
            assert!(rest(second) == much);
        });
        // The other half is open still.
        (&*second).write_all(b"after the end").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(first), b"after the end");
    }
}

#[test]
fn what_a_server_said_before_it_refused_the_rest_arrives() {
    let (server, to) = server();
    let (_relay, at) = relay("tcp", to);
    let (ours, theirs) = (client(at), accept(&server));
    theirs.shutdown(Shutdown::Read).unwrap();
    (&theirs).write_all(b"no").unwrap();
    let mut heard = [0; 2];
    (&ours).read_exact(&mut heard).unwrap();
    drop(theirs);
    assert_eq!((&heard, &rest(&ours)[..]), (b"no", &b""[..]));
}

#[test]
fn a_reset_ends_the_connection_on_the_other_side() {
    let (server, to) = server();
    let (_relay, at) = relay("tcp", to);
    let (ours, theirs) = (client(at), accept(&server));
    (&theirs).write_all(b"unread").unwrap();
    ours.peek(&mut [0]).unwrap();
    // With something unread, this is a reset.
    drop(ours);
    assert_eq!(rest(&theirs), b"");
}

#[test]
fn a_client_is_hung_up_on_where_nobody_listens() {
    let (server, to) = server();
    drop(server);
    let (_relay, at) = relay("tcp", to);
    assert_eq!(rest(&client(at)), b"");
}

#[test]
fn two_hundred_connections_are_relayed_at_once() {
    let (server, to) = server();
    let (_relay, at) = relay("tcp", to);
    let clients: Vec<_> = (0..200).map(|_| client(at)).collect();
    let mut served: Vec<_> = clients.iter().map(|_| accept(&server)).collect();
    for (number, mut client) in clients.iter().enumerate() {
        client.write_all(&(number as u32).to_be_bytes()).unwrap();
    }
    for stream in &mut served {
        let mut word = [0; 4];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
    }
    for (number, mut client) in clients.iter().enumerate() {
        let mut word = [0; 4];
        client.read_exact(&mut word).unwrap();
        assert_eq!(u32::from_be_bytes(word), number as u32);
    }
}

#[test]
fn answers_of_udp_return_to_the_client_that_asked() {
    let server = datagrams("127.0.0.1:0");
    let (_relay, at) = relay("udp", server.local_addr().unwrap());
    let clients: Vec<_> = (0..20).map(|_| datagrams("[::1]:0")).collect();
    let mut asked = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], at).unwrap();
        let mut word = [0; 9];
        let (count, whence) = server.recv_from(&mut word).unwrap();
        assert_eq!(word[..count], [number as u8]);
        asked.push(whence);
    }
    // In another order than they have asked in, and more than one.
    let large = vec![7; 20_000];
    for (number, whence) in asked.iter().enumerate().rev() {
        server.send_to(&[number as u8, 1], whence).unwrap();
        server.send_to(&large, whence).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let mut word = vec![0; 65536];
        let (count, whence) = client.recv_from(&mut word).unwrap();
        assert_eq!((&word[..count], whence), (&[number as u8, 1][..], at));
        let (count, _) = client.recv_from(&mut word).unwrap();
        assert!(word[..count] == large);
    }
    // Whoever asks again is the same to the server.
    clients[3].send_to(b"again", at).unwrap();
    let (_, whence) = server.recv_from(&mut [0; 9]).unwrap();
    assert_eq!(whence, asked[3]);
}

#[test]
fn more_udp_clients_than_there_are_places_have_the_place_of_the_most_silent() {
    let server = datagrams("127.0.0.1:0");
    let (_relay, at) = relay("udp", server.local_addr().unwrap());
    let mut whence = Vec::new();
    let clients: Vec<_> = (0..300).map(|_| datagrams("[::1]:0")).collect();
    for client in &clients {
        client.send_to(b"first", at).unwrap();
        whence.push(server.recv_from(&mut [0; 9]).unwrap().1);
    }
    let last = clients.last().unwrap();
    last.send_to(b"again", at).unwrap();
    assert_eq!(server.recv_from(&mut [0; 9]).unwrap().1, whence[299]);
    clients[0].send_to(b"again", at).unwrap();
    let (_, anew) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"answer", anew).unwrap();
    assert_eq!(clients[0].recv_from(&mut [0; 9]).unwrap(), (6, at));
}

#[test]
fn nothing_is_left_of_a_relay_that_is_dropped() {
    let (server, to) = server();
    let (relay, at) = relay("tcp", to);
    let (ours, theirs) = (client(at), accept(&server));
    drop(relay);
    // Both connections have ended, and the port is free.
    for stream in [&ours, &theirs] {
        match (&*stream).read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
    let refused = TcpStream::connect(at).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(at).unwrap();
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Conversations over a published port: either side speaks first, either ends its half first, much is said each way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use cki_tests::{RUNTIMES, long, machine, our_address, variable};

/// Bytes of a large transfer.
const MUCH: usize = 1 << 20;
/// What any step may take on a busy machine.
const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

/// Serves four clients, one after another.
const SERVER: &str = r#"
    use IO::Socket::INET;
    $| = 1; $/ = undef;
    my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 5) or die $!;
    my $much = $ARGV[0];
    sub client { my $client = $server->accept or die $!; binmode $client; $client->autoflush; $client }
    print "up\n";
    # It speaks, and closes.
    { my $c = client; print $c "first\n"; }
    # It speaks, hears all until the client has ended its half, and repeats it.
    { my $c = client; print $c "first\n"; my $heard = <$c>; print $c $heard; }
    # It says much, ends its half, and hears what the client says after that.
    { my $c = client; print $c "y" x $much; shutdown $c, 1; print scalar(<$c>), "\n"; }
    # The client speaks first.
    { my $c = client; local $/ = "\n"; my $line = <$c>; print $c "heard $line"; }
    print "done\n";
"#;

/// Repeats what it hears, over TCP once for each client, then over UDP until it is told to stop.
const ECHO: &str = r#"
    use IO::Socket::INET; use IO::Select;
    $| = 1;
    my $tcp = IO::Socket::INET->new(LocalPort => 80, Listen => 5) or die $!;
    my @udp = map { IO::Socket::INET->new(LocalPort => $_, Proto => "udp") or die $! } 53, 54;
    print "up\n";
    for (1 .. $ARGV[0]) { my $c = $tcp->accept or die $!; local $/; print $c "heard ", scalar <$c>; }
    print "udp\n";
    my ($select, $word) = (IO::Select->new(@udp), "");
    while ($word ne "stop") {
        for my $udp ($select->can_read) { $udp->recv($word, 100); $udp->send("heard $word"); }
    }
    print "done\n";
"#;

/// A server in a program, and our port that leads there.
struct Server {
    program: Child,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn port() -> u16 {
        // On both families, which is what the standard library means by this address.
        let free = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port, and IPv6 here");
        free.local_addr().expect("an address").port()
    }

    fn start(runtime: &str) -> Self {
        let much = MUCH.to_string();
        Self::of(runtime, 80, &[], &["perl", "-e", SERVER, &much])
    }

    /// The server that `command` is, at port `there`.
    fn of(runtime: &str, there: u16, options: &[&str], command: &[&str]) -> Self {
        let port = Self::port();
        let publish = format!("127.0.0.1:{port}:{there}");
        // The shell's user has room for few descriptors, and may have more.
        let mut program = Command::new("sh")
            .args(["-c", "ulimit -S -n 100 && exec \"$0\" \"$@\""])
            .arg(variable("CKI_BUILD"))
            .args(["-q", "run", "--runtime", runtime, "--publish", &publish])
            .args(options)
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cki-build is started");
        let stdout = BufReader::new(program.stdout.take().expect("piped"));
        Self {
            program,
            stdout,
            port,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it is text");
        line
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        client.set_read_timeout(LIMIT).expect("it can be set");
        client.set_write_timeout(LIMIT).expect("it can be set");
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, but where the test has failed.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What no shift and no piece of which is like another.
fn much() -> Vec<u8> {
    let numbers =
        (0..MUCH as u32 / 4).flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    numbers.collect()
}

fn rest(mut client: &TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    client
        .read_to_end(&mut heard)
        .expect("it is heard until its end");
    heard
}

/// Too many bytes to show: the first that differs, and how many there are.
fn same(heard: &[u8], said: &[u8], runtime: &str) {
    let alike = heard
        .iter()
        .zip(said)
        .take_while(|(heard, said)| heard == said);
    assert_eq!(
        (alike.count(), heard.len()),
        (said.len(), said.len()),
        "{runtime}: bytes alike, and all"
    );
}

#[test]
fn either_side_speaks_first_and_ends_its_half_first() {
    for runtime in RUNTIMES {
        let mut server = Server::start(runtime);
        assert_eq!(server.line(), "up\n", "{runtime}");
        assert_eq!(rest(&server.client()), b"first\n", "{runtime}");

        let mut client = server.client();
        let mut greeting = [0; 6];
        client.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(&greeting, b"first\n", "{runtime}");
        let said = much();
        client.write_all(&said).expect("it is sent");
        client.shutdown(Shutdown::Write).expect("our half ends");
        same(&rest(&client), &said, runtime);

        let mut client = server.client();
        same(&rest(&client), &vec![b'y'; MUCH], runtime);
        client.write_all(b"after the end").expect("it is sent");
        drop(client);
        assert_eq!(server.line(), "after the end\n", "{runtime}");

        let mut client = server.client();
        client.write_all(b"us\n").expect("it is sent");
        assert_eq!(rest(&client), b"heard us\n", "{runtime}");
        assert_eq!(server.line(), "done\n", "{runtime}");
        assert!(server.program.wait().expect("it ends").success());
    }
}

#[test]
fn a_program_is_reached_on_ipv6_and_without_an_address_on_both_families() {
    let (v4, v6) = (
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    );
    for runtime in RUNTIMES {
        let (on_v6, on_all) = (Server::port(), Server::port());
        let publish = [
            format!("[::1]:{on_v6}:80"),
            format!("{on_all}:80"),
            format!("[::1]:{on_v6}:53/udp"),
            format!("{on_all}:54/udp"),
        ];
        let options: Vec<_> = publish.iter().flat_map(|port| ["-p", port]).collect();
        let mut server = Server::of(runtime, 80, &options, &["perl", "-e", ECHO, "3"]);
        assert_eq!(server.line(), "up\n", "{runtime}");
        let places = [(v6, on_v6), (v6, on_all), (v4, on_all)];
        for place in places {
            let mut client = TcpStream::connect(place).expect("a connection");
            client.set_read_timeout(LIMIT).expect("it can be set");
            client.write_all(b"us").expect("it is sent");
            client.shutdown(Shutdown::Write).expect("our half ends");
            assert_eq!(rest(&client), b"heard us", "{runtime}: {place:?}");
        }
        TcpStream::connect((v4, on_v6)).expect_err("it is published on IPv6 alone");
        assert_eq!(server.line(), "udp\n", "{runtime}");
        for place in places {
            let client = UdpSocket::bind((place.0, 0)).expect("a socket");
            let limit = Some(Duration::from_secs(1));
            client.set_read_timeout(limit).expect("it can be set");
            // From nobody else it is heard.
            client.connect(place).expect("it can be set");
            let mut heard = [0; 100];
            let answer = (0..60).find_map(|_| {
                client.send(b"us").expect("it is sent");
                client.recv(&mut heard).ok()
            });
            let answer = answer.unwrap_or_else(|| panic!("{runtime}: no answer from {place:?}"));
            assert_eq!(&heard[..answer], b"heard us", "{runtime}: {place:?}");
        }
        let client = UdpSocket::bind((v6, 0)).expect("a socket");
        client.send_to(b"stop", (v6, on_v6)).expect("it is sent");
        assert_eq!(server.line(), "done\n", "{runtime}");
        assert!(server.program.wait().expect("it ends").success());
        TcpStream::connect((v6, on_all)).expect_err("nobody listens any more");
    }
}

#[test]
fn a_redis_server_in_a_container_answers_many_clients_at_once() {
    let number_of_clients = if long() { 1000 } else { 100 };
    let options = ["--deb", "redis-server", "--ulimit", "nofile=4096"];
    let redis = ["redis-server", "--save", "", "--bind", "0.0.0.0"];
    let command = [&redis[..], &["--protected-mode", "no"]].concat();
    let mut server = Server::of("cki", 6379, &options, &command);
    loop {
        let line = server.line();
        assert_ne!(line, "", "it has ended before it was ready");
        if line.contains("Ready to accept connections") {
            break;
        }
    }
    let clients = (0..number_of_clients).map(|_| server.client());
    let mut clients: Vec<TcpStream> = clients.collect();
    if long() {
        // Longer than passt waits for anything that a client may leave out.
        thread::sleep(Duration::from_secs(40));
    }
    // All of them have asked before the first is heard.
    for (number, client) in clients.iter_mut().enumerate() {
        let request = format!("SET {number} v{number}\r\nGET {number}\r\n");
        client.write_all(request.as_bytes()).expect("it is sent");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let value = format!("v{number}");
        let expected = format!("+OK\r\n${}\r\n{value}\r\n", value.len());
        let mut heard = vec![0; expected.len()];
        client
            .read_exact(&mut heard)
            .unwrap_or_else(|error| panic!("client {number} has no answer: {error}"));
        assert_eq!(String::from_utf8_lossy(&heard), expected, "client {number}");
    }
    let mut last = server.client();
    last.write_all(b"SHUTDOWN NOSAVE\r\n").expect("it is sent");
    assert_eq!(rest(&last), b"");
    let status = server.program.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
}

/// What packets that come late, twice, in pieces or not at all do to passt, which had faults there: a guest of our own
/// sends them. Silence takes the half minute.
#[test]
fn passt_hangs_up_on_nobody_takes_ends_for_what_they_are_and_answers_what_comes_twice() {
    let guest = include_str!("../programs/passt_guest.pl");
    let output = machine(
        &["--quiet", "--runtime", "host"],
        // The address that QEMU's user network gives the machine.
        &["perl", "-e", guest, "10.0.2.15"],
        b"",
    );
    assert_eq!(
        output.text(),
        "what is not known is reset: yes, and the new connection begins again: SYN the same ACK
the acknowledgement of a SYN,ACK that comes again: 1001
whether it is there: 1001
an end that comes again: 1002, end
an end before its data: nothing
the data: hello
the end behind it: end
data that is sent again is acknowledged: yes
an end that is not acknowledged is sent again: yes
what follows an end has the number behind it: yes, late
a frame in pieces: pieces
a SYN that was not answered: SYN again, ACK
a client that has waited: welcome
a client that was silent: nothing, one that was not heard: nothing
what was waiting for room: 900, nothing
",
        "{}",
        output.stderr
    );
}

/// On a host with a program at a port of UDP: a container sends from that port, and hears the answer; what is sent to
/// the port is the host's.
const SAME_PORT: &str = r#"
    use IO::Socket::INET; use IO::Select;
    $| = 1;
    my $own = IO::Socket::INET->new(LocalPort => 5353, Proto => "udp", ReuseAddr => 1) or die $!;
    my $container = q{
        use IO::Socket::INET; use IO::Select;
        $| = 1;
        my $from = IO::Socket::INET->new(LocalPort => 5353, Proto => "udp") or die $!;
        my $to = sockaddr_in($ARGV[1], inet_aton($ARGV[0]));
        my ($select, $word) = (IO::Select->new($from), "");
        for (1 .. 60) { $from->send("out", 0, $to); last if $select->can_read(1); }
        $from->recv($word, 100);
        print "$word\n";
        while ($select->can_read(3)) { $from->recv($word, 100); print "$word\n" if $word ne "answer"; }
    };
    my @files = qw(--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 128M);
    open(my $run, "-|", "cki", "run", @files, "--network", "user", "--", "perl", "-e", $container, @ARGV) or die $!;
    print scalar(<$run>);
    my $other = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => 5353, Proto => "udp") or die $!;
    $other->send("to the host") for 1 .. 3;
    my $word = "nothing";
    $own->recv($word, 100) if IO::Select->new($own)->can_read(5);
    print "$word\n", <$run>;
"#;

#[test]
fn a_container_that_sends_from_a_port_of_its_host_gets_nothing_that_is_sent_there() {
    let us = our_address();
    let server = UdpSocket::bind((us, 0)).expect("a socket");
    let port = server.local_addr().expect("an address").port().to_string();
    thread::spawn(move || {
        let mut heard = [0; 100];
        while let Ok((_, whence)) = server.recv_from(&mut heard) {
            let _ = server.send_to(b"answer", whence);
        }
    });
    let output = machine(
        &["--quiet", "--runtime", "host", "--memory", "640M"],
        &["perl", "-e", SAME_PORT, &us.to_string(), &port],
        b"",
    );
    assert_eq!(output.text(), "answer\nto the host\n", "{}", output.stderr);
}

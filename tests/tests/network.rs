// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network of a program, natively and in a container: what it reaches, what it must not reach, who reaches it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

use cki_tests::{RUNTIMES, machine, our_address, run_on};

/// What every script here begins with. `syn` puts the first packet of a connection on the wire, whatever the kernel's
/// routes say; `ask` makes a whole connection.
const PYTHON: &str = r#"
import os, socket, struct, subprocess, sys, time
def say(*words): print(*words, flush=True)
def ask(address, port):
    with socket.create_connection((address, port), 10) as s:
        s.sendall(b"?"); return s.recv(100).decode()
def reaches(address, port):
    try: return "?" in ask(address, port)
    except OSError: return False
def total(data):
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff
def syn(own, to, port, source):
    a, b = socket.inet_aton(own), socket.inet_aton(to)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, a, b)
    ip = ip[:10] + struct.pack("!H", total(ip)) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", source, port, 1000, 0, 5 << 4, 2, 8192, 0, 0)
    sum_ = total(a + b + struct.pack("!BBH", 0, 6, 20) + tcp)
    tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
    mac = lambda text: bytes.fromhex(text.strip().replace(":", ""))
    peer = mac(open("/proc/net/arp").read().splitlines()[1].split()[3])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(peer + mac(open("/sys/class/net/eth0/address").read()) + b"\x08\x00" + ip + tcp)
"#;

/// A server that answers with what it got and our greeting, and counts.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn on(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut connection: TcpStream = connection;
                let _ = connection.set_read_timeout(Some(Duration::from_secs(5)));
                let mut buffer = [0; 100];
                if let Ok(length @ 1..) = connection.read(&mut buffer) {
                    let _ = connection.write_all(&buffer[..length]);
                }
            }
        });
        Server { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A name server on port 53 of `address` that knows all names, and that they mean `address`.
fn name_server(address: IpAddr) {
    let IpAddr::V4(v4) = address else {
        panic!("{address} is no IPv4 address")
    };
    let socket = UdpSocket::bind((address, 53)).expect("root may have port 53");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..length];
            // The type asked for is in the last four bytes of a question, but for additional records behind it.
            let end = 12
                + question[12..]
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(0)
                + 5;
            let asks_for_a = question.get(end - 3) == Some(&1);
            let mut answer = question[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(asks_for_a), 0, 0, 0, 0]);
            if asks_for_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(v4.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// A port of ours that nobody uses.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Sends a word over a new connection to `port`, once the program is there; its answer.
fn ask(port: u16, word: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(
        &SocketAddr::from(([127, 0, 0, 1], port)),
        Duration::from_secs(5),
    )?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(word)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

fn until<T>(limit: Duration, mut attempt: impl FnMut() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if start.elapsed() > limit => panic!("no answer: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Outgoing, and what must not be reached; then a server of TCP and UDP until somebody says `stop`.
const BOTH_WAYS: &str = r#"
user, port, raw, trap = sys.argv[1], *map(int, sys.argv[2:5])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect((user, 9)); own = s.getsockname()[0]
say("out", ask(user, port), ask("friend", port), ask("anything.test", port))
for address in "10.0.2.2", "127.0.0.1", "0.0.0.0":
    if reaches(address, trap): say("reached", address)
for number, address in enumerate(["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.2.2"]):
    syn(own, address, trap, 41000 + number)
syn(own, user, raw, 42000)
tcp = socket.create_server(("", 80), backlog=200)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 53)); udp.setblocking(False)
served = 0
while True:
    with tcp.accept()[0] as s:
        word = s.recv(100)
        try: data, whence = udp.recvfrom(100); udp.sendto(data + b"!", whence)
        except BlockingIOError: pass
        s.sendall(b"got " + word)
    served += 1
    if word == b"stop": break
say("served", served >= int(sys.argv[5]))
"#;

/// Connections to a published port of a container; natively it is QEMU's part alone.
const CONNECTIONS: usize = 1000;

/// What another user of the computer tries, who wants to have the datagrams for a port of ours.
fn taken_over(address: IpAddr, port: u16) -> rustix::io::Result<()> {
    let thief = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&thief, true)?;
    bind(&thief, &SocketAddr::new(address, port))
}

#[test]
fn a_program_reaches_the_user_and_is_reached_but_not_what_is_kept_from_it() {
    let us = our_address();
    name_server(us);
    for runtime in RUNTIMES {
        let (server, raw) = (Server::on(us), Server::on(us));
        let trap = Server::on([127, 0, 0, 1].into());
        let (tcp, udp) = (free_port(), free_port());
        let count = if runtime == "cki" { CONNECTIONS } else { 20 };
        let program = thread::spawn(move || {
            let ports = [server.port, raw.port, trap.port].map(|port| port.to_string());
            let options = [
                "--deb",
                "python3",
                "--publish",
                &format!("127.0.0.1:{tcp}:80"),
                "-p",
                &format!("{udp}:53/udp"),
                "--add-host",
                &format!("friend:{us}"),
                "--dns",
                &us.to_string(),
            ];
            let script = format!("{PYTHON}{BOTH_WAYS}");
            let command = [
                "python3",
                "-c",
                &script,
                &us.to_string(),
                &ports[0],
                &ports[1],
                &ports[2],
                &count.to_string(),
            ];
            let output = run_on(runtime, &options, &command, b"");
            (
                output,
                server.connections(),
                raw.connections(),
                trap.connections(),
            )
        });
        let first = until(Duration::from_secs(240), || {
            assert!(!program.is_finished(), "the program has ended");
            ask(tcp, b"first")
        });
        assert_eq!(first, b"got first");
        // On the loopback interface, too, where the program sends nothing but answers.
        for client in [us, [127, 0, 0, 1].into()] {
            let datagram = UdpSocket::bind((client, 0)).expect("a socket");
            datagram
                .set_read_timeout(Some(Duration::from_secs(1)))
                .expect("set");
            let answer = until(Duration::from_secs(20), || {
                datagram.send_to(b"datagram", (client, udp))?;
                // The program looks when it has a connection.
                thread::sleep(Duration::from_millis(100));
                ask(tcp, b"look")?;
                let mut buffer = [0; 100];
                let (length, _) = datagram.recv_from(&mut buffer)?;
                Ok(buffer[..length].to_vec())
            });
            assert_eq!(answer, b"datagram!", "{client}");
            assert_eq!(taken_over(client, udp), Err(Errno::ADDRINUSE), "{client}");
        }
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for _ in 0..count / 10 {
                        assert_eq!(
                            until(Duration::from_secs(20), || ask(tcp, b"many")),
                            b"got many"
                        );
                    }
                });
            }
        });
        assert_eq!(ask(tcp, b"stop").expect("an answer"), b"got stop");
        let (output, served, raw, trapped) = program.join().expect("it is joined");
        assert_eq!(
            output.status,
            0,
            "{runtime}: {}{}",
            output.text(),
            output.stderr
        );
        assert_eq!(output.text(), "out ? ? ?\nserved True\n", "{runtime}");
        assert_eq!((served, raw, trapped), (3, 1, 0), "{runtime}");
    }
}

/// Asks until an answer comes.
const PING: &str = r#"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
    s.settimeout(3)
    for number in range(20):
        s.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, number) + b"echo", (sys.argv[1], 0))
        try: say(s.recv(100)[8:].decode()); break
        except TimeoutError: pass
"#;

// Whoever runs the tests is root, and so may answer for it.
#[test]
fn a_user_of_a_container_pings() {
    let (us, script) = (our_address().to_string(), format!("{PYTHON}{PING}"));
    let options = ["--deb", "python3", "--user", "nobody"];
    let output = run_on("cki", &options, &["python3", "-c", &script, &us], b"");
    assert_eq!(output.text(), "echo\n", "{}", output.stderr);
}

#[test]
fn without_a_network_there_is_no_card() {
    let options = ["--network", "none"];
    let command = ["sh", "-c", "ls /sys/class/net; cat /proc/net/route"];
    for runtime in RUNTIMES {
        let output = run_on(runtime, &options, &command, b"");
        let (lines, stderr) = (output.text(), &output.stderr);
        assert!(lines.lines().any(|line| line == "lo"), "{lines}{stderr}");
        assert!(!lines.contains("eth0"), "{runtime}: {lines}");
    }
}

#[test]
fn a_port_that_is_taken_is_refused_before_anything_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let publish = format!("127.0.0.1:{port}:80");
    for runtime in RUNTIMES {
        let output = run_on(runtime, &["-p", &publish], &["true"], b"");
        assert_eq!(output.status, 125, "{}", output.stderr);
        assert!(
            output.stderr.contains("another program listens there"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn a_bridge_that_is_not_there_is_named() {
    let options = ["--network", "bridge=nosuch", "--ip", "10.1.0.7/24"];
    let output = run_on("cki", &options, &["true"], b"");
    assert_eq!(output.status, 125, "{}", output.stderr);
    assert!(
        output.stderr.contains("no interface nosuch"),
        "{}",
        output.stderr
    );
}

/// On a host: servers on its loopback interface and on all, containers that try them.
const HOST: &str = r#"
import threading
user, port = sys.argv[1], int(sys.argv[2])
FILES = "--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 128M --cmdline mitigations=off".split()
PRELUDE = sys.argv[3] + "\n"
def start(options, script, **more):
    words = ["cki", "run", *FILES, *options.split(), "--", "python3", "-c", PRELUDE + script]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
def run(options, script, **more):
    child = start(options, script, **more)
    out, err = child.communicate()
    return out.strip() or (str(child.returncode) + " " + err.strip())
def patient(address, port):
    # passt takes a connection before the container answers it.
    for _ in range(20):
        try: return ask(address, port)
        except ConnectionError: time.sleep(0.5)
    return ask(address, port)
seen = []
def serve(address, port, name):
    listener = socket.create_server((address, port))
    def loop():
        while True:
            s, whence = listener.accept()
            seen.append((name, whence[0]))
            with s: s.sendall(s.recv(100))
    threading.Thread(target=loop, daemon=True).start()
serve("127.0.0.1", 7001, "loopback"); serve("0.0.0.0", 7002, "all")

# A container that serves, and another that looks for it and for the host.
first = start("--network user -p 7003:80", 'l = socket.create_server(("", 80)); say("up")\nwhile True:\n s, _ = l.accept(); d = s.recv(9); s.sendall(d); s.close()\n if d == b"end": break')
first.stdout.readline()
say("host to container", patient("10.0.2.15", 7003), patient("127.0.0.1", 7003))
own = "10.0.2.100"
probe = f'''say("out", ask("{user}", {port}))
for to in [("10.0.2.2", 7003), ("10.0.2.15", 7003), ("10.0.2.100", 80), ("10.0.2.15", 7002), ("127.0.0.1", 7001), ("10.0.2.2", 7001)]:
    if reaches(*to): say("reached", to)
for n, to in enumerate(["127.0.0.1", "10.0.2.15", "0.0.0.0"]):
    for p in 7001, 7002, 7003: syn("{own}", to, p, 41000 + 10 * n + p)
time.sleep(1)'''
say(run("--network user", probe))
say("seen", seen)
with socket.create_connection(("10.0.2.15", 7003)) as s: s.sendall(b"end")
first.wait()

# Only what is allowed.
one = f'say(reaches("{user}", {port}))'
say("allowed", run(f"--network user --allow {user}", one))
say("not allowed", run("--network user --allow 198.51.100.0/24", one))

# A bridge, which takes larger packets than others: the whole way back and forth, in large pieces.
import fcntl
s = socket.socket()
def ioctl(number, *parts): fcntl.ioctl(s, number, b"".join(parts).ljust(40, b"\0"))
name = b"br0".ljust(16, b"\0")
ioctl(0x89a0, name); ioctl(0x8922, name, struct.pack("=i", 9000))
inet = lambda a: struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(a))
ioctl(0x8916, name, inet("10.9.0.1")); ioctl(0x891c, name, inet("255.255.255.0")); ioctl(0x8914, name, struct.pack("=H", 1))
def bulk():
    with socket.create_server(("10.9.0.1", 7004)) as l, l.accept()[0] as c:
        data = b""
        while len(data) < 4 << 20: data += c.recv(1 << 20)
        c.sendall(data)
threading.Thread(target=bulk, daemon=True).start()
say("bridge", run("--network bridge=br0 --ip 10.9.0.7/24", '''
data = os.urandom(1 << 20) * 4
with socket.create_connection(("10.9.0.1", 7004)) as s:
    s.sendall(data); back = b""
    while len(back) < len(data): back += s.recv(1 << 20)
say(back == data, open("/sys/class/net/eth0/mtu").read().strip())
'''))
# Of what a user may not have, the bridge is what is meant here.
os.chmod("/dev/vda", 0o444)
say("bridge for users", run("--network bridge=br0 --ip 10.9.0.7/24", "", user=65534))

# Nothing is left: no process, no interface, no port.
def names():
    for p in os.listdir("/proc"):
        try: yield open(f"/proc/{p}/comm").read().strip()
        except OSError: pass
for _ in range(100):
    left = [n for n in names() if "passt" in n]
    if not left: break
    time.sleep(0.1)
say("left", left, [n for n in os.listdir("/sys/class/net") if n.startswith("cki")], reaches("10.0.2.15", 7003))
"#;

/// Two containers with passt, three more, and each address that must not answer is waited for.
#[test]
#[ignore = "takes a minute and a half: `check --all`"]
fn containers_of_one_host_are_kept_from_it_and_from_each_other() {
    let us = our_address();
    let server = Server::on(us);
    let script = format!("{PYTHON}{HOST}");
    let output = machine(
        &[
            "--quiet",
            "--runtime",
            "host",
            "--memory",
            "1G",
            "--deb",
            "python3",
        ],
        &[
            "python3",
            "-c",
            &script,
            &us.to_string(),
            &server.port.to_string(),
            PYTHON,
        ],
        b"",
    );
    let lines: Vec<_> = output.text().lines().collect();
    let wanted = [
        "host to container ? ?",
        "out ?",
        "seen []",
        "allowed True",
        "not allowed False",
        "bridge True 9000",
    ];
    assert_eq!(
        lines[..wanted.len().min(lines.len())],
        wanted,
        "{}{}",
        output.text(),
        output.stderr
    );
    assert!(lines[6].contains("CAP_NET_ADMIN"), "{lines:?}");
    assert_eq!(lines[7..], ["left [] [] False"], "{}", output.stderr);
}

#[test]
fn curl_fetches_from_a_container() {
    let us = our_address();
    let listener = TcpListener::bind((us, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection: TcpStream = connection;
            let mut request = [0; 1000];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n",
            );
        }
    });
    let url = format!("http://{us}:{port}/");
    let output = run_on("cki", &["--deb", "curl"], &["curl", "-sS", &url], b"");
    assert_eq!(
        (output.status, output.text()),
        (0, "hello\n"),
        "{}",
        output.stderr
    );
}

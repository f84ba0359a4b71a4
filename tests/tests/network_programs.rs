// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that people use networks with, in containers: a package manager, with a server of the test's own, a
//! measurement from one container to another one of another machine, and a stream whose reader pauses.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use cki_tests::{RUNTIMES, our_address, run_on, variable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A tar archive of these files, each with its mode.
fn tar(files: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(*mode);
        archive
            .append_data(&mut header, path, text.as_bytes())
            .expect("it is written to memory");
    }
    archive.into_inner().expect("it is written to memory")
}

/// What the package says of itself.
const CONTROL: &str = "Package: greeting
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: says that it is there
";

/// A Debian package (deb(5)) with a program.
fn package() -> Vec<u8> {
    let program = "#!/bin/sh\necho hello from a package\n";
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[("./control", 0o644, CONTROL)])),
        ("data.tar", tar(&[("./usr/bin/greeting", 0o755, program)])),
    ];
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let length = bytes.len();
        writeln!(
            archive,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`",
            0, 0, 0, 100_644
        )
        .expect("it is written to memory");
        archive.extend(bytes);
        if length % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// The file with this name of an archive with the package, as apt asks for it.
fn file(name: &str) -> Option<Vec<u8>> {
    let package = package();
    match name {
        "/./Packages" => {
            let mut text = CONTROL.to_owned();
            let hash = Sha256::digest(&package);
            writeln!(
                text,
                "Filename: ./greeting.deb\nSize: {}\nSHA256: {hash:x}",
                package.len()
            )
            .expect("it is written to memory");
            Some(text.into_bytes())
        }
        "/./greeting.deb" => Some(package),
        _ => None,
    }
}

/// Answers one connection's requests, one after the other.
fn answer(connection: TcpStream) -> std::io::Result<()> {
    let mut to = connection.try_clone()?;
    let mut lines = BufReader::new(connection).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        let Some(name) = line.strip_prefix("GET ") else {
            continue;
        };
        let name = name.split(' ').next().unwrap_or_default();
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let (status, body) = match file(name) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", Vec::new()),
        };
        let length = body.len();
        write!(to, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n")?;
        to.write_all(&body)?;
    }
    Ok(())
}

#[test]
fn apt_installs_a_package_from_a_server_in_a_container() {
    let us = our_address();
    let listener = TcpListener::bind((us, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // Whoever goes away in the middle asks again, or fails below.
            thread::spawn(move || answer(connection));
        }
    });
    let script = format!(
        "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d
        mkdir -p /etc/apt/sources.list.d
        echo 'deb [trusted=yes] http://{us}:{port}/ ./' > /etc/apt/sources.list.d/test.list
        apt-get -q update && apt-get -qy install greeting && greeting && dpkg -s greeting | grep ^Status"
    );
    let output = run_on("cki", &["--deb", "apt"], &["sh", "-c", &script], b"");
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    assert!(
        output
            .text()
            .ends_with("hello from a package\nStatus: install ok installed\n"),
        "{}{}",
        output.text(),
        output.stderr
    );
}

/// A server in a container, at ports of ours.
struct Server {
    program: Child,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(port: u16) -> Self {
        let mut program = Command::new(variable("CKI_BUILD"))
            .args(["-q", "run", "--deb", "iperf3"])
            .args(["-p", &format!("{port}:5201")])
            .args(["-p", &format!("{port}:5201/udp")])
            .args(["--", "iperf3", "--server", "--forceflush"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cki-build is started");
        let stdout = BufReader::new(program.stdout.take().expect("piped"));
        let mut server = Server { program, stdout };
        while !server.line().contains("Server listening") {}
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).expect("a line");
        assert_ne!(read, 0, "it has ended");
        line
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for ever, and hears of this as if it ran here. Whether it is there any more is no matter.
        let _ = kill_process(Pid::from_child(&self.program), Signal::TERM);
        let _ = self.program.wait();
    }
}

#[test]
fn iperf3_measures_from_one_container_to_another_both_ways_and_by_udp() {
    let us = our_address();
    let free = TcpListener::bind((us, 0)).expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let _server = Server::start(port);
    let client = format!("iperf3 --client {us} --port {port} --json");
    let script = format!(
        "{client} --bytes 16M && {client} --bytes 16M --reverse && {client} --udp --bitrate 2M --bytes 200K --length \
         1000"
    );
    let output = run_on("cki", &["--deb", "iperf3"], &["sh", "-c", &script], b"");
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    let results = serde_json::Deserializer::from_str(output.text());
    let results: Vec<Value> = results
        .into_iter()
        .map(|result| result.expect("JSON"))
        .collect();
    assert_eq!(results.len(), 3);
    for result in &results[..2] {
        let bytes = |of: &str| result["end"][of]["bytes"].as_u64();
        assert!(bytes("sum_sent") >= Some(16 << 20), "{result}");
        // Who receives does not wait for what is still under way when the sender is done.
        assert!(bytes("sum_received") >= Some(8 << 20), "{result}");
    }
    let sum = &results[2]["end"]["sum"];
    assert!(sum["bytes"].as_u64() >= Some(200 << 10), "{sum}");
    // A network may lose packets; this one has nowhere to lose half of them.
    assert!(sum["lost_percent"].as_f64() < Some(50.0), "{sum}");
}

/// Sends until it may not any more, and on when it may.
const STREAM: &str = r#"
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    for _ in range(32): s.sendall(bytes(1 << 20))
print("sent")
"#;

/// All buffers on the way are full while the reader does nothing: the program's kernel hears of a window of 0 from
/// whoever is next, who hears of one from the next but one. Each has to be told when there is room again; one of them
/// has nothing left to send, with which it could ask.
#[test]
fn a_stream_whose_reader_pauses_goes_on_behind_it() {
    let us = our_address();
    for runtime in RUNTIMES {
        let listener = TcpListener::bind((us, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let program = thread::spawn(move || {
            let command = ["python3", "-c", STREAM, &us.to_string(), &port.to_string()];
            run_on(runtime, &["--deb", "python3"], &command, b"")
        });
        let (mut stream, _) = listener.accept().expect("the program");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        // Long enough for all that there is room for on the way.
        thread::sleep(Duration::from_secs(4));
        let read = std::io::copy(&mut stream, &mut std::io::sink());
        assert_eq!(read.expect("it goes on"), 32 << 20, "{runtime}");
        drop(stream);
        let output = program.join().expect("it is joined");
        assert_eq!(output.status, 0, "{runtime}: {}", output.stderr);
        assert_eq!(output.text(), "sent\n", "{runtime}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build machine`: one machine that stays up, and what runs in it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use cki_tests::resident::Machine;
use cki_tests::{Output, cki, variable};

#[test]
fn containers_run_side_by_side_in_a_machine_that_stays_up() {
    let machine = Machine::start(
        "beside",
        &["--no-network", "--memory", "512M", "--places", "5"],
    );
    let trap = "trap 'echo ends; exit 5' TERM; echo one runs; while :; do sleep 0.1; done";
    let one = machine.container("one", trap);
    let two = machine.container("two", "echo two runs; exec sleep 1000");
    // Another beside them gets its own input and status, and each is on a kernel of its own.
    let script = "cat; ls -d /proc/[0-9]* | wc -l; exit 7";
    let third = machine.run(&[], &["sh", "-c", script], b"input\n");
    assert_eq!(third.status, 7, "{}", third.stderr);
    let (input, processes) = third.text().split_once('\n').expect("two lines");
    assert_eq!(input, "input");
    assert!(processes.trim().parse::<u32>().expect("a number") < 60);

    let listed = machine.ask("list", &[], b"");
    let names = |output: &Output| {
        let names = output.text().lines().skip(1);
        let mut names: Vec<_> = names.map(|line| line[..3].to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&listed), ["one", "two"], "{}", listed.stderr);
    let words = [
        "--env",
        "A=1",
        "two",
        "--",
        "sh",
        "-c",
        "cat; echo $A; exit 9",
    ];
    let inside = machine.ask("exec", &words, b"to exec\n");
    assert_eq!((inside.status, inside.text()), (9, "to exec\n1\n"));

    // What there is no room for is refused, and names are taken once.
    let large = machine.run(&["-m", "400M"], &["true"], b"");
    assert_eq!(large.status, 125);
    assert!(
        large.stderr.contains("400 MiB are wanted"),
        "{}",
        large.stderr
    );
    let same = machine.run(&["--name", "two"], &["true"], b"");
    assert_eq!(same.status, 125);
    assert!(
        same.stderr.contains("choose another name"),
        "{}",
        same.stderr
    );

    assert_eq!(machine.ask("kill", &["one", "TERM"], b"").status, 0);
    // Its shell may tell how `sleep` ended.
    let (status, said) = one.end();
    assert!(status == Some(5) && said.starts_with("ends\n"), "{said}");
    assert_eq!(machine.ask("kill", &["two"], b"").status, 0);
    assert_eq!(two.end(), (Some(137), String::new()));
    let none = machine.ask("kill", &["two"], b"");
    let missing = "cki-build: no container called two is running; `list` shows those that are\n";
    assert_eq!((none.status, &*none.stderr), (125, missing));
    machine.is_empty_soon();
}

#[test]
fn a_process_beside_a_program_is_what_its_options_say_and_nobody_reads_them_in_a_list() {
    let machine = Machine::start("exec", &["--no-network", "--memory", "256M"]);
    let box_ = machine.container("box", "echo box runs; exec sleep 1000");
    let exec = |words: &[&str], input: &[u8]| machine.ask("exec", words, input);
    // No input, which a terminal would echo.
    let all = exec(
        &[
            "-t",
            "--user",
            "daemon",
            "-w",
            "/tmp",
            "--ulimit",
            "nofile=77",
            "box",
            "--",
            "sh",
            "-c",
            "id -un; pwd; ulimit -n; stty size; tty",
        ],
        b"",
    );
    let text = all.text().replace('\r', "");
    let lines = ["daemon", "/tmp", "77", "24 80", "/dev/pts/0", ""];
    assert_eq!((all.status, text), (0, lines.join("\n")), "{}", all.stderr);
    // Of its program, where nothing is said.
    let none = exec(
        &[
            "box",
            "--",
            "sh",
            "-c",
            "pwd; cat; echo error >&2; kill -9 $$",
        ],
        b"input\n",
    );
    assert_eq!((none.status, none.text()), (137, "/root\ninput\n"));
    assert_eq!(none.stderr, "error\n");
    for (words, status, said) in [
        (
            ["box", "--", "nosuch"],
            127,
            "cki-build: no such program: nosuch\n",
        ),
        (
            ["box", "--", "/etc/passwd"],
            126,
            "cannot execute /etc/passwd",
        ),
        (
            ["nobody", "--", "true"],
            125,
            "no container called nobody is running",
        ),
    ] {
        let output = exec(&words, b"");
        assert_eq!(output.status, status, "{words:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{words:?}: {}", output.stderr);
    }
    let told = cki([
        "--json",
        "exec",
        "--machine",
        &machine.0,
        "box",
        "--",
        "false",
    ]);
    assert_eq!(
        told.stderr,
        "{\"status\":1,\"outcome\":\"exited\",\"isolation\":\"full (cki)\"}\n"
    );

    // While it runs, whoever lists the machine's processes sees neither the program nor its variables.
    let script = "trap 'echo heard; exit 6' TERM; echo up $SECRET; while :; do sleep 0.1; done";
    let mut beside = machine.beside(&["-e", "SECRET=xyzzy"], "box", script);
    assert_eq!(beside.line(), "up xyzzy\n");
    let list = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done";
    let listed = machine.shell(list);
    assert!(
        listed.text().contains("cki exec --session-fd"),
        "{}",
        listed.text()
    );
    assert!(!listed.text().contains("xyzzy"), "{}", listed.text());

    let pid = beside.client.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill is started").success());
    // Its shell may tell how `sleep` ended.
    let (status, said) = beside.end();
    assert!(status == Some(6) && said.starts_with("heard\n"), "{said}");

    // Somebody kills what serves a process: nothing is known of that one, and the container runs on.
    let mut beside = machine.beside(&[], "box", "echo up; exec sleep 1000");
    assert_eq!(beside.line(), "up\n");
    machine.shell(
        "for f in /proc/[0-9]*/cmdline; do case \"$(tr '\\0' ' ' < $f)\" in \
         /runtime/bin/cki\\ exec*) f=${f#/proc/}; kill -9 ${f%/cmdline};; esac; done",
    );
    let (status, said) = beside.end();
    assert_eq!(status, Some(125), "{said}");
    assert!(said.contains("ended without a word"), "{said}");
    // It ends with that, but a moment later; the program stays.
    let wait = format!("until [ \"$({list} | grep -c 'sleep [1]000')\" = 1 ]; do sleep 0.1; done");
    let left = machine.ask("exec", &["box", "--", "sh", "-c", &wait], b"");
    assert_eq!(left.status, 0, "{}", left.stderr);
    assert_eq!(machine.ask("kill", &["box"], b"").status, 0);
    assert_eq!(box_.end().0, Some(137));
    machine.is_empty_soon();
}

#[test]
fn whatever_goes_away_in_a_machine_that_stays_up_leaves_nothing() {
    let machine = Machine::start(
        "away",
        &["--no-network", "--memory", "384M", "--places", "2"],
    );
    let disk = tempfile::NamedTempFile::new().expect("a file");
    disk.as_file().set_len(1 << 20).expect("it has a size");
    let disk = disk.path().to_str().expect("text");
    let refused = machine.run(&["--disk", disk], &["true"], b"");
    assert_eq!(refused.status, 125);
    assert!(refused.stderr.contains("--disk"), "{}", refused.stderr);
    let twice = cki(["-q", "machine", "start", &machine.0]);
    assert_eq!(twice.status, 125);
    assert!(twice.stderr.contains("up already"), "{}", twice.stderr);

    // A client that is killed: its container ends, and its place is free again.
    let mut first = machine.container("first", "echo first runs; while :; do echo x; done");
    first.client.kill().expect("it is killed");
    first.client.wait().expect("it ends");
    machine.is_empty_soon();

    // No more than there are places, but for who looks after what is there.
    let _second = machine.container("second", "echo second runs; exec sleep 1000");
    let third = machine.container("run-3", "echo run-3 runs; exec sleep 1000");
    let full = machine.run(&["-m", "64M"], &["true"], b"");
    assert_eq!(full.status, 125);
    assert!(
        full.stderr.contains("all of its 2 places"),
        "{}",
        full.stderr
    );
    let listed = machine.ask("list", &[], b"");
    assert_eq!(listed.text().lines().count(), 3, "{}", listed.stderr);
    assert!(listed.text().contains("run-3"), "{}", listed.text());
    let inside = machine.ask("exec", &["second", "--", "echo", "inside"], b"");
    assert_eq!(inside.text(), "inside\n", "{}", inside.stderr);
    assert_eq!(machine.ask("kill", &["second", "CONT"], b"").status, 0);

    // The process that keeps the machine up is killed: whoever is in it is told, and it can be started anew.
    let supervisor = machine.status("supervisor").to_string();
    let killed = Command::new("kill").args(["-KILL", &supervisor]).status();
    assert!(killed.expect("kill is started").success());
    let (status, said) = third.end();
    assert_eq!(status, Some(125));
    assert!(said.contains("the machine has gone"), "{said}");
    let gone = cki(["-q", "machine", "status", &machine.0]);
    assert_eq!((gone.status, gone.text().contains("is not up")), (1, true));
    let lost = machine.run(&[], &["true"], b"");
    assert_eq!(lost.status, 125);
    assert!(lost.stderr.contains("machine start"), "{}", lost.stderr);
    let words = [
        "-q",
        "machine",
        "start",
        &machine.0,
        "--no-network",
        "--places",
        "2",
    ];
    let again = cki(words);
    assert_eq!(again.status, 0, "{}", again.stderr);
    let again = machine.run(&[], &["echo", "again"], b"");
    assert_eq!((again.status, again.text()), (0, "again\n"));
}

#[test]
fn a_machine_whose_starter_is_killed_goes_too_and_its_name_is_free() {
    let name = format!("test-killed-{}", std::process::id());
    let directory = variable("CKI_CACHE").join("machines").join(&name);
    let soon = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut starter = Command::new(variable("CKI_BUILD"))
        .args(["-q", "machine", "start", &name, "--no-network"])
        .spawn()
        .expect("cki-build is started");
    // Its emulator is there.
    soon("no emulator", &|| directory.join("0.control").exists());
    starter.kill().expect("it is killed");
    starter.wait().expect("it ends");
    // Whoever keeps it up has its directory locked until the emulator has ended.
    let is_free = || {
        let mut command = Command::new("flock");
        let command = command.arg("--nonblock").arg(&directory).arg("true");
        command.status().expect("flock is started").success()
    };
    soon("the machine stays", &is_free);
    let left = directory.read_dir().expect("it is there");
    let left: Vec<_> = left.map(|entry| entry.expect("read").file_name()).collect();
    assert_eq!(left, ["log"]);
    std::fs::remove_dir_all(&directory).expect("it is removed");
}

/// Answers each line, until the other side closes the connection.
const SERVER: &str = r#"
    use IO::Socket::INET;
    my $server = IO::Socket::INET->new(LocalPort => $ARGV[1], Listen => 5) or die $!;
    $| = 1;
    print "$ARGV[0] runs\n";
    while (my $client = $server->accept) {
        $client->autoflush;
        print $client "$ARGV[0] heard $_" while <$client>;
    }
"#;

#[test]
fn each_container_of_a_machine_that_stays_up_is_reached_at_its_own_ports() {
    let machine = Machine::start("ports", &["--memory", "256M"]);
    let free = |port: u16| {
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some(listener.local_addr().expect("an address").port())
    };
    // Of each pair, the second leads to where somebody listens.
    let pair = || loop {
        let first = free(0).expect("a port");
        if let Some(second) = first.checked_add(1).and_then(free) {
            return second;
        }
    };
    let ports = [pair(), pair()];
    let addresses = ["127.0.0.1", "::1"];
    let publish = [0, 1].map(|at| {
        let (address, port) = (addresses[at], ports[at]);
        format!("[{address}]:{}-{port}:79-80", port - 1)
    });
    let start = |name, at: usize| {
        let command = ["perl", "-e", SERVER, name, "80"];
        machine.container_with(name, &["--publish", &publish[at]], &command)
    };
    let (one, _two) = (start("one", 0), start("two", 1));
    for (at, name) in ["one", "two"].into_iter().enumerate() {
        let mut stream = TcpStream::connect((addresses[at], ports[at])).expect("a connection");
        stream.write_all(b"us\n").expect("it is sent");
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("it can be set");
        let mut heard = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut heard).expect("an answer");
        assert_eq!(heard, format!("{name} heard us\n"));
    }
    assert_eq!(machine.ask("kill", &["one"], b"").status, 0);
    assert_eq!(one.end().0, Some(137));
    let start_of_wait = Instant::now();
    while TcpStream::connect(("127.0.0.1", ports[0])).is_ok() {
        assert!(
            start_of_wait.elapsed() < Duration::from_secs(10),
            "it is published for ever"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(start("three", 0));
}

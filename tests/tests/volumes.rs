// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories of the user's in containers: what POSIX promises of files, and what a volume refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cki_tests::resident::Machine;
use cki_tests::{Output, run_on, run_program, variable};
use rustix::process::{Pid, Signal, kill_process};

/// Checks of what POSIX promises, in the directory where it is started; a line for each.
const POSIX: &[u8] = include_bytes!("../programs/posix.py");

/// What it puts out.
const CHECKED: [&str; 17] = [
    "create and exclusive create",
    "rename over, across and exchange",
    "hard links share a file",
    "symbolic links are text",
    "an unlinked file lives as long as it is open",
    "truncate, extend and punch holes",
    "append is atomic between processes",
    "extended attributes",
    "permissions and owners",
    "times are set and kept",
    "a shared mapping is written to the file",
    "a private mapping is not",
    "locks exclude each other",
    "names of 255 bytes, and no longer ones",
    "a thousand files are listed once each",
    "a FIFO connects processes",
    "a directory is removed only when it is empty",
];

fn run(volume: &str, command: &[&str], stdin: &[u8]) -> Output {
    run_on(
        "cki",
        &["--deb", "python3", "--volume", volume],
        command,
        stdin,
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn files_of_a_volume_behave_as_posix_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let volume = format!("{}:/data", text(directory.path()));
    let output = run(&volume, &["sh", "-c", "cd /data && python3 -"], POSIX);
    assert_eq!(output.status, 0, "{}\n{}", output.text(), output.stderr);
    let expected: String = CHECKED.iter().map(|name| format!("{name}\n")).collect();
    assert_eq!(output.text(), expected);
    // What was made in there is here, and nothing was left behind.
    let kept = directory.path().join("kept");
    assert_eq!(fs::read(&kept).unwrap(), b"made in a container\n");
    let metadata = fs::metadata(&kept).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// How far behind a container's clock may be: what a message takes to a machine that has much else to do.
const BEHIND: f64 = 0.2;

#[test]
fn a_file_that_is_made_in_a_volume_is_not_of_the_future() {
    let directory = tempfile::tempdir().unwrap();
    let volume = format!("{}:/data", text(directory.path()));
    // The user's machine has stamped it.
    let script = "import os, time
for number in range(5):
    open(f'/data/{number}', 'w').close()
    print(os.stat(f'/data/{number}').st_mtime - time.time())";
    let compare = |output: Output| {
        assert_eq!(output.status, 0, "{}", output.stderr);
        let ahead: Vec<f64> = output.text().lines().map(|l| l.parse().unwrap()).collect();
        assert!(
            ahead.len() == 5 && ahead.iter().all(|ahead| *ahead < BEHIND),
            "{ahead:?}"
        );
    };
    compare(run(&volume, &["python3", "-c", script], b""));
    // A machine that stays up hears of the time again with each container.
    let machine = Machine::start("clock", &[]);
    let options = ["--deb", "python3", "--volume", &volume];
    compare(machine.run(&options, &["python3", "-c", script], b""));
}

#[test]
fn a_volume_refuses_what_is_not_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("volume/inside")).unwrap();
    fs::write(at("secret"), "secret").unwrap();
    fs::write(at("volume/file"), "content\n").unwrap();
    fs::set_permissions(at("volume/file"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("../secret", at("volume/up")).unwrap();
    let script = "cd /data || exit 1
        cat file
        cat up inside/../../secret 2> /dev/null && echo out
        mknod memory c 1 1 2> /dev/null && echo device
        for change in 'touch new' 'rm file' 'mv file other' 'chmod 600 file' 'ln file hard' 'sh -c \"echo x >> file\"'
        do eval $change 2> /dev/null && echo changed: $change; done
        mount -o remount,rw /data 2> /dev/null; touch new 2> /dev/null && echo remounted
        true";
    let volume = format!("{}:/data:ro", text(&at("volume")));
    let output = run(&volume, &["sh", "-c", script], b"");
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.text(), "content\n");
    assert_eq!(fs::read(at("volume/file")).unwrap(), b"content\n");
    assert_eq!(fs::read_dir(at("volume")).unwrap().count(), 3);
}

#[test]
fn a_directory_that_is_not_there_is_a_sentence() {
    for (volume, reason) in [
        ("/nonexistent/directory:/data", "No such file or directory"),
        ("/etc/passwd:/data", "name the one that this is in"),
    ] {
        let output = run(volume, &["true"], b"");
        assert_eq!(output.status, 125, "{}", output.stderr);
        let (directory, _) = volume.split_once(':').unwrap();
        assert!(
            output.stderr.contains(directory) && output.stderr.contains(reason),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn two_containers_see_each_others_changes_and_not_each_others_volumes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["shared", "first", "second"] {
        fs::create_dir(at(name)).unwrap();
    }
    // Each says that it is there, waits for the other, and lists what it has.
    let run = |ours: &str, other: &str| {
        let script = format!(
            "echo > /shared/{ours}; echo > /own/{ours}
            for i in $(seq 600); do [ -e /shared/{other} ] && break; sleep 0.1; done
            ls /shared /own"
        );
        let shared = format!("{}:/shared", text(&at("shared")));
        let own = format!("{}:/own", text(&at(ours)));
        run_on(
            "cki",
            &["-v", &shared, "-v", &own],
            &["sh", "-c", &script],
            b"",
        )
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run("first", "second"));
        let second = run("second", "first");
        for (name, output) in [("first", first.join().unwrap()), ("second", second)] {
            assert_eq!(output.status, 0, "{}", output.stderr);
            let expected = format!("/own:\n{name}\n\n/shared:\nfirst\nsecond\n");
            assert_eq!(output.text(), expected);
        }
    });
}

#[test]
fn a_container_that_is_killed_leaves_what_it_wrote_and_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let written = directory.path().join("written");
    let volume = format!("{}:/data", text(directory.path()));
    let script = "echo before > /data/written; while :; do echo x >> /data/more; done";
    let mut child = Command::new(variable("CKI_BUILD"))
        .args(["--quiet", "run", "-v", &volume, "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let ends = Instant::now() + Duration::from_secs(120);
    // Nothing announces that a file of a volume has been written.
    while fs::read(&written).ok().as_deref() != Some(b"before\n") {
        assert!(Instant::now() < ends, "nothing is written");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    nobody_serves_soon(directory.path());
    assert_eq!(fs::read(&written).unwrap(), b"before\n");
}

/// The processes that serve this directory, by their numbers.
fn servers(directory: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let serves = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|&byte| byte == 0).collect();
        words.contains(&&b"serve-volume"[..]) && words.contains(&text(directory).as_bytes())
    };
    processes
        .filter_map(Result::ok)
        .filter(serves)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Waits until no process of a volume has this directory.
fn nobody_serves_soon(directory: &Path) {
    let start = Instant::now();
    while !servers(directory).is_empty() {
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(60), "the process lives on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a machine that stays up has no ports of volumes.
fn no_volume_is_left(machine: &Machine) {
    let script = "for i in $(seq 100)
        do grep -q volume /sys/class/virtio-ports/*/name || exit 0; sleep 0.1; done
        cat /sys/class/virtio-ports/*/name; exit 1";
    machine.shell(script);
}

#[test]
fn containers_of_a_machine_that_stays_up_have_each_its_own_volumes() {
    let machine = Machine::start("volumes", &["--no-network", "--memory", "384M"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["shared", "first", "second"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("name"), format!("{name}\n")).unwrap();
    }
    let shared = format!("{}:/shared", text(&at("shared")));
    // Each waits for what the other makes in the volume that both have, and sees nothing else of it.
    let start = |ours: &str, other: &str| {
        let script = format!(
            "echo {ours} runs; echo > /shared/{ours}
            for i in $(seq 600); do [ -e /shared/{other} ] && break; sleep 0.1; done
            ls /shared /own; cat /own/name; grep -c virtiofs /proc/mounts
            sed -n 's/ virtiofs .*//p' /proc/mounts"
        );
        let own = format!("{}:/own", text(&at(ours)));
        let options = ["--network", "none", "-v", &shared, "-v", &own];
        machine.container_with(ours, &options, &["sh", "-c", &script])
    };
    let both = [start("first", "second"), start("second", "first")];
    for (name, container) in ["first", "second"].into_iter().zip(both) {
        // The second's are not called what the machine calls them.
        let expected = format!(
            "/own:\nname\n\n/shared:\nfirst\nname\nsecond\n{name}\n2\nvolume0 /shared\nvolume1 /own\n"
        );
        assert_eq!(container.end(), (Some(0), expected));
    }

    // What can only be read is not written, and what is refused in a machine of its own is here, once.
    let read_only = format!("{}:/data:ro", text(&at("first")));
    let script = "cat /data/name
        echo x > /data/new || echo not made; echo x >> /data/name || echo not written; rm /data/name || echo not \
        removed";
    let output = machine.run(&["-v", &read_only], &["sh", "-c", script], b"");
    let expected = "first\nnot made\nnot written\nnot removed\n";
    assert_eq!((output.status, output.text()), (0, expected));
    assert!(output.stderr.contains("Read-only file system"));
    assert_eq!(fs::read(at("first/name")).unwrap(), b"first\n");
    assert!(!at("first/new").exists());
    let output = machine.run(&["-v", "/proc/sys:/data"], &["true"], b"");
    assert_eq!(output.status, 125, "{}", output.stderr);
    assert!(
        output.stderr.contains("that hold files"),
        "{}",
        output.stderr
    );
    machine.is_empty_soon();
    no_volume_is_left(&machine);
}

#[test]
fn as_many_volumes_as_a_machine_that_stays_up_has_and_no_more() {
    let machine = Machine::start("many", &["--no-network", "--memory", "384M"]);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "here\n").unwrap();
    let sixteen: Vec<String> = (0..16)
        .flat_map(|n| ["-v".to_owned(), format!("{}:/v{n}", text(directory.path()))])
        .collect();
    let mut options = vec!["--network", "none"];
    options.extend(sixteen.iter().map(String::as_str));
    let start = |name: &str| {
        let script =
            format!("[ $(cat /v*/file | wc -l) = 16 ] && echo {name} runs && exec sleep 1000");
        machine.container_with(name, &options, &["sh", "-c", &script])
    };
    let one = start("one");
    let _two = start("two");
    let refused = machine.run(&options[2..4], &["true"], b"");
    assert_eq!(refused.status, 125);
    let why = "of its 32 volumes for all containers 0 are free, and 1 wanted";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    // Those of one that ends are there for the next at once.
    assert_eq!(machine.ask("kill", &["one"], b"").status, 0);
    assert_eq!(one.end().0, Some(137));
    let _three = start("three");
}

#[test]
fn a_client_that_is_killed_at_any_moment_takes_its_volumes_along_and_spoils_nobodys() {
    let machine = Machine::start("killed", &["--no-network", "--memory", "384M"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["kept", "killed"] {
        fs::create_dir(at(name)).unwrap();
        let line = format!("{name} {}\n", "x".repeat(100));
        fs::write(at(name).join("big"), line.repeat(20_000)).unwrap();
    }
    // It reads what is its own, again and again, and writes it.
    let kept = format!("{}:/data", text(&at("kept")));
    let script = "echo kept runs; cp /data/big /tmp/big; cd /data
        while :; do [ -e stop ] && exit 7
        echo 3 > /proc/sys/vm/drop_caches; cmp big /tmp/big || exit 1; cp big copy; cmp copy /tmp/big || exit 2; done";
    let with = |volume| ["--network", "none", "-v", volume];
    let beside = machine.container_with("kept", &with(&kept), &["sh", "-c", script]);

    // Others come and go meanwhile, in the middle of replies and requests of all lengths.
    let volume = format!("{}:/data", text(&at("killed")));
    let script = "while :; do echo 3 > /proc/sys/vm/drop_caches; cat /data/big > /dev/null; cp /data/big /data/copy; \
        done";
    for number in 0..6_u64 {
        let mut client = Command::new(variable("CKI_BUILD"))
            .args(["-q", "run", "--machine", &machine.0, "-m", "128M"])
            .args(["--network", "none", "-v", &volume, "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // From before it has asked for a place to the middle of its work.
        std::thread::sleep(Duration::from_millis(number * number * 100));
        client.kill().unwrap();
        client.wait().unwrap();
        let check = "cat /data/big | sort | uniq -c | tr -s ' ' | cut -c 1-15";
        let output = machine.run(&["-v", &volume], &["sh", "-c", check], b"");
        assert_eq!(output.status, 0, "{number}: {}", output.stderr);
        assert_eq!(output.text(), " 20000 killed x\n", "{number}");
    }
    nobody_serves_soon(&at("killed"));
    fs::write(at("kept").join("stop"), "").unwrap();
    assert_eq!(beside.end(), (Some(7), String::new()));
    machine.is_empty_soon();
    no_volume_is_left(&machine);

    // Somebody kills what serves a volume: its program is told, and nobody else.
    let script = "echo one runs; until ! cat /data/big > /dev/null; do echo 3 > /proc/sys/vm/drop_caches; done; exit 9";
    let one = machine.container_with("one", &with(&volume), &["sh", "-c", script]);
    let serving = servers(&at("killed"));
    assert!(!serving.is_empty());
    for pid in serving.into_iter().filter_map(Pid::from_raw) {
        // One ends with the other.
        let _ = kill_process(pid, Signal::KILL);
    }
    let (status, said) = one.end();
    assert_eq!(status, Some(9), "{said}");
    assert!(said.contains("Input/output error"), "{said}");
}

#[test]
fn much_data_goes_both_ways_and_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let volume = format!("{}:/data", text(directory.path()));
    // Enough that a request for each page of it would not end in time.
    let data: Vec<u8> = (0..24_u32 << 18).flat_map(u32::to_le_bytes).collect();
    fs::write(directory.path().join("from"), &data).unwrap();
    let script =
        "cp /data/from /data/to && sync /data/to && cmp /data/from /data/to && stat -c %s /data/to";
    let output = run_on("cki", &["-v", &volume], &["sh", "-c", script], b"");
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.text(), format!("{}\n", data.len()));
    assert!(fs::read(directory.path().join("to")).unwrap() == data);
}

/// On the user's machine, what a volume lies on may be full.
#[test]
fn a_full_disk_is_the_programs_enospc() {
    let script = "mount -t tmpfs -o size=1m full \"$0\" || exit 99
        exec \"$1\" --quiet run -v \"$0\":/data -- sh -c '
            head -c 3000000 /dev/zero > /data/big; echo status $?
            rm /data/big && echo again > /data/small && cat /data/small'";
    let directory = tempfile::tempdir().unwrap();
    let build = variable("CKI_BUILD");
    let words = ["--user", "--map-root-user", "--mount", "sh", "-c", script];
    let output = run_program(
        "unshare",
        words
            .iter()
            .copied()
            .chain([text(directory.path()), text(&build)]),
        b"",
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.text(), "status 1\nagain\n");
    assert!(
        output.stderr.contains("No space left on device"),
        "{}",
        output.stderr
    );
}

#[test]
fn what_cannot_be_a_volume_is_refused_before_anything_starts() {
    let many: Vec<String> = (0..17)
        .flat_map(|n| ["-v".to_owned(), format!("/tmp:/v{n}")])
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (options, said) in [
        (&["-v", "/tmp"][..], "expected DIR:PATH"),
        (&["-v", "/tmp:work"], "expected an absolute path"),
        (&["-v", "/tmp:/a/../b"], "without .."),
        (
            &["-v", "/tmp:/a", "-v", "/usr:/a/"],
            "two volumes at \"/a/\"",
        ),
        (&many, "17 volumes; a program has at most 16"),
        (&["-v", "/proc/sys:/sys"], "that hold files"),
    ] {
        let output = run_on("cki", options, &["true"], b"");
        assert_eq!(output.status, 125, "{options:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(said),
            "{options:?}: {}",
            output.stderr
        );
    }
    let output = run_on("native", &["-v", "/tmp:/a"], &["true"], b"");
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("volumes need a container"),
        "{}",
        output.stderr
    );
}

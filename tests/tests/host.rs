// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host of containers, from inside: what the launcher and the module say and do when something is
//! not as it should be.

use std::path::Path;

use cki_machine::{HostImage, Machine, TimeLimit};
use cki_session::{Container, Memory, Outcome, Run};
use cki_tests::{Output, long, machine, variable};

/// What all containers here are started with. The application image is the first disk.
const FUNCTIONS: &str = r#"
files='--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd'
words=mitigations=off
run() { cki run $files --image /dev/vda --memory 192M --cmdline "$words" "$@"; }
value() { cki info --json | grep -o "\"$1\":[0-9]*"; }
# For the background, where a function has a process of its own: the launcher takes its place.
launch() { exec cki run $files --image /dev/vda --memory 192M --cmdline "$words" "$@"; }
await() { until [ "$(value containers)" = "\"containers\":$1" ]; do sleep 0.1; done; }
"#;

/// Runs a shell script on the host.
fn host(script: &str) -> Output {
    let script = format!("{FUNCTIONS}{script}");
    machine(
        &["--quiet", "--runtime", "host", "--memory", "640M"],
        &["sh", "-c", &script],
        b"",
    )
}

/// The script's container has to fail with `status` and a message that contains all `words`.
fn refused(script: &str, status: i32, words: &[&str]) {
    let output = host(script);
    assert_eq!(output.status, status, "{script}: {}", output.stderr);
    assert_eq!(output.text(), "", "{script}");
    for word in words {
        assert!(
            output.stderr.contains(word),
            "{script}: no {word:?} in {}",
            output.stderr
        );
    }
}

#[test]
fn a_killed_launcher_leaves_nothing_and_a_new_container_starts() {
    let output = host(
        "value pool_free_bytes; launch -- sleep 1000 & pid=$!
        await 1; kill -KILL $pid; wait $pid 2> /dev/null; echo $?
        await 0; value pool_free_bytes; run -- echo again",
    );
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines.len(), 4, "{}{}", output.text(), output.stderr);
    assert_eq!(lines[0], lines[2], "memory is missing");
    assert_eq!((lines[1], lines[3]), ("137", "again"));
}

#[test]
fn two_containers_are_apart() {
    let output = host(
        "start() { cki run $files --image /dev/vda --memory 128M -- sh -c \"echo $1 > /tmp/x; sleep 3; cat /tmp/x\"; }
        start one > a & start two > b & await 2; wait; tail -n 1 a b",
    );
    assert_eq!(
        output.text(),
        "==> a <==\none\n\n==> b <==\ntwo\n",
        "{}",
        output.stderr
    );
}

#[test]
fn a_foreign_or_truncated_image_is_refused() {
    let prepare = "head -c 100000 /dev/vda > /tmp/part; head -c 100000 /dev/zero > /tmp/none; ";
    let run = |file| format!("{prepare}cki run $files --image {file} -- true");
    refused(&run("/tmp/part"), 125, &["/tmp/part", "truncated"]);
    refused(&run("/tmp/none"), 125, &["/tmp/none", "EROFS"]);
    refused(&run("/tmp/missing"), 125, &["/tmp/missing", "No such file"]);
}

#[test]
fn a_foreign_kernel_is_refused() {
    refused(
        "cki run --kernel /runtime/lib/initrd --image /dev/vda -- true",
        125,
        &["/runtime/lib/initrd", "ELF"],
    );
    refused(
        "head -c 3000000 /runtime/lib/vmlinux > /tmp/v; cki run --kernel /tmp/v --image /dev/vda -- true",
        125,
        &["/tmp/v"],
    );
}

#[test]
fn programs_that_cannot_be_run_give_127_and_126() {
    refused("run -- no-such-program", 127, &["no-such-program"]);
    refused("run -- /etc/passwd", 126, &["/etc/passwd"]);
}

#[test]
fn more_memory_than_the_pool_has_is_refused_with_both_sizes() {
    refused(
        "cki run $files --image /dev/vda --memory 512M -- true",
        125,
        &["512 MiB", "320 MiB", "pool"],
    );
}

#[test]
fn a_missing_or_forbidden_device_is_named_with_the_remedy() {
    refused("rm /dev/cki; run -- true", 125, &["/dev/cki", "module"]);
    refused(
        "chmod 644 /dev/vda; setpriv --reuid 65534 cki run $files --image /dev/vda -- true",
        125,
        &["/dev/cki", "65534"],
    );
}

#[test]
fn a_guest_kernel_that_panics_is_a_failure_with_its_last_words() {
    let script = "words=rdinit=/missing; run -- true";
    refused(
        script,
        125,
        &["its kernel panicked", "Unable to mount root fs"],
    );
    let said = host(script).stderr;
    assert!(!said.contains("PCI:"), "what healthy kernels print: {said}");
}

#[test]
fn a_guest_kernel_maps_nothing_that_is_not_its_own() {
    let output = host(
        "cki run $files --image /dev/vda --memory 192M --verbose --cmdline \"$words cki_selftest\" -- echo alive 2> log
        echo $?; grep -o 'cki: self-test.*' log",
    );
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines.len(), 3, "{}{}", output.text(), output.stderr);
    assert_eq!(lines[..2], ["alive", "0"]);
    let words: Vec<_> = lines[2].split(' ').collect();
    let checks: u32 = words[2].parse().expect("a number of checks");
    assert!(checks >= 40, "{}", lines[2]);
    assert_eq!(words[3..], ["checks,", "0", "failed"]);
}

#[test]
fn a_program_that_loops_leaves_the_host_responsive() {
    let output = host(
        "launch -- sh -c 'echo looping; while :; do :; done' > out & pid=$!
        until grep -q looping out; do sleep 0.1; done
        echo responsive; kill $pid; wait $pid; echo $?",
    );
    assert_eq!(output.text(), "responsive\n143\n", "{}", output.stderr);
}

/// Time goes on while a launcher is stopped, and its guest's kernel does not take that for a processor that is stuck.
#[test]
fn a_launcher_that_was_stopped_goes_on_and_its_guest_reports_no_stall() {
    let (timeout, pause) = if long() { (21, 30) } else { (3, 7) };
    let script = format!(
        "words=\"mitigations=off rcupdate.rcu_cpu_stall_timeout={timeout}\"
        launch --verbose -- sh -c 'echo up; while :; do ls / > /dev/null; done' > out 2> log & pid=$!
        until grep -q up out; do sleep 0.1; done
        for n in 1 2; do sleep 1; kill -STOP $pid; sleep {pause}; kill -CONT $pid; done; sleep 2
        kill $pid; wait $pid; echo $?; grep -c 'Linux version' log
        grep -E 'detected stall|stalls on|lockup|blocked for|Call Trace' log"
    );
    let output = host(&script);
    assert_eq!(output.text(), "143\n1\n", "{}", output.stderr);
}

#[test]
fn the_mode_is_named_inside_the_host() {
    let output = machine(
        &["--quiet", "--runtime", "host"],
        &[
            "sh",
            "-c",
            "cat > d && chmod +x d && ./d --cache /tmp/c doctor; echo $?",
        ],
        &std::fs::read(variable("CKI_BUILD")).expect("the program is there"),
    );
    assert!(
        output
            .text()
            .contains("isolation: full (cki); the CPU has PKS and the CKI extension"),
        "{}{}",
        output.text(),
        output.stderr
    );
}

/// Asks for a container on a machine with another CPU; gives why there was none.
fn failure_on(cpu: &str, app: &Path) -> String {
    let host = HostImage::load(&variable("CKI_HOST")).expect("a host image");
    let memory = Memory::constant(512);
    let mut machine = Machine::new(&variable("CKI_QEMU"), host, app.to_owned(), memory, 1);
    machine.runtime_disk = Some(variable("CKI_RUNTIME").join("runtime.erofs"));
    machine.extra = vec!["-cpu".to_owned(), cpu.to_owned()];
    let mut run = Run::new(["true"]);
    run.container = Some(Container::new(Memory::constant(256)));
    let io = cki_tests::sink::nothing();
    let ended = cki_machine::run(&machine, run, TimeLimit::NONE, io, |_| {}, || {});
    match ended.expect("the machine ends well").outcome {
        Outcome::Failed(failure) => failure.message,
        other => panic!("no container can run there: {other:?}"),
    }
}

#[test]
fn a_cpu_that_lacks_something_runs_no_containers_and_is_told_what() {
    // The launcher looks at the image first, so there has to be one.
    let dir = tempfile::tempdir().expect("a directory");
    let app = dir.path().join("app.img");
    let output = cki_tests::cki(
        ["image", "app", "--deb", "lua5.4", "-o"]
            .iter()
            .map(std::ffi::OsStr::new)
            .chain([app.as_os_str()]),
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    let message = failure_on("max,cki=off", &app);
    assert!(message.contains("CKI extension"), "{message}");
    let message = failure_on("max,cki=on,pks=off", &app);
    assert!(message.contains("PKS"), "{message}");
}

/// Sleeps of a millisecond, each of which a timer's event ends, while another process reads the disk.
const SLEEPS: &str = r#"
end() { kill $reader; wait $reader 2> /dev/null; true; }
(while :; do find /usr/bin /usr/lib -type f -size -200k | xargs cat > /dev/null; echo 3 > /proc/sys/vm/drop_caches; done) &
reader=$!
perl -e 'for (1 .. 3000) { select(undef, undef, undef, 0.001) } print "3000 sleeps\n"'
end
"#;

#[test]
fn events_reach_a_container_that_is_moved_between_processors() {
    // The timer's event comes from the processor on which it was set, the disk's from the launcher's thread. One that
    // is lost ends all sleep: nobody sets the timer again.
    let script = format!(
        "{FUNCTIONS}
        cat > /tmp/work
        launch -- sh -c \"$(cat /tmp/work)\" > out & pid=$!
        await 1
        moves=0
        while kill -0 $pid 2> /dev/null; do
            for cpu in 0 1; do taskset -acp $cpu $pid > /dev/null 2>&1 && moves=$((moves + 1)); done
        done
        wait $pid; echo $?; cat out; [ $moves -gt 100 ] && echo moved; dmesg | grep -E 'BUG:|WARNING:' || echo fine"
    );
    let options = [
        "--quiet",
        "--runtime",
        "host",
        "--memory",
        "640M",
        "--cpus",
        "2",
        "--deb",
        "perl-base",
    ];
    let output = machine(&options, &["sh", "-c", &script], SLEEPS.as_bytes());
    assert_eq!(
        output.text(),
        "0\n3000 sleeps\nmoved\nfine\n",
        "{}",
        output.stderr
    );
}

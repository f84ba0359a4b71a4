// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers on a host whose kernel is Debian's own, as Debian has built it: of the two kernels, only that
//! inside of the container has to be ours.

use cki_machine::{HostImage, Io, Machine, TimeLimit};
use cki_session::{Container, Memory, Outcome, Run};
use cki_tests::sink::Sink;
use cki_tests::{Output, cki, machine, run_on, variable};

/// Runs `command` with Debian's kernel as that of the machine.
fn on_debian(runtime: &str, options: &[&str], command: &[&str]) -> Output {
    run_on(
        runtime,
        &[&["--host-kernel", "debian"], options].concat(),
        command,
        b"",
    )
}

#[test]
fn a_container_runs_on_debians_kernel_and_is_as_isolated_as_on_ours() {
    // The console of the host is the first thing on standard error.
    let output = machine(
        &["--verbose", "--host-kernel", "debian"],
        &["uname", "-r"],
        b"",
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(
        output.text().trim_end().ends_with("-cki"),
        "the kernel inside is ours: {}",
        output.text()
    );
    for words in [
        "(debian-kernel@lists.debian.org)",
        "cki: isolation: full (cki)",
        "cki-build: isolation: full (cki)",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    for words in ["BUG:", "WARNING:", "Oops", "Call Trace"] {
        assert!(!output.stderr.contains(words), "{words}: {}", output.stderr);
    }
}

#[test]
fn a_native_program_runs_in_a_guest_of_xen_and_no_container_does() {
    let read = ["cat", "/sys/hypervisor/type"];
    let guest = run_on("native", &["--host-kernel", "xen"], &read, b"");
    assert_eq!(guest.status, 0, "{}", guest.stderr);
    assert_eq!(guest.text(), "xen\n");
    // The same kernel without it.
    let without = on_debian("native", &[], &read);
    assert_eq!(without.status, 1, "{}", without.text());
    let refused = cki(["run", "--host-kernel", "xen", "--", "true"]);
    assert_eq!(refused.status, 125);
    assert!(
        refused.stderr.contains("say --runtime native"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_kernel_of_the_machine_is_debians_file_as_it_is() {
    let output = on_debian("native", &[], &["cat", "/proc/version"]);
    let version = output.text();
    assert!(version.contains("Debian 6.12."), "{version}");
    let lock = variable("CKI_FLAKE").join("nix/debian/lock.json");
    let lock = std::fs::read_to_string(lock).expect("the lock file");
    let release = version.split_whitespace().nth(2).expect("a release");
    assert!(
        lock.contains(&format!("\"linux-image-{release}\"")),
        "{release} is the pinned one"
    );
}

#[test]
fn a_program_does_there_what_it_does_natively() {
    let script = "
        n=0; while [ $n -lt 100 ]; do (exit 3); [ $? = 3 ] && n=$((n + 1)); done; echo $n
        seq 1 20000 | sort -rn | sed 's/1/2/' | cksum
        find /usr/bin /usr/sbin -type f | sort | xargs cat | sha256sum
        head -c 20000000 /dev/zero | tr '\\0' x > /tmp/x && sha256sum < /tmp/x";
    let native = on_debian("native", &[], &["sh", "-c", script]);
    let container = on_debian("cki", &[], &["sh", "-c", script]);
    assert_eq!((native.status, container.status), (0, 0), "{container:?}");
    assert_eq!(native.text(), container.text());
    assert_eq!(container.stderr, "");
}

#[test]
fn containers_come_and_go_and_leave_nothing() {
    let output = on_debian(
        "host",
        &["--memory", "640M"],
        &[
            "sh",
            "-c",
            "free() { cki info --json | grep -o '\"pool_free_bytes\":[0-9]*'; }
            before=$(free)
            for n in 1 2 3; do
                cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda \\
                    --memory 128M --cmdline mitigations=off -- sh -c \"exit $n\"
                echo $?
            done
            until [ \"$(free)\" = \"$before\" ]; do sleep 0.1; done
            dmesg | grep -E 'BUG:|WARNING:|Oops' || echo no reports",
        ],
    );
    assert_eq!(output.text(), "1\n2\n3\nno reports\n", "{}", output.stderr);
}

/// `mitigations=off` is for speed, not something that containers need.
#[test]
fn page_table_isolation_and_all_other_mitigations_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = dir.path().join("app.img");
    let words = ["--quiet", "image", "app", "--deb", "lua5.4", "-o"].map(std::ffi::OsStr::new);
    let output = cki(words.into_iter().chain([app.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);

    let mut host = HostImage::load(&variable("CKI_HOST_DEBIAN")).expect("a host image");
    host.cmdline = host
        .cmdline
        .replace("mitigations=off", "mitigations=auto pti=on");
    let memory = Memory::constant(768);
    let mut machine = Machine::new(&variable("CKI_QEMU"), host, app, memory, 1);
    machine.runtime_disk = Some(variable("CKI_RUNTIME_DEBIAN").join("runtime.erofs"));
    machine.tsc_khz = Some(cki_machine::tsc::Measurement::start().khz());
    machine.verbose = true;
    let script = "n=0; while [ $n -lt 50 ]; do (exit 3); n=$((n + $?)); done; echo $n";
    let mut run = Run::new(["sh", "-c", script]);
    let mut container = Container::new(Memory::constant(256));
    container
        .cmdline
        .clone_from(&machine.host.container_cmdline);
    run.container = Some(container);
    let (stdout, stderr, console) = (Sink::default(), Sink::default(), Sink::default());
    let io = Io {
        console: Some(Box::new(console.clone())),
        ..Io::new(std::io::empty(), stdout.clone(), stderr.clone())
    };
    let ended = cki_machine::run(&machine, run, TimeLimit::NONE, io, |_| {}, || {});
    let console = console.text();
    let ended = ended.unwrap_or_else(|error| panic!("{error}\n{console}"));
    assert_eq!(
        (ended.outcome, stdout.text(), stderr.text()),
        (Outcome::Exited(0), "51\n".to_owned(), String::new()),
        "{console}"
    );
    assert!(
        console.contains("Kernel/User page tables isolation: force enabled"),
        "{console}"
    );
}

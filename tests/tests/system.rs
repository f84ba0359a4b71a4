// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system disk (`images/system`): a machine boots it to systemd and is reached by SSH; it runs containers, and
//! what is its own cannot be changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use cki_tests::system::{Machine, disk, key};
use cki_tests::{cki, run_program, variable};

/// Where a partition table has the first sector of its second partition, in 32 bits.
const SECOND: u64 = 446 + 16 + 8;
/// Bytes from the start of the system, in the middle of it.
const LATE: u64 = 64 << 20;

/// Questions to the machine, each with a name.
const QUESTIONS: [(&str, &str); 10] = [
    ("state", "systemctl is-system-running --wait"),
    ("failed", "systemctl list-units --failed --no-legend"),
    ("isolation", "cki info | grep isolation"),
    ("device", "stat -c '%A %U %G' /dev/cki"),
    (
        "member",
        "setpriv --reuid=nobody --regid=cki --clear-groups sh -c ': < /dev/cki' && echo opened",
    ),
    (
        "other",
        "setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c ': < /dev/cki' && echo opened",
    ),
    (
        "root",
        "findmnt --noheadings --raw --output SOURCE,FSTYPE /",
    ),
    ("write", "touch /usr/new; touch /etc/new"),
    ("firewall", "nft list chain inet host input | grep policy"),
    // The system itself as the file system of a container, whose kernel is another than the machine's.
    (
        "container",
        "cki run --kernel /usr/lib/cki/vmlinux --initrd /usr/lib/cki/initrd --image /dev/mapper/system \
         --memory 128M --print-isolation -- sh -c 'uname -r; cat /etc/debian_version'",
    ),
];

/// Changes a byte of the system's partition behind its back, and then reads the block that has it.
const CHANGE: &str = "set -e; blocks=$(sed 's/.*cki.system=\\([0-9]*\\):.*/\\1/' /proc/cmdline); middle=$((blocks / \
    2)); look() { dd if=/dev/mapper/system iflag=direct bs=4096 skip=$middle count=1 status=none; }; \
    byte=$(look | od -An -tu1 -N1); \
    printf \"\\\\$(printf %o $((byte ^ 1)))\" | dd of=/dev/vdb2 bs=4096 seek=$middle conv=notrunc,fsync status=none; \
    echo changed; setsid sh -c 'sleep 1; dd if=/dev/mapper/system iflag=direct bs=4096 count=1 skip='$middle \
    < /dev/null > /dev/null 2>&1 &";

/// The raw disk that a qcow2 image describes, at `raw`.
fn copy_of(image: &Path, raw: &Path) -> File {
    let converted = Command::new(variable("CKI_QEMU").join("bin/qemu-img"))
        .args(["convert", "-f", "qcow2", "-O", "raw"])
        .args([image, raw])
        .status();
    assert!(converted.expect("qemu-img is started").success());
    let mut options = File::options();
    options.read(true).write(true).open(raw).expect("opened")
}

/// Changes a byte in the middle of a disk's second partition.
fn change_late(disk: &File) {
    let mut start = [0; 4];
    disk.read_exact_at(&mut start, SECOND).expect("a table");
    let late = u64::from(u32::from_le_bytes(start)) * 512 + LATE;
    let mut byte = [0];
    disk.read_exact_at(&mut byte, late).expect("read");
    disk.write_all_at(&[!byte[0]], late).expect("written");
}

#[test]
fn the_system_comes_up_runs_containers_and_cannot_be_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let system = directory.path().join("system.qcow2");
    let words = ["image", "cki-system", "-o"].map(OsStr::new);
    let output = cki(words.into_iter().chain([system.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    // It is the disk of the machine that is started here.
    let disk_of_the_flake = variable("CKI_SYSTEM_DISK").join("cki-system.qcow2");
    assert!(fs::read(&system).expect("read") == fs::read(disk_of_the_flake).expect("read"));
    // A disk that comes first and begins as the system: a copy, of which one block is another.
    let posing = directory.path().join("posing.raw");
    change_late(&copy_of(&system, &posing));

    let [root, other] = ["root", "other"].map(|name| directory.path().join(name));
    // The bus is looked at in the order of its places, which the emulator gives away as it is told of devices.
    let words = ["-no-reboot", "-set", "device.disk.addr=8"].map(str::to_owned);
    let posing = disk(&posing, "raw", "", ",bootindex=2");
    let words = words.into_iter().chain(posing);
    let _ = key(&root);
    let console = directory.path().join("console");
    let mut machine = Machine::of_the_flake(console, &root.with_extension("pub"), words);
    machine.wait_for("login", |machine| {
        machine.console().contains("login: ").then_some(())
    });
    for said in [
        "/dev/vda2 /dev/vdb2 all begin as the system: reading /dev/vda2",
        "/dev/vda2 says that it is the system, and is not the one",
    ] {
        assert!(machine.console().contains(said), "{}", machine.console());
    }

    let script =
        QUESTIONS.map(|(name, question)| format!("echo '== {name}'; {{ {question}; }} 2>&1\n"));
    let script = script.concat();
    let output = machine.ask_when_up(&root, &script);
    let answers: BTreeMap<_, _> = output
        .text()
        .split("== ")
        .filter_map(|part| part.split_once('\n'))
        .collect();
    let container = answers["container"].split_once('\n').unwrap_or_default();
    let expected = [
        ("state", "running\n"),
        ("failed", ""),
        ("isolation", "isolation: full (cki)\n"),
        ("device", "crw-rw---- root cki\n"),
        ("member", "opened\n"),
        ("other", "sh: 1: cannot open /dev/cki: Permission denied\n"),
        ("root", "/dev/mapper/system erofs\n"),
        (
            "write",
            "touch: cannot touch '/usr/new': Read-only file system\n\
             touch: cannot touch '/etc/new': Read-only file system\n",
        ),
    ];
    for (name, expected) in expected {
        assert_eq!(answers[name], expected, "{name}:\n{}", output.text());
    }
    assert!(answers["firewall"].contains("policy drop"), "{answers:?}");
    assert_eq!(container.0, "isolation: full (cki)", "{answers:?}");
    assert!(container.1.contains("cki\n12."), "{answers:?}");

    // Who has another key, or none, is not let in.
    let _ = key(&other);
    let output = machine.ask(&other, "true");
    assert_eq!(output.status, 255, "{}", output.text());
    assert!(
        output.stderr.contains("Permission denied (publickey)"),
        "{}",
        output.stderr
    );

    let output = machine.ask(&root, CHANGE);
    assert_eq!(output.text(), "changed\n", "{}", output.stderr);
    machine.wait_for("panic", |machine| {
        machine
            .console()
            .contains("dm-verity device corrupted")
            .then_some(())
    });
}

#[test]
fn a_machine_of_the_flake_is_not_started_with_words_that_cannot_be_meant() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    let _ = key(&root);
    let private = root.to_str().expect("a plain name").to_owned();
    let public = format!("{private}.pub");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = taken.local_addr().expect("an address").port().to_string();
    let vm = |words: &[&str]| run_program(variable("CKI_VM").join("bin/cki-vm"), words, b"");
    let help = vm(&["--help"]);
    assert!(help.status == 0 && help.text().contains("--memory SIZE"));
    for (words, status, said) in [
        (&["--quick"][..], 2, "there is no option --quick"),
        (&["--port"], 2, "--port needs a value"),
        (&["--port", "ssh"], 2, "ssh is no port"),
        (&["--port", "70000"], 2, "70000 is no port"),
        (&["--key", "/nonexistent"], 1, "is no file that can be read"),
        (&["--key", &private], 1, "is no public key of SSH's"),
        (&["--key", &public, "--port", &taken], 1, "is in use"),
    ] {
        let output = vm(words);
        assert_eq!(output.status, status, "{words:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{words:?}: {}", output.stderr);
    }
}

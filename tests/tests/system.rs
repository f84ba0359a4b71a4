// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system disk (`images/system`): a machine boots it to systemd and is reached by SSH; it runs containers, and
//! what is its own cannot be changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cki_tests::{Output, cki, run_program, variable};
use rustix::process::{Pid, Signal, kill_process};

/// What the machine may take for each step, beside whatever else this machine does; alone it is up in half a minute.
const LIMIT: Duration = Duration::from_secs(560);

/// Offset and value of what the file system's superblock has as its number (`images/system/package.nix`).
const UUID: (u64, [u8; 16]) = (1072, *b"CKI\0\0\0\x40\0\x80\0\0\0\0\0\0\x03");

/// A machine on the system disk, and the directory with its console and its user's keys.
struct Machine {
    emulator: Child,
    directory: tempfile::TempDir,
    port: u16,
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Runs a program of SSH's, which does not have to be installed here.
fn ssh<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Output {
    let tools = variable("CKI_TEST_SSH");
    let args: Vec<A> = args.into_iter().collect();
    let (library, program) = (tools.join("lib"), tools.join("bin").join(program));
    let start = [
        OsStr::new("--library-path"),
        library.as_os_str(),
        program.as_os_str(),
    ];
    let words = start.into_iter().chain(args.iter().map(AsRef::as_ref));
    run_program(tools.join("lib/ld-linux-x86-64.so.2"), words, b"")
}

/// Makes a pair of keys, and gives the public one.
fn key(file: &Path) -> String {
    let words = ["-q", "-t", "ed25519", "-N", "", "-f"].map(OsStr::new);
    let output = ssh("ssh-keygen", words.into_iter().chain([file.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    std::fs::read_to_string(file.with_extension("pub")).expect("read")
}

impl Machine {
    /// Boots `disk` by its BIOS, with the disk `before` it; whoever has the key `root` is root.
    fn start(directory: tempfile::TempDir, before: &Path, disk: &Path) -> Self {
        let public = key(&directory.path().join("root"));
        let (qemu, port) = (variable("CKI_QEMU"), free_port());
        let console = directory.path().join("console");
        let mut command = Command::new("timeout");
        command
            .arg("900")
            .arg(qemu.join("bin/qemu-system-x86_64"))
            .arg("-L")
            .arg(qemu.join("share/qemu"))
            .args(["-M", "q35", "-cpu", "max,cki=on", "-m", "1G", "-nodefaults"])
            .args(["-no-user-config", "-display", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", console.display()))
            .arg("-netdev")
            .arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"))
            .args(["-device", "virtio-net-pci,netdev=net,romfile=", "-fw_cfg"])
            // systemd.system-credentials(7)
            .arg(format!(
                "name=opt/io.systemd.credentials/ssh.authorized_keys.root,string={}",
                public.trim()
            ));
        for (path, format, order) in [(before, "raw", 2), (disk, "qcow2", 1)] {
            let path = path.display();
            command.arg("-drive");
            command.arg(format!(
                "file={path},format={format},if=none,id=disk{order}"
            ));
            command.arg("-device");
            command.arg(format!(
                "virtio-blk-pci,drive=disk{order},bootindex={order}"
            ));
        }
        let emulator = command.stdin(Stdio::null()).spawn();
        Self {
            emulator: emulator.expect("the emulator is started"),
            directory,
            port,
        }
    }

    fn console(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `found` gives something.
    fn wait_for<T>(&mut self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.emulator.try_wait().expect("it is ours");
            let late = Instant::now() > deadline;
            assert!(!late && ended.is_none(), "no {what}:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a script of its shell as root, who has this key.
    fn ask(&self, key: &str, script: &str) -> Output {
        let key = self.directory.path().join(key);
        let options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "ConnectTimeout=100",
            "LogLevel=ERROR",
        ];
        let (key, port) = (key.to_str().expect("a plain name"), self.port.to_string());
        let options = options.iter().flat_map(|option| ["-o", option]);
        let words = ["-F", "none", "-i", key, "-p", &port].into_iter();
        let words = words.chain(options).chain(["root@127.0.0.1", script]);
        ssh("ssh", words)
    }
}

/// Ends the machine whatever becomes of the test.
impl Drop for Machine {
    fn drop(&mut self) {
        // `timeout` tells the emulator of this signal, as it could not of SIGKILL.
        if let Ok(None) = self.emulator.try_wait() {
            let _ = kill_process(Pid::from_child(&self.emulator), Signal::TERM);
        }
        let _ = self.emulator.wait();
    }
}

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
        "cki run --kernel /usr/lib/cki/vmlinux --initrd /usr/lib/cki/initrd --root /dev/mapper/system \
         --memory 128M --print-isolation -- sh -c 'uname -r; cat /etc/debian_version'",
    ),
];

/// Changes a byte of the system's partition behind its back, and then reads the block that has it.
const CHANGE: &str = "set -e; blocks=$(sed 's/.*cki.system=\\([0-9]*\\):.*/\\1/' /proc/cmdline); middle=$((blocks / 2)); \
    look() { dd if=/dev/mapper/system iflag=direct bs=4096 skip=$middle count=1 status=none; }; \
    byte=$(look | od -An -tu1 -N1); \
    printf \"\\\\$(printf %o $((byte ^ 1)))\" | dd of=/dev/vdb2 bs=4096 seek=$middle conv=notrunc,fsync status=none; \
    echo changed; setsid sh -c 'sleep 1; dd if=/dev/mapper/system iflag=direct bs=4096 count=1 skip='$middle \
    < /dev/null > /dev/null 2>&1 &";

#[test]
fn the_system_comes_up_runs_containers_and_cannot_be_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = directory.path().join("system.qcow2");
    let words = ["image", "cki-system", "-o"].map(OsStr::new);
    let output = cki(words.into_iter().chain([disk.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    // A disk that comes first, and only says that it is the system.
    let posing = directory.path().join("posing.raw");
    let file = File::create(&posing).expect("created");
    file.set_len(256 << 20).expect("a hole");
    file.write_all_at(&UUID.1, UUID.0).expect("written");

    let mut machine = Machine::start(directory, &posing, &disk);
    machine.wait_for("login", |machine| {
        machine.console().contains("login: ").then_some(())
    });
    let refused = "/dev/vda says that it is the system, and is not the one";
    assert!(machine.console().contains(refused), "{}", machine.console());

    let script =
        QUESTIONS.map(|(name, question)| format!("echo '== {name}'; {{ {question}; }} 2>&1\n"));
    let script = script.concat();
    let output = machine.wait_for("connection", |machine| {
        let output = machine.ask("root", &script);
        // ssh's own status when there was no connection.
        (output.status != 255).then_some(output)
    });
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
    key(&machine.directory.path().join("other"));
    let output = machine.ask("other", "true");
    assert_eq!(output.status, 255, "{}", output.text());
    assert!(
        output.stderr.contains("Permission denied (publickey)"),
        "{}",
        output.stderr
    );

    let output = machine.ask("root", CHANGE);
    assert_eq!(output.text(), "changed\n", "{}", output.stderr);
    machine.wait_for("panic", |machine| {
        machine
            .console()
            .contains("dm-verity device corrupted")
            .then_some(())
    });
}

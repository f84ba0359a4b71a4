// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two slots of the system disk (`images/system/root/usr/lib/cki/slot`): a new system is written beside the one
//! that runs, starts on trial, and is left again unless it is confirmed; what is cut short leaves the old one.

use std::path::{Path, PathBuf};

use cki_tests::system::{Machine, disk, key, own_disk};
use cki_tests::{long, variable};

/// What `slot status` says: the slot that runs, the default, the other one's system, the trial's time, the slot of the
/// next start alone, and the system whose trial failed.
type Status<'a> = [(&'a str, &'a str); 6];

struct Host {
    directory: PathBuf,
    disk_file: PathBuf,
    machine: Machine,
    root: PathBuf,
}

impl Host {
    /// A machine with this disk, which it may change.
    fn start(directory: &Path, disk_file: &Path) -> Self {
        let root = directory.join("root");
        let public = if root.exists() {
            std::fs::read_to_string(root.with_extension("pub")).expect("read")
        } else {
            key(&root)
        };
        let words = ["-m", "1G", "-no-reboot"].map(str::to_owned).into_iter();
        let words = words.chain(disk(disk_file, "qcow2", "", ""));
        let machine = Machine::start(directory.join("console"), &public, words);
        let mut host = Self {
            directory: directory.to_owned(),
            disk_file: disk_file.to_owned(),
            machine,
            root,
        };
        assert_eq!(host.machine.ask_when_up(&host.root, "true").status, 0);
        host
    }

    /// Runs a script, which has to work.
    fn does(&self, script: &str) -> String {
        self.gives(script, b"", true)
    }

    /// Runs one that has to fail, and gives what it says.
    fn refuses(&self, script: &str, input: &[u8]) -> String {
        self.gives(script, input, false)
    }

    fn gives(&self, script: &str, input: &[u8], works: bool) -> String {
        let output = self.machine.ask_with(&self.root, script, input);
        let text = output.text().to_owned() + &output.stderr;
        assert_eq!(output.status == 0, works, "{script}: {text}");
        text
    }

    #[track_caller]
    fn says(&self, expected: Status<'_>) {
        let status = self.does("/usr/lib/cki/slot status");
        for (name, value) in expected {
            let line = format!("{name}={value}");
            assert!(
                status.lines().any(|found| found == line),
                "{line} of:\n{status}"
            );
        }
    }

    /// Runs a script that ends this start of the machine, and gives the next one.
    ///
    /// The emulator is started anew, since a machine that it restarts stands still now and then (docs/try/images.md).
    fn goes_down_by(self, script: &str) -> Self {
        self.does(&format!("(sleep 0.5; {script}) > /dev/null 2>&1 &"));
        self.machine.wait_for_end();
        Self::start(&self.directory, &self.disk_file)
    }
}

/// A second disk with the beginning of the first: its partitions, and the file system of the first slot.
const TWIN: &str = "running=$(ls /sys/block/dm-*/slaves) && disk=$(readlink -f /sys/class/block/$running/..) && \
    disk=/dev/${disk##*/} && truncate -s $(blockdev --getsize64 $disk) /run/twin && \
    dd if=$disk of=/run/twin bs=1M count=$(($(cat /sys/class/block/$running/start) / 2048 + 1)) conv=notrunc,sparse && \
    losetup -P -f /run/twin && udevadm settle && exec /usr/lib/cki/slot status";

#[test]
fn a_new_system_is_tried_and_only_a_confirmed_one_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk_file = directory.path().join("system.qcow2");
    own_disk(&disk_file);
    let parts = variable("CKI_SYSTEM");
    let read = |name: &str| std::fs::read(parts.join(name)).expect("read");
    let [kernel, initrd, system] = ["bzImage", "initrd", "root.verity"].map(read);
    let name = String::from_utf8(read("system"))
        .expect("text")
        .trim()
        .to_owned();
    let all = [kernel.as_slice(), &initrd, &system].concat();
    let write = |root: usize| {
        let (kernel, initrd) = (kernel.len(), initrd.len());
        format!("/usr/lib/cki/slot write {name} {kernel} {initrd} {root}")
    };

    let mut host = Host::start(directory.path(), &disk_file);
    let fresh = [
        ("slot", "a"),
        ("default", "a"),
        ("other", ""),
        ("trial", ""),
        ("next", ""),
        ("failed", ""),
    ];
    host.says(fresh);
    let nothing = host.refuses("/usr/lib/cki/slot try 60", b"");
    assert!(
        nothing.contains("no whole system in the slot b"),
        "{nothing}"
    );
    let more = host.refuses("/usr/lib/cki/slot write none 0 0 0", b"more");
    assert!(more.contains("more than was announced"), "{more}");
    let large = host.refuses(&write(1 << 40), b"");
    assert!(large.contains("the slot b less"), "{large}");
    for cut in [kernel.len(), kernel.len() + initrd.len() + 4096] {
        let short = host.refuses(&write(system.len()), &all[..cut]);
        assert!(short.contains("less than was announced"), "{short}");
    }
    host.says(fresh);
    // A disk that a container has written may say that it is the system; nothing of it is used.
    let twin = host.refuses(TWIN, b"");
    assert!(twin.contains("p2 says that it is the system"), "{twin}");
    host.does("losetup -D; rm /run/twin");
    host.says(fresh);
    // Whoever asks and is cut off leaves nothing behind that keeps others from asking, nor does what is killed.
    host.does("/usr/lib/cki/slot status | true; ! mountpoint -q /run/cki-boot");
    host.does("mount -t vfat /dev/vda1 /run/cki-boot");
    host.says(fresh);
    host.does("! mountpoint -q /run/cki-boot");

    host.gives(&write(system.len()), &all, true);
    let written = [
        ("slot", "a"),
        ("default", "a"),
        ("other", name.as_str()),
        ("trial", ""),
        ("next", ""),
        ("failed", ""),
    ];
    host.says(written);
    // Somebody else may have written another system since.
    let another = host.refuses("/usr/lib/cki/slot try 60 '' another", b"");
    assert!(
        another.contains("has another system than another"),
        "{another}"
    );
    // Who confirms waits for who only asks.
    host.does(
        "flock /run/cki-slot.lock sh -c 'touch /run/held; sleep 3' & until [ -e /run/held ]; do :; done; \
         exec /usr/lib/cki/slot confirm",
    );
    host.says(written);
    host.does("/usr/lib/cki/slot try 60 && /usr/lib/cki/slot status | grep -x next=b && /usr/lib/cki/slot cancel");
    host.says(written);

    // On trial: nobody confirms it, and it goes back in its time.
    let limit = if long() { "60" } else { "600" };
    host.does(&format!("/usr/lib/cki/slot try {limit}"));
    host = host.goes_down_by("systemctl reboot");
    host.says([
        ("slot", "b"),
        ("default", "a"),
        ("other", &name),
        ("trial", limit),
        ("next", ""),
        ("failed", ""),
    ]);
    for script in [write(system.len()).as_str(), "/usr/lib/cki/slot try 60"] {
        let refused = host.refuses(script, b"");
        assert!(refused.contains("on trial"), "{refused}");
    }
    let timer = host.does("systemctl show -P ActiveState -P TimersMonotonic cki-trial-back.timer");
    assert!(
        timer.contains("active\n") && timer.contains("OnActiveUSec="),
        "{timer}"
    );
    host = host.goes_down_by(if long() {
        "true"
    } else {
        // What the timer does, without waiting for it.
        "systemctl start cki-trial-back.service"
    });
    let failed = [
        ("slot", "a"),
        ("default", "a"),
        ("other", &name),
        ("trial", ""),
        ("next", ""),
        ("failed", &name),
    ];
    host.says(failed);
    if !long() {
        return;
    }
    host.does("/usr/lib/cki/slot try 600");
    host = host.goes_down_by("systemctl reboot");
    host = host.goes_down_by("echo c > /proc/sysrq-trigger");
    host.says(failed);

    // Confirmed, it stays, also when the power goes while the other slot is written.
    host.does("/usr/lib/cki/slot try 600");
    host = host.goes_down_by("systemctl reboot");
    host.does("/usr/lib/cki/slot confirm; ! systemctl -q is-active cki-trial-back.timer");
    let half = format!(
        "(head -c 80000000 /dev/zero; sleep 1000) 2> /dev/null | {} > /dev/null 2>&1 & \
         until [ $(stat -c %s /run/cki-boot/a/initrd || echo 0) = {} ]; do sleep 0.2; done 2> /dev/null; sleep 1; sync",
        write(system.len()),
        initrd.len()
    );
    host.does(&half);
    drop(host.machine);
    let host = Host::start(directory.path(), &disk_file);
    host.says([
        ("slot", "b"),
        ("default", "b"),
        ("other", ""),
        ("trial", ""),
        ("next", ""),
        ("failed", ""),
    ]);
    let nothing = host.refuses("/usr/lib/cki/slot try 60", b"");
    assert!(
        nothing.contains("no whole system in the slot a"),
        "{nothing}"
    );
}

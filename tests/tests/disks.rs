// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks of the user's: what programs write to them, and files that cannot be disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cki_disk::{DiskOption, Reader};
use cki_tests::{Output, RUNTIMES, cki, run_on, run_program, variable};

/// Bytes of a disk.
const DISK: u64 = 32 << 20;

/// A directory with a raw disk and a qcow2 image.
struct Disks {
    dir: tempfile::TempDir,
}

impl Disks {
    fn new() -> Self {
        let disks = Disks {
            dir: tempfile::tempdir().unwrap(),
        };
        let raw = fs::File::create(disks.path("raw")).unwrap();
        raw.set_len(DISK).unwrap();
        disks.image(&[], "disk.qcow2");
        disks
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Makes a qcow2 image with these options.
    fn image(&self, options: &[&str], name: &str) {
        let made = Command::new(variable("CKI_QEMU").join("bin/qemu-img"))
            .args(["create", "-q", "-f", "qcow2"])
            .args(options)
            .args([&self.text(name), &DISK.to_string()])
            .current_dir(self.dir.path())
            .status()
            .unwrap();
        assert!(made.success());
    }

    fn run(&self, runtime: &str, disks: &[&str], script: &str) -> Output {
        let named: Vec<String> = disks.iter().map(|disk| self.text(disk)).collect();
        let mut options = vec!["--deb", "e2fsprogs", "--deb", "mount", "--network", "none"];
        for disk in &named {
            options.extend(["--disk", disk]);
        }
        run_on(runtime, &options, &["sh", "-c", script], b"")
    }
}

fn ends_well(output: &Output, expected: &str) {
    assert_eq!(output.status, 0, "{}\n{}", output.text(), output.stderr);
    assert_eq!((output.text(), &*output.stderr), (expected, ""));
}

#[test]
fn what_a_container_writes_is_there_the_next_time_and_natively_too() {
    let disks = Disks::new();
    let both = ["raw", "disk.qcow2"];
    // Neither a sync nor an unmount: what was written when the program ends is on the disks.
    let first = "set -e
        for disk in vdb vdc; do
            cat /sys/block/$disk/serial; echo
            mkfs.ext4 -q /dev/$disk
            mkdir /mnt/$disk; mount /dev/$disk /mnt/$disk
            echo in $disk > /mnt/$disk/file
            seq 100000 > /mnt/$disk/numbers
        done";
    let output = disks.run("cki", &both, first);
    ends_well(&output, "cki-disk0\ncki-disk1\n");
    let again = "set -e
        for disk in vdb vdc; do
            # It was unmounted: no journal waits to be played, without which a read-only disk is not mounted.
            if dumpe2fs -h /dev/$disk 2>&1 | grep needs_recovery; then exit 9; fi
            e2fsck -p /dev/$disk > /dev/null
            mkdir /mnt/$disk; mount /dev/$disk /mnt/$disk
            cat /mnt/$disk/file
            seq 100000 | cmp - /mnt/$disk/numbers
        done";
    for runtime in RUNTIMES {
        ends_well(&disks.run(runtime, &both, again), "in vdb\nin vdc\n");
    }
    let image = ["check", "-q", "-f", "qcow2", &disks.text("disk.qcow2")];
    let checked = run_program(variable("CKI_QEMU").join("bin/qemu-img"), image, b"");
    assert_eq!(checked.status, 0, "{}", checked.stderr);
    // What a file system does not need any more, the user's disk does not have.
    let size = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(disks.path(name)).unwrap().blocks() * 512
    };
    let fill = "set -e
        mount /dev/vdb /mnt; dd if=/dev/urandom of=/mnt/big bs=1M count=16 status=none; sync
        rm /mnt/big; sync; fstrim /mnt";
    ends_well(&disks.run("cki", &["raw"], fill), "");
    assert!(size("raw") < 12 << 20, "{} bytes", size("raw"));
    assert_eq!(fs::read_dir(disks.dir.path()).unwrap().count(), 2);
}

#[test]
fn a_disk_that_is_read_only_is_not_written() {
    let disks = Disks::new();
    let before = fs::read(disks.path("disk.qcow2")).unwrap();
    let script = "cat /sys/block/vdb/ro /sys/block/vdc/ro
        for disk in vdb vdc; do
            echo x 2> /dev/null > /dev/$disk && echo written
            blkdiscard /dev/$disk 2> /dev/null && echo discarded
            blockdev --setrw /dev/$disk 2> /dev/null
            dd if=/dev/urandom of=/dev/$disk count=8 conv=fsync 2> /dev/null && echo written after all
        done
        true";
    for runtime in RUNTIMES {
        let output = disks.run(runtime, &["raw:ro", "disk.qcow2:ro"], script);
        ends_well(&output, "1\n1\n");
    }
    assert!(
        fs::read(disks.path("raw"))
            .unwrap()
            .iter()
            .all(|&byte| byte == 0)
    );
    assert!(fs::read(disks.path("disk.qcow2")).unwrap() == before);
}

#[test]
fn a_file_system_that_is_full_is_an_error_of_the_disk_and_told_and_nothing_synced_is_lost() {
    let disks = Disks::new();
    // On a file system of 8 MiB, whose disk is looked at before it is gone.
    let script = r#"img=$1 full=$2 from=$3 back=$4 format=$5; shift 5
        mount -t tmpfs -o size=8M full "$full" && cp --sparse=always "$from" "$full/disk" || exit 99
        "$@"; status=$?
        if [ $format = qcow2 ]; then "$img" check -q "$full/disk" || exit 98; fi
        "$img" convert -f $format -O raw "$full/disk" "$back" || exit 97
        exit $status"#;
    let program = "yes kept | head -c 1048576 | dd of=/dev/vdb bs=1M iflag=fullblock conv=fsync 2> /dev/null || echo \
        not kept
        dd if=/dev/urandom of=/dev/vdb bs=1M seek=8 count=16 conv=fsync 2> /dev/null && echo all written
        echo the program goes on";
    let kept: Vec<u8> = b"kept\n".iter().copied().cycle().take(1 << 20).collect();
    for (runtime, format, name) in [
        ("cki", "raw", "raw"),
        ("cki", "qcow2", "disk.qcow2"),
        ("native", "qcow2", "disk.qcow2"),
    ] {
        let full = tempfile::tempdir().unwrap();
        let disk = format!("{}/disk:format={format}", full.path().display());
        let mut words: Vec<String> = ["--user", "--map-root-user", "--mount", "sh", "-c", script]
            .map(str::to_owned)
            .into();
        words.push("sh".to_owned());
        words.push(text(&variable("CKI_QEMU").join("bin/qemu-img")));
        words.push(text(full.path()));
        words.extend([name, "back"].map(|name| disks.text(name)));
        words.push(format.to_owned());
        words.push(text(&variable("CKI_BUILD")));
        let run = ["--quiet", "run", "--runtime", runtime, "--network", "none"];
        words.extend(run.map(str::to_owned));
        words.extend(["--disk", &disk, "--", "sh", "-c", program].map(str::to_owned));
        let output = run_program("unshare", words, b"");
        assert_eq!(output.text(), "the program goes on\n", "{}", output.stderr);
        assert_eq!(output.status, 125, "{}", output.stderr);
        let sentence = "not all that was written to the disk cki-disk0 is on it";
        assert!(output.stderr.contains(sentence), "{}", output.stderr);
        let back = fs::read(disks.path("back")).unwrap();
        assert!(back[..kept.len()] == kept, "{runtime} {format}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_of_the_disk_too() {
    let disks = Disks::new();
    // 8 MiB. The file is longer, and what is written behind its beginning is beyond the limit.
    let limit = "ulimit -f 16384";
    let program =
        "yes kept | head -c 4096 | dd of=/dev/vdb bs=4k conv=fsync 2> /dev/null || echo not kept
        dd if=/dev/zero of=/dev/vdb bs=1M seek=8 count=1 conv=fsync 2> /dev/null && echo written
        echo the program goes on";
    let sentence = "not all that was written to the disk cki-disk0 is on it";
    // The emulator's.
    let mut words = vec![
        "-c".to_owned(),
        format!("{limit}; exec \"$@\""),
        "sh".to_owned(),
    ];
    words.push(text(&variable("CKI_BUILD")));
    let run = [
        "--quiet",
        "run",
        "--runtime",
        "native",
        "--network",
        "none",
        "--disk",
    ];
    words.extend(run.map(str::to_owned));
    words.push(disks.text("raw"));
    words.extend(["--", "sh", "-c", program].map(str::to_owned));
    let output = run_program("sh", words, b"");
    assert_eq!(output.text(), "the program goes on\n", "{}", output.stderr);
    assert_eq!(output.status, 125, "{}", output.stderr);
    assert!(output.stderr.contains(sentence), "{}", output.stderr);
    assert_eq!(fs::read(disks.path("raw")).unwrap()[..5], *b"kept\n");
    // The launcher's.
    let script = format!(
        "truncate -s 32M /tmp/raw; cat > /tmp/program
        ({limit}; cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 128M \
            --cmdline mitigations=off --disk /tmp/raw -- sh -c \"$(cat /tmp/program)\" 2>&1); echo $?
        head -c 5 /tmp/raw"
    );
    let options = ["--network", "none"];
    let output = run_on("host", &options, &["sh", "-c", &script], program.as_bytes());
    let lines: Vec<_> = output.text().lines().collect();
    // Behind the sentence is what the container's kernel said of the disk.
    let (first, last) = (lines[0], &lines[lines.len() - 2..]);
    assert_eq!(
        (first, last),
        ("the program goes on", &["125", "kept"][..]),
        "{}",
        output.stderr
    );
    assert!(output.text().contains(sentence), "{}", output.text());
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_qcow2_image_whose_tables_are_damaged_is_an_error_of_the_disk_and_refused_from_then_on() {
    let disks = Disks::new();
    let mut image = fs::read(disks.path("disk.qcow2")).unwrap();
    let number = |at: usize| u64::from_be_bytes(image[at..at + 8].try_into().unwrap());
    // The first entry of the first table: clusters are found by a table that counts them.
    let (table, counts) = (number(40) as usize, number(48));
    image[table..table + 8].copy_from_slice(&(1 << 63 | counts).to_be_bytes());
    fs::write(disks.path("disk.qcow2"), &image).unwrap();
    let script =
        "dd if=/dev/urandom of=/dev/vdb bs=64k count=1 conv=fsync 2> /dev/null && echo written
        echo the program goes on";
    let output = disks.run("cki", &["disk.qcow2"], script);
    assert_eq!(output.text(), "the program goes on\n", "{}", output.stderr);
    assert_eq!(output.status, 125, "{}", output.stderr);
    let said = refused(&[&disks.text("disk.qcow2")]);
    assert!(
        said.contains("damaged qcow2 image: it is marked so"),
        "{said}"
    );
    // Its header is sound, so it is the emulator that finds the impossible count of snapshots.
    image[60..64].fill(0xff);
    fs::write(disks.path("disk.qcow2"), &image).unwrap();
    let said = refused(&[&disks.text("disk.qcow2")]);
    assert!(
        said.contains("that disk is damaged") && said.contains("qemu-img check"),
        "{said}"
    );
}

/// What is said of these disks, which nobody gets.
fn refused(disks: &[&str]) -> String {
    let mut words = vec!["--quiet", "run"];
    for disk in disks {
        words.extend(["--disk", disk]);
    }
    words.extend(["--", "true"]);
    let output = cki(words);
    assert_eq!(
        (output.status, output.text()),
        (125, ""),
        "{}",
        output.stderr
    );
    output.stderr
}

#[test]
fn a_file_that_cannot_be_a_disk_is_said_with_what_to_do() {
    let disks = Disks::new();
    let write = |name: &str, bytes: &[u8]| fs::write(disks.path(name), bytes).unwrap();
    disks.image(&["-b", "raw", "-F", "raw"], "backed.qcow2");
    disks.image(&["-o", "data_file=data"], "external.qcow2");
    let whole = fs::read(disks.path("disk.qcow2")).unwrap();
    write("cut.qcow2", &whole[..70_000]);
    write("renamed", &whole);
    write("text.qcow2", b"text");
    write("odd", &[0; 1000]);
    write("empty", b"");
    let count = fs::read_dir(disks.dir.path()).unwrap().count();
    for (name, reason, remedy) in [
        ("missing", "no such file", "truncate -s 1G"),
        ("missing:ro", "no such file", "truncate -s 1G"),
        (".", "is a directory", "a file in it"),
        ("odd", "1000 bytes", "truncate -s %512"),
        ("empty", "single sector", "truncate -s 1G"),
        ("renamed", "begins as a qcow2", "FILE:format=qcow2"),
        ("text.qcow2", "is no qcow2", "FILE:format=raw"),
        ("cut.qcow2", "damaged", "qemu-img check"),
        ("backed.qcow2", "backing file", "qemu-img convert"),
        ("external.qcow2", "another file", "qemu-img convert"),
        ("backed.qcow2:ro", "backing file", "qemu-img convert"),
        ("renamed:format=qed", "qed", "raw nor qcow2"),
    ] {
        let said = refused(&[&disks.text(name)]);
        let found = said.contains(reason) && said.contains(remedy);
        assert!(found, "{name}: {said}");
    }
    let raw = disks.text("raw");
    let said = refused(&[&raw, &raw]);
    assert!(said.contains("given twice"), "{said}");
    let said = refused(&[&raw, &disks.text("disk.qcow2"), &disks.text("odd")]);
    assert!(
        said.contains("3 disks") && said.contains("room for 2"),
        "{said}"
    );
    let said = refused(&["/dev/null"]);
    assert!(said.contains("is no file"), "{said}");
    assert_eq!(fs::read_dir(disks.dir.path()).unwrap().count(), count);
}

#[test]
fn a_device_that_is_mounted_or_another_containers_is_in_use() {
    let disks = Disks::new();
    let script = "serial=$(grep -lx cki-disk0 /sys/block/*/serial)
        disk=/dev/$(basename \"${serial%/serial}\")
        run() {
            cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 128M \
                --cmdline mitigations=off --disk \"$1\" -- true 2>&1; echo $?
        }
        mkfs.ext4 -q $disk; mount $disk /mnt; run $disk:format=raw; umount /mnt
        mknod /dev/same b $(stat -c '0x%t 0x%T' $disk)
        cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 128M \
            --cmdline mitigations=off --disk $disk:format=raw --name first -- sleep 1000 > /dev/null 2>&1 &
        until cki list | grep -q first; do sleep 0.1; done
        run /dev/same:format=raw; cki kill first; wait; run $disk:format=raw";
    let output = disks.run("host", &["raw"], script);
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines.len(), 5, "{}{}", output.text(), output.stderr);
    for said in [lines[0], lines[2]] {
        assert!(said.contains("is in use"), "{said}");
    }
    assert_eq!((lines[1], lines[3], lines[4]), ("125", "125", "0"));
}

#[test]
fn what_a_container_wrote_on_its_raw_disk_decides_nothing_the_next_time() {
    let disks = Disks::new();
    let disk = disks.text("raw");
    let options = ["--network", "none", "--disk", &disk];
    let write = |bytes: &[u8]| {
        let script = "cat > /dev/vdb";
        ends_well(&run_on("cki", &options, &["sh", "-c", script], bytes), "");
    };
    // A file system that says that it is the runtime disk, whose module and launcher the host would take.
    let runtime = fs::read(variable("CKI_RUNTIME").join("runtime.erofs")).unwrap();
    write(&runtime[..1 << 20]);
    ends_well(&disks.run("cki", &["raw"], "echo as ever"), "as ever\n");
    // An image of qcow2 that names another file.
    disks.image(&["-b", "raw", "-F", "raw"], "backed.qcow2");
    write(&fs::read(disks.path("backed.qcow2")).unwrap());
    assert!(refused(&[&disk]).contains("FILE:format=raw"));
    let script = "head -c 4 /dev/vdb | od -An -c";
    let output = disks.run("cki", &["raw:format=raw"], script);
    ends_well(&output, "   Q   F   I 373\n");
    assert_eq!(fs::metadata(Path::new(&disk)).unwrap().len(), DISK);
}

#[test]
fn qemus_tools_leave_a_disk_alone_that_a_launcher_has() {
    let disks = Disks::new();
    let qemu_img =
        |words: &[&str]| run_program(variable("CKI_QEMU").join("bin/qemu-img"), words, b"");
    let (raw, copy) = (disks.text("raw"), disks.text("copy"));
    let longer: &[&str] = &["resize", "-f", "raw", &raw, "64M"];
    let read: &[&str] = &["convert", "-f", "raw", "-O", "raw", &raw, &copy];
    let written: &[&str] = &[
        "convert",
        "-n",
        "-O",
        "raw",
        &disks.text("disk.qcow2"),
        &raw,
    ];
    let option = |words: &str| -> DiskOption { format!("{raw}{words}").parse().unwrap() };
    // As `cki run --disk` opens it; its reader lets others read.
    for (words, refused, works) in [
        ("", vec![longer, read, written], vec![]),
        (":ro", vec![longer, written], vec![read]),
    ] {
        let open = cki_disk::open(&option(words), Reader::Launcher).unwrap();
        for words in refused {
            let output = qemu_img(words);
            assert_ne!(output.status, 0, "{words:?}");
            assert!(output.stderr.contains(" lock"), "{}", output.stderr);
        }
        for words in works {
            let output = qemu_img(words);
            assert_eq!(output.status, 0, "{words:?}: {}", output.stderr);
        }
        drop(open);
    }
    for words in [read, written, longer] {
        let output = qemu_img(words);
        assert_eq!(output.status, 0, "{words:?}: {}", output.stderr);
    }
}

#[test]
#[ignore = "waits for ten minutes: `check --all`"]
fn a_disk_whose_file_system_never_takes_what_was_written_is_given_up_and_told() {
    let disks = Disks::new();
    let disk = disks.text("raw");
    let mut options = vec!["--network", "none", "--disk", &disk];
    for package in ["e2fsprogs", "mount", "dmsetup"] {
        options.extend(["--deb", package]);
    }
    // A device in between that stands still has all writers wait.
    let script = "set -e; export DM_DISABLE_UDEV=1
        dmsetup create still --table \"0 $(blockdev --getsz /dev/vdb) linear /dev/vdb 0\"
        mkfs.ext4 -q /dev/mapper/still; mount /dev/mapper/still /mnt; echo left > /mnt/file
        dmsetup suspend --noflush --nolockfs still; echo the program ends";
    let output = run_on("cki", &options, &["sh", "-c", script], b"");
    assert_eq!(output.text(), "the program ends\n", "{}", output.stderr);
    assert_eq!(output.status, 125, "{}", output.stderr);
    let said = "the disk cki-disk0 is on it: for 600 s";
    assert!(output.stderr.contains(said), "{}", output.stderr);
}

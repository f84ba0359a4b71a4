// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process of a volume, asked by FUSE messages (`linux/fuse.h`) as a hostile container's kernel could send
//! them: names that no kernel would pass on, nodes that it may not open, malformed messages.

mod guest;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cki_volume::message::{DATA_MAX, MESSAGE_MAX, REQUEST_HEADER};
use guest::{CREATE, Guest, INIT, LINK, MKDIR, PROGRAM, READLINK, ROOT, SYMLINK, UNLINK, WRITE};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Pid, getpgid, getpgrp};

/// A directory with a volume and with something beside it.
fn tree() -> tempfile::TempDir {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("volume/below/deeper")).unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(outside.path().join("volume/file"), "content").unwrap();
    outside
}

#[test]
fn files_are_served() {
    let tree = tree();
    let mut guest = Guest::new(&tree.path().join("volume"), false);
    let file = guest.lookup(ROOT, "file").unwrap();
    assert_eq!(guest.read(file, 100).unwrap(), b"content");
    assert_eq!(guest.lookup(ROOT, "nothing"), Err(libc::ENOENT));
    let mut body = [libc::O_RDWR as u32, 0o640, 0, 0]
        .map(u32::to_le_bytes)
        .concat();
    body.extend(b"new\0");
    let answer = guest.ask(CREATE, ROOT, &body).unwrap();
    let node = u64::from_le_bytes(answer[..8].try_into().unwrap());
    let handle = u64::from_le_bytes(answer[128..136].try_into().unwrap());
    let mut body = [handle, 0].map(u64::to_le_bytes).concat();
    body.extend(
        [DATA_MAX as u32, 0, 0, 0, 0, 0]
            .map(u32::to_le_bytes)
            .concat(),
    );
    body.extend(vec![7; DATA_MAX]);
    guest.ask(WRITE, node, &body).unwrap();
    let written = tree.path().join("volume/new");
    assert_eq!(fs::read(&written).unwrap(), vec![7; DATA_MAX]);
    assert_eq!(fs::metadata(&written).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(
        guest.read(node, DATA_MAX as u32).unwrap(),
        vec![7; DATA_MAX]
    );
}

#[test]
fn nothing_above_the_directory_has_a_name() {
    let tree = tree();
    let volume = tree.path().join("volume");
    let mut guest = Guest::new(&volume, false);
    let top = guest.inode(ROOT).unwrap();
    assert_eq!(top, fs::metadata(&volume).unwrap().ino());
    let above = guest.lookup(ROOT, "..").unwrap();
    assert_eq!(guest.inode(above).unwrap(), top);
    let below = guest.lookup(ROOT, "below").unwrap();
    let back = guest.lookup(below, "..").unwrap();
    assert_eq!(guest.inode(back).unwrap(), top);
    let above = guest.lookup(back, "..").unwrap();
    assert_eq!(guest.inode(above).unwrap(), top);
    for name in [
        "../secret",
        "below/../../secret",
        "/",
        "/proc",
        "below/deeper",
    ] {
        assert_eq!(guest.lookup(ROOT, name), Err(libc::EINVAL), "{name}");
        assert_eq!(
            guest.make(ROOT, name, libc::S_IFREG | 0o600, 0),
            Err(libc::EINVAL),
            "{name}"
        );
        let unlinked = guest.ask(UNLINK, ROOT, format!("{name}\0").as_bytes());
        assert_eq!(unlinked, Err(libc::EINVAL), "{name}");
        let renamed = guest.rename((ROOT, "file"), (ROOT, name));
        assert_eq!(renamed, Err(libc::EINVAL), "{name}");
    }
    assert_eq!(fs::read(tree.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn symbolic_links_are_text_and_never_followed() {
    let tree = tree();
    let volume = tree.path().join("volume");
    symlink("../secret", volume.join("up")).unwrap();
    symlink(tree.path(), volume.join("absolute")).unwrap();
    let mut guest = Guest::new(&volume, false);
    let up = guest.lookup(ROOT, "up").unwrap();
    assert_eq!(guest.ask(READLINK, up, b"").unwrap(), b"../secret");
    // A kernel would not open them, nor look for names in them.
    assert!(guest.open(up, libc::O_RDONLY).is_err());
    let absolute = guest.lookup(ROOT, "absolute").unwrap();
    assert!(guest.lookup(absolute, "secret").is_err());
    let mut body = [0o755, 0].map(u32::to_le_bytes).concat();
    body.extend(b"made\0");
    assert!(guest.ask(MKDIR, absolute, &body).is_err());
    // A link that the guest makes, and a hard link to a link.
    guest.ask(SYMLINK, ROOT, b"own\0/etc/passwd\0").unwrap();
    let own = guest.lookup(ROOT, "own").unwrap();
    let mut body = own.to_le_bytes().to_vec();
    body.extend(b"hard\0");
    guest.ask(LINK, ROOT, &body).unwrap();
    let hard = guest.lookup(ROOT, "hard").unwrap();
    assert_eq!(guest.ask(READLINK, hard, b"").unwrap(), b"/etc/passwd");
    assert!(guest.open(hard, libc::O_RDONLY).is_err());
    assert!(!tree.path().join("made").exists());
}

#[test]
fn devices_cannot_be_made_and_nothing_but_files_is_opened() {
    let tree = tree();
    let volume = tree.path().join("volume");
    let mut guest = Guest::new(&volume, false);
    for (name, mode, device) in [
        ("memory", libc::S_IFCHR | 0o666, 0x0101),
        ("disk", libc::S_IFBLK | 0o666, 0xfe00),
    ] {
        assert_eq!(
            guest.make(ROOT, name, mode, device),
            Err(libc::EPERM),
            "{name}"
        );
        assert!(!volume.join(name).exists());
    }
    guest.make(ROOT, "pipe", libc::S_IFIFO | 0o600, 0).unwrap();
    let pipe = guest.lookup(ROOT, "pipe").unwrap();
    // It would wait for a writer, and so would everybody.
    assert_eq!(guest.open(pipe, libc::O_RDONLY), Err(libc::EBADF));
}

#[test]
fn a_volume_that_is_read_only_refuses_every_change() {
    let tree = tree();
    let volume = tree.path().join("volume");
    let mut guest = Guest::new(&volume, true);
    let file = guest.lookup(ROOT, "file").unwrap();
    assert_eq!(guest.read(file, 100).unwrap(), b"content");
    assert_eq!(guest.open(file, libc::O_RDWR), Err(libc::EROFS));
    assert_eq!(
        guest.open(file, libc::O_WRONLY | libc::O_TRUNC),
        Err(libc::EROFS)
    );
    assert_eq!(
        guest.make(ROOT, "new", libc::S_IFREG | 0o600, 0),
        Err(libc::EROFS)
    );
    assert_eq!(guest.ask(UNLINK, ROOT, b"file\0"), Err(libc::EROFS));
    assert_eq!(
        guest.rename((ROOT, "file"), (ROOT, "other")),
        Err(libc::EROFS)
    );
    assert_eq!(guest.ask(SYMLINK, ROOT, b"own\0/\0"), Err(libc::EROFS));
    // FATTR_MODE, and the mode behind size, times and lock owner.
    let mut chmod = vec![0; 88];
    chmod[0] = 1;
    chmod[68] = 0xff;
    assert_eq!(guest.ask(4, file, &chmod), Err(libc::EROFS));
    assert_eq!(fs::read(volume.join("file")).unwrap(), b"content");
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 2);
}

/// While somebody outside swaps a directory for a link to what is outside, nobody inside gets there.
#[test]
fn a_race_of_renames_gets_nobody_out() {
    let tree = tree();
    let volume = tree.path().join("volume");
    fs::create_dir(tree.path().join("outside")).unwrap();
    fs::write(tree.path().join("outside/name"), "outside").unwrap();
    fs::create_dir(volume.join("place")).unwrap();
    fs::write(volume.join("place/name"), "inside").unwrap();
    symlink(tree.path().join("outside"), volume.join("link")).unwrap();
    let mut guest = Guest::new(&volume, false);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = |name: &str| volume.join(name);
            while !over.load(Ordering::Relaxed) {
                fs::rename(at("place"), at("away")).unwrap();
                fs::rename(at("link"), at("place")).unwrap();
                fs::rename(at("place"), at("link")).unwrap();
                fs::rename(at("away"), at("place")).unwrap();
            }
        });
        let mut inside = 0;
        let mut tried = 0;
        while inside < 200 && tried < 200_000 {
            tried += 1;
            let Ok(place) = guest.lookup(ROOT, "place") else {
                continue;
            };
            let Ok(name) = guest.lookup(place, "name") else {
                continue;
            };
            assert_eq!(guest.read(name, 100).unwrap(), b"inside");
            inside += 1;
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(inside, 200, "of {tried}");
    });
}

/// A directory that somebody outside moves out of the volume is no way out.
#[test]
fn a_directory_that_was_moved_away_leads_nowhere() {
    let tree = tree();
    let volume = tree.path().join("volume");
    let mut guest = Guest::new(&volume, false);
    let below = guest.lookup(ROOT, "below").unwrap();
    let deeper = guest.lookup(below, "deeper").unwrap();
    fs::rename(volume.join("below"), tree.path().join("moved")).unwrap();
    let above = guest.lookup(deeper, "..");
    if let Ok(above) = above {
        // Still what it was; but there is no way on to what is beside it.
        assert!(guest.lookup(above, "..").is_err());
        assert!(guest.lookup(above, "secret").is_err());
    }
    let beside = guest.lookup(below, "..");
    assert!(beside.is_err(), "{beside:?}");
}

#[test]
fn malformed_messages_end_the_volume_and_nothing_else() {
    let tree = tree();
    for length in [0u32, 5, 39, MESSAGE_MAX as u32 + 1, u32::MAX] {
        let mut guest = Guest::new(&tree.path().join("volume"), false);
        let mut request = [0; REQUEST_HEADER];
        request[..4].copy_from_slice(&length.to_le_bytes());
        guest.socket.write_all(&request).unwrap();
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = guest.socket.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{length}: {rest:?}");
    }
    // Nodes and handles that nobody was given, and an operation that there is not.
    let mut guest = Guest::new(&tree.path().join("volume"), false);
    for node in [0, 2, 77, u64::MAX] {
        assert!(guest.lookup(node, "file").is_err(), "{node}");
        assert!(guest.open(node, libc::O_RDONLY).is_err(), "{node}");
    }
    assert_eq!(guest.ask(4000, ROOT, b""), Err(libc::ENOSYS));
    assert!(guest.lookup(ROOT, "file").is_ok());
}

#[test]
fn the_process_is_in_its_sandbox() {
    let tree = tree();
    // What whoever starts us has open without meaning to.
    let left_open = fs::File::open(tree.path().join("secret")).unwrap();
    fcntl(&left_open, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let guest = Guest::new(&tree.path().join("volume"), false);
    let parent = guest.process.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let child = children.trim();
    let link =
        |process: &str, name: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).unwrap();
    for name in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        assert_ne!(link(child, name), link("self", name), "{name}");
    }
    for process in [child, &parent.to_string()] {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let open: Vec<_> = open
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .collect();
        assert!(open.len() > 2, "{open:?}");
        let left = open.iter().any(|file| file.ends_with("secret"));
        assert!(!left, "{open:?}");
    }
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().last())
            .expect("a field")
            .to_owned()
    };
    // chown, dac_override, fowner, fsetid, setgid, setuid.
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(field(set), "00000000000000db", "{set}");
    }
    assert_eq!(field("CapInh:"), "0000000000000000");
    assert_eq!(
        (field("NoNewPrivs:"), field("Seccomp:")),
        ("1".to_owned(), "2".to_owned())
    );
    let mounts = fs::read_to_string(format!("/proc/{child}/mountinfo")).unwrap();
    let mut places: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["/", "/proc/self/fd", "/volume"], "{mounts}");
    // Not the program, which is the host's file.
    let mut seen: Vec<_> = fs::read_dir(format!("/proc/{child}/root/proc/self"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["fd", "mountinfo"]);
    let volume = mounts.lines().find(|line| line.contains(" /volume "));
    let volume = volume.expect("its mount");
    assert!(volume.contains("nosuid,nodev,noexec"), "{volume}");
    let follows = volume.contains("shared:") || volume.contains("master:");
    assert!(!follows, "what is mounted there later is in it: {volume}");
}

#[test]
fn a_service_that_sees_part_of_proc_has_volumes() {
    let tree = tree();
    // As systemd's ProtectKernelTunables= has it. Who may not see it all may not mount another /proc.
    let service = tree.path().join("service");
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/unshare --user --map-root-user --mount /bin/sh -c \
         '/bin/mount --bind /proc/sys /proc/sys && /bin/mount -o remount,bind,ro /proc/sys && exec \"$0\" \"$@\"' \
         {PROGRAM} \"$@\"\n"
    );
    fs::write(&service, script).unwrap();
    fs::set_permissions(&service, fs::Permissions::from_mode(0o755)).unwrap();
    let mut guest = Guest::start_as(&service, &tree.path().join("volume"), false).unwrap();
    let greeting = [7u32, 38, 128 << 10, 0].map(u32::to_le_bytes).concat();
    guest
        .ask(INIT, 0, &[greeting, vec![0; 48]].concat())
        .unwrap();
    let file = guest.lookup(ROOT, "file").unwrap();
    assert_eq!(guest.read(file, 100).unwrap(), b"content");
}

#[test]
fn the_terminals_signals_are_not_for_the_process() {
    let tree = tree();
    let guest = Guest::new(&tree.path().join("volume"), false);
    let pid = Pid::from_raw(guest.process.id() as i32);
    // Ctrl-C is sent to a process group.
    assert_ne!(getpgid(Some(pid)).unwrap(), getpgrp());
}

#[test]
fn a_volume_whose_process_was_killed_ends() {
    let tree = tree();
    let mut guest = Guest::new(&tree.path().join("volume"), false);
    guest.lookup(ROOT, "file").unwrap();
    drop(guest.process);
    let mut rest = Vec::new();
    let _ = guest.socket.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

/// The kernel's switches obey root of the whole machine, which the process of a volume of root's still is.
#[test]
fn a_volume_has_no_file_system_that_holds_no_files() {
    for (directory, said) in [
        ("/proc/sys/kernel", "\"proc\" is mounted there"),
        ("/sys", "\"sysfs\" is mounted there"),
        (
            "/",
            " in it, and a volume has none but those that hold files",
        ),
    ] {
        let Err(error) = Guest::start(Path::new(directory), false) else {
            panic!("{directory} is served");
        };
        let error = error.to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_program_that_a_container_makes_has_no_users_rights() {
    let tree = tree();
    let volume = tree.path().join("volume");
    let mut guest = Guest::new(&volume, false);
    let mode = |name: &str| fs::metadata(volume.join(name)).unwrap().mode() & 0o7777;
    guest.make(ROOT, "made", libc::S_IFREG | 0o6755, 0).unwrap();
    assert_eq!(mode("made"), 0o755);
    let mut body = [libc::O_RDWR as u32, 0o6755, 0, 0]
        .map(u32::to_le_bytes)
        .concat();
    body.extend(b"created\0");
    guest.ask(CREATE, ROOT, &body).unwrap();
    assert_eq!(mode("created"), 0o755);
    // FATTR_MODE, and the mode.
    let file = guest.lookup(ROOT, "file").unwrap();
    let mut chmod = vec![0; 88];
    chmod[0] = 1;
    chmod[68..72].copy_from_slice(&(libc::S_IFREG | 0o6711).to_le_bytes());
    guest.ask(4, file, &chmod).unwrap();
    assert_eq!(mode("file"), 0o711);
}

#[test]
fn what_is_no_directory_is_no_volume() {
    let tree = tree();
    for (name, reason) in [
        ("nothing", "No such file"),
        ("secret", "name the one that this is in"),
    ] {
        let directory = tree.path().join(name);
        let Err(error) = Guest::start(&directory, false) else {
            panic!("{name} is served");
        };
        let said = error.to_string();
        assert!(said.contains(reason), "{said}");
        assert!(said.contains(&*directory.to_string_lossy()), "{said}");
    }
}

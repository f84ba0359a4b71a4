// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of containers, as launchers take them and others look for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, setrlimit};

use super::*;

fn name(text: &str) -> ContainerName {
    text.parse().unwrap()
}

fn state(of: &str) -> State {
    State {
        name: name(of),
        pid: 7,
        started: 0,
        memory: Memory::constant(64),
        process: Process::new(["true"]),
    }
}

fn all(names: &ContainerNames) -> Vec<State> {
    let all = names.all().unwrap().into_iter();
    all.map(|found| found.state.unwrap()).collect()
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let _held = ["a", "b", "c"].map(|name| names.take(&state(name)).unwrap());
    let newer = r#"{"name":"b","pid":7,"of_a_later_version":1}"#;
    fs::write(directory.path().join("b/state.json"), newer).unwrap();
    let all = names.all().unwrap();
    let known: Vec<_> = all
        .iter()
        .map(|found| (found.name.as_str(), found.state.is_ok()))
        .collect();
    assert_eq!(known, [("a", true), ("b", false), ("c", true)]);
    assert!(names.find(&name("b")).is_err());
}

#[test]
fn a_container_is_found_while_its_launcher_lives_and_removed_after() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(&directory.path().join("cki"));
    assert_eq!(all(&names), []);
    let (b, a) = (
        names.take(&state("b")).unwrap(),
        names.take(&state("a")).unwrap(),
    );
    assert_eq!(all(&names), [state("a"), state("b")]);
    assert_eq!(names.find(&name("a")).unwrap(), state("a"));
    assert!(matches!(names.take(&state("a")), Err(NameError::Taken(_))));
    assert!(a.sockets().starts_with(directory.path()));
    drop(b);
    let error = names.find(&name("b")).unwrap_err().to_string();
    assert!(error.contains("no container called b"), "{error}");
    assert_eq!(all(&names), [state("a")]);
    assert!(!directory.path().join("cki/b").exists());
    drop(a);
    // A name can be used again, whoever left it.
    let _a = names.take(&state("a")).unwrap();
    assert_eq!(all(&names).len(), 1);
    // Nobody else reads the variables.
    let file = directory.path().join("cki/a/state.json");
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn of_many_who_take_and_look_at_once_one_has_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = Instant::now() + Duration::from_millis(500);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < stop {
                    match names.take(&state("a")) {
                        Ok(held) => {
                            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                            // It is there for as long as it is held, whoever looks.
                            assert_eq!(names.find(&name("a")).unwrap(), state("a"));
                            taken.fetch_add(1, Ordering::SeqCst);
                            holders.fetch_sub(1, Ordering::SeqCst);
                            drop(held);
                        }
                        Err(NameError::Taken(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            scope.spawn(|| {
                while Instant::now() < stop {
                    assert!(all(&names).len() <= 1);
                }
            });
        }
    });
    assert!(taken.into_inner() > 1, "nobody ever had it");
}

#[test]
fn nobody_is_kept_out_by_a_lock_on_the_directory_of_all() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let all = File::open(directory.path()).unwrap();
    let _held = Flock::lock(all, FlockArg::LockExclusiveNonblock).unwrap();
    let _a = names.take(&state("a")).unwrap();
    assert_eq!(names.find(&name("a")).unwrap(), state("a"));
}

#[test]
fn the_directory_of_a_service_that_is_about_to_start_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let of_a = directory.path().join("a");
    fs::create_dir(&of_a).unwrap();
    assert_eq!(all(&names), []);
    assert!(matches!(names.find(&name("a")), Err(NameError::Missing(_))));
    assert_eq!(fs::read_dir(&of_a).unwrap().count(), 0);
    let _a = names.take(&state("a")).unwrap();
    assert_eq!(names.find(&name("a")).unwrap(), state("a"));
}

#[test]
fn links_and_pipes_that_a_containers_user_has_put_there_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(&directory.path().join("cki"));
    let secret = directory.path().join("secret");
    fs::write(&secret, serde_json::to_vec(&state("a")).unwrap()).unwrap();
    let of_a = directory.path().join("cki/a");
    fs::create_dir_all(&of_a).unwrap();
    let lock = of_a.join("lock");
    std::os::unix::fs::symlink(&secret, &lock).unwrap();
    assert!(names.find(&name("a")).is_err());
    assert!(names.take(&state("a")).is_err());
    fs::remove_file(&lock).unwrap();
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(names.find(&name("a")).is_err());
    fs::remove_file(&lock).unwrap();
    let _a = names.take(&state("a")).unwrap();
    let file = of_a.join("state.json");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&secret, &file).unwrap();
    assert!(names.find(&name("a")).is_err());
    assert!(secret.exists());
}

#[test]
fn a_name_that_cannot_be_had_is_the_fault_of_who_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let _held = names.take(&state("a")).unwrap();
    let taken = names.take(&state("a")).unwrap_err();
    let missing = names.find(&name("b")).unwrap_err();
    for error in [taken, missing] {
        assert_eq!(error.kind(), FailureKind::Request, "{error}");
    }
    let unreadable = failed(directory.path())(ErrorKind::PermissionDenied.into());
    assert_eq!(unreadable.kind(), FailureKind::Internal);
}

#[test]
fn a_lock_that_somebody_is_about_to_take_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let of_a = directory.path().join("a");
    fs::create_dir(&of_a).unwrap();
    let made = open_lock(&of_a, true).unwrap();
    assert!(matches!(names.find(&name("a")), Err(NameError::Missing(_))));
    let lock = try_lock(made, &of_a, FlockArg::LockExclusiveNonblock).unwrap();
    assert!(lock.is_some(), "it is still that of the name");
}

#[test]
fn a_state_is_that_of_its_own_name_alone() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let _held = ["a", "b"].map(|name| names.take(&state(name)).unwrap());
    let file = |name: &str| directory.path().join(name).join("state.json");
    fs::copy(file("b"), file("a")).unwrap();
    let error = names.find(&name("a")).unwrap_err();
    let NameError::Io { source, .. } = error else {
        panic!("{error:?}")
    };
    assert!(
        source.to_string().contains("another container's"),
        "{source}"
    );
    assert_eq!(names.find(&name("b")).unwrap(), state("b"));
}

#[test]
fn what_was_left_is_not_taken_for_who_has_the_name_now() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    drop(names.take(&state("a")).unwrap());
    let mut newer = state("a");
    newer.pid = 8;
    let _held = names.take(&newer).unwrap();
    assert_eq!(names.find(&name("a")).unwrap(), newer);
}

#[test]
fn a_directory_whose_state_cannot_be_written_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let secret = directory.path().join("secret");
    fs::write(&secret, "kept").unwrap();
    let of_a = directory.path().join("a");
    fs::create_dir(&of_a).unwrap();
    std::os::unix::fs::symlink(&secret, of_a.join("state.new")).unwrap();
    assert!(names.take(&state("a")).is_err());
    assert!(!of_a.exists());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    let _a = names.take(&state("a")).unwrap();
}

#[test]
fn a_directory_whose_lock_cannot_be_made_is_not_left() {
    // Of a process of its own, which has no descriptor left: the directory can be made, and no file opened.
    if let Some(path) = std::env::var_os("CKI_TEST_TAKES") {
        let names = ContainerNames::below(Path::new(&path));
        setrlimit(Resource::RLIMIT_NOFILE, 0, 0).unwrap();
        let error = names.take(&state("a")).unwrap_err();
        let NameError::Io { source, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(source.raw_os_error(), Some(libc::EMFILE));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let of_a = directory.path().join("a");
    let takes = || {
        let ours = std::env::current_exe().unwrap();
        let test = "container_names::tests::a_directory_whose_lock_cannot_be_made_is_not_left";
        let mut command = std::process::Command::new(ours);
        let output = command
            .args(["--exact", test])
            .env("CKI_TEST_TAKES", directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    };
    takes();
    assert!(!of_a.exists());
    // One that was there stays: a service's.
    fs::create_dir(&of_a).unwrap();
    takes();
    assert!(of_a.exists());
}

#[test]
fn who_is_writing_its_state_does_not_run_yet() {
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let _held = names.take(&state("a")).unwrap();
    // As its predecessor left it.
    fs::write(directory.path().join("a/state.new"), "half").unwrap();
    assert_eq!(all(&names), []);
    assert!(directory.path().join("a/state.json").exists());
}

#[test]
fn what_a_launcher_has_left_that_was_killed_while_it_took_the_name_is_removed() {
    // Before it removed its predecessor's state, and after that.
    for predecessor in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let names = ContainerNames::below(directory.path());
        drop(names.take(&state("a")).unwrap());
        let of_a = directory.path().join("a");
        fs::write(of_a.join("state.new"), "half").unwrap();
        fs::write(of_a.join("vsock"), "").unwrap();
        if !predecessor {
            fs::remove_file(of_a.join("state.json")).unwrap();
        }
        assert_eq!(all(&names), []);
        assert!(!of_a.exists());
    }
}

#[test]
fn what_was_left_in_a_directory_that_is_a_link_is_removed_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let of_a = directory.path().join("private");
    let names = ContainerNames::below(&directory.path().join("cki"));
    fs::create_dir_all(&of_a).unwrap();
    fs::create_dir(directory.path().join("cki")).unwrap();
    std::os::unix::fs::symlink(&of_a, directory.path().join("cki/a")).unwrap();
    drop(names.take(&state("a")).unwrap());
    assert!(of_a.join(STATE).exists());
    let error = names.find(&name("a")).unwrap_err();
    assert!(matches!(error, NameError::Missing(_)), "{error}");
    assert_eq!(fs::read_dir(&of_a).unwrap().count(), 0);
}

/// A process that is not ours, such as the first one.
fn process_of_another() -> i32 {
    let us = nix::unistd::geteuid().as_raw();
    let number = |entry: fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (!is_of(us, &status)).then_some(pid)
    };
    let processes = fs::read_dir("/proc").unwrap();
    let found = processes.filter_map(Result::ok).find_map(number);
    found.expect("no process of somebody else's is to be seen here; root can try this without one")
}

#[test]
fn a_process_of_another_user_is_no_launcher() {
    let users = |four: &str| format!("Name:\tcki\nUid:\t{four}\nGid:\t0\t0\t0\t0\n");
    assert!(is_of(7, &users("7\t7\t7\t7")));
    for another in [
        "0\t0\t0\t0",
        "7\t0\t7\t7",
        "7\t7\t7\t8",
        "77\t77\t77\t77",
        "",
    ] {
        assert!(!is_of(7, &users(another)), "{another}");
    }
    let directory = tempfile::tempdir().unwrap();
    let names = ContainerNames::below(directory.path());
    let mut ours = state("a");
    ours.pid = std::process::id() as i32;
    ours.started = start_time(ours.pid).unwrap();
    let _a = names.take(&ours).unwrap();
    // Who had the number before is not it.
    let before = State {
        started: ours.started - 1,
        ..ours.clone()
    };
    assert!(!names.is_launcher(&before).unwrap());
    // The user of the directory is who runs this.
    assert!(names.is_launcher(&ours).unwrap());
    // Only root gives a directory to somebody else; for others, a process of somebody else's is to be the launcher.
    let anothers = if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&directory.path().join("a"), Some(7.into()), None).unwrap();
        ours
    } else {
        let pid = process_of_another();
        let started = start_time(pid).unwrap();
        State {
            pid,
            started,
            ..ours
        }
    };
    assert!(!names.is_launcher(&anothers).unwrap());
}

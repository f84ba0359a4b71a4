// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding and starting programs, as a shell would.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use cki_init::program::{ProgramStartError, environment, find, start};
use cki_session::{FailureKind, Process};

fn file(directory: &Path, name: &str, text: &str, mode: u32) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(argv: &[&str], workdir: &Path) -> Process {
    Process {
        workdir: Some(workdir.display().to_string()),
        ..Process::new(argv.iter().copied())
    }
}

#[test]
fn the_hosts_variables_come_over_the_defaults_and_later_ones_win() {
    let set = [("HOME", "/a"), ("X", "1"), ("X", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let mut process = run(&["true"], Path::new("/"));
    process.env = set.to_vec();
    let got = environment(&process, "/home");
    assert_eq!(got.get("TERM"), None);
    assert_eq!(got["HOME"], "/a");
    assert_eq!(got["X"], "2");
    assert!(got["PATH"].contains("/usr/bin"));
}

#[test]
fn path_is_searched_in_order_past_files_that_cannot_be_executed() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "a/tool", "", 0o644);
    file(root.path(), "b/tool", "", 0o755);
    file(root.path(), "c/tool", "", 0o755);
    let path = ["none", "a", "b", "c"]
        .map(|d| root.path().join(d).display().to_string())
        .join(":");
    assert_eq!(
        find("tool", &path, Path::new("/")).unwrap(),
        root.path().join("b/tool")
    );
}

#[test]
fn a_name_with_a_slash_is_taken_relative_to_the_working_directory() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "bin/tool", "", 0o755);
    assert_eq!(
        find("bin/tool", "/nowhere", root.path()).unwrap(),
        root.path().join("bin/tool")
    );
    assert_eq!(
        find("./tool", "", &root.path().join("bin")).unwrap(),
        root.path().join("bin/./tool")
    );
}

#[test]
fn an_empty_element_of_path_is_the_working_directory() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "tool", "", 0o755);
    assert_eq!(
        find("tool", "/nowhere:", root.path()).unwrap(),
        root.path().join("tool")
    );
}

#[test]
fn what_a_shell_calls_127_is_not_found() {
    for name in ["no-such-program", "/no/such/program", ""] {
        let error = find(name, "/bin:/usr/bin", Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotFound, "{error}");
    }
}

#[test]
fn what_a_shell_calls_126_is_not_executable() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "plain", "", 0o644);
    file(root.path(), "directory/x", "", 0o644);
    file(root.path(), "data", "\x00\x01\x02no program", 0o755);
    file(root.path(), "orphan", "#!/no/such/interpreter\n", 0o755);
    for name in ["./plain", "./directory", "./data", "./orphan"] {
        let error = start(&run(&[name], root.path())).unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotExecutable, "{name}: {error}");
        assert!(error.to_string().contains(&name[2..]), "{error}");
    }
}

#[test]
fn requests_that_no_exec_could_serve_are_refused() {
    let root = tempfile::tempdir().unwrap();
    // Such requests are invalid and do not come this far; here they end in an error all the same.
    for argv in [&[][..], &["a\0b"]] {
        assert!(start(&run(argv, root.path())).is_err(), "{argv:?}");
    }
}

#[test]
fn a_missing_working_directory_is_named() {
    let root = tempfile::tempdir().unwrap();
    let error = start(&run(&["true"], &root.path().join("gone"))).unwrap_err();
    assert!(matches!(error, ProgramStartError::WorkingDirectory { .. }));
    assert!(error.to_string().contains("gone"), "{error}");
    // It is the user's: nothing that a kernel printed would explain it.
    assert_eq!(error.kind(), FailureKind::Request);
}

#[test]
fn a_started_program_has_its_name_arguments_directory_and_streams() {
    let root = tempfile::tempdir().unwrap();
    let script = "read line; echo \"$0:$1:$line:$PWD:$HOME\"; echo oops >&2; exit 7";
    let started = start(&run(&["sh", "-c", script, "me", "you"], root.path())).unwrap();
    let mut child = started.child;
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(
        out,
        format!("me:you:input:{}:/root\n", root.path().display())
    );
    assert_eq!(err, "oops\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn a_started_program_leads_its_process_group() {
    let root = tempfile::tempdir().unwrap();
    let mut started = start(&run(&["sh", "-c", "kill -TERM 0; sleep 9"], root.path())).unwrap();
    assert_eq!(started.child.wait().unwrap().signal(), Some(libc::SIGTERM));
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary with a host module that is preloaded (`module.c`). Not every test file uses all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use cki_session::Event;

use crate::common::{erofs, events, file, request, with_client};

/// The module, built once.
fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("module.so");
        let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg("-I")
            .arg(here.join("../abi/include"))
            .arg(here.join("tests/module.c"))
            .output()
            .expect("a C compiler, which rustc needs too");
        assert!(output.status.success(), "{output:?}");
        library
    })
}

/// A launcher that was started for a client.
pub struct Launcher {
    pub child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub client: UnixStream,
    _directory: tempfile::TempDir,
}

impl Launcher {
    pub fn start(settings: &[(&str, &str)], options: &[&str], kernel: &[u8]) -> Launcher {
        Self::start_by(|_| {}, settings, options, kernel)
    }

    /// As `prepare` has it started.
    pub fn start_by(
        prepare: impl FnOnce(&mut Command),
        settings: &[(&str, &str)],
        options: &[&str],
        kernel: &[u8],
    ) -> Launcher {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let (kernel, image) = (file(at, "kernel", kernel), file(at, "image", &erofs()));
        // Whoever it is to be enters the directory, and opens the image as its device.
        for (path, mode) in [(at, 0o755), (Path::new(&image), 0o666)] {
            let open = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, open).expect("it is ours");
        }
        let files = ["--kernel", &kernel, "--image", &image];
        let run = ["--device", &image, "run", "--session-fd", "3"];
        // The command, which holds the launcher's end, is gone on return.
        let (mut command, mut client) = with_client(&[&run[..], &files, options].concat());
        client.write_all(&request()).expect("sent");
        prepare(&mut command);
        let mut child = command
            .env("LD_PRELOAD", module())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Launcher {
            child,
            stderr,
            client,
            _directory: directory,
        }
    }

    /// Waits until the guest runs.
    pub fn wait_running(&mut self) {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("text");
        assert_eq!(line, "running\n");
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it is there");
    }

    /// How it ended, what it said on standard error since, and its messages.
    pub fn end(mut self) -> (std::process::ExitStatus, String, Vec<Event>) {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).expect("text");
        let status = self.child.wait().expect("it ends");
        (status, text, events(self.client))
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that stays up, and what runs in it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Output, cki, run_program, variable};

/// A machine, which is stopped when this is dropped.
#[derive(Debug)]
pub struct Machine(pub String);

/// A container that runs in one, or a process beside its program.
#[derive(Debug)]
pub struct Container {
    /// Its `cki-build`.
    pub client: Child,
    stdout: BufReader<ChildStdout>,
}

impl Machine {
    /// Starts one, with these options.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(name: &str, options: &[&str]) -> Self {
        let machine = Self(format!("test-{name}-{}", std::process::id()));
        let words = ["-q", "machine", "start", &machine.0];
        let output = cki(words.iter().chain(options));
        assert_eq!(output.status, 0, "{}", output.stderr);
        machine
    }

    /// What `status --json` has under a key.
    ///
    /// # Panics
    /// When that is no number.
    #[must_use]
    pub fn status(&self, key: &str) -> u64 {
        let output = cki(["--json", "machine", "status", &self.0]);
        assert_eq!(output.status, 0, "{}", output.stderr);
        let status: serde_json::Value = serde_json::from_str(output.text()).expect("JSON");
        let output = cki(["--json", "machine", "list"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(output.text()).expect("JSON");
        let listed = list.iter().filter(|one| one["name"] == self.0.as_str());
        assert_eq!(listed.count(), 1, "{}: {list:?}", self.0);
        status[key].as_u64().expect("a number")
    }

    /// Runs `command` with the options of `run`.
    ///
    /// # Panics
    /// When that cannot be done.
    #[must_use]
    pub fn run(&self, options: &[&str], command: &[&str], stdin: &[u8]) -> Output {
        let memory: &[_] = match options.contains(&"-m") {
            true => &[],
            false => &["-m", "128M"],
        };
        let words = ["-q", "run", "--machine", &self.0, "--network", "none"];
        let words = words.iter().chain(memory).chain(options);
        let words = words.chain(&["--"]).chain(command);
        run_program(variable("CKI_BUILD"), words, stdin)
    }

    /// Starts a container whose script says a line, `NAME runs`, when it runs.
    ///
    /// # Panics
    /// When it says another.
    #[must_use]
    pub fn container(&self, name: &str, script: &str) -> Container {
        self.container_with(name, &["--network", "none"], &["sh", "-c", script])
    }

    /// As [`Machine::container`], with other options and another command.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn container_with(&self, name: &str, options: &[&str], command: &[&str]) -> Container {
        // Others are numbered by the machine.
        let naming = ["--name", name];
        let naming: &[_] = match name.starts_with("run-") {
            true => &[],
            false => &naming,
        };
        let mut client = Command::new(variable("CKI_BUILD"))
            .args(["-q", "run", "--machine", &self.0, "-m", "128M"])
            .args(naming)
            .args(options)
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cki-build is started");
        let stdout = client.stdout.take().expect("piped");
        let mut container = Container {
            client,
            stdout: BufReader::new(stdout),
        };
        assert_eq!(container.line(), format!("{name} runs\n"));
        container
    }

    /// Starts a process beside the program of a container.
    ///
    /// # Panics
    /// When that cannot be done.
    #[must_use]
    pub fn beside(&self, options: &[&str], name: &str, script: &str) -> Container {
        let mut client = Command::new(variable("CKI_BUILD"))
            .args(["-q", "exec", "--machine", &self.0])
            .args(options)
            .args([name, "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cki-build is started");
        let stdout = client.stdout.take().expect("piped");
        Container {
            client,
            stdout: BufReader::new(stdout),
        }
    }

    /// Runs a script in the machine itself.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, script: &str) -> Output {
        let words = ["-q", "machine", "ssh", &self.0, "--", "sh", "-c", script];
        let output = cki(words);
        assert_eq!(output.status, 0, "{}", output.stderr);
        output
    }

    /// `exec`, `list` or `kill`.
    ///
    /// # Panics
    /// When that cannot be done.
    #[must_use]
    pub fn ask(&self, command: &str, words: &[&str], stdin: &[u8]) -> Output {
        let start = ["-q", command, "--machine", &self.0];
        run_program(variable("CKI_BUILD"), start.iter().chain(words), stdin)
    }

    /// Waits until all places are free.
    ///
    /// # Panics
    /// When one is not in time.
    pub fn is_empty_soon(&self) {
        let start = Instant::now();
        while self.status("free_places") != self.status("places") {
            assert!(start.elapsed() < Duration::from_secs(30), "a place is lost");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(self.status("free_mib"), self.status("pool_mib"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = cki(["-q", "machine", "stop", &self.0]);
        let _ = std::fs::remove_dir_all(variable("CKI_CACHE").join("machines").join(&self.0));
    }
}

impl Container {
    /// The next line of its output.
    ///
    /// # Panics
    /// When that is no text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it is text");
        line
    }

    /// Its status, and the rest of what it and its client have said.
    ///
    /// # Panics
    /// When that is no text.
    #[must_use]
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("it is text");
        let stderr = self.client.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut rest).expect("it is text");
        (self.client.wait().expect("it ends").code(), rest)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options that say what a program is run with.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cki_session::values::{parse_wait, parse_workdir};
use cki_session::{
    Capabilities, Capability, Limit, Process, Root, Run, Signal, Terminal, Tmpfs, User,
};
use clap::Args;

use crate::env_file::{self, EnvFileError};
use crate::terminal::UserTerminal;
use crate::variable::{NotText, Variable};
use crate::volume::VolumeOption;

/// Time between the stop signal and the end of a program that does not heed it.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Options of a process.
#[derive(Debug, Clone, Default, Args)]
pub struct ProcessOptions {
    /// Pass standard input to the program; so it is without this option too
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the program a terminal of its own, and pass all keys of yours to it
    #[arg(short, long)]
    pub tty: bool,
    /// Whom the program runs as; looked up in the image [default: root]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<User>,
    /// Set a variable in the program's environment; without a value, the one that it has here, if any. May be
    /// repeated
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<Variable>,
    /// Set the variables that this file has, one a line; `--env` comes after it. May be repeated
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Directory in which the program starts [default: /root, or / with --user]
    #[arg(short, long, value_name = "DIR", value_parser = parse_workdir)]
    pub workdir: Option<String>,
    /// Limit a resource, such as nofile=1024:4096; may be repeated
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<Limit>,
    /// Keep this capability where --cap-drop says ALL; may be repeated
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<Capability>,
    /// Take a capability, or ALL, from the program and what it starts; may be repeated
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<Capability>,
}

/// Options of a program and of what is around it.
#[derive(Debug, Clone, Default, Args)]
pub struct ProgramOptions {
    /// Those of its process.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// Run this program, with the rest of the command line as its arguments
    #[arg(long, value_name = "CMD")]
    pub entrypoint: Option<String>,
    /// Remove the container when its program ends; so it is without this option too
    #[arg(long)]
    pub rm: bool,
    /// Host name that the program sees [default: cki]
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub hostname: Option<String>,
    /// Let nobody write to the root file system; /tmp, /run and /dev/shm stay as they are
    #[arg(long)]
    pub read_only: bool,
    /// Mount a file system in memory, such as /data:size=64M,mode=1777; may be repeated
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    pub tmpfs: Vec<Tmpfs>,
    /// Show the program a directory of yours at this path, read-only with :ro; may be repeated
    #[arg(short = 'v', long, value_name = "DIR:PATH[:ro]")]
    pub volume: Vec<VolumeOption>,
    /// Have an init reap orphans and pass signals on; a program always has one, with or without this option
    #[arg(long)]
    pub init: bool,
    /// What the program gets when its time is over [default: TERM]
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<Signal>,
    /// Time between that signal and the program's end; 0 for none [default: 2s]
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", value_parser = parse_wait)]
    pub stop_timeout: Option<Duration>,
}

/// The options name no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A file of variables.
    #[error(transparent)]
    EnvFile(#[from] EnvFileError),
    /// A variable of ours.
    #[error(transparent)]
    Variable(#[from] NotText),
}

impl ProcessOptions {
    /// The user's terminal, if the program is to have one.
    ///
    /// # Errors
    /// Those of [`UserTerminal::of_streams`]. With `-i` and `-t` also when standard input is no terminal: whoever
    /// copied them to where there is none would wait for a shell that nobody types an end for.
    pub fn terminal(&self) -> io::Result<Option<UserTerminal>> {
        let terminal = self.tty.then(UserTerminal::of_streams).transpose()?;
        if self.interactive && terminal.as_ref().is_some_and(|it| !it.has_keyboard()) {
            return Err(io::Error::other(
                "with -it, standard input has to be one, and it is not; leave -t out",
            ));
        }
        Ok(terminal)
    }

    /// The process that these options and `argv` name; with `terminal` if one was asked for.
    pub(crate) fn process(
        &self,
        argv: Vec<String>,
        terminal: impl FnOnce() -> Terminal,
    ) -> Result<Process, ProgramError> {
        let mut process = Process::new(argv);
        if self.tty {
            process.terminal = Some(terminal());
            process.env.extend(UserTerminal::kind());
        }
        for file in &self.env_file {
            process.env.extend(env_file::read(file)?);
        }
        for variable in &self.env {
            process
                .env
                .extend(variable.resolve(|name| std::env::var_os(name))?);
        }
        process.user.clone_from(&self.user);
        process.workdir.clone_from(&self.workdir);
        process.ulimits.clone_from(&self.ulimit);
        process.capabilities = Capabilities {
            add: self.cap_add.clone(),
            drop: self.cap_drop.clone(),
        };
        Ok(process)
    }
}

/// As a host name, so that what is none is refused before anything is built.
fn host_name(text: &str) -> Result<String, cki_session::Invalid> {
    Run::check_host_name(text)?;
    Ok(text.to_owned())
}

impl ProgramOptions {
    /// The request to run `command` with these options, in no container.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn request(
        &self,
        command: Vec<String>,
        terminal: impl FnOnce() -> Terminal,
    ) -> Result<Run, ProgramError> {
        let argv = self.entrypoint.clone().into_iter().chain(command).collect();
        let mut run = Run::new(Vec::<String>::new());
        run.process = self.process.process(argv, terminal)?;
        // Another user may not enter root's directory.
        if let (None, None) = (&run.process.workdir, &run.process.user) {
            run.process.workdir = Some("/root".to_owned());
        }
        run.hostname.clone_from(&self.hostname);
        run.root = Root {
            read_only: self.read_only,
            tmpfs: self.tmpfs.clone(),
            volumes: (0..)
                .zip(&self.volume)
                .map(|(index, option)| option.volume(index))
                .collect(),
        };
        Ok(run)
    }

    /// What the program gets when its time is over, and the time that it then has.
    #[must_use]
    pub fn stop(&self) -> (Signal, Duration) {
        let signal = self.stop_signal.unwrap_or(Signal::TERM);
        (signal, self.stop_timeout.unwrap_or(STOP_TIMEOUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: ProgramOptions,
        #[arg(last = true)]
        command: Vec<String>,
    }

    fn request(line: &str) -> Run {
        let words = format!("run {line}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        cli.options
            .request(cli.command, || Terminal::USUAL)
            .unwrap()
    }

    #[test]
    fn nothing_said_is_a_request_that_any_server_honours() {
        let run = request("-- ls -l");
        assert_eq!(run.process.argv, ["ls", "-l"]);
        assert_eq!(run.process.workdir.as_deref(), Some("/root"));
        assert_eq!(run.hostname, None);
        assert_eq!(run.unsupported::<&str>(&[]), None);
        // What is so in any case changes nothing.
        assert_eq!(request("-i --init --rm -- ls -l"), run);
    }

    #[test]
    fn every_option_is_in_the_request() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "A=file\nB=file\n").unwrap();
        let run = request(&format!(
            "-it -u daemon:4 --env-file {} -e A=1 -e PATH -e CKI_NO_SUCH_VARIABLE -w /tmp --ulimit core=0 --cap-drop \
             all --cap-add kill --entrypoint sh --hostname box --read-only --tmpfs /a:size=1M -- -c x",
            file.display()
        ));
        let process = &run.process;
        assert_eq!(process.argv, ["sh", "-c", "x"]);
        assert_eq!(process.terminal, Some(Terminal::USUAL));
        assert_eq!(process.user, Some("daemon:4".parse().unwrap()));
        let env: Vec<_> = process
            .env
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert!(env.ends_with(&["A=file", "B=file", "A=1", &path].map(str::to_owned)));
        assert_eq!(process.workdir.as_deref(), Some("/tmp"));
        assert_eq!(process.ulimits, ["core=0".parse().unwrap()]);
        assert_eq!(process.capabilities.dropped().count(), 40);
        assert_eq!(run.hostname.as_deref(), Some("box"));
        assert!(run.root.read_only);
        assert_eq!(run.root.tmpfs, ["/a:size=1M".parse().unwrap()]);
    }

    #[test]
    fn another_user_starts_where_it_may_be() {
        assert_eq!(request("-u daemon -- ls").process.workdir, None);
        let told = request("-u daemon -w /root -- ls");
        assert_eq!(told.process.workdir.as_deref(), Some("/root"));
    }

    #[test]
    fn the_end_can_be_asked_for_in_another_way() {
        let stop = |line: &str| {
            let cli = Cli::try_parse_from(format!("run {line}").split_whitespace()).unwrap();
            let (signal, time) = cli.options.stop();
            (signal.number(), time.as_millis())
        };
        assert_eq!(stop(""), (15, 2000));
        assert_eq!(stop("--stop-signal quit --stop-timeout 500ms"), (3, 500));
        assert_eq!(stop("--stop-timeout 0"), (15, 0));
        assert_eq!(stop("--stop-timeout 0s"), (15, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence() {
        for (line, part) in [
            ("--user :x", "UID[:GID]"),
            ("--ulimit files=1", "no resource"),
            ("--cap-add NET", "no capability"),
            ("--tmpfs /", "root itself"),
            ("--tmpfs tmp", "absolute path"),
            ("--stop-signal NOPE", "no signal"),
            ("--workdir tmp", "absolute path"),
            ("--stop-timeout 0x", "expected a time"),
            ("--stop-timeout=-1", "expected a time"),
            ("--env =x", "NAME=VALUE"),
        ] {
            let words = format!("run {line}");
            let error = Cli::try_parse_from(words.split_whitespace()).unwrap_err();
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
    }
}

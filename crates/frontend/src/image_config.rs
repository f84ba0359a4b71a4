// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an image says of its program, for all that the user does not say.

use std::path::{Path, PathBuf};

use cki_session::{Run, Tmpfs};
use serde::{Deserialize, Serialize};

use crate::options::ProgramOptions;

/// What an image says of its program; as a file, JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Its other arguments, unless the user gives some; without an entry point, the program and its arguments.
    pub cmd: Vec<String>,
    /// Variables and their values.
    pub env: Vec<(String, String)>,
    /// The user, as `UID[:GID]` or `NAME[:GROUP]`.
    pub user: Option<String>,
    /// The working directory; `/` if none is said.
    pub workdir: Option<String>,
    /// Directories that are to be writable and empty of the image's changes.
    pub volumes: Vec<String>,
    /// The signal that ends the program, as `SIGQUIT` or `3`.
    pub stop_signal: Option<String>,
}

/// What an image says cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ImageConfigError {
    /// The file cannot be read.
    #[error("cannot read the image's configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is no configuration.
    #[error("{path} is no configuration that `cki-build image oci --config` has written: {source}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value cannot be.
    #[error("the {part} in the image's configuration is not understood: {problem}")]
    Part {
        /// What it is of.
        part: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Neither the image nor the user names a program.
    #[error("the image names no program: name one behind `--`")]
    NoProgram,
}

impl ImageConfig {
    /// Reads the file that `cki-build image oci --config` writes.
    ///
    /// # Errors
    /// [`ImageConfigError`].
    pub fn read(path: &Path) -> Result<Self, ImageConfigError> {
        let text = std::fs::read(path).map_err(|source| ImageConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| ImageConfigError::Foreign {
            path: path.to_owned(),
            source,
        })
    }

    /// The program and its arguments: `given` takes the place of the image's arguments. Empty when neither says any.
    #[must_use]
    pub fn argv<W: Clone + From<String>>(&self, given: &[W]) -> Vec<W> {
        let words = |words: &[String]| words.iter().cloned().map(W::from).collect::<Vec<_>>();
        let mut argv = words(&self.entrypoint);
        if given.is_empty() {
            argv.extend(words(&self.cmd));
        } else {
            argv.extend_from_slice(given);
        }
        argv
    }

    /// Adds to what the user says, options and the words of the command, what the image says and the user does not.
    /// Its variables are for [`Self::add_variables`].
    ///
    /// # Errors
    /// [`ImageConfigError`].
    pub fn complete<W: Clone + From<String>>(
        &self,
        options: &mut ProgramOptions,
        command: &mut Vec<W>,
    ) -> Result<(), ImageConfigError> {
        let odd = |part, problem| ImageConfigError::Part { part, problem };
        // Whoever takes another program does not want its arguments; one of no name is none at all, as elsewhere.
        if options
            .entrypoint
            .as_ref()
            .is_some_and(|program| program.is_empty())
        {
            options.entrypoint = None;
        } else if options.entrypoint.is_none() {
            *command = self.argv(command);
            if command.is_empty() {
                return Err(ImageConfigError::NoProgram);
            }
        }
        if let (None, Some(user)) = (&options.process.user, &self.user) {
            let user = user.parse().map_err(|error| odd("user", error))?;
            options.process.user = Some(user);
        }
        if options.process.workdir.is_none() {
            let workdir = self.workdir.clone().unwrap_or_else(|| "/".to_owned());
            options.process.workdir = Some(workdir);
        }
        for volume in &self.volumes {
            let place = Path::new(volume);
            // What the user puts there is what the image wants to be put there. As paths: `/data/` is `/data`.
            let is_there = options
                .tmpfs
                .iter()
                .any(|tmpfs| Path::new(tmpfs.path()) == place)
                || options
                    .volume
                    .iter()
                    .any(|volume| Path::new(&volume.path) == place);
            if !is_there {
                let tmpfs: Tmpfs = volume.parse().map_err(|error| odd("volume", error))?;
                options.tmpfs.push(tmpfs);
            }
        }
        if let (None, Some(signal)) = (options.stop_signal, &self.stop_signal) {
            let signal = signal.parse().map_err(|error| odd("stop signal", error))?;
            options.stop_signal = Some(signal);
        }
        Ok(())
    }

    /// Puts the image's variables before those of the request, which win.
    pub fn add_variables(&self, run: &mut Run) {
        run.process.env.splice(0..0, self.env.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_user_says_takes_the_place_of_cmd_alone() {
        for (entrypoint, cmd, given, argv) in [
            ("", "sh -l", "", "sh -l"),
            ("", "sh", "ls /", "ls /"),
            ("redis-server", "--port 1", "", "redis-server --port 1"),
            ("redis-server", "--port 1", "--help", "redis-server --help"),
            ("", "", "", ""),
        ] {
            let config = ImageConfig {
                entrypoint: words(entrypoint),
                cmd: words(cmd),
                ..ImageConfig::default()
            };
            assert_eq!(config.argv(&words(given)), words(argv));
        }
    }

    #[test]
    fn what_the_user_has_put_where_the_image_wants_a_volume_stays() {
        let config = ImageConfig {
            cmd: words("sh"),
            volumes: words("/data/ /cache /new"),
            ..ImageConfig::default()
        };
        let mut options = ProgramOptions {
            tmpfs: vec!["/cache:size=1M".parse().unwrap()],
            volume: vec!["/srv:/data".parse().unwrap()],
            ..ProgramOptions::default()
        };
        config
            .complete(&mut options, &mut Vec::<String>::new())
            .unwrap();
        let places: Vec<_> = options.tmpfs.iter().map(Tmpfs::path).collect();
        assert_eq!(places, ["/cache", "/new"]);
    }

    #[test]
    fn an_image_without_a_program_needs_one_of_the_users() {
        let (config, mut options) = (ImageConfig::default(), ProgramOptions::default());
        let refused = config.complete(&mut options, &mut Vec::<String>::new());
        assert!(matches!(refused, Err(ImageConfigError::NoProgram)));
        let mut command = words("ls /");
        config.complete(&mut options, &mut command).unwrap();
        assert_eq!(command, words("ls /"));
        assert_eq!(options.process.workdir.as_deref(), Some("/"));
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_another_one_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let config = ImageConfig {
            entrypoint: words("redis-server"),
            env: vec![("A".to_owned(), "b c".to_owned())],
            stop_signal: Some("SIGQUIT".to_owned()),
            ..ImageConfig::default()
        };
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            ImageConfig::read(&path)
        };
        assert_eq!(read(&serde_json::to_vec(&config).unwrap()).unwrap(), config);
        for text in ["", "7", r#"{"Entrypoint": ["sh"]}"#] {
            let told = read(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains("config.json is no configuration"), "{told}");
        }
        let told = ImageConfig::read(&dir.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(told.contains("none: No such file"), "{told}");
    }
}

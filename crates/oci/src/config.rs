// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an image says about the program in it.

use oci_spec::image::ImageConfiguration;

/// What an image says about the program in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Its other arguments, unless the user gives some; without an entry point, the program and its arguments.
    pub cmd: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// The user, as `UID[:GID]` or `NAME[:GROUP]`.
    pub user: Option<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Directories that are to be writable and empty of the image's changes.
    pub volumes: Vec<String>,
    /// Ports that the program listens on, as `80/tcp`.
    pub ports: Vec<String>,
    /// The signal that ends the program, as `SIGQUIT` or `3`.
    pub stop_signal: Option<String>,
}

impl Config {
    pub(crate) fn of(image: &ImageConfiguration) -> Self {
        let Some(config) = image.config() else {
            return Self::default();
        };
        let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let variable = |word: String| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (word, String::new()),
        };
        Self {
            entrypoint: words(config.entrypoint()),
            cmd: words(config.cmd()),
            env: words(config.env()).into_iter().map(variable).collect(),
            user: text(config.user()),
            workdir: text(config.working_dir()),
            volumes: words(config.volumes()),
            ports: words(config.exposed_ports()),
            stop_signal: text(config.stop_signal()),
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_says_takes_the_place_of_cmd_alone() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let config = |entrypoint, cmd| Config {
            entrypoint: words(entrypoint),
            cmd: words(cmd),
            ..Config::default()
        };
        for (entrypoint, cmd, given, argv) in [
            ("", "sh -l", "", "sh -l"),
            ("", "sh", "ls /", "ls /"),
            ("redis-server", "--port 1", "", "redis-server --port 1"),
            ("redis-server", "--port 1", "--help", "redis-server --help"),
            ("", "", "", ""),
        ] {
            let found = config(entrypoint, cmd).argv(&words(given));
            assert_eq!(found, words(argv));
        }
    }
}

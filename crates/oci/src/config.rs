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
}

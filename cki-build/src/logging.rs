// SPDX-License-Identifier: MIT OR Apache-2.0

//! Logs and error reports, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Variable with a tracing filter, such as `debug` or `cki_nix=trace`.
pub const LOG_VARIABLE: &str = "CKI_LOG";

/// Starts logging to standard error: warnings, with `verbose` also information, or what [`LOG_VARIABLE`] says.
pub fn start(verbose: bool) {
    let default = if verbose { "info" } else { "warn" };
    let asked = std::env::var_os(LOG_VARIABLE).filter(|value| !value.is_empty());
    let asked = asked.map(|value| value.to_string_lossy().into_owned());
    if let Some(word) = asked.as_deref().and_then(nonsense) {
        cki_session::complain(&format!(
            "cki-build: {LOG_VARIABLE} has {word:?}, which means nothing: set it to error, warn, info, debug or trace, \
             or to a crate of ours and one of these, such as cki_nix=trace"
        ));
    }
    let filter = asked.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Where standard error takes nothing, nobody can be told of that there: it would end the thread that logs.
        .log_internal_errors(false)
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("logging was started before");
    }
}

/// The first word of a filter that can be meant by nobody: a mistyped level is the name of a module that there is not,
/// and shows nothing.
fn nonsense(filter: &str) -> Option<&str> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let makes_sense = |word: &&str| {
        let (target, level) = word.split_once('=').unwrap_or((word, ""));
        // Spans and fields, which are for who knows them.
        word.contains(['[', '{'])
            || is_level(word)
            || target.starts_with("cki") && (level.is_empty() || is_level(level))
    };
    let mut words = filter.split(',').map(str::trim);
    words.find(|word| !word.is_empty() && !makes_sense(word))
}

/// Writes `error` with its causes to standard error, and gives what it wrote.
pub fn report(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Many messages repeat their cause, which is then no news.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    cki_session::complain(&format!("cki-build: {text}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_filter_that_shows_nothing_is_found() {
        for filter in [
            "debug",
            "DEBUG",
            "cki_nix=trace,warn",
            "cki_nix",
            "off",
            "info,",
            "[run]=debug",
        ] {
            assert_eq!(nonsense(filter), None, "{filter}");
        }
        for (filter, word) in [
            ("debgu", "debgu"),
            ("warn,cki_nix=loud", "cki_nix=loud"),
            ("yes", "yes"),
            ("hyper=debug", "hyper=debug"),
        ] {
            assert_eq!(nonsense(filter), Some(word));
        }
    }
}

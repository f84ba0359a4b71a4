// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is said of a command line that is none.

use std::process::ExitCode;

use cki_session::Status;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Prints help to standard output, and a mistake in the arguments to standard error.
#[must_use]
pub fn report(error: &clap::Error) -> ExitCode {
    Status::of_usage(&usage(error), error.use_stderr()).into()
}

/// What is wrong with the command line, in clap's words, and what it does not know: that other engines take a program
/// without `--`.
fn usage(error: &clap::Error) -> String {
    let text = error.render().to_string();
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word))
            if error.kind() == ErrorKind::UnknownArgument
                && !word.starts_with('-')
                && text.contains("cki-build run ") =>
        {
            format!(
                "{text}\nThe program stands behind `--`: cki-build run [OPTIONS] -- {word} ...\n"
            )
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn who_forgets_the_double_dash_is_told_of_it() {
        let said = |words: &[&str]| usage(&Cli::try_parse_from(words).expect_err("wrong"));
        let tip = "behind `--`: cki-build run [OPTIONS] -- ls ...";
        for words in [
            &["cki-build", "run", "ls"][..],
            &["cki-build", "run", "--deb", "a", "ls", "-l"],
        ] {
            assert!(said(words).contains(tip), "{words:?}: {}", said(words));
        }
        for words in [
            &["cki-build", "run", "--debs", "a", "--", "ls"][..],
            &["cki-build", "doctor", "ls"],
        ] {
            assert!(!said(words).contains("behind `--`"), "{words:?}");
        }
    }
}

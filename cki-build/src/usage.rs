// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is said of a command line that is wrong.

use std::process::ExitCode;

use cki_session::Status;
use cki_wording::nearest::nearest_names;
use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::elsewhere::{self, COMMANDS, OF_OTHERS, OF_RUN};
use crate::error::Error;
use crate::output::print_bytes;

/// Prints help to standard output, and a mistake in the arguments to standard error.
#[must_use]
pub fn report(error: clap::Error) -> ExitCode {
    if error.use_stderr() {
        return Status::of_usage(&usage(error), true).into();
    }
    match print_bytes(usage(error).as_bytes()) {
        // Whoever has read enough (`--help | head -1`) has had the help.
        Ok(()) | Err(Error::BrokenPipe) => Status::OK.into(),
        Err(error) => {
            let error = anyhow::Error::new(error).context("cannot write the help");
            crate::logging::report(&error);
            Status::FAILED.into()
        }
    }
}

/// What is wrong with the command line, in clap's words, and what it does not know: what users of other engines are
/// used to.
fn usage(mut error: clap::Error) -> String {
    leave_out_variables(&mut error, typed());
    let tips = tips(&error);
    if !tips.is_empty() {
        // What merely sounds alike would be in the way, and clap's usage has it, too.
        if error.remove(ContextKind::SuggestedArg).is_some() {
            error.remove(ContextKind::Usage);
        }
        error.remove(ContextKind::SuggestedSubcommand);
        let tips = tips.into_iter().map(StyledStr::from).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error.render().to_string()
}

/// The words of our own command line.
fn typed() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// Takes options out of the usage that nobody typed: clap has there what a variable says, too.
fn leave_out_variables(error: &mut clap::Error, typed: impl Iterator<Item = String>) {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return;
    };
    let typed: Vec<_> = typed.collect();
    let mut usage = usage.to_string();
    for option in ["--flake", "--cache"] {
        if !typed.iter().any(|word| word.starts_with(option)) {
            usage = usage.replacen(&format!(" {option} <DIR>"), "", 1);
        }
    }
    let usage = ContextValue::StyledStr(StyledStr::from(usage));
    error.insert(ContextKind::Usage, usage);
}

/// What to do about a variable that is set to nothing, which clap takes for the option without its value.
fn empty_variable(
    error: &clap::Error,
    mut typed: impl Iterator<Item = String>,
    is_empty: impl Fn(&str) -> bool,
) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let option = option.split(' ').next().unwrap_or_default();
    let all = Cli::command();
    let argument = all
        .get_arguments()
        .find(|argument| argument.get_long() == option.strip_prefix("--"))?;
    let variable = argument.get_env()?.to_string_lossy();
    let is_it = is_empty(&variable) && !typed.any(|word| word.starts_with(option));
    is_it
        .then(|| format!("the variable {variable} is set to nothing: unset it, or give it a value"))
}

/// Sentences that help who made this mistake.
fn tips(error: &clap::Error) -> Vec<String> {
    let set_to_nothing = |name: &str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    if let Some(tip) = empty_variable(error, typed(), set_to_nothing) {
        return vec![tip];
    }
    let command = command(error);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let known = match error.kind() {
        ErrorKind::InvalidSubcommand if command.is_empty() => {
            elsewhere::find(COMMANDS, text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand);
            elsewhere::find(OF_OTHERS, &format!("{command} {word}"))
        }
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg);
            match command.as_str() {
                "run" if !argument.starts_with('-') => {
                    let has_image = ["--oci", "--image", "--deb", "--closure"];
                    let has_image =
                        typed().any(|word| has_image.iter().any(|o| word.starts_with(o)));
                    return program_of_run(argument, has_image);
                }
                "exec" if !argument.starts_with('-') => {
                    return vec![behind_the_dashes("exec [OPTIONS] CONTAINER", argument)];
                }
                "run" | "exec" => elsewhere::find(OF_RUN, argument),
                // Signals are written so: `-9`, `-KILL`.
                "kill" if argument.starts_with('-') && !argument.starts_with("--") => {
                    elsewhere::find(OF_OTHERS, "kill -9")
                }
                _ => elsewhere::find(OF_OTHERS, &format!("{command} {argument}")),
            }
        }
        ErrorKind::MissingRequiredArgument if command == "run" => {
            return vec![behind_the_dashes("run [OPTIONS]", "PROGRAM")];
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let option = text(ContextKind::InvalidArg).split(' ').next();
            let value = text(ContextKind::InvalidValue);
            elsewhere::find(OF_RUN, &format!("{} {value}", option.unwrap_or_default()))
        }
        _ => None,
    };
    let alike = || match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            alike(&command, text(ContextKind::InvalidSubcommand))
        }
        _ => None,
    };
    known
        .map(str::to_owned)
        .or_else(alike)
        .into_iter()
        .collect()
}

/// Which command of the tool's, or of `command`'s, a mistyped one may be, where clap has none in mind: it counts
/// letters in their places, which two exchanged ones are not.
fn alike(command: &str, word: &str) -> Option<String> {
    let all = Cli::command();
    let of = match command {
        "" => &all,
        command => all.find_subcommand(command)?,
    };
    let shown = of
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let nearest = nearest_names(word, shown.map(clap::Command::get_name));
    (!nearest.is_empty()).then(|| format!("a similar command exists: {}", nearest.join(", ")))
}

/// The command that was called, such as `run`; nothing if none was.
fn command(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    // Usage: cki-build run [OPTIONS] ...
    let word = usage.split_whitespace().nth(2).unwrap_or_default();
    let is_command = word.starts_with(|c: char| c.is_ascii_lowercase());
    word[..if is_command { word.len() } else { 0 }].to_owned()
}

/// Other engines take the program without `--`, after the image.
fn program_of_run(word: &str, has_image: bool) -> Vec<String> {
    let image = || {
        format!(
            "an image is an option: Debian packages are `--deb PKG`, and what `podman save -o FILE {word}` writes is \
             `--oci FILE`"
        )
    };
    let program = behind_the_dashes("run [OPTIONS]", word);
    std::iter::once(program)
        .chain((!has_image).then(image))
        .collect()
}

fn behind_the_dashes(call: &str, word: &str) -> String {
    format!("the program stands behind `--`: cki-build {call} -- {word} ...")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn said(line: &str) -> String {
        let words = format!("cki-build {line}");
        usage(Cli::try_parse_from(words.split_whitespace()).expect_err("wrong"))
    }

    #[test]
    fn a_mistyped_command_is_answered_with_the_one_that_was_meant() {
        for (typed, meant) in [("rnu", "run"), ("dmeo", "demo"), ("machine strat", "start")] {
            let told = said(typed);
            assert!(
                told.contains(&format!("'{meant}'")) || told.contains(&format!("exists: {meant}")),
                "{told}"
            );
        }
        assert!(!said("quite-another").contains("exists"));
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_named() {
        let error = |line: &str| {
            let words = line.split(' ');
            let error = Cli::command().try_get_matches_from(words);
            error.expect_err("refused")
        };
        let empty = error("cki-build --cache= doctor");
        let told = |typed: &str, variable: &'static str| {
            let typed = typed.split_whitespace().map(str::to_owned);
            empty_variable(&empty, typed, |name| name == variable)
        };
        let told_of_cache = told("cki-build doctor", "CKI_CACHE").expect("a tip");
        assert!(
            told_of_cache.contains("CKI_CACHE is set to nothing"),
            "{told_of_cache}"
        );
        assert_eq!(told("cki-build doctor", "CKI_FLAKE"), None);
        assert_eq!(told("cki-build --cache= doctor", "CKI_CACHE"), None);
    }

    #[test]
    fn who_forgets_the_double_dash_is_told_of_it() {
        for (line, tip) in [
            ("run", "behind `--`: cki-build run [OPTIONS] -- PROGRAM ..."),
            ("run ls", "behind `--`: cki-build run [OPTIONS] -- ls ..."),
            (
                "run --deb a ls -l",
                "behind `--`: cki-build run [OPTIONS] -- ls ...",
            ),
            ("run --rm -it alpine sh", "podman save -o FILE alpine"),
            (
                "exec -it web bash",
                "behind `--`: cki-build exec [OPTIONS] CONTAINER -- bash ...",
            ),
        ] {
            assert!(said(line).contains(tip), "{line}: {}", said(line));
        }
        for line in ["run --debs a -- ls", "doctor ls", "kill web TERM x"] {
            assert!(!said(line).contains("behind `--`"), "{line}");
        }
    }

    #[test]
    fn words_of_other_engines_are_known() {
        let mut known = 0;
        for (rows, rest) in [(COMMANDS, ""), (OF_RUN, " -- ls"), (OF_OTHERS, "")] {
            for row in rows {
                for typed in row.typed {
                    let line = match typed.starts_with('-') {
                        true => format!("run {typed}{rest}"),
                        false => format!("{typed}{rest}"),
                    };
                    assert!(said(&line).contains(row.here), "{line}: {}", said(&line));
                    known += 1;
                }
            }
        }
        assert!(known > 120, "only {known}");
        // What is said elsewhere is not said here, and what sounds alike is.
        assert!(!said("run --gpus all -- a").contains("--cpus"));
        assert!(said("run --gpus=all -- a").contains("no GPU"));
        assert!(said("run -dit alpine").contains("start that with `&`"));
        assert!(said("exec --privileged web -- ls").contains("leave it out"));
        assert!(said("run --memroy 1G -- a").contains("--memory"));
        for folder in [".", "./app"] {
            assert!(said(&format!("build {folder}")).contains("run --oci FILE"));
        }
        for signal in ["-9 web", "web -9", "-KILL web", "web -KILL", "-TERM web"] {
            let said = said(&format!("kill {signal}"));
            assert!(said.contains("`kill NAME TERM`"), "{signal}: {said}");
            assert!(!said.contains("as a value"), "{signal}: {said}");
        }
        assert!(!said("kill web TERM x").contains("behind the name"));
        assert!(!said("machine rm").contains("when its program ends"));
        assert!(!said("doctor --mount").contains("directory of yours"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Logs and error reports, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Variable with a tracing filter, such as `debug` or `cki_nix=trace`.
pub const LOG_VARIABLE: &str = "CKI_LOG";

/// Starts logging to standard error: warnings, with `verbose` also information, or what [`LOG_VARIABLE`] says.
pub fn start(verbose: bool) {
    let default = if verbose { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
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

//! Init's own parameters on the kernel command line (`/proc/cmdline`).

/// What init is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `cki.mode=session`: run the program that the host names over the control port.
    Session,
    /// `cki.mode=shell`, or no mode: a shell on every console.
    Shell,
}

/// The `cki.mode` parameter is none of the known ones.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cki.mode={0} on the kernel command line is neither session nor shell")]
pub struct UnknownMode(pub String);

/// The mode that the kernel command line asks for; the last `cki.mode=` wins, as with kernel
/// parameters.
///
/// # Errors
/// [`UnknownMode`] when it names a mode that does not exist.
pub fn mode(cmdline: &str) -> Result<Mode, UnknownMode> {
    let value = cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("cki.mode="))
        .next_back();
    match value {
        Some("session") => Ok(Mode::Session),
        Some("shell") | None => Ok(Mode::Shell),
        Some(other) => Err(UnknownMode(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mode_there_is_a_shell() {
        assert_eq!(mode("console=ttyS0 quiet\n"), Ok(Mode::Shell));
    }

    #[test]
    fn the_last_mode_wins() {
        assert_eq!(
            mode("cki.mode=shell quiet cki.mode=session\n"),
            Ok(Mode::Session)
        );
    }

    #[test]
    fn an_unknown_mode_is_refused() {
        assert_eq!(
            mode("cki.mode=sesion"),
            Err(UnknownMode("sesion".to_owned()))
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which system this machine has: only one has been tried.

use super::Finding;

const NAME: &str = "system";

/// Says which system this is, as its /etc/os-release has it, and notes one that nobody has tried.
#[must_use]
pub fn system() -> Finding {
    judge(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn judge(release: &str) -> Finding {
    let value = |key: &str| {
        let values = release.lines().filter_map(|line| line.strip_prefix(key));
        values.map(|value| value.trim_matches('"')).next()
    };
    let name = value("PRETTY_NAME=").unwrap_or("one without /etc/os-release");
    match (value("ID="), value("VERSION_ID=")) {
        (Some("debian"), Some("12")) => Finding::ok(NAME, name),
        _ => Finding::note(
            NAME,
            format!("{name}; only Debian 12 has been tried"),
            "work in a container of Debian 12, such as `podman run --privileged -it docker.io/library/debian:12` gives",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    #[test]
    fn a_system_that_nobody_has_tried_is_noted() {
        let debian =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        let finding = judge(debian);
        assert_eq!(finding.severity, Severity::Ok);
        assert_eq!(finding.detail, "Debian GNU/Linux 12 (bookworm)");
        for other in [
            "",
            "PRETTY_NAME=\"Ubuntu 24.04 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n",
        ] {
            let finding = judge(other);
            assert_eq!(finding.severity, Severity::Note, "{other}");
            assert!(
                finding
                    .remedy
                    .is_some_and(|remedy| remedy.contains("debian:12"))
            );
        }
    }
}

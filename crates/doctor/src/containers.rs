// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether this machine itself runs containers, how isolated they are, and why.

use std::path::Path;

use super::Finding;
use cki_process::exec::Command;

const NAME: &str = "containers";
/// Device of the host module, as `cki_abi::uapi` has it (`crates/house/tests/interfaces.rs` compares); were the crate
/// used for one path, the tool would be built anew whenever the monitor's interface changes.
const DEVICE: &str = "/dev/cki";

/// The isolation that containers have on this machine. On most it is none, which is no fault: `run` has a machine of
/// its own.
#[must_use]
pub fn containers() -> Finding {
    if !Path::new(DEVICE).exists() {
        return Finding::ok(
            NAME,
            format!(
                "in the emulated machine that `run` starts (there is no {DEVICE} here, and none is needed)"
            ),
        );
    }
    // `cki info` ends with 1 where no container runs, and says why all the same.
    match info_command().output() {
        Ok(output) => judge(&output.stdout, &output.stderr),
        Err(error) => Finding::note(
            NAME,
            format!("{DEVICE} is there, and nothing to ask it with: {error}"),
            "put the launcher, cki, into PATH",
        ),
    }
}

/// What tells the mode.
#[must_use]
fn info_command() -> Command {
    Command::new("cki").args(["info", "--json"])
}

fn judge(json: &[u8], stderr: &[u8]) -> Finding {
    let info: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    match info["runs"].as_bool() {
        Some(true) => Finding::ok(
            NAME,
            format!(
                "isolation: {}; the CPU has PKS and the CKI extension",
                text("isolation")
            ),
        ),
        Some(false) => Finding::note(
            NAME,
            format!("isolation: none: {}", text("missing")),
            "use a machine that has it, such as the one of `cki-build run`",
        ),
        None => Finding::note(
            NAME,
            format!(
                "{DEVICE} is there, and does not answer: {}",
                String::from_utf8_lossy(stderr).trim_end()
            ),
            "be root, and use the launcher and the module of one version",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn the_mode_is_named_with_its_reason() {
        let full = judge(
            br#"{"runs":true,"isolation":"full (cki)","missing":""}"#,
            b"",
        );
        assert_eq!(full.severity, Severity::Ok);
        assert!(full.detail.contains("full (cki)"));
        let none = judge(
            br#"{"runs":false,"isolation":"none","missing":"the CPU has no PKS"}"#,
            b"",
        );
        assert_eq!(none.severity, Severity::Note);
        assert!(none.detail.contains("the CPU has no PKS"));
    }

    #[test]
    fn a_device_that_does_not_answer_is_no_isolation() {
        let finding = judge(b"", b"cki: /dev/cki: Permission denied\n");
        assert_eq!(finding.severity, Severity::Note);
        assert!(finding.detail.contains("Permission denied"));
    }

    #[test]
    fn the_launcher_is_asked() {
        assert_eq!(info_command().argv(), ["cki", "info", "--json"]);
    }
}

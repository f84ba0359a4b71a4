// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether builds can be isolated, and which setting of the kernel is in the way.

use std::path::Path;

use super::Finding;
use cki_process::exec::Command;

const NAME: &str = "namespaces";

/// The command that makes the namespaces of a sandboxed build.
#[must_use]
pub fn command() -> Command {
    Command::new("unshare").args([
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        // Refused where a container has masked parts of /proc; Nix's sandbox mounts one too.
        "--mount-proc",
        "true",
    ])
}

/// Whether builds can be isolated.
#[must_use]
pub fn namespaces() -> Finding {
    let refused = match command().read() {
        Ok(_) => None,
        Err(error) if error.is_not_found() => return without_unshare(),
        Err(error) => Some(error.to_string()),
    };
    judge(refused, &|name| {
        let text = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some(text.trim().to_owned())
    })
}

/// Nobody can say whether builds can be isolated.
fn without_unshare() -> Finding {
    Finding::missing(
        NAME,
        "cannot be tried: there is no program unshare",
        "install util-linux (as root on Debian: apt-get install util-linux)",
    )
}

/// `refused` is how [`command`] failed, if it did; `setting` reads a file below /proc/sys.
fn judge(refused: Option<String>, setting: &dyn Fn(&str) -> Option<String>) -> Finding {
    let is = |name: &str, value: &str| setting(name).is_some_and(|found| found == value);
    // Asked first: it does not concern root, for whom the command works, but the users that builds run as.
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Finding::missing(
            NAME,
            "AppArmor lets no program mount in a user namespace that has no profile for it \
             (kernel.apparmor_restrict_unprivileged_userns = 1, as Ubuntu sets it from 23.10 on), and builds do",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; to keep it: a file in /etc/sysctl.d with that \
             line",
        );
    }
    let Some(error) = refused else {
        return Finding::ok(NAME, "user, mount and process namespaces can be made");
    };
    let remedy = if is("kernel/unprivileged_userns_clone", "0") {
        "sysctl -w kernel.unprivileged_userns_clone=1"
    } else if is("user/max_user_namespaces", "0") {
        "sysctl -w user.max_user_namespaces=10000"
    } else {
        "in a container, run it privileged; elsewhere, see whether a security module refuses user namespaces"
    };
    Finding::missing(NAME, error, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn the_namespaces_are_those_of_a_sandboxed_build() {
        assert_eq!(
            command().argv(),
            [
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "true"
            ]
        );
    }

    #[test]
    fn without_the_program_its_package_is_named() {
        let finding = without_unshare();
        assert_eq!(finding.severity, Severity::Missing);
        assert!(
            finding
                .remedy
                .expect("a remedy")
                .contains("install util-linux")
        );
    }

    #[test]
    fn the_setting_that_is_in_the_way_is_named_with_what_undoes_it() {
        let machine = |refused: bool, name: &'static str, value: &'static str| {
            let refused = refused.then(|| "unshare: Operation not permitted".to_owned());
            judge(refused, &|asked| (asked == name).then(|| value.to_owned()))
        };
        // Root of an Ubuntu 24.04 machine can make the namespaces, its builds cannot mount in them.
        let apparmor = "kernel/apparmor_restrict_unprivileged_userns";
        for refused in [false, true] {
            let finding = machine(refused, apparmor, "1");
            assert_eq!(finding.severity, Severity::Missing);
            assert!(finding.detail.contains("AppArmor"), "{finding}");
            let remedy = finding.remedy.expect("a remedy");
            assert!(
                remedy.contains("apparmor_restrict_unprivileged_userns=0"),
                "{remedy}"
            );
        }
        assert_eq!(machine(false, apparmor, "0").severity, Severity::Ok);
        for (name, value, remedy) in [
            (
                "kernel/unprivileged_userns_clone",
                "0",
                "unprivileged_userns_clone=1",
            ),
            ("user/max_user_namespaces", "0", "max_user_namespaces=10000"),
            ("user/max_user_namespaces", "127000", "privileged"),
        ] {
            let finding = machine(true, name, value);
            assert!(
                finding.detail.contains("Operation not permitted"),
                "{finding}"
            );
            assert!(finding.remedy.expect("a remedy").contains(remedy), "{name}");
        }
        // As Debian and NixOS have it.
        let finding = machine(false, "user/max_user_namespaces", "127000");
        assert_eq!(finding.severity, Severity::Ok);
    }
}

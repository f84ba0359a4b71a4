// SPDX-License-Identifier: MIT OR Apache-2.0

//! Getting Nix onto the machine.

use std::path::Path;

use crate::{Nix, NixError};
use cki_process::exec::Command;
use cki_process::progress::Progress;

/// Where Nix's installer and NixOS put `nix`; login shells have these in `PATH`, and `sudo` and services often not.
const USUAL_PLACES: [&str; 2] = [
    "/nix/var/nix/profiles/default/bin",
    "/run/current-system/sw/bin",
];

/// What decides how Nix can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// We are root.
    pub root: bool,
    /// The system is Debian or made from it, with apt.
    pub debian: bool,
    /// The system is NixOS.
    pub nixos: bool,
}

impl Situation {
    /// That of this process.
    #[must_use]
    pub fn current() -> Self {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            root: rustix::process::geteuid().is_root(),
            debian: is(&release, "debian") && Path::new("/usr/bin/apt-get").exists(),
            nixos: is(&release, "nixos"),
        }
    }

    /// How a person gets the Debian packages `debian`, which are `nixpkgs` there.
    #[must_use]
    pub fn to_install(self, debian: &str, nixpkgs: &str) -> String {
        if self.nixos {
            format!("nix-shell -p {nixpkgs}, or add it to environment.systemPackages")
        } else if self.debian {
            format!("apt-get install {debian}")
        } else {
            format!("your distribution's command to install {debian}, as Debian calls it")
        }
    }

    /// The one command that a person would type to install Nix.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        if self.nixos {
            return "nix.enable = true in the machine's configuration, then nixos-rebuild switch; a user who cannot \
                reach the daemon is not among nix.settings.allowed-users";
        }
        match (self.debian, self.root) {
            (true, true) => "apt-get install nix-bin",
            // A user needs the daemon; the group lets him talk to it.
            (true, false) => {
                "sudo apt-get install nix-setup-systemd && sudo adduser $USER nix-users, then log out and in again"
            }
            (false, _) => {
                "your distribution's command to install Nix, or see https://nixos.org/download"
            }
        }
    }
}

/// Whether a system is `wanted` or made from it, by its /etc/os-release.
fn is(os_release: &str, wanted: &str) -> bool {
    os_release.lines().any(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
            .is_some_and(|ids| ids.trim_matches('"').split(' ').any(|id| id == wanted))
    })
}

/// `apt-get` without questions.
fn apt_get() -> Command {
    Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive")
}

/// Installs Nix from Debian's package; recommended packages would bring a daemon and a systemd unit.
#[must_use]
pub fn install_command() -> Command {
    apt_get().args(["install", "--yes", "--no-install-recommends", "nix-bin"])
}

/// Refreshes apt's package lists, which a new machine or a container may not have.
#[must_use]
pub fn update_command() -> Command {
    apt_get().arg("update")
}

/// Whether Nix is there.
#[must_use]
pub fn nix_is_installed(nix: &Nix) -> bool {
    nix.version()
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The directory among `places` that has a `nix`.
fn elsewhere<'a>(places: &[&'a str]) -> Option<&'a Path> {
    let mut dirs = places.iter().map(|place| Path::new(*place));
    dirs.find(|dir| dir.join("nix").exists())
}

/// What to do on this machine about a Nix that does not answer.
#[must_use]
pub fn remedy() -> String {
    elsewhere(&USUAL_PLACES).map_or_else(
        || Situation::current().remedy().to_owned(),
        |dir| NixError::NotInPath(dir.to_owned()).to_string(),
    )
}

/// Makes sure that Nix is there: installs it where we can and otherwise says how to. A Nix that is only not in `PATH`
/// gets no second one beside it.
///
/// # Errors
/// [`NixError::NotInstalled`], [`NixError::NotInPath`], or that of apt-get.
pub fn ensure_nix(nix: &Nix, progress: Progress) -> Result<(), NixError> {
    if nix_is_installed(nix) {
        nix.make_store();
        return Ok(());
    }
    if let Some(dir) = elsewhere(&USUAL_PLACES) {
        return Err(NixError::NotInPath(dir.to_owned()));
    }
    let situation = Situation::current();
    if !(situation.root && situation.debian) {
        return Err(NixError::NotInstalled {
            remedy: situation.remedy().to_owned(),
        });
    }
    let step = progress.step("installing Nix (apt-get install nix-bin)");
    let install = |command: Command| command.stream(&mut |line| step.detail(line));
    if install(install_command()).is_err() {
        step.part("refreshing apt's package lists");
        install(update_command())?;
        step.part("installing Nix (apt-get install nix-bin)");
        install(install_command())?;
    }
    step.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_what_is_made_from_it_is_recognised() {
        assert!(is("NAME=\"Debian GNU/Linux\"\nID=debian\n", "debian"));
        assert!(is("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "debian"));
        assert!(!is(
            "ID=fedora\nHOME_URL=\"https://debian.org\"\n",
            "debian"
        ));
        assert!(!is("VERSION_ID=debian\n", "debian"));
    }

    #[test]
    fn installing_asks_nothing_and_brings_nothing_else() {
        let command = install_command();
        assert_eq!(
            command.argv(),
            [
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "nix-bin"
            ]
        );
        assert_eq!(
            command.env_value("DEBIAN_FRONTEND"),
            Some("noninteractive".as_ref())
        );
        assert_eq!(update_command().argv(), ["apt-get", "update"]);
    }

    #[test]
    fn a_nix_that_is_not_in_path_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let here = dir.path().to_str().expect("text");
        assert_eq!(elsewhere(&["/nonexistent", here]), None);
        std::fs::write(dir.path().join("nix"), "").expect("written");
        assert_eq!(elsewhere(&["/nonexistent", here]), Some(dir.path()));
        let message = NixError::NotInPath(dir.path().to_owned()).to_string();
        assert!(
            message.ends_with(&format!("run: export PATH={here}:$PATH")),
            "{message}"
        );
    }

    #[test]
    fn everybody_is_told_one_command() {
        let on = |root, debian, nixos| Situation {
            root,
            debian,
            nixos,
        };
        let remedy = |root, debian| on(root, debian, false).remedy();
        assert_eq!(remedy(true, true), "apt-get install nix-bin");
        assert!(remedy(false, true).starts_with("sudo apt-get install"));
        assert!(remedy(false, false).contains("distribution"));
        // NixOS has no apt, and is configured in one place.
        assert!(is("NAME=NixOS\nID=nixos\n", "nixos"));
        for root in [true, false] {
            let nixos = on(root, false, true);
            let told = [nixos.remedy().to_owned(), nixos.to_install("gpgv", "gnupg")];
            assert!(
                told[0].contains("nix.enable") && told[1].contains("nix-shell -p gnupg"),
                "{told:?}"
            );
            assert!(!told.join(" ").contains("apt"), "{told:?}");
        }
        assert_eq!(
            on(true, true, false).to_install("git", "git"),
            "apt-get install git"
        );
        assert!(
            on(true, false, false)
                .to_install("git", "git")
                .contains("distribution")
        );
    }
}

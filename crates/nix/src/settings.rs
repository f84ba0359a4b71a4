// SPDX-License-Identifier: MIT OR Apache-2.0

//! Settings that we give Nix through `NIX_CONFIG`.

use std::path::Path;

/// What decides about the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// We are root and no daemon serves the store: we build in it ourselves.
    pub owns_store: bool,
    /// `NIX_CONFIG` as the user has set it.
    pub user_config: Option<String>,
}

impl Situation {
    /// The situation of this process.
    #[must_use]
    pub fn current() -> Self {
        Self {
            owns_store: rustix::process::geteuid().is_root() && !uses_daemon(),
            user_config: std::env::var("NIX_CONFIG").ok(),
        }
    }

    /// The value for `NIX_CONFIG`. A later line wins, so the user's choices win over ours except for
    /// the features, without which nothing works.
    #[must_use]
    pub fn nix_config(&self) -> String {
        let mut config = OURS.to_owned();
        if self.owns_store {
            config.push_str(WITHOUT_DAEMON);
        }
        if let Some(user) = &self.user_config {
            config.push_str(user.trim_end());
            config.push('\n');
        }
        config.push_str(FEATURES);
        config
    }
}

/// Everything comes from pinned inputs that are in the store already, so no cache is asked (asking
/// takes long without a network); a build that could read the machine would not be reproducible.
const OURS: &str = "substituters =\nsandbox = true\nwarn-dirty = false\n";

/// Debian's `nix-bin` makes no build users, which root without a daemon would need by default.
const WITHOUT_DAEMON: &str = "build-users-group =\n";

const FEATURES: &str = "extra-experimental-features = nix-command flakes\n";

/// `nix.conf` for a machine on which we installed Nix, so that plain `nix build` works too.
pub const NIX_CONF: &str = "\
# Written by cki-build when it installed Nix.
# Flakes, as CKI is built from one:
experimental-features = nix-command flakes
# Root builds by itself; there is no daemon and there are no build users:
build-users-group =
# All inputs are pinned and fetched by cki-build, so no binary cache is asked:
substituters =
sandbox = true
";

/// Whether Nix commands talk to a daemon.
#[must_use]
pub fn uses_daemon() -> bool {
    match std::env::var("NIX_REMOTE") {
        Ok(remote) if !remote.is_empty() => remote != "local" && !remote.starts_with("local?"),
        // Nix goes to the daemon by itself only when it cannot write the store.
        _ => {
            !rustix::process::geteuid().is_root()
                && Path::new("/nix/var/nix/daemon-socket/socket").exists()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_without_a_daemon_builds_without_build_users() {
        let config = |owns_store| {
            Situation {
                owns_store,
                user_config: None,
            }
            .nix_config()
        };
        assert!(config(true).contains("\nbuild-users-group =\n"));
        assert!(!config(false).contains("build-users-group"));
        assert!(config(true).starts_with("substituters =\nsandbox = true\n"));
    }

    #[test]
    fn the_users_settings_come_after_ours_and_cannot_take_the_features_away() {
        let config = Situation {
            owns_store: true,
            user_config: Some("cores = 1\nexperimental-features =".to_owned()),
        }
        .nix_config();
        let position = |text: &str| config.find(text).expect("in the settings");
        assert!(position("sandbox = true") < position("cores = 1"));
        assert!(config.ends_with(
            "experimental-features =\nextra-experimental-features = nix-command flakes\n"
        ));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Settings that we give Nix through `NIX_CONFIG`.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Where a daemon listens unless the environment says otherwise.
pub(crate) const STATE: &str = "/nix/var/nix";

/// What decides about the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Situation {
    /// We are root.
    pub root: bool,
    /// A daemon answers.
    pub daemon: bool,
    /// The machine's Nix has users to build as: its configuration or the system's groups name them.
    pub build_users: bool,
    /// `NIX_REMOTE` as the user has set it; no empty text.
    pub remote: Option<String>,
    /// `NIX_CONFIG` as the user has set it.
    pub user_config: Option<String>,
}

impl Situation {
    /// The situation of this process.
    #[must_use]
    pub fn current() -> Self {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let conf = path_of("NIX_CONF_DIR", "/etc/nix").join("nix.conf");
        Self {
            root: rustix::process::geteuid().is_root(),
            daemon: UnixStream::connect(daemon_socket()).is_ok(),
            build_users: sets_build_users(&text(&conf))
                || has_build_users(&text("/etc/group".as_ref())),
            remote: std::env::var("NIX_REMOTE")
                .ok()
                .filter(|remote| !remote.is_empty()),
            user_config: std::env::var("NIX_CONFIG").ok(),
        }
    }

    /// Whether Nix commands talk to a daemon: where one answers they do, root's too.
    #[must_use]
    pub fn uses_daemon(&self) -> bool {
        match &self.remote {
            Some(remote) => remote != "local" && !remote.starts_with("local?"),
            None => self.daemon,
        }
    }

    /// The value for `NIX_REMOTE`, if it is to be set. Nix itself would take root past a daemon.
    #[must_use]
    pub fn nix_remote(&self) -> Option<&'static str> {
        (self.remote.is_none() && self.daemon).then_some("daemon")
    }

    /// The value for `NIX_CONFIG`. A later line wins, so the user's choices win over ours except for
    /// the features, without which nothing works.
    #[must_use]
    pub fn nix_config(&self) -> String {
        let mut config = OURS.to_owned();
        if self.root && !self.uses_daemon() && !self.build_users {
            config.push_str(WITHOUT_BUILD_USERS);
        }
        if let Some(user) = &self.user_config {
            config.push_str(user.trim_end());
            config.push('\n');
        }
        config.push_str(FEATURES);
        config
    }
}

/// The directory that an environment variable names, or the usual one.
fn path_of(variable: &str, usual: &str) -> PathBuf {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map_or_else(|| usual.into(), PathBuf::from)
}

fn daemon_socket() -> PathBuf {
    let usual = path_of("NIX_STATE_DIR", STATE).join("daemon-socket/socket");
    path_of("NIX_DAEMON_SOCKET_PATH", &usual.to_string_lossy())
}

/// That the daemon is there and this user may not talk to it.
#[must_use]
pub fn daemon_refuses() -> Option<String> {
    refused(&daemon_socket())
}

fn refused(socket: &Path) -> Option<String> {
    let error = UnixStream::connect(socket).err()?;
    (error.kind() == ErrorKind::PermissionDenied).then(|| {
        format!(
            "the Nix daemon's socket {} cannot be reached: Permission denied",
            socket.display()
        )
    })
}

/// Whether a `nix.conf` says whom to build as. Then it is its word that counts.
fn sets_build_users(conf: &str) -> bool {
    conf.lines()
        .any(|line| line.trim_start().starts_with("build-users-group"))
}

/// Whether the group that Nix takes unless it is told another has members.
fn has_build_users(group: &str) -> bool {
    group.lines().any(|line| {
        line.strip_prefix("nixbld:")
            .and_then(|rest| rest.rsplit(':').next())
            .is_some_and(|members| !members.is_empty())
    })
}

/// Everything comes from pinned inputs that are in the store already, so no cache is asked (asking
/// takes long without a network); a build that could read the machine would not be reproducible.
const OURS: &str = "substituters =\nsandbox = true\nwarn-dirty = false\n";

/// Debian's `nix-bin` makes no build users, which root without a daemon would need by default.
const WITHOUT_BUILD_USERS: &str = "build-users-group =\n";

/// Flakes and the `nix` command, which are off unless one asks for them.
pub(crate) const FEATURES: &str = "extra-experimental-features = nix-command flakes\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Situation {
        Situation {
            root: true,
            ..Situation::default()
        }
    }

    #[test]
    fn root_builds_without_build_users_only_where_there_are_none_and_no_daemon() {
        let forces =
            |situation: &Situation| situation.nix_config().contains("\nbuild-users-group =\n");
        assert!(forces(&root()));
        for other in [
            Situation::default(),
            Situation {
                daemon: true,
                ..root()
            },
            Situation {
                build_users: true,
                ..root()
            },
            Situation {
                remote: Some("ssh://builder".into()),
                ..root()
            },
        ] {
            assert!(!forces(&other), "{other:?}");
        }
        // Root may want to do it himself all the same.
        assert!(forces(&Situation {
            daemon: true,
            remote: Some("local".into()),
            ..root()
        }));
        let config = root().nix_config();
        assert!(config.starts_with("substituters =\nsandbox = true\n"));
    }

    #[test]
    fn a_daemon_is_used_by_root_too_unless_the_user_names_another_store() {
        let beside = Situation {
            daemon: true,
            ..root()
        };
        assert!(beside.uses_daemon());
        assert_eq!(beside.nix_remote(), Some("daemon"));
        let local = Situation {
            remote: Some("local".into()),
            ..beside
        };
        assert!(!local.uses_daemon());
        assert_eq!(local.nix_remote(), None);
        assert!(!root().uses_daemon());
        assert_eq!(root().nix_remote(), None);
    }

    #[test]
    fn build_users_are_those_of_nix_conf_or_of_the_usual_group() {
        assert!(sets_build_users(
            "cores = 2\n build-users-group = builders\n"
        ));
        assert!(!sets_build_users("# build-users-group = builders\n"));
        assert!(has_build_users(
            "root:x:0:\nnixbld:x:30000:nixbld1,nixbld2\n"
        ));
        assert!(!has_build_users("root:x:0:\nnixbld:x:30000:\n"));
        assert!(!has_build_users("nixbld2:x:1:a\n"));
    }

    #[test]
    fn the_users_settings_come_after_ours_and_cannot_take_the_features_away() {
        let config = Situation {
            user_config: Some("cores = 1\nexperimental-features =".to_owned()),
            ..root()
        }
        .nix_config();
        let position = |text: &str| config.find(text).expect("in the settings");
        assert!(position("sandbox = true") < position("cores = 1"));
        assert!(config.ends_with(
            "experimental-features =\nextra-experimental-features = nix-command flakes\n"
        ));
    }

    #[test]
    fn a_daemon_that_is_not_there_has_refused_nobody() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("socket");
        assert_eq!(refused(&socket), None);
        let _daemon = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        assert_eq!(refused(&socket), None);
        let shut = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(&socket, shut).expect("shut");
        // Root may connect all the same.
        if !rustix::process::geteuid().is_root() {
            let said = refused(&socket).expect("refused");
            assert!(said.ends_with("cannot be reached: Permission denied"));
        }
    }
}

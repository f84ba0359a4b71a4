// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a session is served.

use cki_session::{feature, port};

/// Where a session is served, which says what is set up already and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A container: all of it is the session's, and its launcher is the client.
    Container,
    /// A machine that is there for this session.
    Machine,
    /// A place of a machine that stays up, by its number.
    Shared(u32),
}

/// What is honoured everywhere.
const EVERYWHERE: [&str; 4] = [
    feature::CAPABILITIES,
    feature::ULIMITS,
    feature::TERMINAL,
    feature::USER,
];

impl Place {
    /// The name of a port.
    #[must_use]
    pub fn port(self, name: &str) -> String {
        match self {
            Self::Container | Self::Machine => name.to_owned(),
            Self::Shared(place) => port::of_place(name, place),
        }
    }

    /// The optional parts of requests that init honours here.
    #[must_use]
    pub fn features(self) -> Vec<&'static str> {
        let clock = self.is_emulated().then_some(feature::CLOCK);
        let more: &[_] = match self {
            // The launcher keeps what the container is made with, and there is no other one in it.
            Self::Container => &[feature::ROOT, feature::VOLUMES, feature::INTERFACE],
            Self::Machine => &[
                feature::CONTAINER,
                feature::POOL,
                feature::ROOT,
                feature::VOLUMES,
                feature::DISKS,
                feature::INTERFACE,
                feature::NETWORK,
                feature::NAME,
                feature::PAGE_TABLES,
                feature::RATES,
            ],
            Self::Shared(_) => &[
                feature::CONTAINER,
                feature::EXEC,
                feature::ROOT,
                feature::VOLUMES,
                feature::NETWORK,
                feature::NAME,
                feature::PAGE_TABLES,
                feature::IMAGE_DISK,
                feature::RATES,
            ],
        };
        let all = EVERYWHERE.iter().chain(more).copied();
        all.chain(clock).collect()
    }

    /// Whether an emulator is between init and its client, which may hold back what was written.
    #[must_use]
    pub const fn is_emulated(self) -> bool {
        !matches!(self, Self::Container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_of_a_container_does_not_announce_what_its_launcher_keeps() {
        let features = Place::Container.features();
        for name in [
            feature::ROOT,
            feature::VOLUMES,
            feature::INTERFACE,
            feature::TERMINAL,
        ] {
            assert!(features.contains(&name), "{name}");
        }
        for name in [
            feature::CONTAINER,
            feature::POOL,
            feature::DISKS,
            feature::NETWORK,
            feature::NAME,
            feature::PAGE_TABLES,
            feature::RATES,
        ] {
            assert!(!features.contains(&name), "{name}");
            assert!(Place::Machine.features().contains(&name), "{name}");
        }
    }

    #[test]
    fn each_place_has_ports_of_its_own() {
        assert_eq!(Place::Machine.port(port::STDIN), port::STDIN);
        let control = |place| Place::Shared(place).port(port::CONTROL);
        assert_eq!(control(3), "org.cki.control.3");
        assert_ne!(control(1), control(11));
    }
}

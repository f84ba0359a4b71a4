// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that stays up, and serves several clients at once.
//!
//! Its init (`cki.mode=machine` on the kernel's command line) is told with [`Serve`], over the port
//! [`MACHINE`](crate::port::MACHINE), what to set up. It then serves as many *places*, each with ports of its
//! own ([`crate::port::of_place`]): whoever is connected to them is a client as everywhere else, of one session.
//! When that is over, the place waits for the next client.
//!
//! A session of such a place has its program in a container, from the disk that
//! [`Run::image_disk`](crate::Run::image_disk) names; or, with neither, as a process of the machine in the file
//! system of its init, with the command `cki`.

use serde::{Deserialize, Serialize};

use crate::interface::Interface;
use crate::invalid::Invalid;
use crate::memory::Memory;

/// What a machine that stays up sets up before it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Memory for all containers together.
    pub pool: Memory,
    /// How many clients are served at a time.
    pub places: u32,
    /// Its network card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
}

impl Serve {
    /// Places that a machine has at most: each has four ports.
    pub const PLACES_MAX: u32 = 66;

    /// Whether it can be carried out at all.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        if !(1..=Self::PLACES_MAX).contains(&self.places) {
            return Err(Invalid::Places {
                places: self.places,
                most: Self::PLACES_MAX,
            });
        }
        self.interface
            .as_ref()
            .map_or(Ok(()), |card| card.check().map_err(Invalid::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, decode, encode};

    #[test]
    fn the_number_of_places_is_bounded() {
        let serve = |places| Serve {
            pool: Memory::constant(256),
            places,
            interface: None,
        };
        for (places, sound) in [(0, false), (1, true), (66, true), (67, false)] {
            assert_eq!(serve(places).check().is_ok(), sound, "{places}");
        }
        let refused = serve(67).check().unwrap_err().to_string();
        assert_eq!(
            refused,
            "a machine serves 1 to 66 clients at a time, not 67"
        );
        let request = Request::Serve(Box::new(serve(3)));
        let line = encode(&request).unwrap();
        assert_eq!(decode::<Request>(&line).unwrap(), request);
    }
}

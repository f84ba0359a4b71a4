// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has which place of a machine, and how much of its memory.
//!
//! The machine's init opens the control port of a place when it is ready for a client, and closes it when it has ended
//! all that the client has left. So a place that was leased is free again when its client has gone *and* its port was
//! opened anew since: no client finds what another has left.

/// A place.
#[derive(Debug, Default, Clone)]
struct Place {
    /// How often its port was opened in the machine.
    opened: u64,
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    /// How often the port had been opened when it was leased.
    opened: u64,
    mib: u32,
    /// The client has gone.
    is_over: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// None is free.
    #[error("all of its {places} places are taken")]
    Places {
        /// How many there are.
        places: usize,
    },
    /// A container needs more than is left.
    #[error("{wanted} MiB are wanted, and of its {pool} MiB for containers {free} are free")]
    Memory {
        /// In MiB.
        wanted: u32,
        /// In MiB.
        pool: u32,
        /// In MiB.
        free: u32,
    },
}

/// The places of a machine.
#[derive(Debug)]
pub(super) struct Books {
    pool: u32,
    places: Vec<Place>,
}

impl Books {
    /// A machine with so much memory for containers, in MiB, none of whose places is ready yet.
    pub(super) fn new(pool: u32, places: usize) -> Self {
        Self {
            pool,
            places: vec![Place::default(); places],
        }
    }

    /// Init has opened the port of a place.
    pub(super) fn opened(&mut self, place: usize) {
        let Some(place) = self.places.get_mut(place) else {
            return;
        };
        place.opened += 1;
        place.settle();
    }

    /// Whether init was ready at all places once.
    pub(super) fn are_open(&self) -> bool {
        self.places.iter().all(|place| place.opened > 0)
    }

    /// Takes a place, for a container with so much memory, in MiB.
    pub(super) fn take(&mut self, mib: u32) -> Result<usize, Full> {
        let free = self.free_mib();
        if mib > free {
            return Err(Full::Memory {
                wanted: mib,
                pool: self.pool,
                free,
            });
        }
        let places = self.places.len();
        let at = self.places.iter().position(Place::is_free);
        let at = at.ok_or(Full::Places { places })?;
        let place = &mut self.places[at];
        place.taken = Some(Taken {
            opened: place.opened,
            mib,
            is_over: false,
        });
        Ok(at)
    }

    /// The client of a place has gone.
    pub(super) fn release(&mut self, place: usize) {
        if let Some(taken) = &mut self.places[place].taken {
            taken.is_over = true;
        }
        self.places[place].settle();
    }

    /// A place did not answer: it is free only when it was opened once more.
    pub(super) fn release_unanswered(&mut self, place: usize) {
        let place = &mut self.places[place];
        if let Some(taken) = &mut place.taken {
            taken.opened = place.opened;
            taken.is_over = true;
        }
    }

    /// Whether something will be free without anybody's doing.
    pub(super) fn is_something_ending(&self) -> bool {
        let over = |place: &Place| place.taken.is_some_and(|taken| taken.is_over);
        self.places.iter().any(over)
    }

    /// Memory that no container has, in MiB.
    pub(super) fn free_mib(&self) -> u32 {
        let taken = self.places.iter().filter_map(|place| place.taken);
        self.pool - taken.map(|taken| taken.mib).sum::<u32>()
    }

    /// How many places are free.
    pub(super) fn free_places(&self) -> usize {
        self.places.iter().filter(|place| place.is_free()).count()
    }
}

impl Place {
    fn is_free(&self) -> bool {
        self.opened > 0 && self.taken.is_none()
    }

    fn settle(&mut self) {
        self.taken = self
            .taken
            .filter(|taken| !taken.is_over || taken.opened == self.opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_places() -> Books {
        let mut books = Books::new(1000, 2);
        assert!(!books.are_open());
        assert_eq!(books.take(1), Err(Full::Places { places: 2 }));
        books.opened(0);
        books.opened(1);
        assert!(books.are_open());
        books
    }

    #[test]
    fn a_place_is_free_again_once_its_client_has_gone_and_init_is_ready() {
        let mut books = two_places();
        assert_eq!((books.take(0), books.take(0)), (Ok(0), Ok(1)));
        assert_eq!(books.take(0), Err(Full::Places { places: 2 }));
        // In either order.
        books.release(0);
        assert_eq!(
            (books.free_places(), books.is_something_ending()),
            (0, true)
        );
        books.opened(0);
        books.opened(1);
        assert_eq!(books.free_places(), 1);
        books.release(1);
        assert_eq!(
            (books.free_places(), books.is_something_ending()),
            (2, false)
        );
    }

    #[test]
    fn a_place_that_did_not_answer_has_to_be_opened_once_more() {
        let mut books = two_places();
        assert_eq!(books.take(0), Ok(0));
        books.opened(0);
        books.release_unanswered(0);
        assert_eq!(books.free_places(), 1);
        books.opened(0);
        assert_eq!(books.free_places(), 2);
    }

    #[test]
    fn memory_is_lent_once_until_the_place_is_free_again() {
        let mut books = two_places();
        assert_eq!(books.take(600), Ok(0));
        let full = Full::Memory {
            wanted: 401,
            pool: 1000,
            free: 400,
        };
        assert_eq!(books.take(401), Err(full));
        assert!(full.to_string().contains("401 MiB"), "{full}");
        books.release(0);
        assert_eq!(books.free_mib(), 400);
        books.opened(0);
        assert_eq!(books.free_mib(), 1000);
    }
}

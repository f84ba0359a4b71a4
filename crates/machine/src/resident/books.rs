// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has which place of a machine, and how much of its memory.
//!
//! The machine's init starts a process for a place when nothing of the last client is left, says that it is ready, and
//! numbers them ([`cki_session::Event::Ready`]). A lease is of one such process, which says its number in its hello. So
//! a place that was leased is free again when its client has gone *and* a later process is ready: no client finds what
//! another has left.

/// Containers' memory is taken in such pieces: huge pages, in MiB.
const PIECE_MIB: u32 = 2;

/// A place.
#[derive(Debug, Default, Clone)]
struct Place {
    /// The last process that was ready; 0 before the first.
    ready: u64,
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    /// The process that the client has.
    generation: u64,
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
    #[error(
        "{wanted} MiB are wanted, and of its {pool} MiB for containers {free} are free. Ask for less (--memory), end \
         another container (`list`, `kill NAME`), or start the machine with more"
    )]
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
    /// The last ones, which are not for containers.
    spare: usize,
}

impl Books {
    /// A machine with so much memory for containers, in MiB, and so many places, and spare ones, none of which is
    /// ready yet.
    pub(super) fn new(pool: u32, places: usize, spare: usize) -> Self {
        Self {
            pool,
            places: vec![Place::default(); places + spare],
            spare,
        }
    }

    /// How many places containers may have.
    fn ordinary(&self) -> usize {
        self.places.len() - self.spare
    }

    /// Init has started a process for a place.
    pub(super) fn ready(&mut self, place: usize, generation: u64) {
        let Some(place) = self.places.get_mut(place) else {
            return;
        };
        place.ready = place.ready.max(generation);
        place.settle();
    }

    /// Whether init was ready at all places once.
    pub(super) fn are_open(&self) -> bool {
        self.places.iter().all(|place| place.ready > 0)
    }

    /// Takes a place, for a container with so much memory, in MiB; 0 is for what is no container, and gets a spare one
    /// if there is no other.
    pub(super) fn take(&mut self, mib: u32) -> Result<usize, Full> {
        let (wanted, free) = (mib, self.free_mib());
        let mib = wanted.checked_next_multiple_of(PIECE_MIB);
        let Some(mib) = mib.filter(|&mib| mib <= free) else {
            return Err(Full::Memory {
                wanted,
                pool: self.pool,
                free,
            });
        };
        let places = self.ordinary();
        let within = match mib {
            0 => self.places.len(),
            _ => places,
        };
        let at = self.places[..within].iter().position(Place::is_free);
        let at = at.ok_or(Full::Places { places })?;
        let place = &mut self.places[at];
        place.taken = Some(Taken {
            generation: place.ready,
            mib,
            is_over: false,
        });
        Ok(at)
    }

    /// This process has said hello to the client of a place.
    pub(super) fn met(&mut self, place: usize, generation: u64) {
        if let Some(taken) = &mut self.places[place].taken {
            taken.generation = generation;
        }
    }

    /// The client of a place has gone.
    pub(super) fn release(&mut self, place: usize) {
        if let Some(taken) = &mut self.places[place].taken {
            taken.is_over = true;
        }
        self.places[place].settle();
    }

    /// Whether a later process than this one serves a place.
    pub(super) fn is_after(&self, place: usize, generation: u64) -> bool {
        self.places[place].ready > generation
    }

    /// Nobody was connected to the place since it was taken: it is as it was.
    pub(super) fn put_back(&mut self, place: usize) {
        self.places[place].taken = None;
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

    /// How many places are free, but for the spare ones.
    pub(super) fn free_places(&self) -> usize {
        let ordinary = &self.places[..self.ordinary()];
        ordinary.iter().filter(|place| place.is_free()).count()
    }
}

impl Place {
    fn is_free(&self) -> bool {
        self.ready > 0 && self.taken.is_none()
    }

    fn settle(&mut self) {
        self.taken = self
            .taken
            .filter(|taken| !taken.is_over || taken.generation >= self.ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_places() -> Books {
        let mut books = Books::new(1000, 2, 0);
        assert!(!books.are_open());
        assert_eq!(books.take(1), Err(Full::Places { places: 2 }));
        books.ready(0, 1);
        books.ready(1, 1);
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
        books.ready(0, 2);
        books.ready(1, 2);
        assert_eq!(books.free_places(), 1);
        books.release(1);
        assert_eq!(
            (books.free_places(), books.is_something_ending()),
            (2, false)
        );
    }

    #[test]
    fn a_lease_is_of_the_process_that_said_hello() {
        let mut books = two_places();
        // The process has ended before its client came, and what is said of the next one comes late.
        assert_eq!(books.take(0), Ok(0));
        books.met(0, 2);
        books.ready(0, 2);
        books.release(0);
        assert_eq!(
            books.free_places(),
            1,
            "the client's own process is no new one"
        );
        assert!(!books.is_after(0, 2));
        books.ready(0, 3);
        assert!(books.is_after(0, 2));
        assert_eq!(books.free_places(), 2);
        // And so for the rest of the machine's life.
        assert_eq!(books.take(0), Ok(0));
        books.met(0, 3);
        books.release(0);
        assert_eq!(books.free_places(), 1);
    }

    #[test]
    fn a_place_that_nobody_was_connected_to_is_free_at_once() {
        let mut books = two_places();
        assert_eq!(books.take(600), Ok(0));
        books.put_back(0);
        assert_eq!((books.free_places(), books.free_mib()), (2, 1000));
        assert!(!books.is_something_ending());
    }

    #[test]
    fn a_machine_full_of_containers_has_a_place_left_for_who_looks_after_them() {
        let mut books = Books::new(1000, 2, 1);
        (0..3).for_each(|place| books.ready(place, 1));
        assert_eq!((books.take(100), books.take(100)), (Ok(0), Ok(1)));
        assert_eq!(books.take(100), Err(Full::Places { places: 2 }));
        assert_eq!(books.free_places(), 0);
        assert_eq!(books.take(0), Ok(2));
        assert_eq!(books.take(0), Err(Full::Places { places: 2 }));
        // Another place is taken first.
        books.release(0);
        books.ready(0, 2);
        books.release(2);
        books.ready(2, 2);
        assert_eq!((books.free_places(), books.take(0)), (1, Ok(0)));
        assert_eq!(books.take(100), Err(Full::Places { places: 2 }));
    }

    #[test]
    fn memory_is_lent_once_until_the_place_is_free_again() {
        let mut books = two_places();
        // In pieces of two MiB.
        assert_eq!(books.take(599), Ok(0));
        let full = Full::Memory {
            wanted: 401,
            pool: 1000,
            free: 400,
        };
        assert_eq!(books.take(401), Err(full));
        assert!(full.to_string().contains("401 MiB"), "{full}");
        books.release(0);
        assert_eq!(books.free_mib(), 400);
        books.ready(0, 2);
        assert_eq!(books.free_mib(), 1000);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! One file on a mirror, a cache that it goes to, and what has arrived of it.

use std::fs;

use cki_inputs::downloads::Downloads;
use cki_inputs::fetch::download::FetchStats;
use cki_inputs::fetch_error::FetchError;

use super::{Server, download, fetcher, noise, sha256};

/// Bytes of the file.
pub const SIZE: usize = 300_000;

pub struct Case {
    pub server: Server,
    pub dir: tempfile::TempDir,
    pub body: Vec<u8>,
}

impl Case {
    /// A server that has one file, `a.deb`.
    pub fn new() -> Self {
        let case = Self {
            server: Server::start(),
            dir: tempfile::tempdir().unwrap(),
            body: noise(SIZE, 1),
        };
        case.server.put("/a.deb", case.body.clone());
        case
    }

    pub fn fetch(&self) -> Result<FetchStats, FetchError> {
        let (_, fetcher, _) = fetcher(self.dir.path());
        fetcher.fetch(&[download("a.deb", &[&self.server], &self.body)])
    }

    pub fn complete(&self) -> Option<Vec<u8>> {
        fs::read(
            Downloads::open(self.dir.path())
                .unwrap()
                .by_hash(&sha256(&self.body)),
        )
        .ok()
    }

    pub fn partial(&self) -> Option<Vec<u8>> {
        fs::read(
            Downloads::open(self.dir.path())
                .unwrap()
                .partial(&sha256(&self.body)),
        )
        .ok()
    }

    pub fn assert_complete(&self) {
        assert_eq!(self.complete().as_ref(), Some(&self.body));
        assert_eq!(self.partial(), None);
    }

    /// Nothing is complete, `got` bytes are kept, and the next run takes only the rest from the server.
    pub fn assert_goes_on_behind(&self, got: u64) {
        self.assert_nothing();
        assert_eq!(self.partial().unwrap().len() as u64, got);
        let stats = self.fetch().unwrap();
        self.assert_complete();
        assert_eq!(
            (stats.resumed_bytes, self.server.sent()),
            (got, SIZE as u64)
        );
    }

    pub fn assert_nothing(&self) {
        assert_eq!(
            fs::read_dir(self.dir.path().join("by-hash"))
                .unwrap()
                .count(),
            0
        );
    }
}

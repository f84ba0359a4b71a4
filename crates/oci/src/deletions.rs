// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a layer hides of those below it, in overlayfs' terms. It is known when all of the layer is: an archive may have
//! a deletion before or behind what comes in its place.

use std::collections::BTreeSet;

use cki_erofs::write::{Attributes, Kind, Tree, TreeError};

/// The attribute of a directory of which nothing lower is to be seen.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Names and directories, as paths with slashes.
#[derive(Debug, Default)]
pub struct Deletions {
    names: BTreeSet<Vec<u8>>,
    opaque: BTreeSet<Vec<u8>>,
}

impl Deletions {
    /// Nothing lower has this name.
    pub fn name(&mut self, path: &[&[u8]]) {
        self.names.insert(path.join(&b'/'));
    }

    /// Nothing lower is in this directory.
    pub fn below(&mut self, path: &[&[u8]]) {
        self.opaque.insert(path.join(&b'/'));
    }

    /// All of them, directories first.
    pub fn into_paths(self) -> impl Iterator<Item = Deletion> {
        let opaque = self.opaque.into_iter();
        let opaque = opaque.map(|path| Deletion { path, opaque: true });
        let names = self.names.into_iter().map(|path| Deletion {
            path,
            opaque: false,
        });
        opaque.chain(names)
    }
}

/// One of them.
#[derive(Debug)]
pub struct Deletion {
    /// The path.
    pub path: Vec<u8>,
    opaque: bool,
}

impl Deletion {
    /// Makes it a part of the layer.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn apply(&self, tree: &mut Tree) -> Result<(), TreeError> {
        // The root directory may be opaque. An empty name is none, and refused.
        let parts = match self.path.is_empty() && self.opaque {
            true => Vec::new(),
            false => self.path.split(|&byte| byte == b'/').collect::<Vec<_>>(),
        };
        if tree.is_below_a_file(&parts) {
            // umoci deletes what a directory had that is a file now. Nothing lower is seen there anyway.
            Ok(())
        } else if tree.is_directory(&parts) || self.opaque && !tree.contains(&parts) {
            tree.mark(&parts, OPAQUE, b"y")
        } else if tree.contains(&parts) {
            Ok(())
        } else {
            let attributes = Attributes::of_root(0);
            tree.device(&parts, attributes, Kind::CharacterDevice, (0, 0))
        }
    }
}

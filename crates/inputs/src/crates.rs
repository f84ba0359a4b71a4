// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crates that Cargo.lock names, as files in the Nix store, so that the hermetic build needs no registry.
//!
//! cargo itself downloads them, from whatever registry it is configured for; we take them from its cache, check them
//! against Cargo.lock and add each under its fixed-output path `crate-NAME-VERSION.tar.gz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cargo::{Cargo, Crate, read_cargo_lock};
use crate::error::InputsError;
use crate::import::{ProvideReport, import};
use crate::inputs::Inputs;
use cki_nix::path::Mode;
use cki_nix::store::Addition;

/// Puts all crates of the Cargo.lock beside `manifest` (a Cargo.toml) into the store.
///
/// cargo is only run if some of them are neither in the store nor in its cache.
///
/// # Errors
/// [`InputsError::Crates`] or [`InputsError::Store`].
pub fn provide_crates(
    inputs: &Inputs,
    cargo: &Cargo,
    manifest: &Path,
) -> Result<ProvideReport, InputsError> {
    let by_path: BTreeMap<PathBuf, Crate> =
        read_cargo_lock(&manifest.with_file_name("Cargo.lock"))?
            .into_iter()
            .map(|c| {
                let path = inputs
                    .nix
                    .fixed_output(&c.store_name(), Mode::Flat, &c.sha256);
                (path, c)
            })
            .collect();
    import(inputs, by_path, |missing, _, _| {
        if !missing.values().all(|wanted| cargo.has(wanted)) {
            inputs.shown.part("cargo fetch");
            cargo.fetch(manifest)?;
        }
        let mut additions = Vec::new();
        for (expected, wanted) in missing {
            inputs.cancel.check()?;
            additions.push(Addition {
                source: cargo.verified(wanted)?,
                mode: Mode::Flat,
                expected: expected.clone(),
            });
        }
        Ok(additions)
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the headers that are generated: `cargo run -p cki-abi --example headers`.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for header in cki_abi::header::HEADERS {
        let mut text = String::new();
        (header.write)(&mut text)?;
        std::fs::write(top.join(header.path), text)?;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Prints the C header: `cargo run -p cki-abi --example header > abi/include/cki/abi.h`.

use std::fmt::Error;

fn main() -> Result<(), Error> {
    let mut text = String::new();
    cki_abi::header::write(&mut text)?;
    print!("{text}");
    Ok(())
}

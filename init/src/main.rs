//! CKI.

fn main() {}

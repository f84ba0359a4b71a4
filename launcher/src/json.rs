// SPDX-License-Identifier: MIT OR Apache-2.0

//! JSON that is shown.

use serde::Serialize;

/// As JSON. A terminal that shows it obeys nothing in it.
pub fn escaped(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    // All other control characters are escaped already.
    let escaped = |c: char| match c.is_control() {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    Ok(text.chars().map(escaped).collect())
}

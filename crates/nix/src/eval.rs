// SPDX-License-Identifier: MIT OR Apache-2.0

//! Evaluating the flake: which derivation and output path an attribute stands for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::NixError;
use cki_wording::nearest::nearest_names;

/// What an attribute of the flake stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its derivation.
    pub drv: PathBuf,
    /// Its (default) output, which need not exist yet.
    pub out: PathBuf,
}

/// Function from a derivation to a [`Target`].
const TARGET_FUNCTION: &str = "drv: { drv = drv.drvPath; out = drv.outPath; }";

#[derive(Deserialize)]
struct Evaluated {
    known: Vec<String>,
    found: BTreeMap<String, Target>,
}

/// Function from a set of packages to the names of all and the targets of `attrs`.
///
/// The names are evaluated too, so that an unknown one costs no second evaluation to explain.
#[must_use]
pub fn targets_function(attrs: &[String]) -> String {
    let wanted: String = attrs
        .iter()
        .map(|attr| format!("{} = null; ", string(attr)))
        .collect();
    format!(
        "packages: {{ known = builtins.attrNames packages; \
         found = builtins.mapAttrs (_: {TARGET_FUNCTION}) (builtins.intersectAttrs {{ {wanted}}} packages); }}"
    )
}

/// Expression for the flake `reference`.
#[must_use]
pub fn get_flake(reference: &str) -> String {
    format!("builtins.getFlake {}", string(reference))
}

/// Reads what [`targets_function`] gave.
///
/// # Errors
/// [`NixError::UnknownAttribute`], or [`NixError::Unexpected`] when it is no such JSON.
pub fn parse_targets(json: &[u8], attrs: &[String]) -> Result<BTreeMap<String, Target>, NixError> {
    let evaluated: Evaluated =
        serde_json::from_slice(json).map_err(|error| NixError::Unexpected(error.to_string()))?;
    match attrs
        .iter()
        .find(|attr| !evaluated.found.contains_key(*attr))
    {
        None => Ok(evaluated.found),
        Some(unknown) => Err(NixError::UnknownAttribute {
            name: unknown.clone(),
            nearest: nearest_names(unknown, evaluated.known.iter().map(String::as_str)),
            known: evaluated.known,
        }),
    }
}

/// `text` as a string of the Nix language.
#[must_use]
pub fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = br#"{"known":["cki-host","cki-kernel"],
        "found":{"cki-host":{"drv":"/nix/store/h.drv","out":"/nix/store/h"}}}"#;

    #[test]
    fn a_known_attribute_gives_its_paths() {
        let targets = parse_targets(JSON, &["cki-host".to_owned()]).expect("known");
        assert_eq!(targets["cki-host"].drv, PathBuf::from("/nix/store/h.drv"));
    }

    #[test]
    fn an_unknown_attribute_is_answered_with_the_nearest_and_all_known_ones() {
        let error = parse_targets(JSON, &["cki-kernl".to_owned()]).expect_err("unknown");
        let message = error.to_string();
        assert!(message.contains("did you mean cki-kernel?"), "{message}");
        assert!(message.contains("cki-host, cki-kernel"), "{message}");
        let error = parse_targets(JSON, &["zzz".to_owned()]).expect_err("unknown");
        assert!(!error.to_string().contains("did you mean"));
    }

    #[test]
    fn names_cannot_break_out_of_the_expression() {
        let function = targets_function(&["a\"; b = builtins.abort \"${x}".to_owned()]);
        assert!(
            function.contains(r#""a\"; b = builtins.abort \"\${x}" = null;"#),
            "{function}"
        );
    }

    #[test]
    fn output_that_is_not_ours_is_an_error() {
        assert!(matches!(
            parse_targets(b"[]", &[]),
            Err(NixError::Unexpected(_))
        ));
    }
}

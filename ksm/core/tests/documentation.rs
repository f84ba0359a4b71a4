//! The threat model names tests: they exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = fs::read_to_string(root.join("../../docs/threat-model.md")).expect("the document");
    let sources: String = fs::read_dir(root.join("tests"))
        .expect("the tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| fs::read_to_string(path).expect("a test"))
        .collect();
    let named: Vec<_> = model
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() > 2
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect();
    assert!(
        named.len() > 30,
        "only {} names were recognised",
        named.len()
    );
    for name in named {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "{name} is no test of ksm/core"
        );
    }
}

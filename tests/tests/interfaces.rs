// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reference of the interfaces (`docs/reference/{abi,session}.md` and `session.schema.json`) is what the
//! definitions give.
//!
//! It is written anew by `CKI_WRITE=1 cargo test -p cki-tests --test interfaces`.

#[path = "interfaces/abi.rs"]
mod abi;
#[path = "interfaces/forms.rs"]
mod forms;
#[path = "interfaces/protocol.rs"]
mod protocol;
#[path = "interfaces/schema.rs"]
mod schema;
#[path = "interfaces/text.rs"]
mod text;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a page with what it should be, or writes it if that is wanted.
fn holds(page: &str, expected: &str) {
    let path = root().join("docs/reference").join(page);
    if std::env::var_os("CKI_WRITE").is_some_and(|value| value == "1") {
        fs::write(&path, expected).expect("the page is written");
        return;
    }
    let text = fs::read_to_string(&path).expect("the page");
    let differs = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        text == expected,
        "docs/reference/{page} is not what the definitions give: \
         CKI_WRITE=1 cargo test -p cki-tests --test interfaces ({differs:?})"
    );
}

#[test]
fn the_page_on_the_binary_interfaces_is_what_their_tables_give() {
    holds("abi.md", &abi::page(&root()));
}

#[test]
fn the_page_on_the_session_protocol_is_what_its_sources_give() {
    holds("session.md", &protocol::page(&root()));
}

#[test]
fn the_schema_of_the_session_protocol_is_what_its_sources_give() {
    holds("session.schema.json", &schema::text(&root()));
}

#[test]
fn each_field_of_a_message_is_on_the_page() {
    let page = protocol::page(&root());
    let mut run = cki_session::Run::new(["true"]);
    run.hostname = Some("h".to_owned());
    run.container = Some(cki_session::Container::new(cki_session::Memory::constant(
        64,
    )));
    let value = serde_json::to_value(cki_session::Request::Run(Box::new(run))).expect("JSON");
    let mut names: Vec<_> = value.as_object().expect("an object").keys().collect();
    let container = value["container"].as_object().expect("an object");
    names.extend(container.keys());
    assert!(names.len() > 6, "{names:?}");
    // `type` says which message it is.
    for name in names.into_iter().filter(|name| *name != "type") {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

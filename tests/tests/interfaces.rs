// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reference of the interfaces (`docs/reference/{abi,session}.md` and `session.schema.json`) is what the
//! definitions give, and so are the limits that the NixOS modules know (`nixos-modules/limits.json`).
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

use cki_session::{Container, ContainerName, Limit, Memory, Volume};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what it should be, or writes it if that is wanted.
fn holds(file: &str, expected: &str) {
    let path = root().join(file);
    if std::env::var_os("CKI_WRITE").is_some_and(|value| value == "1") {
        fs::write(&path, expected).expect("the file is written");
        return;
    }
    let text = fs::read_to_string(&path).expect("the file");
    let differs = text.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        text == expected,
        "{file} is not what the definitions give: \
         CKI_WRITE=1 cargo test -p cki-tests --test interfaces ({differs:?})"
    );
}

#[test]
fn the_page_on_the_binary_interfaces_is_what_their_tables_give() {
    holds("docs/reference/abi.md", &abi::page(&root()));
}

#[test]
fn the_page_on_the_session_protocol_is_what_its_sources_give() {
    holds("docs/reference/session.md", &protocol::page(&root()));
}

#[test]
fn the_schema_of_the_session_protocol_is_what_its_sources_give() {
    holds("docs/reference/session.schema.json", &schema::text(&root()));
}

/// What the rules of the NixOS modules compare with.
fn limits() -> String {
    let limits = serde_json::json!({
        "$comment": "SPDX-License-Identifier: MIT OR Apache-2.0. Generated from abi: CKI_WRITE=1 cargo test -p \
            cki-tests --test interfaces",
        "chunkMib": cki_abi::limits::CHUNK_SIZE >> 20,
        "containerName": ContainerName::PATTERN,
        "leastMib": Container::LEAST_MEMORY.mib(),
        "mostMib": Memory::CONTAINER_MAX.mib(),
        "mostVolumes": Volume::MOST,
        "resources": Limit::names().collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&limits).expect("JSON") + "\n"
}

#[test]
fn the_limits_that_the_nixos_modules_know_are_those_of_the_sources() {
    holds("nixos-modules/limits.json", &limits());
}

#[test]
fn each_field_of_a_message_is_on_the_page() {
    let page = protocol::page(&root());
    let mut run = cki_session::Run::new(["true"]);
    run.hostname = Some("h".to_owned());
    run.container = Some(Container::new(Container::LEAST_MEMORY));
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

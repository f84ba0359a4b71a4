// SPDX-License-Identifier: MIT OR Apache-2.0

//! A public type's name says which type it is in all crates that speak the session: who reads or searches for one
//! meets no other of its name, and sentences about one can do without its crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cki_house::crates::Metadata;
use cki_house::modules::Crate;
use cki_house::{root, source};

/// The crates that speak the session, and that one itself.
const CRATES: [&str; 7] = [
    "cki-session",
    "cki-init",
    "cki-launcher",
    "cki-frontend",
    "cki-machine",
    "cki-process",
    "cki-build",
];

/// Names that several crates have all the same, and why.
const SHARED: [(&str, &str); 17] = [
    ("Cli", "the command line of a program, by custom of clap"),
    (
        "ExecArgs",
        "the arguments of a command that both programs have",
    ),
    (
        "KillArgs",
        "the arguments of a command that both programs have",
    ),
    (
        "RunArgs",
        "the arguments of a command that both programs have",
    ),
    (
        "StatsArgs",
        "the arguments of a command that both programs have",
    ),
    (
        "NetworkArgs",
        "the arguments of a command that both programs have",
    ),
    (
        "Command",
        "of the command lines by custom of clap, of starting programs as std has it",
    ),
    (
        "Build",
        "the arguments of `cki-build build`; what a machine is made of",
    ),
    ("Machine", "the arguments of `cki-build machine`; a machine"),
    ("Named", "the arguments that name a machine; counts by name"),
    (
        "Channel",
        "an end of the control port: init's, and its client's",
    ),
    (
        "Container",
        "what a request has of one; the handle of the one that it becomes",
    ),
    ("Count", "of tests; of what devices do"),
    (
        "ExecError",
        "of a process in a container; of a program on the host",
    ),
    (
        "Host",
        "a name with its address; what is on the host's side",
    ),
    (
        "Link",
        "what a request has of one; the two ways for frames and requests of a device",
    ),
    (
        "Ports",
        "the sockets of a session; the two numbers of a connection",
    ),
];

/// The public types of a crate.
fn types_of(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let package = metadata.ours().find(|package| package.name == name);
    let package = package.unwrap_or_else(|| panic!("there is no {name}"));
    let mut types = BTreeSet::new();
    for file in package.roots() {
        let modules = Crate::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for file in modules.uses().keys() {
            let text = fs::read_to_string(file).expect("a file");
            types.extend(source::read(&text).expect("Rust").types);
        }
    }
    assert!(!types.is_empty(), "{name} has no public types");
    types
}

#[test]
fn no_two_crates_that_speak_the_session_have_a_public_type_of_one_name() {
    let metadata = Metadata::of(&root()).expect("cargo knows the workspace");
    let mut crates: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in CRATES {
        for type_name in types_of(&metadata, name) {
            crates.entry(type_name).or_default().push(name);
        }
    }
    assert!(crates.len() > 250, "only {} types were read", crates.len());
    crates.retain(|_, crates| crates.len() > 1);
    for (name, _) in SHARED {
        let is_shared = crates.remove(name).is_some();
        assert!(is_shared, "{name} needs no exception any more");
    }
    assert!(crates.is_empty(), "one name, several types: {crates:#?}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! An in-toto statement (v1) with SLSA provenance (v1): which build made the outputs, and of what.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::component::Component;
use crate::subject::Subject;

/// What kind of build it is: `nix build` of outputs of the flake, in the sandbox. docs/reference/release.md describes
/// it.
pub const BUILD_TYPE: &str = "urn:cki:build:flake:v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource<'a>>,
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

/// A resource descriptor.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    digest: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: ExternalParameters<'a>,
    internal_parameters: BTreeMap<&'static str, &'static str>,
    resolved_dependencies: Vec<Resource<'a>>,
}

#[derive(Serialize)]
struct ExternalParameters<'a> {
    commit: &'a str,
    outputs: Vec<&'a str>,
}

#[derive(Serialize)]
struct RunDetails<'a> {
    builder: Builder<'a>,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'a str,
}

/// The statement, with a newline at its end. `builder` is the URI of who has built, which the user gives.
///
/// # Panics
/// Never: strings can be written as JSON.
#[must_use]
pub fn statement(subject: &Subject, components: &[Component], builder: &str) -> String {
    let dependency = |c: &'_ Component| -> (String, String) { (c.purl.clone(), c.sha256.clone()) };
    let dependencies: Vec<_> = components.iter().map(dependency).collect();
    let mut resolved = vec![Resource {
        name: Some("source"),
        uri: None,
        digest: BTreeMap::from([("gitCommit", subject.commit.as_str())]),
    }];
    resolved.extend(dependencies.iter().map(|(purl, sha256)| Resource {
        name: None,
        uri: Some(purl),
        digest: BTreeMap::from([("sha256", sha256.as_str())]),
    }));
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: subject
            .outputs
            .iter()
            .map(|output| Resource {
                name: Some(&output.name),
                uri: None,
                digest: BTreeMap::from([("sha256", output.sha256.as_str())]),
            })
            .collect(),
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE,
                external_parameters: ExternalParameters {
                    commit: &subject.commit,
                    outputs: subject.outputs.iter().map(|o| o.name.as_str()).collect(),
                },
                internal_parameters: BTreeMap::from([("system", "x86_64-linux")]),
                resolved_dependencies: resolved,
            },
            run_details: RunDetails {
                builder: Builder { id: builder },
            },
        },
    };
    let text = serde_json::to_string_pretty(&statement);
    text.expect("strings can be written as JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Output;

    #[test]
    fn the_statement_names_outputs_commit_and_every_dependency_by_hash() {
        let subject = Subject {
            version: "0.1.0".into(),
            commit: "c0ffee".into(),
            time: String::new(),
            outputs: vec![Output {
                name: "cki-host".into(),
                path: "/nix/store/h-cki-host".into(),
                sha256: "a".repeat(64),
            }],
        };
        let of_crate = Component::of_crate("a", "1.0.0", &"b".repeat(64), None);
        let text = statement(&subject, &[of_crate], "urn:example:me");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["subject"][0]["digest"]["sha256"], "a".repeat(64));
        let definition = &value["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["commit"], "c0ffee");
        let dependencies = &definition["resolvedDependencies"];
        assert_eq!(dependencies[0]["digest"]["gitCommit"], "c0ffee");
        assert_eq!(dependencies[1]["uri"], "pkg:cargo/a@1.0.0");
        assert_eq!(
            value["predicate"]["runDetails"]["builder"]["id"],
            "urn:example:me"
        );
    }
}

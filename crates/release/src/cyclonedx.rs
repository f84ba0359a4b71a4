// SPDX-License-Identifier: MIT OR Apache-2.0

//! A CycloneDX 1.6 bill of materials (ECMA-424), as JSON.

use serde::Serialize;

use crate::component::{Component, Role};
use crate::digest;
use crate::subject::Subject;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata,
    components: Vec<Part>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Part,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Part {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Licence {
    expression: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

fn sha256(content: &str) -> Vec<Hash> {
    vec![Hash {
        alg: "SHA-256",
        content: content.into(),
    }]
}

fn part(of: &Component) -> Part {
    Part {
        kind: match of.role {
            Role::Source => "library",
            Role::Tool => "application",
        },
        reference: of.purl.clone(),
        name: of.name.clone(),
        version: of.version.clone(),
        // What is only there at build time is not part of what is delivered.
        scope: (of.role == Role::Tool).then_some("excluded"),
        hashes: sha256(&of.sha256),
        licenses: of
            .licence
            .iter()
            .map(|expression| Licence {
                expression: expression.clone(),
            })
            .collect(),
        purl: Some(of.purl.clone()),
        properties: vec![Property {
            name: "cki:file",
            value: of.file.clone(),
        }],
    }
}

/// The bill of materials, with a newline at its end.
///
/// # Panics
/// Never: strings and numbers can be written as JSON.
#[must_use]
pub fn bom(subject: &Subject, components: &[Component]) -> String {
    let root = format!("cki@{}", subject.commit);
    let own = |kind, reference: String, name: &str, hash: Vec<Hash>| Part {
        kind,
        reference,
        name: name.into(),
        version: subject.version.clone(),
        scope: None,
        hashes: hash,
        licenses: Vec::new(),
        purl: None,
        properties: Vec::new(),
    };
    let outputs = subject.outputs.iter().map(|output| {
        let mut part = own("application", output.path.clone(), &output.name, Vec::new());
        // The hash is that of an archive of it, not of a file that anybody has.
        part.properties = vec![Property {
            name: "cki:nar-sha256",
            value: output.sha256.clone(),
        }];
        part
    });
    let pinned: Vec<String> = components.iter().map(|c| c.purl.clone()).collect();
    let built: Vec<String> = subject.outputs.iter().map(|o| o.path.clone()).collect();
    let leaf = |reference: &String| Dependency {
        reference: reference.clone(),
        depends_on: Vec::new(),
    };
    let mut dependencies = vec![Dependency {
        reference: root.clone(),
        depends_on: [built.clone(), pinned.clone()].concat(),
    }];
    dependencies.extend(built.iter().chain(&pinned).map(leaf));
    let mut bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: None,
        version: 1,
        metadata: Metadata {
            timestamp: subject.time.clone(),
            tools: Tools {
                components: vec![own(
                    "application",
                    "cki-build".into(),
                    "cki-build",
                    Vec::new(),
                )],
            },
            component: own("application", root, "cki", Vec::new()),
        },
        components: outputs.chain(components.iter().map(part)).collect(),
        dependencies,
    };
    // The number follows from everything else.
    let text = serde_json::to_string(&bom).expect("strings and numbers can be written as JSON");
    bom.serial_number = Some(format!("urn:uuid:{}", digest::uuid(&text)));
    let text = serde_json::to_string_pretty(&bom);
    text.expect("strings and numbers can be written as JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Output;

    #[test]
    fn components_have_purl_hash_and_licence_and_the_same_input_gives_the_same_text() {
        let subject = Subject {
            version: "0.1.0".into(),
            commit: "c0ffee".into(),
            time: "2026-07-11T10:16:37Z".into(),
            outputs: vec![Output {
                name: "cki-host".into(),
                path: "/nix/store/h-cki-host".into(),
                sha256: "a".repeat(64),
            }],
        };
        let components = [Component::of_crate(
            "a",
            "1.0.0",
            &"b".repeat(64),
            Some("MIT OR Apache-2.0".into()),
        )];
        let text = bom(&subject, &components);
        assert_eq!(text, bom(&subject, &components));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["specVersion"], "1.6");
        let part = &value["components"][1];
        assert_eq!(part["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(part["hashes"][0]["content"], "b".repeat(64));
        assert_eq!(part["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(
            value["dependencies"][0]["dependsOn"][1],
            "pkg:cargo/a@1.0.0"
        );
        let other = Subject {
            commit: "c0ffee1".into(),
            ..subject
        };
        let other: serde_json::Value = serde_json::from_str(&bom(&other, &components)).unwrap();
        assert_ne!(other["serialNumber"], value["serialNumber"]);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! An SPDX 2.3 document, as JSON.

use serde::Serialize;

use crate::component::{Component, Role};
use crate::digest;
use crate::subject::Subject;

/// What the format says where nothing is known, or nothing is claimed.
const NO_ASSERTION: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship {
        spdx_element_id: from.into(),
        relationship_type: kind,
        related_spdx_element: to.into(),
    }
}

/// The identifier of something that `text` names uniquely.
fn id(text: &str) -> String {
    format!("SPDXRef-{}", &digest::sha256(text.as_bytes())[..32])
}

fn own(id: String, name: &str, version: &str) -> Package {
    Package {
        id,
        name: name.into(),
        version_info: version.into(),
        package_file_name: None,
        download_location: NO_ASSERTION,
        files_analyzed: false,
        checksums: Vec::new(),
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION.into(),
        copyright_text: NO_ASSERTION,
        external_refs: Vec::new(),
        comment: None,
    }
}

fn package(of: &Component) -> Package {
    Package {
        package_file_name: Some(of.file.clone()),
        checksums: vec![Checksum {
            algorithm: "SHA256",
            checksum_value: of.sha256.clone(),
        }],
        license_declared: of.licence.clone().unwrap_or_else(|| NO_ASSERTION.into()),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: of.purl.clone(),
        }],
        ..own(id(&of.purl), &of.name, &of.version)
    }
}

/// The document, with a newline at its end.
///
/// # Panics
/// Never: strings and numbers can be written as JSON.
#[must_use]
pub fn document(subject: &Subject, components: &[Component]) -> String {
    const ROOT: &str = "SPDXRef-cki";
    let mut packages = vec![own(ROOT.into(), "cki", &subject.version)];
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", ROOT)];
    for output in &subject.outputs {
        let mut package = own(id(&output.path), &output.name, &subject.version);
        package.comment = Some(format!(
            "{}, whose Nix archive has the SHA-256 {}",
            output.path, output.sha256
        ));
        relationships.push(relation(ROOT, "CONTAINS", &package.id));
        packages.push(package);
    }
    for component in components {
        let package = package(component);
        relationships.push(match component.role {
            Role::Source => relation(ROOT, "GENERATED_FROM", &package.id),
            Role::Tool => relation(&package.id, "BUILD_TOOL_OF", ROOT),
        });
        packages.push(package);
    }
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: format!("cki-{}", subject.version),
        document_namespace: String::new(),
        creation_info: CreationInfo {
            created: subject.time.clone(),
            creators: vec![format!("Tool: cki-build-{}", env!("CARGO_PKG_VERSION"))],
        },
        packages,
        relationships,
    };
    // The namespace follows from everything else.
    let text = serde_json::to_string(&document);
    let text = text.expect("strings and numbers can be written as JSON");
    document.document_namespace = format!("urn:uuid:{}", digest::uuid(&text));
    let text = serde_json::to_string_pretty(&document);
    text.expect("strings and numbers can be written as JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_in_a_relationship_and_licences_are_those_that_are_declared() {
        let subject = Subject {
            version: "0.1.0".into(),
            commit: "c0ffee".into(),
            time: "2026-07-11T10:16:37Z".into(),
            outputs: Vec::new(),
        };
        let debian = Component::of_debian(
            Role::Tool,
            ("bash", "5.2"),
            "amd64",
            "bookworm",
            "bash.deb",
            &"c".repeat(64),
        );
        let of_crate = Component::of_crate("a", "1.0.0", &"b".repeat(64), Some("MIT".into()));
        let text = document(&subject, &[debian.clone(), of_crate]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let packages = value["packages"].as_array().unwrap();
        let related = value["relationships"].to_string();
        for package in packages {
            let id = package["SPDXID"].as_str().unwrap();
            assert!(related.contains(id), "{package}");
        }
        assert_eq!(packages[1]["licenseDeclared"], "NOASSERTION");
        assert_eq!(packages[2]["licenseDeclared"], "MIT");
        assert_eq!(
            packages[1]["externalRefs"][0]["referenceLocator"],
            debian.purl
        );
        assert_eq!(packages[1]["checksums"][0]["checksumValue"], "c".repeat(64));
        assert!(related.contains("BUILD_TOOL_OF") && related.contains("GENERATED_FROM"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one image for this machine in an archive or directory.

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::digest::hex;
use crate::error::OciError;
use crate::source::Source;

/// Largest manifest, index or configuration, in bytes.
const LARGEST_JSON: u64 = 4 << 20;

/// Most indexes within one another; tools write one or two.
const DEEPEST_INDEX: usize = 4;

/// Most layers (Docker's limit).
pub const MOST_LAYERS: usize = 127;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What it says about its program.
    pub config: Config,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerRef>,
    /// Its digests, each as `sha256:` and hexadecimal digits: of the index and the manifest that lead to it, as
    /// registries name it (Docker's archives have neither), and of its configuration, which podman and docker call the
    /// image's ID. All of the image follows from each.
    pub digests: Vec<String>,
}

/// A layer, where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRef {
    /// Its part of the source.
    pub part: String,
    /// Digest (hexadecimal) and size of that part, when the image says them.
    pub stored: Option<(String, u64)>,
    /// Digest (hexadecimal) of the layer's archive without compression, by which it is known.
    pub id: String,
}

/// An entry of Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Image {
    /// Finds the image; the layers are not looked at yet.
    ///
    /// # Errors
    /// [`OciError`].
    pub fn find(source: &Source) -> Result<Self, OciError> {
        if source.contains("index.json") {
            let index = json(source, "index.json")?;
            return Self::of_index(source, &index, Vec::new());
        }
        if source.contains("manifest.json") {
            return Self::of_docker(source);
        }
        Err(source.missing("index.json (OCI image layout) or manifest.json (docker save)"))
    }

    fn of_index(
        source: &Source,
        index: &ImageIndex,
        mut digests: Vec<String>,
    ) -> Result<Self, OciError> {
        let manifests = index.manifests();
        // Signatures and attestations are manifests for no platform that there is.
        let images: Vec<&Descriptor> = manifests.iter().filter(|m| !is_attestation(m)).collect();
        let fitting: Vec<&&Descriptor> = images.iter().filter(|m| fits(m)).collect();
        let [one] = fitting[..] else {
            return Err(match (fitting.len(), images.is_empty()) {
                (0, true) => source.missing("image in index.json"),
                (0, false) => OciError::Platform(platforms(&images)),
                _ => OciError::Several(fitting.iter().map(|m| name(m)).collect()),
            });
        };
        let part = "a manifest";
        let bytes = blob(source, one, part)?;
        let depth = digests.len();
        digests.push(one.digest().to_string());
        if bytes_are_index(&bytes) {
            if depth == DEEPEST_INDEX {
                return Err(OciError::TooLarge {
                    part: "the index".to_owned(),
                    limit: format!("{DEEPEST_INDEX} indexes in one another"),
                });
            }
            return Self::of_index(source, &parse(&bytes, "an index")?, digests);
        }
        let manifest: ImageManifest = parse(&bytes, part)?;
        let config = blob(source, manifest.config(), "the configuration")?;
        let layers = manifest.layers().iter().map(|layer| {
            let digest = hex(layer.digest().as_ref())?.to_owned();
            let part = blob_part(&digest);
            Ok((part, Some((digest, layer.size()))))
        });
        Self::with(&config, layers.collect::<Result<_, OciError>>()?, digests)
    }

    fn of_docker(source: &Source) -> Result<Self, OciError> {
        let images: Vec<DockerImage> = json(source, "manifest.json")?;
        let [image] = &images[..] else {
            let name = |image: &DockerImage| match image.repo_tags.as_deref() {
                Some([first, ..]) => first.clone(),
                _ => image.config.clone(),
            };
            return Err(if images.is_empty() {
                source.missing("image in manifest.json")
            } else {
                OciError::Several(images.iter().map(name).collect())
            });
        };
        let config = source.small(&image.config, LARGEST_JSON)?;
        // Docker names the configuration by its digest, in two ways.
        let named = image.config.trim_end_matches(".json");
        let named = named.rsplit('/').next().unwrap_or(named);
        if let Ok(expected) = hex(&format!("sha256:{named}")) {
            check_digest(&config, expected, "the configuration")?;
        }
        let layers = image.layers.iter().map(|part| (part.clone(), None));
        Self::with(&config, layers.collect(), Vec::new())
    }

    /// Refuses an image that has another digest than `wanted`, which is one of [`Image::digests`].
    ///
    /// # Errors
    /// [`OciError::Another`].
    pub fn check_digest(&self, wanted: &str) -> Result<(), OciError> {
        if self.digests.iter().any(|digest| digest == wanted) {
            return Ok(());
        }
        Err(OciError::Another {
            wanted: wanted.to_owned(),
            found: self.digests.clone(),
        })
    }

    fn with(
        config: &[u8],
        stored: Vec<(String, Option<(String, u64)>)>,
        mut digests: Vec<String>,
    ) -> Result<Self, OciError> {
        digests.push(format!("sha256:{:x}", Sha256::digest(config)));
        let config: ImageConfiguration = parse(config, "the configuration")?;
        if (config.os(), config.architecture()) != (&Os::Linux, &Arch::Amd64) {
            return Err(OciError::Platform(format!(
                "{}/{}",
                config.os(),
                config.architecture()
            )));
        }
        let ids = config.rootfs().diff_ids();
        if ids.len() != stored.len() || ids.is_empty() {
            return Err(OciError::Malformed {
                part: "the configuration".to_owned(),
                problem: format!(
                    "it names {} layers, the manifest {}",
                    ids.len(),
                    stored.len()
                ),
            });
        }
        if ids.len() > MOST_LAYERS {
            return Err(OciError::TooLarge {
                part: "the list of layers".to_owned(),
                limit: format!("{MOST_LAYERS} layers"),
            });
        }
        let layer = |(id, (part, stored)): (&String, (String, _))| {
            Ok(LayerRef {
                part,
                stored,
                id: hex(id)?.to_owned(),
            })
        };
        Ok(Self {
            layers: ids
                .iter()
                .zip(stored)
                .map(layer)
                .collect::<Result<_, OciError>>()?,
            config: Config::of(&config),
            digests,
        })
    }
}

/// Docker's own type has another name, and no type is needed in either.
fn bytes_are_index(bytes: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    value.is_some_and(|value| value.get("manifests").is_some())
}

fn is_attestation(manifest: &Descriptor) -> bool {
    let unknown = |platform: &oci_spec::image::Platform| platform.os().to_string() == "unknown";
    manifest.platform().as_ref().is_some_and(unknown)
}

/// Whether it is for this machine, as far as it says.
fn fits(manifest: &Descriptor) -> bool {
    manifest.platform().as_ref().is_none_or(|platform| {
        (platform.os(), platform.architecture()) == (&Os::Linux, &Arch::Amd64)
    })
}

fn platforms(manifests: &[&Descriptor]) -> String {
    let platforms = manifests.iter().filter_map(|m| m.platform().as_ref());
    let named = platforms.map(|p| format!("{}/{}", p.os(), p.architecture()));
    named.collect::<Vec<_>>().join(", ")
}

/// What a person calls the image.
fn name(manifest: &Descriptor) -> String {
    let annotations = manifest.annotations().as_ref();
    let named = [
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    ]
    .iter()
    .find_map(|key| annotations?.get(*key));
    named
        .cloned()
        .unwrap_or_else(|| manifest.digest().to_string())
}

fn blob_part(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// A small part that is named by its digest.
fn blob(source: &Source, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, OciError> {
    let expected = hex(descriptor.digest().as_ref())?;
    let bytes = source.small(&blob_part(expected), LARGEST_JSON)?;
    if bytes.len() as u64 != descriptor.size() {
        return Err(OciError::Size {
            part: what.to_owned(),
            expected: descriptor.size(),
            found: bytes.len() as u64,
        });
    }
    check_digest(&bytes, expected, what)?;
    Ok(bytes)
}

fn check_digest(bytes: &[u8], expected: &str, what: &str) -> Result<(), OciError> {
    let found = format!("{:x}", Sha256::digest(bytes));
    if found == expected {
        return Ok(());
    }
    Err(OciError::Digest {
        part: what.to_owned(),
        expected: format!("sha256:{expected}"),
        found,
    })
}

fn json<T: DeserializeOwned>(source: &Source, part: &str) -> Result<T, OciError> {
    parse(&source.small(part, LARGEST_JSON)?, part)
}

fn parse<T: DeserializeOwned>(bytes: &[u8], part: &str) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|error| OciError::Malformed {
        part: part.to_owned(),
        problem: error.to_string(),
    })
}

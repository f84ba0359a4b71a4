// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layers of an application image: what every Debian system has, and the packages on it (`images/app`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use cki_inputs::plan::AppPlan;
use cki_layers::{LayerDisk, LayersError};
use cki_machine::AppDisk;
use cki_nix::Target;
use cki_nix::cache::Cache;

/// What names of links in the cache's `roots` begin with when they keep a layer.
pub const ROOT_PREFIX: &str = "app-";

/// A layer, before it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name in the set that the flake's `appImage` gives.
    pub attr: &'static str,
    /// Name of the link that keeps it: the same for the same packages.
    pub root: String,
    /// Where the file system is in the output; none when it is the output.
    file: Option<&'static str>,
}

impl Layer {
    /// The layers of an image, the lowest first.
    #[must_use]
    pub fn of(plan: &AppPlan) -> Vec<Self> {
        let mut digest = Sha256::new();
        let base = plan
            .packages
            .iter()
            .filter(|p| plan.base.contains(&p.package));
        base.for_each(|package| digest.update(&package.sha256));
        let short = |digest: &str| digest.get(..16).unwrap_or(digest).to_owned();
        let base = Self {
            attr: "base",
            root: format!(
                "{ROOT_PREFIX}base-{}",
                short(&format!("{:x}", digest.finalize()))
            ),
            file: Some("image.erofs"),
        };
        let packages = Self {
            attr: "packages",
            root: format!("{ROOT_PREFIX}{}", short(&plan.hash)),
            file: None,
        };
        if plan.steps.is_empty() {
            vec![base]
        } else {
            vec![base, packages]
        }
    }

    /// Where the file systems of `layers` are; none unless `targets` has all of them, by the names of their links.
    #[must_use]
    pub fn paths(layers: &[Self], targets: &BTreeMap<String, Target>) -> Option<Vec<PathBuf>> {
        let path = |layer: &Self| {
            let out = &targets.get(&layer.root)?.out;
            Some(layer.file.map_or(out.clone(), |file| out.join(file)))
        };
        layers.iter().map(path).collect()
    }
}

/// The disk that the emulator is to show, of `layers`, the lowest first, and the files that it is made of.
///
/// # Errors
/// [`LayersError`].
pub fn disk(cache: &Cache, layers: &[PathBuf]) -> Result<(AppDisk, Vec<PathBuf>), LayersError> {
    if let [only] = layers {
        return Ok((AppDisk::Raw(only.clone()), vec![only.clone()]));
    }
    let disk = LayerDisk::compose(layers, &disks(cache.dir()))?;
    Ok((AppDisk::Composed(disk.descriptor), disk.pieces))
}

/// Where descriptors of disks are, in the cache.
#[must_use]
pub fn disks(cache: &Path) -> PathBuf {
    cache.join("disks")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_inputs::order::Step;
    use cki_inputs::plan::AppPackage;

    fn plan(others: &[&str]) -> AppPlan {
        let package = |name: &&str| AppPackage {
            package: (*name).to_owned(),
            version: "1".parse().expect("a version"),
            suite: "bookworm".to_owned(),
            path: format!("pool/{name}.deb"),
            sha256: format!("{name:0>64}"),
            size: 1,
            store: format!("{name}.deb"),
            deps: Vec::new(),
        };
        let steps = if others.is_empty() {
            Vec::new()
        } else {
            vec![Step {
                unpack: others.iter().map(ToString::to_string).collect(),
                configure: Vec::new(),
            }]
        };
        AppPlan {
            version: 4,
            requested: Vec::new(),
            roots: Vec::new(),
            essential: Vec::new(),
            suites: BTreeMap::new(),
            packages: [&["bash"], others].concat().iter().map(package).collect(),
            base: vec!["bash".to_owned()],
            steps,
            hash: format!("{:0<64}", others.concat()),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn images_share_the_base_and_differ_above() {
        let (one, two) = (Layer::of(&plan(&["hello"])), Layer::of(&plan(&["bc"])));
        assert_eq!(one[0], two[0]);
        assert_ne!(one[1], two[1]);
        assert_eq!(Layer::of(&plan(&[])), one[..1]);
    }

    #[test]
    fn an_image_is_there_when_all_of_its_layers_are() {
        let layers = Layer::of(&plan(&["hello"]));
        let target = |out: &str| Target {
            drv: "/d.drv".into(),
            out: out.into(),
        };
        let mut targets = BTreeMap::from([(layers[0].root.clone(), target("/base"))]);
        assert_eq!(Layer::paths(&layers, &targets), None);
        targets.insert(layers[1].root.clone(), target("/hello.erofs"));
        let expected = ["/base/image.erofs", "/hello.erofs"].map(PathBuf::from);
        assert_eq!(Layer::paths(&layers, &targets), Some(expected.to_vec()));
    }
}

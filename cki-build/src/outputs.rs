// SPDX-License-Identifier: MIT OR Apache-2.0

//! Outputs of the flake, built and remembered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::context::Context;
use crate::error::Error;
use crate::inputs::{self, Planned};
use crate::layers::Layer;
use crate::roots;
use cki_nix::{Flake, Target, setup};

impl Context {
    /// Output paths of `attrs`, which exist. Nothing is evaluated when the checkout is what it was when
    /// they were last built.
    ///
    /// # Errors
    /// [`Error`].
    pub fn outputs(&self, attrs: &[&str]) -> Result<BTreeMap<String, Target>, Error> {
        let names: Vec<String> = attrs.iter().map(|&attr| attr.to_owned()).collect();
        let start = Instant::now();
        let what = names.join(" ");
        let known = self.first_key("targets", &what)?;
        if let Some(targets) = known.as_ref().and_then(|key| self.cache.targets(key)) {
            tracing::debug!(elapsed = ?start.elapsed(), "outputs are remembered");
            return Ok(targets);
        }
        let key = self.key("targets", &what)?;
        let targets = self.build(&names)?;
        self.remember(key, "targets", &what, &targets)?;
        tracing::debug!(elapsed = ?start.elapsed(), "outputs are built");
        Ok(targets)
    }

    /// Remembers what was built by the key of before, unless the checkout has changed while it was read.
    fn remember(
        &self,
        before: Option<String>,
        kind: &str,
        what: &str,
        targets: &BTreeMap<String, Target>,
    ) -> Result<(), Error> {
        let Some(key) = before else { return Ok(()) };
        if self.key(kind, what)?.as_ref() == Some(&key) {
            self.cache.remember(&key, targets)?;
        }
        Ok(())
    }

    /// The layers of the application image with the packages of `planned`, the lowest first.
    ///
    /// # Errors
    /// [`Error`].
    pub fn app_layers(&self, planned: &Planned) -> Result<Vec<PathBuf>, Error> {
        let start = Instant::now();
        let layers = Layer::of(&planned.plan);
        let known = self.first_key("app-layers", &planned.plan.hash)?;
        let remembered = known.as_ref().and_then(|key| self.cache.targets(key));
        if let Some(paths) = remembered.and_then(|targets| Layer::paths(&layers, &targets)) {
            roots::used(&self.cache, layers.iter().map(|layer| layer.root.as_str()));
            tracing::debug!(elapsed = ?start.elapsed(), "the application image is remembered");
            return Ok(paths);
        }
        let key = self.key("app-layers", &planned.plan.hash)?;
        setup::ensure_nix(&self.nix, self.progress)?;
        inputs::ensure(self)?;
        inputs::ensure_plan(self, planned)?;
        let attrs: Vec<_> = layers.iter().map(|layer| layer.attr.to_owned()).collect();
        let flake = Flake::of(&self.checkout, &self.cache)?;
        let image = app_image_expression(flake.as_str(), &planned.path);
        let step = self.progress.short_step("evaluating the application image");
        let command = self.nix.eval_set(&image, &attrs);
        let json = self
            .nix
            .capture(&command, &|_| {})
            .map_err(|error| self.explain(error))?;
        step.finish();
        let mut found = cki_nix::eval::parse_targets(&json, &attrs)?;
        let targets: BTreeMap<_, _> = layers
            .iter()
            .filter_map(|layer| Some((layer.root.clone(), found.remove(layer.attr)?)))
            .collect();
        self.realise(&targets)?;
        self.remember(key, "app-layers", &planned.plan.hash, &targets)?;
        tracing::debug!(elapsed = ?start.elapsed(), "the application image is built");
        let nix = || cki_nix::NixError::Unexpected("an image without its layers".to_owned());
        Ok(Layer::paths(&layers, &targets).ok_or_else(nix)?)
    }

    /// Evaluates and builds `names`, whatever is remembered.
    ///
    /// # Errors
    /// [`Error`].
    pub fn build(&self, names: &[String]) -> Result<BTreeMap<String, Target>, Error> {
        let targets = self.evaluate(names)?;
        inputs::ensure(self)?;
        self.realise(&targets)?;
        Ok(targets)
    }

    /// Evaluates `names`; Nix is there afterwards.
    ///
    /// # Errors
    /// [`Error`].
    pub fn evaluate(&self, names: &[String]) -> Result<BTreeMap<String, Target>, Error> {
        setup::ensure_nix(&self.nix, self.progress)?;
        let flake = Flake::of(&self.checkout, &self.cache)?;
        self.nix
            .targets(flake.as_str(), names, self.progress)
            .map_err(|error| self.explain(error))
    }

    fn realise(&self, targets: &BTreeMap<String, Target>) -> Result<(), Error> {
        let roots = self.cache.roots();
        let scratch = self.cache.scratch()?;
        self.nix
            .realise(targets, &roots, scratch, self.global.verbose, self.progress)
            .map_err(|error| self.explain(error))
    }
}

/// The expression of the flake's image function applied to a plan.
fn app_image_expression(flake: &str, plan: &Path) -> String {
    format!(
        "({}).lib.{}.appImage (builtins.fromJSON (builtins.readFile {}))",
        cki_nix::eval::get_flake(flake),
        cki_nix::command::SYSTEM,
        cki_nix::eval::string(&plan.to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_expression_applies_the_flakes_function_to_the_plan() {
        assert_eq!(
            app_image_expression("git+file:///x?shallow=1", Path::new("/c/plans/$a.json")),
            r#"(builtins.getFlake "git+file:///x?shallow=1").lib.x86_64-linux.appImage (builtins.fromJSON (builtins.readFile "/c/plans/\$a.json"))"#
        );
    }
}

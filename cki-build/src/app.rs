// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk that a program runs from, and what an image of a container says of the program.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cki_frontend::ImageConfig;
use cki_layers::closure::{self, StorePath};
use cki_machine::AppDisk;
use cki_nix::setup;
use cki_oci::source::Source;
use cki_oci::{Config, Image, layer};

use crate::cli::RunArgs;
use crate::contents::Contents;
use crate::context::Context;
use crate::error::Error;
use crate::image_file;
use crate::inputs;
use crate::layers;

/// What a program runs in.
#[derive(Debug, Clone)]
pub struct App {
    /// The disk.
    pub disk: AppDisk,
    /// How long it took to resolve the packages.
    pub plan: Duration,
}

impl App {
    /// Refuses what is no place to run in, as far as that can be said before anything is built.
    ///
    /// # Errors
    /// [`Error`].
    pub fn check(context: &Context, contents: &Contents) -> Result<(), Error> {
        if let Some(file) = &contents.image {
            image_file::check(file)?;
        }
        if let Some(path) = &contents.closure {
            context.nix.top_of(path)?;
        }
        Ok(())
    }

    /// Makes the disk of what `contents` name, unless it is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn provide(context: &Context, contents: &Contents) -> Result<Self, Error> {
        if let Some(file) = &contents.image {
            // Again: it may have been changed while something was built.
            image_file::check(file)?;
            return Ok(Self::of(AppDisk::Raw(file.clone())));
        }
        if let Some(path) = &contents.oci {
            return Self::of_oci(context, path);
        }
        if let Some(path) = &contents.closure {
            return Self::of_closure(context, path);
        }
        let start = Instant::now();
        let plan = inputs::plan(context, &contents.packages)?;
        let planned = start.elapsed();
        let (disk, _) = layers::disk(&context.cache, &context.app_layers(&plan)?)?;
        Ok(Self {
            plan: planned,
            ..Self::of(disk)
        })
    }

    const fn of(disk: AppDisk) -> Self {
        Self {
            disk,
            plan: Duration::ZERO,
        }
    }

    fn of_oci(context: &Context, path: &Path) -> Result<Self, Error> {
        let source = Source::open(path)?;
        let image = Image::find(&source)?;
        let (disk, _) = Self::disk_of_oci(context, &source, &image)?;
        Ok(Self::of(disk))
    }

    /// The disk of the layers of `image`, and the files that it is made of.
    ///
    /// # Errors
    /// [`Error`].
    pub fn disk_of_oci(
        context: &Context,
        source: &Source,
        image: &Image,
    ) -> Result<(AppDisk, Vec<PathBuf>), Error> {
        let dir = layer_files(context.cache.dir());
        let step = context.progress.short_step("reading the image's layers");
        let mut paths = Vec::new();
        for (number, layer) in (1..).zip(&image.layers) {
            let on_start =
                || step.part(&format!("reading layer {number} of {}", image.layers.len()));
            paths.push(layer::provide(source, layer, &dir, &on_start)?);
        }
        step.finish();
        Ok(layers::disk(&context.cache, &paths)?)
    }

    fn of_closure(context: &Context, path: &Path) -> Result<Self, Error> {
        setup::ensure_nix(&context.nix, context.progress)?;
        let closure = context.nix.closure(path)?;
        let paths: Vec<_> = closure
            .paths
            .into_iter()
            .map(|(path, hash)| StorePath { path, hash })
            .collect();
        let step = context.progress.short_step("reading the store paths");
        let on_path = |number| {
            step.part(&format!(
                "reading store path {} of {}",
                number + 1,
                paths.len()
            ));
        };
        let dir = layer_files(context.cache.dir());
        let layer = closure::provide(&paths, &closure.top, &dir, &on_path)?;
        step.finish();
        let (disk, _) = layers::disk(&context.cache, &[layer])?;
        Ok(Self::of(disk))
    }
}

// What an image may have, a disk has place for.
const _: () = assert!(cki_oci::image::MOST_LAYERS <= cki_layers::MOST_LAYERS);

/// Where layers of other engines' images and of store paths are, in the cache.
#[must_use]
pub fn layer_files(cache: &Path) -> PathBuf {
    cache.join("layers")
}

/// What the user asks for, with what the image says and the user does not; and what the image says, if it is one that
/// says something.
///
/// # Errors
/// [`Error`], also when a part of the image's configuration cannot be.
pub fn with_image(args: &RunArgs) -> Result<(RunArgs, Option<Config>), Error> {
    let Some(path) = &args.contents.oci else {
        let mut args = args.clone();
        args.program
            .entrypoint
            .take_if(|program| program.is_empty());
        return Ok((args, None));
    };
    let image = Image::find(&Source::open(path)?)?.config;
    Ok((with_config(&config(&image), args)?, Some(image)))
}

fn with_config(config: &ImageConfig, args: &RunArgs) -> Result<RunArgs, Error> {
    let mut args = args.clone();
    config.complete(&mut args.program, &mut args.command)?;
    Ok(args)
}

/// What `image` says of its program.
#[must_use]
pub fn config(image: &Config) -> ImageConfig {
    ImageConfig {
        entrypoint: image.entrypoint.clone(),
        cmd: image.cmd.clone(),
        env: image.env.clone(),
        user: image.user.clone(),
        workdir: image.workdir.clone(),
        volumes: image.volumes.clone(),
        stop_signal: image.stop_signal.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{HostKernel, Runtime};
    use crate::network::NetworkArgs;
    use cki_frontend::ProgramOptions;
    use cki_session::{Container, Run, Terminal, Tmpfs};

    fn config() -> ImageConfig {
        ImageConfig {
            entrypoint: vec!["redis-server".to_owned()],
            cmd: vec!["--save".to_owned()],
            env: vec![("A".to_owned(), "image".to_owned())],
            user: Some("daemon:adm".to_owned()),
            workdir: Some("/srv".to_owned()),
            volumes: vec!["/data".to_owned()],
            stop_signal: Some("SIGQUIT".to_owned()),
        }
    }

    fn args(options: &ProgramOptions, command: &[&str]) -> RunArgs {
        RunArgs {
            runtime: Runtime::Cki,
            host_kernel: HostKernel::Cki,
            machine: Some(crate::resident::OWN.to_owned()),
            name: None,
            contents: Contents::default(),
            memory: Container::DEFAULT_MEMORY,
            cpus: 1,
            timeout: None,
            program: options.clone(),
            network: NetworkArgs::none(),
            disk: Vec::new(),
            command: command.iter().map(Into::into).collect(),
        }
    }

    fn request(config: &ImageConfig, options: &ProgramOptions, command: &[&str]) -> Run {
        let args = with_config(config, &args(options, command)).expect("sound");
        let words = args
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        let request = args.program.request(words.collect(), || Terminal::USUAL);
        let mut run = request.expect("a request");
        config.add_variables(&mut run);
        run
    }

    #[test]
    fn the_image_says_what_the_user_does_not() {
        let run = request(&config(), &ProgramOptions::default(), &[]);
        assert_eq!(run.process.argv, ["redis-server", "--save"]);
        assert_eq!(run.process.workdir.as_deref(), Some("/srv"));
        let user = run.process.user.map(|user| user.to_string());
        assert_eq!(user.as_deref(), Some("daemon:adm"));
        assert_eq!(
            run.root.tmpfs.iter().map(Tmpfs::path).collect::<Vec<_>>(),
            ["/data"]
        );
        assert_eq!(run.process.env, [("A".to_owned(), "image".to_owned())]);
        let nothing = request(&ImageConfig::default(), &ProgramOptions::default(), &["ls"]);
        assert_eq!(nothing.process.workdir.as_deref(), Some("/"));
        assert_eq!(nothing.process.user, None);
    }

    #[test]
    fn the_user_wins() {
        let mut options = ProgramOptions {
            tmpfs: vec!["/data:size=1M".parse().expect("sound")],
            ..ProgramOptions::default()
        };
        options.process.user = Some("root".parse().expect("sound"));
        options.process.workdir = Some("/tmp".to_owned());
        options.process.env = vec!["A=user".parse().expect("a variable")];
        let run = request(&config(), &options, &["--port", "1"]);
        assert_eq!(run.process.argv, ["redis-server", "--port", "1"]);
        assert_eq!(run.process.workdir.as_deref(), Some("/tmp"));
        assert_eq!(
            run.process.user.map(|user| user.to_string()).as_deref(),
            Some("root")
        );
        assert_eq!(run.root.tmpfs, options.tmpfs);
        // The last of a name is what the program sees.
        assert_eq!(
            run.process.env.last().map(|(_, value)| &value[..]),
            Some("user")
        );
        options.entrypoint = Some("sh".to_owned());
        assert_eq!(request(&config(), &options, &[]).process.argv, ["sh"]);
        // As podman and docker have it: the image's is left out, and nothing takes its place.
        options.entrypoint = Some(String::new());
        assert_eq!(request(&config(), &options, &["id"]).process.argv, ["id"]);
    }

    #[test]
    fn a_configuration_that_cannot_be_is_refused_with_its_part() {
        for (part, config) in [
            (
                "user",
                ImageConfig {
                    user: Some(":x".to_owned()),
                    ..config()
                },
            ),
            (
                "volume",
                ImageConfig {
                    volumes: vec!["data".to_owned()],
                    ..config()
                },
            ),
            (
                "stop signal",
                ImageConfig {
                    stop_signal: Some("SIGNOPE".to_owned()),
                    ..config()
                },
            ),
        ] {
            let error = with_config(&config, &args(&ProgramOptions::default(), &[]));
            let message = error.expect_err("refused").to_string();
            assert!(message.contains(&format!("the {part} in")), "{message}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build image`

use std::path::{Path, PathBuf};

use crate::app::{self, App};
use crate::cli::{self, ImageKind};
use crate::context::Context;
use crate::error::Error;
use crate::image_kinds::OciImage;
use crate::inputs;
use crate::layers;
use crate::output::{print, print_json};
use crate::write_image;
use cki_frontend::{ImageConfig, ImageConfigError};
use cki_oci::Image;
use cki_oci::source::Source;
use cki_process::files;
use cki_session::{Signal, Status};
use cki_wording::units::human_bytes;

pub(super) fn image(context: &Context, args: &cli::Image) -> Result<Status, Error> {
    let (sources, pieces, output, format) = match &args.kind {
        ImageKind::CkiHost { output } => {
            let disk = disk(context, output, "cki-host-disk", "cki-host.qcow2")?;
            (vec![disk.clone()], vec![disk], output, "qcow2")
        }
        ImageKind::CkiSystem { output } => {
            let disk = disk(context, output, "cki-system-disk", "cki-system.qcow2")?;
            (vec![disk.clone()], vec![disk], output, "qcow2")
        }
        ImageKind::App { packages, output } => {
            write_image::check_target(output)?;
            let plan = inputs::plan(context, packages)?;
            let layers = context.app_layers(&plan)?;
            let (_, pieces) = layers::disk(&context.cache, &layers)?;
            let format = if pieces.len() == 1 { "erofs" } else { "layers" };
            (layers, pieces, output, format)
        }
        ImageKind::Oci(args) => {
            let pieces = oci(context, args)?;
            (vec![args.image.clone()], pieces, &args.output, "layers")
        }
    };
    let size = write_image::write(&pieces, output)?;
    if context.global.json {
        print_json(&serde_json::json!({
            "file": output, "format": format, "size": size, "sources": sources,
        }))?;
    } else {
        print(&format!(
            "{}: {format}, {}",
            output.display(),
            human_bytes(size)
        ))?;
    }
    Ok(Status::OK)
}

/// The pieces of the disk of another engine's image, with its configuration written if that is asked for.
fn oci(context: &Context, args: &OciImage) -> Result<Vec<PathBuf>, Error> {
    write_image::check_target(&args.output)?;
    let source = Source::open(&args.image)?;
    let image = Image::find(&source)?;
    if let Some(digest) = &args.digest {
        image.check_digest(digest)?;
    }
    let config = app::config(&image.config);
    if let Some(expected) = args.stopped_by {
        stopped_by(&config, expected)?;
    }
    let (_, pieces) = App::disk_of_oci(context, &source, &image)?;
    if let Some(path) = &args.config {
        let text = serde_json::to_vec(&config).expect("text and lists of it");
        files::write_atomically(path, &text).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
    }
    Ok(pieces)
}

/// Refuses an image whose program another signal ends.
fn stopped_by(config: &ImageConfig, expected: Signal) -> Result<(), Error> {
    let said = config.stop_signal.as_deref().unwrap_or("SIGTERM");
    let signal: Signal = said.parse().map_err(|problem| ImageConfigError::Part {
        part: "stop signal",
        problem,
    })?;
    if signal != expected {
        return Err(Error::StopSignal(said.to_owned()));
    }
    Ok(())
}

/// The disk that is the file `name` of an output of the flake, once it is clear that it can be written to `output`.
fn disk(context: &Context, output: &Path, attr: &str, name: &str) -> Result<PathBuf, Error> {
    write_image::check_target(output)?;
    Ok(context.outputs(&[attr])?[attr].out.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_another_signal_ends_is_refused_with_it() {
        let signal = |text: &str| text.parse::<Signal>().expect("a signal");
        let config = |text: &str| ImageConfig {
            stop_signal: Some(text.to_owned()),
            ..ImageConfig::default()
        };
        for said in ["SIGQUIT", "QUIT", "3"] {
            stopped_by(&config(said), signal("QUIT")).expect("the same");
            let told = stopped_by(&config(said), Signal::TERM).expect_err("refused");
            let told = told.to_string();
            assert!(
                told.contains(&format!("that {said} ends its program")),
                "{told}"
            );
        }
        stopped_by(&ImageConfig::default(), Signal::TERM).expect("what is usual");
        assert!(stopped_by(&ImageConfig::default(), signal("INT")).is_err());
        let odd = stopped_by(&config("NOPE"), Signal::TERM).expect_err("refused");
        assert!(odd.to_string().contains("the stop signal in"), "{odd}");
    }
}

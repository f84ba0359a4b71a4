// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build image`

use std::path::{Path, PathBuf};

use crate::cli::{Image, ImageKind};
use crate::context::Context;
use crate::error::Error;
use crate::inputs;
use crate::layers;
use crate::output::{print, print_json};
use crate::write_image;
use cki_session::Status;
use cki_wording::units::human_bytes;

pub(super) fn image(context: &Context, args: &Image) -> Result<Status, Error> {
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

/// The disk that is the file `name` of an output of the flake, once it is clear that it can be written to `output`.
fn disk(context: &Context, output: &Path, attr: &str, name: &str) -> Result<PathBuf, Error> {
    write_image::check_target(output)?;
    Ok(context.outputs(&[attr])?[attr].out.join(name))
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build image`

use crate::cli::{Image, ImageKind};
use crate::context::Context;
use crate::error::Error;
use crate::image;
use crate::inputs;
use crate::output::{print, print_json};
use cki_process::units::human_bytes;
use cki_session::Status;

pub(super) fn image(context: &Context, args: &Image) -> Result<Status, Error> {
    let (from, output, format) = match &args.kind {
        ImageKind::CkiHost { output } => {
            image::check_target(output)?;
            let outputs = context.outputs(&["cki-host-disk"])?;
            (
                outputs["cki-host-disk"].out.join("cki-host.qcow2"),
                output,
                "qcow2",
            )
        }
        ImageKind::App { deb, output } => {
            image::check_target(output)?;
            let plan = inputs::plan(context, deb)?;
            (context.app_image(&plan)?, output, "erofs")
        }
    };
    let size = image::write(&from, output)?;
    if context.global.json {
        print_json(&serde_json::json!({
            "file": output, "format": format, "size": size, "source": from,
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

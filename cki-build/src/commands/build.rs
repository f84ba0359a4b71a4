// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build build`

use std::collections::BTreeMap;

use crate::cli::Build;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use cki_session::Status;

pub(super) fn build(context: &Context, args: &Build) -> Result<Status, Error> {
    let attrs: Vec<_> = args.attrs.iter().map(String::as_str).collect();
    let targets = context.outputs(&attrs)?;
    if context.global.json {
        let paths: BTreeMap<_, _> = targets.iter().map(|(name, t)| (name, &t.out)).collect();
        print_json(&paths)?;
    } else {
        for target in targets.values() {
            print(&target.out.to_string_lossy())?;
        }
    }
    Ok(Status::OK)
}

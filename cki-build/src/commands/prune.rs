// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build prune`

use std::time::SystemTime;

use serde::Serialize;

use crate::age::age;
use crate::cli::Prune;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::prune::{Item, Limits, choose, items, open_files, remove};
use cki_session::{Memory, Status};
use cki_wording::units::human_bytes;

/// What has been done.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether nothing was removed.
    dry_run: bool,
    /// Bytes that were freed, or would be.
    freed: u64,
    /// Bytes of images that are left.
    left: u64,
    removed: Vec<Item>,
    kept: Vec<Item>,
}

pub(super) fn prune(context: &Context, args: &Prune) -> Result<Status, Error> {
    let dir = context.cache.dir();
    let io = |source| Error::Io {
        path: dir.to_owned(),
        source,
    };
    let all = items(dir, SystemTime::now(), &open_files()).map_err(io)?;
    let limits = Limits {
        age: args.older_than,
        size: args.keep.map(Memory::bytes),
    };
    let (goes, mut kept) = choose(all, limits);
    let (mut freed, mut removed) = (0, Vec::new());
    for item in goes {
        if !args.dry_run {
            let is_removed = remove(dir, &item, SystemTime::now()).map_err(|source| Error::Io {
                path: item.path.clone(),
                source,
            })?;
            if !is_removed {
                kept.push(item);
                continue;
            }
            if let Some(target) = &item.target {
                // Nix refuses what another root keeps, or a program has open.
                if context.nix.delete(target).is_err() {
                    removed.push(item);
                    continue;
                }
            }
        }
        freed += item.size;
        removed.push(item);
    }
    let report = Report {
        dry_run: args.dry_run,
        freed,
        left: kept.iter().map(|item| item.size).sum(),
        removed,
        kept,
    };
    if context.global.json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(Status::OK)
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for item in &report.removed {
        let unused = age(item.unused);
        let name = item.path.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!(
            "{name}: {}, unused for {unused}",
            human_bytes(item.size)
        ));
    }
    let in_use = report.kept.iter().filter(|item| item.is_needed()).count();
    let verb = if report.dry_run {
        "would be freed"
    } else {
        "freed"
    };
    lines.push(format!(
        "{} {verb}; {} layers of images left ({in_use} in use or used within the last minute), {}",
        human_bytes(report.freed),
        report.kept.len(),
        human_bytes(report.left)
    ));
    lines.join("\n")
}

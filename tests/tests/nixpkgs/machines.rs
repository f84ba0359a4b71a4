// SPDX-License-Identifier: MIT OR Apache-2.0

//! Machines with the NixOS modules: which configurations are refused and how, and what the others are made of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cki_tests::checkout;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::evaluator::{Evaluator, holds};

/// Whether files to compare with are to be written.
pub(crate) fn writes() -> bool {
    std::env::var_os("CKI_WRITE").is_some_and(|value| value == "1")
}

fn object(value: &Value) -> Result<&serde_json::Map<String, Value>, Failed> {
    value.as_object().ok_or_else(|| "no object".into())
}

fn texts(value: &Value) -> Vec<&str> {
    let values = value.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).collect()
}

pub(crate) fn what_can_be_is_taken(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.configurations()?;
    let good = object(&facts["good"])?;
    holds(good.len() >= 12, good.len())?;
    for (name, told) in good {
        holds(told == &serde_json::json!([]), (name, told))?;
    }
    holds(facts["takes"] == true, "a plain container is refused")
}

pub(crate) fn what_cannot_be_is_refused_with_option_and_remedy(
    nix: &Evaluator,
) -> Result<(), Failed> {
    let facts = nix.configurations()?;
    let bad = object(&facts["bad"])?;
    holds(bad.len() >= 55, bad.len())?;
    for (name, case) in bad {
        let (told, says) = (texts(&case["told"]), texts(&case["says"]));
        let [message] = told[..] else {
            return Err(format!("{name} is told {told:#?}").into());
        };
        holds(!says.is_empty(), name)?;
        for part in says {
            holds(message.contains(part), (name, part, message))?;
        }
        let begins = ["services.cki.", "boot."]
            .iter()
            .any(|option| message.starts_with(option));
        holds(begins && message.ends_with('.'), (name, message))?;
    }
    // By the machine itself, not by our rules alone.
    let refusal = texts(&facts["refusal"]);
    holds(
        refusal.len() == 1 && refusal[0].contains("has no root file system"),
        refusal,
    )
}

pub(crate) fn values_of_another_type_are_refused(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.configurations()?;
    let types = object(&facts["types"])?;
    holds(types.len() >= 30, types.len())?;
    let taken: Vec<_> = types.iter().filter(|(_, taken)| **taken != false).collect();
    holds(taken.is_empty(), taken)
}

/// What `overlay` sees with a stand-in for nixpkgs' library.
pub(crate) fn sizes_are_those_of_the_list(nix: &Evaluator) -> Result<(), Failed> {
    let text = fs::read_to_string(checkout().dir.join("tests/nixos/sizes.json"));
    let cases: Vec<Value> = serde_json::from_str(&text.map_err(|error| error.to_string())?)?;
    let listed: Vec<_> = cases
        .iter()
        .map(|case| case.get("module").unwrap_or(&case["mib"]))
        .collect();
    let values = nix.value("tests/nixos/sizes.nix")?;
    holds(values == serde_json::json!(listed), values)
}

/// `text` without what differs from one nixpkgs to the next: hashes of store paths and versions in them.
fn normal(text: &str) -> String {
    const STORE: &str = "/nix/store/";
    const HASH: usize = 32;
    let mut pieces = text.split(STORE);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.get(HASH + 1..).unwrap_or_default();
        let end = rest.find(['/', ' ', '"', ':', '\n']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // A version begins with a digit.
        let words = name.split('-');
        let plain: Vec<_> = words
            .take_while(|word| !word.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        result += &format!("{STORE}HASH-{}{after}", plain.join("-"));
    }
    result
}

/// All files below `dir`, by their paths in it.
fn golden(dir: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.insert(
            name.into_owned(),
            fs::read_to_string(&path).map_err(failed(&path))?,
        );
    }
    Ok(files)
}

/// Unit files, rules of udev, files of networkd: those that a host would run are the ones that are looked at in
/// reviews.
pub(crate) fn example_hosts_are_made_of_these_files(nix: &Evaluator) -> Result<(), Failed> {
    let hosts = object(nix.files()?)?;
    holds(hosts.len() == 3, hosts.len())?;
    for (host, facts) in hosts {
        holds(
            facts["refused"] == serde_json::json!([]),
            (host, &facts["refused"]),
        )?;
        let toplevel = facts["toplevel"].as_str().unwrap_or_default();
        holds(toplevel.ends_with(".drv"), (host, toplevel))?;
        let made: BTreeMap<_, _> = object(&facts["files"])?
            .iter()
            .map(|(name, text)| (name.clone(), normal(text.as_str().unwrap_or_default())))
            .collect();
        let dir: PathBuf = checkout().dir.join("tests/nixos/golden").join(host);
        if writes() {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            for (name, text) in &made {
                fs::write(dir.join(name), text).map_err(|error| error.to_string())?;
            }
        }
        let expected = golden(&dir)?;
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        holds(
            names(&made) == names(&expected),
            (names(&made), names(&expected)),
        )?;
        for (name, text) in &made {
            let differs = text
                .lines()
                .zip(expected[name].lines())
                .find(|(a, b)| a != b);
            holds(
                text == &expected[name],
                format!(
                    "{host}/{name} is another than in tests/nixos/golden (CKI_WRITE=1 writes it): {differs:?}"
                ),
            )?;
        }
    }
    Ok(())
}

pub(crate) fn the_templates_are_machines(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.value("tests/nixos/virtual-machine.nix")?;
    let host = facts["host"].as_str().unwrap_or_default();
    holds(
        host.contains("-nixos-system-cki-host-") && host.ends_with(".drv"),
        &facts,
    )?;
    // A kind of image with a pool of its own, and others.
    for (kind, pool) in [("qemu", "256M"), ("qemu-efi", "1G"), ("iso", "1G")] {
        let image = &facts["images"][kind];
        let drv = image["drv"].as_str().unwrap_or_default();
        holds(drv.ends_with(".drv") && image["pool"] == pool, image)?;
    }
    let container = nix.value("tests/nixos/template.nix")?;
    holds(container["refused"] == serde_json::json!([]), &container)?;
    holds(
        container["units"] == serde_json::json!(["cki@web.service"]),
        &container,
    )
}

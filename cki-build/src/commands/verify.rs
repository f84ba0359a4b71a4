// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build verify`

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use crate::cli::Verify;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use cki_nix::log::{Event, derivation_name};
use cki_session::Status;
use cki_verify::{self as verify, Report};

pub(super) fn verify(context: &Context, args: &Verify) -> Result<Status, Error> {
    let nix = &context.nix;
    let targets = context.build(&args.attrs)?;
    let available = available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let cores = args.cores.unwrap_or(verify::other_cores(available));

    let step = context
        .progress
        .step("evaluating from a copy of the checkout elsewhere");
    let elsewhere = context.cache.scratch()?;
    let path_dependent = verify::path_dependent(
        nix,
        &context.checkout,
        elsewhere.path(),
        &context.cache,
        &targets,
        context.progress,
    )?;
    step.finish();

    let drvs: Vec<_> = targets
        .values()
        .map(|target| target.drv.as_path())
        .collect();
    let rebuilds =
        cki_nix::derivations::rebuilds(&nix.store, &nix.show_derivations(&drvs).read()?)?;
    let mut derivations = Vec::new();
    for (number, rebuild) in rebuilds.iter().enumerate() {
        let name = derivation_name(&rebuild.drv.to_string_lossy());
        let step = context.progress.step(&format!(
            "building {name} again with {cores} core{} ({}/{})",
            if cores == 1 { "" } else { "s" },
            number + 1,
            rebuilds.len()
        ));
        // A check needs the first build, which may have been collected as garbage since.
        nix.capture(&nix.realise_drvs(&[&rebuild.drv], None), &|_| {})?;
        let verdict = verify::check(nix, rebuild, cores, &|event| {
            if let Event::Line { line, .. } = event {
                step.detail(line);
            }
        })?;
        step.finish();
        if !context.global.json {
            print(&describe(&name, &verdict))?;
        }
        derivations.push(verdict);
    }
    let report = Report {
        outputs: targets
            .into_iter()
            .map(|(name, target)| (name, target.out))
            .collect::<BTreeMap<_, _>>(),
        cores,
        path_dependent,
        derivations,
    };
    if context.global.json {
        print_json(&serde_json::json!({ "equal": report.equal(), "report": &report }))?;
    } else {
        print(&summary(&report))?;
    }
    Ok(if report.equal() {
        Status::OK
    } else {
        Status::NO
    })
}

fn describe(name: &str, verdict: &verify::Verdict) -> String {
    match (&verdict.first_difference, verdict.equal) {
        (_, true) => format!("equal: {name}"),
        (Some((output, difference)), false) => {
            format!("DIFFERENT: {name}: in {}, {difference}", output.display())
        }
        (None, false) => format!("DIFFERENT: {name}: Nix kept no second build to look into"),
    }
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    for name in &report.path_dependent {
        text.push_str(&format!(
            "DIFFERENT: {name} depends on where the checkout lies\n"
        ));
    }
    let different = report
        .derivations
        .iter()
        .filter(|verdict| !verdict.equal)
        .count();
    let outputs: Vec<_> = report.outputs.keys().map(String::as_str).collect();
    text.push_str(&format!(
        "{}: {} of {} derivations were built again bit for bit",
        outputs.join(", "),
        report.derivations.len() - different,
        report.derivations.len()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_verify::{Difference, Verdict, diff::What};

    #[test]
    fn a_difference_is_told_with_file_and_byte() {
        let verdict = Verdict {
            drv: "/nix/store/h-cki-host.drv".into(),
            equal: false,
            first_difference: Some((
                "/nix/store/h-cki-host".into(),
                Difference {
                    path: "initrd".into(),
                    what: What::Content { offset: 12 },
                },
            )),
        };
        assert_eq!(
            describe("cki-host", &verdict),
            "DIFFERENT: cki-host: in /nix/store/h-cki-host, initrd differs from byte 12 on"
        );
        let report = Report {
            outputs: BTreeMap::from([("cki-host".to_owned(), "/nix/store/h-cki-host".into())]),
            cores: 1,
            path_dependent: vec!["cki-host".into()],
            derivations: vec![verdict],
        };
        let text = summary(&report);
        assert!(
            text.starts_with("DIFFERENT: cki-host depends on where"),
            "{text}"
        );
        assert!(
            text.ends_with("0 of 1 derivations were built again bit for bit"),
            "{text}"
        );
    }
}

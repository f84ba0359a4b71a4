//! `cki-build check`

use std::ffi::OsString;
use std::io::Write;

use super::{Context, Error, print, print_json};
use crate::check::{self, Count, Counting, NEEDED, Suite};
use crate::cli::Check;
use crate::exit::Status;

pub(super) fn check(context: &Context, args: &Check) -> Result<Status, Error> {
    let dir = &context.checkout.dir;
    let filter = args.filter.as_deref();
    let mut output = destination(context.global.json);
    let mut total = Count::default();
    let mut results = Vec::new();
    let mut suites = Vec::new();
    for lint in check::lints(dir) {
        if !wanted(lint.name, filter) {
            continue;
        }
        let installed = check::cargo(dir).args([lint.name, "--version"]).output();
        if installed.is_ok_and(|output| output.status.success()) {
            suites.push(lint);
        } else {
            let note = format!(
                "skipped: {0} (not installed; rustup component add {0})\n",
                lint.name.replace("fmt", "rustfmt")
            );
            say(&mut output, &note);
        }
    }
    suites.push(check::unit_tests(dir, filter));
    if wanted("nix flake check", filter) {
        suites.push(Suite {
            name: "nix flake check",
            command: context.nix.flake_check(&context.checkout.flake_ref()),
            counting: Counting::One,
        });
    }
    suites.push(check::machine_tests(dir, filter, environment(context)?));
    for suite in suites {
        say(
            &mut output,
            &format!("\n== {}: {}\n", suite.name, suite.command),
        );
        let count = check::run(&suite, &mut *output)?;
        if suite.counting == Counting::One {
            let verdict = if count.failed == 0 { "ok" } else { "FAILED" };
            say(&mut output, &format!("test {} ... {verdict}\n", suite.name));
        }
        total += count;
        results.push((suite.name, count));
    }
    if context.global.json {
        let suites: Vec<_> = results
            .iter()
            .map(|(name, count)| serde_json::json!({ "name": name, "count": count }))
            .collect();
        print_json(&serde_json::json!({
            "passed": total.passed, "failed": total.failed, "ignored": total.ignored, "suites": suites,
        }))?;
    } else {
        print("")?;
        for (name, count) in &results {
            if count.failed > 0 {
                print(&format!("FAILED: {name} ({} failed)", count.failed))?;
            }
        }
        if total.ignored > 0 {
            print(&format!(
                "{} tests were left out (#[ignore])",
                total.ignored
            ))?;
        }
        print(&format!("{} passed, {} failed", total.passed, total.failed))?;
    }
    // No test at all is no success: the filter is wrong, or the tests are gone.
    Ok(if total.failed == 0 && total.passed > 0 {
        Status::OK
    } else {
        Status::NO
    })
}

/// What the machine tests are told: where each output is, and which `cki-build` to test.
fn environment(context: &Context) -> Result<Vec<(OsString, OsString)>, Error> {
    let attrs: Vec<_> = NEEDED.iter().map(|(attr, _)| *attr).collect();
    let outputs = context.outputs(&attrs)?;
    let mut env: Vec<(OsString, OsString)> = NEEDED
        .iter()
        .filter_map(|(attr, variable)| {
            outputs
                .get(*attr)
                .map(|target| ((*variable).into(), target.out.clone().into()))
        })
        .collect();
    let program = std::env::current_exe().map_err(|source| Error::Io {
        path: "/proc/self/exe".into(),
        source,
    })?;
    env.push(("CKI_BUILD".into(), program.into()));
    env.push(("CKI_FLAKE".into(), context.checkout.dir.clone().into()));
    env.push(("CKI_CACHE".into(), context.cache.dir().into()));
    Ok(env)
}

fn wanted(name: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| name.contains(filter))
}

/// Where the tests' output goes: standard output, unless that is for JSON.
fn destination(json: bool) -> Box<dyn Write> {
    if json {
        Box::new(std::io::stderr())
    } else {
        Box::new(std::io::stdout())
    }
}

fn say(output: &mut Box<dyn Write>, text: &str) {
    // The tests go on when nobody reads along.
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The paper's kinds of work, in a container and without one.

use cki_tests::{RUNTIMES, cki, run_on, variable};

const WORKLOADS: [&str; 7] = [
    "btree",
    "sph",
    "xs-lookup",
    "anneal",
    "dedup",
    "fp-growth",
    "sqlite-bench",
];

#[test]
fn each_workload_has_its_known_result_natively_and_in_a_container() {
    let package = variable("CKI_WORKLOAD");
    let package = package.to_str().expect("a path of the store");
    let command: Vec<&str> = ["cki-workload"].into_iter().chain(WORKLOADS).collect();
    let outputs = RUNTIMES.map(|runtime| {
        let output = run_on(runtime, &["--closure", package], &command, b"");
        assert_eq!(output.status, 0, "{runtime}: {}", output.stderr);
        output.text().to_owned()
    });
    let sums = outputs[0]
        .lines()
        .filter(|line| line.ends_with(", as known"));
    assert_eq!(sums.count(), WORKLOADS.len(), "{}", outputs[0]);
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn the_demonstration_compares_a_workload_in_instructions() {
    let output = cki(["--quiet", "--json", "demo", "--workload", "sph"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["workload"], "sph");
    assert_eq!(report["isolation"], "full (cki)");
    let instructions = |side: &str| report[side]["instructions"].as_f64().expect("a number");
    let (native, container) = (instructions("native"), instructions("container"));
    // It is work of the processor; a kernel is needed for memory only.
    assert!(native > 1e7, "{report}");
    assert!((0.9..1.1).contains(&(container / native)), "{report}");
    assert_eq!(report["ratio"].as_f64(), Some(container / native));
}

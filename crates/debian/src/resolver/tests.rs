// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::index::tests::index;
use proptest::prelude::*;

fn wants(names: &[&str]) -> Vec<Want> {
    names.iter().map(|n| Want::any(n, "the test")).collect()
}

fn constrained(name: &str, constraint: Option<&str>, suite: Option<&str>) -> Want {
    let constraint = constraint.map(|c| Constraint::parse(c).unwrap());
    Want {
        constraint,
        suite: suite.map(Into::into),
        ..Want::any(name, "[tools]")
    }
}

fn show(
    indexes: &[PackageIndex],
    wants: &[Want],
    kept: &BTreeMap<String, Kept>,
) -> Result<Vec<String>, String> {
    let resolution = resolve(indexes, "amd64", wants, kept).map_err(|e| e.to_string())?;
    let show = |(name, chosen): (&String, &Chosen<'_>)| {
        let origin = chosen
            .found
            .map_or("kept".into(), |(suite, p)| format!("{}@{suite}", p.version));
        format!("{name} {origin} -> {}", chosen.deps.join(" "))
    };
    Ok(resolution.packages.iter().map(show).collect())
}

fn solve(lines: &[&str], names: &[&str]) -> Result<Vec<String>, String> {
    show(&[index("s", true, lines)], &wants(names), &BTreeMap::new())
}

#[test]
fn the_closure_is_complete_even_with_cycles() {
    let lines = [
        "a 1 | Depends: b",
        "b 1 | Pre-Depends: c | Depends: a:any",
        "c 1",
        "unrelated 1",
        "d 1 | Recommends: unrelated",
    ];
    assert_eq!(
        solve(&lines, &["a", "d"]).unwrap(),
        ["a 1@s -> b", "b 1@s -> a c", "c 1@s -> ", "d 1@s -> "]
    );
}

#[test]
fn the_first_alternative_that_will_do_is_taken_unless_another_is_wanted_anyway() {
    let lines = [
        "a 1 | Depends: x or b (>= 2) or c or d",
        "b 1",
        "c 1",
        "d 1",
    ];
    assert_eq!(solve(&lines, &["a"]).unwrap()[0], "a 1@s -> c");
    assert_eq!(solve(&lines, &["a", "d"]).unwrap()[0], "a 1@s -> d");
}

#[test]
fn a_virtual_package_is_served_by_priority_and_then_name() {
    let lines = [
        "a 1 | Depends: awk",
        "zawk 1 | Provides: awk",
        "gawk 1 | Provides: awk",
        "mawk 1 | Provides: awk | Priority: required",
    ];
    assert_eq!(solve(&lines, &["a"]).unwrap()[0], "a 1@s -> mawk");
    assert_eq!(solve(&lines[..3], &["a"]).unwrap()[0], "a 1@s -> gawk");
    assert_eq!(solve(&lines, &["a", "zawk"]).unwrap()[0], "a 1@s -> zawk");
}

#[test]
fn a_versioned_dependency_needs_a_versioned_provides() {
    let provider = |provides: &str| {
        solve(
            &[
                "a 1 | Depends: v (>= 2)",
                &format!("p 9 | Provides: {provides}"),
            ],
            &["a"],
        )
    };
    assert!(
        provider("v")
            .unwrap_err()
            .contains("no version will do for 'v (>= 2)'")
    );
    assert!(provider("v (= 1)").is_err());
    assert_eq!(provider("v (= 2)").unwrap()[0], "a 1@s -> p");
}

#[test]
fn a_suite_that_is_not_automatic_is_used_when_asked_for_and_for_what_its_packages_need() {
    let main = index("main", true, &["a 1", "lib 1", "other 1"]);
    let backports = index(
        "bpo",
        false,
        &["a 2 | Depends: lib (>= 2), other", "lib 2", "other 2"],
    );
    let indexes = [main, backports];
    assert_eq!(
        show(&indexes, &wants(&["a"]), &BTreeMap::new()).unwrap(),
        ["a 1@main -> "]
    );
    assert_eq!(
        show(
            &indexes,
            &[constrained("a", None, Some("bpo"))],
            &BTreeMap::new()
        )
        .unwrap(),
        ["a 2@bpo -> lib other", "lib 2@bpo -> ", "other 1@main -> "]
    );
}

#[test]
fn a_constraint_that_only_a_newer_suite_breaks_picks_the_older_version() {
    let indexes = [
        index("security", true, &["rustc-web 1.96"]),
        index("main", true, &["rustc-web 1.85"]),
    ];
    let solve = |want| show(&indexes, &[want], &BTreeMap::new());
    assert_eq!(
        solve(constrained("rustc-web", None, None)).unwrap(),
        ["rustc-web 1.96@security -> "]
    );
    assert_eq!(
        solve(constrained("rustc-web", Some("<< 1.86"), None)).unwrap(),
        ["rustc-web 1.85@main -> "]
    );
    assert_eq!(
        solve(constrained("rustc-web", None, Some("main"))).unwrap(),
        ["rustc-web 1.85@main -> "]
    );
    let error = solve(constrained("rustc-web", Some("<< 1.80"), None)).unwrap_err();
    assert!(
        error.contains(
            "wanted by [tools]: there is rustc-web 1.96 in security, rustc-web 1.85 in main"
        ),
        "{error}"
    );
}

#[test]
fn an_unknown_package_is_reported_with_who_wants_it_and_the_nearest_names() {
    let error = solve(
        &[
            "redis-server 1",
            "a 1 | Depends: b",
            "b 1 | Depends: redis-sever",
        ],
        &["a"],
    )
    .unwrap_err();
    assert_eq!(
        error,
        "there is no package 'redis-sever', wanted by b, for a, for the test; did you mean redis-server?"
    );
}

#[test]
fn two_packages_that_need_different_versions_are_a_conflict() {
    let lines = [
        "a 1 | Depends: lib (= 1)",
        "b 1 | Depends: lib (= 2)",
        "lib 1",
        "lib 2",
    ];
    let error = solve(&lines, &["a", "b"]).unwrap_err();
    assert_eq!(
        error,
        "'lib (= 2)', wanted by b, for the test, does not fit lib 1, which is needed by others"
    );
}

#[test]
fn kept_packages_stay_and_only_what_is_missing_is_added() {
    let indexes = [index(
        "s",
        true,
        &[
            "a 2 | Depends: lib (>= 2)",
            "lib 2",
            "b 1 | Depends: lib, new",
            "new 1",
            "c 1 | Depends: lib (>= 2)",
        ],
    )];
    let keep = |version: &str, deps: &[&str]| Kept {
        version: Version::parse(version).unwrap(),
        suite: "s".into(),
        deps: deps.iter().map(ToString::to_string).collect(),
    };
    let kept = BTreeMap::from([
        ("a".into(), keep("1", &["lib"])),
        ("lib".into(), keep("1", &[])),
    ]);
    assert_eq!(
        show(&indexes, &wants(&["a", "b"]), &kept).unwrap(),
        [
            "a kept -> lib",
            "b 1@s -> lib new",
            "lib kept -> ",
            "new 1@s -> "
        ]
    );
    let error = show(&indexes, &wants(&["a", "c"]), &kept).unwrap_err();
    assert!(
        error.contains("does not fit lib 1, which is pinned already; `cki-build lock --update`"),
        "{error}"
    );
    let broken = BTreeMap::from([("a".into(), keep("1", &["gone"]))]);
    assert!(
        show(&indexes, &wants(&["a"]), &broken)
            .unwrap_err()
            .contains("a is pinned, but its dependency gone is not")
    );
}

proptest! {
    /// Random graphs of packages p0..p9 and wishes, each in two orders.
    #[test]
    fn the_result_does_not_depend_on_any_order(
        edges in prop::collection::vec((0..10_u8, 0..10_u8, 0..10_u8), 0..25),
        wished in prop::collection::btree_set(0..10_u8, 1..4),
        rotation in 0..10_usize,
    ) {
        let mut lines: Vec<String> = (0..10_u8).map(|n| {
            let deps: Vec<String> = edges.iter().filter(|e| e.0 == n).map(|(_, a, b)| format!("p{a} or \
                v{b}")).collect();
            let depends = if deps.is_empty() { String::new() } else { format!(" | Depends: {}", deps.join(", ")) };
            format!("p{n} 1 | Provides: v{}{depends}", n % 3)
        }).collect();
        let wished: Vec<String> = wished.iter().map(|n| format!("p{n}")).collect();
        let mut names: Vec<&str> = wished.iter().map(String::as_str).collect();
        let first = solve(&lines.iter().map(String::as_str).collect::<Vec<_>>(), &names).unwrap();
        lines.rotate_left(rotation);
        names.reverse();
        let second = solve(&lines.iter().map(String::as_str).collect::<Vec<_>>(), &names).unwrap();
        prop_assert_eq!(first, second);
    }
}

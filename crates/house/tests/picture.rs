// SPDX-License-Identifier: MIT OR Apache-2.0

//! docs/pictures/crates.svg has all crates of the workspace, and its arrows are what they use: no more and, but for
//! what follows from other arrows, no less. An arrow begins and ends at the boxes that it is said to join.

use std::collections::{BTreeMap, BTreeSet};

use cki_house::crates::{Metadata, Package};
use cki_house::root;
use roxmltree::{Document, Node};

const PICTURE: &str = "docs/pictures/crates.svg";

/// Crates that the picture has in a line of text: tests, what makes the documents, and what is measured. No box uses
/// them.
const BESIDE: [&str; 6] = [
    "bench/workload",
    "crates/book",
    "crates/house",
    "ksm/second-design",
    "tests",
    "tests/driver",
];

/// How far an arrow's end may be from its box, in units of the picture.
const GAP: f64 = 3.0;

fn folder(package: &Package) -> String {
    let directory = package.manifest_path.parent().expect("a folder");
    let below = directory.strip_prefix(root()).expect("in the checkout");
    below.display().to_string()
}

/// What each crate with a box uses of the others.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Metadata::of(&root()).expect("cargo knows the workspace");
    let folders: BTreeMap<&str, String> = metadata.ours().map(|p| (&*p.name, folder(p))).collect();
    metadata
        .ours()
        .map(|package| {
            let used = metadata.uses(package).into_iter();
            let used = used.filter_map(|name| folders.get(name).cloned()).collect();
            (folder(package), used)
        })
        .filter(|(folder, _): &(String, _)| !BESIDE.contains(&&**folder))
        .collect()
}

fn reaches(uses: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    uses[from]
        .iter()
        .any(|next| next == to || reaches(uses, next, to))
}

/// Without what follows from other arrows.
fn arrows_needed(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for (from, used) in uses {
        for to in used {
            let follows = used.iter().any(|via| via != to && reaches(uses, via, to));
            if !follows {
                arrows.insert((from.clone(), to.clone()));
            }
        }
    }
    arrows
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let text = node.attribute(name).expect("the attribute");
    text.parse().expect("a number")
}

/// The first and the last point of a path of `M x y` and absolute `H` and `V`.
fn ends(path: &str) -> [(f64, f64); 2] {
    let rest = path.strip_prefix('M').expect("it begins with M");
    let end = rest.find(['H', 'V']).expect("it goes somewhere");
    let (start, mut rest) = rest.split_at(end);
    let (x, y) = start.split_once(' ').expect("two numbers");
    let start = (x.parse().expect("x"), y.parse().expect("y"));
    let mut at: (f64, f64) = start;
    while !rest.is_empty() {
        let end = rest[1..].find(['H', 'V']).map_or(rest.len(), |end| end + 1);
        let to = rest[1..end].parse().expect("a number");
        if rest.starts_with('H') {
            at.0 = to;
        } else {
            at.1 = to;
        }
        rest = &rest[end..];
    }
    [start, at]
}

/// Whether the point lies at the border of the box.
fn touches((x, y): (f64, f64), rect: Node<'_, '_>) -> bool {
    let (left, top) = (number(rect, "x"), number(rect, "y"));
    let (right, bottom) = (left + number(rect, "width"), top + number(rect, "height"));
    let near = |a: f64, b: f64| (a - b).abs() <= GAP;
    let beside = (near(x, left) || near(x, right)) && (top..=bottom).contains(&y);
    let above_or_below = (near(y, top) || near(y, bottom)) && (left..=right).contains(&x);
    beside || above_or_below
}

#[test]
fn the_picture_of_the_crates_is_the_workspace() {
    let text = std::fs::read_to_string(root().join(PICTURE)).expect("the picture");
    let picture = Document::parse(&text).expect("XML");
    let boxes: BTreeMap<&str, Node<'_, '_>> = picture
        .descendants()
        .filter_map(|node| Some((node.attribute("data-crate")?, node)))
        .collect();
    let uses = uses();
    assert_eq!(
        boxes.keys().copied().collect::<BTreeSet<_>>(),
        uses.keys().map(String::as_str).collect(),
        "the boxes of {PICTURE} are the crates of the workspace"
    );
    for name in BESIDE {
        assert!(text.contains(name), "{PICTURE} lacks {name}");
        assert!(
            uses.values().all(|used| !used.contains(name)),
            "{name} is used"
        );
    }
    let mut drawn = BTreeSet::new();
    for arrow in picture
        .descendants()
        .filter(|n| n.attribute("class") == Some("arrow"))
    {
        let [from, to] = ["data-from", "data-to"].map(|name| arrow.attribute(name).expect(name));
        let [start, end] = ends(arrow.attribute("d").expect("a path"));
        assert!(
            touches(start, boxes[from]),
            "{from} -> {to} begins elsewhere"
        );
        assert!(touches(end, boxes[to]), "{from} -> {to} ends elsewhere");
        drawn.insert((from.to_owned(), to.to_owned()));
    }
    let needed = arrows_needed(&uses);
    let missing: Vec<_> = needed.difference(&drawn).collect();
    let wrong: Vec<_> = drawn.difference(&needed).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "{PICTURE} lacks the arrows {missing:?} and has {wrong:?}, which are not there or follow from others"
    );
}

#[test]
fn a_path_is_followed_to_its_end() {
    assert_eq!(
        ends("M446 84H436V352H408V386"),
        [(446.0, 84.0), (408.0, 386.0)]
    );
}

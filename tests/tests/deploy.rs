// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build deploy`, with hosts that are machines with the system disk (`images/system`): they are put on another
//! system, and go back when that is not well, also when the tool is killed; with `CKI_LONG`, when the power goes, too.
//! `rollback`, `boot`, two hosts at once and a network that goes are tried on hosts that are stood in for only
//! (`crates/deploy/src/target.rs`).

use cki_tests::long;

#[path = "deploy/hosts.rs"]
mod hosts;

use hosts::{Fleet, MARK};

/// All is well on the system that differs, and on no other.
fn marked() -> String {
    format!(
        "head -c {} /dev/mapper/system | grep -qx '{MARK}'",
        MARK.len()
    )
}

#[test]
fn a_host_is_switched_goes_back_and_says_in_which_state_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let fleet = Fleet::start(directory.path(), 1);
    fleet.are_known();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let fresh = format!("runs {old} (slot a, the default); slot b has no whole system");
    let failed =
        format!("runs {old} (slot a, the default); slot b has {new}; the trial of {new} failed");
    fleet.wait_for(&fresh);
    // That list says so of what differs; of what does not, nothing.
    let differs = fleet.does(&["diff"], 0);
    let with = format!("  with {new}:");
    let lines = differs.lines().skip_while(|line| *line != with).skip(1);
    let (lines, stays): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| !line.starts_with("    command line: stays "));
    assert!(
        lines.len() == 2
            && lines[0].starts_with("    module: ")
            && lines[0].ends_with(" -> 000000000000")
            && lines[1].starts_with("    package bash: ")
            && lines[1].contains(" -> 99 (-"),
        "{differs}"
    );
    assert!(
        stays.len() == 1 && stays[0].contains(" cki.pool=256M") && !stays[0].contains(&old),
        "{differs}"
    );
    if long() {
        fleet.does(&["dry-activate"], 0);
    }

    // Killed while it writes, it leaves no system that anybody would start.
    let mut tool = fleet.begin(&["switch"]);
    tool.says("wrote ");
    tool.kill();
    fleet.wait_for(&fresh);
    if long() {
        let mut tool = fleet.begin(&["switch"]);
        tool.says("wrote ");
        fleet.hosts[0].cut();
        let (status, said) = tool.ends();
        assert_eq!(status, Some(1), "{said}");
        fleet.wait_for(&fresh);
    }

    // Killed when the new system is on trial: nobody confirms that, and it is left again.
    let mut tool = fleet.begin(&["switch", "--probe", "false"]);
    tool.says("asking whether all is well");
    tool.kill();
    fleet.wait_for(&format!("runs {new} (slot b) on trial"));
    // What the timer does, without waiting for it.
    let back = "systemctl start --no-block cki-trial-back.service";
    let back = fleet.ask(&fleet.hosts[0], &[], back);
    assert!([0, 255].contains(&back.status), "{}", back.stderr);
    fleet.wait_for(&failed);
    let refused = fleet.does(&["switch"], 1);
    assert!(refused.contains("--force tries it again"), "{refused}");

    // Killed there once more, and begun again: it goes on from where that one was.
    let mut tool = fleet.begin(&["switch", "--force", "--probe", "false"]);
    tool.says("asking whether all is well");
    tool.kill();
    let done = fleet.does(&["switch", "--probe", &marked()], 0);
    let runs_new = format!("it runs {new} (slot b, the default); slot a has {old}");
    assert!(done.contains(&format!("done: {runs_new}")), "{done}");
    let nothing = fleet.does(&["switch"], 0);
    assert!(nothing.contains("nothing to do"), "{nothing}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build deploy`, with hosts that are machines with the system disk (`images/system`): they are put on another
//! system, and go back when that is not well, also when the tool is killed, the power or the network goes.

use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The machines of one test are enough at a time.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINES: Mutex<()> = Mutex::new(());
    MACHINES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_host_is_switched_goes_back_and_says_in_which_state_it_is() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::start(directory.path(), 1);
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
    if !long() {
        return;
    }

    fleet.hosts[0].cut();
    fleet.wait_for(&runs_new[3..]);
    let done = fleet.does(&["rollback"], 0);
    assert!(
        done.contains(&format!("done: it runs {old} (slot a, the default)")),
        "{done}"
    );

    // Not well in time.
    let limit = format!("{}s", 60 + 3 * fleet.up.as_secs());
    let never = ["--probe", "echo never >&2; false", "--limit", &limit];
    let red = fleet.does(&[&["switch"], &never[..]].concat(), 1);
    assert!(red.contains("false`: never"), "{red}");
    assert!(red.contains(&failed), "{red}");

    // A new system without a network: it goes back by itself.
    let before = fleet.hosts[0].starts();
    fleet.hosts[0].is_alone_next();
    let lost = fleet.does(&["switch", "--force", "--limit", "60s"], 1);
    assert!(
        lost.contains("by itself") || lost.contains(&failed),
        "{lost}"
    );
    fleet.wait_for(&failed);
    assert_eq!(fleet.hosts[0].starts(), before + 2);

    // The power goes on trial.
    let trial = fleet.does(&["test", "--force"], 0);
    assert!(trial.contains("not confirmed yet"), "{trial}");
    fleet.hosts[0].cut();
    fleet.wait_for(&failed);

    // It goes before the trial, which the next start is for that reason; that one keeps what comes up.
    let next = fleet.does(&["boot", "--force"], 0);
    assert!(next.contains("which the next start tries"), "{next}");
    fleet.hosts[0].cut();
    fleet.wait_for(&runs_new[3..]);
}

#[test]
#[ignore = "two machines that start a few times: `check --all`"]
fn one_of_two_hosts_that_is_not_well_takes_the_other_one_back() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut fleet = Fleet::start(directory.path(), 2);
    fleet.are_known();
    let (old, new) = (fleet.old.clone(), fleet.new.clone());
    let sum = fleet.does(&["status"], 0);
    assert!(sum.contains("2 hosts: 2 as asked for, 0 not"), "{sum}");

    // The first one goes ahead, is well, and is taken back when the second one is not.
    let red = fleet.ask(&fleet.hosts[1], &[], "touch /var/red");
    assert_eq!(red.status, 0, "{}", red.stderr);
    let limit = format!("{}s", 60 + 3 * fleet.up.as_secs());
    let probe = "test ! -e /var/red";
    let words = ["switch", "--canary", "--atomic", "--probe", probe];
    let said = fleet.does(&[&words[..], &["--limit", &limit]].concat(), 1);
    let of = |at: usize| {
        let host = format!("root@127.0.0.1:{}: ", fleet.hosts[at].port);
        let last = said.lines().rev().find_map(|line| line.strip_prefix(&host));
        last.expect("a line of it").to_owned()
    };
    let undone = "undone, since it did not work everywhere: ";
    assert!(
        of(0).starts_with(&format!("{undone}runs {old} (slot a, the default)")),
        "{said}"
    );
    assert!(
        of(1).starts_with("FAILED: not all is well in time"),
        "{said}"
    );
    assert!(
        of(1).contains(&format!("runs {old} (slot a, the default)")),
        "{said}"
    );
    assert!(said.contains("2 hosts: 0 as asked for, 2 not"), "{said}");

    // Both at a time.
    let well = fleet.ask(&fleet.hosts[1], &[], "rm /var/red");
    assert_eq!(well.status, 0, "{}", well.stderr);
    let done = fleet.does(&["switch", "--force", "--probe", probe], 0);
    let runs = format!("done: it runs {new} (slot b, the default); slot a has {old}");
    assert_eq!(done.matches(&runs).count(), 2, "{done}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stand-in for ssh that plays a host: it does the scripts with a shell here, in which the host's own programs are
//! short ones that keep its state in files.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cki_process::files::write_program;
use tempfile::TempDir;

use super::HostOutcome;
use super::args::Action;
use super::one::{One, Options};
use super::probes::Probes;
use super::ssh::Ssh;
use super::system::System;
use super::system::tests::write;

/// One script at a time has the host; what it leaves in the background, a restart, waits for its end. Descriptor 9 is
/// for what ssh itself says.
const SSH: &str = r#"#!/bin/sh
dir=$(dirname "$0")
for script; do
	[ "$before" != -E ] || exec 9>> "$script"
	before=$script
done
exec 8> "$dir/lock"
flock 8
echo "$script" | grep -v '^echo' >> "$dir/scripts"
. "$dir/faults"
script=$(printf '%s\n' "$script" | sed "s,/usr/lib/cki/slot,$dir/slot,g; s,/proc/sys/kernel/random/boot_id,$dir/boot,g; s,/proc/uptime,$dir/uptime,g; s,/usr/lib/cki/contents,$dir/contents,g; s,/proc/cmdline,$dir/cmdline,g")
PATH=$dir/bin:$PATH sh -c "$script" 8>&- 9>&-
status=$?
. "$dir/afterwards"
exit $status
"#;

const SLOT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
slot=$(cat running) default=$(cat default)
[ $slot = a ] && other=b || other=a
[ $slot != $default ] || : > trial
case $1 in
status)
	printf '%s\n' slot=$slot default=$default "system=$(cat system_$slot)" "other=$(cat system_$other)" \
		"trial=$(cat trial)" "next=$(cut -c 1 next)" room=8192
	[ -e old ] || echo "before=$([ ! -s trial ] || cat before)"
	if [ -s trial ] || [ -s next ]; then echo failed=; else echo "failed=$(cat tried)"; fi ;;
write)
	: > tried; : > system_$other
	cat > received
	[ $(stat -c %s received) = $(($3 + $4 + $5)) ] || { echo slot: there was less than was announced >&2; exit 1; }
	head -c $(($3 + $4)) received | sha256sum | cut -c -64 > start_$other
	echo $2 > system_$other ;;
try)
	[ -s system_$other ] || exit 1
	cp system_$other tried; { grep . isolation || echo nothing; } > before
	echo "$other $2 $3" > next ;;
cancel) : > next; : > tried ;;
confirm) echo $slot > default; : > tried; : > trial ;;
digests) printf '%s\n' running=$(cat start_$slot) other=$(cat start_$other) ;;
esac
"#;

const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")/.."
if [ "$1" = is-system-running ]; then
	cat units
	exit
fi
exec 8> lock
flock 8
echo $(($(cat boot) + 1)) > boot
read -r slot trial self < next
: > next
if [ -n "$slot" ] && [ ! -e dies ]; then
	echo $slot > running; echo $trial > trial
	[ ! -e after ] || cat after > units
	[ ! -e less ] || { cat isolation > was; cat less > isolation; }
else
	cat default > running; : > trial; echo running > units
	[ ! -e was ] || mv was isolation
fi
"#;

/// The host.
pub struct Target {
    directory: TempDir,
    /// The system that it has first, and another.
    pub systems: [System; 2],
    /// What was said of it.
    pub news: Mutex<Vec<String>>,
    /// How it is gone about.
    pub options: Options,
}

impl Target {
    /// A host that runs the first system, and has nothing in its other slot.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let systems = ['a', 'b'].map(|digit| write(&path.join(digit.to_string()), digit));
        fs::create_dir(path.join("bin")).expect("made");
        for (name, text) in [
            ("ssh", SSH),
            ("slot", SLOT),
            ("bin/systemctl", SYSTEMCTL),
            ("bin/sleep", "#!/bin/sh\n"),
            ("bin/id", "#!/bin/sh\necho 0\n"),
            (
                "bin/stat",
                "#!/bin/sh\n[ \"$1\" != -f ] || { echo ext2/ext3; exit; }\nexec /usr/bin/stat \"$@\"\n",
            ),
            (
                "bin/cki",
                "#!/bin/sh\necho \"isolation: $(cat \"$(dirname \"$0\")/../isolation\")\"\n",
            ),
        ] {
            write_program(&path.join(name), text).expect("a program");
        }
        let target = Self {
            systems,
            news: Mutex::new(Vec::new()),
            options: Options {
                limit: Duration::from_secs(60),
                period: Duration::from_millis(10),
                grace: Duration::ZERO,
                pause: Duration::from_millis(10),
                still: Duration::from_secs(60),
                probes: Probes::default(),
                force: false,
            },
            directory,
        };
        for name in [
            "system_b",
            "start_b",
            "trial",
            "next",
            "tried",
            "faults",
            "afterwards",
            "scripts",
        ] {
            target.set(name, "");
        }
        target.set("running", "a");
        target.set("default", "a");
        target.set("system_a", &target.systems[0].name);
        target.set("start_a", &target.systems[0].start);
        target.set("boot", "1");
        target.set("uptime", "5.00 4.00");
        target.set("cmdline", "quiet cki-system.slot=a");
        target.set("units", "running");
        target.set("isolation", "full (cki)");
        target
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Changes one.
    pub fn set(&self, name: &str, text: &str) {
        let end = if text.is_empty() { "" } else { "\n" };
        fs::write(self.path(name), format!("{text}{end}")).expect("written");
    }

    /// What one has.
    pub fn get(&self, name: &str) -> String {
        fs::read_to_string(self.path(name))
            .expect(name)
            .trim()
            .to_owned()
    }

    /// From now on, a script with this in it meets this line of a shell.
    pub fn fault(&self, script: &str, line: &str) {
        self.set(
            "faults",
            &format!("case $script in *'{script}'*) {line} ;; esac"),
        );
    }

    /// Does it, with the second system.
    pub fn act(&self, action: Action) -> HostOutcome {
        self.act_until(action, &|_| false)
    }

    /// The same, with somebody who asks for the end as soon as `stop` says so of what the host has been asked.
    pub fn act_until(&self, action: Action, stop: &(dyn Fn(&str) -> bool + Sync)) -> HostOutcome {
        let ssh = Ssh {
            program: self.path("ssh").into(),
            config: None,
            host: "root@target".parse().expect("a host"),
        };
        let say = |text: &str| self.news.lock().expect("news").push(text.to_owned());
        let stop = || stop(&self.get("scripts"));
        let one = One::new(ssh, &self.options, &say, &stop);
        let system = action.takes_a_system().then_some(&self.systems[1]);
        one.act(action, system)
    }

    /// Restarts it behind the tool's back.
    pub fn restart(&self) {
        let restart = std::process::Command::new(self.path("bin/systemctl"))
            .arg("reboot")
            .status();
        assert!(restart.expect("started").success());
    }

    /// It runs this slot by default, and no trial is under way or to come.
    #[track_caller]
    pub fn settled(&self, slot: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let expected = (slot.to_owned(), slot.to_owned(), false);
        // A restart that was asked for may be under way.
        while self.is() != expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.is(), expected, "{:?}", self.news);
    }

    /// Which system runs, which is the default, and whether a trial is under way or to come.
    pub fn is(&self) -> (String, String, bool) {
        // A restart that was asked for comes when the script has ended.
        let trial = !self.get("trial").is_empty() || !self.get("next").is_empty();
        (self.get("running"), self.get("default"), trial)
    }
}

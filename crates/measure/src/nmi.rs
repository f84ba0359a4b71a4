// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers from start to end, one after the other on each of two processors, while a thousand
//! NMIs a second strike there.
//!
//! A first machine, without NMIs, says what is right: what the containers' program puts out natively, and what the
//! host's kernel has to say of a container. The second one has the storm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cki_frontend::Runtime;
use cki_machine::storm::{self, Sent, Storm};
use cki_machine::{Machine, MachineError};
use cki_session::Memory;

use crate::error::Error;
use crate::lab::{Given, Job, Lab, succeed};
pub use crate::nmi_report::Report;

/// Between two NMIs.
const PERIOD: Duration = Duration::from_millis(1);
/// Processors, and containers at once.
const PROCESSORS: u32 = 2;
/// Memory of a container, of the host's pool for all of them, and of the machine, in MiB.
const CONTAINER: u32 = 128;
const MACHINE: Memory = Memory::constant(2 * PROCESSORS * CONTAINER);
/// How much longer than the storm the machine may take, for its start and the last containers' end.
const REST: Duration = Duration::from_secs(240);
/// Between two looks at the number of NMIs.
const LOOK: Duration = Duration::from_millis(500);

/// A container's program: forks, page faults, reads of the disk. It puts out the same each time.
const WORK: &str = r#"
n=0
while [ $n -lt 30 ]; do (exit 3); [ $? = 3 ] && /bin/true && n=$((n + 1)); done
echo "forks $n"
perl -e 'my $sum = 0;
	for my $n (1 .. 3) { my $s = pack("V*", map { $_ * $n } 1 .. 100000); $sum += unpack("%32V*", $s); }
	print "faults $sum\n"'
find /usr/bin /usr/lib -type f -size +8k 2> /dev/null | sort | head -n 100 | xargs cat | sha256sum
"#;

/// What both hosts run: `life` is a container from start to end; `told` says how something ended, and its output.
const FUNCTIONS: &str = r#"
work=$(cat)
life() {
	cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda \
		--memory MEMORYM --cmdline mitigations=off -- sh -c "$work"
}
told() {
	output=$("$@" 2>&1)
	printf '== %s %s\n%s\n' "$1" $? "$output"
}
nmis() { echo "== nmis $(sed -n 's/^ *NMI: *//p' /proc/interrupts)"; }
"#;
const QUIET: &str = r#"
native() { sh -c "$work"; }
told native
told life
echo '== log'
dmesg
"#;
const STORMY: &str = r#"
nmis
end=$(($(date +%s) + SECONDS))
lives() {
	while [ "$(date +%s)" -lt $end ]; do told life; done > "/tmp/lives-$1"
}
for n in $(seq PROCESSORS); do lives "$n" & done
wait
cat /tmp/lives-*
nmis
echo '== log'
dmesg
"#;

/// A host's program.
fn script(body: &str, duration: Duration) -> String {
    format!("{FUNCTIONS}{body}")
        .replace("MEMORY", &CONTAINER.to_string())
        .replace("SECONDS", &duration.as_secs().max(1).to_string())
        .replace("PROCESSORS", &PROCESSORS.to_string())
}

/// Has containers run under NMIs for so long.
///
/// # Errors
/// When that is not done; what is wrong with them is in the report.
pub fn nmi(lab: &dyn Lab, duration: Duration) -> Result<Report, Error> {
    let job = |body: &str| Job {
        memory: MACHINE,
        cpus: PROCESSORS,
        packages: vec!["perl-base"],
        ..Job::new(Runtime::Host, &["sh", "-c", &script(body, duration)])
    };
    let (machine, _) = lab.prepare(&job(QUIET))?;
    let machine = Machine {
        verbose: true,
        ..machine
    };
    let given = || Given {
        stdin: WORK.as_bytes(),
        timeout: Some(duration + REST),
        ..Given::default()
    };
    let step = lab.step("one container without NMIs");
    let (_, quiet) = succeed(lab, &machine, &job(QUIET), given(), Box::new(|| {}))?;
    step.finish();

    let step = lab.step("containers under NMIs");
    let scratch = lab.scratch()?;
    let socket = scratch.path().join("qmp");
    let mut stormy = machine;
    storm::prepare(&mut stormy, &socket);
    let over = AtomicBool::new(false);
    let (outcome, sent) = thread::scope(|scope| {
        let mut teller = None;
        // QEMU ends with the thread that has started it: this one.
        let ready = || {
            let (over, step, socket) = (&over, &step, &socket);
            teller = Some(scope.spawn(move || -> std::io::Result<Sent> {
                let storm = Storm::start(socket, PERIOD)?;
                while !over.load(Ordering::Relaxed) {
                    step.detail(&format!("{} NMIs", storm.count()));
                    thread::sleep(LOOK);
                }
                storm.end()
            }));
        };
        let outcome = succeed(lab, &stormy, &job(STORMY), given(), Box::new(ready));
        over.store(true, Ordering::Relaxed);
        let sent = teller.map(|teller| teller.join().expect("it does not panic"));
        (outcome, sent)
    });
    let (_, output) = outcome?;
    step.finish();
    let sent = match sent {
        Some(sent) => sent.map_err(|error| Error::Failed(format!("no NMIs: {error}")))?,
        None => return Err(MachineError::Request("the machine was never ready".to_owned()).into()),
    };
    Report::new(&quiet, &output, sent).map_err(Error::Failed)
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench nmi`: containers from start to end, one after the other on each of two processors, while a thousand
//! NMIs a second strike there.
//!
//! A first machine, without NMIs, says what is right: what the containers' program puts out natively, and what the
//! host's kernel has to say of a container. The second one has the storm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cki_machine::storm::{self, Sent, Storm};
use cki_machine::{Machine, MachineError};
use cki_session::{Memory, Status};

use super::nmi_report::Report;
use super::program::{Given, execute, program};
use crate::cli::{RunArgs, Runtime};
use crate::contents::{Contents, Packages};
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::prepare::prepare;

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

pub(super) fn nmi(context: &Context, duration: Duration) -> Result<Status, Error> {
    let args = |body: &str| RunArgs {
        memory: MACHINE,
        cpus: PROCESSORS,
        contents: Contents {
            packages: Packages::pinned(&["perl-base"]),
            ..Contents::default()
        },
        ..program(Runtime::Host, &["sh", "-c", &script(body, duration)])
    };
    let (machine, _) = prepare(context, &args(QUIET))?;
    let machine = Machine {
        verbose: true,
        ..machine
    };
    let given = || Given {
        stdin: WORK.as_bytes(),
        timeout: Some(duration + REST),
        ..Given::default()
    };
    let step = context.progress.step("one container without NMIs");
    let (_, quiet) = execute(&machine, &args(QUIET), given(), || {})?;
    step.finish();

    let step = context.progress.step("containers under NMIs");
    let scratch = context.cache.scratch()?;
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
        let outcome = execute(&stormy, &args(STORMY), given(), ready);
        over.store(true, Ordering::Relaxed);
        let sent = teller.map(|teller| teller.join().expect("it does not panic"));
        (outcome, sent)
    });
    let (_, output) = outcome?;
    step.finish();
    let sent = match sent {
        Some(sent) => sent.map_err(|error| Error::Bench(format!("no NMIs: {error}")))?,
        None => return Err(MachineError::Request("the machine was never ready".to_owned()).into()),
    };
    let report = Report::new(&quiet, &output, sent).map_err(Error::Bench)?;
    if context.global.json {
        print_json(&serde_json::json!({
            "measures": "containers from start to end under NMIs that the emulator injects on each processor",
            "report": report,
        }))?;
    } else {
        print(&report.text())?;
    }
    Ok(if report.good() {
        Status::OK
    } else {
        Status::NO
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki exec`, `cki list` and `cki kill` on a host: several processes in one container.

use cki_tests::machine;

const SCRIPT: &str = r#"
files="--memory 128M --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda"
cki run $files --name box --env A=main --cap-drop net_raw --ulimit nofile=77 -- \
    sh -c 'perl -e "socket(S, 40, 1, 0); print bind(S, pack(q(SSLLx4), 40, 0, 1024, 0xffffffff)) ? 1 : 0, qq(\n)"
        trap "exit 6" USR1; echo up; while :; do sleep 0.1; done' > /tmp/out 2>&1 &
until grep -q up /tmp/out; do sleep 0.1; done
head -1 /tmp/out
cki list | awk '{print $1, $3, $4}'
cki list --json | grep -c '"name":"box"'
echo input | cki exec --env B=x box sh -c 'echo $A $B; cat; echo error >&2; exit 9' 2>/tmp/err; echo $? $(cat /tmp/err)
cki exec box sh -c 'ulimit -n; grep CapBnd /proc/self/status'
cki exec --cap-add net_raw --ulimit nofile=88 box sh -c 'ulimit -n; grep CapBnd /proc/self/status'
cki exec --user daemon box id -un; echo $?
cki exec -t box sh -c 'stty size; tty'; echo $?
head -c 300000 /dev/zero | cki exec box cat | wc -c
for i in 1 2 3; do cki exec box sh -c "sleep 1; exit $i" & pids="$pids $!"; done
for pid in $pids; do wait $pid; echo $?; done
cki exec box nosuch 2>&1; echo $?
cki exec none true 2>&1; echo $?
cki exec ../box true 2>/tmp/err; echo $?; head -1 /tmp/err
cki run $files --name box -- true 2>&1; echo $?
cki kill box SEGV 2>&1; echo $?
cki exec box sh -c 'sleep 1000 & echo said; exit 3' >/tmp/held & held=$!
until grep -q said /tmp/held; do sleep 0.1; done
cki kill box USR1; wait %1; echo $?
wait $held; echo $? $(cat /tmp/held)
cki exec box true 2>&1; echo $?
cki run $files --name box -- sleep 1000 & launcher=$!
until cki exec box true 2>/dev/null; do sleep 0.1; done
kill -9 $launcher; wait $launcher; cki list | wc -l; ls /run/cki
"#;

#[test]
fn processes_of_a_running_container_have_streams_terminals_and_statuses_of_their_own() {
    let options = ["--quiet", "--runtime", "host", "--memory", "1G"];
    let output = machine(&options, &["bash", "-c", SCRIPT], b"");
    let missing = "cki: no container called box is running; `list` shows those that are";
    let expected = [
        // The program cannot take init's place.
        "0",
        "NAME MEMORY PROGRAM",
        "box 128M sh",
        "1",
        "main x",
        "input",
        "9 error",
        // NET_RAW is 13.
        "77",
        "CapBnd:\t000001ffffffdfff",
        "88",
        "CapBnd:\t000001ffffffffff",
        "daemon",
        "0",
        "24 80",
        "/dev/pts/0",
        "0",
        "300000",
        "1",
        "2",
        "3",
        "cki: no such program: nosuch",
        "127",
        &missing.replace("box", "none"),
        "125",
        "125",
        "error: invalid value '../box' for '[NAME]': a container's name is 1 to 64 letters, digits, `.`, `_` or `-`, a \
         letter or digit first",
        "cki: a container called box is running; choose another name",
        "125",
        "cki: signal 11 cannot be passed on to a container",
        "125",
        "6",
        // Its output was all there, although somebody else held it until the container ended.
        "3 said",
        missing,
        "125",
        // Only the line of titles: what the killed launcher left is gone.
        "1",
    ];
    let text = output.text().replace('\r', "");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, expected, "{}", output.stderr);
}

/// A program that has ended while nobody takes what it has written: more than the reader's pipe and all between hold.
const ENDED: &str = r#"
mkfifo slow; sleep 1000 < slow & reader=$!
cki run --memory 128M --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --name box -- \
    sh -c 'echo up; timeout 2 head -c 10M /dev/zero; exit 5' > slow 2> err & pid=$!
until cki list | grep -q box; do kill -0 $pid || { cat err >&2; exit 1; }; sleep 0.1; done
for try in $(seq 600); do
    cki exec box true 2> refused || { grep -q 'has ended' refused && break; }
done
cat refused; kill -0 $pid && echo there
# There is a reader at any time.
exec 6< slow; kill $reader; cat <&6 > all; wait $pid; echo $?
"#;

#[test]
fn nothing_is_started_beside_a_program_that_has_ended() {
    let options = ["--quiet", "--runtime", "host", "--memory", "1G"];
    let output = machine(&options, &["bash", "-c", ENDED], b"");
    assert_eq!(
        output.text(),
        "cki: container box: its init refused: the container's program has ended\nthere\n5\n",
        "{}",
        output.stderr
    );
}

/// What `cki stats` says of a container, before something and after it.
const COUNTED: &str = r#"
truncate -s 1M /tmp/disk
files="--memory 128M --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda"
cki run $files --name box --disk /tmp/disk:read-iops=20+20 -- sh -c 'echo up; sleep 1000' > /tmp/out & launcher=$!
until cki exec box true 2> /dev/null; do kill -0 $launcher || exit 1; sleep 0.1; done
count() { cki stats box | awk -v title="$1" -v name="$2" 'index($0, title) == 1 && $(NF - 1) == name { print $NF }'; }
# rises WHOSE COUNT LEAST COMMAND...: in the container.
rises() {
    title=$1 name=$2 least=$3; shift 3
    before=$(count "$title" $name); cki exec box "$@" > /dev/null 2>&1; after=$(count "$title" $name)
    [ $((after - before)) -ge $least ] && echo $name || echo "$title $name: $before, then $after"
}
read="dd of=/dev/null bs=4096 count=64 iflag=direct"
rises "disk cki-app" read_requests 64 $read if=/dev/vda
rises "disk cki-app" read_bytes 262144 $read if=/dev/vda
rises "disk cki-app" notifications 1 $read if=/dev/vda
rises "disk cki-app" interrupts 1 $read if=/dev/vda
rises "disk cki-disk0" read_held 1 $read if=/dev/vdb
rises "vcpu 0" hypercalls_mmio_write 64 $read if=/dev/vda
rises "vcpu 0" hypercalls_idle 5 sh -c 'for i in 1 2 3 4 5; do sleep 0.05; done'
rises "vcpu 0" hypercalls_timer_set 5 sh -c 'for i in 1 2 3 4 5; do sleep 0.05; done'
rises "vcpu 0" idle_ns 200000000 sleep 0.3
rises "vcpu 0" exits_interrupt 1 sh -c 'i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done'
rises "vcpu 0" monitor_calls 1000 sh -c 'for i in 1 2 3; do /bin/true; done'
rises "sockets" egress_bytes 100000 head -c 100000 /dev/zero
rises "vcpu 0" page_table_frames_used 40 sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 > /dev/null 2>&1 & echo $!; done > /tmp/pids'
many=$(count "vcpu 0" page_table_frames_used); cki exec box sh -c 'kill $(cat /tmp/pids)'
until [ $(count "vcpu 0" page_table_frames_used) -le $((many - 40)) ]; do sleep 0.1; done
[ $many -le $(count "vcpu 0" page_table_frames) ] && echo released
# What goes in comes out; the numbers are of a container that runs on meanwhile.
cki stats box | awk '$1 == "vcpu" { n[$3] = $4 } END {
    out = n["exits_hypercall"] + n["exits_interrupt"] + n["exits_other"]
    print (out > 1000 && n["entries"] >= out - 100 && n["entries"] < 2 * out) ? "entries" : n["entries"] " and " out }'
cki list --json | grep -o '"page_table_frames":[0-9]*' > /tmp/listed
cki stats box --json | grep -o '"page_table_frames":[0-9]*' | cmp - /tmp/listed && wc -l < /tmp/listed
# The container itself, another user, and of those who may, one who asks a launcher that does not run.
cki exec box sh -c 'ls /run/cki 2> /dev/null || echo nothing'
setpriv --reuid 65534 --clear-groups cki stats box > /dev/null 2> /tmp/err; echo $?; grep -c 'Permission denied' /tmp/err
setpriv --reuid 65534 --clear-groups perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
    print connect(S, pack_sockaddr_un("/run/cki/box/stats")) ? "seen" : "refused", "\n"'
stat -c '%a %U' /run/cki/box /run/cki/box/stats
kill -STOP $launcher; cki stats box; echo $?; cki list --json | grep -c counts; kill -CONT $launcher
cki stats none; echo $?
cki kill box; wait $launcher; cki list | wc -l; ls /run/cki
"#;

#[test]
fn what_a_container_has_counted_is_told_by_name_to_its_user_and_nobody_else() {
    let options = ["--quiet", "--runtime", "host", "--memory", "1G"];
    let output = machine(&options, &["bash", "-c", COUNTED], b"");
    let expected = [
        "read_requests",
        "read_bytes",
        "notifications",
        "interrupts",
        "read_held",
        "hypercalls_mmio_write",
        "hypercalls_idle",
        "hypercalls_timer_set",
        "idle_ns",
        "exits_interrupt",
        "monitor_calls",
        "egress_bytes",
        "page_table_frames_used",
        "released",
        "entries",
        "1",
        "nothing",
        "125",
        "1",
        "refused",
        "700 root",
        "600 root",
        "125",
        "0",
        "125",
        "1",
    ];
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines, expected, "{}", output.stderr);
    let stopped =
        "cki: the launcher of the container box does not say what it has counted: timed out";
    assert!(output.stderr.contains(stopped), "{}", output.stderr);
}

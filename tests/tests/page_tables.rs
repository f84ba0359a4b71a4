// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of programs, and of whom, when a container's frames for page tables are used up.

use cki_tests::{Output, machine, run_on};

/// Runs a command in a container with so much memory.
fn run(memory: &str, command: &[&str]) -> Output {
    let options = ["--deb", "perl", "--memory", memory, "--timeout", "3m"];
    run_on("cki", &options, command, b"")
}

/// Touches 20,000 pages that lie 2 MiB apart: each needs a page table of its own. By faults, and by read(); then
/// starts another program at once: the tables come back a moment after the program has gone, and while few are left,
/// a fork or execve waits for them.
const TOUCH_SPARSELY: &str = r#"
touch() { perl -e "$1"; echo "status $?"; ls /bin/sh; }
map='my $at = syscall(9, 0, 20000 << 21, 3, 0x4022, -1, 0); $at > 0 or die;'
touch "$map"'for my $n (0 .. 19999) { unpack("P1", pack("Q", $at + ($n << 21))) }'
touch "$map"'open(Z, "<", "/dev/zero"); my $z = fileno(Z);
    for my $n (0 .. 19999) { syscall(0, $z, $at + ($n << 21), 1) == 1 or die "read: $!" }'
"#;

/// A container has 1/16 of its memory for page tables. A program that uses them up is ended as one that is out
/// of memory, and others go on.
#[test]
fn a_program_that_uses_up_the_page_tables_is_killed_and_others_go_on() {
    let script = format!("{TOUCH_SPARSELY}{TOUCH_SPARSELY}");
    let output = run("512M", &["sh", "-c", &script]);
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    assert_eq!(output.text(), "status 137\n/bin/sh\n".repeat(4));
}

/// Whatever it is that takes the last table: each of these ends its program, and the next one works. Perl's `syscall`
/// takes the numbers of x86-64.
#[test]
fn each_way_to_take_the_last_table_ends_the_program_that_takes_it() {
    const NUMBERS: &str = "my ($far, $most) = (1 << 44, 20000); sub at { $far + ($_[0] << 21) }
        sub map { syscall(9, $_[0], $_[1], 3, 0x22 | $_[2], -1, 0) > 0 or die qq(mmap: $!) }";
    let ways = [
        // MAP_FIXED, MAP_POPULATE
        ("mmap", "&map(at($_), 4096, 0x8010) for 0 .. $most;"),
        // MREMAP_MAYMOVE, MREMAP_FIXED, of pages that were there and touched
        (
            "mremap",
            "my $near = 1 << 43; &map($near, $most << 12, 0x8010);
             syscall(25, $near + ($_ << 12), 4096, 4096, 3, at($_)) > 0 or die qq(mremap: $!) for 0 .. $most - 1;",
        ),
        // MADV_POPULATE_WRITE, in memory that is shared
        (
            "madvise",
            "syscall(9, at(0), $most << 21, 3, 0x4031, -1, 0) > 0 or die qq(mmap: $!);
             syscall(28, at($_), 4096, 23) == 0 or die qq(madvise: $!) for 0 .. $most - 1;",
        ),
        (
            "process_vm_writev",
            "&map(at(0), $most << 21, 0x4010); my $own = $$; my $x = 'x'; my $from = pack('PQ', $x, 1);
             for (0 .. $most - 1) { my $to = pack('QQ', at($_), 1);
                 syscall(311, $own, $from, 1, $to, 1, 0) == 1 or die qq(process_vm_writev: $!) }",
        ),
        // UFFDIO_API, UFFDIO_REGISTER for missing pages, UFFDIO_COPY
        (
            "userfaultfd",
            "&map(at(0), $most << 21, 0x4010); my $u = syscall(323, 0); $u >= 0 or die qq(userfaultfd: $!);
             my $api = pack('QQQ', 0xaa, 0, 0); syscall(16, $u, 0xc018aa3f, $api) == 0 or die qq(api: $!);
             my $r = pack('QQQQ', at(0), $most << 21, 1, 0); syscall(16, $u, 0xc020aa00, $r) == 0 or die qq(reg: $!);
             my $page = 'x' x 8192; my $src = (unpack('Q', pack('P', $page)) + 4095) & ~4095;
             for (0 .. $most - 1) { my $c = pack('QQQQQ', at($_), $src, 4096, 0, 0);
                 syscall(16, $u, 0xc028aa03, $c) == 0 or die qq(copy: $!) }",
        ),
        // The copy of what is more than half of all
        (
            "fork",
            "&map(at(0), $most << 21, 0x4010);
             for my $n (0 .. 5999) { syscall(0, fileno(Z), at($n), 1) == 1 or die qq(read: $!) }
             my $pid = fork; defined $pid or die qq(fork: $!);",
        ),
    ];
    let mut script = String::new();
    for (name, way) in ways {
        script += &format!(
            "perl -e '{NUMBERS} open(Z, \"<\", \"/dev/zero\"); {way} print \"no end\\n\"'\n\
             echo \"{name} $?\"; ls /bin/sh\n"
        );
    }
    let output = run("512M", &["sh", "-c", &script]);
    let expected = ways.map(|(name, _)| format!("{name} 137\n/bin/sh\n"));
    assert_eq!(output.text(), expected.concat(), "{}", output.stderr);
}

/// They are enough for many small processes. A fork of whoever has most leaves a sixteenth of them alone, and a process
/// takes 13 to 17 (1,171 to 896 were seen): more, the sooner it runs.
#[test]
fn a_gibibyte_is_enough_for_eight_hundred_processes() {
    let script = r#"my $n = 0;
        while ($n < 800) { my $pid = fork; defined $pid or last; $pid or do { sleep 1000; exit }; ++$n }
        $| = 1; print "$n\n"; kill "KILL", -$$;"#;
    let output = run("1G", &["perl", "-e", script]);
    assert_eq!(output.text(), "800\n", "{}", output.stderr);
}

/// It is the program with most tables that is killed, not a larger one of somebody else's.
#[test]
fn an_unprivileged_program_cannot_have_another_killed_for_its_page_tables() {
    let script = r#"
perl -e 'my $x = "x" x (200 << 20); mkdir "/tmp/up"; sleep 1 until -e "/tmp/over"; print "lives\n"' &
until [ -e /tmp/up ]; do sleep 1; done
perl -e '$) = "65534 65534"; $> = 65534; $( = 65534; $< = 65534;
    my $at = syscall(9, 0, 20000 << 21, 1, 0x4022, -1, 0); $at > 0 or die;
    for my $n (0 .. 19999) { unpack("P1", pack("Q", $at + ($n << 21))) }'
echo "status $?"
touch /tmp/over
wait
"#;
    let output = run("512M", &["sh", "-c", script]);
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    assert_eq!(output.text(), "status 137\nlives\n");
}

/// One who has many small processes is told that there can be no more, and nobody dies. When these then want more
/// tables by page faults, it is they that are killed.
#[test]
fn a_user_who_forks_without_end_cannot_have_another_users_program_killed() {
    let script = r#"
perl -e 'my $x = "x" x (100 << 20); mkdir "/tmp/up"; sleep 1 until -e "/tmp/over"; print "lives\n"' &
until [ -e /tmp/up ]; do sleep 1; done
perl -e '$) = "65534 65534"; $> = 65534; $( = 65534; $< = 65534;
    my $at = syscall(9, 0, 16 << 21, 1, 0x4022, -1, 0); $at > 0 or die;
    $SIG{USR1} = sub { for my $n (0 .. 15) { unpack("P1", pack("Q", $at + ($n << 21))) } };
    setpgrp; $| = 1; my $n = 0;
    while ($n < 2000) { my $pid = fork; defined $pid or last; $pid or do { sleep 1 while 1 }; ++$n }
    print $n < 2000 ? "refused: $!\n" : "no end\n"; open(F, ">", "/tmp/full");
    sleep 1 until -e "/tmp/go"; kill "USR1", -$$; sleep 1 while 1' &
until [ -e /tmp/full ]; do sleep 1; done
killed() { dmesg | grep -c "Killed process.*$1"; }
echo "killed: $(killed)"
touch /tmp/go
until [ "$(killed UID:65534)" != 0 ]; do sleep 1; done
sleep 3
echo "killed of root's: $(killed UID:0)"
touch /tmp/over
wait %1
"#;
    let output = run("512M", &["sh", "-c", script]);
    let expected = "refused: Cannot allocate memory\nkilled: 0\nkilled of root's: 0\nlives\n";
    assert_eq!(output.text(), expected, "{}", output.stderr);
}

/// One who has a namespace with many users is one user, however many the processes are divided among: it is not the
/// others who have most then.
#[test]
fn a_user_with_many_user_numbers_is_refused_as_one() {
    let script = r#"
perl -e 'my $x = "x" x (100 << 20); mkdir "/tmp/up"; sleep 1 until -e "/tmp/full"; print "lives\n"' &
until [ -e /tmp/up ]; do sleep 1; done
perl -e '$) = "65534 65534"; $> = 65534; $( = 65534; $< = 65534; syscall(272, 0x10000000) == 0 or die "unshare: $!";
    open(F, ">", "/tmp/pid"); print F "$$\n"; close(F); mkdir "/tmp/apart"; sleep 1 until -e "/tmp/mapped";
    setpgrp; $| = 1; my $n = 0;
    while ($n < 2000) {
        my $pid = fork; defined $pid or last; ++$n;
        $pid or do { my $u = $n % 256; syscall(117, $u, $u, $u) == 0 or die "setresuid: $!"; sleep 1 while 1 } }
    print $n < 2000 ? "refused: $!\n" : "no end\n"; mkdir "/tmp/full"; sleep 1 while 1' &
until [ -e /tmp/apart ]; do sleep 1; done
read -r pid < /tmp/pid
echo "0 100000 256" > /proc/$pid/uid_map
: > /tmp/mapped
wait %1
echo "of many users: $(cat /proc/[0-9]*/status | grep -c "^Uid:.*100255")"
echo "killed: $(dmesg | grep -c "Killed process")"
"#;
    let output = run("512M", &["sh", "-c", script]);
    let text = output.text();
    assert!(
        text.starts_with("refused: Cannot allocate memory\nlives\nof many users: "),
        "{text}{}",
        output.stderr
    );
    assert!(
        !text.contains("of many users: 0\n"),
        "{text}{}",
        output.stderr
    );
    assert!(text.ends_with("\nkilled: 0\n"), "{text}{}", output.stderr);
}

/// Root makes namespaces for others: whoever uses one up does not have root's own programs refused.
#[test]
fn a_namespace_that_root_has_made_is_refused_and_root_is_not() {
    let script = r#"
perl -e 'syscall(272, 0x10000000) == 0 or die "unshare: $!";
    open(F, ">", "/tmp/pid"); print F "$$\n"; close(F); mkdir "/tmp/apart"; sleep 1 until -e "/tmp/mapped";
    setpgrp; $| = 1; my $n = 0;
    while ($n < 2000) {
        my $pid = fork; defined $pid or last; ++$n;
        $pid or do { my $u = $n % 256; syscall(117, $u, $u, $u) == 0 or die "setresuid: $!"; sleep 1 while 1 } }
    print $n < 2000 ? "refused: $!\n" : "no end\n"; mkdir "/tmp/full"; sleep 1 while 1' &
until [ -e /tmp/apart ]; do sleep 0.1; done
read -r pid < /tmp/pid
echo "0 100000 256" > /proc/$pid/uid_map
: > /tmp/mapped
until [ -e /tmp/full ]; do sleep 0.1; done
for n in 1 2 3; do ls /bin/sh || echo refused; done
echo "killed: $(dmesg | grep -c "Killed process")"
"#;
    let output = run("512M", &["sh", "-c", script]);
    let expected = "refused: Cannot allocate memory\n/bin/sh\n/bin/sh\n/bin/sh\nkilled: 0\n";
    assert_eq!(output.text(), expected, "{}", output.stderr);
}

/// Many who are refused cost the others nothing but the processor's time, and little of that: they all take one answer
/// to who has most, and wait for long.
#[test]
fn processes_that_are_refused_all_the_time_do_not_hold_up_others() {
    let script = r#"
forks='my $t = time; system("/bin/true") for 1 .. 20; print time - $t < 20 ? "soon\n" : "late\n";'
perl -e '$) = "65534 65534"; $> = 65534; $( = 65534; $< = 65534;
    setpgrp; $| = 1; my ($n, $on) = (0, 0); $SIG{CHLD} = "IGNORE"; $SIG{USR1} = sub { $on = 1 };
    while ($n < 2000) {
        my $pid = fork; defined $pid or last; ++$n;
        $pid or do { select(undef, undef, undef, 0.2) until $on; while (1) { my $p = fork; exit if defined $p && !$p } } }
    print $n < 2000 ? "refused: $!\n" : "no end\n"; kill "USR1", -$$; mkdir "/tmp/full"; sleep 1 while 1' &
until [ -e /tmp/full ]; do sleep 0.1; done
sleep 2
perl -e "$forks"
"#;
    let output = run("512M", &["sh", "-c", script]);
    let expected = "refused: Cannot allocate memory\nsoon\n";
    assert_eq!(output.text(), expected, "{}", output.stderr);
}

/// Whoever comes to mend things gets in, also where the main program's user, who is the same, has most of all tables.
#[test]
fn exec_gets_into_a_container_without_tables() {
    let script = r#"
cki run --memory 192M --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --name full -- sh -c '
    mkfifo /tmp/never; (while :; do sleep 10000 & done) 2> /dev/null; echo full; read -r end < /tmp/never' > out &
until grep -q full out; do sleep 0.1; done
for n in 1 2 3; do cki exec full sh -c 'echo in'; done
cki exec full sh -c 'kill -KILL -1'
wait %1; echo $?
"#;
    let options = ["--quiet", "--runtime", "host", "--memory", "1G"];
    let output = machine(&options, &["bash", "-c", script], b"");
    assert_eq!(output.text(), "in\nin\nin\n137\n", "{}", output.stderr);
}

/// Tables are memory of the cgroup whose program needs them.
#[test]
fn page_tables_count_for_the_memory_cgroup_of_their_program() {
    let script = r#"
mkdir /tmp/cg && perl -e 'my ($d, $t) = ("/tmp/cg", "cgroup2"); exit !!syscall(165, $t, $d, $t, 0, 0)' || exit 3
cd /tmp/cg
echo +memory > cgroup.subtree_control && mkdir small && echo 8M > small/memory.max || exit 4
sh -c 'echo $$ > /tmp/cg/small/cgroup.procs && exec perl -e "$1"' sh '
    my $at = syscall(9, 0, 4000 << 21, 1, 0x4022, -1, 0); $at > 0 or die;
    for my $n (0 .. 3999) { unpack("P1", pack("Q", $at + ($n << 21))) }'
echo "status $?"
grep -w oom_kill small/memory.events
"#;
    let output = run("512M", &["sh", "-c", script]);
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    assert_eq!(output.text(), "status 137\noom_kill 1\n");
}

/// As the only program of its container, it is told so, and what helps.
#[test]
fn a_program_that_uses_up_the_page_tables_is_told_of_them() {
    let script = r#"my $at = syscall(9, 0, 20000 << 21, 3, 0x4022, -1, 0); $at > 0 or die;
        for my $n (0 .. 19999) { unpack("P1", pack("Q", $at + ($n << 21))) }"#;
    let output = run("512M", &["perl", "-e", script]);
    assert_eq!(output.status, 137, "{}{}", output.text(), output.stderr);
    let said = "the container ran out of page tables, for which a part of its memory (512M) is set aside; \
                give it more with --memory";
    assert!(output.stderr.contains(said), "{}", output.stderr);
}

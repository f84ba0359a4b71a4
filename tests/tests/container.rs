// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs in containers do what they do natively, byte for byte; in the long form also on a host whose kernel looks
//! for mistakes, and finds none.

use cki_tests::reports::reports;
use cki_tests::{Output, long, machine, run_on};

/// Packages of the programs below, in one image.
const PACKAGES: [&str; 10] = [
    "--deb",
    "python3",
    "--deb",
    "perl",
    "--deb",
    "gcc",
    "--deb",
    "libc6-dev",
    "--deb",
    "git",
];

fn run(runtime: &str, options: &[&str], command: &[&str], stdin: &[u8]) -> Output {
    run_on(runtime, &[&PACKAGES, options].concat(), command, stdin)
}

/// Runs `command` natively and in a container; both have to succeed with the same output, which is
/// given.
fn same(command: &[&str], stdin: &[u8]) -> String {
    let native = run("native", &[], command, stdin);
    assert_eq!(native.status, 0, "native: {}", native.stderr);
    let container = run("cki", &[], command, stdin);
    assert_eq!(container.status, 0, "in a container: {}", container.stderr);
    assert!(
        native.stdout == container.stdout,
        "native:\n{}\nin a container:\n{}",
        String::from_utf8_lossy(&native.stdout),
        String::from_utf8_lossy(&container.stdout)
    );
    assert_eq!(native.stderr, container.stderr);
    if long() {
        no_mistake_shows(command, stdin, &native.stdout);
    }
    String::from_utf8(native.stdout).expect("text")
}

/// Runs `command` in a container on the kernel that looks for mistakes of the module: it puts out what it is to, and
/// the kernel has nothing to say.
fn no_mistake_shows(command: &[&str], stdin: &[u8], expected: &[u8]) {
    // The host's console is on standard error.
    let options = ["--verbose", "--runtime", "cki", "--host-kernel", "debug"];
    let output = machine(&[&options, &PACKAGES[..]].concat(), command, stdin);
    assert_eq!(output.status, 0, "on the debug host: {}", output.stderr);
    assert!(output.stdout == expected, "{}", output.text());
    assert!(
        output.stderr.contains("cki: isolation: full (cki)"),
        "this is no console: {}",
        output.stderr
    );
    let reports = reports(&output.stderr);
    assert!(reports.is_empty(), "{reports:#?}\n{}", output.stderr);
}

#[test]
fn a_pipeline_of_fifty_processes() {
    let mut pipeline = "seq 1 20000".to_owned();
    for n in 0..48 {
        pipeline.push_str(&format!(" | sed 's/^{}/{}/'", n % 10, (n + 3) % 10));
    }
    pipeline.push_str(" | cksum");
    same(&["sh", "-c", &pipeline], b"");
}

#[test]
fn python_with_threads_and_forks() {
    let script = r#"
import hashlib, multiprocessing, os, threading

def work(seed):
    data = bytes(seed & 0xff for _ in range(100_000))
    for _ in range(20):
        data = hashlib.sha256(data).digest() * 3000
    return hashlib.sha256(data).hexdigest()

results = {}
lock = threading.Lock()
def thread(n):
    value = work(n)
    with lock:
        results[n] = value
threads = [threading.Thread(target=thread, args=(n,)) for n in range(16)]
for t in threads: t.start()
for t in threads: t.join()
for n in sorted(results): print(n, results[n])

with multiprocessing.Pool(6) as pool:
    for n, value in enumerate(pool.map(work, range(16))):
        assert value == results[n]

for n in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(n)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == n
print("done", sum(len(v) for v in results.values()))
"#;
    let output = same(&["python3", "-c", script], b"");
    assert!(output.ends_with("done 1024\n"), "{output}");
}

#[test]
fn perl_counts_words() {
    let script = r#"
my %count; my $x = 12345;
for (1..200000) { $x = ($x * 1103515245 + 12345) % 2147483648; $count{"w" . $x % 5000}++ }
print "$_ $count{$_}\n" for (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0..20];
open(my $sort, "|-", "sort -n | tail -3") or die; print $sort "$_\n" for reverse 1..50000; close $sort;
"#;
    same(&["perl", "-e", script], b"");
}

/// Compiles and runs the C program that is its input.
const COMPILE_AND_RUN: &str = "cat > p.c && gcc -O2 -pthread p.c -o p && ./p";

#[test]
fn gcc_compiles_a_program_that_moves_protects_and_shares_pages() {
    let output = same(
        &["sh", "-c", COMPILE_AND_RUN],
        include_bytes!("../programs/memory.c"),
    );
    assert_eq!(output.lines().count(), 8, "{output}");
}

#[test]
fn signals_and_timers_arrive() {
    let output = same(
        &["sh", "-c", COMPILE_AND_RUN],
        include_bytes!("../programs/signals.c"),
    );
    assert!(output.ends_with("all signals arrived\n"), "{output}");
}

#[test]
fn returns_that_fault_step_or_change_mode_do_what_they_do_natively() {
    let output = same(
        &["sh", "-c", COMPILE_AND_RUN],
        include_bytes!("../programs/returns.c"),
    );
    assert!(output.contains("code as stack: signal 11, code 128, trap 13, error 0x30\n"));
    assert!(output.contains("\n32-bit code ran 1000 times\n"));
    assert!(output.contains("SYSCALL of 32-bit code ran 1000 times\n"));
    assert!(output.ends_with("all returned\n"), "{output}");
}

#[test]
fn protection_keys_are_each_threads_own() {
    let output = same(
        &["sh", "-c", COMPILE_AND_RUN],
        include_bytes!("../programs/keys.c"),
    );
    assert_eq!(
        output,
        "read 1\ncode 4, the key that was allocated: 1\nthe stranger ended by signal 11\n\
         thread 0: its own\nthread 1: its own\nthread 2: its own\n"
    );
}

#[test]
fn git_keeps_two_hundred_files() {
    let script = "
set -e
git init -q -b main repository && cd repository
git config user.name test && git config user.email test@localhost
for i in $(seq 200); do seq $i $((i + 500)) > file-$i; done
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
git add . && git commit -q -m 'two hundred files'
for i in $(seq 1 7 200); do echo changed >> file-$i; done
git commit -q -a -m 'some changed'
git gc -q && git fsck --full --strict
git log --format='%H %s' && git count-objects -v | grep in-pack";
    let output = same(&["sh", "-c", script], b"");
    assert!(output.contains("two hundred files"), "{output}");
}

#[test]
fn a_hundred_megabytes_have_the_same_sum() {
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x' > big && sha256sum big && wc -c < big";
    let output = same(&["sh", "-c", script], b"");
    assert!(output.ends_with("100000000\n"), "{output}");
}

/// Asks /dev/mem for what is no memory of the container's, in each way that there is, and then for what is.
const MAP_FOREIGN: &str = r#"
import ctypes, errno, mmap, os, signal

memory = os.open("/dev/mem", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what, action):
    try:
        action()
        print(what, "done")
    except OSError as error:
        print(what, errno.errorcode[error.errno])

def read_in_child(flags, protection):
    pid = os.fork()
    if pid == 0:
        try:
            mapping = mmap.mmap(memory, 4096, flags, protection, offset=0)
            mapping[:8]
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
    for protection in mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE, 0:
        assert read_in_child(flags, protection) == errno.EINVAL, (flags, protection)
for offset in 0xa0000, 0xfee00000, 0xfed00000, 1 << 36, (1 << 45) - 4096:
    attempt(f"map {offset:#x}", lambda: mmap.mmap(memory, 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))
attempt("read", lambda: os.pread(memory, 8, 0))
attempt("write", lambda: os.pwrite(memory, b"12345678", 0))
ranges = [line.split() for line in open("/proc/iomem") if "System RAM" in line]
for own in [int(words[0].split("-")[0], 16) for words in ranges]:
    assert own, "the container's memory is nowhere"
    try:
        mmap.mmap(memory, 4096, mmap.MAP_SHARED, mmap.PROT_READ, offset=own)
        print("own memory is mapped")
    except OSError as error:
        # EINVAL if the kernel's text or page tables are there.
        assert error.errno in (errno.EPERM, errno.EINVAL), error
attempt("read own", lambda: os.pread(memory, 8, own))
open("/tmp/module.ko", "wb").write(open("/proc/self/exe", "rb").read())
module = os.open("/tmp/module.ko", os.O_RDONLY)
assert libc.syscall(313, module, b"", 0) == -1
print("module", errno.errorcode[ctypes.get_errno()])
"#;

#[test]
fn mapping_what_is_not_the_containers_gives_errors() {
    let output = run("cki", &[], &["python3", "-c", MAP_FOREIGN], b"");
    assert_eq!(output.status, 0, "{}{}", output.text(), output.stderr);
    assert_eq!(
        output.text(),
        "map 0xa0000 EINVAL\nmap 0xfee00000 EINVAL\nmap 0xfed00000 EINVAL\n\
         map 0x1000000000 EINVAL\nmap 0x1ffffffff000 EINVAL\nread EFAULT\nwrite EFAULT\n\
         read own EPERM\nmodule ENOEXEC\n"
    );
}

#[test]
fn a_stressor_of_all_devices_runs_in_a_container() {
    let command = ["stress-ng", "--dev", "1", "--timeout", "5"];
    let output = run_on("cki", &["--deb", "stress-ng"], &command, b"");
    assert_eq!(output.status, 0, "{}", output.stderr);
}

#[test]
fn a_container_out_of_memory_says_so() {
    let script = "x = []\nwhile True: x.append(b'x' * (1 << 20))";
    let output = run(
        "cki",
        &["--memory", "256M"],
        &["python3", "-c", script],
        b"",
    );
    assert_eq!(output.status, 137, "{}", output.stderr);
    assert_eq!(output.text(), "");
    assert!(
        output
            .stderr
            .contains("the container ran out of memory (256M)"),
        "{}",
        output.stderr
    );
}

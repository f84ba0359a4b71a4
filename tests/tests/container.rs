//! Programs in containers do what they do natively, byte for byte.

use cki_tests::{Output, run_on};

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
    String::from_utf8(native.stdout).expect("text")
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
            .contains("the container ran out of memory (256 MiB)"),
        "{}",
        output.stderr
    );
}

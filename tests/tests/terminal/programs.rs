// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that draw, at a user's terminal: what they show is there, the keys do what they do elsewhere, they follow
//! its size, and leave it as it was.

use cki_tests::resident::Machine;
use cki_tests::screen::Screen;
use cki_tests::{RUNTIMES, variable};

/// A shell with these programs at its first prompt, on a terminal of 30 lines of 100 characters.
fn shell(runtime: &str) -> Screen {
    let packages = ["htop", "less", "vim"].map(|name| ["--deb", name]);
    let words = ["--quiet", "run", "-it", "--network", "none"];
    let words = words.into_iter().chain(["--runtime", runtime]);
    let words = words.chain(packages.iter().flatten().copied());
    let words: Vec<&str> = words
        .chain(["--", "env", "PS1=ready$ ", "bash", "--norc"])
        .collect();
    let mut screen = Screen::start(&variable("CKI_BUILD"), &words);
    screen.wait_for("ready$ ");
    screen
}

/// `cki-build` with these words at a terminal.
fn command(words: &[&str]) -> Screen {
    let words: Vec<&str> = ["--quiet"].iter().chain(words).copied().collect();
    Screen::start(&variable("CKI_BUILD"), &words)
}

#[test]
fn vim_less_htop_and_script_do_at_a_terminal_what_they_do_elsewhere() {
    for runtime in RUNTIMES {
        let mut screen = shell(runtime);

        // vim: text is put in and saved, and the alternate screen is left.
        screen.type_in("vim -u NONE -N /tmp/text\r");
        screen.wait_for("\x1b[?1049h");
        screen.wait_for("\"/tmp/text\" [New]");
        screen.type_in("ione line\rand another\x1b");
        screen.type_in(":wq\r");
        screen.wait_for("\x1b[?1049l");
        screen.wait_for("ready$ ");
        screen.run(
            "cat -A /tmp/text; echo end",
            "one line$\r\nand another$\r\nend",
        );
        screen.wait_for("ready$ ");

        // less: a page has the height of the terminal less a line, also when it changes; then a search.
        screen.type_in("seq -f 'line%g.' 500 | less\r");
        screen.wait_for("line29.");
        screen.wait_for(":");
        screen.type_in(" ");
        screen.wait_for("line58.");
        screen.resize(12, 40);
        // It has drawn the same lines again, as many as there is room for.
        let drawn = screen.wait_for("line40.");
        assert!(!drawn.contains("line41."), "{runtime}: {drawn}");
        screen.type_in(" ");
        screen.wait_for("line51.");
        screen.type_in("/line400\r");
        screen.wait_for("line410.");
        screen.type_in("q");
        screen.wait_for("ready$ ");
        screen.run("stty -a | head -n 1", "rows 12; columns 40;");
        screen.wait_for("ready$ ");
        screen.resize(30, 100);

        // htop finds the processes, draws them anew every second, and leaves by a function key.
        screen.type_in("sleep 4321 & htop -d 10\r");
        screen.wait_for("Load average");
        screen.wait_for("sleep 4321");
        screen.wait_for("Quit");
        screen.type_in("\x1b[21~");
        screen.wait_for("\x1b[?1049l");
        screen.wait_for("ready$ ");
        screen.run("kill %1; wait %1; echo status $?", "status 143");
        screen.wait_for("ready$ ");

        // script: a terminal of the container's own, with all that was on it in a file.
        screen.run("script -q -c 'tty; stty size' /tmp/typescript", "/dev/pts/");
        screen.wait_for("30 100");
        screen.wait_for("ready$ ");
        screen.run("grep -c -e '^/dev/pts/' -e '^30 100' /tmp/typescript", "2");
        screen.wait_for("ready$ ");

        screen.type_in("exit 6\r");
        assert_eq!(screen.end().code(), Some(6), "{runtime}");
        assert!(screen.is_as_before(), "{runtime}");
    }
}

/// What a user does at a shell beside other programs.
fn used(screen: &mut Screen, what: &str) {
    // Not what is typed is the prompt.
    screen.type_in("PS1='rea''dy$ '\r");
    screen.wait_for("ready$ ");
    assert!(screen.is_raw(), "{what}");
    screen.run("stty size", "30 100");
    screen.wait_for("ready$ ");
    screen.run("sleep 1000 & jobs", "Running");
    screen.wait_for("ready$ ");
    screen.run("kill %1; wait %1; echo then $?", "then 143");
    screen.wait_for("ready$ ");
    // It has the terminal when it says so, each time.
    let script = "trap \"echo on\" CONT; echo in; while :; do sleep .1; done";
    screen.run(&format!("sh -c '{script}'"), "in\r\n");
    screen.type_in("\x1a");
    screen.wait_for("Stopped");
    screen.wait_for("ready$ ");
    screen.type_in("fg\r");
    screen.wait_for("\r\non\r\n");
    screen.type_in("\x03");
    screen.wait_for("ready$ ");
    screen.run("echo then $?", "then 130");
    screen.wait_for("ready$ ");
    screen.resize(20, 70);
    screen.run("until stty size | grep '20 7[0]'; do :; done", "20 70");
    screen.wait_for("ready$ ");
    screen.type_in("exit 8\r");
    assert_eq!(screen.end().code(), Some(8), "{what}");
    assert!(screen.is_as_before(), "{what}");
}

#[test]
fn a_shell_in_a_container_that_runs_and_one_of_its_machine_have_a_terminal_each() {
    let machine = Machine::start("terminals", &["--no-network", "--memory", "512M"]);
    let _container = machine.container("one", "echo one runs; exec sleep 1000");
    let name = &machine.0;
    let exec = [
        "exec",
        "-it",
        "--machine",
        name,
        "one",
        "--",
        "bash",
        "--norc",
    ];
    let mut inside = command(&exec);
    inside.wait_for("# ");
    // Both at a time; the machine's own is a smaller shell.
    let mut beside = command(&["machine", "ssh", name]);
    beside.wait_for("# ");
    used(&mut inside, "exec");
    used(&mut beside, "ssh");
}

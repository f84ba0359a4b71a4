// SPDX-License-Identifier: MIT OR Apache-2.0

//! bash completes command lines of cki-build by the script that it writes.

use std::process::Command;

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    // As bash calls the function: with the command, the word and the one before it.
    let script = r#"
        source <("$0" completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _cki__build "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, env!("CARGO_BIN_EXE_cki-build")])
        .arg("cki-build")
        .args(words)
        .output()
        .expect("bash");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    assert_eq!(offered(&["ru"]), ["run"]);
    assert_eq!(offered(&["machine", "sta"]), ["start", "status"]);
    assert_eq!(offered(&["run", "--runti"]), ["--runtime"]);
    assert_eq!(
        offered(&["run", "--runtime", ""]),
        ["cki", "native", "host"]
    );
    // Two levels down, and with another hyphen.
    assert_eq!(offered(&["machine", "start", "--pl"]), ["--places"]);
    assert_eq!(offered(&["image", "cki-host", "--out"]), ["--output"]);
    assert_eq!(offered(&["--json", "check", "--al"]), ["--all"]);
    assert!(offered(&["run", "--nosuch"]).is_empty());
}

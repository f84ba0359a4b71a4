// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands below the options in `--help`.

use cki_session::Status;

/// The table that `--help` ends with.
pub(crate) fn exit_statuses() -> String {
    let ours = "\
Exit status:
  0      done; for `run`, `exec` and `machine ssh`, the program's own status (also every other one)
  1      the answer is no: a test failed, two builds differ, `doctor` found something missing, the
         lock is not enough, a machine is not up, a release is not what was signed, a host did not
         take its system, figures are worse, the demonstration or `bench nmi` failed";
    format!("{ours}\n{}", Status::RUN_HELP)
}

/// What `run --help` ends with.
pub(crate) fn help_of_run() -> String {
    format!(
        "\
Examples:
  cki-build run --deb python3 -- python3 -c 'print(2**100)'
  cki-build run -it -- bash
  cki-build run --deb gcc -v .:/work --workdir /work -- gcc -c a.c

Exit status:
  the program's own, and
{}",
        Status::RUN_HELP
    )
}

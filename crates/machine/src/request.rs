// SPDX-License-Identifier: MIT OR Apache-2.0

//! The request that a machine's init is sent, as a line.

use cki_session::{Request, Run, encode};

use super::error::MachineError;

/// The line that asks for `run`.
///
/// # Errors
/// [`MachineError::Request`] when it is longer than a message may be.
pub(crate) fn encoded(run: &Run) -> Result<Vec<u8>, MachineError> {
    let mut run = run.clone();
    if run.exec.is_none() {
        // What unsaid ones mean; a machine that has been up since they had to be said takes no request without them.
        run.process.workdir.get_or_insert_with(|| "/".to_owned());
        run.hostname.get_or_insert_with(|| Run::HOSTNAME.to_owned());
    }
    encode(&Request::Run(Box::new(run))).map_err(|error| {
        MachineError::Request(format!(
            "the arguments and the environment together are {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_before_is_told_directory_and_name_and_a_process_beside_a_program_is_not() {
        let mut run = Run::new(["true"]);
        let text = |run: &Run| String::from_utf8(encoded(run).expect("it fits")).expect("JSON");
        assert!(text(&run).contains(r#""workdir":"/""#));
        assert!(text(&run).contains(r#""hostname":"cki""#));
        run.exec = Some("box".to_owned());
        let beside = text(&run);
        assert!(!beside.contains("workdir") && !beside.contains("hostname"));
    }
}

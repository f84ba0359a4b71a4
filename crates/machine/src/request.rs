// SPDX-License-Identifier: MIT OR Apache-2.0

//! The request that a machine's init is sent, as a line.

use std::time::SystemTime;

use cki_session::{Hello, Request, Run, encode, feature};

use super::error::MachineError;

/// Whether the machine's init can carry the request out.
pub(crate) fn check(hello: &Hello, run: &Run) -> Result<(), MachineError> {
    hello.check().map_err(MachineError::Protocol)?;
    match run.unsupported(&hello.features) {
        Some(name) => Err(MachineError::Protocol(format!(
            "it does not support `{name}`"
        ))),
        None => Ok(()),
    }
}

/// The line that tells a machine that has said `hello` what time it is now; nothing for one that does not ask.
pub(crate) fn clock(hello: &Hello) -> Vec<u8> {
    let asks = hello.features.iter().any(|name| name == feature::CLOCK);
    // Before 1970 and after 2554, it has its own time.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok()
        .filter(|_| asks)
        .and_then(|now| u64::try_from(now.as_nanos()).ok())
        .and_then(|now_ns| encode(&Request::Clock { now_ns }).ok())
        .unwrap_or_default()
}

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
    use std::time::Duration;

    use cki_session::decode;

    use super::*;

    #[test]
    fn a_machine_that_asks_is_told_the_time_to_the_nanosecond() {
        let line = clock(&Hello::new(&[feature::CLOCK], "6.12"));
        let Ok(Request::Clock { now_ns }) = decode(&line) else {
            panic!("{line:?}");
        };
        let told = SystemTime::UNIX_EPOCH + Duration::from_nanos(now_ns);
        assert!(told.elapsed().expect("not of the future") < Duration::from_secs(60));
        assert!(clock(&Hello::new(&[feature::POOL], "6.12")).is_empty());
    }

    #[test]
    fn a_machine_of_before_is_told_directory_and_name_and_a_process_beside_a_program_is_not() {
        let mut run = Run::new(["true"]);
        let text = |run: &Run| String::from_utf8(encoded(run).expect("it fits")).expect("JSON");
        assert!(text(&run).contains(r#""workdir":"/""#));
        assert!(text(&run).contains(r#""hostname":"cki""#));
        run.exec = Some("box".parse().unwrap());
        let beside = text(&run);
        assert!(!beside.contains("workdir") && !beside.contains("hostname"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine's init is asked for first.

use std::time::SystemTime;

use cki_session::{Hello, Outgoing, Request, Run, feature};

use super::error::MachineError;

/// What tells a machine that has said `hello` what time it is now; nothing for one that does not ask.
pub(crate) fn clock(hello: &Hello) -> Option<Request> {
    let asks = hello.features.iter().any(|name| name == feature::CLOCK);
    // Before 1970 and after 2554, it has its own time.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.ok()
        .filter(|_| asks)
        .and_then(|now| u64::try_from(now.as_nanos()).ok())
        .map(|now_ns| Request::Clock { now_ns })
}

/// What asks for `run`, and waits until there is somebody to ask.
///
/// # Errors
/// [`MachineError::Request`] when it is longer than a message may be.
pub(crate) fn queued(run: &Run) -> Result<Outgoing, MachineError> {
    let mut run = run.clone();
    if run.exec.is_none() {
        // What unsaid ones mean; a machine that has been up since they had to be said takes no request without them.
        run.process.workdir.get_or_insert_with(|| "/".to_owned());
        run.hostname.get_or_insert_with(|| Run::HOSTNAME.to_owned());
    }
    let mut queue = Outgoing::default();
    queue.push(&Request::Run(Box::new(run))).map_err(|error| {
        MachineError::Request(format!(
            "the arguments and the environment together are {error}"
        ))
    })?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_machine_that_asks_is_told_the_time_to_the_nanosecond() {
        let asked = clock(&Hello::new(&[feature::CLOCK], "6.12"));
        let Some(Request::Clock { now_ns }) = asked else {
            panic!("{asked:?}");
        };
        let told = SystemTime::UNIX_EPOCH + Duration::from_nanos(now_ns);
        assert!(told.elapsed().expect("not of the future") < Duration::from_secs(60));
        assert_eq!(clock(&Hello::new(&[feature::POOL], "6.12")), None);
    }

    #[test]
    fn a_machine_of_before_is_told_directory_and_name_and_a_process_beside_a_program_is_not() {
        let mut run = Run::new(["true"]);
        let text = |run: &Run| {
            let mut bytes = [0; 1 << 10];
            let count = queued(run).expect("it fits").take(&mut bytes);
            String::from_utf8(bytes[..count].to_vec()).expect("JSON")
        };
        assert!(text(&run).contains(r#""workdir":"/""#));
        assert!(text(&run).contains(r#""hostname":"cki""#));
        run.exec = Some("box".parse().unwrap());
        let beside = text(&run);
        assert!(!beside.contains("workdir") && !beside.contains("hostname"));
    }
}

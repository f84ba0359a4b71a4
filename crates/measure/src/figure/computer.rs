// SPDX-License-Identifier: MIT OR Apache-2.0

//! The computer that emulates.

use std::fs;

use cki_figures::Computer;

/// This one, as far as it says.
pub(super) fn here() -> Computer {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Computer {
        processor: model(&read("/proc/cpuinfo")).to_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// The name of the first processor.
fn model(cpuinfo: &str) -> &str {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_called_as_it_calls_itself() {
        assert_eq!(
            model("processor\t: 0\nmodel name\t: A Processor\nmodel name\t: B\n"),
            "A Processor"
        );
        assert_eq!(model(""), "unknown");
    }
}

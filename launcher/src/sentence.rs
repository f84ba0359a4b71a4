// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors as one line.

/// An error with its causes. Some of our errors quote their cause; that is not said twice.
pub fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_quoted_is_not_said_twice() {
        let error = anyhow::anyhow!("no such note");
        assert_eq!(
            sentence(&error.context("kernel k: no such note").context("run")),
            "run: kernel k: no such note"
        );
    }
}

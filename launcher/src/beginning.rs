// SPDX-License-Identifier: MIT OR Apache-2.0

//! The beginning of what a container says: it may say as much as it likes.

/// Refusals of init's that the client is told, at most.
pub(crate) const REFUSALS_MAX: usize = 16;
/// Bytes of each that it is told, and of why there was no program, at most.
pub(crate) const SENTENCE_SIZE: usize = 1024;

/// At most `size` bytes of `text`, whole characters.
#[must_use]
pub(crate) fn start_of(mut text: String, size: usize) -> String {
    let end = (0..=size.min(text.len())).rev();
    let end = end.into_iter().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let cut = |size| start_of("a\u{e9}b".to_owned(), size);
        assert_eq!((cut(9).as_str(), cut(2).as_str()), ("a\u{e9}b", "a"));
        assert_eq!(cut(3), "a\u{e9}");
    }
}

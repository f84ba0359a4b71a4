// SPDX-License-Identifier: MIT OR Apache-2.0

//! Relative paths in a tree, as text with `/`.

/// `target`, seen from the directory of the file `from`, as a path from the tree's root; `None` when it leaves the
/// tree.
pub fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// How a page at `from` names the file `to`; both are paths from the site's root.
pub fn relative(from: &str, to: &str) -> String {
    let from: Vec<_> = from.split('/').collect();
    let to: Vec<_> = to.split('/').collect();
    let common = from
        .iter()
        .zip(&to)
        .take(from.len().min(to.len()) - 1)
        .take_while(|(one, other)| one == other)
        .count();
    let up = std::iter::repeat_n("..", from.len() - 1 - common);
    up.chain(to[common..].iter().copied())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_from_the_directory_of_the_page() {
        assert_eq!(
            resolve("docs/hack/a.md", "../reference/b.md").as_deref(),
            Some("docs/reference/b.md")
        );
        assert_eq!(
            resolve("docs/a.md", "../ksm/core").as_deref(),
            Some("ksm/core")
        );
        assert_eq!(resolve("README.md", "../outside"), None);
    }

    #[test]
    fn a_page_names_another_one_by_the_shortest_way() {
        assert_eq!(relative("index.html", "hack/a.html"), "hack/a.html");
        assert_eq!(relative("hack/a.html", "index.html"), "../index.html");
        assert_eq!(relative("hack/a.html", "hack/b.html"), "b.html");
        assert_eq!(
            relative("hack/a.html", "source/ksm/b.rs.html"),
            "../source/ksm/b.rs.html"
        );
    }
}

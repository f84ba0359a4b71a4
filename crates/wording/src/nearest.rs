// SPDX-License-Identifier: MIT OR Apache-2.0

//! "Did you mean...?"

/// At most five of `names` that look like `wanted`, best first: few typing errors, or names that start with it.
pub fn nearest_names<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let limit = (wanted.len() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            // A prefix counts as a small error, so that `redis` finds `redis-server`.
            if name
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.starts_with(|c: char| !c.is_ascii_lowercase()))
            {
                return Some((1, name));
            }
            // Cheap test first: an index has 60,000 names.
            if name.len().abs_diff(wanted.len()) > limit {
                return None;
            }
            let distance = strsim::damerau_levenshtein(wanted, name);
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    found.sort_by_key(|(distance, name)| (*distance, name.len(), *name));
    found.dedup();
    found
        .into_iter()
        .take(5)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// The end of a sentence that says what the nearest names are; empty when there are none.
#[must_use]
pub fn hint(nearest: &[String]) -> String {
    if nearest.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", nearest.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_and_shortened_names_are_found() {
        let names = [
            "redis-server",
            "redis-tools",
            "redmine",
            "lua5.4",
            "lua5.3",
            "sqlite3",
            "zsh",
        ];
        assert_eq!(nearest_names("redis-sever", names)[0], "redis-server");
        assert_eq!(
            nearest_names("redis", names),
            ["redis-tools", "redis-server"]
        );
        assert_eq!(nearest_names("lua", names), ["lua5.3", "lua5.4"]);
        assert_eq!(nearest_names("slqite3", names), ["sqlite3"]);
        assert!(nearest_names("quite-different", names).is_empty());
    }
}

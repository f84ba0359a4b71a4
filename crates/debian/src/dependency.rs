// SPDX-License-Identifier: MIT OR Apache-2.0

//! Dependency fields: `a (>= 1) | b [amd64] <!nocheck>, c:any` (Debian Policy, section 7.1).

use std::cmp::Ordering;
use std::fmt;

use super::version::{Version, VersionError};

/// How a version must compare to the one in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`, which means the same)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// An operator and the version that it compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// How to compare.
    pub operator: Operator,
    /// The right-hand side.
    pub version: Version,
}

impl Constraint {
    /// Reads `>= 1.2` (what stands between the parentheses of a dependency).
    ///
    /// # Errors
    /// When the operator or the version is not one.
    pub fn parse(text: &str) -> Result<Self, DependencyError> {
        let text = text.trim();
        // Longer operators first: "<" is a prefix of "<<" and "<=".
        let table = [
            ("<<", Operator::Earlier),
            ("<=", Operator::EarlierOrEqual),
            (">=", Operator::LaterOrEqual),
            (">>", Operator::Later),
            ("=", Operator::Equal),
            ("<", Operator::EarlierOrEqual),
            (">", Operator::LaterOrEqual),
        ];
        let (operator, rest) = table
            .iter()
            .find_map(|(sign, operator)| text.strip_prefix(sign).map(|rest| (*operator, rest)))
            .ok_or_else(|| DependencyError::Operator(text.into()))?;
        Ok(Self {
            operator,
            version: Version::parse(rest)?,
        })
    }

    /// Whether `version` fulfils the constraint.
    #[must_use]
    pub fn accepts(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operator.as_str(), self.version)
    }
}

/// A word that may be negated with `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Whether a `!` stands before it.
    pub negated: bool,
    /// The architecture or build profile.
    pub word: String,
}

impl Term {
    fn parse(text: &str) -> Self {
        match text.strip_prefix('!') {
            Some(word) => Self {
                negated: true,
                word: word.into(),
            },
            None => Self {
                negated: false,
                word: text.into(),
            },
        }
    }
}

/// One alternative: a package name and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Name of a package or of a virtual package.
    pub name: String,
    /// What follows the name after a colon: `any`, `native` or an architecture.
    pub qualifier: Option<String>,
    /// The versions that will do; all when `None`.
    pub constraint: Option<Constraint>,
    /// `[amd64 !i386]`: architectures to which the relation is restricted.
    pub architectures: Vec<Term>,
    /// `<!nocheck> <stage1 cross>`: build profiles, a disjunction of conjunctions.
    pub profiles: Vec<Vec<Term>>,
}

/// Alternatives of which one must be there; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// In the order of the field: the first is the one that the maintainer prefers.
    pub alternatives: Vec<Relation>,
}

/// Why a text is not a dependency field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// The name is missing or has characters that names do not have (Policy 5.6.7).
    #[error("'{0}' is not a package name")]
    Name(String),
    /// `(>= 1` and the like.
    #[error("'{0}' has no closing '{1}'")]
    Unclosed(String, char),
    /// Not one of `<< <= = >= >>`.
    #[error("'{0}' does not start with one of << <= = >= >>")]
    Operator(String),
    /// The version in parentheses is invalid.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Text after the parts that a relation has.
    #[error("'{0}' does not belong into a dependency")]
    Trailing(String),
}

/// Reads a field such as `Depends` or `Provides`.
///
/// # Errors
/// See [`DependencyError`].
pub fn parse(field: &str) -> Result<Vec<Dependency>, DependencyError> {
    field
        .split(',')
        .map(str::trim)
        // A trailing comma is common and harmless.
        .filter(|group| !group.is_empty())
        .map(|group| {
            let alternatives = group
                .split('|')
                .map(Relation::parse)
                .collect::<Result<_, _>>()?;
            Ok(Dependency { alternatives })
        })
        .collect()
}

/// Whether the text can be the name of a Debian package (Policy 5.6.7, but one character is enough).
#[must_use]
pub fn is_package_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

impl Relation {
    fn parse(text: &str) -> Result<Self, DependencyError> {
        let text = text.trim();
        let end = text
            .find(|c: char| c.is_whitespace() || "([<".contains(c))
            .unwrap_or(text.len());
        let (word, mut rest) = (&text[..end], text[end..].trim_start());
        let (name, qualifier) = match word.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
            None => (word, None),
        };
        if !is_package_name(name) {
            return Err(DependencyError::Name(text.into()));
        }
        let mut relation = Self {
            name: name.into(),
            qualifier,
            constraint: None,
            architectures: Vec::new(),
            profiles: Vec::new(),
        };
        while let Some(open) = rest.chars().next() {
            let close = match open {
                '(' => ')',
                '[' => ']',
                '<' => '>',
                _ => return Err(DependencyError::Trailing(rest.into())),
            };
            let Some((inside, after)) = rest[1..].split_once(close) else {
                return Err(DependencyError::Unclosed(text.into(), close));
            };
            let terms = || inside.split_whitespace().map(Term::parse).collect();
            match open {
                '(' => relation.constraint = Some(Constraint::parse(inside)?),
                '[' => relation.architectures = terms(),
                _ => relation.profiles.push(terms()),
            }
            rest = after.trim_start();
        }
        Ok(relation)
    }

    /// Whether the relation counts on this architecture, with no build profile active. (Binary packages' fields have
    /// no restrictions, source packages' do.)
    #[must_use]
    pub fn applies(&self, architecture: &str) -> bool {
        let matches = |term: &Term| {
            term.word == architecture
                || ["any", "linux-any", &format!("any-{architecture}")].contains(&&*term.word)
        };
        let architecture_fits = self.architectures.is_empty()
            || if self.architectures.iter().any(|term| term.negated) {
                !self.architectures.iter().any(matches)
            } else {
                self.architectures.iter().any(matches)
            };
        let profile_fits = self.profiles.is_empty()
            || self
                .profiles
                .iter()
                .any(|all| all.iter().all(|t| t.negated));
        architecture_fits && profile_fits
    }

    /// Whether a package of `architecture` (or `all`) can fulfil the relation as far as the part after the colon goes.
    #[must_use]
    pub fn qualifier_fits(&self, architecture: &str) -> bool {
        self.qualifier
            .as_deref()
            .is_none_or(|q| q == "any" || q == "native" || q == architecture)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, " ({constraint})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, relation) in self.alternatives.iter().enumerate() {
            write!(f, "{}{relation}", if i == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Relation {
        parse(text).unwrap().remove(0).alternatives.remove(0)
    }

    #[test]
    fn alternatives_constraints_and_restrictions_are_read() {
        let all = parse("a (>= 1) | b [amd64] <!nocheck>, c:any,\n libstdc++6(<<2:1~),").unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].to_string(), "a (>= 1) | b");
        let b = &all[0].alternatives[1];
        assert_eq!(
            b.architectures,
            [Term {
                negated: false,
                word: "amd64".into()
            }]
        );
        assert_eq!(
            b.profiles,
            [[Term {
                negated: true,
                word: "nocheck".into()
            }]]
        );
        assert_eq!(all[1].alternatives[0].qualifier.as_deref(), Some("any"));
        assert_eq!(all[2].to_string(), "libstdc++6 (<< 2:1~)");
    }

    #[test]
    fn each_operator_accepts_what_it_says() {
        let accepted = |constraint: &str| {
            let constraint = Constraint::parse(constraint).unwrap();
            ["1", "2", "3"].map(|v| constraint.accepts(&Version::parse(v).unwrap()))
        };
        assert_eq!(accepted("<< 2"), [true, false, false]);
        assert_eq!(accepted("<= 2"), [true, true, false]);
        assert_eq!(accepted("= 2"), [false, true, false]);
        assert_eq!(accepted(">= 2"), [false, true, true]);
        assert_eq!(accepted(">> 2"), [false, false, true]);
        // Obsolete forms include equality.
        assert_eq!(accepted("< 2"), [true, true, false]);
        assert_eq!(accepted("> 2"), [false, true, true]);
    }

    #[test]
    fn restrictions_decide_whether_a_relation_applies() {
        for (text, applies) in [
            ("a", true),
            ("a [amd64]", true),
            ("a [i386 linux-any]", true),
            ("a [any-amd64]", true),
            ("a [arm64 i386]", false),
            ("a [!amd64]", false),
            ("a [!i386]", true),
            ("a <!nocheck>", true),
            ("a <cross>", false),
            ("a <cross> <!stage1>", true),
            ("a <!nocheck cross>", false),
        ] {
            assert_eq!(one(text).applies("amd64"), applies, "{text}");
        }
        assert!(one("a:any").qualifier_fits("amd64"));
        assert!(!one("a:i386").qualifier_fits("amd64"));
    }

    #[test]
    fn malformed_dependencies_are_refused() {
        for text in [
            "(>= 1)", "a (>= 1", "a (~ 1)", "a (>=)", "a b", "a | | b", "A", "a [amd64", "ä",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[ab(<>=|,: \\[\\]!1é-]{0,24}") {
            let _ = parse(&text);
        }
    }
}

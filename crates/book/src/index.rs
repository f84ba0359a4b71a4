// SPDX-License-Identifier: MIT OR Apache-2.0

//! An alphabetical index: terms of the glossary, and the commands, options, constants and tests that pages list, each
//! with the places where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::links::{Heading, MARKDOWN, headings};
use crate::page::{Page, escape};

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// What it is sorted by: without the hyphens of an option and the article of a sentence, in lower case.
    key: String,
    /// As it stands there.
    pub text: String,
    /// Whether it is code, and not a word.
    pub is_code: bool,
}

impl Term {
    fn new(text: &str, is_code: bool) -> Self {
        let mut key = text.trim_start_matches(['-', '/', '.', '_']).to_lowercase();
        // Tests are sentences, of which every second one begins so.
        for article in ["a_", "an_", "the_"] {
            if let Some(rest) = key.strip_prefix(article).filter(|_| is_test(text)) {
                key = rest.to_owned();
                break;
            }
        }
        Term {
            key,
            text: text.to_owned(),
            is_code,
        }
    }

    /// The letter that it stands under; a hash for digits and signs.
    fn letter(&self) -> char {
        let first = self.key.chars().next().unwrap_or('#');
        if first.is_ascii_alphabetic() {
            first.to_ascii_uppercase()
        } else {
            '#'
        }
    }
}

/// The terms of a page, each with the anchor and the text of the heading that it stands under.
#[must_use]
pub fn terms(markdown: &str) -> Vec<(Term, Heading)> {
    let all = headings(markdown);
    let mut next = all.iter();
    let mut under: Option<&Heading> = None;
    let (mut in_heading, mut in_head, mut column) = (false, false, None);
    let mut is_glossary = false;
    let mut word = String::new();
    let mut found = Vec::new();
    let mut add = |term: Term, under: Option<&Heading>| {
        found.extend(under.map(|heading| (term, heading.clone())));
    };
    for event in Parser::new_ext(markdown, MARKDOWN) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                under = next.next();
                in_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::Table(_)) => is_glossary = false,
            Event::Start(Tag::TableHead) => (in_head, column) = (true, Some(0)),
            Event::End(TagEnd::TableHead) => (in_head, column) = (false, None),
            Event::Start(Tag::TableRow) => column = Some(0),
            Event::End(TagEnd::TableRow) => column = None,
            Event::End(TagEnd::TableCell) => {
                if column == Some(0) && !word.is_empty() {
                    if in_head {
                        is_glossary = word == "term";
                    } else if is_glossary {
                        add(Term::new(&word, false), under);
                    }
                }
                word.clear();
                column = column.map(|number| number + 1);
            }
            Event::Text(text) if column == Some(0) => word.push_str(&text),
            Event::Code(code) => {
                let is_first = column == Some(0) && !in_head;
                let is_command = in_heading && under.is_some_and(|heading| *heading.text == *code);
                if is_first || is_command || is_test(&code) {
                    add(Term::new(&code, true), under);
                }
            }
            _ => {}
        }
    }
    found
}

/// Tests are named by sentences.
fn is_test(code: &str) -> bool {
    let words = code.split('_');
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    words.clone().count() > 3 && words.clone().all(plain)
}

/// The index of pages: each with its title, its address from the index, and its Markdown.
#[must_use]
pub fn page(pages: &[(&str, String, String)]) -> Page {
    let mut all: BTreeMap<Term, BTreeSet<(String, String)>> = BTreeMap::new();
    for (title, address, markdown) in pages {
        for (term, heading) in terms(markdown) {
            let name = match heading.level {
                1 => (*title).to_owned(),
                _ => format!("{title}: {}", heading.text),
            };
            let address = format!("{address}#{}", heading.anchor);
            all.entry(term).or_default().insert((name, address));
        }
    }
    let mut letters: BTreeMap<char, String> = BTreeMap::new();
    for (term, places) in &all {
        let text = escape(&term.text);
        let text = match term.is_code {
            true => format!("<code>{text}</code>"),
            false => text,
        };
        let links = places.iter().map(|(name, address)| {
            let (name, address) = (escape(name), escape(address));
            format!("<a href=\"{address}\">{name}</a>")
        });
        let links: Vec<_> = links.collect();
        let list = letters.entry(term.letter()).or_default();
        let _ = writeln!(list, "<li>{text}: {}</li>", links.join("; "));
    }
    let mut html = String::from("<h1 id=\"index\">Index</h1>\n");
    html.push_str("<p>Terms, commands, options, constants and tests, by their first letter.</p>\n");
    let mut headings = Vec::new();
    for (letter, list) in letters {
        let anchor = match letter {
            '#' => "signs".to_owned(),
            letter => letter.to_ascii_lowercase().to_string(),
        };
        let _ = write!(
            html,
            "<h2 id=\"{anchor}\"><a class=\"anchor\" href=\"#{anchor}\">{letter}</a></h2>\n\
             <ul class=\"index\">\n{list}</ul>\n"
        );
        headings.push(Heading {
            level: 2,
            text: letter.to_string(),
            anchor,
        });
    }
    Page {
        title: "Index".to_owned(),
        headings,
        html,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: &str = "\
# Commands

## `run`

Held by `a_test_is_a_whole_sentence`, and `not_this`.

| option | meaning |
|---|---|
| `--memory SIZE`, `-m` | much, of `this` |
";

    const GLOSSARY: &str = "# Glossary\n\n| term | meaning |\n|---|---|\n| frame | a `page` |\n";

    fn texts(markdown: &str) -> Vec<(String, String)> {
        let place = |(term, heading): (Term, Heading)| (term.text, heading.anchor);
        terms(markdown).into_iter().map(place).collect()
    }

    #[test]
    fn what_a_page_lists_is_a_term_and_what_it_mentions_is_not() {
        let expected = ["run", "a_test_is_a_whole_sentence", "--memory SIZE", "-m"];
        let expected = expected.map(|text| (text.to_owned(), "run".to_owned()));
        assert_eq!(texts(COMMANDS), expected);
        assert_eq!(
            texts(GLOSSARY),
            [("frame".to_owned(), "glossary".to_owned())]
        );
    }

    #[test]
    fn options_stand_under_their_letter_and_lead_to_their_heading() {
        let page = page(&[
            ("Commands", "commands.html".to_owned(), COMMANDS.to_owned()),
            ("Glossary", "glossary.html".to_owned(), GLOSSARY.to_owned()),
        ]);
        let letters: Vec<_> = page.headings.iter().map(|h| h.text.as_str()).collect();
        assert_eq!(letters, ["F", "M", "R", "T"]);
        for line in [
            "<li><code>--memory SIZE</code>: <a href=\"commands.html#run\">Commands: run</a></li>",
            "<li>frame: <a href=\"glossary.html#glossary\">Glossary</a></li>",
        ] {
            assert!(page.html.contains(line), "{line}: {}", page.html);
        }
    }
}

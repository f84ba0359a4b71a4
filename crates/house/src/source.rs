// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a Rust file declares, imports and names, as far as telling which file uses which one needs it.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, LexError, Spacing, TokenStream, TokenTree};

/// What a file has outside its tests.
#[derive(Debug, Default)]
pub struct Source {
    /// Names of the modules that it declares with files of their own.
    pub modules: Vec<String>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Paths of two and more words that stand in it elsewhere.
    pub paths: Vec<Vec<String>>,
    /// Names of the items that it defines.
    pub defines: BTreeSet<String>,
    /// Names of the types among them that other crates see, if they see the module.
    pub types: BTreeSet<String>,
    /// All words outside its imports.
    pub words: BTreeSet<String>,
}

impl Source {
    /// Whether it makes commands of the standard library's, or of duct's, which start programs.
    #[must_use]
    pub fn starts_programs(&self) -> bool {
        let is = |path: &[String], wanted: &[&str]| path.iter().eq(wanted);
        self.paths.iter().any(|path| {
            let import = self.imports.iter().find(|import| import.name == path[0]);
            let whole: Vec<_> = match import {
                Some(import) => import.path.iter().chain(&path[1..]).cloned().collect(),
                None => path.clone(),
            };
            is(&whole, &["std", "process", "Command", "new"]) || is(&whole, &["duct", "cmd"])
        })
    }
}

/// One name that a `use` declaration brings.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// What it is called here; `*` when it is all names.
    pub name: String,
    /// What it stands for.
    pub path: Vec<String>,
    /// Whether it is passed on.
    pub public: bool,
}

/// Reads a file's text.
///
/// # Errors
/// When that is no Rust.
pub fn read(text: &str) -> Result<Source, LexError> {
    let mut tokens = Vec::new();
    flatten(text.parse()?, &mut tokens);
    let mut reader = Reader {
        tokens,
        at: 0,
        inline: Vec::new(),
        depth: 0,
        source: Source::default(),
    };
    reader.items();
    Ok(reader.source)
}

/// Words, `::`, brackets and other characters one by one: tokens, since the arguments of a macro have paths as well,
/// and only the macro knows their syntax. Of literals, those are left that may be a path (`#[serde(with =
/// "crate::a")]`): quotes, and what they quote.
fn flatten(stream: TokenStream, found: &mut Vec<String>) {
    let mut may_be_path = false;
    for tree in stream {
        let was_colon = std::mem::take(&mut may_be_path);
        match tree {
            TokenTree::Group(group) => {
                let [open, close] = match group.delimiter() {
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::Brace => ["{", "}"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::None => ["", ""],
                };
                found.push(open.to_owned());
                flatten(group.stream(), found);
                found.push(close.to_owned());
            }
            TokenTree::Ident(word) => found.push(word.to_string()),
            TokenTree::Punct(mark) if was_colon && mark.as_char() == ':' => {
                found.pop();
                found.push("::".to_owned());
            }
            TokenTree::Punct(mark) => {
                may_be_path = mark.as_char() == ':' && mark.spacing() == Spacing::Joint;
                found.push(mark.to_string());
            }
            TokenTree::Literal(literal) => {
                if let Some(path) = quoted_path(&literal.to_string()) {
                    found.push("\"".to_owned());
                    flatten(path, found);
                    found.push("\"".to_owned());
                }
            }
        }
    }
}

/// What a string with words and `::` between them quotes, as attributes quote paths.
fn quoted_path(literal: &str) -> Option<TokenStream> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_path = inner.contains("::") && inner.chars().all(|c| is_word(c) || c == ':');
    is_path.then(|| inner.parse().ok())?
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
    /// Depths of braces at which modules without a file of their own began.
    inline: Vec<usize>,
    depth: usize,
    source: Source,
}

impl Reader {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let token = self.peek(0).to_owned();
        self.at += 1;
        token
    }

    fn items(&mut self) {
        let (mut public, mut visible) = (false, false);
        while self.at < self.tokens.len() {
            let was_public = std::mem::take(&mut public);
            let was_visible = std::mem::take(&mut visible);
            match self.peek(0) {
                "#" => {
                    let end = self.attribute_end();
                    if self.is_for_tests(end, "cfg") {
                        self.at = end;
                        self.skip_item();
                    } else {
                        self.attribute(end);
                    }
                }
                // A path in quotes that stands outside of attributes is text.
                "\"" => {
                    self.at += 1;
                    while self.at < self.tokens.len() && self.next() != "\"" {}
                }
                "pub" => {
                    self.at += 1;
                    let scopes = ["crate", "super", "self", "in"];
                    visible = self.peek(0) != "(" || !scopes.contains(&self.peek(1));
                    if !visible {
                        self.skip_group("(", ")");
                    }
                    public = true;
                }
                "use" => {
                    self.at += 1;
                    self.import(Vec::new(), was_public);
                }
                "mod" if is_word(self.peek(1).chars().next().unwrap_or(' ')) => {
                    self.at += 1;
                    let name = self.next();
                    if self.peek(0) == ";" {
                        self.source.modules.push(name);
                    } else if self.peek(0) == "{" {
                        self.inline.push(self.depth);
                    }
                }
                "{" => {
                    self.at += 1;
                    self.depth += 1;
                }
                "}" => {
                    self.at += 1;
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last() == Some(&self.depth) {
                        self.inline.pop();
                    }
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" => {
                    let is_type = !["fn", "const", "static"].contains(&self.peek(0));
                    self.at += 1;
                    let name = self.peek(0).to_owned();
                    if is_type && was_visible {
                        self.source.types.insert(name.clone());
                    }
                    self.source.defines.insert(name);
                }
                _ => self.word(),
            }
        }
    }

    /// Where the attribute ends that begins here.
    fn attribute_end(&mut self) -> usize {
        let start = self.at;
        self.at += 1;
        if self.peek(0) == "!" {
            self.at += 1;
        }
        self.skip_group("[", "]");
        let end = self.at.min(self.tokens.len());
        self.at = start;
        end
    }

    /// The attribute that begins here and ends there, from its name on.
    fn attribute_words(&self, end: usize) -> impl Iterator<Item = &str> {
        let words = self.tokens[self.at..end].iter().map(String::as_str);
        words.skip_while(|word| matches!(*word, "#" | "!" | "["))
    }

    /// Whether the attribute that begins here and ends there says `name(test`, and with `cfg` nothing more.
    fn is_for_tests(&self, end: usize, name: &str) -> bool {
        let mut words = self.attribute_words(end);
        let told = [words.next(), words.next(), words.next(), words.next()];
        let behind = if name == "cfg" { ")" } else { "," };
        told == [Some(name), Some("("), Some("test"), Some(behind)]
    }

    /// Reads the paths in an attribute: its arguments are code, and quoted paths become such.
    fn attribute(&mut self, end: usize) {
        // A comment that documents something is an attribute, too.
        let is_text = self.attribute_words(end).next() == Some("doc");
        if is_text || self.is_for_tests(end, "cfg_attr") {
            self.at = end;
        }
        while self.at < end {
            self.word();
        }
    }

    /// Passes a group in brackets, nested ones included.
    fn skip_group(&mut self, open: &str, close: &str) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            let token = self.next();
            if token == open {
                depth += 1;
            } else if token == close {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
        }
    }

    /// Passes one item with its attributes.
    fn skip_item(&mut self) {
        while self.peek(0) == "#" {
            self.at = self.attribute_end();
        }
        let is_use = self.peek(0) == "use" || (self.peek(0) == "pub" && self.peek(1) == "use");
        while self.at < self.tokens.len() {
            if self.peek(0) == "{" && !is_use {
                return self.skip_group("{", "}");
            }
            if self.next() == ";" {
                return;
            }
        }
    }

    /// Reads a tree of imports below `prefix`.
    fn import(&mut self, prefix: Vec<String>, public: bool) {
        let mut path = prefix;
        loop {
            match self.next().as_str() {
                "::" => {}
                "{" => {
                    while self.at < self.tokens.len() && self.peek(0) != "}" {
                        self.import(path.clone(), public);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => return self.imported("*".to_owned(), path, public),
                word => {
                    // `a::{self}` is a.
                    if word != "self" || path.is_empty() {
                        path.push(word.to_owned());
                    }
                    if self.peek(0) == "::" {
                        continue;
                    }
                    let mut name = path.last().cloned().unwrap_or_default();
                    if self.peek(0) == "as" {
                        self.at += 1;
                        name = self.next();
                    }
                    return self.imported(name, path, public);
                }
            }
        }
    }

    fn imported(&mut self, name: String, path: Vec<String>, public: bool) {
        if let Some(path) = self.outside(path) {
            let import = Import { name, path, public };
            self.source.imports.push(import);
        }
    }

    /// A word, or a path that begins with it.
    fn word(&mut self) {
        let first = self.next();
        if !first.starts_with(is_word) {
            return;
        }
        self.source.words.insert(first.clone());
        let mut path = vec![first];
        while self.peek(0) == "::" && self.peek(1).starts_with(is_word) {
            self.at += 1;
            path.push(self.next());
        }
        if path.len() > 1 {
            self.source.paths.extend(self.outside(path));
        }
    }

    /// `path` as it would stand outside the modules that this file has within; none when it does not leave them.
    fn outside(&self, path: Vec<String>) -> Option<Vec<String>> {
        let within = self.inline.len();
        let ups = path.iter().take_while(|word| *word == "super").count();
        match path[0].as_str() {
            _ if within == 0 => Some(path),
            "super" if ups < within => None,
            "super" if ups == within => Some(
                std::iter::once("self".to_owned())
                    .chain(path.into_iter().skip(ups))
                    .collect(),
            ),
            "super" => Some(path.into_iter().skip(within).collect()),
            "self" => None,
            _ => Some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Source {
        super::read(text).expect("Rust")
    }

    fn paths(source: &Source) -> Vec<String> {
        source.paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        let source = read(
            r####"// crate::a
            /* crate::b /* nested */ crate::c */
            /// `crate::k`
            ///crate::l
            const S: &str = "crate::d \" crate::e"; const R: &str = r#"crate::f " crate::g"#;
            fn f<'a>(c: char) { let q = '"'; let e = '\''; let b = b"crate::h"; crate::i::j(c) }"####,
        );
        assert_eq!(paths(&source), ["crate::i::j"]);
    }

    #[test]
    fn imports_are_taken_apart() {
        let source = read("pub(crate) use a::{b::{self, C as D}, e::*}; use f;");
        let imports: Vec<_> = source
            .imports
            .iter()
            .map(|i| (i.name.as_str(), i.path.join("::"), i.public))
            .collect();
        let expected = [
            ("b", "a::b", true),
            ("D", "a::b::C", true),
            ("*", "a::e", true),
            ("f", "f", false),
        ];
        assert_eq!(imports, expected.map(|(n, p, v)| (n, p.to_owned(), v)));
    }

    #[test]
    fn paths_in_attributes_are_read_but_of_those_for_tests() {
        let source = read(
            r##"#![allow(a::lint)] #[error("crate::b {c}", c = crate::d::E::MOST)] #[serde(with = "crate::f")]
            #[arg(default_value_t = g::H)] #[doc = "see crate::i::J"] #[doc = "crate"] struct K;
            #[cfg(test)] #[error(n = crate::l::M)] struct N; #[cfg_attr(test, derive(crate::o::P))] struct Q;
            #[cfg(not(test))] const R: &str = "crate::s";"##,
        );
        let expected = ["a::lint", "crate::d::E::MOST", "crate::f", "g::H"];
        assert_eq!(paths(&source), expected);
        assert!(source.defines.contains("K") && !source.defines.contains("N"));
        assert!(source.defines.contains("Q") && source.defines.contains("R"));
    }

    #[test]
    fn who_makes_commands_starts_programs_and_who_is_given_one_does_not() {
        let starts = |text: &str| read(text).starts_programs();
        assert!(starts("fn f() { std::process::Command::new(\"a\"); }"));
        assert!(starts(
            "use std::process::Command; fn f() { Command::new(\"a\").arg(1); }"
        ));
        assert!(starts(
            "use std::process; fn f() { process::Command::new(\"a\"); }"
        ));
        assert!(starts(
            "use std::process::Command as C; fn f() { C::new(\"a\"); }"
        ));
        assert!(starts("fn f() { duct::cmd(\"a\", []); }"));
        assert!(!starts("fn f(child: &mut std::process::Command) {}"));
        assert!(!starts(
            "use cki_process::exec::Command; fn f() { Command::new(\"a\"); }"
        ));
        assert!(!starts(
            "#[cfg(test)] mod tests { fn f() { std::process::Command::new(\"a\"); } }"
        ));
    }

    #[test]
    fn tests_are_left_out_and_modules_within_are_not() {
        let source = read(
            "mod a; #[cfg(test)] mod tests { use crate::x; } #[cfg(test)] mod t; \
             #[cfg(test)] use crate::y::{z}; mod within { use super::a::B; use super::super::C; fn f() {} } \
             fn g() { super::d() }",
        );
        assert_eq!(source.modules, ["a"]);
        let imports: Vec<_> = source.imports.iter().map(|i| i.path.join("::")).collect();
        assert_eq!(imports, ["self::a::B", "super::C"]);
        assert_eq!(paths(&source), ["super::d"]);
        assert!(source.defines.contains("f") && source.defines.contains("g"));
    }

    #[test]
    fn types_are_those_that_others_see() {
        let source = read(
            "pub struct A(pub u8); pub enum B { C } pub trait D { type E; } pub type F = (); \
             struct H; pub(crate) struct I; pub(in super) enum J {} pub fn k(l: M) {} pub const N: u8 = 0; \
             #[cfg(test)] pub struct O;",
        );
        let types: Vec<_> = source.types.iter().collect();
        assert_eq!(types, ["A", "B", "D", "F"]);
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        for text in ["fn f() {", "const S: &str = \"", "/* "] {
            super::read(text).expect_err(text);
        }
    }
}

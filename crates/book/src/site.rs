// SPDX-License-Identifier: MIT OR Apache-2.0

//! The site: a page for each document, pictures, the style sheet, and the source files that the documents name.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::BookError;
use crate::contents::{Entry, Part, parts};
use crate::index;
use crate::links::{Heading, Target, target};
use crate::page::{Page, Surroundings, escape, render};
use crate::paths::{relative, resolve};
use crate::source;
use crate::tree::{Named, Tree};

const STYLE: &str = include_str!("style.css");

/// The index; `index.html` is the front, as everywhere.
const INDEX: &str = "a-z.html";

/// The name of a document's page on the site; `file` is below `docs/`.
fn page_of(file: &str) -> String {
    if file == "README.md" {
        "index.html".to_owned()
    } else {
        format!("{}.html", file.strip_suffix(".md").unwrap_or(file))
    }
}

/// What the links of one document refer to.
struct Place<'a> {
    tree: &'a Tree,
    /// The document, from the tree's root.
    file: String,
    /// Its page, from the site's root.
    page: String,
    /// Source files that are shown, because something names them.
    shown: &'a RefCell<BTreeSet<String>>,
}

impl Place<'_> {
    fn show(&self, path: &str, anchor: &str) -> String {
        self.shown.borrow_mut().insert(path.to_owned());
        let page = relative(&self.page, &format!("source/{path}.html"));
        format!("{page}{anchor}")
    }
}

impl Surroundings for Place<'_> {
    fn link(&self, destination: &str) -> String {
        let Target::Here { path, anchor } = target(destination) else {
            return destination.to_owned();
        };
        let fragment = if anchor.is_empty() {
            String::new()
        } else {
            format!("#{anchor}")
        };
        let Some(file) = resolve(&self.file, path).filter(|_| !path.is_empty()) else {
            return fragment;
        };
        match file.strip_prefix("docs/") {
            Some(document) if document.ends_with(".md") => {
                format!("{}{fragment}", relative(&self.page, &page_of(document)))
            }
            Some(picture) if picture.starts_with("pictures/") => relative(&self.page, picture),
            _ => self.show(&file, &fragment),
        }
    }

    fn code(&self, code: &str) -> Option<String> {
        match self.tree.named(code) {
            Named::File { path, line } => {
                if let Some(document) = path
                    .strip_prefix("docs/")
                    .filter(|file| file.ends_with(".md"))
                {
                    return Some(relative(&self.page, &page_of(document)));
                }
                let anchor = line.map_or_else(String::new, |line| format!("#L{line}"));
                Some(self.show(&path, &anchor))
            }
            _ => None,
        }
    }
}

/// Writes the site of the tree at `root` into the directory `out`, which is made.
///
/// # Errors
///
/// [`BookError::Io`] when a file cannot be read or written, [`BookError::Contents`] when the table of contents is
/// not one.
pub fn write(root: &Path, out: &Path) -> Result<(), BookError> {
    let tree = Tree::at(root)?;
    let parts = parts(root)?;
    let shown = RefCell::new(BTreeSet::new());
    let front = Entry {
        title: "CKI".to_owned(),
        file: "README.md".to_owned(),
    };
    let order: Vec<_> = std::iter::once(&front)
        .chain(parts.iter().flat_map(|part| &part.pages))
        .collect();
    for (number, entry) in order.iter().enumerate() {
        let place = Place {
            tree: &tree,
            file: format!("docs/{}", entry.file),
            page: page_of(&entry.file),
            shown: &shown,
        };
        let page = render(&tree.text(&place.file)?, &place);
        let before = number.checked_sub(1).map(|number| order[number]);
        let origin = origin(&place.file, &place.show(&place.file, ""));
        let turn = origin + &turn(&place.page, before, order.get(number + 1).copied());
        put(
            out,
            &place.page,
            &document(&place.page, &page, &parts, &turn),
        )?;
    }
    let mut pages = Vec::new();
    for entry in &order {
        let text = tree.text(&format!("docs/{}", entry.file))?;
        pages.push((entry.title.as_str(), page_of(&entry.file), text));
    }
    put(
        out,
        INDEX,
        &document(INDEX, &index::page(&pages), &parts, ""),
    )?;
    for path in tree.files_below("docs/pictures/", ".svg") {
        put(out, path.trim_start_matches("docs/"), &tree.text(path)?)?;
    }
    for path in shown.into_inner() {
        let name = format!("source/{path}.html");
        let page = source::page(&path, &tree.text(&path)?);
        put(out, &name, &document(&name, &page, &parts, ""))?;
    }
    put(out, "style.css", STYLE)
}

fn put(out: &Path, name: &str, text: &str) -> Result<(), BookError> {
    let path = out.join(name);
    let failed = |source| BookError::Io {
        path: path.clone(),
        source,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::write(&path, text).map_err(failed)
}

/// A whole HTML file.
fn document(name: &str, page: &Page, parts: &[Part], turn: &str) -> String {
    let to = |target: &str| relative(name, target);
    let title = escape(&page.title);
    let class = if name.starts_with("source/") {
        " class=\"source\""
    } else {
        ""
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · CKI</title>\n\
         <link rel=\"stylesheet\" href=\"{}\">\n</head>\n<body{class}>\n\
         <header><a class=\"brand\" href=\"{}\">CKI</a><a class=\"index\" href=\"{}\">Index</a>\
         <a class=\"jump\" href=\"#contents\">Contents</a></header>\n\
         <main>\n{}{turn}</main>\n{}{}</body>\n</html>\n",
        to("style.css"),
        to("index.html"),
        to(INDEX),
        page.html,
        navigation(name, parts),
        on_this_page(&page.headings),
    )
}

/// All pages of the book, the one that is open marked.
fn navigation(name: &str, parts: &[Part]) -> String {
    let mut html = String::from("<nav id=\"contents\" aria-label=\"Contents\">\n");
    for part in parts {
        let _ = writeln!(html, "<h2>{}</h2>\n<ul>", escape(&part.title));
        for entry in &part.pages {
            let page = page_of(&entry.file);
            let here = if page == name {
                " aria-current=\"page\""
            } else {
                ""
            };
            let (href, title) = (relative(name, &page), escape(&entry.title));
            let _ = writeln!(html, "<li><a href=\"{href}\"{here}>{title}</a></li>");
        }
        html.push_str("</ul>\n");
    }
    html.push_str("</nav>\n");
    html
}

/// The headings of level 2 and 3, when there are enough of them to look something up.
fn on_this_page(headings: &[Heading]) -> String {
    let listed: Vec<_> = headings
        .iter()
        .filter(|heading| (2..=3).contains(&heading.level))
        .collect();
    if listed.len() < 2 {
        return String::new();
    }
    let mut html =
        String::from("<aside aria-label=\"On this page\">\n<h2>On this page</h2>\n<ul>\n");
    for heading in listed {
        let (level, anchor, text) = (heading.level, &heading.anchor, escape(&heading.text));
        let _ = writeln!(
            html,
            "<li class=\"level{level}\"><a href=\"#{anchor}\">{text}</a></li>"
        );
    }
    html.push_str("</ul>\n</aside>\n");
    html
}

/// Where the text of a page comes from.
fn origin(file: &str, href: &str) -> String {
    let (file, href) = (escape(file), escape(href));
    format!("<p class=\"origin\">Made of <a href=\"{href}\">{file}</a></p>\n")
}

/// Links to the pages before and behind.
fn turn(name: &str, before: Option<&Entry>, behind: Option<&Entry>) -> String {
    let mut html = String::from("<p class=\"turn\">");
    for (entry, class) in [(before, "before"), (behind, "behind")] {
        if let Some(entry) = entry {
            let (href, title) = (relative(name, &page_of(&entry.file)), escape(&entry.title));
            let _ = write!(html, "<a class=\"{class}\" href=\"{href}\">{title}</a>");
        }
    }
    html.push_str("</p>\n");
    html
}

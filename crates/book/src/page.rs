// SPDX-License-Identifier: MIT OR Apache-2.0

//! One Markdown file as HTML.

use pulldown_cmark::{CowStr, Event, Parser, Tag, TagEnd, html};

use crate::links::{Heading, MARKDOWN, headings};

/// What a page needs to know of the rest of the book.
pub trait Surroundings {
    /// Where a link or picture of the page leads on the site.
    fn link(&self, destination: &str) -> String;
    /// Where a piece of code leads, if it names a file of the tree.
    fn code(&self, code: &str) -> Option<String>;
}

/// A page as HTML.
#[derive(Debug)]
pub struct Page {
    /// The text of its first heading.
    pub title: String,
    /// Its headings.
    pub headings: Vec<Heading>,
    /// What stands between `<main>` and `</main>`.
    pub html: String,
}

/// Turns Markdown into a page.
#[must_use]
pub fn render(markdown: &str, surroundings: &dyn Surroundings) -> Page {
    let headings = headings(markdown);
    let mut next_heading = headings.iter();
    let mut in_link = false;
    let mut events = Vec::new();
    for event in Parser::new_ext(markdown, MARKDOWN) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let anchor = next_heading
                    .next()
                    .map_or("", |heading| heading.anchor.as_str());
                events.push(raw(format!(
                    "<{level} id=\"{anchor}\"><a class=\"anchor\" href=\"#{anchor}\">"
                )));
                in_link = true;
            }
            Event::End(TagEnd::Heading(level)) => {
                events.push(raw(format!("</a></{level}>\n")));
                in_link = false;
            }
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => {
                in_link = true;
                events.push(Event::Start(Tag::Link {
                    link_type,
                    dest_url: surroundings.link(&dest_url).into(),
                    title,
                    id,
                }));
            }
            Event::End(TagEnd::Link) => {
                in_link = false;
                events.push(Event::End(TagEnd::Link));
            }
            Event::Start(Tag::Image {
                link_type,
                dest_url,
                title,
                id,
            }) => events.push(Event::Start(Tag::Image {
                link_type,
                dest_url: surroundings.link(&dest_url).into(),
                title,
                id,
            })),
            // A wide table scrolls by itself; the page does not.
            Event::Start(Tag::Table(alignment)) => {
                events.push(raw("<div class=\"table\">".to_owned()));
                events.push(Event::Start(Tag::Table(alignment)));
            }
            Event::End(TagEnd::Table) => {
                events.push(Event::End(TagEnd::Table));
                events.push(raw("</div>\n".to_owned()));
            }
            Event::Code(code) if !in_link => match surroundings.code(&code) {
                Some(href) => {
                    events.push(raw(format!("<a href=\"{}\">", escape(&href))));
                    events.push(Event::Code(code));
                    events.push(raw("</a>".to_owned()));
                }
                None => events.push(Event::Code(code)),
            },
            other => events.push(other),
        }
    }
    let mut html = String::new();
    html::push_html(&mut html, events.into_iter());
    Page {
        title: headings
            .first()
            .map_or_else(String::new, |heading| heading.text.clone()),
        headings,
        html,
    }
}

fn raw(html: String) -> Event<'static> {
    Event::InlineHtml(CowStr::from(html))
}

/// Text with the characters that HTML gives a meaning replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Surroundings for Fixed {
        fn link(&self, destination: &str) -> String {
            destination.replace(".md", ".html")
        }

        fn code(&self, code: &str) -> Option<String> {
            (code == "gates.s").then(|| "source/gates.s.html".to_owned())
        }
    }

    #[test]
    fn links_lead_to_pages_and_headings_have_anchors() {
        let page = render(
            "# The `gates`\n\nSee [it](a.md#b) and `gates.s`, `x < y`.\n",
            &Fixed,
        );
        assert_eq!(page.title, "The gates");
        assert!(page.html.contains("<h1 id=\"the-gates\">"), "{}", page.html);
        assert!(
            page.html.contains("<a href=\"a.html#b\">it</a>"),
            "{}",
            page.html
        );
        assert!(
            page.html
                .contains("<a href=\"source/gates.s.html\"><code>gates.s</code></a>"),
            "{}",
            page.html
        );
        assert!(page.html.contains("<code>x &lt; y</code>"), "{}", page.html);
    }

    #[test]
    fn a_table_is_in_a_box_of_its_own() {
        let page = render("| a | b |\n|---|---|\n| 1 | 2 |\n", &Fixed);
        assert!(
            page.html.starts_with("<div class=\"table\"><table>"),
            "{}",
            page.html
        );
        assert!(
            page.html.trim_end().ends_with("</table>\n</div>"),
            "{}",
            page.html
        );
    }
}

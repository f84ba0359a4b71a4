// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bars as a picture, in SVG and in PDF.
//!
//! Heights are ratios: each bar by that of the work's first runtime, which is `native` where that was measured. On each
//! bar its ratio is written, and a line goes from its round with the fewest instructions to that with the most.

mod pdf;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, DrawingBackend, FontTransform, IntoDrawingArea, IntoFont,
    IntoTextStyle, PathElement, RGBColor, Rectangle, SVGBackend, TextStyle, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Error;
use crate::summary::{Bar, Summary, distinct};

/// Width and height, in pixels of SVG and points of PDF.
const SIZE: (u32, u32) = (960, 440);
const INK: RGBColor = RGBColor(0x23, 0x26, 0x2b);
/// Of the bars of runtimes, in their order; people who do not see colours as others do can tell them apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0xbb, 0xbb, 0xbb),
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0x66, 0xcc, 0xee),
    RGBColor(0xee, 0x66, 0x77),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0xaa, 0x33, 0x77),
    RGBColor(0x22, 0x88, 0x33),
];
const FONT: &str = "sans-serif";

/// The picture of the bars of one size as SVG.
///
/// # Errors
/// If it cannot be drawn; then there are no such bars, perhaps.
pub fn svg(summary: &Summary, size: &str) -> Result<String, Error> {
    let mut text = String::new();
    draw(SVGBackend::with_string(&mut text, SIZE), summary, size)?;
    Ok(text)
}

/// The same as PDF.
///
/// # Errors
/// As [`svg`].
pub fn pdf(summary: &Summary, size: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    draw(pdf::Backend::new(&mut bytes, SIZE), summary, size)?;
    Ok(bytes)
}

/// A work, and its bars by runtime.
struct Group<'a> {
    name: String,
    bars: Vec<&'a Bar>,
}

impl Group<'_> {
    /// The bar's median, its least and its most, by the median of the first.
    fn heights(&self, bar: &Bar) -> [f64; 3] {
        let first = self.bars.first().map_or(1.0, |first| first.instructions);
        [bar.instructions, bar.range[0], bar.range[1]].map(|value| value / first)
    }
}

fn groups<'a>(summary: &'a Summary, size: &str) -> Vec<Group<'a>> {
    let bars = || summary.bars.iter().filter(|bar| bar.size == size);
    let group = |name: String| Group {
        bars: bars().filter(|bar| bar.workload == name).collect(),
        name,
    };
    let names = distinct(bars().map(|bar| bar.workload.clone()));
    names.into_iter().map(group).collect()
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Draw(error.to_string())
}

fn draw<B: DrawingBackend>(backend: B, summary: &Summary, size: &str) -> Result<(), Error> {
    let groups = groups(summary, size);
    if groups.is_empty() {
        return Err(failed(format_args!(
            "nothing of the size {size} was measured"
        )));
    }
    let runtimes = distinct(
        groups
            .iter()
            .flat_map(|group| group.bars.iter().map(|bar| bar.runtime.clone())),
    );
    let all = groups
        .iter()
        .flat_map(|group| group.bars.iter().map(|bar| group.heights(bar)[2]));
    let highest = all.fold(1.0, f64::max);
    let root = backend.into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let title = format!("{} ({size})", summary.figure.title());
    root.draw_text(&title, &text(22, HPos::Left, VPos::Top), (16, 10))
        .map_err(failed)?;
    legend(&root, &runtimes)?;
    // Room for the number on the highest bar.
    let top = highest * 1.2;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .margin_top(56)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .axis_style(INK)
        .y_desc(format!("{}, {} = 1", summary.figure.unit(), runtimes[0]).replace("million ", ""))
        .label_style(text(16, HPos::Center, VPos::Center))
        .y_label_formatter(&|value| format!("{value:.1}"))
        .draw()
        .map_err(failed)?;
    let at = |x: f64, y: f64| chart.backend_coord(&(x, y));
    for (number, group) in groups.iter().enumerate() {
        let left = number as f64 + 0.1;
        let width = 0.8 / runtimes.len() as f64;
        for bar in &group.bars {
            let place = runtimes.iter().position(|runtime| *runtime == bar.runtime);
            let place = place.unwrap_or_default();
            let from = left + width * place as f64;
            let [height, least, most] = group.heights(bar);
            let corners = [at(from, height), at(from + width, 0.0)];
            let rectangle = Rectangle::new(corners, colour(place).filled());
            root.draw(&rectangle).map_err(failed)?;
            let middle = from + width / 2.0;
            let spread =
                PathElement::new([at(middle, least), at(middle, most)], INK.stroke_width(2));
            root.draw(&spread).map_err(failed)?;
            let (x, y) = at(middle, most);
            let style = text(15, HPos::Left, VPos::Center).transform(FontTransform::Rotate270);
            root.draw_text(&format!("{height:.3}"), &style, (x, y - 5))
                .map_err(failed)?;
        }
        let (x, y) = at(number as f64 + 0.5, 0.0);
        let style = text(16, HPos::Center, VPos::Top);
        // A line for the server and one for its clients.
        for (line, part) in (0..).zip(group.name.split(", ")) {
            root.draw_text(part, &style, (x, y + 6 + 17 * line))
                .map_err(failed)?;
        }
    }
    root.present().map_err(failed)
}

fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}

fn text(size: i32, h: HPos, v: VPos) -> TextStyle<'static> {
    let style = (FONT, size).into_font().color(&INK);
    style.pos(Pos::new(h, v)).into_text_style(&SIZE)
}

/// A square and a name for each runtime, below the title.
fn legend<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    runtimes: &[String],
) -> Result<(), Error> {
    for (place, runtime) in runtimes.iter().enumerate() {
        let x = 72 + 90 * i32::try_from(place).map_err(failed)?;
        let square = Rectangle::new([(x, 38), (x + 12, 50)], colour(place).filled());
        root.draw(&square).map_err(failed)?;
        root.draw_text(runtime, &text(16, HPos::Left, VPos::Center), (x + 18, 44))
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;
    use crate::record::tests::record;
    use roxmltree::Document;

    fn summary() -> Summary {
        let works = [("btree", 130e6), ("sph", 104e6)];
        let records = works.map(|(work, cki)| {
            [
                record(work, "native", 1, 100e6),
                record(work, "cki", 1, cki),
                record(work, "cki", 2, cki + 10e6),
            ]
        });
        Summary::of(Figure::Fig12, &records.concat())
    }

    fn number(node: roxmltree::Node<'_, '_>, name: &str) -> f64 {
        let text = node.attribute(name).unwrap_or_default();
        text.parse().expect("a number")
    }

    #[test]
    fn heights_of_bars_are_as_the_ratios_that_are_written_on_them() {
        let text = svg(&summary(), "tiny").expect("a picture");
        let picture = Document::parse(&text).expect("XML");
        let bars: Vec<f64> = picture
            .descendants()
            .filter(|node| {
                node.attribute("fill") == Some("#EE6677")
                    || node.attribute("fill") == Some("#4477AA")
            })
            .filter(|node| number(*node, "height") > 20.0)
            .map(|node| number(node, "height"))
            .collect();
        let words: Vec<&str> = picture
            .descendants()
            .filter(|node| node.has_tag_name("text"))
            .filter_map(|node| Some(node.text()?.trim()))
            .collect();
        assert_eq!(bars.len(), 2, "{text}");
        assert!((bars[0] / bars[1] - 1.35 / 1.09).abs() < 0.02, "{bars:?}");
        for word in ["1.350", "1.090", "1.000", "btree", "sph", "native", "cki"] {
            assert!(words.contains(&word), "{word} is not among {words:?}");
        }
        assert!(words.contains(&"Figure 12: programs that need much memory (tiny)"));
        assert!(words.contains(&"instructions, native = 1"));
    }

    #[test]
    fn the_pdf_has_the_same_words() {
        let bytes = pdf(&summary(), "tiny").expect("a picture");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("%PDF-"), "{text}");
        for word in ["(1.350)", "(1.090)", "(btree)", "(native)"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
    }

    #[test]
    fn nothing_is_no_picture() {
        assert!(svg(&summary(), "paper").is_err());
    }
}

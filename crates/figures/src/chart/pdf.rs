// SPDX-License-Identifier: MIT OR Apache-2.0

//! A backend of plotters that writes a PDF of one page: lines, rectangles, and text in Helvetica, which each reader of
//! PDF has (ISO 32000-1, 9.6.2.2).

use std::convert::Infallible;

use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};

const FONT: Name<'static> = Name(b"F");
/// Plotters' size of a font by that of its em, as its SVG has it.
const EM: f64 = 1.24;
/// Half the height of a small letter, in ems.
const HALF_X: f64 = 0.26;
/// What is above the base line of a line of text, in ems.
const ASCENT: f64 = 0.76;
/// Width of each character from the space to the tilde, in thousandths of an em.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// Draws into the bytes of a file, which are whole once [`DrawingBackend::present`] was called.
pub(super) struct Backend<'a> {
    bytes: &'a mut Vec<u8>,
    size: (u32, u32),
    content: Content,
}

impl<'a> Backend<'a> {
    /// A page of `size`, in points.
    pub(super) fn new(bytes: &'a mut Vec<u8>, size: (u32, u32)) -> Self {
        Self {
            bytes,
            size,
            content: Content::new(),
        }
    }

    /// PDF counts from the bottom.
    fn point(&self, (x, y): BackendCoord) -> [f32; 2] {
        [x as f32, self.size.1 as f32 - y as f32]
    }

    fn stroke_with(&mut self, style: &impl BackendStyle) {
        let [r, g, b] = colour(style.color());
        self.content.set_stroke_rgb(r, g, b);
        self.content.set_line_width(style.stroke_width() as f32);
    }

    fn fill_with(&mut self, color: BackendColor) {
        let [r, g, b] = colour(color);
        self.content.set_fill_rgb(r, g, b);
    }

    fn path(&mut self, points: impl IntoIterator<Item = BackendCoord>) {
        for (number, point) in points.into_iter().enumerate() {
            let [x, y] = self.point(point);
            if number == 0 {
                self.content.move_to(x, y);
            } else {
                self.content.line_to(x, y);
            }
        }
    }
}

/// On white paper.
fn colour(BackendColor { alpha, rgb }: BackendColor) -> [f32; 3] {
    let (r, g, b) = rgb;
    [r, g, b].map(|part| (1.0 - alpha * (1.0 - f64::from(part) / 255.0)) as f32)
}

/// In ems.
fn width(text: &[u8]) -> f64 {
    let thousandths = |byte: &u8| {
        let place = usize::from(byte.wrapping_sub(b' '));
        f64::from(WIDTHS.get(place).copied().unwrap_or_default())
    };
    text.iter().map(thousandths).sum::<f64>() / 1000.0
}

/// The characters that the font is asked for; a question mark for each other one.
fn plain(text: &str) -> Vec<u8> {
    let byte = |c: char| match u8::try_from(c) {
        Ok(byte) if (b' '..=b'~').contains(&byte) => byte,
        _ => b'?',
    };
    text.chars().map(byte).collect()
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Backend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        let [catalog, pages, page, font, content] = [1, 2, 3, 4, 5].map(Ref::new);
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(pages);
        pdf.pages(pages).kids([page]).count(1);
        let (width, height) = self.size;
        let mut the_page = pdf.page(page);
        the_page.parent(pages).contents(content);
        the_page.media_box(Rect::new(0.0, 0.0, width as f32, height as f32));
        the_page.resources().fonts().pair(FONT, font);
        the_page.finish();
        pdf.type1_font(font).base_font(Name(b"Helvetica"));
        let drawn = std::mem::replace(&mut self.content, Content::new());
        pdf.stream(content, &drawn.finish());
        *self.bytes = pdf.finish();
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        let [x, y] = self.point(point);
        self.fill_with(color);
        self.content.rect(x, y - 1.0, 1.0, 1.0).fill_nonzero();
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let [left, top] = self.point(upper_left);
        let [right, bottom] = self.point(bottom_right);
        if fill {
            self.fill_with(style.color());
        } else {
            self.stroke_with(style);
        }
        self.content.rect(left, bottom, right - left, top - bottom);
        if fill {
            self.content.fill_nonzero();
        } else {
            self.content.stroke();
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroke_with(style);
        self.path(path);
        self.content.stroke();
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn {
        self.fill_with(style.color());
        self.path(vert);
        self.content.fill_nonzero();
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Drawn {
        let text = plain(text);
        let em = style.size() / EM;
        // To the right of the point and below it, as one reads.
        let right = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width(&text) * em / 2.0,
            HPos::Right => -width(&text) * em,
        };
        let below = match style.anchor().v_pos {
            VPos::Top => ASCENT * em,
            VPos::Center => HALF_X * em,
            VPos::Bottom => -HALF_X * em,
        };
        // How it is turned, clockwise.
        let (cos, sin) = match style.transform() {
            FontTransform::Rotate90 => (0.0, 1.0),
            FontTransform::Rotate180 => (-1.0, 0.0),
            FontTransform::Rotate270 => (0.0, -1.0),
            _ => (1.0, 0.0),
        };
        let [x, y] = self.point(at);
        let x = f64::from(x) + right * cos - below * sin;
        let y = f64::from(y) - right * sin - below * cos;
        let matrix = [cos, -sin, sin, cos, x, y].map(|number| number as f32);
        self.fill_with(style.color());
        self.content.begin_text().set_font(FONT, em as f32);
        self.content.set_text_matrix(matrix);
        self.content.show(Str(&text)).end_text();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_its_characters() {
        assert!((width(b"iW~ ") - (0.222 + 0.944 + 0.584 + 0.278)).abs() < 1e-9);
    }

    #[test]
    fn what_the_font_may_lack_is_a_question_mark() {
        assert_eq!(plain("sph, 1\u{b5}"), b"sph, 1?");
    }
}

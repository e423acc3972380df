//! Recall against space as a picture: an SVG without scripts or fonts of its own, readable on light and dark ground.
//!
//! Invariant: space is drawn by its logarithm and recall from nothing to the best that is shown; a point outside of the
//! frame is not drawn. Text is escaped.

use std::fmt::Write;

/// A line: space in /24s and recall, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Space in /24s and the share of new addresses in it.
    pub points: Vec<(f64, f64)>,
}

/// A rule, which lists what it lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// What stands beside it.
    pub name: String,
    /// Space in /24s and the share of new addresses in it.
    pub point: (f64, f64),
    /// Whether it is drawn hollow.
    pub is_hollow: bool,
}

/// Draws lines and marks.
pub fn draw(title: &str, lines: &[Line], marks: &[Mark]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points).chain(marks.iter().map(|mark| &mark.point));
    let within = |&&(space, _): &&(f64, f64)| space >= 1.0;
    let fold = |start: f64, pick: fn(f64, f64) -> f64, of: fn(&(f64, f64)) -> f64| {
        all().filter(within).map(of).fold(start, pick)
    };
    let least = fold(f64::INFINITY, f64::min, |point| point.0).clamp(1.0, 1e9).log10().floor();
    let most = fold(1.0, f64::max, |point| point.0).min(1e9).log10().ceil().max(least + 1.0);
    let top = (fold(0.0, f64::max, |point| point.1) * 20.0).ceil().clamp(1.0, 20.0) / 20.0;
    let x = |space: f64| LEFT + (space.log10() - least) / (most - least) * (RIGHT - LEFT);
    let y = |recall: f64| BOTTOM - recall / top * (BOTTOM - TOP);

    let mut svg = String::new();
    // writing to a string does not fail
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"26\">{0}</text>\n",
        escaped(title)
    );
    for power in least as i32..=most as i32 {
        let at = x(10_f64.powi(power));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>");
        let label = grouped(10_u64.pow(power.unsigned_abs()));
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", BOTTOM + 18.0);
    }
    let steps = (top * 20.0).round() as u32;
    let every = steps.div_ceil(8).max(1);
    for step in (0..=steps).step_by(every as usize) {
        let recall = f64::from(step) / 20.0;
        let at = y(recall);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 8.0,
            at + 4.0,
            recall * 100.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">space listed, in /24s</text>\n\
         <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">new bad addresses in it</text>",
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 10.0,
        (TOP + BOTTOM) / 2.0
    );
    for (number, line) in lines.iter().enumerate() {
        let mut path = String::new();
        for &(space, recall) in line.points.iter().filter(|point| within(point)) {
            let _ = write!(path, "{}{:.1} {:.1}", if path.is_empty() { "M" } else { "L" }, x(space), y(recall));
        }
        let class = number.min(1);
        let _ = writeln!(svg, "<path class=\"line l{class}\" d=\"{path}\"/>");
        let at = TOP + 14.0 + 18.0 * number as f64;
        let _ = writeln!(
            svg,
            "<path class=\"line l{class}\" d=\"M{0} {at}h26\"/><text x=\"{1}\" y=\"{2}\">{3}</text>",
            LEFT + 12.0,
            LEFT + 46.0,
            at + 4.0,
            escaped(&line.name)
        );
    }
    for mark in marks.iter().filter(|mark| mark.point.0 >= 1.0) {
        let (at_x, at_y) = (x(mark.point.0), y(mark.point.1));
        let class = if mark.is_hollow { "mark hollow" } else { "mark" };
        let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"4\"/>");
        // beside the point, where the lines above it do not run through the words
        let (label_x, anchor) = if at_x > RIGHT - 120.0 { (at_x - 8.0, "end") } else { (at_x + 8.0, "start") };
        let _ = writeln!(
            svg,
            "<text class=\"small\" x=\"{label_x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at_y + 13.0,
            escaped(&mark.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with a thin blank after every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 780.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 446.0;
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}\
.small{font-size:11px}.ground{fill:#fff}.grid{stroke:#ddd;fill:none}.line{fill:none;stroke-width:2.2}\
.l0{stroke:#0b62c4}.l1{stroke:#999;stroke-dasharray:6 4}.mark{fill:#c2410c;stroke:#c2410c;stroke-width:1.6}\
.hollow{fill:#fff}@media (prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#16181c}.grid{stroke:#33373d}\
.l0{stroke:#6cb2ff}.l1{stroke:#8a8f98}.mark{fill:#ff9a5c;stroke:#ff9a5c}.hollow{fill:#16181c}}";

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers after each `name="`.
    fn attribute(svg: &str, name: &str) -> Vec<f64> {
        let front = format!(" {name}=\"");
        svg.split(&front).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn better_stands_higher_and_more_space_further_right() {
        let mark = |space, recall| Mark { name: "a<b".to_owned(), point: (space, recall), is_hollow: false };
        let line = Line { name: "ours & theirs".to_owned(), points: vec![(10.0, 0.1), (1000.0, 0.4)] };
        let svg = draw("x \"y\"", &[line], &[mark(10.0, 0.1), mark(1000.0, 0.3), mark(0.0, 0.2)]);
        let (x, y) = (attribute(&svg, "cx"), attribute(&svg, "cy"));
        assert_eq!(x.len(), 2, "a rule that lists nothing has no place");
        assert!(x[0] < x[1] && y[0] > y[1]);
        assert!(x.iter().all(|x| (LEFT..=RIGHT).contains(x)) && y.iter().all(|y| (TOP..=BOTTOM).contains(y)));
        assert!(svg.contains("a&lt;b") && svg.contains("ours &amp; theirs") && !svg.contains("a<b"));
    }

    #[test]
    fn nothing_to_draw_is_an_empty_frame() {
        assert!(draw("", &[], &[]).ends_with("</svg>\n"));
    }
}

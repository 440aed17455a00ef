//! Plots of how something grows: SVG that needs nothing else to be shown.
//!
//! Both axes are logarithmic, so that a power is a straight line; a dashed one shows linear growth.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Around the plot: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 40.0, 170.0, 50.0);
/// Told apart also by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// What is not above zero is not shown.
    pub(super) points: Vec<(f64, f64)>,
}

/// A range of powers of ten, and where it lies on the page.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// All powers of ten between which the values lie; at least one decade.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(f64::log10) {
            (low, high) = (low.min(value.floor()), high.max(value.ceil()));
        }
        if low > high {
            (low, high) = (0.0, 0.0);
        }
        Self { low, high: high.max(low + 1.0), from, to }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

/// A plot of these lines over the number of resources; `unit` says what they measure.
pub(super) fn svg(title: &str, unit: &str, lines: &[Line]) -> String {
    let shown = |line: &Line| -> Vec<(f64, f64)> {
        line.points.iter().copied().filter(|(x, y)| *x > 0.0 && *y > 0.0).collect()
    };
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        lines.iter().map(|line| (line.name.as_str(), shown(line))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let x = Axis::over(all().map(|point| point.0), MARGIN.0, WIDTH - MARGIN.2);
    let y = Axis::over(all().map(|point| point.1), HEIGHT - MARGIN.3, MARGIN.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"24\" font-size=\"16\">{title}</text>\n",
        MARGIN.0
    );
    axes(&mut svg, &x, &y, unit);
    linear(&mut svg, &x, &y, all().min_by(|one, two| one.0.total_cmp(&two.0)));
    for (number, (name, points)) in lines.iter().enumerate() {
        draw(&mut svg, number, name, points.iter().map(|point| (x.place(point.0), y.place(point.1))));
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, x: &Axis, y: &Axis, unit: &str) {
    for value in x.ticks() {
        let (at, label) = (x.place(value), number(value));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            y.from,
            y.to,
            y.from + 18.0
        );
    }
    for value in y.ticks() {
        let (at, label) = (y.place(value), number(value));
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            x.from,
            x.to,
            x.from - 8.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">resources</text>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{unit}</text>",
        f64::midpoint(x.from, x.to),
        y.from + 38.0,
        x.from - 8.0,
        y.to - 10.0
    );
}

/// Linear growth from a point on, as far as the plot goes.
fn linear(svg: &mut String, x: &Axis, y: &Axis, start: Option<(f64, f64)>) {
    let Some((from, value)) = start else {
        return;
    };
    let most = (10_f64.powf(x.high) / from).min(10_f64.powf(y.high) / value);
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#888\" stroke-dasharray=\"6 4\"/>",
        x.place(from),
        y.place(value),
        x.place(from * most),
        y.place(value * most)
    );
}

fn draw(svg: &mut String, number: usize, name: &str, points: impl Iterator<Item = (f64, f64)>) {
    let colour = COLOURS[number % COLOURS.len()];
    let points: Vec<(f64, f64)> = points.collect();
    let corners: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
        corners.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    let (left, top) = (WIDTH - MARGIN.2 + 20.0, MARGIN.1 + 20.0 * number as f64);
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
        left + 18.0,
        top + 11.0
    );
}

/// A power of ten for people.
fn number(value: f64) -> String {
    if value < 1.0 { format!("{value}") } else { super::page::grouped(value as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        Line { name: name.to_owned(), points: points.to_vec() }
    }

    fn points(svg: &str) -> Vec<(f64, f64)> {
        let corners = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let number = |text: &str| text.parse().unwrap();
        let pair = |corner: &str| corner.split_once(',').map(|(x, y)| (number(x), number(y))).unwrap();
        corners.split_whitespace().map(pair).collect()
    }

    #[test]
    fn a_power_is_a_straight_line_from_edge_to_edge() {
        let svg = svg("Growth", "s", &[line("x", &[(10.0, 1.0), (100.0, 10.0), (1000.0, 100.0)])]);
        assert_eq!(points(&svg), [(70.0, 370.0), (330.0, 205.0), (590.0, 40.0)]);
        for label in [">1,000</text>", ">100</text>", ">resources</text>", ">s</text>", ">x</text>"] {
            assert!(svg.contains(label), "{label}");
        }
    }

    #[test]
    fn what_has_no_logarithm_is_left_out() {
        let svg = svg("Growth", "requests", &[line("none", &[(10.0, 0.0), (100.0, 5.0)])]);
        assert_eq!(points(&svg).len(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let empty = super::svg("Growth", "s", &[line("none", &[])]);
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}

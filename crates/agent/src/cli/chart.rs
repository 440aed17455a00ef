//! Hours per day as a chart: SVG that needs nothing else to be shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::usage::show::Row;

const WIDTH: usize = 960;
const HEIGHT: usize = 420;
/// Around the plot: left, top, right, bottom.
const MARGIN: (usize, usize, usize, usize) = (80, 40, 180, 40);
/// Told apart also by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000"];

/// One line per component, over all rows; hundredths of hours by day.
pub(super) fn svg(rows: &[Row]) -> String {
    let mut lines: BTreeMap<&str, BTreeMap<Date, i128>> = BTreeMap::new();
    for row in rows {
        let line = lines.entry(row.component.as_str()).or_default();
        for (day, hours) in &row.days {
            let hundredths: i128 = hours.replace('.', "").parse().unwrap_or(0);
            *line.entry(*day).or_default() += hundredths;
        }
    }
    let known: BTreeSet<Date> = lines.values().flat_map(|line| line.keys().copied()).collect();
    let days: Vec<Date> = match (known.first(), known.last()) {
        (Some(first), Some(last)) => first.series(1.day()).take_while(|day| day <= last).collect(),
        _ => Vec::new(),
    };
    let top = lines.values().flat_map(BTreeMap::values).copied().max().unwrap_or(0).max(100);
    let month = rows.first().map_or("", |row| row.month.as_str());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>Hours per day, {month}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"24\" font-size=\"16\">Hours per day, {month}</text>\n",
        MARGIN.0
    );
    axes(&mut svg, &days, top);
    for (number, (component, line)) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<Option<(usize, usize)>> = days
            .iter()
            .enumerate()
            .map(|(place, day)| Some((x(place, days.len()), y(*line.get(day)?, top))))
            .collect();
        // No line leads over days of which nothing is known.
        for known in points.split(Option::is_none) {
            let joined: Vec<String> = known.iter().flatten().map(|(x, y)| format!("{x},{y}")).collect();
            if joined.len() > 1 {
                let _ = writeln!(
                    svg,
                    "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                    joined.join(" ")
                );
            }
        }
        for (x, y) in points.iter().flatten() {
            let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let (left, height) = (WIDTH - MARGIN.2 + 20, MARGIN.1 + 20 * number);
        let _ =
            writeln!(svg, "<rect x=\"{left}\" y=\"{height}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", left + 18, height + 11, escaped(component));
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, days: &[Date], top: i128) {
    let right = WIDTH - MARGIN.2;
    for quarter in 0..=4_i128 {
        let value = top * quarter / 4;
        let height = y(value, top);
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{height}\" x2=\"{right}\" y2=\"{height}\" stroke=\"#ddd\"/>",
            MARGIN.0
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}.{:02}</text>",
            MARGIN.0 - 8,
            height + 4,
            value / 100,
            value % 100
        );
    }
    for (place, day) in days.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(place, days.len()),
            HEIGHT - MARGIN.3 + 20,
            day.day()
        );
    }
}

fn x(place: usize, of: usize) -> usize {
    let width = WIDTH - MARGIN.0 - MARGIN.2;
    MARGIN.0 + if of > 1 { place * width / (of - 1) } else { width / 2 }
}

fn y(value: i128, top: i128) -> usize {
    let height = HEIGHT - MARGIN.1 - MARGIN.3;
    let share = i128::try_from(height).unwrap_or(0) * value.max(0) / top;
    MARGIN.1 + height - usize::try_from(share).unwrap_or(0).min(height)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

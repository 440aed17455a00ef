//! Figures of several rounds: medians with their spread, for people and for machines.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// One round: the agent and the floor, one after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    /// The agent's.
    pub(crate) orders_per_second: f64,
    /// The bare client's.
    pub(crate) floor_orders_per_second: f64,
    /// All of the agent's requests to Waldur, divided by the orders.
    pub(crate) waldur_requests_per_order: f64,
    /// As for Waldur.
    pub(crate) okd_requests_per_order: f64,
    /// The agent's peak resident memory, megabytes of 1,000,000 bytes.
    pub(crate) peak_rss_mb: f64,
}

/// All rounds with what follows from them. Medians; memory is the highest of all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    orders_per_second: f64,
    floor_orders_per_second: f64,
    floor_ratio: f64,
    waldur_requests_per_order: f64,
    okd_requests_per_order: f64,
    peak_rss_mb: f64,
    targets_reached: bool,
    orders: u32,
    latency_ms: u64,
    rounds: Vec<Round>,
}

/// Share of the floor's throughput that the agent has to reach.
const LEAST_RATIO: f64 = 0.8;
/// Most requests that an order without members may take, both servers together.
const MOST_REQUESTS: f64 = 14.0;
/// Most resident memory, megabytes.
const MOST_MEMORY: f64 = 40.0;

impl Figures {
    pub(crate) fn new(orders: u32, latency_ms: u64, rounds: Vec<Round>) -> Self {
        let median_of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let orders_per_second = median_of(|round| round.orders_per_second);
        let floor_orders_per_second = median_of(|round| round.floor_orders_per_second);
        let floor_ratio = orders_per_second / floor_orders_per_second;
        let waldur_requests_per_order = median_of(|round| round.waldur_requests_per_order);
        let okd_requests_per_order = median_of(|round| round.okd_requests_per_order);
        let peak_rss_mb = rounds.iter().map(|round| round.peak_rss_mb).fold(0.0, f64::max);
        let targets_reached = floor_ratio >= LEAST_RATIO
            && waldur_requests_per_order + okd_requests_per_order <= MOST_REQUESTS
            && peak_rss_mb < MOST_MEMORY;
        Self {
            orders_per_second,
            floor_orders_per_second,
            floor_ratio,
            waldur_requests_per_order,
            okd_requests_per_order,
            peak_rss_mb,
            targets_reached,
            orders,
            latency_ms,
            rounds,
        }
    }

    pub(crate) const fn targets_reached(&self) -> bool {
        self.targets_reached
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let spread = |value: fn(&Round) -> f64| {
            let values = self.rounds.iter().map(value);
            let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
                (least.min(value), most.max(value))
            });
            format!("{least:.1} – {most:.1}")
        };
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "Median", "Least – most", "Target"]);
        let ratio = |round: &Round| 100.0 * round.orders_per_second / round.floor_orders_per_second;
        let requests = self.waldur_requests_per_order + self.okd_requests_per_order;
        let row = |name: &str, value: f64, spread: String, target: String| {
            [name.to_owned(), format!("{value:.1}"), spread, target]
        };
        let target = |text: String, reached| format!("{text} {}", if reached { "✓" } else { "✗" });
        table.add_rows([
            row(
                "Agent, orders per second",
                self.orders_per_second,
                spread(|round| round.orders_per_second),
                String::new(),
            ),
            row(
                "Floor, orders per second",
                self.floor_orders_per_second,
                spread(|round| round.floor_orders_per_second),
                String::new(),
            ),
            row(
                "Agent, percent of the floor",
                100.0 * self.floor_ratio,
                spread(ratio),
                target(format!("≥ {:.0}", 100.0 * LEAST_RATIO), self.floor_ratio >= LEAST_RATIO),
            ),
            row(
                "Requests to Waldur per order",
                self.waldur_requests_per_order,
                spread(|round| round.waldur_requests_per_order),
                String::new(),
            ),
            row(
                "Requests to OKD per order",
                self.okd_requests_per_order,
                spread(|round| round.okd_requests_per_order),
                String::new(),
            ),
            row(
                "Requests per order",
                requests,
                spread(|round| round.waldur_requests_per_order + round.okd_requests_per_order),
                target(format!("≤ {MOST_REQUESTS:.0}"), requests <= MOST_REQUESTS),
            ),
            row(
                "Agent, peak memory, MB (most)",
                self.peak_rss_mb,
                spread(|round| round.peak_rss_mb),
                target(format!("< {MOST_MEMORY:.0}"), self.peak_rss_mb < MOST_MEMORY),
            ),
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        let _infallible = writeln!(
            text,
            "{} Create orders, {} ms per request on each side, {} rounds of agent and floor in turn.",
            self.orders,
            self.latency_ms,
            self.rounds.len()
        );
        text
    }
}

/// The middle one, or the mean of the two in the middle; NaN of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(orders_per_second: f64, peak_rss_mb: f64) -> Round {
        Round {
            orders_per_second,
            floor_orders_per_second: 100.0,
            waldur_requests_per_order: 6.0,
            okd_requests_per_order: 4.0,
            peak_rss_mb,
        }
    }

    #[test]
    fn one_bad_round_does_not_decide_on_speed_but_on_memory() {
        let rounds = vec![round(90.0, 20.0), round(10.0, 45.0), round(95.0, 20.0)];
        let figures = Figures::new(200, 5, rounds.clone());
        assert!((figures.floor_ratio - 0.9).abs() < 1e-9 && !figures.targets_reached());
        let figures = Figures::new(200, 5, vec![rounds[0], rounds[2]]);
        assert!((figures.orders_per_second - 92.5).abs() < 1e-9 && figures.targets_reached());
    }
}

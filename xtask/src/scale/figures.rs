//! What came out, how it grows, and whether that is good enough.

use serde::Serialize;

use super::burst::Burst;
use crate::bench::membership::figures::{self as passes, Pass};
use crate::bench::membership::people::Size;

/// The size that the targets are about.
pub(super) const JUDGED: usize = 10_000;
/// Most seconds of a first pass over [`JUDGED`] resources.
const MOST_FIRST: f64 = 60.0;
/// Most seconds of a pass over as many in which nothing has changed.
const MOST_UNCHANGED: f64 = 5.0;
/// Most resident memory then, in megabytes of 1,000,000 bytes.
const MOST_MEMORY: f64 = 150.0;
/// An exponent of 1 is linear; a measurement of three points on a machine that does other things as well is not exact.
const MOST_EXPONENT: f64 = 1.1;

/// One size as it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) size: Size,
    pub(crate) passes: passes::Measured,
    pub(crate) burst: Burst,
}

/// One size.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) resources: usize,
    pub(crate) members: usize,
    pub(crate) first_pass: Pass,
    pub(crate) unchanged_pass: Pass,
    /// After 1 % of all memberships have changed.
    pub(crate) changed_pass: Pass,
    pub(crate) restart: Pass,
    pub(crate) burst: Burst,
    /// Of the agents that made passes; that of the burst has its own.
    pub(crate) peak_rss_mb: f64,
}

/// How one thing grows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) what: String,
    /// Of the power of the number of resources that fits best; 1 is linear.
    pub(crate) exponent: f64,
}

/// What has to be reached.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) reached: bool,
}

/// All sizes with what follows from them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) sizes: Vec<Figure>,
    /// Empty where only one size was measured.
    pub(crate) growth: Vec<Growth>,
    /// Memory that each further resource with its members takes; none where only one size was measured.
    pub(crate) bytes_per_resource: Option<f64>,
    pub(crate) latency_ms: u64,
    /// When, with what and where, in a sentence.
    pub(crate) machine: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) targets_reached: bool,
}

/// A series: its name, and its value in a figure.
pub(super) type Series = (&'static str, fn(&Figure) -> f64);

/// Seconds of everything that is measured.
pub(super) const SECONDS: [Series; 5] = [
    ("first pass", |figure| figure.first_pass.seconds),
    ("nothing changed", |figure| figure.unchanged_pass.seconds),
    ("1 % changed", |figure| figure.changed_pass.seconds),
    ("restart", |figure| figure.restart.seconds),
    ("burst of events", |figure| figure.burst.seconds),
];

/// Requests to both sides.
pub(super) const REQUESTS: [Series; 5] = [
    ("first pass", |figure| requests(figure.first_pass)),
    ("nothing changed", |figure| requests(figure.unchanged_pass)),
    ("1 % changed", |figure| requests(figure.changed_pass)),
    ("restart", |figure| requests(figure.restart)),
    ("burst of events", |figure| (figure.burst.waldur_requests + figure.burst.okd_requests) as f64),
];

/// Resident memory at its highest.
pub(super) const MEMORY: [Series; 2] =
    [("passes", |figure| figure.peak_rss_mb), ("events", |figure| figure.burst.peak_rss_mb)];

fn requests(pass: Pass) -> f64 {
    (pass.waldur_requests + pass.okd_requests) as f64
}

impl Figures {
    /// Of sizes in growing order.
    pub(crate) fn new(measured: Vec<Measured>, latency_ms: u64, machine: String) -> Self {
        let sizes: Vec<Figure> = measured.into_iter().map(Figure::from).collect();
        let growth = growth(&sizes);
        let bytes_per_resource = bytes_per_resource(&sizes);
        let mut targets = targets(&sizes);
        targets.extend(growth.iter().map(|growth| Target {
            what: format!("{}: grows with an exponent of at most {MOST_EXPONENT}", growth.what),
            measured: format!("{:.2}", growth.exponent),
            reached: growth.exponent <= MOST_EXPONENT,
        }));
        let targets_reached = targets.iter().all(|target| target.reached);
        Self { sizes, growth, bytes_per_resource, latency_ms, machine, targets, targets_reached }
    }

    /// Targets that were not reached.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.targets.iter().filter(|target| !target.reached);
        missed.map(|target| format!("{}: {}", target.what, target.measured)).collect()
    }
}

impl From<Measured> for Figure {
    fn from(measured: Measured) -> Self {
        let Measured { size, passes, burst } = measured;
        Self {
            resources: size.resources,
            members: size.members,
            first_pass: passes.first,
            unchanged_pass: passes.unchanged,
            changed_pass: passes.changed,
            restart: passes.restart,
            burst,
            peak_rss_mb: passes.peak_rss_mb.max(passes.restart_peak_rss_mb),
        }
    }
}

/// What is judged by numbers: at the size that the targets are about, and at smaller ones, where it must be reached all
/// the more.
fn targets(sizes: &[Figure]) -> Vec<Target> {
    let mut targets = Vec::new();
    for figure in sizes {
        let mut judge = |what: &str, measured: String, reached| {
            targets.push(Target {
                what: format!("{} resources: {what}", figure.resources),
                measured,
                reached,
            });
        };
        let untouched = figure.unchanged_pass.okd_requests;
        judge("no request to the cluster where nothing changed", untouched.to_string(), untouched == 0);
        if figure.resources > JUDGED {
            continue;
        }
        let mut at_most = |what: &str, value: f64, most: f64, unit: &str| {
            judge(&format!("{what} under {most:.0} {unit}"), format!("{value:.2} {unit}"), value < most);
        };
        at_most("first pass", figure.first_pass.seconds, MOST_FIRST, "s");
        at_most("pass without changes", figure.unchanged_pass.seconds, MOST_UNCHANGED, "s");
        at_most("memory", figure.peak_rss_mb.max(figure.burst.peak_rss_mb), MOST_MEMORY, "MB");
    }
    targets
}

fn growth(sizes: &[Figure]) -> Vec<Growth> {
    let kinds = [("seconds", &SECONDS[..]), ("requests", &REQUESTS[..]), ("memory", &MEMORY[..])];
    let mut growth = Vec::new();
    for (kind, series) in kinds {
        for (name, value) in series {
            let points: Vec<(f64, f64)> =
                sizes.iter().map(|figure| (figure.resources as f64, value(figure))).collect();
            if let Some(exponent) = exponent(&points) {
                growth.push(Growth { what: format!("{kind}, {name}"), exponent });
            }
        }
    }
    growth
}

/// The exponent of the power that fits these points best (least squares of the logarithms).
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logarithms: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    slope(&logarithms)
}

/// What one more resource adds to the memory, as a straight line through all sizes has it.
fn bytes_per_resource(sizes: &[Figure]) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        sizes.iter().map(|figure| (figure.resources as f64, figure.peak_rss_mb * 1e6)).collect();
    slope(&points)
}

/// Slope of the straight line that fits best (least squares).
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (points.len() > 1 && spread > 0.0).then(|| together / spread)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::scale) fn measured(resources: usize, seconds: f64, megabytes: f64) -> Measured {
        let pass = |seconds, okd_requests| Pass {
            seconds,
            waldur_requests: resources as u64 / 100,
            okd_requests,
            cpu_seconds: seconds / 2.0,
        };
        let burst = Burst {
            changes: resources as u64 / 50,
            messages: resources as u64 / 25,
            seconds,
            waldur_requests: resources as u64 / 10,
            okd_requests: resources as u64 / 50,
            cpu_seconds: seconds / 2.0,
            peak_rss_mb: megabytes,
        };
        let passes = passes::Measured {
            first: pass(10.0 * seconds, 5 * resources as u64),
            unchanged: pass(seconds, 0),
            changed: pass(2.0 * seconds, 20),
            peak_rss_mb: megabytes,
            restart: pass(2.0 * seconds, 10),
            restart_peak_rss_mb: megabytes,
        };
        Measured { size: Size { resources, members: 10, per_project: 1 }, passes, burst }
    }

    fn reached(measured: &[Measured]) -> bool {
        Figures::new(measured.to_vec(), 5, String::new()).targets_reached
    }

    #[test]
    fn a_power_is_found_again() {
        let points = |power: f64| [1.0, 10.0, 50.0].map(|x: f64| (x, 3.0 * x.powf(power)));
        for power in [0.5, 1.0, 2.0] {
            assert!((exponent(&points(power)).unwrap() - power).abs() < 1e-9);
        }
        assert_eq!(exponent(&points(1.0)[..1]), None);
        // Nothing sent at all has no growth.
        assert_eq!(exponent(&[(1.0, 0.0), (10.0, 0.0)]), None);
    }

    #[test]
    fn memory_per_resource_is_what_one_more_takes() {
        let figures =
            Figures::new(vec![measured(1_000, 0.5, 25.0), measured(10_000, 4.0, 115.0)], 5, String::new());
        assert!((figures.bytes_per_resource.unwrap() - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn each_target_counts() {
        let small = measured(1_000, 0.4, 25.0);
        assert!(reached(&[small, measured(10_000, 4.0, 115.0)]));
        assert!(!reached(&[measured(10_000, 5.1, 115.0)]), "too slow where nothing changed");
        assert!(!reached(&[measured(10_000, 4.0, 151.0)]), "too much memory");
        assert!(!reached(&[small, measured(10_000, 9.0, 115.0)]), "grows too fast");
        assert!(reached(&[measured(50_000, 30.0, 700.0)]), "what is larger has no targets of its own");
        let mut touched = measured(50_000, 30.0, 700.0);
        touched.passes.unchanged.okd_requests = 1;
        assert!(!reached(&[touched]));
    }
}

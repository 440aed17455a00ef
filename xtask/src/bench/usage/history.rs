//! A day of many pods as Prometheus keeps it: written in the text form of OpenMetrics, and made into blocks by promtool.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::membership::people;

/// A block of Prometheus has two hours; promtool reads a file once for each block.
const BLOCK: i64 = 7200;

/// What there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    pub(super) namespaces: usize,
    /// In each namespace, all day.
    pub(super) pods: usize,
    /// Unix time of the first sample, a whole hour.
    pub(super) begin: i64,
    pub(super) hours: i64,
    /// Seconds between two samples of a series.
    pub(super) every: i64,
}

impl History {
    /// Makes blocks below a folder.
    ///
    /// # Errors
    /// promtool is not there or fails, or the disk is full.
    pub(super) fn write(self, folder: &Path, data: &Path) -> Result<()> {
        let end = self.begin + self.hours * 3600;
        let mut begin = self.begin;
        while begin < end {
            // Blocks begin at even hours of Unix time.
            let until = (begin.div_euclid(BLOCK) * BLOCK + BLOCK).min(end);
            let file = folder.join("history.om");
            self.part(&file, begin, until).context("cannot write the history")?;
            blocks(&file, data)?;
            std::fs::remove_file(&file).context("cannot remove a file of the history")?;
            begin = until;
        }
        Ok(())
    }

    /// Samples of one stretch of time.
    fn part(self, file: &Path, begin: i64, until: i64) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
        let times: Vec<String> = (begin..until)
            .step_by(usize::try_from(self.every).unwrap_or(60))
            .map(|at| at.to_string())
            .collect();
        let mut series = |labels: &str, value: &str| {
            times.iter().try_for_each(|at| writeln!(out, "{labels} {value} {at}"))
        };
        for namespace in (0..self.namespaces).map(people::namespace) {
            series(
                &format!("kube_namespace_status_phase{{namespace=\"{namespace}\",phase=\"Active\"}}"),
                "1",
            )?;
        }
        let (namespaces, pods) = (self.namespaces, self.pods);
        let pods = move || (0..namespaces).flat_map(move |number| (0..pods).map(move |pod| (number, pod)));
        let labels = |(number, pod): (usize, usize)| {
            format!("namespace=\"{}\",pod=\"web-{pod}\",uid=\"{number:05}-{pod}\"", people::namespace(number))
        };
        for pod in pods().map(labels) {
            series(&format!("kube_pod_status_phase{{{pod},phase=\"Running\"}}"), "1")?;
        }
        for pod in pods().map(labels) {
            for (resource, value) in [("cpu", "0.25"), ("memory", "536870912")] {
                let labels = format!("{pod},container=\"main\",node=\"n1\",resource=\"{resource}\"");
                series(&format!("kube_pod_container_resource_requests{{{labels}}}"), value)?;
            }
        }
        writeln!(out, "# EOF")?;
        out.flush()
    }
}

fn blocks(file: &Path, data: &Path) -> Result<()> {
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([file, data])
        .stdin(Stdio::null())
        .output()
        .context("cannot start promtool; `cargo xtask test --only install` installs Debian's prometheus")?;
    ensure!(made.status.success(), "promtool failed: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_all_its_samples_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("part.om");
        let history = History { namespaces: 2, pods: 2, begin: 7200, hours: 1, every: 1800 };
        history.part(&file, 7200, 10_800).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // Two namespaces, four pods with a phase and two requests each, of two samples, and the end.
        assert_eq!(lines.len(), (2 + 4 * 3) * 2 + 1);
        assert!(lines[0].ends_with("} 1 7200") && lines[1].ends_with("} 1 9000"), "{text}");
        assert_eq!(lines.last(), Some(&"# EOF"));
    }
}

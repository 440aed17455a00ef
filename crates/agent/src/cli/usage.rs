//! `waldur_site_agent usage …`: what was measured, what Waldur has, and measuring a month again.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use planner::usage::month::Month;
use uuid::Uuid;

use super::{FAILED, UNUSABLE, chart, load};
use crate::engine::EngineOptions;
use crate::usage::show::{self, Row, Selection};
use crate::usage::{self, Reports};
use crate::{setup, telemetry};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct UsageArgs {
    #[command(subcommand)]
    command: Option<UsageCommand>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Subcommand)]
enum UsageCommand {
    /// Measure a month again as far as Prometheus keeps it, add what becomes known to the ledger, and report it
    Backfill(BackfillArgs),
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// This resource alone
    #[arg(long, value_name = "UUID")]
    resource: Option<Uuid>,
    /// The billing month [default: the current one]
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: Option<Month>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Print a JSON array
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    /// Write a chart of hours per day, one line per component, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct BackfillArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Measure, and write nothing
    #[arg(long)]
    dry_run: bool,
}

fn month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| "expected a month such as 2026-11".to_owned())
}

pub(super) fn run(args: &UsageArgs) -> u8 {
    match &args.command {
        None => with_reports(&args.show.chosen, false, async |reports, chosen| {
            match show::show(&reports, chosen, Timestamp::now()).await {
                Ok(rows) => print(&rows, &args.show),
                Err(error) => failed(&error),
            }
        }),
        Some(UsageCommand::Backfill(args)) => {
            with_reports(&args.chosen, args.dry_run, async |reports, chosen| {
                let now = Timestamp::now();
                match show::backfill(&reports, chosen, now).await {
                    Ok(found) => {
                        anstream::println!(
                            "{} minutes with data, {} more than before",
                            found.after,
                            found.after.saturating_sub(found.before)
                        );
                        let told = match chosen.month {
                            Some(month) => usage::report_month(&reports, month, now).await,
                            None => usage::report_at(&reports, now).await,
                        };
                        if told { 0 } else { FAILED }
                    }
                    Err(error) => failed(&error),
                }
            })
        }
    }
}

fn failed(error: &crate::error::ApiError) -> u8 {
    anstream::eprintln!("{error}");
    FAILED
}

fn with_reports(chosen: &Chosen, dry_run: bool, work: impl AsyncFnOnce(Reports, Selection) -> u8) -> u8 {
    let Some(loaded) = load(&chosen.config_file, false) else {
        return UNUSABLE;
    };
    let settings = loaded.settings;
    if let Err(error) =
        telemetry::init(settings.log_level, settings.log_file.as_deref(), telemetry::Console::Error)
    {
        anstream::eprintln!("{error:#}");
        return UNUSABLE;
    }
    let dry_run = dry_run || settings.dry_run;
    let selection = Selection { month: chosen.month, resource: chosen.resource };
    let work = async {
        match setup::usage(&settings, EngineOptions { dry_run, ..EngineOptions::default() }, None) {
            Ok(reports) => work(reports, selection).await,
            Err(error) => {
                anstream::eprintln!("{error:#}");
                UNUSABLE
            }
        }
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            anstream::eprintln!("cannot start: {error}");
            FAILED
        }
    }
}

fn print(rows: &[Row], args: &ShowArgs) -> u8 {
    if let Some(file) = &args.svg {
        if let Err(error) = std::fs::write(file, chart::svg(rows)) {
            anstream::eprintln!("cannot write `{}`: {error}", file.display());
            return FAILED;
        }
        return 0;
    }
    if args.json {
        return match serde_json::to_string_pretty(rows) {
            Ok(text) => {
                anstream::println!("{text}");
                0
            }
            Err(_) => FAILED,
        };
    }
    anstream::print!("{}", if args.csv { csv(rows) } else { table(rows) });
    0
}

const HEADS: [&str; 9] =
    ["resource", "namespace", "month", "component", "hours", "coverage", "waldur", "difference", "remark"];

fn cells(row: &Row) -> [String; 9] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let remark = match (row.held, row.sampled) {
        (true, _) => "held back: too little data",
        (false, true) => "sampled",
        (false, false) => "",
    };
    [
        row.resource.simple().to_string(),
        row.namespaces.join(" "),
        row.month.clone(),
        row.component.clone(),
        or_dash(&row.hours),
        format!("{}.{}%", row.coverage / 10, row.coverage % 10),
        or_dash(&row.waldur),
        or_dash(&row.difference),
        remark.to_owned(),
    ]
}

/// Columns with two spaces between them; numbers to the right.
fn table(rows: &[Row]) -> String {
    let rows: Vec<[String; 9]> = rows.iter().map(cells).collect();
    let heads = HEADS.map(str::to_owned);
    let width = |column: usize| {
        let lengths = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for row in [&heads].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if (4..8).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line: Vec<String> = cells.collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

/// With a header (RFC 4180); the columns of the table, with the minutes instead of the percentage.
fn csv(rows: &[Row]) -> String {
    let mut text =
        "offering,resource,namespaces,month,component,hours,minutes,expected_minutes,waldur,difference,held,sampled\r\n".to_owned();
    for row in rows {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let cells = [
            row.offering.clone(),
            row.resource.simple().to_string(),
            row.namespaces.join(" "),
            row.month.clone(),
            row.component.clone(),
            or_empty(&row.hours),
            row.minutes.to_string(),
            row.expected.to_string(),
            or_empty(&row.waldur),
            or_empty(&row.difference),
            row.held.to_string(),
            row.sampled.to_string(),
        ];
        let cells = cells.map(|cell| {
            if cell.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        });
        let _ = write!(text, "{}\r\n", cells.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = Row {
            offering: "OKD, \"large\"".to_owned(),
            resource: Uuid::from_u128(7),
            namespaces: vec!["waldur-alloc-shop-1".to_owned()],
            month: "2026-07".to_owned(),
            component: "cpu_hours".to_owned(),
            measure: "requests",
            hours: Some("12.50".to_owned()),
            minutes: 1190,
            expected: 1200,
            coverage: 991,
            held: false,
            sampled: false,
            waldur: Some("12.00".to_owned()),
            difference: Some("0.50".to_owned()),
            days: [
                ("2026-07-01".parse().unwrap(), "2.50".to_owned()),
                ("2026-07-02".parse().unwrap(), "10.00".to_owned()),
            ]
            .into(),
        };
        let unknown = Row {
            component: "gpu".to_owned(),
            hours: None,
            minutes: 0,
            coverage: 0,
            held: true,
            waldur: None,
            difference: None,
            days: Default::default(),
            ..row.clone()
        };
        vec![row, unknown]
    }

    #[test]
    fn a_table_for_people() {
        insta::assert_snapshot!(table(&rows()));
    }

    #[test]
    fn values_for_programs() {
        insta::assert_snapshot!(csv(&rows()));
    }

    #[test]
    fn a_chart_of_days() {
        insta::assert_snapshot!(chart::svg(&rows()));
    }

    #[test]
    fn no_line_leads_over_days_of_which_nothing_is_known() {
        let mut rows = rows();
        rows[0].days.insert("2026-07-04".parse().unwrap(), "3.00".to_owned());
        let svg = chart::svg(&rows);
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (1, 3), "{svg}");
        assert!(svg.contains("text-anchor=\"middle\">3</text>"), "the third has its place: {svg}");
    }
}

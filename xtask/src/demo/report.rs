//! The result of the demo: a table for people, one JSON object for machines, and what helps to look around.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use console::Term;
use serde::Serialize;

use super::judge::Verdict;
use crate::site::Place;

/// Widest table, in columns.
const WIDTH: u16 = 120;

/// Everything that became of the demo.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Every order ended as expected.
    pub(crate) ok: bool,
    /// In the order of the story.
    pub(crate) orders: Vec<Verdict>,
    /// From the first order placed to the last one ended.
    pub(crate) seconds: f64,
    /// What was left running, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Kept>,
}

/// A site that goes on.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    #[serde(flatten)]
    pub(crate) place: Place,
    /// The agent's configuration file.
    pub(crate) configuration: PathBuf,
    /// The agent's log.
    pub(crate) agent_log: PathBuf,
    /// Processes: the agent, the simulators.
    pub(crate) pids: [u32; 2],
    /// Holds all files; to be removed by hand.
    pub(crate) folder: PathBuf,
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_width(width());
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header([
            "Waldur resource",
            "Order",
            "Project",
            "Quota on the cluster\n(requests/limits)",
            "Result",
        ]);
        for order in &self.orders {
            table.add_row([
                order.resource.to_owned(),
                order.kind.to_owned(),
                order.project.clone().unwrap_or_else(|| "none".to_owned()),
                quota(order),
                result(order),
            ]);
        }
        let expected = self.orders.iter().filter(|order| order.is_as_expected()).count();
        let mut text = format!(
            "{table}\n{expected} of {} orders ended as expected, in {:.1} s.\n",
            self.orders.len(),
            self.seconds
        );
        if let Some(site) = &self.site {
            text.push_str(&site.text());
        }
        text
    }
}

/// The terminal's width, if there is one and it is narrower.
fn width() -> u16 {
    Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| columns.min(WIDTH))
}

fn quota(order: &Verdict) -> String {
    match (&order.quota, &order.project) {
        (Some(hard), _) => quota_lines(hard),
        (None, Some(_)) => "none, the project is gone".to_owned(),
        (None, None) => "none".to_owned(),
    }
}

/// One entry for each component, `requests/limits` where the quota has both.
fn quota_lines(hard: &BTreeMap<String, String>) -> String {
    let amount = |component: &str| {
        let keys = [format!("requests.{component}"), format!("limits.{component}"), component.to_owned()];
        let values: Vec<&str> = keys.iter().filter_map(|key| hard.get(key)).map(String::as_str).collect();
        (!values.is_empty()).then(|| format!("{component} {}", values.join("/")))
    };
    // The order of components in the portal, then whatever else there is.
    let known = ["cpu", "memory", "storage", "pods"];
    let other = hard.keys().filter(|key| !known.iter().any(|known| key.ends_with(known)));
    let other: Vec<String> = other.map(|key| format!("{key} {}", hard[key])).collect();
    let entries: Vec<String> = known.into_iter().filter_map(amount).chain(other).collect();
    entries.chunks(2).map(|pair| pair.join(", ")).collect::<Vec<_>>().join("\n")
}

fn result(order: &Verdict) -> String {
    let mut text = order.state.clone();
    if order.state == order.expected && order.state != "done" {
        text.push_str(", as it should be");
    }
    if let Some(error) = &order.error {
        let _infallible = write!(text, ": {error}");
    }
    for fault in &order.faults {
        let _infallible = write!(text, "\nNOT EXPECTED: {fault}");
    }
    text
}

impl Kept {
    fn text(&self) -> String {
        let Place { waldur_url, waldur_customer_token, waldur_agent_token, okd_url, .. } = &self.place;
        let kubeconfig = self.place.kubeconfig.display();
        let [agent, simulators] = self.pids;
        format!(
            "
Still running:
  Waldur      {waldur_url}   (token of a customer: {waldur_customer_token}, of the agent: {waldur_agent_token})
  OKD         {okd_url}   (token of an administrator: {})
  kubeconfig  {kubeconfig}
  agent       configuration {}
              log {}

Look around:
  curl -H 'Authorization: Token {waldur_customer_token}' '{waldur_url}/api/marketplace-orders/?field=type&field=state&field=resource_name'
  export KUBECONFIG={kubeconfig}
  kubectl get projects
  kubectl get resourcequotas,limitranges --all-namespaces

Stop it:
  kill {agent} {simulators}; rm -r {}
",
            self.place.okd_admin_token,
            self.configuration.display(),
            self.agent_log.display(),
            self.folder.display(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::STORY;
    use super::*;

    #[test]
    fn the_table_fits_and_says_what_was_not_expected() {
        let long = Verdict {
            project: Some(format!("waldur-alloc-{}", "x".repeat(50))),
            error: Some("a long message of the cluster ".repeat(10)),
            ..Verdict::not_placed(&STORY[3])
        };
        let text = Report { ok: false, orders: vec![long], seconds: 1.0, site: None }.text();
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(WIDTH)), "{text}");
        assert!(text.contains("NOT EXPECTED") && text.contains("0 of 1"), "{text}");
    }

    #[test]
    fn every_key_of_a_quota_is_shown() {
        let hard = [("requests.cpu", "4"), ("limits.cpu", "8"), ("pods", "50"), ("services", "3")];
        let hard = hard.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(quota_lines(&hard), "cpu 4/8, pods 50\nservices 3");
    }
}

//! The ledger of closed hours as objects in the agent's own namespace: reading them, and merging new hours into them.
//!
//! Each write begins with the object as it is now and is tied to that version, so that two agents add to each other's
//! hours instead of replacing them.

use std::collections::BTreeMap;

use jiff::civil::Date;
use planner::outcome::Failure;
use planner::usage::ledger::{self, Day};
use planner::usage::sums::Sums;
use serde_json::Value;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::cluster::apply;
use crate::cluster::kinds;
use crate::error::{ApiError, Peer};

/// Objects on a page: the largest have a few hundred kilobytes.
const PAGE: usize = 10;
/// With more lives than this, a day is kept in several objects.
const LIVES_OF_ONE_OBJECT: usize = 100;
/// How often a write is begun anew because somebody else has written.
const ATTEMPTS: usize = 5;

/// Where the ledger of an offering is.
#[derive(Clone, Debug)]
pub(super) struct Ledger<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: String,
    pub(super) offering: Uuid,
}

impl Ledger<'_> {
    /// Adds up the objects of the month of `sums`. Objects that somebody else has written to do not count, and are
    /// reported: their hours are then measured again.
    pub(super) async fn read(&self, sums: &mut Sums) -> Result<(), ApiError> {
        let days: Vec<String> = sums.of.days().iter().map(Date::to_string).collect();
        if days.is_empty() {
            return Ok(());
        }
        let selector = format!(
            "{}=usage,{}={},{} in ({})",
            kinds::LEDGER,
            kinds::LEDGER_OFFERING,
            self.offering.simple(),
            kinds::LEDGER_DAY,
            days.join(",")
        );
        let selector: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let query = format!("&labelSelector={selector}");
        let path = kinds::ledger_path(&self.namespace);
        let take = |page: Vec<Value>| {
            for object in page {
                if let Some(day) = self.day(&object) {
                    sums.add(&day);
                }
            }
        };
        self.cluster.http.list_pages_of(PAGE, &path, &query, take).await.map_err(explained)
    }

    fn day(&self, object: &Value) -> Option<Day> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let date = object.pointer("/metadata/labels").and_then(|labels| labels.get(kinds::LEDGER_DAY));
        let date: Option<Date> = date.and_then(Value::as_str).and_then(|text| text.parse().ok());
        let read = ledger::read(date?, &texts(object));
        read.inspect_err(|error| {
            tracing::error!(
                namespace = self.namespace, name,
                "the ledger's object does not count: {error}; its hours are measured again as far as Prometheus keeps them"
            );
        })
        .ok()
    }

    /// Merges what was found out about a day into its objects.
    pub(super) async fn write(&self, date: Date, day: Day, lives: usize) -> Result<(), ApiError> {
        let mut parts: BTreeMap<String, Day> = BTreeMap::new();
        for (life, entry) in day {
            let hex = life.resource.simple().to_string();
            let part = if lives > LIVES_OF_ONE_OBJECT { format!("-{}", &hex[..1]) } else { String::new() };
            parts.entry(part).or_default().insert(life, entry);
        }
        for (part, day) in parts {
            let compact: String = date.to_string().chars().filter(char::is_ascii_digit).collect();
            let name = format!("waldur-usage-{}-{compact}{part}", self.offering.simple());
            self.merge(&name, date, &day).await.map_err(explained)?;
        }
        Ok(())
    }

    async fn merge(&self, name: &str, date: Date, day: &Day) -> Result<(), ApiError> {
        let path = format!("{}/{name}", kinds::ledger_path(&self.namespace));
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found = match self.cluster.http.get(&path).await {
                Ok(found) => Some(found),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let (mut merged, intact) = match &found {
                None => (Day::new(), false),
                Some(found) => {
                    if !is_ours(found, self.offering) {
                        let message =
                            "an object of that name exists and does not carry the labels of this ledger";
                        let error = ApiError::unexpected(Peer::Cluster, &format!("PATCH {path}"), message);
                        return Err(ApiError { failure: Failure::NotOurs, ..error });
                    }
                    self.day(found).map_or_else(|| (Day::new(), false), |day| (day, true))
                }
            };
            if !ledger::merge(&mut merged, day.clone()) && intact {
                return Ok(());
            }
            let texts = ledger::write(&merged);
            let body = kinds::ledger((&self.namespace, name), self.offering, &date.to_string(), &texts);
            let seen = found.as_ref().map(|found| {
                let text = |pointer| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                (text("/metadata/uid"), text("/metadata/resourceVersion"))
            });
            match apply::write_ledger(self.cluster, &self.namespace, name, seen, body).await {
                Err(error) if matches!(error.failure, Failure::Conflict | Failure::AlreadyExists) => {
                    last = Some(error)
                }
                other => return other,
            }
        }
        match last {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
    data.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect()
}

fn is_ours(object: &Value, offering: Uuid) -> bool {
    let label = |name: &str| object.pointer("/metadata/labels")?.get(name)?.as_str();
    label(planner::names::MANAGED_BY) == Some(planner::names::MANAGED_BY_VALUE)
        && label(kinds::LEDGER) == Some("usage")
        && label(kinds::LEDGER_OFFERING) == Some(offering.simple().to_string().as_str())
}

/// Who reads a refusal wants to know what to allow.
fn explained(error: ApiError) -> ApiError {
    match error.failure {
        Failure::Forbidden => error.with_hint(
            "hours are kept in ConfigMaps there: the agent needs get, list, create and patch on configmaps in its namespace",
        ),
        Failure::NotFound => error.with_hint("is `agent_namespace` right?"),
        _ => error,
    }
}

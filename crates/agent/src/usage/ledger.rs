//! The ledger of closed hours as objects in the agent's own namespace: reading them, and merging new hours into them.
//!
//! Each write begins with the object as it is now and is tied to that version, so that two agents add to each other's
//! hours instead of replacing them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use planner::outcome::Failure;
use planner::usage::compact::{self, MonthObject};
use planner::usage::ledger::{self, Day, LedgerError, Life};
use planner::usage::month::Month;
use planner::usage::sums::Sums;
use serde_json::Value;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::cluster::apply;
use crate::cluster::kinds;
use crate::error::{ApiError, Peer};

/// Objects on a page: the largest have a few hundred kilobytes.
const PAGE: usize = 10;
/// With more lives than this, a day is kept in several objects: an object may have a megabyte.
const LIVES_OF_ONE_OBJECT: usize = 100;
/// How often a write is begun anew because somebody else has written.
const ATTEMPTS: usize = 5;

/// Where the ledger of an offering is.
#[derive(Clone, Debug)]
pub(super) struct Ledger<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: String,
    pub(super) offering: Uuid,
    /// How many lives it has, as far as is known: by that, days are kept in several objects.
    pub(super) lives: usize,
}

impl Ledger<'_> {
    /// Adds up the objects of the month of `sums`. Objects that somebody else has written to do not count, and are
    /// reported: their hours are then measured again. With `only`, other resources are left out.
    pub(super) async fn read(&mut self, sums: &mut Sums, only: Option<Uuid>) -> Result<(), ApiError> {
        let days: Vec<String> = sums.of.days().iter().map(Date::to_string).collect();
        if days.is_empty() {
            return Ok(());
        }
        let month = sums.of.month;
        let mut lives = BTreeSet::new();
        let is_wanted = |life: &Life| only.is_none_or(|resource| life.resource == resource);
        // First the hours, since another agent may add them up meanwhile: what is seen twice counts once.
        self.each(&format!("{} in ({})", kinds::LEDGER_DAY, days.join(",")), |object| {
            if let Some((_, mut day)) = self.day(object) {
                lives.extend(day.keys().cloned());
                day.retain(|life, _| is_wanted(life));
                sums.add(&day);
            }
        })
        .await?;
        self.each(&format!("{}={month}", kinds::LEDGER_MONTH), |object| {
            if let Some(mut month) = self.month(object) {
                lives.extend(month.keys().cloned());
                month.retain(|life, _| is_wanted(life));
                sums.add_month(&month);
            }
        })
        .await?;
        self.lives = self.lives.max(lives.len());
        Ok(())
    }

    /// Hands over the ledger's objects with these labels, page by page.
    pub(super) async fn each(&self, selected: &str, mut take: impl FnMut(&Value)) -> Result<(), ApiError> {
        let (ledger, offering) = (kinds::LEDGER, kinds::LEDGER_OFFERING);
        let selector = format!("{ledger}=usage,{offering}={},{selected}", self.offering.simple());
        let selector: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let query = format!("&labelSelector={selector}");
        let path = kinds::ledger_path(&self.namespace);
        let take = |page: Vec<Value>| page.iter().for_each(&mut take);
        self.cluster.http.list_pages_of(PAGE, &path, &query, take).await.map_err(explained)
    }

    /// What an object of hours holds, with its date; `None` if it does not count.
    pub(super) fn day(&self, object: &Value) -> Option<(Date, Day)> {
        let date: Date = label(object, kinds::LEDGER_DAY)?.parse().ok()?;
        let day = self.counting(object, ledger::read(date, &texts(object)))?;
        Some((date, day))
    }

    fn month(&self, object: &Value) -> Option<MonthObject> {
        self.counting(object, compact::read(&texts(object)))
    }

    fn counting<T>(&self, object: &Value, read: Result<T, LedgerError>) -> Option<T> {
        read.inspect_err(|error| {
            tracing::error!(
                namespace = self.namespace, name = name(object),
                "the ledger's object does not count: {error}; its hours are measured again as far as Prometheus keeps them"
            );
        })
        .ok()
    }

    /// Merges what was found out about a day into its objects.
    pub(super) async fn write(&self, date: Date, day: Day) -> Result<(), ApiError> {
        let mut parts: BTreeMap<String, Day> = BTreeMap::new();
        for (life, entry) in day {
            parts.entry(part(life.resource, self.lives)).or_default().insert(life, entry);
        }
        for (part, day) in parts {
            let name = self.name(&date.to_string(), &part);
            let period = (kinds::LEDGER_DAY, date.to_string());
            self.merge(&name, (period.0, &period.1), |found| {
                let found = found.and_then(|found| self.day(found)).map(|(_, day)| day);
                let (mut merged, intact) = (found.clone().unwrap_or_default(), found.is_some());
                (ledger::merge(&mut merged, day.clone()) || !intact).then(|| ledger::write(&merged))
            })
            .await?;
        }
        Ok(())
    }

    /// Merges days that were added up into an object of their month.
    pub(super) async fn write_month(
        &self,
        month: Month,
        part: &str,
        days: &MonthObject,
    ) -> Result<(), ApiError> {
        let name = self.name(&month.to_string(), part);
        let period = (kinds::LEDGER_MONTH, month.to_string());
        self.merge(&name, (period.0, &period.1), |found| {
            let found = found.and_then(|found| self.month(found));
            let (mut merged, intact) = (found.clone().unwrap_or_default(), found.is_some());
            (compact::merge(&mut merged, days.clone()) || !intact).then(|| compact::write(&merged))
        })
        .await
    }

    /// `waldur-usage-7f6e…-20261103-3-of-16`.
    fn name(&self, period: &str, part: &str) -> String {
        let digits: String = period.chars().filter(char::is_ascii_digit).collect();
        format!("waldur-usage-{}-{digits}{part}", self.offering.simple())
    }

    /// Writes an object anew as long as somebody else writes it in between. `merged` says what it is to hold, given what
    /// is there, or nothing if that is it.
    async fn merge(
        &self,
        name: &str,
        period: (&str, &str),
        merged: impl Fn(Option<&Value>) -> Option<BTreeMap<String, String>>,
    ) -> Result<(), ApiError> {
        self.try_merge(name, period, merged).await.map_err(explained)
    }

    async fn try_merge(
        &self,
        name: &str,
        period: (&str, &str),
        merged: impl Fn(Option<&Value>) -> Option<BTreeMap<String, String>>,
    ) -> Result<(), ApiError> {
        let path = format!("{}/{name}", kinds::ledger_path(&self.namespace));
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found = match self.cluster.http.get(&path).await {
                Ok(found) => Some(found),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            if found.as_ref().is_some_and(|found| !is_ours(found, self.offering)) {
                let message = "an object of that name exists and does not carry the labels of this ledger";
                let error = ApiError::unexpected(Peer::Cluster, &format!("PATCH {path}"), message);
                return Err(ApiError { failure: Failure::NotOurs, ..error });
            }
            let Some(texts) = merged(found.as_ref()) else { return Ok(()) };
            let body = kinds::ledger((&self.namespace, name), self.offering, period, &texts);
            let seen = found.as_ref().map(version);
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

/// Which object a resource's hours are in: as many as lives need, so that each has at most about as many as it may.
fn part(resource: Uuid, lives: usize) -> String {
    let parts = lives.div_ceil(LIVES_OF_ONE_OBJECT).max(1).next_power_of_two();
    if parts == 1 {
        return String::new();
    }
    // Waldur's ids are random.
    format!("-{}-of-{parts}", resource.as_u128() % parts as u128)
}

pub(super) fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Uid and version.
pub(super) fn version(object: &Value) -> (&str, &str) {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (text("/metadata/uid"), text("/metadata/resourceVersion"))
}

fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(name)?.as_str()
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
    data.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect()
}

pub(super) fn is_ours(object: &Value, offering: Uuid) -> bool {
    label(object, planner::names::MANAGED_BY) == Some(planner::names::MANAGED_BY_VALUE)
        && label(object, kinds::LEDGER) == Some("usage")
        && label(object, kinds::LEDGER_OFFERING) == Some(offering.simple().to_string().as_str())
}

/// Who reads a refusal wants to know what to allow.
fn explained(error: ApiError) -> ApiError {
    match error.failure {
        Failure::Forbidden => error.with_hint(
            "hours are kept in ConfigMaps there: the agent needs get, list, create, patch and delete on configmaps in its namespace",
        ),
        Failure::NotFound => error.with_hint("is `agent_namespace` right?"),
        _ => error,
    }
}

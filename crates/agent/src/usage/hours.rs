//! Hours of the months that are reported: what the ledger has, what is missing in it and can be measured, and what that
//! comes to.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use planner::usage::ledger::{self, Day, Entry, Life, Lived};
use planner::usage::month::{self, Month, Window};
use planner::usage::report::Reading;
use planner::usage::rule::Rule;
use planner::usage::sums::{self, MonthWindows, Sums};
use uuid::Uuid;

use super::ledger::Ledger;
use super::{Reported, Reports, collect, sampler};
use crate::cluster::store::QuotaUse;
use crate::error::{ApiError, Peer};
use crate::waldur::dto;

/// How long after a month's end its missing hours are measured without being asked to.
const AFTER_THE_END: SignedDuration = SignedDuration::from_hours(72);

/// What is known of the hours of an offering.
#[derive(Debug)]
pub(super) struct Hours {
    pub(super) months: BTreeMap<Month, Sums>,
    /// Something could not be measured; the months hold what could.
    pub(super) failure: Option<ApiError>,
}

/// Where the ledger of an offering is: in the namespace that the configuration names, or that of the agent's service
/// account.
pub(super) async fn ledger(reported: &Reported) -> Result<Ledger<'_>, ApiError> {
    let offering = &reported.offering;
    let surroundings = offering.cluster.surroundings().await?;
    let own =
        || Some(surroundings.user.strip_prefix("system:serviceaccount:")?.split_once(':')?.0.to_owned());
    let namespace = reported.agent_namespace.clone().or_else(own).ok_or_else(|| {
        let message = "hours cannot be kept: the agent is no service account; name a namespace for them in \
                       `agent_namespace` of `backend_settings`";
        ApiError::unexpected(Peer::Cluster, "ledger of usage", message)
    })?;
    Ok(Ledger { cluster: &offering.cluster, namespace, offering: offering.options.uuid, lives: 0 })
}

/// Reads the ledger of these months, measures what is missing in it, and adds all up.
pub(super) async fn hours(
    reports: &Reports,
    reported: &Reported,
    rules: &[Rule],
    resources: &[dto::ReportedResource],
    months: &[Month],
    (now, last_of): (Timestamp, Option<Uuid>),
) -> Result<Hours, ApiError> {
    let zone = &reports.options.zone;
    let mut ledger = ledger(reported).await?;
    let here = lives(reported, resources);
    let current = Month::of(now, zone);
    let mut hours = Hours { months: BTreeMap::new(), failure: None };
    for month in months {
        let mut sums = Sums::new(MonthWindows::new(*month, zone, sums::closed_by(now)));
        ledger.read(&mut sums, last_of).await?;
        ledger.lives = ledger.lives.max(here.len());
        let lives = settle(&mut sums, &here, now);
        let ended: Vec<&Life> =
            lives.iter().filter(|(_, life)| life.just_ended).map(|(life, _)| life).collect();
        if !ended.is_empty() && *month == current && !reports.options.dry_run {
            note_ends(&ledger, &lives, &ended, &sums).await?;
        }
        let open = month.end(zone).checked_add(AFTER_THE_END).is_ok_and(|until| now < until);
        let wanted = ledger_of(reports, &ledger);
        if let Some(prometheus) = reported.prometheus.as_ref().filter(|_| open) {
            let lives = lives.into_iter().map(|(life, known)| (life, known.lived)).collect();
            let asking = collect::Asking { prometheus, rules, lives: &lives, now };
            let collected = collect::collect(asking, wanted, &mut sums, collect::Extent::Missing).await;
            hours.failure = hours.failure.or(collected.err());
            if last_of.is_some() && hours.failure.is_none() {
                sums.of.extend(begun(*month, &sums, now, zone), zone);
                let collected = collect::collect(asking, None, &mut sums, collect::Extent::Begun).await;
                hours.failure = collected.err();
            }
        }
        if reported.prometheus.is_none() {
            if last_of.is_none() {
                reported.samples.note_resources(resources);
            }
            hours.failure = hours.failure.or(sampler::settle(reported, wanted, &mut sums).await.err());
            if let Some(resource) = last_of {
                sums.of.extend(begun(*month, &sums, now, zone), zone);
                sums.add(&reported.samples.of(resource));
            }
        }
        settle(&mut sums, &here, now);
        hours.months.insert(*month, sums);
    }
    Ok(hours)
}

/// What of a month has passed and does not count as closed. It is not kept: should the namespace stay, all of the hour
/// is measured when that is over.
fn begun(month: Month, sums: &Sums, now: Timestamp, zone: &TimeZone) -> Vec<Window> {
    let from = sums.of.end().unwrap_or_else(|| month.begin(zone));
    let until = month.end(zone).min(now);
    let mut windows = month::windows(from, until, zone);
    if until == now {
        windows.extend(Window::around(now, zone).up_to(now));
    }
    windows
}

fn ledger_of<'a, 'b>(reports: &Reports, ledger: &'a Ledger<'b>) -> Option<&'a Ledger<'b>> {
    (!reports.options.dry_run).then_some(ledger)
}

/// Where the resources are now.
pub(super) fn lives(reported: &Reported, resources: &[dto::ReportedResource]) -> BTreeMap<Life, Lived> {
    let seen = resources.iter().flat_map(|resource| {
        let seen = reported.offering.cluster.uses_of(resource.uuid, resource.backend_id.trim());
        seen.into_iter().map(|seen| life(resource.uuid, &seen))
    });
    seen.collect()
}

/// A resource in one of its namespaces.
pub(super) fn life(resource: Uuid, seen: &QuotaUse) -> (Life, Lived) {
    let lived = Lived { namespace: seen.namespace.clone(), from: seen.created, until: None };
    (Life { resource, uid: seen.uid.clone() }, lived)
}

/// A life, and whether its end is news.
pub(super) struct Known {
    pub(super) lived: Lived,
    just_ended: bool,
}

/// Which lives there are: those that are here now, and those of the ledger, which have ended if they are not. A namespace
/// of the same name that is here now began when the other was gone.
pub(super) fn settle(sums: &mut Sums, here: &BTreeMap<Life, Lived>, now: Timestamp) -> BTreeMap<Life, Known> {
    let mut all = BTreeMap::new();
    let last: BTreeMap<Life, Window> =
        sums.lives.keys().filter_map(|life| Some((life.clone(), sums.last_recorded(life)?))).collect();
    for (life, month) in &mut sums.lives {
        let lived = &mut month.lived;
        // One that was not found once, and then was there again, has hours after its end.
        let went_on = |until: Timestamp| last.get(life).is_some_and(|last| last.begin >= until);
        let just_ended = !here.contains_key(life) && lived.until.is_none_or(went_on);
        if let Some(present) = here.get(life) {
            *lived = present.clone();
        } else if just_ended {
            let next = here
                .values()
                .filter(|other| other.namespace == lived.namespace)
                .filter_map(|other| other.from);
            let next = next.filter(|next| lived.from.is_none_or(|from| *next > from)).min();
            lived.until = Some(next.unwrap_or(now).min(now));
        }
        all.insert(life.clone(), Known { lived: lived.clone(), just_ended });
    }
    for (life, lived) in here {
        all.entry(life.clone()).or_insert_with(|| Known { lived: lived.clone(), just_ended: false });
        sums.lives.entry(life.clone()).or_default().lived = lived.clone();
    }
    all
}

/// Writes down that lives have ended, beside the last hour.
async fn note_ends(
    ledger: &Ledger<'_>,
    lives: &BTreeMap<Life, Known>,
    ended: &[&Life],
    sums: &Sums,
) -> Result<(), ApiError> {
    let Some(last) = sums.of.windows.last().copied() else { return Ok(()) };
    let entry = |life: &&Life| {
        let lived = lives[*life].lived.clone();
        ((*life).clone(), Entry { lived, closed: BTreeMap::new() })
    };
    let day: Day = ended.iter().map(entry).collect();
    ledger.write(ledger::day_of(last), day).await
}

/// The month of a resource in hours. Components with too little data are named, and left out.
pub(super) fn readings(
    rules: &[Rule],
    resource: Uuid,
    sums: &Sums,
    minimum_coverage: u64,
    held: &mut Vec<String>,
) -> Vec<Reading> {
    let expected = sums.expected(resource);
    let mut readings = Vec::new();
    for rule in rules {
        let total = sums.total(resource, &rule.component).unwrap_or_default();
        let coverage = sums::coverage(total.minutes, expected);
        if expected == 0 || total.minutes == 0 || coverage < minimum_coverage {
            if expected > 0 {
                held.push(format!("{} ({} of {expected} minutes)", rule.component, total.minutes));
            }
            continue;
        }
        match rule.hours(total.total) {
            Some(value) => {
                readings.push(Reading { component: rule.component.clone(), value, is_hours: true })
            }
            None => held.push(format!("{} (too large)", rule.component)),
        }
    }
    readings
}

//! `waldur_site_load_historical_usage`: measures months of the past by Prometheus and tells them to Waldur, with a token
//! of its own: servers take past months of staff only.

use jiff::Timestamp;
use jiff::civil::Date;
use planner::usage::month::Month;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Manner, complain, say};
use crate::settings::{OfferingSettings, Settings, TokenSource};
use crate::setup;
use crate::usage::historical::{self, Loaded, Wanted};

/// Longest stretch of time, days.
const LONGEST: i64 = 5 * 365;
/// Held-back hours and failures of a month that are named.
const NAMED: usize = 20;

/// What is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) offering: Uuid,
    /// Sent to Waldur in place of the configuration's token.
    pub(crate) token: SecretString,
    pub(crate) from: Date,
    pub(crate) until: Date,
    /// Ask first whether the token is one of staff.
    pub(crate) needs_staff: bool,
    pub(crate) reconcile_stale: bool,
    pub(crate) backend_ids: Vec<String>,
}

/// Loads it; false if something failed.
///
/// # Errors
/// The order cannot be carried out at all.
pub(crate) async fn run(settings: &Settings, order: Order, manner: Manner) -> anyhow::Result<bool> {
    let found = settings.offerings.iter().find(|offering| offering.offering_uuid == order.offering);
    let Some(found) = found else {
        complain("configuration", &format!("it has no offering {}", order.offering.simple()));
        return Ok(false);
    };
    let months = match months(order.from, order.until) {
        Ok(months) => months,
        Err(why) => {
            complain(&found.name, why);
            return Ok(false);
        }
    };
    let offering = OfferingSettings {
        waldur_api_token: TokenSource::Static(order.token),
        reporting: true,
        ..found.clone()
    };
    let name = offering.name.clone();
    if order.needs_staff && !is_staff(settings, &offering, manner).await? {
        return Ok(false);
    }
    let settings = Settings { offerings: vec![offering], ..settings.clone() };
    let reports = setup::usage(&settings, manner.engine(), None)?;
    let wanted = Wanted { months, backend_ids: order.backend_ids, reconcile_stale: order.reconcile_stale };
    let mut all_well = true;
    match historical::unknown(&reports, &wanted).await {
        Ok(unknown) => {
            for backend_id in unknown {
                complain(&name, &format!("no resource has the backend id `{backend_id}`"));
                all_well = false;
            }
        }
        Err(error) => {
            complain(&name, &error.to_string());
            return Ok(false);
        }
    }
    for month in &wanted.months {
        match historical::load(&reports, &wanted, *month, Timestamp::now()).await {
            Ok(loaded) => {
                all_well &= loaded.failed.is_empty();
                tell(&name, &loaded, manner);
            }
            Err(error) => {
                complain(&name, &format!("{month}: {error}"));
                all_well = false;
            }
        }
    }
    Ok(all_well)
}

async fn is_staff(settings: &Settings, offering: &OfferingSettings, manner: Manner) -> anyhow::Result<bool> {
    let built = super::offering(settings, offering, "load_historical_usage", manner)?;
    match built.waldur.me().await {
        Ok(me) if !me.is_staff => {
            let text = format!(
                "`{}` is no staff, of whom alone servers take hours of past months; with `--no-staff-check` it is tried all the same",
                me.username
            );
            complain(&offering.name, &text);
            Ok(false)
        }
        Ok(_) => Ok(true),
        Err(error) => {
            complain(&offering.name, &format!("cannot ask whose the token is: {error}"));
            Ok(false)
        }
    }
}

fn tell(name: &str, loaded: &Loaded, manner: Manner) {
    let Loaded { month, told, unchanged, held, failed } = loaded;
    let would = if manner.dry_run { "would be " } else { "" };
    say(name, &format!("{month}: {told} resources {would}told, {unchanged} as Waldur has them"));
    for what in held.iter().take(NAMED) {
        say(name, &format!("{month}: too little is known to tell it: {what}"));
    }
    for what in failed.iter().take(NAMED) {
        complain(name, &format!("{month}: {what}"));
    }
    let left = held.len().saturating_sub(NAMED) + failed.len().saturating_sub(NAMED);
    if left > 0 {
        complain(name, &format!("{month}: {left} more of these"));
    }
}

/// The months that a stretch of days is in.
fn months(from: Date, until: Date) -> Result<Vec<Month>, &'static str> {
    if until < from {
        return Err("the end date is before the start date");
    }
    if from.duration_until(until).as_hours() / 24 > LONGEST {
        return Err("more than five years are too many at once");
    }
    let (mut month, last) = (Month::with(from), Month::with(until));
    let mut months = Vec::new();
    while month <= last {
        months.push(month);
        month = month.after();
    }
    Ok(months)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_that_the_days_are_in() {
        let check = |from: &str, until: &str| {
            months(from.parse().unwrap(), until.parse().unwrap())
                .map(|months| months.iter().map(Month::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(check("2026-10-31", "2026-12-01").as_deref(), Ok("2026-10 2026-11 2026-12"));
        assert_eq!(check("2026-10-05", "2026-10-05").as_deref(), Ok("2026-10"));
        assert!(check("2026-10-05", "2026-10-04").is_err());
        assert!(check("2020-01-01", "2024-12-30").is_ok());
        assert!(check("2020-01-01", "2024-12-31").is_err());
    }
}

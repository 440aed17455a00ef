//! Usage of components: reports of the provider, and what was reported (Waldur contract §5.3, §5.4).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::filter::{among, parse_instant};
use super::model::{ComponentUsage, ComponentUserUsage, ComponentUserUsageLimit, Resource};
use super::request::parse_uuid;
use super::table::Row;
use super::wire::ResourceState;

/// One line of a report after validation.
pub(super) struct Line {
    pub(super) kind: String,
    pub(super) amount: String,
    pub(super) description: String,
    pub(super) recurring: bool,
}

impl Call<'_> {
    pub(crate) fn component_usages(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_usages(),
            ["set_usage"] if self.posts() => self.set_usage(),
            [id] if self.reads() => {
                let usage = self.usage(id)?;
                Ok(Answer::ok(self.view().component_usage(usage, &self.fields())))
            }
            [id, "set_user_usage"] if self.posts() => {
                let usage = self.usage(id)?.uuid;
                let line = self.user_usage(&self.request.body)?;
                self.store_user_usage(usage, line);
                Ok(Answer::created_empty())
            }
            [id, "set_user_usages"] if self.posts() && !self.state.is_2024() => self.set_user_usages(id),
            [_, _] if self.posts() => Err(Answer::no_route()),
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn list_usages(&self) -> Outcome {
        let query = &self.request.query;
        let resources = query.uuids("resource_uuid")?;
        let offerings = query.uuids("offering_uuid")?;
        let kinds: Vec<&str> = query.all("type").collect();
        let date = |name: &str| query.get(name).and_then(|text| text.parse::<Date>().ok());
        let (period, after, before) = (date("billing_period"), date("date_after"), date("date_before"));
        let mut rows: Vec<&ComponentUsage> = self
            .state
            .usages
            .select(&resources, &[])
            .into_iter()
            .filter(|row| kinds.is_empty() || kinds.contains(&row.kind.as_str()))
            .filter(|row| period.is_none_or(|period| period == row.billing_period))
            .filter(|row| after.is_none_or(|after| day(row.date) >= after))
            .filter(|row| before.is_none_or(|before| day(row.date) <= before))
            .filter(|row| {
                let resource = self.state.resources.get(row.resource);
                resource
                    .is_some_and(|resource| among(&offerings, resource.offering) && self.sees_usage(resource))
            })
            .collect();
        rows.sort_by(|a, b| a.kind.cmp(&b.kind));
        self.page(&rows, |view, row, fields| view.component_usage(row, fields))
    }

    fn sees_usage(&self, resource: &Resource) -> bool {
        self.state.provides(self.actor, resource.offering) || self.state.consumes(self.actor, resource)
    }

    fn usage(&self, id: &str) -> Result<&ComponentUsage, Answer> {
        let usage = parse_uuid(id).and_then(|uuid| self.state.usages.get(uuid));
        let seen = |row: &&ComponentUsage| {
            self.state.resources.get(row.resource).is_some_and(|resource| self.sees_usage(resource))
        };
        usage.filter(seen).ok_or_else(|| Answer::no_object("ComponentUsage"))
    }

    fn set_usage(&mut self) -> Outcome {
        let lines = self.lines()?;
        let resource = self.reported_resource()?.clone();
        if !self.state.provides(self.actor, resource.offering) {
            return Err(Answer::forbidden());
        }
        if !matches!(resource.state, ResourceState::Ok | ResourceState::Updating | ResourceState::Terminating)
        {
            return Err(Answer::bad_field("resource", "Resource is not in valid state."));
        }
        self.check_components(&resource, &lines)?;
        let at = self.reported_time(&resource, &lines)?;
        let days = self.daily_lines(&resource, &lines, at)?;
        for line in &lines {
            self.store_usage(&resource, line, at, BTreeMap::new());
        }
        let mut lines = lines;
        for (kind, days) in days {
            lines.push(self.store_days(&resource, kind, days, at));
        }
        // Replaced wholesale by what this report holds (measurement 152).
        let usages: Map<String, Value> =
            lines.into_iter().map(|line| (line.kind, Value::String(line.amount))).collect();
        if period_of(at) == period_of(self.state.now()) {
            self.state.change_resource(resource.uuid, |row| row.current_usages = usages);
        }
        Ok(Answer::created_empty())
    }

    /// `resource` or `plan_period` of the body.
    fn reported_resource(&self) -> Result<&Resource, Answer> {
        let neither = "Either plan_period or resource should be provided.";
        let missing = |field: &str| Answer::bad_field(field, "Object does not exist.");
        if let Some(resource) = self.request.reference("resource") {
            return self.state.resources.get(resource).ok_or_else(|| missing("resource"));
        }
        let period = self
            .request
            .reference("plan_period")
            .ok_or_else(|| Answer::bad_field("non_field_errors", neither))?;
        self.state
            .resources
            .iter()
            .find(|row| row.plan_period == period)
            .ok_or_else(|| missing("plan_period"))
    }

    fn lines(&self) -> Result<Vec<Line>, Answer> {
        let lines = self.request.body.get("usages").and_then(Value::as_array);
        let lines = lines.ok_or_else(|| Answer::bad_field("usages", "This field is required."))?;
        let results: Vec<Result<Line, Value>> = lines.iter().map(line).collect();
        if results.iter().any(Result::is_err) {
            let errors: Vec<Value> =
                results.into_iter().map(|line| line.err().unwrap_or_else(|| json!({}))).collect();
            return Err(Answer::bad_request(json!({ "usages": errors })));
        }
        Ok(results.into_iter().filter_map(Result::ok).collect())
    }

    /// Usage is taken for components that are billed by usage or limit, and prepaid ones in the current generation.
    fn check_components(&self, resource: &Resource, lines: &[Line]) -> Result<(), Answer> {
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        let takes_usage = |kind: &str| {
            offering.component(kind).is_some_and(|component| match component.billing_type.as_str() {
                "usage" | "limit" => true,
                "one" => !self.state.is_2024(),
                _ => false,
            })
        };
        let mut invalid: Vec<&str> =
            lines.iter().map(|line| line.kind.as_str()).filter(|kind| !takes_usage(kind)).collect();
        invalid.sort_unstable();
        if invalid.is_empty() {
            return Ok(());
        }
        let message = format!("These components are invalid: {}.", invalid.join(", "));
        Err(Answer::bad_field("non_field_errors", &message))
    }

    /// The `date` of the report, which the 2024 server ignores (measurement 133).
    fn reported_time(&self, resource: &Resource, lines: &[Line]) -> Result<Timestamp, Answer> {
        let now = self.state.now();
        let Some(text) = self.request.text("date").filter(|_| !self.state.is_2024()) else { return Ok(now) };
        let at = parse_instant(text)
            .ok_or_else(|| Answer::bad_field("date", "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."))?;
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        let by_usage =
            |line: &Line| offering.component(&line.kind).is_some_and(|row| row.billing_type == "usage");
        if period_of(at) < period_of(now) && !self.actor.is_staff && lines.iter().any(by_usage) {
            return Err(Answer::bad_field(
                "date",
                "Service providers can only specify date for limit-based or prepaid billing components when \
                 backfilling past billing periods.",
            ));
        }
        Ok(at)
    }

    /// One row for each (resource, component, billing period).
    pub(super) fn store_usage(
        &mut self,
        resource: &Resource,
        line: &Line,
        at: Timestamp,
        days: BTreeMap<Date, i64>,
    ) {
        let (now, actor, billing_period) = (self.state.now(), self.actor.user, period_of(at));
        let rows = self.state.usages.select(&[resource.uuid], &[]);
        let same = |row: &&&ComponentUsage| row.kind == line.kind && row.billing_period == billing_period;
        let known = rows.iter().find(same).map(|row| row.uuid());
        let uuid = known.unwrap_or_else(|| self.state.draw_uuid());
        let created = known.and_then(|uuid| self.state.usages.get(uuid)).map_or(now, |row| row.created);
        self.state.usages.insert(ComponentUsage {
            uuid,
            resource: resource.uuid,
            kind: line.kind.clone(),
            usage: line.amount.clone(),
            description: line.description.clone(),
            recurring: line.recurring,
            date: at,
            billing_period,
            days,
            modified_by: Some(actor),
            created,
        });
    }

    /// All or nothing.
    fn set_user_usages(&mut self, id: &str) -> Outcome {
        let usage = self.usage(id)?.uuid;
        let lines = self.request.body.get("usages").and_then(Value::as_array);
        let lines = lines.ok_or_else(|| Answer::bad_field("usages", "This field is required."))?;
        let lines: Vec<UserLine> =
            lines.iter().map(|line| self.user_usage(line)).collect::<Result<_, _>>()?;
        for line in lines {
            self.store_user_usage(usage, line);
        }
        Ok(Answer::created_empty())
    }

    fn user_usage(&self, body: &Value) -> Result<UserLine, Answer> {
        let required = |field: &str| Answer::bad_field(field, "This field is required.");
        let username = body.get("username").and_then(Value::as_str).ok_or_else(|| required("username"))?;
        if username.chars().count() > 100 {
            return Err(Answer::bad_field("username", "Ensure this field has no more than 100 characters."));
        }
        let usage = body.get("usage").ok_or_else(|| required("usage"))?;
        let usage = two_decimals(usage).map_err(|text| Answer::bad_field("usage", text))?;
        let offering_user = body.get("user").and_then(Value::as_str).and_then(super::request::uuid_of_url);
        Ok((username.to_owned(), usage, offering_user))
    }

    /// One row for each (component usage, user name).
    fn store_user_usage(&mut self, component_usage: Uuid, (username, usage, offering_user): UserLine) {
        let now = self.state.now();
        let Some(resource) = self.state.usages.get(component_usage).map(|row| row.resource) else { return };
        let rows = self.state.user_usages.select(&[resource], &[]);
        let same =
            |row: &&&ComponentUserUsage| row.component_usage == component_usage && row.username == username;
        let known = rows.iter().find(same).map(|row| (row.uuid, row.created));
        let (uuid, created) = known.unwrap_or_else(|| (self.state.draw_uuid(), now));
        let modified = now;
        self.state.user_usages.insert(ComponentUserUsage {
            uuid,
            component_usage,
            resource,
            username,
            offering_user,
            usage,
            created,
            modified,
        });
    }

    pub(crate) fn component_user_usages(&self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let query = &self.request.query;
                let resources = query.uuids("resource_uuid")?;
                let offerings = query.uuids("offering_uuid")?;
                let period =
                    query.get("component_usage__billing_period").and_then(|text| text.parse::<Date>().ok());
                let rows: Vec<&ComponentUserUsage> = self
                    .state
                    .user_usages
                    .select(&resources, &[])
                    .into_iter()
                    .filter(|row| query.get("username").is_none_or(|name| name == row.username))
                    .filter(|row| {
                        let usage = self.state.usages.get(row.component_usage);
                        period.is_none_or(|period| usage.is_some_and(|usage| usage.billing_period == period))
                    })
                    .filter(|row| {
                        let resource = self.state.resources.get(row.resource);
                        resource.is_some_and(|row| among(&offerings, row.offering) && self.sees_usage(row))
                    })
                    .collect();
                self.page(&rows, |view, row, fields| view.component_user_usage(row, fields))
            }
            [] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    pub(crate) fn component_user_usage_limits(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let resources = self.request.query.uuids("resource_uuid")?;
                let offerings = self.request.query.uuids("offering_uuid")?;
                let rows: Vec<&ComponentUserUsageLimit> = self
                    .state
                    .user_limits
                    .select(&resources, &[])
                    .into_iter()
                    .filter(|row| {
                        let resource = self.state.resources.get(row.resource);
                        resource.is_some_and(|row| among(&offerings, row.offering) && self.sees_usage(row))
                    })
                    .collect();
                self.page(&rows, |view, row, fields| view.component_user_usage_limit(row, fields))
            }
            [] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }
}

type UserLine = (String, String, Option<Uuid>);

fn line(line: &Value) -> Result<Line, Value> {
    let required = json!(["This field is required."]);
    let kind = line.get("type").and_then(Value::as_str).ok_or_else(|| json!({ "type": required }))?;
    let amount = line.get("amount").ok_or_else(|| json!({ "amount": required }))?;
    let amount = two_decimals(amount).map_err(|text| json!({ "amount": [text] }))?;
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let recurring = line.get("recurring").and_then(Value::as_bool).unwrap_or_default();
    Ok(Line { kind: kind.to_owned(), amount, description: text("description"), recurring })
}

/// A decimal number or text as Waldur keeps it: `1.5` becomes `1.50`; at most two decimals and 20 digits.
pub(super) fn two_decimals(value: &Value) -> Result<String, &'static str> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err("A valid number is required."),
    };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return Err("A valid number is required.");
    }
    if fraction.trim_end_matches('0').len() > 2 {
        return Err("Ensure that there are no more than 2 decimal places.");
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 18 {
        return Err("Ensure that there are no more than 18 digits before the decimal point.");
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = format!("{fraction:0<2}");
    Ok(format!("{sign}{whole}.{}", &fraction[..2]))
}

pub(super) fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// First day of the month, in the server's time zone, which is UTC.
pub(super) fn period_of(at: Timestamp) -> Date {
    day(at).first_of_month()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_two_decimals() {
        for (given, kept) in [
            (json!(2), "2.00"),
            (json!("1.5"), "1.50"),
            (json!(-1), "-1.00"),
            (json!("0.500"), "0.50"),
            (json!(".25"), "0.25"),
            (json!("007"), "7.00"),
        ] {
            assert_eq!(two_decimals(&given).as_deref(), Ok(kept), "{given}");
        }
        for refused in
            [json!("1.234"), json!("1e3"), json!(""), json!("NaN"), json!(null), json!("1234567890123456789")]
        {
            assert!(two_decimals(&refused).is_err(), "{refused}");
        }
    }
}

//! Usage of single days, as a Waldur with spending limits takes it (Waldur contract §5.3): its components carry the field
//! `spending_limit_periods`, whatever is in it. A server without it does not look at `daily_usages`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::answer::Answer;
use super::call::Call;
use super::model::Resource;
use super::usages::{Line, period_of, two_decimals};

/// Days of one component, in hundredths.
type Days = BTreeMap<Date, i64>;

impl Call<'_> {
    /// The days of a report by component, all within its month and none to come.
    pub(super) fn daily_lines(
        &self,
        resource: &Resource,
        months: &[Line],
        at: Timestamp,
    ) -> Result<BTreeMap<String, Days>, Answer> {
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        let takes_days =
            offering.components.iter().any(|component| component.more.contains_key("spending_limit_periods"));
        let mut all: BTreeMap<String, Days> = BTreeMap::new();
        let lines = self.request.body.get("daily_usages").and_then(Value::as_array).filter(|_| takes_days);
        for line in lines.into_iter().flatten() {
            let refused = |text: &str| Answer::bad_field("daily_usages", text);
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
            let kind = text("type");
            if offering.component(kind).is_none_or(|component| component.billing_type != "usage") {
                return Err(refused(&format!("Component {kind} does not take daily usage.")));
            }
            if months.iter().any(|line| line.kind == kind) {
                return Err(refused(&format!("Component {kind} has a month total in the same report.")));
            }
            let day: Date = text("date").parse().map_err(|_| refused("Date has wrong format."))?;
            if day.first_of_month() != period_of(at) || day > super::usages::day(self.state.now()) {
                return Err(refused(&format!("{day} is not in the reported part of the billing period.")));
            }
            let amount = two_decimals(line.get("amount").unwrap_or(&Value::Null)).map_err(refused)?;
            all.entry(kind.to_owned()).or_default().insert(day, hundredths(&amount));
        }
        let has_days = |line: &&Line| {
            let rows = self.state.usages.select(&[resource.uuid], &[]);
            let mut same =
                rows.into_iter().filter(|row| row.kind == line.kind && row.billing_period == period_of(at));
            same.any(|row| !row.days.is_empty())
        };
        match months.iter().find(has_days) {
            Some(line) => {
                let text = format!("The month of {} is the sum of its days.", line.kind);
                Err(Answer::bad_field("usages", &text))
            }
            None => Ok(all),
        }
    }

    /// Days that are named are replaced and the others stay; the month is the sum of all.
    pub(super) fn store_days(
        &mut self,
        resource: &Resource,
        kind: String,
        days: Days,
        at: Timestamp,
    ) -> Line {
        let rows = self.state.usages.select(&[resource.uuid], &[]);
        let same = rows.into_iter().find(|row| row.kind == kind && row.billing_period == period_of(at));
        let mut all = same.map(|row| row.days.clone()).unwrap_or_default();
        all.extend(days);
        let sum: i64 = all.values().sum();
        let amount = format!("{}{}.{:02}", if sum < 0 { "-" } else { "" }, sum.abs() / 100, sum.abs() % 100);
        let line = Line { kind, amount, description: String::new(), recurring: false };
        self.store_usage(resource, &line, at, all);
        line
    }
}

/// `1.50` as 150.
fn hundredths(amount: &str) -> i64 {
    amount.replace('.', "").parse().unwrap_or_default()
}

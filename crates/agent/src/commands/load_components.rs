//! `waldur_site_load_components`: brings the components of each offering in Waldur to what the configuration says.
//!
//! Components that only Waldur has stay. What is as it should be is not written.

use serde_json::{Map, Value, json};

use super::{Manner, complain, offering, say};
use crate::error::ApiError;
use crate::settings::{ComponentSettings, ExactDecimal, OfferingSettings, Settings};
use crate::waldur::inspect::ComponentAnswer;

/// Loads them all; false if something failed.
pub(crate) async fn run(settings: &Settings, manner: Manner) -> bool {
    let mut all_well = true;
    for offering in &settings.offerings {
        match of_offering(settings, offering, manner).await {
            Ok(well) => all_well &= well,
            Err(error) => {
                complain(&offering.name, &format!("{error:#}"));
                all_well = false;
            }
        }
    }
    all_well
}

async fn of_offering(
    settings: &Settings,
    configured: &OfferingSettings,
    manner: Manner,
) -> anyhow::Result<bool> {
    let built = offering(settings, configured, "load_components", manner)?;
    let known = built.waldur.offering_answer(configured.offering_uuid).await?.components;
    let mut all_well = true;
    for component in &configured.components {
        let name = &component.name;
        let there = known.iter().find(|known| known.kind == *name);
        let mut wanted = wanted(component);
        let what = match there {
            Some(there) => {
                keep_period(&mut wanted, there);
                let changes = changes(&wanted, there);
                if changes.is_empty() {
                    say(&configured.name, &format!("component `{name}` is as configured"));
                    continue;
                }
                if let Some(uuid) = there.uuid {
                    wanted.insert("uuid".to_owned(), json!(uuid.simple().to_string()));
                }
                format!("component `{name}` changed: {}", changes.join(", "))
            }
            None => format!("component `{name}` made"),
        };
        if manner.dry_run {
            say(&configured.name, &format!("would: {what}"));
            continue;
        }
        let body = Value::Object(wanted);
        let written: Result<(), ApiError> = match there {
            Some(_) => built.waldur.update_component(configured.offering_uuid, &body).await,
            None => built.waldur.create_component(configured.offering_uuid, &body).await,
        };
        match written {
            Ok(()) => say(&configured.name, &what),
            Err(error) => {
                complain(&configured.name, &format!("component `{name}`: {error}"));
                all_well = false;
            }
        }
    }
    Ok(all_well)
}

/// A component as it is sent (Waldur contract §1.6). What the file does not say is not sent.
fn wanted(component: &ComponentSettings) -> Map<String, Value> {
    let portal = &component.portal;
    let fields = [
        ("type", Some(json!(component.name))),
        ("name", Some(json!(component.label))),
        ("measured_unit", Some(json!(component.measured_unit))),
        ("billing_type", Some(json!(component.accounting_type.as_str()))),
        ("limit_amount", component.limit.map(number)),
        ("description", portal.description.as_ref().map(|text| json!(text))),
        ("article_code", portal.article_code.as_ref().map(|text| json!(text))),
        ("min_value", portal.min_value.map(Value::from)),
        ("max_value", portal.max_value.map(Value::from)),
        ("max_available_limit", portal.max_available_limit.map(Value::from)),
        ("default_limit", portal.default_limit.map(Value::from)),
        ("limit_period", portal.limit_period.map(|period| json!(period.as_str()))),
        ("is_boolean", portal.is_boolean.map(Value::from)),
        ("is_prepaid", portal.is_prepaid.map(Value::from)),
        ("min_prepaid_duration", portal.min_prepaid_duration.map(Value::from)),
        ("max_prepaid_duration", portal.max_prepaid_duration.map(Value::from)),
        ("prepaid_duration_step", portal.prepaid_duration_step.map(Value::from)),
        ("min_renewal_duration", portal.min_renewal_duration.map(Value::from)),
        ("max_renewal_duration", portal.max_renewal_duration.map(Value::from)),
        ("renewal_duration_step", portal.renewal_duration_step.map(Value::from)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// As JSON has it, digit by digit.
fn number(value: ExactDecimal) -> Value {
    let text = value.to_string();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The server would empty what an update leaves out: the period, and whatever else the file does not say.
fn keep_period(wanted: &mut Map<String, Value>, there: &ComponentAnswer) {
    const KEPT: [&str; 17] = [
        "limit_amount",
        "description",
        "article_code",
        "min_value",
        "max_value",
        "max_available_limit",
        "default_limit",
        "limit_period",
        "is_boolean",
        "is_prepaid",
        "min_prepaid_duration",
        "max_prepaid_duration",
        "prepaid_duration_step",
        "min_renewal_duration",
        "max_renewal_duration",
        "renewal_duration_step",
        "overage_component",
    ];
    for name in KEPT {
        if let Some(value) = there.rest.get(name).filter(|value| !value.is_null()) {
            wanted.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// `name: before → after` for each field that differs.
fn changes(wanted: &Map<String, Value>, there: &ComponentAnswer) -> Vec<String> {
    let before = |name: &str| match name {
        "type" => json!(there.kind),
        "measured_unit" => json!(there.measured_unit),
        "billing_type" => json!(there.billing_type),
        other => there.rest.get(other).cloned().unwrap_or(Value::Null),
    };
    let differ = wanted.iter().map(|(name, value)| (name, before(name), value));
    let differ = differ.filter(|(_, before, after)| plain(before) != plain(after));
    differ.map(|(name, before, after)| format!("{name}: {} → {}", plain(&before), plain(after))).collect()
}

/// Numbers as the server writes them may be texts.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    match text.split_once('.') {
        Some((whole, zeros)) if !whole.is_empty() && zeros.bytes().all(|digit| digit == b'0') => {
            whole.to_owned()
        }
        _ => text,
    }
}

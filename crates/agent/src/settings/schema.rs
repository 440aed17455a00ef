//! The JSON Schema of the configuration, made from the table of keys.
//!
//! It describes the usual spellings for editors; `config check` is more generous and finds more.

use serde_json::{Map, Value as Json, json};

use super::keys::{
    Absent, BACKEND_SETTINGS, Bound, COMPONENT, EVENT_PROCESSING, GLOBAL, Key, Kind, LIFECYCLE, LIMIT_RANGE,
    LIMIT_RANGE_ITEM, LIMIT_RANGE_TEMPLATE, LOG_SHIPPING, MANIFEST, MONITORING, OAUTH, OFFERING,
    PERIODIC_LIMITS, POD_SECURITY, PROJECT_TEMPLATE, QUOTA_TARGET, RESOURCE_QUOTA, SCOPE_EXPRESSION,
    SCOPE_SELECTOR, SERVICE_ACCOUNT, SUBJECTS, Stage, TOKEN_CONFIG, flat,
};
use super::yaml::{self, Node, Value};

/// Sections by the name they have in `$defs`.
const SECTIONS: [(&str, &[Key]); 22] = [
    ("offering", OFFERING),
    ("backend_settings", BACKEND_SETTINGS),
    ("token_config", TOKEN_CONFIG),
    ("oauth_config", OAUTH),
    ("limit_range", LIMIT_RANGE),
    ("lifecycle", LIFECYCLE),
    ("periodic_limits", PERIODIC_LIMITS),
    ("subjects", SUBJECTS),
    ("component", COMPONENT),
    ("quota_target", QUOTA_TARGET),
    ("event_processing", EVENT_PROCESSING),
    ("project_template", PROJECT_TEMPLATE),
    ("service_account", SERVICE_ACCOUNT),
    ("manifest", MANIFEST),
    ("pod_security", POD_SECURITY),
    ("resource_quota", RESOURCE_QUOTA),
    ("scope_selector", SCOPE_SELECTOR),
    ("scope_expression", SCOPE_EXPRESSION),
    ("limit_range_template", LIMIT_RANGE_TEMPLATE),
    ("limit_range_item", LIMIT_RANGE_ITEM),
    ("log_shipping", LOG_SHIPPING),
    ("monitoring", MONITORING),
];

/// What stands for a variable in any value.
const VARIABLE: &str = r"\$\{";

/// The schema of both forms of the file, as JSON Schema 2020-12.
pub fn schema() -> Json {
    let definitions: Map<String, Json> =
        SECTIONS.into_iter().map(|(name, keys)| (name.to_owned(), section(keys))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the Waldur site agent for OKD",
        "type": "object",
        "if": {"required": ["offerings"]},
        "then": section(GLOBAL),
        "else": section(&flat()),
        "$defs": definitions,
    })
}

fn section(keys: &[Key]) -> Json {
    let properties: Map<String, Json> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        keys.iter().filter(|key| key.absent == Absent::Required).map(|key| key.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Json {
    let mut schema = kind(key.kind);
    if key.absent != Absent::Required {
        schema = or_null(schema);
    }
    let Json::Object(members) = &mut schema else { return schema };
    members.insert("description".to_owned(), json!(documented(key)));
    if let Absent::Default(text) = key.absent {
        members.insert("default".to_owned(), default(key.kind, text));
    }
    if let Some(example) = key.example.filter(|_| !matches!(key.kind, Kind::Secret)) {
        members.insert("examples".to_owned(), json!([default(key.kind, example)]));
    }
    if key.stage == Stage::Ignored {
        members.insert("deprecated".to_owned(), json!(true));
    }
    schema
}

/// The documentation of a key with what its stage means.
pub(crate) fn documented(key: &Key) -> String {
    match key.stage {
        Stage::Now | Stage::Ignored => key.doc.to_owned(),
        Stage::Later => format!("{} Checked, but without effect in this version.", key.doc),
    }
}

/// Null means the same as leaving a key out.
fn or_null(schema: Json) -> Json {
    match schema {
        Json::Object(mut members) if members.contains_key("type") => {
            let types = match members.remove("type") {
                Some(Json::Array(types)) => types,
                Some(one) => vec![one],
                None => Vec::new(),
            };
            let types: Vec<Json> = types.into_iter().chain([json!("null")]).collect();
            members.insert("type".to_owned(), json!(types));
            Json::Object(members)
        }
        Json::Object(members) if members.is_empty() => Json::Object(members),
        other => json!({"anyOf": [other, {"type": "null"}]}),
    }
}

fn kind(kind_of: Kind) -> Json {
    match kind_of {
        Kind::Bool => json!({"type": ["boolean", "string"], "pattern": truth_pattern()}),
        Kind::Int(min, max) if max == i64::MAX => {
            json!({"type": ["integer", "string"], "minimum": min, "pattern": number_pattern()})
        }
        Kind::Int(min, max) => {
            json!({"type": ["integer", "string"], "minimum": min, "maximum": max, "pattern": number_pattern()})
        }
        Kind::Decimal(Bound::Positive) => {
            json!({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": number_pattern()})
        }
        Kind::Decimal(Bound::NotNegative) => {
            json!({"type": ["number", "string"], "minimum": 0, "pattern": number_pattern()})
        }
        Kind::Share => {
            json!({"type": ["number", "string"], "minimum": 0, "maximum": 1, "pattern": either(r"^[0-9.]+%?$")})
        }
        Kind::AmountOrShare => {
            json!({"type": ["number", "string"], "minimum": 0, "pattern": either(r"^[0-9.]+%?$")})
        }
        Kind::Duration => {
            json!({"type": ["integer", "string"], "minimum": 0, "pattern": either("^[0-9]+[smhd]?$")})
        }
        Kind::Quantity => {
            let pattern = either("^[0-9.]+([eE][-+]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$");
            json!({"type": ["number", "string"], "minimum": 0, "pattern": pattern})
        }
        Kind::Text | Kind::ClusterRole => json!({"type": ["string", "number", "boolean"]}),
        Kind::Secret => json!({"type": ["string", "number"], "writeOnly": true}),
        Kind::Path => json!({"type": "string"}),
        Kind::TimeZone => json!({"type": "string"}),
        Kind::Prefix => json!({"type": "string", "pattern": either("^([A-Za-z0-9][A-Za-z0-9-]{0,39})?$")}),
        Kind::Url(schemes) | Kind::CredentialUrl(schemes) => {
            json!({"type": "string", "pattern": either(&format!("^(({})://.+)?$", schemes.join("|")))})
        }
        Kind::BoolOrPath => json!({"type": ["boolean", "string"]}),
        Kind::Uuid => {
            let pattern = "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$";
            json!({"type": ["string", "integer"], "pattern": either(pattern)})
        }
        Kind::Choice(words) => json!({"type": "string", "pattern": either(&choice_pattern(words))}),
        Kind::Section(keys) => reference(keys),
        Kind::List(item) => json!({"type": "array", "items": kind(*item)}),
        Kind::Map(Kind::ClusterRole) => {
            json!({"type": "object", "additionalProperties": or_null(kind(Kind::ClusterRole))})
        }
        Kind::Map(item) => json!({"type": "object", "additionalProperties": kind(*item)}),
        Kind::QuotaTargets => {
            let target = json!({"anyOf": [{"type": "string"}, reference(QUOTA_TARGET)]});
            json!({"anyOf": [{"type": "string"}, reference(QUOTA_TARGET), {"type": "array", "items": target}]})
        }
        Kind::Any => json!({}),
    }
}

fn reference(keys: &[Key]) -> Json {
    match SECTIONS.iter().find(|(_, section)| *section == keys) {
        Some((name, _)) => json!({"$ref": format!("#/$defs/{name}")}),
        None => section(keys),
    }
}

fn either(pattern: &str) -> String {
    format!("{pattern}|{VARIABLE}")
}

fn truth_pattern() -> String {
    let words = ["true", "false", "yes", "no", "on", "off"].map(any_case);
    either(&format!("^({}|[01yntfYNTF])$", words.join("|")))
}

fn number_pattern() -> String {
    either("^[-+]?[0-9_.]+([eE][-+]?[0-9]+)?$")
}

fn choice_pattern(words: &[&str]) -> String {
    format!("^({})?$", words.iter().map(|word| any_case(word)).collect::<Vec<_>>().join("|"))
}

/// A pattern for a word in lower case, upper case and as written; schemas cannot ignore case otherwise.
fn any_case(word: &str) -> String {
    let mut spellings = vec![word.to_owned(), word.to_lowercase(), word.to_uppercase()];
    let mut capital = word.to_lowercase();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    spellings.push(capital);
    spellings.sort();
    spellings.dedup();
    spellings.join("|")
}

/// A value of the table as JSON of the type that the key has.
fn default(kind: Kind, text: &str) -> Json {
    match yaml::documents(text).ok().and_then(|(documents, _)| documents.into_iter().next()) {
        Some(node) => value(kind, &node),
        None => json!(""),
    }
}

fn value(kind: Kind, node: &Node) -> Json {
    let inner = match kind {
        Kind::Map(item) | Kind::List(item) => *item,
        other => other,
    };
    match &node.value {
        Value::Null | Value::Faulty => Json::Null,
        Value::Scalar(scalar) => match inner {
            Kind::Bool | Kind::BoolOrPath if !scalar.quoted => {
                super::scalar::truth(&scalar.text).map_or_else(|| json!(scalar.text), Json::from)
            }
            Kind::Int(..) | Kind::Decimal(_) => {
                super::scalar::whole(&scalar.text).map_or_else(|| json!(scalar.text), Json::from)
            }
            _ => json!(scalar.text),
        },
        Value::List(items) => items.iter().map(|item| value(inner, item)).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), value(inner, &entry.node)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

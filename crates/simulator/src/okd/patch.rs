//! Merge patch (RFC 7386), JSON patch (RFC 6902) and strategic merge patch on JSON values; pure.

use serde_json::{Map, Value};

use super::status::{ApiError, Result};

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The key by which a list of objects is merged strategically; lists without one are replaced.
fn merge_key(list: &str, items: &[Value]) -> Option<&'static str> {
    let key = match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" | "secrets" => "name",
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => "containerPort",
        "ports" => "port",
        "volumeMounts" => "mountPath",
        "ownerReferences" => "uid",
        "conditions" => "type",
        _ => return None,
    };
    Some(key)
}

/// Kubernetes strategic merge patch, for the lists that the simulated resources have.
pub(crate) fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch").is_some_and(|how| how == "replace") {
        let mut whole = patch.clone();
        whole.remove("$patch");
        *target = Value::Object(whole);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(Value::Array(items)) = members.get_mut(list) {
                items.retain(|item| !gone.contains(item));
            }
        } else if name.starts_with('$') {
            // Directives of order say nothing about content.
        } else if value.is_null() || value.get("$patch").is_some_and(|how| how == "delete") {
            members.remove(name);
        } else if let Value::Array(items) = value {
            strategic_list(members.entry(name.clone()).or_insert(Value::Null), name, items);
        } else {
            strategic(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn strategic_list(target: &mut Value, name: &str, patch: &[Value]) {
    if name == "finalizers" {
        let items = target.as_array().cloned().unwrap_or_default();
        let new = patch.iter().filter(|item| !items.contains(item)).cloned();
        *target = items.iter().cloned().chain(new).collect();
        return;
    }
    let (Some(key), Value::Array(items)) = (merge_key(name, patch), &mut *target) else {
        *target = patch.to_vec().into();
        return;
    };
    for item in patch {
        let at = items.iter().position(|live| live.get(key) == item.get(key));
        if item.get("$patch").is_some_and(|how| how == "delete") {
            at.map(|at| items.remove(at));
        } else if let Some(at) = at {
            strategic(&mut items[at], item);
        } else {
            items.push(item.clone());
        }
    }
}

/// RFC 6902.
///
/// # Errors
/// 400 for a patch that is none, 422 for one that does not fit the object.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<()> {
    let Value::Array(steps) = patch else {
        return Err(ApiError::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value",
        ));
    };
    for step in steps {
        json_step(target, step).ok_or_else(ApiError::patch_rejected)?;
    }
    Ok(())
}

fn json_step(target: &mut Value, step: &Value) -> Option<()> {
    let path = step["path"].as_str()?;
    match step["op"].as_str()? {
        "test" => (target.pointer(path)? == step.get("value")?).then_some(()),
        "add" => add(target, path, step.get("value")?.clone()),
        "replace" => {
            *target.pointer_mut(path)? = step.get("value")?.clone();
            Some(())
        }
        "remove" => take(target, path).map(drop),
        "move" => {
            let value = take(target, step["from"].as_str()?)?;
            add(target, path, value)
        }
        "copy" => {
            let value = target.pointer(step["from"].as_str()?)?.clone();
            add(target, path, value)
        }
        _ => None,
    }
}

fn last(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, name) = last(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(members) => {
            members.insert(name, value);
            Some(())
        }
        Value::Array(items) => {
            let at =
                if name == "-" { items.len() } else { name.parse().ok().filter(|at| *at <= items.len())? };
            items.insert(at, value);
            Some(())
        }
        _ => None,
    }
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = last(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&name),
        Value::Array(items) => {
            let at = name.parse().ok().filter(|at: &usize| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_adds_and_null_removes() {
        let mut value = json!({"a": {"b": 1, "c": 2}});
        merge(&mut value, &json!({"a": {"b": null, "d": 3}}));
        assert_eq!(value, json!({"a": {"c": 2, "d": 3}}));
    }

    #[test]
    fn strategic_lists_merge_by_key_and_others_are_replaced() {
        let mut value = json!({"containers": [{"name": "a", "image": "x"}], "subjects": [{"name": "a"}]});
        let patch =
            json!({"containers": [{"name": "b"}, {"name": "a", "image": "y"}], "subjects": [{"name": "b"}]});
        strategic(&mut value, &patch);
        assert_eq!(value["containers"], json!([{"name": "a", "image": "y"}, {"name": "b"}]));
        assert_eq!(value["subjects"], json!([{"name": "b"}]));
        strategic(&mut value, &json!({"containers": [{"$patch": "delete", "name": "a"}]}));
        assert_eq!(value["containers"], json!([{"name": "b"}]));
    }

    #[test]
    fn a_json_patch_that_does_not_fit_is_refused() {
        let mut value = json!({"a": [1]});
        assert!(json(&mut value, &json!([{"op": "add", "path": "/a/-", "value": 2}])).is_ok());
        assert_eq!(value, json!({"a": [1, 2]}));
        assert!(json(&mut value, &json!([{"op": "test", "path": "/a/0", "value": 2}])).is_err());
        assert!(json(&mut value, &json!([{"op": "remove", "path": "/b"}])).is_err());
    }
}

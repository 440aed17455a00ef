//! Rendering with `field=` selection (Waldur contract §2.3): a value is computed only when it is asked for.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::request::Query;

/// The fields that a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Fields(Option<HashSet<String>>);

impl Fields {
    /// Every field.
    pub(crate) fn all() -> Self {
        Self(None)
    }

    /// The selection of a query; none means all.
    pub(crate) fn of(query: &Query) -> Self {
        let names: HashSet<String> = query.all("field").map(str::to_owned).collect();
        Self((!names.is_empty()).then_some(names))
    }

    fn wants(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// An object under construction.
pub(crate) struct Object<'a> {
    fields: &'a Fields,
    map: Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(fields: &'a Fields) -> Self {
        Self { fields, map: Map::new() }
    }

    /// Adds a field whose value is cheap.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        if self.fields.wants(name) {
            self.map.insert(name.to_owned(), value.into());
        }
    }

    /// Adds a field whose value is worth computing only when wanted.
    pub(crate) fn with<V: Into<Value>>(&mut self, name: &str, value: impl FnOnce() -> V) {
        if self.fields.wants(name) {
            self.map.insert(name.to_owned(), value().into());
        }
    }

    /// Adds fields with the value `null`.
    pub(crate) fn nulls(&mut self, names: &[&str]) {
        for name in names {
            self.put(name, Value::Null);
        }
    }

    /// Adds fields with the value `""`.
    pub(crate) fn blanks(&mut self, names: &[&str]) {
        for name in names {
            self.put(name, "");
        }
    }

    /// Adds every wanted field of a map.
    pub(crate) fn extend(&mut self, more: &Map<String, Value>) {
        for (name, value) in more {
            self.put(name, value.clone());
        }
    }

    /// Takes a field away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.map.remove(name);
    }

    pub(crate) fn finish(self) -> Value {
        Value::Object(self.map)
    }
}

/// Renders with the selection; when it names no field that exists, renders everything.
pub(crate) fn render(fields: &Fields, draw: impl Fn(&mut Object<'_>)) -> Value {
    let mut object = Object::new(fields);
    draw(&mut object);
    if object.map.is_empty() && fields.0.is_some() {
        let all = Fields::all();
        let mut object = Object::new(&all);
        draw(&mut object);
        return object.finish();
    }
    object.finish()
}

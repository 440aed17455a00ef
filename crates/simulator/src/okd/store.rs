//! The objects, their order in time, and what watchers are told.
//!
//! Keeps each object as its JSON text, so that a read costs a copy of bytes and 50,000 namespaces fit in memory. No rule of
//! any resource lives here: what may be written is decided by the callers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::{KINDS, Kind};
use super::rbac::Parsed;
use super::selector::Labels;

/// Namespace (empty for cluster resources) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    /// The object without `kind` and `apiVersion`.
    pub(crate) raw: Bytes,
    pub(crate) version: u64,
    pub(crate) uid: Box<str>,
    pub(crate) labels: Labels,
    pub(crate) deleting: bool,
    /// Rules or subjects, for the authoriser.
    pub(crate) parsed: Parsed,
}

impl Stored {
    /// The object without `kind` and `apiVersion`.
    pub(crate) fn value(&self) -> Value {
        // What is stored was serialised here, so it parses.
        serde_json::from_slice(&self.raw).unwrap_or_default()
    }

    /// An object that is shown but not kept, as of a dry run.
    pub(crate) fn unsaved(kind: &Kind, object: &Value) -> Self {
        stored(kind, object, 0)
    }

    /// The object as an answer, with `kind` and `apiVersion` in front.
    pub(crate) fn json(&self, kind: &Kind) -> Bytes {
        with_type(kind.kind, &kind.api_version(), &self.raw)
    }
}

/// Puts `kind` and `apiVersion` before the members of a JSON object.
pub(crate) fn with_type(kind: &str, api_version: &str, raw: &[u8]) -> Bytes {
    let mut body = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\"").into_bytes();
    if raw.len() > 2 {
        body.push(b',');
    }
    body.extend_from_slice(raw.get(1..).unwrap_or(b"}"));
    Bytes::from(body)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One step of the history.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) change: Change,
    pub(crate) version: u64,
    pub(crate) object: Arc<Stored>,
    /// Labels before, to tell what enters or leaves a selection.
    pub(crate) before: Option<Arc<Stored>>,
    line: OnceLock<Bytes>,
}

impl Event {
    /// The watch line, made once however many watch.
    pub(crate) fn line(&self, kind: &Kind) -> Bytes {
        self.line.get_or_init(|| event_line(self.change.name(), &self.object.json(kind))).clone()
    }
}

/// `{"type":…,"object":…}` and a line feed.
pub(crate) fn event_line(change: &str, object: &[u8]) -> Bytes {
    let mut line = format!("{{\"type\":\"{change}\",\"object\":").into_bytes();
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}

/// Labels that lists are asked for by; others are found by looking at each object.
const INDEXED: [&str; 3] = ["app.kubernetes.io/managed-by", "waldur/resource-uuid", "waldur/organization"];

/// All objects of one resource.
#[derive(Debug)]
pub(crate) struct Table {
    objects: BTreeMap<Key, Arc<Stored>>,
    index: HashMap<(usize, Box<str>), BTreeSet<Key>>,
    history: VecDeque<Arc<Event>>,
    /// The oldest version from which a watch can start.
    pub(crate) compacted: u64,
    /// Tells watchers that the history grew.
    pub(crate) news: watch::Sender<u64>,
}

impl Table {
    fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            index: HashMap::new(),
            history: VecDeque::new(),
            compacted: 0,
            news: watch::Sender::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    fn link(&mut self, stored: &Arc<Stored>) {
        for (at, label) in INDEXED.iter().enumerate() {
            if let Some(value) = stored.labels.get(*label) {
                self.index.entry((at, value.clone())).or_default().insert(stored.key.clone());
            }
        }
    }

    fn unlink(&mut self, stored: &Stored) {
        for (at, label) in INDEXED.iter().enumerate() {
            let Some(value) = stored.labels.get(*label) else { continue };
            let entry = (at, value.clone());
            if let Some(keys) = self.index.get_mut(&entry) {
                keys.remove(&stored.key);
                if keys.is_empty() {
                    self.index.remove(&entry);
                }
            }
        }
    }

    /// Objects in key order from `start` on, of one namespace or of all.
    pub(crate) fn range(
        &self,
        namespace: Option<&str>,
        start: Option<&Key>,
    ) -> impl Iterator<Item = &Arc<Stored>> {
        let first = Key::new(namespace.unwrap_or_default(), "");
        let start = start.filter(|start| **start > first).cloned().unwrap_or(first);
        let namespace: Option<Box<str>> = namespace.map(Into::into);
        self.objects
            .range((Bound::Included(start), Bound::Unbounded))
            .take_while(move |(key, _)| namespace.as_deref().is_none_or(|wanted| wanted == &*key.namespace))
            .map(|(_, stored)| stored)
    }

    /// The keys under an indexed label; `None` if the label is not indexed.
    pub(crate) fn labelled(&self, label: &str, value: &str) -> Option<Option<&BTreeSet<Key>>> {
        let at = INDEXED.iter().position(|indexed| *indexed == label)?;
        Some(self.index.get(&(at, value.into())))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    /// Events after `version`, at most `limit`.
    pub(crate) fn since(&self, version: u64, limit: usize) -> Vec<Arc<Event>> {
        let start = self.history.partition_point(|event| event.version <= version);
        self.history.range(start..).take(limit).cloned().collect()
    }
}

/// All objects of the cluster under one counter of versions.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    tables: Vec<Table>,
    history_limit: usize,
    random: fastrand::Rng,
}

impl Store {
    pub(crate) fn new(seed: u64, history_limit: usize) -> Self {
        let tables = KINDS.iter().map(|_| Table::new()).collect();
        Self { version: 1, tables, history_limit, random: fastrand::Rng::with_seed(seed) }
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn table(&self, kind: &Kind) -> &Table {
        &self.tables[kind.id]
    }

    pub(crate) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Arc<Stored>> {
        self.table(kind).get(&Key::new(namespace, name))
    }

    pub(crate) fn new_uid(&mut self) -> String {
        let bytes: [u8; 16] = std::array::from_fn(|_| self.random.u8(..));
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// Five characters as `generateName` appends.
    pub(crate) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(LETTERS[self.random.usize(..LETTERS.len())])).collect()
    }

    /// Writes an object (without `kind` and `apiVersion`) under its name and gives it the next version.
    pub(crate) fn put(&mut self, kind: &Kind, mut object: Value) -> Arc<Stored> {
        self.version += 1;
        let version = self.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let stored = Arc::new(stored(kind, &object, version));
        let table = &mut self.tables[kind.id];
        let before = table.objects.insert(stored.key.clone(), Arc::clone(&stored));
        if before.as_ref().is_none_or(|before| before.labels != stored.labels) {
            if let Some(before) = &before {
                table.unlink(before);
            }
            table.link(&stored);
        }
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.record(kind, change, Arc::clone(&stored), before);
        stored
    }

    /// Removes an object; watchers see its last state under a new version.
    pub(crate) fn remove(&mut self, kind: &Kind, key: &Key) -> Option<Arc<Stored>> {
        let table = &mut self.tables[kind.id];
        let last = table.objects.remove(key)?;
        table.unlink(&last);
        self.version += 1;
        let mut object = last.value();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let gone = Arc::new(stored(kind, &object, self.version));
        self.record(kind, Change::Deleted, Arc::clone(&gone), Some(last));
        Some(gone)
    }

    fn record(&mut self, kind: &Kind, change: Change, object: Arc<Stored>, before: Option<Arc<Stored>>) {
        let version = self.version;
        let limit = self.history_limit;
        let table = &mut self.tables[kind.id];
        table.history.push_back(Arc::new(Event { change, version, object, before, line: OnceLock::new() }));
        while table.history.len() > limit {
            if let Some(dropped) = table.history.pop_front() {
                table.compacted = dropped.version;
            }
        }
        table.news.send_replace(version);
    }

    /// Forgets the history of every resource: watches and continued lists from before answer 410.
    pub(crate) fn compact(&mut self) {
        let version = self.version;
        for table in &mut self.tables {
            table.history.clear();
            table.compacted = version;
            // Watchers that are behind must learn that they cannot catch up.
            table.news.send_replace(version);
        }
    }
}

fn stored(kind: &Kind, object: &Value, version: u64) -> Stored {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    let labels = metadata["labels"].as_object().map(|labels| {
        labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().unwrap_or_default().into()))
            .collect()
    });
    Stored {
        key: Key::new(text("namespace"), text("name")),
        raw: Bytes::from(object.to_string()),
        version,
        uid: text("uid").into(),
        labels: labels.unwrap_or_default(),
        deleting: metadata.get("deletionTimestamp").is_some(),
        parsed: Parsed::of(kind, object),
    }
}

/// The bookmark that ends the initial events of a streamed list, or a plain one.
pub(crate) fn bookmark(kind: &Kind, version: u64, initial_events_end: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
    event_line("BOOKMARK", object.to_string().as_bytes())
}

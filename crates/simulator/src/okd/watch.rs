//! Watches: streams of changes, for ordinary resources and, in their own way, for projects.
//!
//! A watch holds only a position in the history and is woken when it grows; what it sends was made once for all watchers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Okd;
use super::kinds::{Kind, NAMESPACES, PROJECTS};
use super::list::{self, Selection};
use super::projects_view;
use super::rbac::User;
use super::request::{Form, Query};
use super::status::{ApiError, Result};
use super::store::{Change, Event, Store, Stored, bookmark, event_line};

/// How many events are taken from the history under one lock.
const BATCH: usize = 512;

/// The longest a watch lasts where the client says nothing.
const DEFAULT_TIMEOUT: u64 = 1800;

fn deadline(query: &Query) -> Result<Instant> {
    let seconds = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_TIMEOUT);
    Ok(Instant::now() + Duration::from_secs(seconds))
}

struct Watcher {
    okd: Okd,
    kind: &'static Kind,
    selection: Selection,
    form: Form,
    position: u64,
    pending: VecDeque<Bytes>,
    news: watch::Receiver<u64>,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    closed: bool,
}

/// Starts a watch of an ordinary resource.
///
/// # Errors
/// 400 for a bad parameter. A position that is too old is told by an ERROR event.
pub(crate) fn start(
    okd: &Okd,
    kind: &'static Kind,
    selection: Selection,
    query: &Query,
    form: Form,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>> {
    let from = query.get("resourceVersion").unwrap_or("0");
    let from: u64 = from.parse().map_err(|_| {
        ApiError::bad_request(format!("resourceVersion: Invalid value: \"{from}\": must be a number"))
    })?;
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial_events = match query.get("sendInitialEvents") {
        Some(wanted) => wanted == "true",
        None => from == 0,
    };
    let state = okd.lock();
    let now = okd.now();
    let table = state.store.table(kind);
    let mut watcher = Watcher {
        okd: okd.clone(),
        kind,
        selection,
        form,
        position: from,
        pending: VecDeque::new(),
        news: table.news.subscribe(),
        deadline: deadline(query)?,
        next_bookmark: bookmarks.then(|| Instant::now() + okd.options().bookmark_interval),
        closed: false,
    };
    if initial_events {
        for stored in table.range(watcher.selection.namespace.as_deref(), None) {
            if watcher.selection.matches(stored) {
                watcher.pending.push_back(event_line("ADDED", &list::one(kind, stored, form, now)));
            }
        }
        if bookmarks && query.flag("sendInitialEvents") {
            watcher.pending.push_back(bookmark(kind, state.store.version(), true));
        }
    }
    if initial_events || from == 0 {
        watcher.position = state.store.version();
    }
    drop(state);
    Ok(stream::unfold(watcher, |mut watcher| async {
        let line = watcher.next().await?;
        Some((Ok(line), watcher))
    }))
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            if self.closed {
                return None;
            }
            if self.read_history() || !self.pending.is_empty() {
                continue;
            }
            let bookmark_at = self.next_bookmark.unwrap_or(self.deadline);
            tokio::select! {
                _ = self.news.changed() => {}
                () = tokio::time::sleep_until(self.deadline) => self.closed = true,
                () = tokio::time::sleep_until(bookmark_at), if self.next_bookmark.is_some() => self.bookmark(),
            }
        }
    }

    fn bookmark(&mut self) {
        self.pending.push_back(bookmark(self.kind, self.position, false));
        self.next_bookmark = Some(Instant::now() + self.okd.options().bookmark_interval);
    }

    /// Takes the next events; true if there are more.
    fn read_history(&mut self) -> bool {
        // Marked as seen before reading, so that a change while reading wakes again.
        self.news.borrow_and_update();
        let okd = self.okd.clone();
        let state = okd.lock();
        let table = state.store.table(self.kind);
        if self.position < table.compacted {
            let message = format!("too old resource version: {} ({})", self.position, table.compacted);
            let error = ApiError::expired(message).body().to_string();
            self.pending.push_back(event_line("ERROR", error.as_bytes()));
            self.closed = true;
            return false;
        }
        let events = table.since(self.position, BATCH);
        let more = events.len() == BATCH;
        // The store's version only when nothing is left to read: other resources may be far ahead.
        self.position = match events.last() {
            Some(last) if more => last.version,
            _ => state.store.version().max(self.position),
        };
        drop(state);
        for event in events {
            self.pending.extend(self.told(&event));
        }
        more
    }

    /// The event as this watcher sees it: what enters or leaves its selection was added or deleted.
    fn told(&self, event: &Arc<Event>) -> Option<Bytes> {
        let before = event.before.as_ref().is_some_and(|before| self.selection.matches(before));
        let after = event.change != Change::Deleted && self.selection.matches(&event.object);
        let change = match (before, after) {
            (false, false) => return None,
            (false, true) => Change::Added,
            (true, true) => Change::Modified,
            (true, false) => Change::Deleted,
        };
        if change == event.change && self.form == Form::Object {
            return Some(event.line(self.kind));
        }
        Some(event_line(change.name(), &list::one(self.kind, &event.object, self.form, self.okd.now())))
    }
}

struct ProjectWatcher {
    okd: Okd,
    user: User,
    selection: Selection,
    form: Form,
    /// Version last told of each project.
    told: HashMap<Arc<str>, u64>,
    pending: VecDeque<Bytes>,
    news: watch::Receiver<u64>,
    deadline: Instant,
    position: u64,
    closed: bool,
}

/// Starts a watch of projects: late by the staleness of the list, without bookmarks, and never too old.
pub(crate) fn start_projects(
    okd: &Okd,
    user: &User,
    selection: Selection,
    query: &Query,
    form: Form,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>> {
    let state = okd.lock();
    let mut watcher = ProjectWatcher {
        okd: okd.clone(),
        user: user.clone(),
        selection,
        form,
        told: HashMap::new(),
        pending: VecDeque::new(),
        news: state.store.table(NAMESPACES).news.subscribe(),
        deadline: deadline(query)?,
        position: state.store.version(),
        closed: false,
    };
    for stored in projects_view::visible(&state, okd, user) {
        if query.get("resourceVersion") == Some("0") && watcher.selection.matches(&stored) {
            watcher.tell("ADDED", &stored);
        }
        watcher.told.insert(Arc::clone(&stored.key.name), stored.version);
    }
    drop(state);
    Ok(stream::unfold(watcher, |mut watcher| async {
        let line = watcher.next().await?;
        Some((Ok(line), watcher))
    }))
}

impl ProjectWatcher {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            if self.closed {
                return None;
            }
            tokio::select! {
                _ = self.news.changed() => {
                    // The real server's cache gathers changes before it tells of them.
                    tokio::time::sleep(self.okd.options().project_list_staleness / 2).await;
                    self.read();
                }
                () = tokio::time::sleep_until(self.deadline) => self.closed = true,
            }
        }
    }

    fn tell(&mut self, change: &str, stored: &Arc<Stored>) {
        self.pending.push_back(event_line(change, &list::one(PROJECTS, stored, self.form, self.okd.now())));
    }

    fn read(&mut self) {
        self.news.borrow_and_update();
        let okd = self.okd.clone();
        let state = okd.lock();
        let events = state.store.table(NAMESPACES).since(self.position, usize::MAX);
        self.position = state.store.version();
        let mut names: Vec<Arc<str>> =
            events.iter().map(|event| Arc::clone(&event.object.key.name)).collect();
        names.dedup();
        for name in names {
            self.compare(&state.store, &name);
        }
    }

    fn compare(&mut self, store: &Store, name: &Arc<str>) {
        let live = store.get(NAMESPACES, "", name).filter(|stored| self.selection.matches(stored)).cloned();
        match live {
            Some(stored) if projects_view::may_see(store, &self.user, name) => {
                match self.told.insert(Arc::clone(name), stored.version) {
                    None => self.tell("ADDED", &stored),
                    Some(version) if version != stored.version => self.tell("MODIFIED", &stored),
                    Some(_) => {}
                }
            }
            _ => {
                if self.told.remove(name).is_some() {
                    // The real server tells no more of a project that is gone than its name.
                    let object = json!({
                        "kind": "Project", "apiVersion": PROJECTS.api_version(), "metadata": {"name": &**name},
                        "spec": {}, "status": {},
                    });
                    self.pending.push_back(event_line("DELETED", object.to_string().as_bytes()));
                }
            }
        }
    }
}

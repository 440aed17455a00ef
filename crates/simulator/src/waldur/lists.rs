//! Which rows a list has, kept from one page to the next.
//!
//! A page shows up to 300 rows, and a client reads them one after the other: going through all rows for each of them
//! would make the time of a whole list grow with the square of its length, which is no property of the server that is
//! played. What is kept are UUIDs and never anything that is shown; it serves as long as none of the tables that the
//! list comes from has changed, and no role in it has begun or ended meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;

/// Lists that are kept; the one that was found longest ago goes first.
const KEPT: usize = 16;
/// Shorter ones are found as quickly as they would be kept.
const SHORTEST: usize = 300;
/// What does not decide about which rows a list has.
const OF_PAGES: [&str; 3] = ["page", "page_size", "field"];

/// What a list depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Basis {
    /// How often the tables have changed that it comes from, all together.
    pub(crate) changes: u64,
    /// What the caller may see of them.
    pub(crate) seen: Vec<Uuid>,
}

/// Rows of a list.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) uuids: Vec<Uuid>,
    /// When the first of them is on the list no more.
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug)]
struct Kept {
    path: Vec<String>,
    filters: Vec<(String, String)>,
    basis: Basis,
    /// Found at this moment.
    at: Timestamp,
    until: Option<Timestamp>,
    uuids: Arc<[Uuid]>,
}

/// Lists that were found last.
#[derive(Debug, Default)]
pub(crate) struct Lists(VecDeque<Kept>);

impl Call<'_> {
    /// Rows of the list that is asked for, found by `find` unless they are known.
    pub(crate) fn rows(
        &self,
        basis: Basis,
        find: impl FnOnce() -> Result<Rows, Answer>,
    ) -> Result<Arc<[Uuid]>, Answer> {
        let now = self.state.now();
        let filters = self.request.query.0.iter().filter(|(name, _)| !OF_PAGES.contains(&name.as_str()));
        let filters: Vec<(String, String)> = filters.cloned().collect();
        let known = self.state.lists.borrow().find(&self.request.path, &filters, &basis, now);
        if let Some(known) = known {
            return Ok(known);
        }
        let Rows { uuids, until } = find()?;
        let uuids: Arc<[Uuid]> = uuids.into();
        if uuids.len() > SHORTEST {
            let path = self.request.path.clone();
            let kept = Kept { path, filters, basis, at: now, until, uuids: Arc::clone(&uuids) };
            self.state.lists.borrow_mut().keep(kept);
        }
        Ok(uuids)
    }
}

impl Lists {
    fn find(
        &self,
        path: &[String],
        filters: &[(String, String)],
        basis: &Basis,
        now: Timestamp,
    ) -> Option<Arc<[Uuid]>> {
        let kept = self.0.iter().find(|kept| kept.path == path && kept.filters == filters)?;
        // A clock that was set back brings back roles that had ended.
        let in_time = kept.at <= now && kept.until.is_none_or(|until| now < until);
        let same = kept.basis.changes == basis.changes && kept.basis.seen == basis.seen;
        (in_time && same).then(|| Arc::clone(&kept.uuids))
    }

    fn keep(&mut self, kept: Kept) {
        self.0.retain(|other| other.path != kept.path || other.filters != kept.filters);
        self.0.truncate(KEPT - 1);
        self.0.push_front(kept);
    }
}

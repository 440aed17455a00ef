//! Rows in the order of their making, found by UUID and through one index of (group, state).
//!
//! Every change of a row goes through [`Table::update`], so that the index cannot be out of date.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

/// No state enumeration is longer than this.
const STATES: u8 = 16;

/// What a table must know of its rows.
pub(crate) trait Row {
    /// The row's own UUID.
    fn uuid(&self) -> Uuid;

    /// What lists of these rows are narrowed by first: the offering where there is one, and the state's number.
    fn group(&self) -> (Uuid, u8);
}

/// An ordered, indexed set of rows.
#[derive(Debug)]
pub(crate) struct Table<T> {
    rows: BTreeMap<u64, T>,
    by_uuid: HashMap<Uuid, u64>,
    by_group: HashMap<(Uuid, u8), BTreeSet<u64>>,
    next: u64,
    changes: u64,
    comings_and_goings: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_uuid: HashMap::new(),
            by_group: HashMap::new(),
            next: 0,
            changes: 0,
            comings_and_goings: 0,
        }
    }
}

impl<T: Row> Table<T> {
    /// Adds a row at the end; a row with the same UUID is replaced where it stands.
    pub(crate) fn insert(&mut self, row: T) -> Uuid {
        self.comes_or_goes();
        let uuid = row.uuid();
        let number = match self.by_uuid.get(&uuid).copied() {
            Some(number) => {
                self.unindex(number);
                number
            }
            None => {
                self.next += 1;
                self.next
            }
        };
        self.by_uuid.insert(uuid, number);
        self.by_group.entry(row.group()).or_default().insert(number);
        self.rows.insert(number, row);
        uuid
    }

    pub(crate) fn get(&self, uuid: Uuid) -> Option<&T> {
        self.rows.get(self.by_uuid.get(&uuid)?)
    }

    /// Changes a row; `None` when there is none with this UUID.
    pub(crate) fn update<R>(&mut self, uuid: Uuid, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let number = *self.by_uuid.get(&uuid)?;
        let row = self.rows.get_mut(&number)?;
        self.changes += 1;
        let before = row.group();
        let result = change(row);
        let after = row.group();
        if before != after {
            if let Some(numbers) = self.by_group.get_mut(&before) {
                numbers.remove(&number);
            }
            self.by_group.entry(after).or_default().insert(number);
        }
        Some(result)
    }

    pub(crate) fn remove(&mut self, uuid: Uuid) -> Option<T> {
        let number = *self.by_uuid.get(&uuid)?;
        self.comes_or_goes();
        self.unindex(number);
        self.by_uuid.remove(&uuid);
        self.rows.remove(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    /// A number that grows whenever a row is added, changed or taken away.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// A number that grows whenever a row is added or taken away.
    pub(crate) fn comings_and_goings(&self) -> u64 {
        self.comings_and_goings
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn find(&self, matches: impl Fn(&T) -> bool) -> Option<&T> {
        self.rows.values().find(|row| matches(row))
    }

    /// The rows of these groups and states, in the order of their making.
    ///
    /// An empty `groups` means every group; an empty `states` means every state.
    pub(crate) fn select(&self, groups: &[Uuid], states: &[u8]) -> Vec<&T> {
        if groups.is_empty() && states.is_empty() {
            return self.rows.values().collect();
        }
        let mut numbers: Vec<u64> = if groups.is_empty() {
            let in_state = self.by_group.iter().filter(|((_, state), _)| states.contains(state));
            in_state.flat_map(|(_, numbers)| numbers.iter().copied()).collect()
        } else {
            let every: Vec<u8> = (0..STATES).collect();
            let states = if states.is_empty() { &every } else { states };
            let keys = groups.iter().flat_map(|group| states.iter().map(|state| (*group, *state)));
            keys.filter_map(|key| self.by_group.get(&key)).flatten().copied().collect()
        };
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().filter_map(|number| self.rows.get(number)).collect()
    }

    fn comes_or_goes(&mut self) {
        self.changes += 1;
        self.comings_and_goings += 1;
    }

    fn unindex(&mut self, number: u64) {
        let Some(row) = self.rows.get(&number) else { return };
        if let Some(numbers) = self.by_group.get_mut(&row.group()) {
            numbers.remove(&number);
        }
    }
}

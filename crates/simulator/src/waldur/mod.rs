//! A simulated Waldur server: marketplace, roles, usage and agent registration over HTTP.
//!
//! Two generations are played: the current one (8.1, Waldur contract §8) and the one of October 2024, which was
//! measured. It keeps everything in memory, draws every identifier from a seed and reads one [`Clock`]. It shares no
//! code with the agent, so that a wrong idea of the protocol cannot be right twice.
//!
//! [`Waldur::router`] is the HTTP side. The methods in `direct` are for tests and demonstrations: they put in what a
//! customer, an administrator or a broken server would, and read any row as JSON.

mod access;
mod accounts;
mod agents;
mod answer;
mod call;
mod consumer;
mod daily;
mod direct;
mod event;
mod feed;
mod fields;
mod filter;
mod imports;
mod legacy;
mod lists;
mod model;
mod offering_users;
mod offerings;
mod orders;
mod page;
mod people;
mod queues;
mod render;
mod request;
mod resources;
mod routes;
mod seed;
mod state;
mod table;
mod usages;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

pub use self::direct::{CreateOrder, Listener};
pub use self::event::Event;
pub use self::model::Scope;
pub use self::seed::{
    Seed, SeedComponent, SeedCustomer, SeedError, SeedMember, SeedOffering, SeedPlan, SeedProject,
    SeedResource, SeedUser,
};
pub use self::wire::{
    AccountState, AllocationState, ImportRequestState, OfferingState, OfferingUserState, OrderState,
    OrderType, ResourceState,
};
use crate::clock::Clock;

use self::state::State;

/// Which server is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// 8.1, as the published client of that version expects it.
    #[default]
    Current,
    /// The server of October 2024, as measured.
    October2024,
}

/// How a simulated server is made.
#[derive(Clone, Debug, Default)]
pub struct WaldurOptions {
    /// Shared with the other simulated servers.
    pub clock: Clock,
    /// Which server is played.
    pub generation: Generation,
    /// Start of every drawn identifier; the same seed and requests give the same identifiers.
    pub seed: u64,
    /// Scheme and host of links, e.g. `https://waldur.example.com`; without it links follow each request's `Host`.
    pub base_url: Option<String>,
}

/// A simulated Waldur server. Clones are handles to the same server.
#[derive(Clone)]
pub struct Waldur {
    shared: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    base_url: Mutex<Option<String>>,
    events: broadcast::Sender<Event>,
    changes: watch::Sender<u64>,
}

/// Events that a slow listener may fall behind before it loses the oldest.
const EVENT_BACKLOG: usize = 16_384;

impl Waldur {
    /// An empty server.
    #[must_use]
    pub fn new(options: WaldurOptions) -> Self {
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let state = State::new(options.clock, options.generation, options.seed, events.clone());
        let (changes, _) = watch::channel(0);
        Self {
            shared: Arc::new(Inner {
                state: Mutex::new(state),
                base_url: Mutex::new(options.base_url),
                events,
                changes,
            }),
        }
    }

    /// Every change from now on, in the shape of the STOMP messages (Waldur contract §9.9).
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Links begin with this from now on, e.g. after the port is known.
    pub fn set_base_url(&self, url: &str) {
        let mut base_url = self.shared.base_url.lock().unwrap_or_else(PoisonError::into_inner);
        *base_url = Some(url.trim_end_matches('/').to_owned());
    }

    fn base_url(&self, host: Option<&str>) -> String {
        let base_url = self.shared.base_url.lock().unwrap_or_else(PoisonError::into_inner);
        base_url.clone().unwrap_or_else(|| format!("http://{}", host.unwrap_or("localhost")))
    }

    /// Works on the state under its lock.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state)
    }

    /// Wakes everybody who waits for a change.
    fn changed(&self) {
        self.shared.changes.send_modify(|version| *version += 1);
    }
}

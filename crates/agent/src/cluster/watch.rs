//! Watches of our labelled objects: they keep the store fresh and wake the keys whose objects changed.
//!
//! What is listed for the first time is no change: the pass that goes with the start looks at everything anyway, and waits
//! for these lists.
//!
//! Reads only. A watch that ends or fails is started again for ever by kube's watcher, with growing pauses; while
//! it lists anew, the kind counts as not live, and who cannot wait reads it by lists.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use planner::template::ObjectApi;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::connect::{Cluster, Surroundings};
use super::kinds::{self, Kind};
use super::store::Listing;
use super::template;

/// Objects on a page of the list that a watch begins with. All kinds begin at the same time, and a page of objects with
/// their managed fields takes a few megabytes.
const PAGE_SIZE: u32 = 250;

/// Whose change was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The agent's own field manager wrote last.
    Ours,
    /// Somebody else did, or nobody can tell.
    SomebodyElses,
}

/// What a watch tells, also that it broke off.
type News = Result<Event<DynamicObject>, watcher::Error>;

/// Called with the resource whose objects on the cluster changed.
pub(crate) type Wake = Arc<dyn Fn(Uuid, Change) + Send + Sync>;

/// Watches that somebody wants.
pub(crate) struct Watches {
    /// Of these kinds; without it of all that the agent keeps, and of those of the project template.
    pub(crate) kinds: Option<&'static [Kind]>,
    pub(crate) wake: Wake,
    /// Where they run, and until when.
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Cluster {
    /// Has what the role lets be watched be watched, as soon as that is known.
    pub(crate) fn want_watches(&self, wanted: Watches) {
        *self.wanted() = Some(wanted);
    }

    /// Starts the watches that are wanted. From here on passes wait for their lists.
    pub(super) fn start_watches(self: &Arc<Self>, surroundings: &Surroundings) {
        // Held until all have begun: nobody reads a kind in between whose watch is about to list it.
        let mut wanted = self.wanted();
        let Some(wanted) = wanted.take() else { return };
        let is_wanted = |kind: &&Kind| wanted.kinds.is_none_or(|kinds| kinds.contains(*kind));
        for kind in surroundings.watchable.iter().filter(is_wanted) {
            start(self, *kind, &wanted);
        }
        for api in surroundings.watchable_template.iter().filter(|_| wanted.kinds.is_none()) {
            start_template(self, api, &wanted);
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Option<Watches>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(cluster: &Arc<Cluster>, kind: Kind, wanted: &Watches) {
    let (of, wake) = (Arc::clone(cluster), Arc::clone(&wanted.wake));
    let mut listing = Listing::default();
    cluster.sights.lists(&kind);
    let take = move |news: News| match news {
        Ok(event) => take(&of, kind, event, &mut listing, &wake),
        Err(_) => of.sights.breaks(&kind),
    };
    spawn(run(Arc::clone(cluster), kind.api_resource(), kinds::our_labels(), take), wanted);
}

fn start_template(cluster: &Arc<Cluster>, api: &ObjectApi, wanted: &Watches) {
    let (of, api, wake) = (Arc::clone(cluster), api.clone(), Arc::clone(&wanted.wake));
    let resource = template::api_resource(&api);
    let mut named = HashSet::new();
    cluster.furnished.sights.lists(&api.token());
    let take = move |news: News| match news {
        Ok(event) => take_furnishing(&of, &api, event, &mut named, &wake),
        Err(_) => of.furnished.sights.breaks(&api.token()),
    };
    spawn(run(Arc::clone(cluster), resource, template::labels(), take), wanted);
}

fn spawn(run: impl Future<Output = ()> + Send + 'static, wanted: &Watches) {
    let stop = wanted.stop.clone();
    wanted.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run => {}
        }
    });
}

async fn run(cluster: Arc<Cluster>, resource: ApiResource, labels: String, mut take: impl FnMut(News)) {
    let api: Api<DynamicObject> = Api::all_with(cluster.watch_client.clone(), &resource);
    let config = watcher::Config::default().labels(&labels).page_size(PAGE_SIZE);
    let mut events = watch(api, config).default_backoff().into_stream().boxed();
    cluster.http.metrics.watches(&resource.plural);
    loop {
        match events.try_next().await {
            Ok(Some(event)) => take(Ok(event)),
            Ok(None) => return,
            // The watcher goes on from where it was, and lists anew if the server has forgotten that: what is kept is
            // a moment old at most, unless it has to begin again.
            Err(error) => {
                cluster.http.metrics.watch_broke(&resource.plural);
                tracing::warn!(kind = resource.plural, error = %error, "the watch broke off; starting again");
                take(Err(error));
            }
        }
    }
}

fn change_of(event: &Event<DynamicObject>) -> Change {
    match event {
        Event::Apply(object) if kinds::is_written_by_us(object) => Change::Ours,
        _ => Change::SomebodyElses,
    }
}

fn take_furnishing(
    cluster: &Cluster,
    api: &ObjectApi,
    event: Event<DynamicObject>,
    named: &mut HashSet<(String, String)>,
    wake: &Wake,
) {
    let change = change_of(&event);
    let store = &cluster.furnished;
    let was_known = store.sights.is_known(&api.token());
    let value = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
    let changed: Vec<Uuid> = match event {
        Event::Init => {
            store.sights.lists(&api.token());
            named.clear();
            Vec::new()
        }
        Event::InitApply(object) => {
            store.sights.lists(&api.token());
            named.extend(object.metadata.namespace.clone().zip(object.metadata.name.clone()));
            store.saw(api, &value(&object)).into_iter().filter(|_| was_known).collect()
        }
        Event::InitDone => {
            let changed = store.watch_listed(api, named);
            store.sights.runs(&api.token());
            changed.into_iter().collect()
        }
        Event::Apply(object) => store.saw(api, &value(&object)).into_iter().collect(),
        Event::Delete(object) => store.lost(api, &value(&object)).into_iter().collect(),
    };
    for resource in changed {
        wake(resource, change);
    }
}

fn take(cluster: &Cluster, kind: Kind, event: Event<DynamicObject>, listing: &mut Listing, wake: &Wake) {
    let change = change_of(&event);
    let changed: Vec<Uuid> = match event {
        Event::Init => {
            cluster.sights.lists(&kind);
            *listing = Listing::default();
            Vec::new()
        }
        Event::InitApply(object) => {
            cluster.sights.lists(&kind);
            cluster.write_store(|store| store.list(kind, &object, listing));
            Vec::new()
        }
        Event::InitDone => {
            let listing = std::mem::take(listing);
            let changed = cluster.write_store(|store| store.listed(kind, &listing));
            let was_known = cluster.sights.runs(&kind);
            tracing::debug!(kind = kind.plural(), objects = listing.len(), "watching");
            changed.into_iter().filter(|_| was_known).collect()
        }
        Event::Apply(object) => cluster.write_store(|store| store.apply(kind, &object)).into_iter().collect(),
        Event::Delete(object) => {
            cluster.write_store(|store| store.delete(kind, &object)).into_iter().collect()
        }
    };
    for resource in changed {
        wake(resource, change);
    }
}

//! Agents that die at a request of theirs.

use http::Method;
use simulator::faults::Rule;
use simulator::server::Server;

use crate::site::{Site, within};

/// How many sites are simulated at a time.
pub(crate) const AT_ONCE: usize = 16;

/// Which server does not answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Waldur,
    Cluster,
}

impl Peer {
    pub(crate) fn server(self, site: &Site) -> &Server {
        match self {
            Self::Waldur => &site.sim.waldur_server,
            Self::Cluster => &site.sim.okd_server,
        }
    }
}

/// A request of this method to this server, of all such ones the number `at`, from 1.
pub(crate) type Write = (Peer, Method, u64);

/// The requests of these kinds that the site has seen and that `counts` holds for.
pub(crate) fn writes(
    site: &Site,
    kinds: &[(Peer, Method)],
    counts: impl Fn(Peer, &str) -> bool,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for (peer, method) in kinds {
        let requests = peer.server(site).traffic.requests();
        let of_method = requests.iter().filter(|request| request.method == method.as_str());
        let numbered = of_method.zip(1..).filter(|(request, _)| counts(*peer, &request.path));
        writes.extend(numbered.map(|(_, at)| (*peer, method.clone(), at)));
    }
    writes
}

/// Runs an agent until it has done everything or the fault strikes, whereupon it is gone at once; it has to strike.
pub(crate) async fn die<F: Future>(
    server: &Server,
    rule: Rule,
    what: &str,
    work: impl FnOnce() -> F + Send + 'static,
) {
    let (faults, traffic) = (server.faults.clone(), server.traffic.clone());
    let id = faults.add(rule);
    let known = faults.clone();
    let death = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                _ = work() => {}
                () = traffic.wait_for(|_| known.struck(id) > 0) => {}
            }
        });
    });
    within("the agent ends or dies", death).await.unwrap();
    assert_eq!(faults.struck(id), 1, "the agent did not come as far as this: {what}");
    faults.clear();
}

impl Site {
    /// Whether the record of requests to the cluster holds a change of something.
    pub(crate) fn has_changed_something(&self) -> bool {
        let changes = |line: &String| line.starts_with("PATCH") || line.starts_with("DELETE");
        self.okd_requests().iter().any(changes)
    }
}

//! The simulators' record of requests, as their control port gives it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::site::Api;

/// The request that ends a Create order.
const DONE: &str = "POST /api/marketplace-orders/{}/set_state_done/";
/// The request that begins one.
const APPROVED: &str = "POST /api/marketplace-orders/{}/approve_by_provider/";
/// The request that begins a look for orders.
const LISTED: &str = "GET /api/marketplace-orders/";
/// The request that a watch is, and the list before it.
const WATCHED: &str = "GET /api/v1/limitranges";

/// The request that a pass over all resources lists them with.
const RESOURCES: &str = "GET /api/marketplace-provider-resources/";

/// The request that what Waldur has of a month is listed with.
const USAGES: &str = "GET /api/marketplace-component-usages/";
/// The request that a resource's usage is told with.
const USAGE: &str = "POST /api/marketplace-component-usages/set_usage/";

/// The request that a look at one resource begins with.
const LOOKED: &str = "GET /api/marketplace-provider-resources/{}/";

/// Requests to both servers since the last reset.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Traffic {
    /// When it was read, in seconds by the same clock as all other times.
    pub(crate) now: f64,
    pub(crate) waldur: Side,
    pub(crate) okd: Side,
}

/// Requests to one server.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Side {
    pub(crate) total: u64,
    by_path: BTreeMap<String, Tally>,
}

/// Requests of one method and path shape; times in seconds by a clock of both servers.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Tally {
    count: u64,
    body_bytes: u64,
    first_arrived: f64,
    last_answered: f64,
}

impl Side {
    /// Requests of one method and path shape.
    pub(crate) fn count(&self, shape: &str) -> u64 {
        self.by_path.get(shape).map_or(0, |tally| tally.count)
    }
}

impl Traffic {
    /// Asks the control port.
    ///
    /// # Errors
    /// No answer, or one of another shape.
    pub(crate) async fn read(control: &Api) -> Result<Self> {
        let traffic = control.get("/traffic").await?;
        serde_json::from_value(traffic).context("the record of requests has an unexpected shape")
    }

    /// Orders that were finished.
    pub(crate) fn finished(&self) -> u64 {
        self.waldur.count(DONE)
    }

    /// Orders that were begun.
    pub(crate) fn approved(&self) -> u64 {
        self.waldur.count(APPROVED)
    }

    /// Somebody has looked for orders.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.waldur.count(LISTED) > 0
    }

    /// Somebody has looked for orders, and watches what is on the cluster.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_looked_at() && self.okd.count(WATCHED) > 1
    }

    /// Looks at single resources.
    pub(crate) fn looks(&self) -> u64 {
        self.waldur.count(LOOKED)
    }

    /// Pages of resources that were listed.
    pub(crate) fn resource_pages(&self) -> u64 {
        self.waldur.count(RESOURCES)
    }

    /// Pages of usage that were listed.
    pub(crate) fn usage_pages(&self) -> u64 {
        self.waldur.count(USAGES)
    }

    /// Resources whose usage was told.
    pub(crate) fn usages_told(&self) -> u64 {
        self.waldur.count(USAGE)
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.waldur.by_path.values().chain(self.okd.by_path.values())
    }

    /// When the first request arrived; none if there was none.
    pub(crate) fn first(&self) -> Option<f64> {
        self.tallies().map(|tally| tally.first_arrived).min_by(f64::total_cmp)
    }

    /// Seconds from the first request to the end of the last one.
    ///
    /// # Errors
    /// There is no request.
    pub(crate) fn all_seconds(&self) -> Result<f64> {
        let last = self.tallies().map(|tally| tally.last_answered).max_by(f64::total_cmp);
        let (first, last) = self.first().zip(last).context("no request was sent")?;
        Ok(last - first)
    }

    /// Seconds from the first request to the end of the last order.
    ///
    /// # Errors
    /// No order has ended.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let last = self.waldur.by_path.get(DONE).map(|tally| tally.last_answered);
        let (first, last) = self.first().zip(last).context("no order has ended")?;
        Ok(last - first)
    }

    /// Holds the floor's requests against the agent's: what the agent sends for each order, the floor has to send
    /// just as often, with bodies of the same size.
    ///
    /// # Errors
    /// It does not; the floor has to be brought up to date.
    pub(crate) fn check_floor(&self, floor: &Self, orders: u64) -> Result<()> {
        let sides = [(&self.waldur, &floor.waldur), (&self.okd, &floor.okd)];
        for (agent, floor) in sides {
            for (shape, tally) in agent.by_path.iter().filter(|(_, tally)| tally.count >= orders) {
                let same = floor.by_path.get(shape).copied();
                let size = |tally: Tally| tally.body_bytes as f64 / tally.count.max(1) as f64;
                let Some(same) = same.filter(|same| same.count >= orders) else {
                    bail!("the floor does not send `{shape}` for each order, as the agent does");
                };
                if (size(same) - size(*tally)).abs() > 2.0 {
                    bail!(
                        "the body of `{shape}` has {:.1} bytes from the floor and {:.1} from the agent",
                        size(same),
                        size(*tally)
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn traffic(shapes: &[(&str, u64, u64)]) -> Traffic {
        let tally = |count, bytes| json!({"count": count, "body_bytes": bytes, "first_arrived": 1.0, "last_answered": 3.5});
        let by_path: serde_json::Map<_, _> =
            shapes.iter().map(|(shape, count, bytes)| ((*shape).to_owned(), tally(*count, *bytes))).collect();
        let none = json!({"total": 0, "by_path": {}});
        serde_json::from_value(json!({"now": 4.0, "waldur": {"total": 9, "by_path": by_path}, "okd": none}))
            .unwrap()
    }

    #[test]
    fn time_runs_from_the_first_request_to_the_last_order() {
        assert!((traffic(&[(DONE, 2, 4), (LISTED, 1, 0)]).seconds().unwrap() - 2.5).abs() < 1e-9);
        assert!(traffic(&[(LISTED, 1, 0)]).seconds().is_err());
    }

    #[test]
    fn a_floor_that_does_less_is_found_out() {
        let agent = traffic(&[(DONE, 10, 20), (APPROVED, 10, 20), (LISTED, 3, 0)]);
        assert!(agent.check_floor(&traffic(&[(DONE, 10, 20), (APPROVED, 10, 20)]), 10).is_ok());
        let lacks = agent.check_floor(&traffic(&[(DONE, 10, 20)]), 10).unwrap_err().to_string();
        assert!(lacks.contains("approve_by_provider"), "{lacks}");
        let smaller = traffic(&[(DONE, 10, 20), (APPROVED, 10, 500)]);
        assert!(agent.check_floor(&smaller, 10).is_err());
    }
}

//! A project that does not go away after its Terminate order was done at once.

use std::time::Duration;

use jiff::SignedDuration;

use crate::lifecycle_terminate::{furnished, terminated, with};
use crate::site::{Agent, Site, within};

#[tokio::test]
async fn what_holds_it_is_told_although_no_order_waits_and_after_a_restart_too() {
    let site = Site::start().await;
    let config = with(&site, "terminate: async");
    let (resource, name) = furnished(&site, &config).await;
    site.sim.okd.hold_termination(&name, "example.com/slow");
    // It has been going away for a while, by the cluster's clock.
    site.sim.clock.step(SignedDuration::from_mins(-5));
    terminated(&site, &config, resource).await;
    let told = |waldur: &simulator::waldur::Waldur| {
        let metadata = waldur.resource(resource).unwrap()["backend_metadata"]["termination"].clone();
        metadata["waits_for"].to_string().contains("example.com/slow in 1 resource instances")
    };
    let agent = Agent::start_with(config.engine(), Duration::from_millis(100));
    within("Waldur is told", site.sim.waldur.wait_until(told)).await;
    agent.stop().await;
    site.sim.okd.release_termination(&name);
    assert!(site.once_with(&config).await);
    assert_eq!(site.namespace(&name), None);
}

//! A namespace that was deleted while nobody looked, for a real Prometheus.

use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::{Metrics, Prometheus};
use crate::site::limits;
use crate::usage::pod;

#[tokio::test]
async fn prometheus_tells_when_a_namespace_went() {
    let site = site_at("2026-07-09T21:59:00Z").await;
    let (from, gone, late) = ("2026-07-09T22:00:00Z", "2026-07-09T23:20:00Z", "2026-07-12T10:06:00Z");
    let mut m = Metrics::default();
    m.namespace("kube-system", from, late);
    let mut made = Vec::new();
    for name in ["Shop", "Blog"] {
        let resource = site.made(name, limits()).await;
        let namespace = site.backend_id(resource);
        m.namespace(&namespace, "2026-07-09T21:55:00Z", gone);
        m.pod(&pod(&namespace, "u1", &[("cpu", "1")]), from, gone);
        made.push((resource, namespace));
    }
    let prometheus = Prometheus::start(&[&m]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-09T23:06:00Z").await);
    // One of the two is deleted and missed days later; of the other one Prometheus has lost sight.
    site.sim.okd.delete("namespaces", "", &made[0].1);
    assert!(site.reports_at(&config, late).await);
    // 80 minutes of a core, and of the other the hour that was told while enough was known.
    assert_eq!(site.told(made[0].0), ["2026-07-01 cpu_hours 1.33"]);
    assert_eq!(site.told(made[1].0), ["2026-07-01 cpu_hours 1.00"]);
    let ends_with = |place: usize, end: &str| {
        site.ledger(made[place].0).iter().filter(|line| line.ends_with(end)).count()
    };
    // From midnight of the tenth to ten o'clock of the twelfth: 58 hours.
    assert_eq!((ends_with(0, "cpu_hours=0/60"), ends_with(0, "/0")), (58, 0));
    assert_eq!((ends_with(1, "cpu_hours=0/60"), ends_with(1, "cpu_hours=0/0")), (0, 58));
}

//! The heartbeat file that health checks of the Python agent look at (Waldur contract §1.8).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// Where the Python agent has it; its content is the unix time in seconds.
pub(crate) const PATH: &str = "/tmp/waldur-site-agent-heartbeat";
const PERIOD: Duration = Duration::from_secs(60);

/// Notes that the agent is alive. A file that cannot be written is no reason to stop working.
pub(crate) fn beat() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Err(error) = std::fs::write(PATH, format!("{}", now.as_secs_f64())) {
        tracing::debug!(%error, path = PATH, "cannot write the heartbeat file");
    }
}

/// Notes it each minute in which every loop makes progress.
pub(crate) async fn beat_until(health: &Health, stop: &CancellationToken) {
    loop {
        match health.stuck() {
            stuck if stuck.is_empty() => beat(),
            stuck => {
                tracing::error!(loops = stuck.join(", "), "no progress; the heartbeat file is left alone")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

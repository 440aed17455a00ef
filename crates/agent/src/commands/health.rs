//! `waldur_site_healthz`: whether the agent beats, and whether Waldur answers (Waldur contract §1.9).

use std::time::{Duration, SystemTime};

use super::{Manner, offering};
use crate::heartbeat;
use crate::settings::Settings;

/// Whether the agent has noted lately that it is alive. The text says what was found.
pub(crate) fn beats(max_age: Duration) -> (bool, String) {
    let path = heartbeat::PATH;
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    match modified {
        Err(error) => (false, format!("no heartbeat: {path}: {error}; is an agent running here?")),
        Ok(modified) => {
            // A file of the future is as fresh as can be.
            let age = SystemTime::now().duration_since(modified).unwrap_or_default();
            let shown = format!("the last heartbeat was {} s ago", age.as_secs());
            if age <= max_age {
                (true, shown)
            } else {
                (false, format!("{shown}, more than {} s: the agent hangs or is gone", max_age.as_secs()))
            }
        }
    }
}

/// Whether Waldur answers for any offering. The text says what was found.
pub(crate) async fn answers(settings: &Settings) -> (bool, String) {
    let mut failures = Vec::new();
    for configured in &settings.offerings {
        let asked = async {
            let built = offering(settings, configured, "testing", Manner::default())?;
            Ok::<_, anyhow::Error>(built.waldur.me().await?)
        };
        match asked.await {
            Ok(me) => return (true, format!("Waldur answers as {}", me.username)),
            Err(error) => failures.push(format!("{}: {error:#}", configured.name)),
        }
    }
    (false, failures.join("\n"))
}

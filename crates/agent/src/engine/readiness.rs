//! Whether everything that the engine needs answers.

use std::time::{Duration, Instant};

use super::Engine;
use crate::error::ApiError;
use crate::health::Health;

/// How long an answer serves: who asks often costs nobody anything.
const SERVES: Duration = Duration::from_secs(10);
/// Servers that take longer count as not answering.
const PATIENCE: Duration = Duration::from_secs(8);

impl Engine {
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// One line for each server that does not answer; asked anew after ten seconds.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let mut known = self.troubles.lock().await;
        if let Some((_, troubles)) = known.as_ref().filter(|(at, _)| at.elapsed() < SERVES) {
            return troubles.clone();
        }
        let asked = self.offerings.iter().map(|offering| async move {
            let waldur = async {
                answers(offering.waldur.who_am_i()).await.map_err(|trouble| format!("Waldur {trouble}"))
            };
            let cluster = async {
                answers(offering.cluster.version()).await.map_err(|trouble| format!("OKD {trouble}"))
            };
            let (waldur, cluster) = tokio::join!(waldur, cluster);
            let troubles = [waldur, cluster].into_iter().filter_map(Result::err);
            troubles.map(|trouble| format!("{}: {trouble}", offering.options.name)).collect::<Vec<_>>()
        });
        let mut troubles = futures::future::join_all(asked).await.concat();
        troubles.extend(self.health.broker_troubles());
        *known = Some((Instant::now(), troubles.clone()));
        troubles
    }
}

async fn answers(call: impl Future<Output = Result<(), ApiError>>) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("does not answer within {PATIENCE:?}")),
    }
}

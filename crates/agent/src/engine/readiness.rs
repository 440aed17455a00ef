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

    /// One line for each server that does not answer, asked anew after ten seconds, and for each offering whose messages
    /// do not come now.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let mut troubles = self.silent_servers().await;
        troubles.extend(self.health.broker_troubles());
        troubles
    }

    async fn silent_servers(&self) -> Vec<String> {
        let mut known = self.silent_servers.lock().await;
        if let Some((_, silent)) = known.as_ref().filter(|(at, _)| at.elapsed() < SERVES) {
            return silent.clone();
        }
        let asked = self.offerings.iter().map(|offering| async move {
            let waldur = async {
                answers(offering.waldur.who_am_i()).await.map_err(|trouble| format!("Waldur {trouble}"))
            };
            let cluster = async {
                answers(offering.cluster.version()).await.map_err(|trouble| format!("OKD {trouble}"))
            };
            let (waldur, cluster) = tokio::join!(waldur, cluster);
            let silent = [waldur, cluster].into_iter().filter_map(Result::err);
            silent.map(|trouble| format!("{}: {trouble}", offering.options.name)).collect::<Vec<_>>()
        });
        let silent = futures::future::join_all(asked).await.concat();
        *known = Some((Instant::now(), silent.clone()));
        silent
    }
}

async fn answers(call: impl Future<Output = Result<(), ApiError>>) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("does not answer within {PATIENCE:?}")),
    }
}

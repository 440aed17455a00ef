//! One rule for repeating calls: only transient failures, a few times, with jittered growing pauses, and never
//! sooner than the server asked for.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::error::ApiError;

/// Pauses between the attempts of one call.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that asks for a longer pause than this is left to the queue, which holds no worker meanwhile.
const LONGEST_ASKED: Duration = Duration::from_secs(10);
/// Attempts after the first one.
const REPEATS: usize = 3;

/// Calls until it succeeds, fails for good, or has failed too often.
pub(crate) async fn retrying<T, F, Fut>(call: F) -> Result<T, ApiError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, ApiError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(REPEATS)
        .with_jitter();
    call.retry(pauses)
        .when(|error: &ApiError| {
            error.is_transient() && error.retry_after().is_none_or(|asked| asked <= LONGEST_ASKED)
        })
        .adjust(|error, pause| {
            let asked = error.retry_after().unwrap_or_default();
            pause.map(|pause| pause.max(asked))
        })
        .notify(|error, pause| {
            tracing::debug!(error = %error, pause_ms = pause.as_millis() as u64, "will try again");
        })
        .await
}

//! When a token is renewed, and when it is tried again after that failed. Pure: time and chance are arguments.

use std::time::Duration;

use jiff::Timestamp;

/// Tokens are renewed this long before they expire.
const BUFFER: Duration = Duration::from_secs(300);
/// Tokens of a file are read again this often, whatever they say: mounted ones change under the same name.
const REREAD: Duration = Duration::from_secs(60);
/// Nothing is renewed more often, however short-lived it is.
const SHORTEST: Duration = Duration::from_millis(50);
/// A token that had expired when it came is looked for anew after this.
const EXPIRED: Duration = Duration::from_secs(1);
/// The longest pause after failures in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a source is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It says the same for ever.
    Never,
    /// A look at it costs nothing: at least each minute.
    Reread,
    /// A request or a program: only when the token is about to expire, else after this long.
    Fetch {
        /// How long a token is taken for valid that does not say.
        unknown: Duration,
    },
}

/// When a token that came `got` is to be renewed.
///
/// The buffer is at most a quarter of the lifetime: identity providers give tokens for a minute, too.
pub(crate) fn renew_at(renewal: Renewal, got: Timestamp, expires: Option<Timestamp>) -> Timestamp {
    let before_expiry = |expires: Timestamp| {
        let lifetime = until(got, expires);
        if lifetime.is_zero() {
            return later(got, EXPIRED);
        }
        let buffer = BUFFER.min(lifetime / 4);
        later(got, (lifetime - buffer).max(SHORTEST))
    };
    match renewal {
        Renewal::Never => Timestamp::MAX,
        Renewal::Reread => {
            let reread = later(got, REREAD);
            expires.map_or(reread, |expires| before_expiry(expires).min(reread))
        }
        Renewal::Fetch { unknown } => before_expiry(expires.unwrap_or_else(|| later(got, unknown))),
    }
}

/// The pause after this many failures in a row: doubling from a second, with a jitter from 0 to 1 that takes up to
/// half of it away. A file may be back at any moment, and asking costs nothing.
pub(crate) fn pause(renewal: Renewal, failures: u32, jitter: f64) -> Duration {
    let failures = if matches!(renewal, Renewal::Fetch { .. }) { failures } else { 1 };
    let whole = Duration::from_secs(1) * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    whole.min(LONGEST_PAUSE).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

/// `at` and this much more; the end of time if that is past it.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// How long it is from one to the other; zero if it is past.
pub(crate) fn until(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds_until(renewal: Renewal, lifetime: Option<i64>) -> f64 {
        let got = Timestamp::from_second(1_700_000_000).unwrap();
        let expires = lifetime.map(|seconds| Timestamp::from_second(1_700_000_000 + seconds).unwrap());
        until(got, renew_at(renewal, got, expires)).as_secs_f64()
    }

    #[test]
    fn renewal_comes_before_expiry() {
        let fetch = Renewal::Fetch { unknown: Duration::from_secs(300) };
        for (renewal, lifetime, expected) in [
            (fetch, Some(86_400), 86_100.0),
            (fetch, Some(3600), 3300.0),
            (fetch, Some(300), 225.0),
            (fetch, Some(60), 45.0),
            (fetch, Some(1), 0.75),
            (fetch, Some(0), 1.0),
            (fetch, Some(-50), 1.0),
            (fetch, None, 225.0),
            (Renewal::Reread, None, 60.0),
            (Renewal::Reread, Some(3600), 60.0),
            (Renewal::Reread, Some(20), 15.0),
            (Renewal::Reread, Some(-1), 1.0),
        ] {
            assert_eq!(seconds_until(renewal, lifetime), expected, "{renewal:?} {lifetime:?}");
        }
        let got = Timestamp::MAX;
        assert_eq!(renew_at(fetch, got, None), Timestamp::MAX);
        assert_eq!(renew_at(Renewal::Never, Timestamp::MIN, Some(Timestamp::MIN)), Timestamp::MAX);
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let fetch = Renewal::Fetch { unknown: Duration::ZERO };
        let pauses = [1, 2, 3, 6, 7, 8, u32::MAX].map(|failures| pause(fetch, failures, 0.0).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
        assert_eq!(pause(fetch, 2, 1.0), Duration::from_secs(1));
        assert_eq!(pause(Renewal::Reread, 100, 0.0), Duration::from_secs(1));
    }
}

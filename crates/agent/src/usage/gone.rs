//! When namespaces that were deleted while nobody looked had gone: Prometheus showed others from then on, and not them.
//!
//! Without that, the time up to when they were missed would count as unknown, and hold a report back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use planner::usage::gone::Gone;
use planner::usage::ledger::Life;
use planner::usage::month::Window;
use planner::usage::query::Question;
use planner::usage::series::{Minutes, Sample};
use planner::usage::sums::Sums;

use super::collect::{Asking, ask_one, batches};
use crate::error::ApiError;

/// What one query asks for.
const AT_ONCE: SignedDuration = SignedDuration::from_hours(24);

/// Since when lives that have ended, and of which these windows are wanted, were not there. On the port for tenants there
/// are no others to compare with.
pub(super) async fn since(
    asking: Asking<'_>,
    sums: &Sums,
    wanted: impl Iterator<Item = (&Life, &BTreeSet<Window>)>,
) -> Result<BTreeMap<Life, Timestamp>, ApiError> {
    let Asking { prometheus, lives, now, .. } = asking;
    let mut all: BTreeMap<&Life, Gone> = BTreeMap::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    for (life, windows) in wanted.filter(|(life, _)| lives[*life].until.is_some()) {
        let Some((first, last)) = windows.first().zip(windows.last()) else { continue };
        all.entry(life).or_insert_with(|| Gone::new(sums.has_data(life)));
        let (begin, end) = span.unwrap_or((first.begin, last.end));
        span = Some((begin.min(first.begin), end.max(last.end)));
    }
    let Some((mut begin, end)) = span.filter(|_| !prometheus.is_for_tenants()) else {
        return Ok(BTreeMap::new());
    };
    let names: BTreeSet<&str> = all.keys().map(|life| lives[*life].namespace.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    while begin < end {
        let until = begin.checked_add(AT_ONCE).map_or(end, |until| until.min(end));
        let others = ask_one(prometheus, &Question::Others, &[], begin, until).await?;
        let closed = prometheus.closed_by(now).min(until);
        for batch in batches(prometheus, &names) {
            let shown = ask_one(prometheus, &Question::Present, &batch, begin, until).await?;
            for (life, gone) in
                all.iter_mut().filter(|(life, _)| batch.contains(&lives[**life].namespace.as_str()))
            {
                let own = shown.get(&(lives[*life].namespace.clone(), String::new()));
                let minutes = (begin.as_second()..closed.as_second()).step_by(60).enumerate();
                for (minute, second) in minutes {
                    let Ok(at) = Timestamp::from_second(second) else { continue };
                    if lives[*life].holds(at) {
                        let is_shown = own.is_some_and(|own| is_known(own, minute));
                        gone.minute(at, is_shown, others.values().any(|other| is_known(other, minute)));
                    }
                }
            }
        }
        begin = until;
    }
    Ok(all.into_iter().filter_map(|(life, gone)| Some((life.clone(), gone.since()?))).collect())
}

fn is_known(minutes: &Minutes, minute: usize) -> bool {
    minutes.at(minute) != Sample::None
}

//! Failures of calls to Waldur and to the cluster, in words for the person who reads them at night.
//!
//! Not found, forbidden, conflict and unavailable are different things everywhere; [`Failure`] says which, and the
//! planner decides what follows from it. Nothing here may hold a secret.

use std::fmt;
use std::time::Duration;

use planner::names::clipped;
use planner::outcome::Failure;

use crate::unreachable::{self, Keys};

/// Longest part of a server's message that is kept; an escalation check answers with up to 20 KB.
const MAX_MESSAGE: usize = 800;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ApiError {
    /// `Waldur` or `OKD`.
    pub peer: Peer,
    /// Method and path.
    pub request: String,
    /// What kind of failure it is.
    pub failure: Failure,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The server's words, or what went wrong on the way; shortened.
    pub message: String,
    /// The server does not know this path at all (as opposed to knowing no such object).
    pub unknown_path: bool,
}

/// Who was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The marketplace.
    Waldur,
    /// The cluster.
    Cluster,
    /// Where usage is measured.
    Prometheus,
}

impl Peer {
    /// The keys that say how it is reached.
    const fn keys(self) -> Keys {
        match self {
            Self::Waldur => unreachable::WALDUR,
            Self::Cluster => unreachable::CLUSTER,
            Self::Prometheus => unreachable::PROMETHEUS,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waldur => "Waldur",
            Self::Cluster => "OKD",
            Self::Prometheus => "Prometheus",
        })
    }
}

impl ApiError {
    /// An answer with a status that is no success. Its words are whole, until [`ApiError::without`] shortens them.
    pub(crate) fn answered(peer: Peer, request: &str, status: u16, failure: Failure, message: &str) -> Self {
        let mut message = without_authorization(message).trim().to_owned();
        if status == 407 {
            message = format!("{}: {message}", unreachable::proxy_advice(peer.keys()));
        }
        Self {
            peer,
            request: request.to_owned(),
            failure,
            status: Some(status),
            message,
            unknown_path: false,
        }
    }

    /// No usable answer: network, TLS, timeout, or something that is not what the API speaks.
    pub(crate) fn unavailable(peer: Peer, request: &str, message: &str) -> Self {
        let failure = Failure::Unavailable { retry_after: None };
        let message = clipped(message.trim(), MAX_MESSAGE);
        Self { peer, request: request.to_owned(), failure, status: None, message, unknown_path: false }
    }

    /// No answer at all. `server` is the scheme, host and port that were called.
    pub(crate) fn unanswered(
        peer: Peer,
        request: &str,
        server: &str,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::unavailable(peer, request, &unreachable::no_answer(server, error, peer.keys()))
    }

    /// No answer within the deadline.
    pub(crate) fn too_late(peer: Peer, request: &str, server: &str, deadline: Duration) -> Self {
        Self::unavailable(peer, request, &format!("no answer from {server} within {deadline:?}"))
    }

    /// An answer that is JSON, but not of the shape that the API promises.
    pub(crate) fn unexpected(peer: Peer, request: &str, message: &str) -> Self {
        Self { failure: Failure::Invalid, ..Self::unavailable(peer, request, message) }
    }

    /// The same with a remark on what may be wrong.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.message = format!("{}; {hint}", self.message);
        self
    }

    /// The same with a secret left out of the server's words, which are then shortened: not before, since a secret
    /// that was cut in two could no longer be found.
    #[must_use]
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.message = self.message.replace(secret, "…");
        }
        self.message = clipped(&self.message, MAX_MESSAGE);
        self
    }

    /// True if the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.failure, Failure::Unavailable { .. })
    }

    /// True if the thing asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.failure == Failure::NotFound
    }

    /// The pause that the server asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.failure {
            Failure::Unavailable { retry_after } => retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, request, failure, status, message, .. } = self;
        let says = match failure {
            Failure::NotFound => "has no such object",
            Failure::AlreadyExists => "already has an object of that name",
            Failure::Conflict => "reports a conflict",
            Failure::Unauthorized => "does not accept the token",
            Failure::Forbidden => "forbids it",
            Failure::NotOurs => "has somebody else's object there",
            Failure::Invalid => "refuses the request",
            Failure::Unavailable { .. } => "is not available",
        };
        write!(f, "{peer} {says}: {request}")?;
        if let Some(status) = status {
            write!(f, " answered {status}")?;
        }
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

/// A text that repeats a request's headers, as debug pages do, up to the end of each line that says `authorization`:
/// it may hold a token, or the password of a proxy.
fn without_authorization(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.to_ascii_lowercase().find("authorization:") {
        Some(at) => format!("{}authorization: …", &line[..at]),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a status means for the planner. 409 is a conflict unless the caller knows better.
pub(crate) fn failure_of_status(status: u16, retry_after: Option<Duration>) -> Failure {
    match status {
        401 => Failure::Unauthorized,
        403 => Failure::Forbidden,
        404 | 410 => Failure::NotFound,
        409 => Failure::Conflict,
        // A proxy speaks; nothing is known of the server.
        407 | 408 | 425 | 429 | 500..=599 => Failure::Unavailable { retry_after },
        _ => Failure::Invalid,
    }
}

/// Reads a `Retry-After` header in seconds; dates are not used by these servers.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(600)))
}

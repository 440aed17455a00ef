//! What a failed action means: try again, or say that it cannot be done.

use std::time::Duration;

use crate::action::Action;

/// Kinds of failures that call for different answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The thing that was written to is not there.
    NotFound,
    /// The name is taken, by whomever.
    AlreadyExists,
    /// Somebody else changed it in between, or it is in another state than was seen.
    Conflict,
    /// The token is not accepted.
    Unauthorized,
    /// The token is accepted, the right is missing.
    Forbidden,
    /// An object that does not carry our labels is in the way.
    NotOurs,
    /// The request itself is refused, and will be again.
    Invalid,
    /// Network, timeout, overload, server error.
    Unavailable {
        /// When the server asked to be asked again.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotOurs => "not_ours",
            Self::Invalid => "invalid",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// What to do after an action has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with the plan without it.
    Skip,
    /// Somebody has the name: look it up and plan again at once.
    LookUp(String),
    /// The world is not as it was seen: observe and plan again at once.
    Observe,
    /// Observe and plan again later, after a growing pause, or after this one.
    Retry(Option<Duration>),
    /// It cannot be done: the order, if there is one that has begun, is erred.
    GiveUp,
}

/// What to do after this action failed like this.
#[must_use]
pub fn after(action: &Action, failure: &Failure) -> Next {
    match failure {
        Failure::Unavailable { .. } | Failure::Unauthorized
            if matches!(action, Action::ReportUsage { insist: false, .. }) =>
        {
            Next::Skip
        }
        Failure::Unavailable { retry_after } => Next::Retry(*retry_after),
        Failure::Unauthorized => Next::Retry(None),
        Failure::AlreadyExists => match action {
            Action::RequestProject { name, .. } | Action::CreateNamespace { name, .. } => {
                Next::LookUp(name.clone())
            }
            _ => Next::Observe,
        },
        Failure::Conflict | Failure::NotFound => match action {
            // What is only told to people holds up nothing: a server that does not want to hear it now does not want
            // to hear it at the next look either.
            Action::SetAllocationOk { .. }
            | Action::ReportUsage { .. }
            | Action::SetBackendMetadata { .. }
            | Action::SetMembershipStatuses { .. }
            | Action::SetResourceOk { .. }
            | Action::SetResourceErred { .. }
            | Action::RefreshLastSync { .. } => Next::Skip,
            _ => Next::Observe,
        },
        // The next look sees that it was refused, and plans without it: what follows must not name it.
        Failure::Forbidden | Failure::NotOurs | Failure::Invalid
            if matches!(action, Action::ApplyGroup { .. } | Action::ApplyServiceAccount { .. }) =>
        {
            Next::Observe
        }
        Failure::Forbidden | Failure::NotOurs | Failure::Invalid if action.is_optional() => Next::Skip,
        // An order that Waldur does not let the agent move stays where it is; only a person can help.
        Failure::Forbidden | Failure::NotOurs | Failure::Invalid if action.is_order_step() => {
            Next::Retry(None)
        }
        Failure::Forbidden | Failure::NotOurs | Failure::Invalid => Next::GiveUp,
    }
}

//! Actions as people read them: one line each, `+` made, `~` changed, `-` removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Action, Expect};
use crate::access::Subject;
use crate::names;
use crate::quota::{self, Hard};

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approve { order } => write!(f, "approve order {}", order.simple()),
            Self::Reject { order, comment } => write!(f, "reject order {}: {comment}", order.simple()),
            Self::SetAllocationOk { resource } => {
                write!(f, "set allocation of resource {} ok", resource.simple())
            }
            Self::RequestProject { name, display_name, .. } => write!(f, "+ project {name} ({display_name})"),
            Self::CreateNamespace { name, .. } => write!(f, "+ namespace {name}"),
            Self::ApplyNamespace { target, annotations, .. } => {
                write!(f, "~ namespace {}: labels, {} annotations", target.name, annotations.len())
            }
            Self::ChangeWorkload { target, change, .. } => write!(f, "~ {} {change}", target.name),
            Self::MarkNamespace { target, marks, .. } => {
                write!(f, "~ namespace {}:{}", target.name, marks_text(marks))
            }
            Self::AdoptNamespace { target, .. } => write!(f, "~ namespace {}: adopted", target.name),
            Self::Furnish { target, expect, object, .. } => {
                let sign = if matches!(expect, Expect::Uid(_)) { '~' } else { '+' };
                write!(f, "{sign} {} {}/{}", object.api.kind, target.name, object.name)
            }
            Self::Unfurnish { namespace, api, name, .. } => write!(f, "- {} {namespace}/{name}", api.kind),
            Self::DeletePythonBinding { namespace, binding, .. } => write!(
                f,
                "- role binding {namespace}/{} of the Python agent: {}",
                names::one_line(&binding.name),
                binding.role
            ),
            Self::Release { kind, namespace, name, .. } => {
                let slash = if namespace.is_empty() { "" } else { "/" };
                write!(f, "~ {} {namespace}{slash}{name}: labels removed", kind.label())
            }
            Self::ApplyQuota { target, name, value, before, .. } => {
                let sign = if before.is_empty() { '+' } else { '~' };
                let of =
                    if value.scopes.is_empty() { String::new() } else { format!(" of {}", value.scopes) };
                write!(f, "{sign} quota {}/{name}{of}:{}", target.name, quota_changes(before, &value.hard))
            }
            Self::DeleteQuota { namespace, name, .. } => write!(f, "- quota {namespace}/{name}"),
            Self::ApplyLimitRange { target, expect, .. } => {
                let sign = if matches!(expect, Expect::Uid(_)) { '~' } else { '+' };
                write!(f, "{sign} limit range {}/{}", target.name, names::LIMIT_RANGE)
            }
            Self::ApplyRoleBinding { target, expect, name, role, subjects, .. } => {
                let sign = if matches!(expect, Expect::Uid(_)) { '~' } else { '+' };
                write!(
                    f,
                    "{sign} role binding {}/{name}: {role} for {}",
                    target.name,
                    subject_names(subjects)
                )
            }
            Self::DeleteRoleBinding { namespace, name, .. } => write!(f, "- role binding {namespace}/{name}"),
            Self::ApplyGroup { expect, name, users, .. } => {
                let sign = if matches!(expect, Expect::Uid(_)) { '~' } else { '+' };
                let users: Vec<_> = users.iter().map(|user| names::one_line(user)).collect();
                write!(f, "{sign} group {name}: {}", users.join(", "))
            }
            Self::DeleteGroup { name, .. } => write!(f, "- group {name}"),
            Self::ApplyServiceAccount { target, name, .. } => {
                write!(f, "+ service account {}/{name}", target.name)
            }
            Self::DeleteServiceAccount { namespace, name, .. } => {
                write!(f, "- service account {namespace}/{name}")
            }
            Self::EnsureIdentity { provider, username } => {
                write!(
                    f,
                    "+ identity {provider}:{} and its user, where there are none",
                    names::one_line(username)
                )
            }
            Self::SetMembershipStatuses { resource, statuses } => {
                write!(
                    f,
                    "tell Waldur the state of {} grants of resource {}",
                    statuses.len(),
                    resource.simple()
                )
            }
            Self::SetResourceOk { resource } => write!(f, "resource {} is OK", resource.simple()),
            Self::SetResourceErred { resource, message, .. } => {
                write!(f, "resource {} is erred: {message}", resource.simple())
            }
            Self::RefreshLastSync { resource } => write!(f, "resource {} was looked at", resource.simple()),
            Self::DeleteNamespace { name, uid, .. } => {
                write!(f, "- namespace {name} (uid {uid}) with all that is in it")
            }
            Self::ReportUsage { resource, .. } => {
                write!(f, "tell Waldur the last usage of resource {}", resource.simple())
            }
            Self::SetBackendId { resource, backend_id } => {
                write!(f, "tell Waldur that resource {} is {backend_id}", resource.simple())
            }
            Self::SetBackendMetadata { resource, .. } => {
                write!(f, "tell Waldur the metadata of resource {}", resource.simple())
            }
            Self::MarkDone { order } => write!(f, "order {} is done", order.simple()),
            Self::MarkErred { order, message, .. } => {
                write!(f, "order {} is erred: {message}", order.simple())
            }
        }
    }
}

/// ` waldur/held paused, - waldur/workloads`.
fn marks_text(marks: &BTreeMap<&'static str, Option<String>>) -> String {
    let text = |(key, value): (&&str, &Option<String>)| match value {
        Some(value) => format!(" {key} {value}"),
        None => format!(" - {key}"),
    };
    marks.iter().map(text).collect::<Vec<_>>().join(",")
}

/// ` requests.cpu 4 → 8, + pods 50, - limits.cpu 16`.
fn quota_changes(before: &Hard, after: &Hard) -> String {
    let changed = after.iter().filter_map(|(key, value)| {
        let text = quota::quantity(key, *value);
        match before.get(key) {
            Some(old) if old == value => None,
            Some(old) => Some(format!(" {key} {} → {text}", quota::quantity(key, *old))),
            None => Some(format!(" {key}={text}")),
        }
    });
    let removed = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let removed = removed.map(|(key, old)| format!(" - {key} {}", quota::quantity(key, *old)));
    changed.chain(removed).collect::<Vec<_>>().join(",")
}

fn subject_names(subjects: &BTreeSet<Subject>) -> String {
    let names = subjects.iter().map(|subject| match subject {
        Subject::User(name) => names::one_line(name),
        Subject::Group(name) => format!("group {}", names::one_line(name)),
        Subject::ServiceAccount(name) => format!("service account {}", names::one_line(name)),
    });
    names.collect::<Vec<_>>().join(", ")
}

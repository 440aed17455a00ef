//! What is true of an action by its kind.

use super::{Action, OwnedKind};

impl Action {
    /// True if the action takes something away that cannot be put back.
    #[must_use]
    pub const fn is_destructive(&self) -> bool {
        matches!(self, Self::DeleteNamespace { .. })
    }

    /// The namespace that it changes something in, if that is there before and afterwards.
    #[must_use]
    pub fn within(&self) -> Option<&str> {
        match self {
            Self::ApplyNamespace { target, .. }
            | Self::AdoptNamespace { target, .. }
            | Self::ApplyQuota { target, .. }
            | Self::ChangeWorkload { target, .. }
            | Self::ApplyLimitRange { target, .. }
            | Self::ApplyRoleBinding { target, .. }
            | Self::ApplyServiceAccount { target, .. }
            | Self::Furnish { target, .. } => Some(&target.name),
            Self::DeleteQuota { namespace, .. }
            | Self::DeleteRoleBinding { namespace, .. }
            | Self::DeletePythonBinding { namespace, .. }
            | Self::DeleteServiceAccount { namespace, .. }
            | Self::Unfurnish { namespace, .. } => Some(namespace),
            Self::Release { kind: OwnedKind::Namespace, name, .. } => Some(name),
            Self::Release { namespace, .. } if !namespace.is_empty() => Some(namespace),
            _ => None,
        }
    }

    /// True if Waldur itself has to take this for the order to go on. A refusal keeps the order open: to err it would
    /// be the same Waldur's to take, and would leave a project behind of which Waldur knows nothing.
    #[must_use]
    pub const fn is_order_step(&self) -> bool {
        matches!(
            self,
            Self::Approve { .. }
                | Self::Reject { .. }
                | Self::SetBackendId { .. }
                | Self::MarkDone { .. }
                | Self::MarkErred { .. }
        )
    }

    /// False for what is told to Waldur.
    #[must_use]
    pub const fn is_for_cluster(&self) -> bool {
        !matches!(
            self,
            Self::Approve { .. }
                | Self::Reject { .. }
                | Self::SetAllocationOk { .. }
                | Self::ReportUsage { .. }
                | Self::SetBackendId { .. }
                | Self::SetBackendMetadata { .. }
                | Self::SetMembershipStatuses { .. }
                | Self::SetResourceOk { .. }
                | Self::SetResourceErred { .. }
                | Self::RefreshLastSync { .. }
                | Self::MarkDone { .. }
                | Self::MarkErred { .. }
        )
    }

    /// True if the action tells Waldur that everything is as it should be.
    #[must_use]
    pub const fn reports_success(&self) -> bool {
        matches!(
            self,
            Self::SetMembershipStatuses { .. }
                | Self::SetResourceOk { .. }
                | Self::SetBackendMetadata { .. }
                | Self::RefreshLastSync { .. }
                | Self::MarkNamespace { closing: true, .. }
        )
    }

    /// True if the action lets somebody in or out.
    #[must_use]
    pub const fn changes_access(&self) -> bool {
        matches!(
            self,
            Self::ApplyRoleBinding { .. }
                | Self::DeleteRoleBinding { .. }
                | Self::ApplyGroup { .. }
                | Self::DeleteGroup { .. }
                | Self::ApplyServiceAccount { .. }
                | Self::DeleteServiceAccount { .. }
                | Self::DeletePythonBinding { .. }
        )
    }

    /// True if the action takes away what others before it replace: it must not happen if those did not.
    #[must_use]
    pub const fn follows_replacement(&self) -> bool {
        matches!(self, Self::DeletePythonBinding { .. } | Self::DeleteQuota { .. })
    }

    /// True if the plan goes on when the cluster forbids this action.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.changes_access()
            || matches!(
                self,
                Self::ApplyLimitRange { .. }
                    | Self::DeleteQuota { .. }
                    | Self::DeleteClusterQuota { .. }
                    | Self::ChangeWorkload { .. }
                    | Self::EnsureIdentity { .. }
                    | Self::ReportUsage { .. }
                    | Self::SetBackendMetadata { .. }
                    | Self::SetMembershipStatuses { .. }
                    | Self::SetResourceOk { .. }
                    | Self::SetResourceErred { .. }
                    | Self::RefreshLastSync { .. }
            )
    }
}

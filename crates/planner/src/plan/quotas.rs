//! The quotas of a project: made, kept, and taken away when nobody wants them any more.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Plan;
use crate::action::{Action, Expect, Target};
use crate::amount::Amount;
use crate::desired::Project;
use crate::finding::Finding;
use crate::observed::{Observed, Owned};
use crate::quota::{DesiredQuota, DesiredQuotas, Hard, Quota};

/// Quotas by name.
type Quotas = BTreeMap<String, Owned<Quota>>;

/// Where a quota is.
#[derive(Clone, Copy, Debug)]
pub(super) enum QuotaPlace<'a> {
    /// In this namespace.
    Namespace(&'a Target),
    /// In none: it is over all namespaces of its resource (OpenShift: ClusterResourceQuota).
    Cluster,
}

impl Plan {
    /// Plans the quotas over all namespaces of a resource.
    pub(super) fn apply_cluster_quotas(
        &mut self,
        resource: Uuid,
        wanted: &DesiredQuotas,
        observed: &Observed,
    ) {
        let place = (QuotaPlace::Cluster, resource);
        self.apply_quotas(place, (&observed.cluster_quotas, &Quotas::new()), &Expect::Absent, wanted);
    }

    /// The same where those are taken over that carry no labels, if anything is adopted.
    pub(super) fn adopt_cluster_quotas(
        &mut self,
        project: &Project,
        wanted: &DesiredQuotas,
        observed: &Observed,
    ) {
        let nothing = Quotas::new();
        let unlabelled = if project.adopt { &observed.unlabelled_cluster_quotas } else { &nothing };
        let place = (QuotaPlace::Cluster, project.resource);
        self.apply_quotas(place, (&observed.cluster_quotas, unlabelled), &Expect::Absent, wanted);
    }

    /// Plans that quotas over all namespaces go which the configuration does not have any more.
    pub(super) fn prune_cluster_quotas(
        &mut self,
        resource: Uuid,
        wanted: &DesiredQuotas,
        observed: &Observed,
    ) {
        self.prune_quotas((QuotaPlace::Cluster, resource), &observed.cluster_quotas, wanted);
    }

    /// Where the quota is over all namespaces, one in a namespace that is not provably ours limits it further.
    pub(super) fn name_unlabelled_quotas(&mut self, target: &Target, unlabelled: &Quotas, project: &Project) {
        for name in unlabelled.keys().filter(|name| project.quotas.contains_key(*name)) {
            self.findings.push(Finding::warning(format!(
                "quota {}/{name} carries no labels, and stays beside the one over all namespaces; delete it if it is not \
                 wanted",
                target.name
            )));
        }
    }

    /// Plans what is wanted, given our quotas and those that an adoption takes over.
    pub(super) fn apply_quotas(
        &mut self,
        place: (QuotaPlace<'_>, Uuid),
        (ours, unlabelled): (&Quotas, &Quotas),
        none: &Expect,
        wanted: &DesiredQuotas,
    ) {
        for (name, wanted) in wanted {
            match (ours.get(name), unlabelled.get(name)) {
                (Some(ours), _) if ours.value.scopes != wanted.scopes => {
                    self.replace_quota(place, name, ours, wanted);
                }
                (Some(ours), _) => self.change_quota(place, name, ours, wanted),
                (None, Some(taken)) => self.take_over_quota(place, name, taken, wanted),
                (None, None) => {
                    self.apply_quota(place, (name, none.clone()), wanted.resolved(None), Hard::new())
                }
            }
        }
    }

    /// Plans that quotas go which the configuration does not have any more.
    pub(super) fn prune_quotas(
        &mut self,
        place: (QuotaPlace<'_>, Uuid),
        ours: &Quotas,
        wanted: &DesiredQuotas,
    ) {
        for (name, owned) in ours.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            self.delete_quota(place, name, owned);
        }
    }

    fn change_quota(
        &mut self,
        place: (QuotaPlace<'_>, Uuid),
        name: &str,
        ours: &Owned<Quota>,
        wanted: &DesiredQuota,
    ) {
        let after = wanted.resolved(Some(&ours.value.hard));
        let before = before(ours, &after.hard);
        if before != after.hard {
            self.apply_quota(place, (name, Expect::Uid(ours.uid.clone())), after, before);
        }
    }

    /// Scopes cannot be changed (Kubernetes: validation of updates).
    fn replace_quota(
        &mut self,
        place: (QuotaPlace<'_>, Uuid),
        name: &str,
        ours: &Owned<Quota>,
        wanted: &DesiredQuota,
    ) {
        self.delete_quota(place, name, ours);
        let after = wanted.resolved(Some(&ours.value.hard));
        self.apply_quota(place, (name, Expect::Absent), after, Hard::new());
    }

    /// One with other scopes is ours first, and replaced by the next look.
    fn take_over_quota(
        &mut self,
        place: (QuotaPlace<'_>, Uuid),
        name: &str,
        taken: &Owned<Quota>,
        wanted: &DesiredQuota,
    ) {
        let hard = wanted.resolve(Some(&taken.value.hard));
        let before = before(taken, &hard);
        let after = Quota { scopes: taken.value.scopes.clone(), hard };
        self.apply_quota(place, (name, Expect::Uid(taken.uid.clone())), after, before);
    }

    fn apply_quota(
        &mut self,
        (place, resource): (QuotaPlace<'_>, Uuid),
        (name, expect): (&str, Expect),
        value: Quota,
        before: Hard,
    ) {
        let name = name.to_owned();
        self.actions.push(match place {
            QuotaPlace::Namespace(target) => {
                Action::ApplyQuota { target: target.clone(), resource, expect, name, value, before }
            }
            QuotaPlace::Cluster => Action::ApplyClusterQuota { resource, expect, name, value, before },
        });
    }

    fn delete_quota(&mut self, (place, resource): (QuotaPlace<'_>, Uuid), name: &str, owned: &Owned<Quota>) {
        let (name, uid) = (name.to_owned(), owned.uid.clone());
        self.actions.push(match place {
            QuotaPlace::Namespace(target) => {
                Action::DeleteQuota { namespace: target.name.clone(), resource, name, uid }
            }
            QuotaPlace::Cluster => Action::DeleteClusterQuota { resource, name, uid },
        });
    }
}

/// What a quota says that our apply changes or removes: a key that only somebody else has put there is theirs.
fn before(quota: &Owned<Quota>, after: &Hard) -> Hard {
    let is_ours =
        |(key, _): &(&String, &Amount)| after.contains_key(*key) || !quota.edited_by.contains_key(*key);
    quota.value.hard.iter().filter(is_ours).map(|(key, value)| (key.clone(), *value)).collect()
}

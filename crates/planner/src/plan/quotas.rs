//! The quotas of a project: made, kept, and taken away when nobody wants them any more.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Plan;
use crate::action::{Action, Expect, Target};
use crate::amount::Amount;
use crate::observed::Owned;
use crate::quota::{DesiredQuota, DesiredQuotas, Hard, Quota};

/// Quotas by name.
type Quotas = BTreeMap<String, Owned<Quota>>;

impl Plan {
    /// Plans what is wanted, given our quotas and those that an adoption takes over.
    pub(super) fn apply_quotas(
        &mut self,
        place: (&Target, Uuid),
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
    pub(super) fn prune_quotas(&mut self, place: (&Target, Uuid), ours: &Quotas, wanted: &DesiredQuotas) {
        for (name, owned) in ours.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            self.delete_quota(place, name, owned);
        }
    }

    fn change_quota(
        &mut self,
        place: (&Target, Uuid),
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
        place: (&Target, Uuid),
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
        place: (&Target, Uuid),
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
        (target, resource): (&Target, Uuid),
        (name, expect): (&str, Expect),
        value: Quota,
        before: Hard,
    ) {
        let (target, name) = (target.clone(), name.to_owned());
        self.actions.push(Action::ApplyQuota { target, resource, expect, name, value, before });
    }

    fn delete_quota(&mut self, (target, resource): (&Target, Uuid), name: &str, owned: &Owned<Quota>) {
        let (namespace, name, uid) = (target.name.clone(), name.to_owned(), owned.uid.clone());
        self.actions.push(Action::DeleteQuota { namespace, resource, name, uid });
    }
}

/// What a quota says that our apply changes or removes: a key that only somebody else has put there is theirs.
fn before(quota: &Owned<Quota>, after: &Hard) -> Hard {
    let is_ours =
        |(key, _): &(&String, &Amount)| after.contains_key(*key) || !quota.edited_by.contains_key(*key);
    quota.value.hard.iter().filter(is_ours).map(|(key, value)| (key.clone(), *value)).collect()
}

//! Who has changed what is put back: findings that name the field manager (Kubernetes: managedFields).

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use crate::action::{Action, Expect};
use crate::finding::Finding;
use crate::names;
use crate::observed::Observed;

impl Plan {
    /// Names those whose changes the actions undo. A change of the limits in Waldur is nobody's edit: of a quota only
    /// the keys count that somebody else has written.
    pub(super) fn name_editors(&mut self, observed: &Observed) {
        let edits: Vec<Finding> =
            self.actions.iter().filter_map(|action| edit_undone(action, observed)).collect();
        self.findings.extend(edits);
    }
}

fn edit_undone(action: &Action, observed: &Observed) -> Option<Finding> {
    match action {
        Action::ApplyQuota { target, name, value, before, expect: Expect::Uid(_), .. } => {
            let edited = &observed.quotas.get(name)?.edited_by;
            let differs = |key: &&String| value.hard.get(*key) != before.get(*key);
            finding(&format!("quota {}/{name}", target.name), edited, differs)
        }
        Action::ApplyRoleBinding { target, name, .. } => {
            let edited = &observed.bindings.get(name)?.edited_by;
            finding(&format!("role binding {}/{name}", target.name), edited, |_| true)
        }
        Action::DeleteRoleBinding { namespace, name, .. } => {
            let edited = &observed.bindings.get(name)?.edited_by;
            finding(&format!("role binding {namespace}/{name}"), edited, |_| true)
        }
        _ => None,
    }
}

fn finding(
    what: &str,
    edited: &BTreeMap<String, String>,
    differs: impl Fn(&&String) -> bool,
) -> Option<Finding> {
    let managers: BTreeSet<&str> =
        edited.iter().filter(|(field, _)| differs(field)).map(|(_, manager)| manager.as_str()).collect();
    let managers: Vec<String> = managers
        .into_iter()
        .map(|name| format!("`{}`", names::clipped(&names::one_line(name), 80)))
        .collect();
    if managers.is_empty() {
        return None;
    }
    Some(Finding::warning(format!(
        "{what} was changed by {}; it is put back to what Waldur says",
        managers.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::action::Target;
    use crate::amount::Amount;
    use crate::observed::Owned;
    use crate::quota::Quota;

    #[test]
    fn only_keys_that_somebody_else_has_written_are_an_edit() {
        let quota = |cpu: i64, pods: i64| {
            BTreeMap::from([
                ("requests.cpu".to_owned(), Amount::whole(cpu)),
                ("pods".to_owned(), Amount::whole(pods)),
            ])
        };
        let seen = quota(99, 50);
        let editors = BTreeMap::from([("requests.cpu".to_owned(), "kubectl-edit".to_owned())]);
        let value = |hard| Quota { hard, ..Quota::default() };
        let owned = Owned { edited_by: editors, ..Owned::new("uid".to_owned(), value(seen.clone())) };
        let name = || names::QUOTA.to_owned();
        let observed = Observed { quotas: [(name(), owned)].into(), ..Observed::default() };
        let found = |hard| {
            let target = Target { name: "shop".to_owned(), uid: None };
            let (expect, before) = (Expect::Uid("uid".to_owned()), seen.clone());
            let (name, value) = (name(), value(hard));
            let action = Action::ApplyQuota { target, resource: Uuid::nil(), expect, name, value, before };
            let mut plan = Plan { actions: vec![action], ..Plan::default() };
            plan.name_editors(&observed);
            plan.findings
        };
        let expected =
            "quota shop/waldur-quota was changed by `kubectl-edit`; it is put back to what Waldur says";
        assert_eq!(found(quota(4, 50)), [Finding::warning(expected)]);
        assert_eq!(found(quota(99, 60)), []);
    }
}

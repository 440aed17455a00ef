//! From the API server's words about a missing right to the rule that grants it. Pure.

/// What to do about a refusal by RBAC (Kubernetes: `User "…" cannot list resource "pods" in API group "" in the
/// namespace "…"`); `None` for refusals of another kind.
pub(super) fn of(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let (_, rest) = rest.split_once(" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    // What is quoted back into a rule is a word, or it is not what this reads.
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || ".-/*".contains(c));
    if verb.is_empty() || resource.is_empty() || ![verb, resource, group].into_iter().all(is_word) {
        return None;
    }
    let place = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
    let place = match place {
        Some((namespace, _)) if is_word(namespace) => {
            format!("the agent's ClusterRole, or to a Role in namespace `{namespace}`")
        }
        _ => "the agent's ClusterRole".to_owned(),
    };
    Some(format!(
        "add this rule to {place}: {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_rule_is_read_from_the_refusal() {
        let user = "User \"system:serviceaccount:a:b\"";
        for (message, expected) in [
            (
                format!(
                    "namespaces is forbidden: {user} cannot list resource \"namespaces\" in API group \"\" at the cluster scope"
                ),
                Some(
                    "add this rule to the agent's ClusterRole: {apiGroups: [\"\"], resources: [\"namespaces\"], \
                     verbs: [\"list\"]}",
                ),
            ),
            (
                format!(
                    "rolebindings.rbac.authorization.k8s.io \"x\" is forbidden: {user} cannot patch resource \
                     \"rolebindings\" in API group \"rbac.authorization.k8s.io\" in the namespace \"shop\""
                ),
                Some(
                    "add this rule to the agent's ClusterRole, or to a Role in namespace `shop`: {apiGroups: \
                     [\"rbac.authorization.k8s.io\"], resources: [\"rolebindings\"], verbs: [\"patch\"]}",
                ),
            ),
            ("pods \"x\" is forbidden: exceeded quota".to_owned(), None),
            ("You may not request a new project via this API.".to_owned(), None),
            (format!("{user} cannot li\nst resource \"a\" in API group \"\""), None),
        ] {
            assert_eq!(of(&message).as_deref(), expected, "{message}");
        }
    }
}

//! Who a role binding can name, and under which names (Kubernetes: RBAC subjects; OpenShift: Group, User, Identity).

use crate::names;

/// Which of a member's names the cluster knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attribute {
    /// The username of the offering user.
    #[default]
    OfferingUsername,
    /// The Waldur login.
    Username,
    /// The e-mail address.
    Email,
}

/// How a member's name on the cluster is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRule {
    /// Of which name.
    pub attribute: Attribute,
    /// In lower case.
    pub lowercase: bool,
    /// Put in front.
    pub prefix: String,
}

/// How members become subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// Each as a user.
    User(NameRule),
    /// Those of one ClusterRole in one project as an OpenShift Group that is ours; see [`group_name`].
    Group(NameRule),
    /// As a group that somebody else fills, by a name with `{project}`, `{resource}`, `{customer}` and `{role}`.
    ExternalGroup {
        /// The template.
        template: String,
    },
}

impl Default for SubjectRule {
    fn default() -> Self {
        Self::User(NameRule::default())
    }
}

/// How Waldur's service accounts become subjects. Course accounts are always users: people log in with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountRule {
    /// Each as a user of its username.
    #[default]
    User,
    /// Each as a ServiceAccount in the project; see [`service_account_name`].
    ServiceAccount,
}

/// What the cluster serves and lets the agent keep, besides role bindings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// OpenShift Groups.
    pub groups: bool,
    /// ServiceAccounts.
    pub service_accounts: bool,
    /// OpenShift Users, Identities and their mappings.
    pub identities: bool,
}

/// A subject of a role binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A user by name.
    User(String),
    /// A group by name.
    Group(String),
    /// A service account in the binding's own namespace.
    ServiceAccount(String),
}

impl Subject {
    /// The subject in one word, for people and for Waldur's metadata.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::User(name) => name.clone(),
            Self::Group(name) => format!("group:{name}"),
            Self::ServiceAccount(name) => format!("serviceaccount:{name}"),
        }
    }
}

/// Longest name that is made here: then it may be a label's value as well.
const MAX_NAME: usize = 63;
/// Service accounts that every OpenShift project has; pods use them without being told to.
const BUILT_IN: [&str; 3] = ["default", "builder", "deployer"];

/// Name of our group for a ClusterRole in a namespace. A role of more than letters and digits gets a hash: a
/// hyphen could be the namespace's as well.
#[must_use]
pub fn group_name(namespace: &str, cluster_role: &str) -> String {
    let plain = !cluster_role.is_empty()
        && cluster_role.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let name = format!("waldur-{namespace}-{}", names::dns_label_part(cluster_role));
    if plain && name.len() <= MAX_NAME {
        return name;
    }
    names::hashed_within(&name, &format!("{namespace}/{cluster_role}"), MAX_NAME)
}

/// Name of the ServiceAccount for an account of Waldur. What is no DNS label, or is a name that the cluster gives
/// itself, gets a hash, so that different accounts stay different.
#[must_use]
pub fn service_account_name(username: &str) -> String {
    let safe = names::dns_label_part(username);
    if safe == username && safe.len() <= MAX_NAME && !BUILT_IN.contains(&username) {
        return safe;
    }
    let base = if safe.is_empty() { "account" } else { &safe };
    names::hashed_within(base, username, MAX_NAME)
}

/// Name of a user's identity at a provider (OpenShift: Identity).
#[must_use]
pub fn identity_name(provider: &str, username: &str) -> String {
    format!("{provider}:{username}")
}

/// True for names that a User object, and with it a Group, may hold (OpenShift: user names hold none of `/`, `%`,
/// `:`). A role binding takes any name.
#[must_use]
pub fn fits_user_object(name: &str) -> bool {
    !name.contains(['/', '%', ':']) && !matches!(name, "." | ".." | "~")
}

/// Refuses names that Kubernetes would refuse or that would mean somebody else: `system:` names belong to the
/// cluster.
pub(crate) fn check_username(name: &str) -> Result<(), String> {
    let shown = names::clipped(&names::one_line(name), 80);
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err(format!(
            "`{shown}` is no username: it is empty or holds blanks at the ends or control characters"
        ));
    }
    if name.starts_with("system:") || name == "~" {
        return Err(format!("`{shown}` is a name that belongs to the cluster"));
    }
    if name.len() > 253 {
        return Err(format!("`{shown}` is longer than 253 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn group_names_are_short_and_never_those_of_another_project() {
        assert_eq!(group_name("waldur-alloc-shop-1", "edit"), "waldur-waldur-alloc-shop-1-edit");
        assert_ne!(group_name("a", "b-c"), group_name("a-b", "c"));
        assert_ne!(group_name("a", "b:c"), group_name("a", "b-c"));
        let long = "x".repeat(63);
        assert_eq!(group_name(&long, "edit").len(), 63);
        assert_ne!(group_name(&long, "edit"), group_name(&long, "view"));
    }

    #[test]
    fn service_accounts_have_safe_names_that_the_cluster_does_not_use_itself() {
        assert_eq!(service_account_name("svc-web"), "svc-web");
        for (one, other) in [("svc.web", "svc-web"), ("Svc-Web", "svc-web"), ("default", "default")] {
            assert_ne!(service_account_name(one), other);
        }
        assert!(service_account_name("svc.web").starts_with("svc-web-"));
        assert!(service_account_name("ü").starts_with("account-"));
    }

    proptest! {
        #[test]
        fn every_account_and_every_role_gives_a_valid_name(text in "\\PC{0,90}", namespace in "[a-z][a-z0-9-]{0,60}[a-z]") {
            for name in [service_account_name(&text), group_name(&namespace, &text)] {
                let valid = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
                prop_assert!(valid && name.len() <= MAX_NAME && !name.starts_with('-') && !name.ends_with('-'), "{name}");
            }
        }
    }
}

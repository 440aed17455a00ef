//! Which ClusterRole a role in Waldur gives (design: Roles).

use std::collections::BTreeSet;

/// Which ClusterRole a Waldur role gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTable {
    /// Configured entries, in lower case: a role and its ClusterRole, or no access.
    pub configured: Vec<(String, Option<String>)>,
    /// For a role without an entry; `None` is no access.
    pub default_role: Option<String>,
}

/// The table of the documentation.
const DOCUMENTED_ROLES: [(&str, &str); 3] = [("owner", "admin"), ("manager", "edit"), ("member", "view")];

impl Default for RoleTable {
    fn default() -> Self {
        Self { configured: Vec::new(), default_role: Some("edit".to_owned()) }
    }
}

impl RoleTable {
    /// The ClusterRole for a Waldur role in either spelling (`manager`, `PROJECT.MANAGER`); `None` is no access.
    /// Servers of 2024 name custom roles `null`: they get the default.
    #[must_use]
    pub fn cluster_role(&self, waldur_role: Option<&str>) -> Option<&str> {
        let Some(role) = waldur_role.map(str::to_lowercase) else {
            return self.default_role.as_deref();
        };
        let short = role.rsplit('.').next().unwrap_or(&role);
        let full = [format!("project.{role}"), format!("customer.{role}")];
        let spellings = [role.as_str(), short].into_iter().chain(full.iter().map(String::as_str));
        for spelling in spellings {
            if let Some((_, answer)) = self.configured.iter().find(|(name, _)| name == spelling) {
                return answer.as_deref();
            }
        }
        match DOCUMENTED_ROLES.iter().find(|(name, _)| *name == short) {
            Some((_, answer)) => Some(answer),
            None => self.default_role.as_deref(),
        }
    }

    /// All ClusterRoles that this table can give, each once, in the order of their names.
    #[must_use]
    pub fn cluster_roles(&self) -> Vec<String> {
        let documented = DOCUMENTED_ROLES.iter().filter_map(|(role, _)| self.cluster_role(Some(role)));
        let configured = self.configured.iter().filter_map(|(_, role)| role.as_deref());
        let all: BTreeSet<&str> = documented.chain(configured).chain(self.default_role.as_deref()).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// False for a role that takes the default because nobody mapped it.
    #[must_use]
    pub fn knows(&self, waldur_role: &str) -> bool {
        let role = waldur_role.to_lowercase();
        let short = role.rsplit('.').next().unwrap_or(&role);
        DOCUMENTED_ROLES.iter().any(|(name, _)| *name == short)
            || self.configured.iter().any(|(name, _)| {
                *name == role || name == short || name.rsplit('.').next() == Some(role.as_str())
            })
    }
}

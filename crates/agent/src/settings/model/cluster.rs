//! The cluster of an offering and what is done there. Waldur contract §1.4, §1.5.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::settings::{CredentialUrl, ExactDecimal, Quantity};

/// How the API server is reached.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// Root of the API server.
    pub api_url: Url,
    /// The credential.
    pub token: ClusterToken,
    /// Verification of the API server's certificate.
    pub tls: TlsVerify,
    /// Proxy for requests to the cluster.
    pub proxy: Option<CredentialUrl>,
}

/// Where the bearer token for the cluster comes from.
#[derive(Clone, Debug)]
pub enum ClusterToken {
    /// The token itself.
    Static(SecretString),
    /// A mounted service account: the file `token` in this directory, read anew when it changes.
    ServiceAccount {
        /// The directory.
        directory: PathBuf,
    },
    /// A file kept by somebody else, read anew when it changes, white space at the ends removed.
    File {
        /// The file.
        path: PathBuf,
    },
    /// A refresh token at an OAuth server.
    OAuth {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
        /// The refresh token to begin with.
        refresh_token: SecretString,
        /// Where tokens are fetched.
        token_endpoint: Url,
    },
}

/// How a server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsVerify {
    /// By the certificates of the system.
    System,
    /// By the certificates in this PEM file.
    CaFile(PathBuf),
    /// Not at all.
    Off,
}

/// Prefixes of names on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Before everything the agent makes.
    pub namespace_prefix: String,
    /// Before the slug of a resource.
    pub allocation_prefix: String,
    /// Before the slug of an organization.
    pub customer_prefix: String,
    /// Before the slug of a project.
    pub project_prefix: String,
}

/// Which Waldur role gets which ClusterRole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// Entries of the file, in its order; the role in lower case (`manager`, `project.manager`), none for no access.
    pub configured: Vec<(String, Option<String>)>,
    /// The ClusterRole of a role without entry; none for no access.
    pub default_role: Option<String>,
}

/// The documented table, for roles that the file does not mention.
const DOCUMENTED_ROLES: [(&str, &str); 3] = [("owner", "admin"), ("manager", "edit"), ("member", "view")];

impl RoleSettings {
    /// The ClusterRole for a role of Waldur in either spelling (`manager`, `PROJECT.MANAGER`); none for no access.
    ///
    /// The entry of the same spelling wins over one of the other, the file over the documented table, and
    /// `default_role` is what remains, also where Waldur names no role at all.
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

    /// Whether a role is named by the file or by the documented table, so that `default_role` does not decide.
    pub fn knows(&self, waldur_role: &str) -> bool {
        let role = waldur_role.to_lowercase();
        let short = role.rsplit('.').next().unwrap_or(&role);
        DOCUMENTED_ROLES.iter().any(|(name, _)| *name == short)
            || self.configured.iter().any(|(name, _)| {
                *name == role || name == short || name.rsplit('.').next() == Some(role.as_str())
            })
    }

    /// Every ClusterRole that can be granted, each once, in alphabetical order.
    pub fn cluster_roles(&self) -> Vec<&str> {
        let documented = DOCUMENTED_ROLES.iter().filter_map(|(name, _)| self.cluster_role(Some(name)));
        let configured = self.configured.iter().filter_map(|(_, role)| role.as_deref());
        let mut roles: Vec<&str> = documented.chain(configured).chain(self.default_role.as_deref()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// How Waldur users become subjects of role bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectSettings {
    /// Which of the user's names is the name at the cluster.
    pub attribute: SubjectAttribute,
    /// Whether it is put in lower case.
    pub lowercase: bool,
    /// Put before it, such as `oidc:`.
    pub prefix: String,
}

/// Which of a user's names is the name at the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectAttribute {
    /// The username at the offering.
    OfferingUsername,
    /// The username in Waldur.
    Username,
    /// The e-mail address.
    Email,
}

/// Quantities by resource name, in the order of the file.
pub type ResourceQuantities = Vec<(String, Quantity)>;

/// The limit range that is made beside the quota, so that a pod without requests starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRangeSettings {
    /// Whether it is made.
    pub enabled: bool,
    /// Limits of a container that names none.
    pub default: ResourceQuantities,
    /// Requests of a container that names none.
    pub default_request: ResourceQuantities,
    /// Largest limits of a container.
    pub max: ResourceQuantities,
    /// Smallest requests of a container.
    pub min: ResourceQuantities,
}

/// What pause, downscale, restore and terminate do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Amounts per component while paused; a component that is not named gets 0.
    pub pause_quotas: Vec<(String, ExactDecimal)>,
    /// Amounts per component while downscaled; a component that is not named gets 1.
    pub downscale_quotas: Vec<(String, ExactDecimal)>,
    /// What a restored resource goes back to.
    pub restore: RestoreTo,
    /// Whether pause also scales workloads to 0.
    pub stop_workloads: bool,
    /// Time between termination and deletion.
    pub terminate_grace: Duration,
    /// Whether termination keeps the namespace and takes quota and access away instead.
    pub soft_delete: bool,
}

/// What a restored resource goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestoreTo {
    /// The limits in Waldur.
    Limits,
    /// The documented fixed amounts: 10 cores, 32 GB, 100 GB, 50 pods.
    Defaults,
}

/// How a namespace name is proved unique in Waldur before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniquenessCheck {
    /// `check_backend_id_uniqueness`
    pub enabled: bool,
    /// `check_all_offerings`
    pub all_offerings: bool,
    /// `backend_id_max_retries`
    pub max_retries: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        configured: &[(&str, Option<&str>)],
        default: Option<&str>,
        asked: Option<&str>,
        expected: Option<&str>,
    ) {
        let roles = RoleSettings {
            configured: configured
                .iter()
                .map(|(name, role)| ((*name).to_owned(), role.map(str::to_owned)))
                .collect(),
            default_role: default.map(str::to_owned),
        };
        assert_eq!(roles.cluster_role(asked), expected, "{configured:?} {asked:?}");
    }

    #[test]
    fn the_documented_table_holds_in_both_spellings() {
        for (role, expected) in [
            ("Owner", "admin"),
            ("CUSTOMER.OWNER", "admin"),
            ("manager", "edit"),
            ("PROJECT.MANAGER", "edit"),
            ("PROJECT.MEMBER", "view"),
            ("PROJECT.ADMIN", "edit"),
        ] {
            check(&[], Some("edit"), Some(role), Some(expected));
        }
        check(&[], None, Some("PROJECT.ADMIN"), None);
        check(&[], Some("edit"), None, Some("edit"));
    }

    #[test]
    fn the_file_wins_and_the_exact_spelling_wins_over_the_other() {
        let table = [("project.manager", Some("admin")), ("manager", Some("view")), ("member", None)];
        check(&table, Some("edit"), Some("PROJECT.MANAGER"), Some("admin"));
        check(&table, Some("edit"), Some("manager"), Some("view"));
        check(&table, Some("edit"), Some("CUSTOMER.MANAGER"), Some("view"));
        check(&table, Some("edit"), Some("PROJECT.MEMBER"), None);
        check(&[("project.admin", Some("admin"))], Some("edit"), Some("admin"), Some("admin"));
    }
}

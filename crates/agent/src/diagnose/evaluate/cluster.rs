//! Checks of the cluster: version, user, rights, roles.

use planner::policy::Flavour;

use super::{connection, count, failed, few, token};
use crate::cluster::connect::Missing;
use crate::cluster::rights::{Feature, rule_texts};
use crate::diagnose::facts::{Answer, ClusterFacts, Facts};
use crate::diagnose::report::Check;
use crate::error::ApiError;

/// Subjects that stand for every user.
const EVERYBODY: [&str; 2] = ["system:authenticated:oauth", "system:authenticated"];

const APPLY: &str = "apply what `waldur_site_agent rbac -c FILE` prints";

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let cluster = &facts.cluster;
    let mut checks = connection::checks(&cluster.connection, "`api_url`");
    let ca = "`ca_file` (or `verify_cert`) of `backend_settings`";
    checks.extend(connection::tls(&cluster.connection, facts.now, ca, "`api_url`"));
    checks.extend(connection::clock(cluster.connection.skew));
    checks.push(token(&cluster.token, facts.now));
    match &cluster.flavour {
        Some(Ok(flavour)) => {
            checks.extend(user(&cluster.user));
            checks.push(version(cluster, *flavour));
            checks.push(match flavour {
                Flavour::OpenShift => Check::good("projects", "OpenShift's project API is there"),
                Flavour::Kubernetes => Check::warning(
                    "projects",
                    "no OpenShift project API: namespaces are made instead",
                    "check `api_url` if this is meant to be OKD or OpenShift",
                ),
            });
        }
        Some(Err(error)) => {
            checks.push(failed("API", error));
            checks.push(Check::not_tried("user", "version, permissions and projects need the API"));
        }
        None => {}
    }
    checks
}

fn user(user: &Answer<String>) -> Option<Check> {
    Some(match user.as_ref()? {
        Ok(user) if user.is_empty() => Check::warning(
            "user",
            "the cluster does not tell who the agent is",
            "projects whose making was cut short cannot be told from others' and are not finished",
        ),
        Ok(user) => Check::good("user", format!("`{user}`")),
        Err(error) => failed("user", error),
    })
}

fn version(cluster: &ClusterFacts, flavour: Flavour) -> Check {
    let kubernetes = match &cluster.kubernetes {
        Some(Ok(version)) if !version.is_empty() => format!("Kubernetes {version}"),
        Some(Err(error)) => return failed("version", error),
        _ => "Kubernetes".to_owned(),
    };
    match (&cluster.openshift, flavour) {
        (Some(Ok(version)), Flavour::OpenShift) if !version.is_empty() => {
            Check::good("version", format!("OKD {version}, {kubernetes}"))
        }
        (_, Flavour::OpenShift) => {
            Check::good("version", format!("{kubernetes} (it does not tell OKD's version)"))
        }
        _ => Check::good("version", kubernetes),
    }
}

/// What the agent may do, by the cluster's own answer to each question.
pub(super) fn permissions(cluster: &ClusterFacts) -> Vec<Check> {
    let mut checks = Vec::new();
    match &cluster.missing {
        Some(Ok(missing)) => {
            let needed: Vec<&Missing> =
                missing.iter().filter(|missing| missing.feature != Feature::Diagnostics).collect();
            if needed.is_empty() {
                checks.push(Check::good(
                    "rights",
                    format!("all {} that this configuration needs", cluster.rights),
                ));
            } else {
                let rest = cluster.rights.saturating_sub(missing.len());
                checks.push(Check::good("rights", format!("{rest} of {} are there", cluster.rights)));
            }
            checks.extend(lacking(&needed));
        }
        Some(Err(error)) => checks.push(failed("rights", error)),
        None => {}
    }
    checks.extend(roles(&cluster.roles));
    checks.extend(self_provisioners(&cluster.self_provisioners));
    checks
}

/// One check for each feature that lacks something.
fn lacking(missing: &[&Missing]) -> Vec<Check> {
    let mut features: Vec<Feature> = missing.iter().map(|missing| missing.feature).collect();
    features.sort_unstable();
    features.dedup();
    let check = |feature: Feature| {
        let rules = missing.iter().filter(|missing| missing.feature == feature);
        let step = format!("{APPLY}, or add {}", rule_texts(rules.map(|missing| &missing.rule)));
        let purpose = feature.purpose();
        match feature.without() {
            Some(without) => Check::warning("rights", format!("not allowed: {purpose}; so {without}"), step),
            None => Check::failed("rights", format!("not allowed: {purpose}"), step),
        }
    };
    features.into_iter().map(check).collect()
}

fn roles(roles: &[(String, Result<bool, ApiError>)]) -> Vec<Check> {
    let with = |wanted: fn(&Result<bool, ApiError>) -> bool| {
        roles.iter().filter(|(_, found)| wanted(found)).map(|(role, _)| role.as_str()).collect::<Vec<_>>()
    };
    let (there, absent, unknown) = (
        with(|found| matches!(found, Ok(true))),
        with(|found| matches!(found, Ok(false))),
        with(Result::is_err),
    );
    let mut checks = Vec::new();
    if !there.is_empty() {
        checks.push(Check::good("roles", format!("the cluster has {}", few(&there))));
    }
    if !absent.is_empty() {
        let step = "correct `role_map` or `default_role`, or make the ClusterRole";
        checks.push(Check::failed("roles", format!("the cluster has no ClusterRole {}", few(&absent)), step));
    }
    if !unknown.is_empty() {
        let detail = format!("whether the cluster has {} cannot be seen", few(&unknown));
        checks.push(Check::not_tried("roles", format!("{detail}: the agent may not read ClusterRoles")));
    }
    checks
}

fn self_provisioners(found: &Answer<Vec<String>>) -> Option<Check> {
    let subjects = match found.as_ref()? {
        Ok(subjects) => subjects,
        Err(_) => {
            let why =
                "who may request projects cannot be seen: the agent may not read that ClusterRoleBinding";
            return Some(Check::not_tried("self-provisioners", why));
        }
    };
    let everybody: Vec<&str> =
        subjects.iter().map(String::as_str).filter(|subject| EVERYBODY.contains(subject)).collect();
    Some(match (everybody.is_empty(), subjects.len()) {
        (true, 0) => Check::good("self-provisioners", "nobody can request projects past Waldur"),
        (true, some) => Check::good(
            "self-provisioners",
            format!("projects can be requested by {}", count(some, "subject")),
        ),
        (false, _) => Check::warning(
            "self-provisioners",
            format!("every user can request projects past Waldur ({})", few(&everybody)),
            "if they should not: oc patch clusterrolebinding self-provisioners -p '{\"subjects\": null}' and annotate it \
             with rbac.authorization.kubernetes.io/autoupdate=false",
        ),
    })
}

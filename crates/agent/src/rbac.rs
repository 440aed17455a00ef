//! The manifests of `waldur_site_agent rbac`: what an administrator applies so that the agent has the rights that a
//! configuration needs, and no others. Pure: settings in, text out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use planner::policy::Flavour;
use url::Url;

use crate::cluster::rights::{Feature, Right, of_template};
use crate::cluster::{Needs, known_kinds};
use crate::settings::{
    ClusterToken, ComponentSettings, OAuthGrant, OfferingSettings, RefreshTokenStore, Settings,
};
use crate::setup;
use crate::template::template;

/// What the manifests are called.
#[derive(Clone, Debug)]
pub struct Names {
    /// Namespace of the service account.
    pub namespace: String,
    /// Service account, ClusterRole and ClusterRoleBinding.
    pub account: String,
}

/// The manifests for one cluster of this configuration, as a YAML stream for `oc apply -f -`. `offering` chooses the
/// cluster where there are several.
///
/// # Errors
/// More than one cluster and no choice, or an offering that is not there.
pub fn manifests(
    settings: &Settings,
    offering: Option<&str>,
    flavour: Flavour,
    names: &Names,
) -> anyhow::Result<String> {
    let cluster = cluster(settings, offering)?;
    let offerings = settings.offerings.iter().filter(|offering| offering.cluster.api_url == *cluster);
    let offerings: Vec<&OfferingSettings> = offerings.collect();
    let (rights, unknown) = rights(&offerings, flavour);
    let mut text = render(cluster, &offerings, (&rights, &unknown), names);
    text.push_str(&local_roles(&offerings, names));
    text.push_str(&monitoring(settings, &offerings, flavour, names));
    Ok(text)
}

/// What the agent keeps in namespaces, beside projects: Roles there, and who has them.
fn local_roles(offerings: &[&OfferingSettings], names: &Names) -> String {
    let mut rules: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for offering in offerings {
        if let Some(store) = refresh_token_store(offering) {
            let secret = quoted(&store.name);
            let own = rules.entry(&names.namespace).or_default();
            own.insert(format!(
                "  # the refresh token, kept in the cluster and namespace that the agent runs in\n  - apiGroups: \
                 [\"\"]\n    resources: [\"secrets\"]\n    resourceNames: [{secret}]\n    verbs: [\"get\", \"patch\"]\n  \
                 - apiGroups: [\"\"]\n    resources: [\"secrets\"]\n    verbs: [\"create\"]\n"
            ));
        }
        if keeps_hours(offering) {
            let namespace = offering.cluster.agent_namespace.as_deref().unwrap_or(&names.namespace);
            rules.entry(namespace).or_default().insert(
                "  # the hours that have been measured\n  - apiGroups: [\"\"]\n    resources: [\"configmaps\"]\n    \
                 verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]\n"
                    .to_owned(),
            );
        }
    }
    rules.into_iter().map(|(namespace, rules)| local_role(namespace, &rules, names)).collect()
}

fn local_role(namespace: &str, rules: &BTreeSet<String>, names: &Names) -> String {
    let (own, account, namespace) = (quoted(&names.namespace), quoted(&names.account), quoted(namespace));
    let rules: String = rules.iter().map(String::as_str).collect();
    format!(
        "---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata:\n  name: {account}\n  namespace: {namespace}\n\
         rules:\n{rules}\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\n\
         metadata:\n  name: {account}\n  namespace: {namespace}\n\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {account}\n\
         subjects:\n  - kind: ServiceAccount\n    name: {account}\n    namespace: {own}\n"
    )
}

fn refresh_token_store(offering: &OfferingSettings) -> Option<&RefreshTokenStore> {
    match &offering.cluster.token {
        ClusterToken::OAuth(oauth) => match &oauth.grant {
            OAuthGrant::RefreshToken { store, .. } => store.as_ref(),
            OAuthGrant::ClientCredentials | OAuthGrant::Password { .. } => None,
        },
        _ => None,
    }
}

/// Whether usage is measured as hours, which are kept in a ledger on the cluster.
fn keeps_hours(offering: &OfferingSettings) -> bool {
    let hours = |component: &ComponentSettings| {
        component.usage.as_ref().is_some_and(|usage| usage.measure.is_hours())
    };
    offering.reporting && offering.components.iter().any(hours)
}

/// OpenShift's own Prometheus takes the token of the cluster from whoever may view the monitoring (OpenShift:
/// ClusterRole `cluster-monitoring-view`), and its port for tenants from whoever may read metrics of pods.
fn monitoring(
    settings: &Settings,
    offerings: &[&OfferingSettings],
    flavour: Flavour,
    names: &Names,
) -> String {
    let monitoring = &settings.monitoring;
    let asks = |offering: &&&OfferingSettings| {
        keeps_hours(offering)
            && (offering.cluster.prometheus_url.is_some() || monitoring.prometheus_url.is_some())
    };
    let own_token = monitoring.prometheus_token_file.is_none();
    if flavour != Flavour::OpenShift || !own_token || offerings.iter().find(asks).is_none() {
        return String::new();
    }
    let (namespace, account) = (quoted(&names.namespace), quoted(&names.account));
    let name = quoted(&format!("{}-monitoring", names.account));
    let (role, own_role) = if monitoring.prometheus_tenancy {
        (name.as_str(), tenancy_role(&name))
    } else {
        ("cluster-monitoring-view", String::new())
    };
    format!(
        "{own_role}---\n\
         # Usage is measured by the cluster's Prometheus, with the agent's token\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRoleBinding\n\
         metadata:\n  name: {name}\n\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {role}\n\
         subjects:\n  - kind: ServiceAccount\n    name: {account}\n    namespace: {namespace}\n"
    )
}

/// The port for tenants shows a namespace's series to whoever may read the metrics of its pods.
fn tenancy_role(name: &str) -> String {
    format!(
        "---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata:\n  name: {name}\n\
         rules:\n  - apiGroups: [\"metrics.k8s.io\"]\n    resources: [\"pods\"]\n    verbs: [\"get\"]\n"
    )
}

fn cluster<'a>(settings: &'a Settings, offering: Option<&str>) -> anyhow::Result<&'a Url> {
    let listed = |texts: Vec<String>| texts.join(", ");
    if let Some(name) = offering {
        let known = settings.offerings.iter();
        let found = settings.offerings.iter().find(|offering| offering.name == name);
        let found = found.with_context(|| {
            let known = known.map(|offering| format!("`{}`", offering.name)).collect();
            format!("the configuration has no offering `{name}`; it has {}", listed(known))
        })?;
        return Ok(&found.cluster.api_url);
    }
    let first = settings.offerings.first().context("the configuration has no offering")?;
    let other = settings.offerings.iter().find(|other| other.cluster.api_url != first.cluster.api_url);
    if let Some(other) = other {
        bail!(
            "the offerings are on several clusters ({}, {}); say for which with --offering NAME",
            first.cluster.api_url,
            other.cluster.api_url
        );
    }
    Ok(&first.cluster.api_url)
}

/// Group and kind of objects of templates of which only the cluster knows how rules call them.
type UnknownKinds = BTreeSet<(String, String)>;

/// Everything that these offerings need together, each right once.
fn rights(offerings: &[&OfferingSettings], flavour: Flavour) -> (Vec<Right>, UnknownKinds) {
    let mut all: Vec<Right> = Vec::new();
    let mut unknown = UnknownKinds::new();
    for offering in offerings {
        let needs: Needs = setup::needs(offering);
        // Without members to let in, no role is given.
        let roles = if needs.access { offering.roles.cluster_roles() } else { Vec::new() };
        let mut rights = needs.rights(flavour, &roles);
        let template = template(offering);
        let mut kinds = BTreeSet::new();
        for object in &template.objects {
            let (group, kind) = (object.api.group().to_owned(), object.api.kind.clone());
            match known_kinds::plural(&group, &kind) {
                Some(plural) => kinds.insert((group, plural.to_owned())),
                None => unknown.insert((group, kind)),
            };
        }
        rights.extend(of_template(&kinds, template.cluster_roles(), &rights));
        rights.into_iter().for_each(|right| merge(&mut all, right));
    }
    all.sort_by_key(|right| right.feature);
    (all, unknown)
}

fn merge(all: &mut Vec<Right>, right: Right) {
    let is_same = |known: &&mut Right| {
        (known.feature, &known.group, &known.resource) == (right.feature, &right.group, &right.resource)
    };
    let Some(known) = all.iter_mut().find(is_same) else {
        return all.push(right);
    };
    known.names.extend(right.names);
    known.names.sort();
    known.names.dedup();
    let more = right.verbs.into_iter().filter(|verb| !known.verbs.contains(verb)).collect::<Vec<_>>();
    known.verbs.extend(more);
}

/// What an administrator adds by hand.
fn unknown_kind(text: &mut String, (group, kind): &(String, String)) {
    let (group_text, kind) = (quoted(group), comment(kind));
    let _ = write!(
        text,
        "  # `{kind}` of `project_template`: only the cluster knows how rules call it. Look at the NAME of this kind in\n  \
         #   oc api-resources --api-group={}\n  # and add it here:\n  # - apiGroups: [{group_text}]\n  \
         #   resources: [NAME]\n  #   verbs: [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]\n",
        comment(group)
    );
}

fn render(
    cluster: &Url,
    offerings: &[&OfferingSettings],
    (rights, unknown): (&[Right], &UnknownKinds),
    names: &Names,
) -> String {
    let (namespace, account) = (quoted(&names.namespace), quoted(&names.account));
    let secret = quoted(&format!("{}-token", names.account));
    let served: Vec<String> = offerings.iter().map(|offering| comment(&offering.name)).collect();
    let mut text = format!(
        "# What the Waldur site agent needs on {} for: {}.\n\
         # Apply as a cluster administrator: oc apply -f FILE\n\
         # The token, for `token` or a token file, once the cluster has filled the Secret in:\n\
         #   oc -n {} extract secret/{}-token --keys=token --to=-\n\
         # An agent that runs in the cluster as this service account needs no Secret.\n\
         apiVersion: v1\n\
         kind: Namespace\n\
         metadata:\n  name: {namespace}\n\
         ---\n\
         apiVersion: v1\n\
         kind: ServiceAccount\n\
         metadata:\n  name: {account}\n  namespace: {namespace}\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata:\n  name: {account}\n\
         rules:\n",
        comment(cluster.as_str()),
        served.join(", "),
        names.namespace,
        names.account
    );
    let mut said: Option<Feature> = None;
    for right in rights {
        if said != Some(right.feature) {
            let without = right.feature.without().map(|without| format!("; without: {without}"));
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  # {}{}", right.feature.purpose(), without.unwrap_or_default());
            said = Some(right.feature);
        }
        rule(&mut text, right);
    }
    unknown.iter().for_each(|kind| unknown_kind(&mut text, kind));
    let _ = write!(
        text,
        "---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRoleBinding\n\
         metadata:\n  name: {account}\n\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {account}\n\
         subjects:\n  - kind: ServiceAccount\n    name: {account}\n    namespace: {namespace}\n\
         ---\n\
         apiVersion: v1\n\
         kind: Secret\n\
         metadata:\n  name: {secret}\n  namespace: {namespace}\n  annotations:\n    \
         kubernetes.io/service-account.name: {account}\n\
         type: kubernetes.io/service-account-token\n"
    );
    text
}

fn rule(text: &mut String, right: &Right) {
    let list = |items: &[&str]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = right.names.iter().map(String::as_str).collect();
    let _ = writeln!(text, "  - apiGroups: [{}]", list(&[&right.group]));
    let _ = writeln!(text, "    resources: [{}]", list(&[&right.resource]));
    if !names.is_empty() {
        let _ = writeln!(text, "    resourceNames: [{}]", list(&names));
    }
    let _ = writeln!(text, "    verbs: [{}]", list(&right.verbs));
}

/// A text as YAML, whatever is in it: a JSON string is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text that ends no comment.
fn comment(text: &str) -> String {
    planner::names::one_line(text)
}

//! Gathers the facts about one offering. Reads only, but for reviews of the agent's own rights, which leave nothing.

use jiff::Timestamp;
use planner::names;
use planner::policy::Flavour;
use serde_json::Value;
use uuid::Uuid;

use super::broker;
use super::connection::{self, Way};
use super::facts::{ClusterFacts, Configured, Facts, NamespaceFacts, WaldurFacts};
use crate::cluster::Cluster;
use crate::cluster::connect::Missing;
use crate::cluster::rights::SELF_PROVISIONERS;
use crate::error::ApiError;
use crate::settings::{OfferingSettings, Settings};
use crate::waldur::Waldur;
use crate::waldur::http::Verify;

/// Looks at everything of an offering.
pub(crate) async fn facts(
    settings: &Settings,
    offering: &OfferingSettings,
    (waldur_of, cluster): (&Waldur, &Cluster),
    warnings: Vec<String>,
    may_register: bool,
) -> Facts {
    let waldur_facts = waldur_facts(settings, offering, waldur_of);
    let (waldur, cluster) = tokio::join!(waldur_facts, cluster_facts(offering, cluster));
    let broker = broker::look(settings, offering, waldur_of, may_register).await;
    Facts { now: Timestamp::now(), configured: configured(offering, warnings), waldur, cluster, broker }
}

fn configured(offering: &OfferingSettings, warnings: Vec<String>) -> Configured {
    let components = offering.components.iter().map(|component| {
        let billing = component.accounting_type.as_str();
        (component.name.clone(), component.measured_unit.clone(), billing)
    });
    let work = [
        (offering.order_processing, "orders"),
        (offering.membership_sync, "members, quotas and flags"),
        (offering.reporting, "usage"),
        (offering.stomp.enabled, "events"),
    ];
    Configured {
        name: offering.name.clone(),
        uuid: offering.offering_uuid_text.clone(),
        components: components.collect(),
        namespace_prefix: offering.naming.namespace_prefix.clone(),
        work: work.into_iter().filter(|(on, _)| *on).map(|(_, work)| work).collect(),
        warnings,
    }
}

async fn waldur_facts(settings: &Settings, offering: &OfferingSettings, waldur: &Waldur) -> WaldurFacts {
    let connection = connection::look(&Way {
        url: offering.waldur_api_url.clone(),
        verify: Verify::from(&offering.verify_ssl),
        proxy: settings.global_proxy.as_ref().map(|proxy| proxy.expose().clone()),
        tunnels: false,
        server_name: None,
    })
    .await;
    let me = waldur.me().await;
    let mut facts = WaldurFacts {
        connection,
        token: waldur.token_status(),
        me: Some(me),
        version: None,
        is_legacy: None,
        offering: None,
        orders: None,
        resources: None,
    };
    if matches!(facts.me, Some(Ok(_))) {
        let uuid = offering.offering_uuid;
        let resources = async {
            let resources = waldur.resources_in_use(uuid).await?;
            let named =
                resources.into_iter().map(|resource| (resource.uuid, resource.backend_id.trim().to_owned()));
            Ok::<_, ApiError>(
                named.filter(|(_, namespace)| !namespace.is_empty()).collect::<Vec<(Uuid, String)>>(),
            )
        };
        let (version, is_legacy, offering, orders, resources) = tokio::join!(
            waldur.version(),
            waldur.knows_no_agents(),
            waldur.offering_answer(uuid),
            waldur.open_orders(uuid),
            resources
        );
        facts.version = version.transpose();
        facts.is_legacy = Some(is_legacy);
        facts.offering = Some(offering);
        facts.orders = Some(orders);
        facts.resources = Some(resources);
    }
    facts
}

async fn cluster_facts(offering: &OfferingSettings, cluster: &Cluster) -> ClusterFacts {
    let settings = &offering.cluster;
    let connection = connection::look(&Way {
        url: settings.api_url.clone(),
        verify: Verify::from(&settings.tls),
        proxy: settings.proxy.as_ref().map(|proxy| proxy.expose().clone()),
        tunnels: false,
        server_name: settings.server_name.clone(),
    })
    .await;
    let flavour = cluster.flavour().await;
    let mut facts = ClusterFacts {
        connection,
        token: cluster.http.token_status(),
        flavour: None,
        kubernetes: None,
        openshift: None,
        user: None,
        missing: None,
        rights: 0,
        roles: Vec::new(),
        self_provisioners: None,
        namespaces: None,
    };
    if let Ok(flavour) = flavour {
        let (kubernetes, user, missing, namespaces) = tokio::join!(
            text_at(cluster, "/version", "/gitVersion"),
            cluster.user_name(flavour),
            missing(cluster, flavour),
            namespaces(cluster)
        );
        facts.kubernetes = Some(kubernetes);
        facts.user = Some(user);
        let missing = missing.map(|(missing, asked)| {
            facts.rights = asked;
            missing
        });
        facts.missing = Some(missing);
        facts.namespaces = Some(namespaces);
        facts.roles = roles(cluster).await;
        if flavour == Flavour::OpenShift {
            let path = "/apis/config.openshift.io/v1/clusterversions/version";
            facts.openshift = Some(text_at(cluster, path, "/status/desired/version").await);
            facts.self_provisioners = Some(self_provisioners(cluster).await);
        }
    }
    facts.flavour = Some(flavour);
    facts
}

/// Rights that the agent lacks, and how many were asked for.
async fn missing(cluster: &Cluster, flavour: Flavour) -> Result<(Vec<Missing>, usize), ApiError> {
    let rights = cluster.rights(flavour, &cluster.resolved_template().await?);
    Ok((cluster.missing(&rights, |_| true).await?, rights.len()))
}

async fn text_at(cluster: &Cluster, path: &str, pointer: &str) -> Result<String, ApiError> {
    let answer = cluster.http.get(path).await?;
    Ok(answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned())
}

async fn roles(cluster: &Cluster) -> Vec<(String, Result<bool, ApiError>)> {
    // Without members no role is given.
    let roles = cluster.roles.iter().filter(|_| cluster.needs.access);
    let looks = roles.map(|role| async move {
        let path = format!(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/{}",
            crate::cluster::subjects::path_segment(role)
        );
        let found = match cluster.http.get(&path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        };
        (role.clone(), found)
    });
    futures::future::join_all(looks).await
}

/// Who may request projects by themselves; nobody if the binding is not there.
async fn self_provisioners(cluster: &Cluster) -> Result<Vec<String>, ApiError> {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{SELF_PROVISIONERS}");
    let binding = match cluster.http.get(&path).await {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let subjects = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
    Ok(subjects.filter_map(|subject| Some(subject.get("name")?.as_str()?.to_owned())).collect())
}

async fn namespaces(cluster: &Cluster) -> Result<Vec<NamespaceFacts>, ApiError> {
    let mut found = Vec::new();
    let take = |page: Vec<Value>| {
        found.extend(page.iter().map(|namespace| {
            let label = |name: &str| namespace["metadata"]["labels"][name].as_str();
            NamespaceFacts {
                name: namespace["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                managed: label(names::MANAGED_BY) == Some(names::MANAGED_BY_VALUE),
                resource: label(names::RESOURCE_UUID).and_then(|uuid| Uuid::parse_str(uuid).ok()),
                terminating: namespace["status"]["phase"] == "Terminating",
            }
        }));
    };
    cluster.http.list_pages("/api/v1/namespaces", "", take).await?;
    Ok(found)
}

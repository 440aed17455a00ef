//! What is true when the work is done, by Waldur and the cluster themselves.
//!
//! What should be true is worked out here from what was bought and who is in which team, by the documented roles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::bench::membership::people::{self, Access, People, Size};
use crate::bench::stage::Stage;
use crate::site::{Api, text};

/// What names of ordered resources begin with.
pub(super) const ORDERED: &str = "Ordered";
/// One pod in so many asks for memory in powers of ten.
const IN_TENS: usize = 10;
/// How often the cluster is asked whether projects are gone.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a rounded amount may differ by.
const ROUNDING: f64 = 0.006;

/// What each resource was bought with, as [`People::seed`] has it too.
pub(super) fn bought() -> Value {
    json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50})
}

/// What that is as a quota.
fn quota() -> Value {
    json!({
        "requests.cpu": "4", "limits.cpu": "8", "requests.memory": "16Gi", "limits.memory": "32Gi",
        "requests.storage": "100Gi", "pods": "50",
    })
}

/// What the pod of a resource asks for.
pub(super) const fn memory(number: usize) -> &'static str {
    if number.is_multiple_of(IN_TENS) { "512M" } else { "512Mi" }
}

/// What is used in a resource's project, in the components' units.
fn used(number: usize) -> BTreeMap<&'static str, f64> {
    let memory = if number.is_multiple_of(IN_TENS) { 512e6 / f64::from(1 << 30) } else { 0.5 };
    BTreeMap::from([("cpu", 0.5), ("memory", memory), ("storage", 20.0), ("pods", 1.0)])
}

/// One statement about many things, and of how many it is true.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) struct Check {
    /// What is so.
    pub(super) name: String,
    /// After which work.
    pub(super) after: String,
    pub(super) right: usize,
    pub(super) wrong: usize,
    /// One of the wrong ones.
    pub(super) example: Option<String>,
}

impl Check {
    /// Each thing is right, or wrong in the way that its text says.
    fn of(after: &str, name: &str, faults: impl IntoIterator<Item = Option<String>>) -> Self {
        let (name, after) = (name.to_owned(), after.to_owned());
        let mut check = Self { name, after, right: 0, wrong: 0, example: None };
        for fault in faults {
            match fault {
                None => check.right += 1,
                Some(fault) => {
                    check.wrong += 1;
                    check.example.get_or_insert(fault);
                }
            }
        }
        check
    }

    pub(super) const fn all(&self) -> usize {
        self.right + self.wrong
    }
}

/// A resource that was ordered.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub(super) uuid: String,
    name: String,
    backend_id: String,
    state: String,
    limits: Value,
    /// UUID without dashes.
    project: String,
}

impl Ordered {
    /// All that were ordered.
    ///
    /// # Errors
    /// Waldur does not answer.
    pub(super) async fn read(stage: &Stage) -> Result<Vec<Self>> {
        let rows = stage.customer.rows("/api/marketplace-resources/?").await?;
        let ordered = rows.iter().filter(|row| text(row, "/name").starts_with(ORDERED));
        let read = |row: &Value| {
            let text = |pointer| text(row, pointer).to_owned();
            Self {
                uuid: text("/uuid"),
                name: text("/name"),
                backend_id: text("/backend_id"),
                state: text("/state"),
                limits: row.get("limits").cloned().unwrap_or_default(),
                project: text("/project_uuid"),
            }
        };
        Ok(ordered.map(read).collect())
    }
}

/// After Create orders.
///
/// # Errors
/// Waldur or the cluster does not answer.
pub(super) async fn after_create(
    stage: &Stage,
    people: &People,
    made: &[Ordered],
    orders: usize,
) -> Result<Vec<Check>> {
    const AFTER: &str = "Create orders";
    let not_placed = (made.len()..orders).map(|_| Some("an order has no resource".to_owned()));
    let done = made.iter().map(|ordered| {
        (ordered.state != "OK").then(|| format!("resource {} is {}", ordered.name, ordered.state))
    });
    let quotas = quotas(&stage.cluster).await?;
    let quota = made.iter().map(|ordered| quota_fault(&quotas, &ordered.backend_id));
    let (documented, found) = (people.access(), access(&stage.cluster).await?);
    let by_project: HashMap<String, String> = (0..documented.len())
        .map(|number| (people::project(number).replace('-', ""), people::namespace(number)))
        .collect();
    let roles = made.iter().map(|ordered| {
        let wanted = by_project.get(&ordered.project.replace('-', "")).and_then(|of| documented.get(of));
        access_fault(&ordered.backend_id, wanted, found.get(&ordered.backend_id))
    });
    let limits = made.iter().map(|ordered| limits_fault(&ordered.name, &ordered.limits));
    Ok(vec![
        Check::of(AFTER, "Orders done", done.chain(not_placed)),
        Check::of(AFTER, "Quotas as bought", quota),
        Check::of(AFTER, "Roles as documented", roles),
        Check::of(AFTER, "Limits in Waldur untouched", limits),
    ])
}

/// After Terminate orders; projects get a while to go away.
///
/// # Errors
/// As [`after_create`].
pub(super) async fn after_terminate(stage: &Stage, made: &[Ordered], within: Duration) -> Result<Vec<Check>> {
    const AFTER: &str = "Terminate orders";
    let now = Ordered::read(stage).await?;
    let state =
        |uuid: &str| now.iter().find(|ordered| ordered.uuid == uuid).map(|ordered| ordered.state.clone());
    // The customer no longer sees what is gone, on servers that hide it.
    let done = made.iter().map(|ordered| {
        let state = state(&ordered.uuid).unwrap_or_else(|| "Terminated".to_owned());
        (state != "Terminated").then(|| format!("resource {} is {state}", ordered.name))
    });
    let deadline = Instant::now() + within;
    let mut there = namespaces(&stage.cluster).await?;
    while made.iter().any(|ordered| there.contains(&ordered.backend_id)) && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        there = namespaces(&stage.cluster).await?;
    }
    let gone = made.iter().map(|ordered| {
        there.contains(&ordered.backend_id).then(|| format!("{} is still there", ordered.backend_id))
    });
    Ok(vec![Check::of(AFTER, "Orders done", done), Check::of(AFTER, "Projects gone", gone)])
}

/// After two passes over members.
///
/// # Errors
/// As [`after_create`].
pub(super) async fn after_passes(stage: &Stage, people: &People, size: Size) -> Result<Vec<Check>> {
    const AFTER: &str = "membership passes";
    let quotas = quotas(&stage.cluster).await?;
    let quota = (0..size.resources).map(|number| quota_fault(&quotas, &people::namespace(number)));
    let resources = stage.customer.rows("/api/marketplace-resources/?").await?;
    let limits = resources
        .iter()
        .map(|row| limits_fault(text(row, "/name"), row.get("limits").unwrap_or(&Value::Null)));
    Ok(vec![
        Check::of(AFTER, "Quotas as bought", quota),
        roles(AFTER, stage, people).await?,
        Check::of(AFTER, "Limits in Waldur untouched", limits),
    ])
}

/// After a member has left.
///
/// # Errors
/// As [`after_create`].
pub(super) async fn after_change(stage: &Stage, people: &People) -> Result<Check> {
    roles("one member left", stage, people).await
}

/// After a report of usage.
///
/// # Errors
/// As [`after_create`].
pub(super) async fn after_report(stage: &Stage, size: Size) -> Result<Check> {
    let agent = Api::waldur(&stage.place.waldur_url, &stage.place.waldur_agent_token)?;
    let rows = agent.rows("/api/marketplace-component-usages/?").await?;
    let mut reported: HashMap<String, BTreeMap<String, f64>> = HashMap::new();
    for row in &rows {
        let usage = row.get("usage").context("a usage without an amount")?;
        let amount =
            usage.as_f64().or_else(|| usage.as_str()?.parse().ok()).context("an amount is no number")?;
        let resource = text(row, "/resource_uuid").replace('-', "");
        reported.entry(resource).or_default().insert(text(row, "/type").to_owned(), amount);
    }
    let fault = |number| {
        let none = BTreeMap::new();
        let told = reported.get(&people::resource(number).replace('-', "")).unwrap_or(&none);
        usage_fault(&people::namespace(number), &used(number), told)
    };
    Ok(Check::of("report", "Usage as on the cluster", (0..size.resources).map(fault)))
}

async fn roles(after: &str, stage: &Stage, people: &People) -> Result<Check> {
    let (documented, found) = (people.access(), access(&stage.cluster).await?);
    let faults = documented
        .iter()
        .map(|(namespace, wanted)| access_fault(namespace, Some(wanted), found.get(namespace)));
    Ok(Check::of(after, "Roles as documented", faults))
}

fn usage_fault(
    namespace: &str,
    used: &BTreeMap<&'static str, f64>,
    told: &BTreeMap<String, f64>,
) -> Option<String> {
    used.iter().find_map(|(component, amount)| {
        let told = told.get(*component);
        if told.is_some_and(|told| (told - amount).abs() < ROUNDING) {
            return None;
        }
        let told = told.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        Some(format!("{namespace}: {component} is {amount:.2}, and Waldur was told {told}"))
    })
}

fn limits_fault(name: &str, limits: &Value) -> Option<String> {
    let bought = bought();
    let same = |(component, amount): (&String, &Value)| {
        limits.get(component).and_then(Value::as_f64) == amount.as_f64()
    };
    let all = bought.as_object().is_some_and(|bought| bought.iter().all(same));
    (!all).then(|| format!("{name}: {bought} was bought, and Waldur now says {limits}"))
}

fn quota_fault(quotas: &HashMap<String, Value>, namespace: &str) -> Option<String> {
    match quotas.get(namespace) {
        None => Some(format!("{namespace} has no quota")),
        Some(hard) if *hard == quota() => None,
        Some(hard) => Some(format!("{namespace} has {}", amounts(hard.as_object()))),
    }
}

fn amounts(hard: Option<&Map<String, Value>>) -> String {
    let pairs = hard.into_iter().flatten();
    let pairs = pairs.map(|(key, amount)| format!("{key}: {}", amount.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(", ")
}

type Roles = BTreeMap<String, BTreeSet<String>>;

fn access_fault(namespace: &str, wanted: Option<&Roles>, found: Option<&Roles>) -> Option<String> {
    let (wanted, found) = (by_user(wanted), by_user(found));
    let users: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let wrong: Vec<&&String> = users.iter().filter(|user| wanted.get(**user) != found.get(**user)).collect();
    let user = **wrong.first()?;
    let roles = |of: &Roles| of.get(user).map_or_else(|| "no role".to_owned(), join);
    Some(format!(
        "{namespace}: {} of {} people, such as {user}, who has {} instead of {}",
        wrong.len(),
        users.len(),
        roles(&found),
        roles(&wanted)
    ))
}

fn join(roles: &BTreeSet<String>) -> String {
    roles.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}

/// The other way round: roles by user.
fn by_user(roles: Option<&Roles>) -> Roles {
    let mut users = Roles::new();
    for (role, names) in roles.into_iter().flatten() {
        for user in names {
            users.entry(user.clone()).or_default().insert(role.clone());
        }
    }
    users
}

/// All objects of one kind on the cluster.
async fn items(cluster: &Api, list: &str) -> Result<Vec<Value>> {
    let (mut all, mut path) = (Vec::new(), format!("{list}?limit=500"));
    loop {
        let answer = cluster.get(&path).await?;
        let found = answer.get("items").and_then(Value::as_array).context("a list of the cluster is none")?;
        all.extend(found.iter().cloned());
        match text(&answer, "/metadata/continue") {
            "" => return Ok(all),
            next => path = format!("{list}?limit=500&continue={next}"),
        }
    }
}

async fn namespaces(cluster: &Api) -> Result<BTreeSet<String>> {
    let all = items(cluster, "/api/v1/namespaces").await?;
    Ok(all.iter().map(|namespace| text(namespace, "/metadata/name").to_owned()).collect())
}

/// `spec.hard` of `waldur-quota`, by namespace.
async fn quotas(cluster: &Api) -> Result<HashMap<String, Value>> {
    let all = items(cluster, "/api/v1/resourcequotas").await?;
    let ours = all.iter().filter(|quota| text(quota, "/metadata/name") == "waldur-quota");
    let pair = |quota: &Value| {
        let hard = quota.pointer("/spec/hard").cloned().unwrap_or_default();
        (text(quota, "/metadata/namespace").to_owned(), hard)
    };
    Ok(ours.map(pair).collect())
}

/// Who has which ClusterRole where, whatever the bindings are called. Accounts of the cluster itself are left out.
async fn access(cluster: &Api) -> Result<Access> {
    let mut access = Access::new();
    for binding in items(cluster, "/apis/rbac.authorization.k8s.io/v1/rolebindings").await? {
        let subjects = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
        let people = subjects.filter(|subject| text(subject, "/kind") == "User");
        let people = people.map(|user| text(user, "/name")).filter(|name| !name.starts_with("system:"));
        let roles = access.entry(text(&binding, "/metadata/namespace").to_owned()).or_default();
        let role = roles.entry(text(&binding, "/roleRef/name").to_owned()).or_default();
        role.extend(people.map(str::to_owned));
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(of: &[(&str, &[&str])]) -> Roles {
        of.iter()
            .map(|(role, users)| ((*role).to_owned(), users.iter().map(|user| (*user).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn a_role_that_is_missing_wrong_or_too_much_is_a_fault() {
        let wanted = roles(&[("admin", &["olivia"]), ("view", &["mia", "tom"])]);
        let fault = |found: &Roles| access_fault("shop", Some(&wanted), Some(found));
        assert_eq!(fault(&wanted), None);
        let empty = roles(&[("admin", &["olivia"]), ("view", &["mia", "tom"]), ("edit", &[])]);
        assert_eq!(fault(&empty), None, "a binding of nobody gives nothing");
        let other = fault(&roles(&[("edit", &["mia", "tom"])])).unwrap();
        assert_eq!(other, "shop: 3 of 3 people, such as mia, who has edit instead of view");
        let more = fault(&roles(&[("admin", &["olivia"]), ("view", &["mia", "tom", "eve"])])).unwrap();
        assert_eq!(more, "shop: 1 of 4 people, such as eve, who has view instead of no role");
        assert!(access_fault("shop", Some(&wanted), None).is_some());
    }

    #[test]
    fn quotas_and_limits_are_compared_by_what_was_bought() {
        let fixed = json!({"requests.cpu": "10", "limits.cpu": "20"});
        let quotas = HashMap::from([("a".to_owned(), quota()), ("b".to_owned(), fixed)]);
        assert_eq!(quota_fault(&quotas, "a"), None);
        assert_eq!(quota_fault(&quotas, "b").unwrap(), "b has limits.cpu: 20, requests.cpu: 10");
        assert_eq!(quota_fault(&quotas, "c").unwrap(), "c has no quota");
        assert_eq!(limits_fault("a", &json!({"cpu": 4.0, "memory": 16, "storage": 100, "pods": 50})), None);
        assert!(limits_fault("a", &json!({"cpu": 10, "memory": 32, "storage": 100, "pods": 50})).is_some());
        assert!(limits_fault("a", &json!({"cpu": 4})).is_some());
    }

    #[test]
    fn usage_may_be_rounded_and_not_zero() {
        let told = |memory: f64| {
            let told = [("cpu", 0.5), ("memory", memory), ("storage", 20.0), ("pods", 1.0)];
            let told = told.into_iter().map(|(component, amount)| (component.to_owned(), amount)).collect();
            usage_fault("a", &used(0), &told)
        };
        assert_eq!(told(0.48), None);
        assert_eq!(told(0.0).unwrap(), "a: memory is 0.48, and Waldur was told 0");
        assert!(usage_fault("a", &used(1), &BTreeMap::new()).unwrap().ends_with("was told nothing"));
    }

    #[test]
    fn a_check_counts_and_keeps_one_example() {
        let check = Check::of("x", "y", [None, Some("first".to_owned()), Some("second".to_owned())]);
        assert_eq!((check.right, check.wrong, check.all()), (1, 2, 3));
        assert_eq!(check.example.as_deref(), Some("first"));
    }
}

//! One function per endpoint of Waldur (Waldur contract §8). The only place that writes to Waldur.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use jiff::civil::Date;
use planner::access::GrantStatus;
use planner::model::{self, Limits};
use planner::outcome::Failure;
use planner::usage::fraction::Hundredths;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::dto;
use super::http::{Call, Http, WaldurOptions};
use crate::credentials::Credential;
use crate::error::ApiError;

/// Waldur, as one offering's agent sees it.
#[derive(Debug)]
pub struct Waldur {
    pub(super) http: Http,
    /// Set when the server turned out not to have the endpoints of 2025 and later.
    legacy: AtomicBool,
}

/// What is told of each day of a month, by component.
pub(crate) type DaysOf = BTreeMap<String, BTreeMap<Date, Hundredths>>;

/// Names under which the agent makes itself known (contract §6.2, §10.4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration<'a> {
    /// As written in the configuration.
    pub(crate) offering: &'a str,
    /// Service and mode: `order_process`, `membership_sync`, `report`, `event_process`.
    pub(crate) mode: &'a str,
    /// Processor: `OfferingOrderProcessor` and so on.
    pub(crate) processor: &'a str,
    /// When this process started, RFC 3339.
    pub(crate) started: &'a str,
}

impl Registration<'_> {
    /// The name that the identity has in Waldur.
    fn identity(&self) -> String {
        format!("agent-{}", self.offering)
    }
}

/// Where agents make themselves known (contract §6.2).
const IDENTITIES: &str = "/api/marketplace-site-agent-identities/";
/// Where the portal asks what can be imported (contract §3.9).
const IMPORT_REQUESTS: &str = "/api/backend-resource-requests/";

/// Value of `backend_type` when a processor is registered; the name that portals know for this kind of agent.
const BACKEND_TYPE: &str = "waldur_site_agent_okd.backend.OkdBackend";

impl Waldur {
    /// Sets up the connection; nothing is sent yet.
    ///
    /// # Errors
    /// A CA file or proxy that cannot be used.
    pub fn new(options: &WaldurOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(options, credential)?, legacy: AtomicBool::new(false) })
    }

    /// True once the server turned out to be one of 2024.
    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// The offering with its components.
    pub(crate) async fn offering(&self, offering: Uuid) -> Result<dto::Offering, ApiError> {
        let path = format!("/api/marketplace-provider-offerings/{}/", offering.simple());
        self.http.json(Call::get(path).fields(&dto::Offering::FIELDS)).await
    }

    /// Makes the agent known: identity, service, processor. A server without these endpoints is one of 2024,
    /// which is remembered. A dry run only looks, for that reason.
    pub(crate) async fn register(
        &self,
        offering: Uuid,
        registration: &Registration<'_>,
        dry_run: bool,
    ) -> Result<Option<Uuid>, ApiError> {
        let known = match self.identities(registration).await {
            Err(error) if error.unknown_path => {
                // A proxy says the same while Waldur is away: only beside an answer of Waldur's own does it mean
                // that the server does not know agents.
                self.offering(offering).await?;
                match self.identities(registration).await {
                    Err(error) if error.unknown_path => {
                        self.legacy.store(true, Ordering::Relaxed);
                        return Ok(None);
                    }
                    known => known?,
                }
            }
            known => known?,
        };
        if dry_run {
            return Ok(known.first().map(|identity| identity.uuid));
        }
        let identity = self.register_identity(known.first(), registration).await?;
        self.register_service(identity, registration).await?;
        Ok(Some(identity))
    }

    /// Has a queue made for these types of objects (contract §6.2); `None` on servers that only know subscriptions for
    /// one type each. The broker's password is from then on the token that the request was sent with.
    pub(crate) async fn register_queue(
        &self,
        identity: Uuid,
        object_types: &[&str],
    ) -> Result<Option<dto::Queue>, ApiError> {
        let path = format!("{IDENTITIES}{}/register_queue/", identity.simple());
        match self.http.json(Call::post(path, json!({"object_types": object_types}))).await {
            Err(error) if error.unknown_path => Ok(None),
            other => other.map(Some),
        }
    }

    /// Who may log in at the broker as an agent that has registered (contract §6.2). A queue that is there keeps its
    /// types of objects; one that is not is made. `None` as for [`Waldur::register_queue`].
    pub(crate) async fn queue_login(&self, identity: Uuid) -> Result<Option<dto::Queue>, ApiError> {
        let path = format!("{IDENTITIES}{}/register_queue/", identity.simple());
        match self.http.json(Call::post(path, json!({}))).await {
            Err(error) if error.unknown_path => Ok(None),
            other => other.map(Some),
        }
    }

    /// Subscribes to one type of objects and has its queue made (contract §6.2, legacy).
    pub(crate) async fn register_subscription(
        &self,
        identity: Uuid,
        offering: Uuid,
        object_type: &str,
    ) -> Result<dto::Subscription, ApiError> {
        let path = format!("{IDENTITIES}{}/register_event_subscription/", identity.simple());
        let description = "Event subscription created by the site agent";
        let body = json!({"observable_object_type": object_type, "description": description});
        let subscription: dto::Subscription = self.http.json(Call::post(path, body)).await?;
        let path = format!("/api/event-subscriptions/{}/create_queue/", subscription.uuid.simple());
        let body = json!({"offering_uuid": offering.simple().to_string(), "object_type": object_type});
        self.http.done(Call::post(path, body)).await?;
        Ok(subscription)
    }

    /// The token, which is the passcode at Waldur's broker as well.
    pub(crate) async fn passcode(&self) -> Result<SecretString, ApiError> {
        self.http.token().await
    }

    /// Whether Waldur answers and knows the token.
    pub(crate) async fn who_am_i(&self) -> Result<(), ApiError> {
        self.http.done(Call::get("/api/users/me/").fields(&["uuid"])).await
    }

    /// Says that the limits of a policy for a period cannot be applied.
    pub(crate) async fn refuse_periodic_limits(&self, policy: Uuid, resource: Uuid) -> Result<(), ApiError> {
        let path = format!(
            "/api/marketplace-slurm-periodic-usage-policies/{}/report-command-result/",
            policy.simple()
        );
        let body = json!({
            "resource_uuid": resource.simple().to_string(),
            "success": false,
            "error_message": "OKD projects have no limits for a period",
            "commands_executed": [],
        });
        self.http.done(Call::post(path, body)).await
    }

    /// The state of a request for importable resources.
    pub(crate) async fn import_request(&self, request: Uuid) -> Result<dto::ImportRequest, ApiError> {
        self.http.json(Call::get(format!("{IMPORT_REQUESTS}{}/", request.simple()))).await
    }

    /// Moves a request for importable resources on: `start_processing`, `set_done`.
    pub(crate) async fn advance_import(&self, request: Uuid, action: &str) -> Result<(), ApiError> {
        let path = format!("{IMPORT_REQUESTS}{}/{action}/", request.simple());
        self.http.done(Call::post(path, json!({}))).await
    }

    /// Ends a request for importable resources without success.
    pub(crate) async fn fail_import(&self, request: Uuid, message: &str) -> Result<(), ApiError> {
        let path = format!("{IMPORT_REQUESTS}{}/set_erred/", request.simple());
        let body = json!({"error_message": message, "error_traceback": ""});
        self.http.done(Call::post(path, body)).await
    }

    /// Offers a namespace for import, unless it is offered already.
    pub(crate) async fn offer_import(
        &self,
        offering: Uuid,
        project: Uuid,
        namespace: &str,
        limits: &Map<String, Value>,
    ) -> Result<bool, ApiError> {
        let known = Call::get("/api/backend-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .query("project_uuid", project.simple().to_string())
            .query("backend_id", namespace);
        if !self.http.list::<Value>(known).await?.is_empty() {
            return Ok(false);
        }
        let body = json!({
            "name": namespace,
            "project": project.simple().to_string(),
            "offering": offering.simple().to_string(),
            "backend_id": namespace,
            "backend_metadata": {"limits": limits},
        });
        self.http.done(Call::post("/api/backend-resources/", body)).await?;
        Ok(true)
    }

    async fn identities(&self, registration: &Registration<'_>) -> Result<Vec<dto::Identified>, ApiError> {
        self.http.json(Call::get(IDENTITIES).query("name", registration.identity())).await
    }

    async fn register_identity(
        &self,
        known: Option<&dto::Identified>,
        registration: &Registration<'_>,
    ) -> Result<Uuid, ApiError> {
        let version = env!("CARGO_PKG_VERSION");
        let body = json!({
            "offering": registration.offering,
            "name": registration.identity(),
            "version": version,
            "dependencies": [{"package": "waldur-site-agent-okd", "version": version}],
            "config_file_path": "",
            "config_file_content": "",
            "last_restarted": registration.started,
        });
        let call = match known {
            Some(identity) => Call::put(format!("{IDENTITIES}{}/", identity.uuid.simple()), body),
            None => Call::post(IDENTITIES, body),
        };
        self.http.json::<dto::Identified>(call).await.map(|identity| identity.uuid)
    }

    async fn register_service(
        &self,
        identity: Uuid,
        registration: &Registration<'_>,
    ) -> Result<(), ApiError> {
        let path = format!("{IDENTITIES}{}/register_service/", identity.simple());
        let body = json!({"name": registration.mode, "mode": registration.mode});
        let service: dto::Identified = self.http.json(Call::post(path, body)).await?;
        let path =
            format!("/api/marketplace-site-agent-services/{}/register_processor/", service.uuid.simple());
        let body = json!({
            "name": registration.processor,
            "backend_type": BACKEND_TYPE,
            "backend_version": env!("CARGO_PKG_VERSION"),
        });
        self.http.done(Call::post(path, body)).await
    }

    /// Open orders of an offering (contract §3.2 step 9).
    pub(crate) async fn open_orders(&self, offering: Uuid) -> Result<Vec<dto::Order>, ApiError> {
        let listed = self.http.list(Self::orders_call(offering)).await?;
        Ok(readable_orders(listed))
    }

    /// Open orders about one resource. The server's filter is a help only: not all servers know it.
    pub(crate) async fn open_orders_of(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Vec<dto::Order>, ApiError> {
        let call = Self::orders_call(offering).query("resource_uuid", resource.simple().to_string());
        let mut orders = readable_orders(self.http.list(call).await?);
        orders.retain(|order| order.marketplace_resource_uuid == Some(resource));
        Ok(orders)
    }

    /// What the fulfilled orders about a resource asked for, later ones on top; `None` if none named limits.
    pub(crate) async fn ordered_limits(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Option<Limits>, ApiError> {
        let call = Call::get("/api/marketplace-orders/")
            .query("offering_uuid", offering.simple().to_string())
            .query("resource_uuid", resource.simple().to_string())
            .query("state", "done")
            .fields(&dto::Order::FIELDS);
        let mut orders = readable_orders(self.http.list(call).await?);
        orders.retain(|order| order.marketplace_resource_uuid == Some(resource) && order.state == "done");
        Ok(dto::ordered(&orders))
    }

    fn orders_call(offering: Uuid) -> Call<'static> {
        Call::get("/api/marketplace-orders/")
            .query("offering_uuid", offering.simple().to_string())
            .query("state", "pending-provider")
            .query("state", "executing")
            .fields(&dto::Order::FIELDS)
    }

    /// One order as it is now.
    pub(crate) async fn order(&self, order: Uuid) -> Result<dto::Order, ApiError> {
        self.http.json(Call::get(order_path(order, "")).fields(&dto::Order::FIELDS)).await
    }

    /// One resource; `None` if Waldur has none or does not show it.
    /// A resource of another offering is none for this one.
    pub(crate) async fn resource(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Option<dto::Resource>, ApiError> {
        let call = Call::get(resource_path(resource, "")).fields(&dto::Resource::FIELDS);
        match self.http.json::<dto::Resource>(call).await {
            Ok(resource) => {
                Ok(Some(resource).filter(|resource| resource.offering_uuid.is_none_or(|of| of == offering)))
            }
            Err(error) if error.is_not_found() && !error.unknown_path => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Resources of an offering that are in use (contract §4.1).
    pub(crate) async fn resources_in_use(&self, offering: Uuid) -> Result<Vec<dto::Resource>, ApiError> {
        let call = Call::get("/api/marketplace-provider-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .query("state", "OK")
            .query("state", "Erred")
            .fields(&dto::Resource::FIELDS);
        self.http.list(call).await
    }

    /// Resources of any offering that is seen for which Waldur names this namespace, and which are not terminated.
    pub(crate) async fn resources_named(&self, namespace: &str) -> Result<Vec<Uuid>, ApiError> {
        let call = Call::get("/api/marketplace-provider-resources/")
            .query("backend_id", namespace)
            .fields(&["uuid", "backend_id", "state"]);
        let found: Vec<dto::Resource> = self.http.list(call).await?;
        // A server that does not know the filter names all.
        let named = found
            .into_iter()
            .filter(|found| found.backend_id.trim() == namespace && found.state != "Terminated");
        Ok(named.map(|resource| resource.uuid).collect())
    }

    /// Resources of an offering that have usage, whether or not it is taken now; or one of them.
    pub(crate) async fn resources_with_usage(
        &self,
        offering: Uuid,
        only: Option<Uuid>,
    ) -> Result<Vec<dto::ReportedResource>, ApiError> {
        if let Some(resource) = only {
            let call = Call::get(resource_path(resource, "")).fields(&dto::ReportedResource::FIELDS);
            let resource: dto::ReportedResource = self.http.json(call).await?;
            return Ok(Some(resource).filter(|resource| resource.is_of(offering)).into_iter().collect());
        }
        let mut call = Call::get("/api/marketplace-provider-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .fields(&dto::ReportedResource::FIELDS);
        for state in ["OK", "Erred", "Updating", "Terminating"] {
            call = call.query("state", state);
        }
        let mut resources: Vec<dto::ReportedResource> = self.http.list(call).await?;
        resources.retain(|resource| resource.is_of(offering));
        Ok(resources)
    }

    /// What Waldur has of a month of all resources of an offering, or of one of them; `period` as `2026-11-01`.
    pub(crate) async fn component_usages(
        &self,
        offering: Uuid,
        resource: Option<Uuid>,
        period: &str,
    ) -> Result<Vec<dto::ComponentUsage>, ApiError> {
        let mut call = Call::get("/api/marketplace-component-usages/")
            .query("offering_uuid", offering.simple().to_string())
            .query("billing_period", period)
            .fields(&dto::ComponentUsage::FIELDS);
        if let Some(resource) = resource {
            call = call.query("resource_uuid", resource.simple().to_string());
        }
        let mut usages: Vec<dto::ComponentUsage> = self.http.list(call).await?;
        usages.retain(|usage| usage.billing_period.is_empty() || usage.billing_period == period);
        Ok(usages)
    }

    /// Replaces what Waldur has of a resource's month, for the components that are named (contract §5.3): by day for
    /// those in `days`.
    pub(crate) async fn set_usage(
        &self,
        resource: Uuid,
        date: Timestamp,
        usages: &BTreeMap<String, Hundredths>,
        days: &DaysOf,
    ) -> Result<(), ApiError> {
        let months = usages.iter().filter(|(component, _)| !days.contains_key(*component));
        let months: Vec<Value> = months
            .map(|(component, amount)| json!({"type": component, "amount": amount.to_string()}))
            .collect();
        let each = days.iter().filter(|(component, _)| usages.contains_key(*component));
        let each: Vec<Value> = each
            .flat_map(|(component, days)| {
                days.iter().map(
                    move |(day, amount)| json!({"type": component, "date": day, "amount": amount.to_string()}),
                )
            })
            .collect();
        let mut body =
            json!({"resource": resource.simple().to_string(), "date": date.to_string(), "usages": months});
        if !each.is_empty() {
            body["daily_usages"] = Value::Array(each);
        }
        self.http.done(Call::post("/api/marketplace-component-usages/set_usage/", body)).await
    }

    /// Moves an offering user on (contract §4.3).
    pub(crate) async fn begin_creating(&self, user: Uuid) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-offering-users/{}/begin_creating/", user.simple());
        self.http.done(Call::post(path, json!({}))).await
    }

    /// Gives an offering user its username; the server moves it to OK.
    pub(crate) async fn set_username(&self, user: Uuid, username: &str) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-offering-users/{}/", user.simple());
        self.http.done(Call::patch(path, json!({"username": username}))).await
    }

    /// Tells what became of each grant; replaces what was told before.
    pub(crate) async fn set_membership_statuses(
        &self,
        resource: Uuid,
        statuses: &[GrantStatus],
    ) -> Result<(), ApiError> {
        let statuses: Vec<Value> = statuses
            .iter()
            .map(|status| {
                let mut told = json!({
                    "user_uuid": status.user.simple().to_string(),
                    "scope_type": "resource",
                    "role_name": status.role,
                    "state": if status.problem.is_none() { "synced" } else { "error" },
                });
                if let Some(problem) = &status.problem {
                    told["message"] = json!(problem);
                }
                told
            })
            .collect();
        let path = resource_path(resource, "set_membership_sync_statuses/");
        self.optional(Call::post(path, json!({"statuses": statuses}))).await
    }

    /// The resource is as it should be.
    pub(crate) async fn set_resource_ok(&self, resource: Uuid) -> Result<(), ApiError> {
        self.optional(Call::post(resource_path(resource, "set_as_ok/"), json!({}))).await
    }

    /// The resource is not as it should be.
    pub(crate) async fn set_resource_erred(
        &self,
        resource: Uuid,
        message: &str,
        traceback: &str,
    ) -> Result<(), ApiError> {
        let body = json!({"error_message": message, "error_traceback": traceback});
        self.optional(Call::post(resource_path(resource, "set_as_erred/"), body)).await
    }

    /// The resource was looked at.
    pub(crate) async fn refresh_last_sync(&self, resource: Uuid) -> Result<(), ApiError> {
        self.optional(Call::post(resource_path(resource, "refresh_last_sync/"), json!({}))).await
    }

    /// A call that servers of 2024 do not know, and that nothing depends on.
    async fn optional(&self, call: Call<'_>) -> Result<(), ApiError> {
        match self.http.done(call).await {
            Err(error) if error.unknown_path => Ok(()),
            other => other,
        }
    }

    /// Quotas of a plan; empty if it has none.
    pub(crate) async fn plan_quotas(&self, plan: Uuid) -> Result<Limits, ApiError> {
        let path = format!("/api/marketplace-plans/{}/", plan.simple());
        let plan: dto::Plan = self.http.json(Call::get(path)).await?;
        let quotas = plan.quotas.into_iter().filter(|(_, value)| value.as_f64() != Some(0.0));
        Ok(quotas.map(|(component, value)| (component, model::Limit::from_json(&value))).collect())
    }

    /// Approves and reads the order back: the server may have erred it at once, and answers 200 all the same.
    pub(crate) async fn approve(&self, order: Uuid) -> Result<dto::Order, ApiError> {
        self.http.done(Call::post(order_path(order, "approve_by_provider/"), json!({}))).await?;
        self.order(order).await
    }

    /// Rejects with a reason for the customer.
    pub(crate) async fn reject(&self, order: Uuid, comment: &str) -> Result<(), ApiError> {
        let body = json!({"provider_rejection_comment": comment});
        self.http.done(Call::post(order_path(order, "reject_by_provider/"), body)).await
    }

    /// The order is fulfilled.
    pub(crate) async fn set_done(&self, order: Uuid) -> Result<(), ApiError> {
        self.http.done(Call::post(order_path(order, "set_state_done/"), json!({}))).await
    }

    /// The order cannot be fulfilled. Both texts have to be present, empty or not.
    pub(crate) async fn set_erred(
        &self,
        order: Uuid,
        message: &str,
        traceback: &str,
    ) -> Result<(), ApiError> {
        let body = json!({"error_message": message, "error_traceback": traceback});
        self.http.done(Call::post(order_path(order, "set_state_erred/"), body)).await
    }

    /// Tells the namespace's name.
    pub(crate) async fn set_backend_id(&self, resource: Uuid, backend_id: &str) -> Result<(), ApiError> {
        let body = json!({"backend_id": backend_id});
        self.http.done(Call::post(resource_path(resource, "set_backend_id/"), body)).await
    }

    /// Replaces the limits of a resource. Only a tool that was asked for it does that: what the customer bought is
    /// Waldur's to say.
    pub(crate) async fn set_limits(
        &self,
        resource: Uuid,
        limits: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        self.http.done(Call::post(resource_path(resource, "set_limits/"), json!({"limits": limits}))).await
    }

    /// Adds a component to an offering.
    pub(crate) async fn create_component(&self, offering: Uuid, component: &Value) -> Result<(), ApiError> {
        let path = offering_path(offering, "create_offering_component/");
        self.http.done(Call::post(path, component.clone())).await
    }

    /// Replaces a component, which `component` names by its `uuid`.
    pub(crate) async fn update_component(&self, offering: Uuid, component: &Value) -> Result<(), ApiError> {
        let path = offering_path(offering, "update_offering_component/");
        self.http.done(Call::post(path, component.clone())).await
    }

    /// Replaces the metadata.
    pub(crate) async fn set_metadata(
        &self,
        resource: Uuid,
        metadata: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        let body = json!({"backend_metadata": metadata});
        self.http.done(Call::post(resource_path(resource, "set_backend_metadata/"), body)).await
    }

    /// Servers of 2024: see [`planner::action::Action::SetAllocationOk`].
    pub(crate) async fn set_allocation_ok(&self, resource: Uuid) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-slurm-remote/{}/set_state/", resource.simple());
        match self.http.done(Call::post(path, json!({"state": "ok"}))).await {
            Err(error) if error.failure == Failure::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Orders of the promised shape. One of another shape is left alone, and keeps nobody from the others.
fn readable_orders(listed: Vec<Value>) -> Vec<dto::Order> {
    let read = listed.into_iter().filter_map(|order| {
        let uuid = order.get("uuid").and_then(Value::as_str).unwrap_or("without UUID").to_owned();
        match serde_path_to_error::deserialize(order) {
            Ok(order) => Some(order),
            Err(error) => {
                tracing::error!(order = uuid, "an order that cannot be read is left alone: {error}");
                None
            }
        }
    });
    read.collect()
}

fn order_path(order: Uuid, action: &str) -> String {
    format!("/api/marketplace-orders/{}/{action}", order.simple())
}

fn offering_path(offering: Uuid, action: &str) -> String {
    format!("/api/marketplace-provider-offerings/{}/{action}", offering.simple())
}

pub(super) fn resource_path(resource: Uuid, action: &str) -> String {
    format!("/api/marketplace-provider-resources/{}/{action}", resource.simple())
}

//! Changes as they are told to the event broker, in the unified form of Waldur contract §9.9.
//!
//! A change is told here once and for all; who is subscribed to what is the broker's business.

use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{Account, Grant, OfferingUser, Order, Resource};
use super::request::hex;
use super::state::State;

/// One message: `object_type` and `offering_uuid` are also fields of the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `order`, `user_role`, `resource`, `offering_user`, `service_account`, `course_account`,
    /// `offering_resources_sync` or `importable_resources`.
    pub object_type: &'static str,
    /// The offering that the message is about; messages go to the queues of its agents.
    pub offering: Uuid,
    /// The JSON body of the STOMP message.
    pub body: Value,
}

impl Event {
    fn new(object_type: &'static str, offering: Uuid, mut body: Value) -> Self {
        body["object_type"] = json!(object_type);
        body["schema_version"] = json!(1);
        body["offering_uuid"] = json!(hex(offering));
        Self { object_type, offering, body }
    }

    pub(crate) fn order(state: &State, order: &Order) -> Self {
        let resource = state.resources.get(order.resource);
        Self::new(
            "order",
            order.offering,
            json!({
                "order_uuid": hex(order.uuid),
                "order_state": order.state.as_str(),
                "order_type": order.kind.as_str(),
                "resource_uuid": hex(order.resource),
                "resource_backend_id": resource.map(|resource| resource.backend_id.clone()),
                "resource_name": resource.map(|resource| resource.name.clone()),
                "project_uuid": hex(order.project),
                "project_name": state.project_name(order.project),
                "attributes": order.attributes,
                "limits": order.limits,
                "plan_uuid": order.plan.map(hex),
            }),
        )
    }

    pub(crate) fn resource(state: &State, resource: &Resource) -> Self {
        Self::new(
            "resource",
            resource.offering,
            json!({
                "resource_uuid": hex(resource.uuid),
                "resource_backend_id": resource.backend_id,
                "resource_name": resource.name,
                "resource_state": resource.state.as_str(),
                "project_uuid": hex(resource.project),
                "project_name": state.project_name(resource.project),
                "downscaled": resource.downscaled,
                "restrict_member_access": resource.restrict_member_access,
                "paused": resource.paused,
                "limits": resource.limits,
            }),
        )
    }

    /// A role given or taken.
    pub(crate) fn role(state: &State, offering: Uuid, grant: &Grant, granted: bool) -> Self {
        let project = grant.scope.uuid();
        let user = state.users.get(grant.user);
        Self::new(
            "user_role",
            offering,
            json!({
                "user_uuid": hex(grant.user),
                "user_username": user.map(|user| user.username.clone()),
                "user_email": user.map(|user| user.email.clone()),
                "user_full_name": user.map(super::model::User::full_name),
                "project_uuid": hex(project),
                "project_name": state.project_name(project),
                "role_name": grant.role,
                "granted": granted,
            }),
        )
    }

    /// A demand to look at a whole project, or at one resource of it.
    pub(crate) fn role_sync(state: &State, offering: Uuid, project: Uuid, resource: Option<Uuid>) -> Self {
        let mut body = json!({ "project_uuid": hex(project), "project_name": state.project_name(project) });
        if let Some(resource) = resource {
            body["resource_uuid"] = json!(hex(resource));
        }
        Self::new("user_role", offering, body)
    }

    pub(crate) fn offering_user(state: &State, user: &OfferingUser, action: &str) -> Self {
        let mut body = json!({
            "offering_user_uuid": hex(user.uuid),
            "user_uuid": hex(user.user),
            "username": user.username,
            "state": user.state.as_str(),
            "action": action,
        });
        if action == "username_set" {
            body["resource_backend_ids"] = json!(state.backend_ids_of_user(user.offering, user.user));
        }
        Self::new("offering_user", user.offering, body)
    }

    pub(crate) fn account(
        state: &State,
        object_type: &'static str,
        offering: Uuid,
        account: &Account,
        action: &str,
    ) -> Self {
        Self::new(
            object_type,
            offering,
            json!({
                "account_uuid": hex(account.uuid),
                "account_username": account.username,
                "scope_type": "project",
                "project_uuid": hex(account.project),
                "project_name": state.project_name(account.project),
                "action": action,
            }),
        )
    }

    pub(crate) fn resources_sync(offering: Uuid, user: Uuid) -> Self {
        Self::new("offering_resources_sync", offering, json!({ "requested_by_user_uuid": hex(user) }))
    }

    pub(crate) fn importable_resources(offering: Uuid, request: Uuid) -> Self {
        Self::new("importable_resources", offering, json!({ "backend_resource_request_uuid": hex(request) }))
    }
}

//! The customer's side: placing orders, reviewing them, and what is asked of one's own resources.
//!
//! Who needs a reviewer follows the measured roles (waldur-2024-server.md §2): an owner's order goes straight to the
//! provider, everybody else's waits for one.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::access::Standing;
use super::answer::{Answer, Outcome};
use super::call::Call;
use super::model::{Offering, Order, Resource, Review};
use super::orders::in_state;
use super::request::hex;
use super::state::State;
use super::wire::{OfferingState, OrderState, OrderType, ResourceState};

/// What an order is about, before the server gives it a number and a state.
pub(crate) struct Draft {
    pub(crate) kind: OrderType,
    pub(crate) resource: Uuid,
    pub(crate) plan: Option<Uuid>,
    pub(crate) old_plan: Option<Uuid>,
    pub(crate) limits: Value,
    pub(crate) attributes: Value,
    pub(crate) created_by: Uuid,
    pub(crate) state: OrderState,
}

impl Draft {
    /// An order without limits or plan.
    pub(crate) fn new(kind: OrderType, resource: Uuid, created_by: Uuid, state: OrderState) -> Self {
        Self {
            kind,
            resource,
            plan: None,
            old_plan: None,
            limits: json!({}),
            attributes: json!({}),
            created_by,
            state,
        }
    }
}

/// What a resource is to be made of.
pub(crate) struct NewResource {
    /// Drawn when absent.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) offering: Uuid,
    pub(crate) project: Uuid,
    pub(crate) plan: Option<Uuid>,
    pub(crate) name: String,
    pub(crate) limits: Value,
    pub(crate) attributes: Value,
}

impl State {
    /// Adds a resource in state `Creating`.
    pub(crate) fn make_resource(&mut self, new: NewResource) -> Uuid {
        let now = self.now();
        let uuid = new.uuid.unwrap_or_else(|| self.draw_uuid());
        let slug = self.resource_slug(&new.name);
        self.add_resource(Resource {
            uuid,
            offering: new.offering,
            project: new.project,
            plan: new.plan,
            description: new
                .attributes
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            name: new.name,
            slug,
            state: ResourceState::Creating,
            backend_id: String::new(),
            effective_id: String::new(),
            limits: new.limits,
            attributes: new.attributes,
            options: if self.is_2024() { Value::Null } else { json!({}) },
            backend_metadata: json!({}),
            endpoints: json!([]),
            report: if self.is_2024() { Value::Null } else { json!([]) },
            current_usages: Map::new(),
            end_date: None,
            end_date_updated_at: None,
            paused: false,
            downscaled: false,
            restrict_member_access: false,
            error_message: String::new(),
            error_traceback: String::new(),
            last_sync: now,
            last_role_sync: None,
            plan_since: None,
            plan_period: Uuid::new_v5(&uuid, b"plan-period"),
            allocation: None,
            membership_sync_statuses: Vec::new(),
            created: now,
            modified: now,
            overrides: std::collections::BTreeMap::new(),
        })
    }

    /// First characters of the name, 8 in 2024 and 10 since, and a counter.
    fn resource_slug(&mut self, name: &str) -> String {
        let length = if self.is_2024() { 8 } else { 10 };
        let mut base = slugify(name);
        base.truncate(length);
        let base = base.trim_matches('-').to_owned();
        let number = self.slugs.entry(base.clone()).or_default();
        *number += 1;
        format!("{base}-{number}")
    }

    /// Adds an order and tells it.
    pub(crate) fn make_order(&mut self, draft: Draft) -> Uuid {
        let now = self.now();
        let uuid = self.draw_uuid();
        let (offering, project) = self
            .resources
            .get(draft.resource)
            .map_or((Uuid::nil(), Uuid::nil()), |resource| (resource.offering, resource.project));
        let reviewed = draft.state != OrderState::PendingConsumer;
        self.add_order(Order {
            uuid,
            number: self.orders.len() as u64 + 1,
            offering,
            resource: draft.resource,
            project,
            kind: draft.kind,
            state: draft.state,
            plan: draft.plan,
            old_plan: draft.old_plan,
            limits: draft.limits,
            attributes: draft.attributes,
            backend_id: String::new(),
            error_message: String::new(),
            error_traceback: String::new(),
            provider_message: String::new(),
            provider_message_url: String::new(),
            consumer_message: String::new(),
            consumer_rejection_comment: String::new(),
            provider_rejection_comment: String::new(),
            created_by: draft.created_by,
            consumer_review: reviewed.then_some(Review { user: draft.created_by, at: now }),
            provider_review: None,
            completed: None,
            created: now,
            modified: now,
            overrides: std::collections::BTreeMap::new(),
        })
    }
}

/// Lower case letters, digits and single dashes, as Django's `slugify` leaves them.
pub(crate) fn slugify(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.trim().to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' | '_' => slug.push(letter),
            ' ' | '-' if !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_matches(['-', '_']).to_owned()
}

impl Call<'_> {
    /// `POST /api/marketplace-orders/`: a Create order with its resource.
    pub(super) fn place_order(&mut self) -> Outcome {
        let request = self.request;
        let offering = request.reference("offering").ok_or_else(|| required("offering"))?;
        let project = request.reference("project").ok_or_else(|| required("project"))?;
        let standing = self.state.standing(self.actor, project).ok_or_else(|| no_hyperlink("project"))?;
        let row = self.state.offerings.get(offering).ok_or_else(|| no_hyperlink("offering"))?;
        if row.state != OfferingState::Active {
            return Err(Answer::bad_field("offering", "Offering is not available."));
        }
        let plan = match request.reference("plan") {
            Some(plan) => Some(row.plan(plan).ok_or_else(|| no_hyperlink("plan"))?.uuid),
            None => row.plans.first().map(|plan| plan.uuid),
        };
        let limits = request.body.get("limits").cloned().unwrap_or_else(|| json!({}));
        check_limits(row, &limits)?;
        let attributes = request.body.get("attributes").cloned().unwrap_or_else(|| json!({}));
        let name = attributes.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let new = NewResource {
            uuid: None,
            offering,
            project,
            plan,
            name,
            limits: limits.clone(),
            attributes: attributes.clone(),
        };
        let resource = self.state.make_resource(new);
        let state = first_state(standing);
        let draft = Draft {
            plan,
            limits,
            attributes,
            ..Draft::new(OrderType::Create, resource, self.actor.user, state)
        };
        let order = self.state.make_order(draft);
        let order = self.state.orders.get(order).ok_or_else(Answer::server_error)?;
        Ok(Answer::created(self.view().created_order(order)))
    }

    pub(super) fn approve_by_consumer(&mut self, order: &Order) -> Outcome {
        self.review_as_consumer(order)?;
        let review = Some(Review { user: self.actor.user, at: self.state.now() });
        self.state.change_order(order.uuid, |order| {
            order.consumer_review = review;
            order.state = OrderState::PendingProvider;
        });
        Ok(self.review_answer("Order has been approved by consumer."))
    }

    pub(super) fn reject_by_consumer(&mut self, order: &Order) -> Outcome {
        self.review_as_consumer(order)?;
        let comment = self.request.text("consumer_rejection_comment").unwrap_or_default().to_owned();
        self.state.change_order(order.uuid, |order| {
            order.consumer_rejection_comment = comment;
            order.state = OrderState::Rejected;
        });
        self.state.refuse_order(order);
        Ok(Answer::empty())
    }

    fn review_as_consumer(&self, order: &Order) -> Result<(), Answer> {
        if self.state.standing(self.actor, order.project) != Some(Standing::Reviewer) {
            return Err(Answer::forbidden());
        }
        in_state(order, &[OrderState::PendingConsumer])
    }

    /// Offerings of an agent cannot be asked to cancel (measurements 181, 182).
    pub(super) fn cancel_order(&self, order: &Order) -> Outcome {
        if self.state.standing(self.actor, order.project) != Some(Standing::Reviewer) {
            return Err(Answer::forbidden());
        }
        let kind = self
            .state
            .offerings
            .get(order.offering)
            .map(|offering| offering.kind.clone())
            .unwrap_or_default();
        Err(Answer::method_not_allowed(&format!(
            "The order's offering with {kind} type does not support this action"
        )))
    }

    pub(super) fn update_limits(&mut self, resource: &Resource) -> Outcome {
        let state = self.state_of_change(resource)?;
        let limits = self.request.body.get("limits").cloned().ok_or_else(|| required("limits"))?;
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        check_limits(offering, &limits)?;
        needs_state(resource, &[ResourceState::Ok])?;
        self.nothing_pending(resource)?;
        if limits == resource.limits {
            return Err(Answer::bad_request(json!([
                "Impossible to create update orders with limits set to exactly the same."
            ])));
        }
        let draft = Draft {
            plan: resource.plan,
            limits,
            attributes: json!({ "old_limits": resource.limits }),
            ..Draft::new(OrderType::Update, resource.uuid, self.actor.user, state)
        };
        Ok(self.ordered(draft))
    }

    pub(super) fn switch_plan(&mut self, resource: &Resource) -> Outcome {
        let state = self.state_of_change(resource)?;
        let plan = self.request.reference("plan").ok_or_else(|| required("plan"))?;
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        if offering.plan(plan).is_none() {
            return Err(no_hyperlink("plan"));
        }
        if resource.plan == Some(plan) {
            return Err(Answer::bad_field("plan", "Plan is already selected."));
        }
        needs_state(resource, &[ResourceState::Ok])?;
        self.nothing_pending(resource)?;
        let draft = Draft {
            plan: Some(plan),
            old_plan: resource.plan,
            ..Draft::new(OrderType::Update, resource.uuid, self.actor.user, state)
        };
        Ok(self.ordered(draft))
    }

    /// Terminate orders of the consumer and, with `state` given, of the provider.
    pub(super) fn terminate(&mut self, resource: &Resource, state: OrderState) -> Outcome {
        needs_state(resource, &[ResourceState::Ok, ResourceState::Erred])?;
        self.nothing_pending(resource)?;
        let attributes = self.request.body.get("attributes").cloned().unwrap_or_else(|| json!({}));
        let draft =
            Draft { attributes, ..Draft::new(OrderType::Terminate, resource.uuid, self.actor.user, state) };
        Ok(self.ordered(draft))
    }

    /// Brings a terminated resource back, where the offering allows it: a Restore order with its last limits.
    pub(super) fn restore(&mut self, resource: &Resource) -> Outcome {
        let state = self.state_of_change(resource)?;
        let options = self.state.offerings.get(resource.offering).map(|offering| &offering.plugin_options);
        if options.and_then(|options| options.get("can_restore_resource")) != Some(&Value::Bool(true)) {
            return Err(Answer::bad_request(json!(["Restoring is not allowed for this offering."])));
        }
        needs_state(resource, &[ResourceState::Terminated])?;
        self.nothing_pending(resource)?;
        let draft = Draft {
            plan: resource.plan,
            limits: resource.limits.clone(),
            attributes: resource.attributes.clone(),
            ..Draft::new(OrderType::Restore, resource.uuid, self.actor.user, state)
        };
        self.state.change_resource(resource.uuid, |resource| resource.state = ResourceState::Creating);
        self.state.make_order(draft);
        let row = self.state.resources.get(resource.uuid).ok_or_else(Answer::server_error)?;
        Ok(Answer::ok(self.view().resource(row, &super::fields::Fields::all())))
    }

    /// The state that an order for a change of the resource starts in; members may not ask for one.
    pub(super) fn state_of_change(&self, resource: &Resource) -> Result<OrderState, Answer> {
        match self.state.standing(self.actor, resource.project) {
            Some(standing @ (Standing::Manager | Standing::Reviewer)) => Ok(first_state(standing)),
            Some(Standing::Member) | None => Err(Answer::forbidden()),
        }
    }

    fn nothing_pending(&self, resource: &Resource) -> Result<(), Answer> {
        match self.state.open_order(resource.uuid) {
            Some(_) => Err(Answer::bad_request(json!(["Pending order for resource already exists."]))),
            None => Ok(()),
        }
    }

    fn ordered(&mut self, draft: Draft) -> Answer {
        let order = self.state.make_order(draft);
        Answer::ok(json!({ "order_uuid": hex(order) }))
    }
}

fn first_state(standing: Standing) -> OrderState {
    match standing {
        Standing::Reviewer => OrderState::PendingProvider,
        Standing::Manager | Standing::Member => OrderState::PendingConsumer,
    }
}

fn needs_state(resource: &Resource, valid: &[ResourceState]) -> Result<(), Answer> {
    if valid.contains(&resource.state) { Ok(()) } else { Err(Answer::wrong_state(valid)) }
}

/// Whole numbers, negative ones too, of components that the offering has (measurements 049-052).
fn check_limits(offering: &Offering, limits: &Value) -> Result<(), Answer> {
    let Some(limits) = limits.as_object() else {
        return Err(Answer::bad_field("limits", "Expected a dictionary of items but got type \"str\"."));
    };
    let fractional: Map<String, Value> = limits
        .iter()
        .filter(|(_, value)| !is_integer(value))
        .map(|(kind, _)| (kind.clone(), json!(["A valid integer is required."])))
        .collect();
    if !fractional.is_empty() {
        return Err(Answer::bad_request(json!({ "limits": fractional })));
    }
    let unknown: Vec<&str> =
        limits.keys().filter(|kind| offering.component(kind).is_none()).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Answer::bad_field("limits", &format!("Invalid types: {}", unknown.join(", "))))
}

/// Django takes `4`, `4.0` and `"4"` for an integer.
fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.fract() == 0.0),
        Value::String(text) => text.trim().parse::<i64>().is_ok(),
        _ => false,
    }
}

fn required(field: &str) -> Answer {
    Answer::bad_field(field, "This field is required.")
}

fn no_hyperlink(field: &str) -> Answer {
    Answer::bad_field(field, "Invalid hyperlink - Object does not exist.")
}

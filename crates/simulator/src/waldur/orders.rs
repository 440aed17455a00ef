//! `marketplace-orders`: lists, and what the provider decides (Waldur contract §3.8, waldur-2024-server.md §3).

use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::filter::{self, Span};
use super::model::{Order, Review};
use super::wire::{AllocationState, OrderState, OrderType, ResourceState};

impl Call<'_> {
    pub(crate) fn orders(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_orders(),
            [] if self.posts() => self.place_order(),
            [id] if self.reads() => {
                let order = self.order(id)?;
                Ok(Answer::ok(self.view().order(order, &self.fields())))
            }
            [id, action] if self.posts() => {
                let order = self.order(id)?.clone();
                self.order_action(&order, action)
            }
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn list_orders(&self) -> Outcome {
        let query = &self.request.query;
        let asked = query.uuids("offering_uuid")?;
        let states = filter::states(query, "state", |text| OrderState::parse(text).map(|state| state as u8))?;
        let types = filter::states(query, "type", |text| OrderType::parse(text).map(|kind| kind as u8))?;
        let resources = query.uuids("resource_uuid")?;
        let projects = query.uuids("project_uuid")?;
        let (modified, created) = (Span::of(query, "modified")?, Span::of(query, "created")?);
        let provided = self.state.provided_offerings(self.actor);
        let candidates: Vec<&Order> = match resources.as_slice() {
            [resource] => self.state.orders_of(*resource).collect(),
            _ => self.state.orders.select(&asked, &states),
        };
        let orders: Vec<&Order> = candidates
            .into_iter()
            .filter(|order| filter::among(&asked, order.offering))
            .filter(|order| states.is_empty() || states.contains(&(order.state as u8)))
            .filter(|order| types.is_empty() || types.contains(&(order.kind as u8)))
            .filter(|order| {
                filter::among(&resources, order.resource) && filter::among(&projects, order.project)
            })
            .filter(|order| modified.holds(order.modified) && created.holds(order.created))
            .filter(|order| {
                provided.contains(&order.offering) || self.state.standing(self.actor, order.project).is_some()
            })
            .collect();
        self.page(&orders, |view, order, fields| view.order(order, fields))
    }

    fn order_action(&mut self, order: &Order, action: &str) -> Outcome {
        match action {
            "approve_by_consumer" => self.approve_by_consumer(order),
            "reject_by_consumer" => self.reject_by_consumer(order),
            "cancel" => self.cancel_order(order),
            "approve_by_provider" => self.approve_by_provider(order),
            "reject_by_provider" => self.reject_by_provider(order),
            "set_state_executing" => self.set_state_executing(order),
            "set_state_done" => self.set_state_done(order),
            "set_state_erred" => self.set_state_erred(order),
            "set_backend_id" if !self.state.is_2024() => self.set_order_backend_id(order),
            "set_provider_info" if !self.state.is_2024() => self.set_order_info(order, Side::Provider),
            "set_consumer_info" if !self.state.is_2024() => self.set_order_info(order, Side::Consumer),
            _ => Err(Answer::no_route()),
        }
    }

    /// 403 unless the caller decides on orders of this offering, 409 unless the order is in one of these states.
    fn decide(&self, order: &Order, valid: &[OrderState]) -> Result<(), Answer> {
        if !self.state.decides_orders(self.actor, order.offering) {
            return Err(Answer::forbidden());
        }
        in_state(order, valid)
    }

    fn reviewed(&self) -> Option<Review> {
        Some(Review { user: self.actor.user, at: self.state.now() })
    }

    /// Review actions answer nothing in 2024 and a sentence in the current generation.
    pub(super) fn review_answer(&self, sentence: &str) -> Answer {
        if self.state.is_2024() { Answer::empty() } else { Answer::ok(json!({ "detail": sentence })) }
    }

    fn approve_by_provider(&mut self, order: &Order) -> Outcome {
        self.decide(order, &[OrderState::PendingProvider])?;
        let review = self.reviewed();
        self.state.change_order(order.uuid, |order| {
            order.provider_review = review;
            order.state = OrderState::Executing;
        });
        self.state.begin_order(order);
        Ok(self.review_answer("Order has been approved by provider."))
    }

    fn reject_by_provider(&mut self, order: &Order) -> Outcome {
        self.decide(order, &[OrderState::PendingProvider])?;
        let review = self.reviewed();
        let comment = self.request.text("provider_rejection_comment").unwrap_or_default().to_owned();
        self.state.change_order(order.uuid, |order| {
            order.provider_review = review;
            order.provider_rejection_comment = comment;
            order.state = OrderState::Rejected;
        });
        self.state.refuse_order(order);
        Ok(Answer::empty())
    }

    fn set_state_executing(&mut self, order: &Order) -> Outcome {
        self.decide(order, &[OrderState::PendingConsumer, OrderState::PendingProvider, OrderState::Erred])?;
        // The resource is left as it is, also when the order had erred (measurements 055, 174).
        self.state.set_order_state(order.uuid, OrderState::Executing);
        Ok(Answer::empty())
    }

    fn set_state_done(&mut self, order: &Order) -> Outcome {
        self.decide(order, &[OrderState::Executing])?;
        self.state.finish_order(order.uuid);
        Ok(Answer::empty())
    }

    fn set_state_erred(&mut self, order: &Order) -> Outcome {
        self.decide(order, OrderState::ALL)?;
        let message = self.request.body.get("error_message").cloned();
        let traceback = self.request.body.get("error_traceback").cloned();
        if self.state.is_2024() && (message.is_none() || traceback.is_none()) {
            return Err(Answer::server_error());
        }
        let text = |value: Option<Value>| {
            value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        self.state.fail_order(order.uuid, &text(message), &text(traceback));
        Ok(Answer::empty())
    }

    fn set_order_backend_id(&mut self, order: &Order) -> Outcome {
        self.decide(order, OrderState::ALL)?;
        let backend_id = self.request.required("backend_id")?.to_owned();
        self.state.change_order(order.uuid, |order| order.backend_id = backend_id);
        Ok(Answer::status("Order backend_id has been changed."))
    }

    fn set_order_info(&mut self, order: &Order, side: Side) -> Outcome {
        let object = self.request.object();
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match side {
            Side::Provider => {
                self.decide(order, &[OrderState::PendingProvider])?;
                let (message, url) = (text("provider_message"), text("provider_message_url"));
                self.state.change_order(order.uuid, |order| {
                    order.provider_message = message;
                    order.provider_message_url = url;
                });
            }
            Side::Consumer => {
                if self.state.standing(self.actor, order.project).is_none() {
                    return Err(Answer::forbidden());
                }
                in_state(order, &[OrderState::PendingProvider])?;
                let message = text("consumer_message");
                self.state.change_order(order.uuid, |order| order.consumer_message = message);
            }
        }
        Ok(Answer::ok(json!({ "detail": "Order info has been updated." })))
    }
}

enum Side {
    Provider,
    Consumer,
}

/// 409 unless the order is in one of these states.
pub(super) fn in_state(order: &Order, valid: &[OrderState]) -> Result<(), Answer> {
    if valid.contains(&order.state) { Ok(()) } else { Err(Answer::wrong_state(valid)) }
}

impl super::state::State {
    /// What the server does when an order starts to execute.
    fn begin_order(&mut self, order: &Order) {
        match order.kind {
            OrderType::Create | OrderType::Restore => self.make_allocation(order.resource),
            OrderType::Update => self.begin_update(order),
            OrderType::Terminate => {
                self.change_resource(order.resource, |resource| resource.state = ResourceState::Terminating);
            }
        }
    }

    fn make_allocation(&mut self, resource: Uuid) {
        if self.is_2024() {
            let uuid = self.draw_uuid();
            self.change_resource(resource, |resource| resource.allocate(uuid));
        }
    }

    /// The 2024 server errs the order itself when its hidden allocation is not OK (measurements 327, 339).
    fn begin_update(&mut self, order: &Order) {
        let allocation = self.resources.get(order.resource).and_then(|resource| resource.allocation);
        if let Some(allocation) = allocation
            && !matches!(allocation.state, AllocationState::Ok | AllocationState::Erred)
        {
            let code = allocation.state.code();
            self.change_order(order.uuid, |order| {
                order.error_message =
                    format!("Can't switch from state '{code}' using method 'schedule_updating'");
                order.state = OrderState::Erred;
            });
            return;
        }
        self.change_resource(order.resource, |resource| {
            resource.state = ResourceState::Updating;
            resource.set_allocation_state(AllocationState::UpdateScheduled);
        });
    }

    /// What the server does when an order is rejected or withdrawn.
    pub(crate) fn refuse_order(&mut self, order: &Order) {
        if order.kind == OrderType::Create {
            self.change_resource(order.resource, |resource| resource.state = ResourceState::Terminated);
        }
    }

    /// An executing order is done: the resource takes over what was ordered.
    pub(crate) fn finish_order(&mut self, uuid: Uuid) {
        let Some(order) = self.orders.get(uuid).cloned() else { return };
        self.set_order_state(uuid, OrderState::Done);
        self.change_resource(order.resource, |resource| match order.kind {
            OrderType::Terminate => resource.state = ResourceState::Terminated,
            OrderType::Create | OrderType::Restore => resource.state = ResourceState::Ok,
            OrderType::Update => {
                resource.state = ResourceState::Ok;
                resource.plan = order.plan.or(resource.plan);
                // Replaced wholesale: components that the order leaves away are gone (measurement 177).
                if order.limits.as_object().is_none_or(|limits| !limits.is_empty()) {
                    resource.limits = order.limits.clone();
                }
                if let Some(options) = order.attributes.get("new_options").and_then(Value::as_object) {
                    resource.merge_options(options);
                }
            }
        });
    }

    /// An order failed; what becomes of the resource depends on what was ordered.
    pub(crate) fn fail_order(&mut self, uuid: Uuid, message: &str, traceback: &str) {
        let Some(order) = self.orders.get(uuid).cloned() else { return };
        let is_2024 = self.is_2024();
        self.change_order(uuid, |order| {
            order.error_message = message.to_owned();
            order.error_traceback = traceback.to_owned();
            // Any other order keeps its state, while its resource is driven on all the same.
            if order.state == OrderState::Executing {
                order.state = OrderState::Erred;
            }
        });
        self.change_resource(order.resource, |resource| {
            resource.state = match order.kind {
                OrderType::Terminate => ResourceState::Ok,
                OrderType::Create if !is_2024 && resource.backend_id.is_empty() => ResourceState::Terminated,
                OrderType::Create | OrderType::Update | OrderType::Restore => ResourceState::Erred,
            };
        });
    }
}

//! One authenticated request against the state: what every handler works with.

use serde_json::Value;
use uuid::Uuid;

use super::access::{Actor, ProviderRole};
use super::answer::{Answer, Outcome};
use super::fields::Fields;
use super::model::{Offering, Order, Resource};
use super::page::page;
use super::render::View;
use super::request::{Method, Request, parse_uuid};
use super::state::State;
use super::table::{Row, Table};

pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) request: &'a Request,
    pub(crate) actor: Actor,
    pub(crate) token: &'a str,
}

impl Call<'_> {
    pub(crate) fn method(&self) -> Method {
        self.request.method
    }

    /// GET and HEAD.
    pub(crate) fn reads(&self) -> bool {
        matches!(self.request.method, Method::Get | Method::Head)
    }

    pub(crate) fn posts(&self) -> bool {
        self.request.method == Method::Post
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { state: self.state, base: &self.request.base, is_staff: self.actor.is_staff }
    }

    pub(crate) fn fields(&self) -> Fields {
        Fields::of(&self.request.query)
    }

    /// The requested page of these rows.
    pub(crate) fn page<T>(&self, rows: &[T], render: impl Fn(&View<'_>, &T, &Fields) -> Value) -> Outcome {
        let (view, fields) = (self.view(), self.fields());
        page(self.request, rows, |row| render(&view, row, &fields))
    }

    /// The requested page of these rows of a table.
    pub(crate) fn page_of<T: Row>(
        &self,
        rows: &[Uuid],
        table: &Table<T>,
        render: impl Fn(&View<'_>, &T, &Fields) -> Value,
    ) -> Outcome {
        self.page(rows, |view, uuid, fields| {
            table.get(*uuid).map_or(Value::Null, |row| render(view, row, fields))
        })
    }

    /// 405 for a method that the route does not have.
    pub(crate) fn no_method(&self) -> Outcome {
        Err(Answer::method_not_allowed(self.request.method.as_str()))
    }

    pub(crate) fn staff_only(&self) -> Result<(), Answer> {
        if self.actor.is_staff { Ok(()) } else { Err(Answer::forbidden()) }
    }

    /// An order that the caller may see.
    pub(crate) fn order(&self, id: &str) -> Result<&Order, Answer> {
        let order = parse_uuid(id).and_then(|uuid| self.state.orders.get(uuid));
        order
            .filter(|order| self.state.sees_order(self.actor, order))
            .ok_or_else(|| Answer::no_object("Order"))
    }

    /// A resource whose provider the caller is.
    pub(crate) fn provider_resource(&self, id: &str) -> Result<&Resource, Answer> {
        let resource = parse_uuid(id).and_then(|uuid| self.state.resources.get(uuid));
        resource
            .filter(|resource| self.state.provides(self.actor, resource.offering))
            .ok_or_else(|| Answer::no_object("Resource"))
    }

    /// A resource that the caller's organisation or project uses.
    pub(crate) fn consumer_resource(&self, id: &str) -> Result<&Resource, Answer> {
        let resource = parse_uuid(id).and_then(|uuid| self.state.resources.get(uuid));
        resource
            .filter(|resource| self.state.consumes(self.actor, resource))
            .ok_or_else(|| Answer::no_object("Resource"))
    }

    /// An offering whose provider the caller is.
    pub(crate) fn provider_offering(&self, id: &str) -> Result<(&Offering, ProviderRole), Answer> {
        let offering = parse_uuid(id).and_then(|uuid| self.state.offerings.get(uuid));
        offering
            .and_then(|offering| Some((offering, self.state.provider_role(self.actor, offering)?)))
            .ok_or_else(|| Answer::no_object("Offering"))
    }

    /// The offerings a list is about: those asked for, of those that the caller provides.
    pub(crate) fn offerings_asked(&self) -> Result<Vec<Uuid>, Answer> {
        let asked = self.request.query.uuids("offering_uuid")?;
        let provided = self.state.provided_offerings(self.actor);
        Ok(provided.into_iter().filter(|uuid| asked.is_empty() || asked.contains(uuid)).collect())
    }
}

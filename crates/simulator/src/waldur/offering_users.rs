//! `marketplace-offering-users` (Waldur contract §4.3, waldur-2024-server.md §5).

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::event::Event;
use super::filter::{self, Span, among};
use super::lists::{Basis, Rows};
use super::model::OfferingUser;
use super::request::{Method, parse_uuid};
use super::wire::OfferingUserState as S;

impl Call<'_> {
    pub(crate) fn offering_users(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_offering_users(),
            [] if self.posts() => self.create_offering_user(),
            [id] if self.reads() => {
                let row = self.offering_user(id)?;
                Ok(Answer::ok(self.view().offering_user(row, &self.fields())))
            }
            [id] if matches!(self.method(), Method::Patch | Method::Put) => self.patch_offering_user(id),
            [id] if self.method() == Method::Delete => self.delete_offering_user(id),
            [id, action] if self.posts() || self.method() == Method::Patch => {
                let row = self.offering_user(id)?.clone();
                self.offering_user_action(&row, action)
            }
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn list_offering_users(&self) -> Outcome {
        let query = &self.request.query;
        let offerings = query.uuids("offering_uuid")?;
        let users = query.uuids("user_uuid")?;
        // The 2024 server knows no states and ignores the filter, as Django does with unknown names.
        let states = if self.state.is_2024() {
            Vec::new()
        } else {
            filter::states(query, "state", |text| S::parse(text).map(|state| state as u8))?
        };
        let modified = Span::of(query, "modified")?;
        let restricted = query.flag("is_restricted");
        let provided = self.state.provided_offerings(self.actor);
        let find = || {
            let rows = self
                .state
                .offering_users
                .select(&offerings, &states)
                .into_iter()
                .filter(|row| among(&users, row.user) && modified.holds(row.modified))
                .filter(|row| restricted.is_none_or(|wanted| wanted == row.is_restricted))
                .filter(|row| provided.contains(&row.offering) || row.user == self.actor.user);
            Ok(Rows { uuids: rows.map(|row| row.uuid).collect(), until: None })
        };
        let seen = provided.iter().copied().chain([self.actor.user]).collect();
        let rows = self.rows(Basis { changes: self.state.offering_users.changes(), seen }, find)?;
        self.page_of(&rows, &self.state.offering_users, |view, row, fields| view.offering_user(row, fields))
    }

    fn offering_user(&self, id: &str) -> Result<&OfferingUser, Answer> {
        let row = parse_uuid(id).and_then(|uuid| self.state.offering_users.get(uuid));
        row.filter(|row| self.state.provides(self.actor, row.offering) || row.user == self.actor.user)
            .ok_or_else(|| Answer::no_object("OfferingUser"))
    }

    fn create_offering_user(&mut self) -> Outcome {
        let offering = self.request.reference("offering").or(self.request.reference("offering_uuid"));
        let offering = offering.ok_or_else(|| Answer::bad_field("offering", "This field is required."))?;
        let user = self.request.reference("user").or(self.request.reference("user_uuid"));
        let user = user.ok_or_else(|| Answer::bad_field("user", "This field is required."))?;
        if !self.state.provides(self.actor, offering) {
            return Err(Answer::forbidden());
        }
        if self.state.users.get(user).is_none() {
            return Err(Answer::bad_field("user", "Invalid hyperlink - Object does not exist."));
        }
        if self.state.offering_user(offering, user).is_some() {
            let message = "The fields offering, user must make a unique set.";
            return Err(Answer::bad_field("non_field_errors", message));
        }
        let username = self.request.text("username").unwrap_or_default().to_owned();
        let uuid = self.state.add_offering_user(offering, user, username);
        let row = self.state.offering_users.get(uuid).ok_or_else(Answer::server_error)?;
        Ok(Answer::created(self.view().offering_user(row, &self.fields())))
    }

    /// A user name moves the row to OK and clears the comments; an empty one is taken, too (measurement 119).
    fn patch_offering_user(&mut self, id: &str) -> Outcome {
        let old = self.offering_user(id)?.clone();
        if !self.state.provides(self.actor, old.offering) {
            return Err(Answer::forbidden());
        }
        let now = self.state.now();
        let username = self.request.text("username").map(str::to_owned);
        self.state.offering_users.update(old.uuid, |row| {
            row.modified = now;
            let Some(username) = username else { return };
            if !username.is_empty() {
                row.state = S::Ok;
                row.comment.clear();
                row.comment_url.clear();
            }
            row.username = username;
        });
        let row = self.state.offering_users.get(old.uuid).ok_or_else(Answer::server_error)?;
        let named = row.username != old.username && !row.username.is_empty();
        let event = Event::offering_user(self.state, row, if named { "username_set" } else { "update" });
        let body = self.view().offering_user(row, &self.fields());
        self.state.tell(event);
        Ok(Answer::ok(body))
    }

    fn delete_offering_user(&mut self, id: &str) -> Outcome {
        let row = self.offering_user(id)?.clone();
        self.state.drop_offering_user(row.uuid);
        Ok(Answer::deleted())
    }

    fn offering_user_action(&mut self, row: &OfferingUser, action: &str) -> Outcome {
        if !self.state.provides(self.actor, row.offering) {
            return Err(Answer::forbidden());
        }
        if action == "update_restricted" {
            let restricted = self.request.body.get("is_restricted").and_then(Value::as_bool);
            let restricted =
                restricted.ok_or_else(|| Answer::bad_field("is_restricted", "This field is required."))?;
            self.state.offering_users.update(row.uuid, |row| row.is_restricted = restricted);
            return Ok(Answer::empty());
        }
        if self.state.is_2024() {
            return Err(Answer::no_route());
        }
        let (sources, target) = transition(action).ok_or_else(Answer::no_route)?;
        if !sources.contains(&row.state) {
            return Err(Answer::wrong_state(sources));
        }
        let text = |name: &str| self.request.text(name).unwrap_or_default().to_owned();
        let (comment, comment_url, now) = (text("comment"), text("comment_url"), self.state.now());
        let pending = matches!(target, S::PendingAccountLinking | S::PendingAdditionalValidation);
        self.state.offering_users.update(row.uuid, |row| {
            row.state = target;
            row.modified = now;
            row.comment = if pending { comment } else { String::new() };
            row.comment_url = if pending { comment_url } else { String::new() };
        });
        if let Some(row) = self.state.offering_users.get(row.uuid) {
            self.state.tell(Event::offering_user(self.state, row, "update"));
        }
        Ok(Answer::empty())
    }
}

const PENDING: [S; 2] = [S::PendingAccountLinking, S::PendingAdditionalValidation];

/// From which states an action leads, and where to.
fn transition(action: &str) -> Option<(&'static [S], S)> {
    Some(match action {
        "begin_creating" => (&[S::Requested, S::ErrorCreating], S::Creating),
        "set_pending_account_linking" => {
            (&[S::Creating, S::ErrorCreating, S::PendingAdditionalValidation], S::PendingAccountLinking)
        }
        "set_pending_additional_validation" => {
            (&[S::Creating, S::ErrorCreating, S::PendingAccountLinking], S::PendingAdditionalValidation)
        }
        "set_validation_complete" => (&PENDING, S::Ok),
        "set_ok" => {
            (&[S::Requested, S::Creating, S::PendingAccountLinking, S::PendingAdditionalValidation], S::Ok)
        }
        "set_error_creating" => (
            &[S::Requested, S::Creating, S::PendingAccountLinking, S::PendingAdditionalValidation],
            S::ErrorCreating,
        ),
        "request_deletion" => (&[S::Ok], S::RequestedDeletion),
        "set_deleting" => (&[S::RequestedDeletion, S::ErrorDeleting], S::Deleting),
        "set_deleted" => (&[S::Deleting], S::Deleted),
        "set_error_deleting" => (&[S::RequestedDeletion, S::Deleting], S::ErrorDeleting),
        _ => return None,
    })
}

impl super::state::State {
    /// Takes an offering user away; nothing else follows from it.
    pub(crate) fn drop_offering_user(&mut self, uuid: Uuid) {
        if let Some(row) = self.offering_users.remove(uuid) {
            self.offering_user_of.remove(&(row.offering, row.user));
            self.tell(Event::offering_user(self, &row, "delete"));
        }
    }
}

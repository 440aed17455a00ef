//! Service accounts and course accounts of projects (Waldur contract §9.8).

use serde_json::Value;
use uuid::Uuid;

use super::{View, time};
use crate::waldur::fields::{Fields, Object, render};
use crate::waldur::model::Account;
use crate::waldur::request::hex;

impl View<'_> {
    pub(crate) fn service_account(&self, account: &Account, fields: &Fields) -> Value {
        render(fields, |out| {
            self.account(account, "marketplace-project-service-accounts", out);
            out.blanks(&["preferred_identifier", "customer_abbreviation"]);
            out.nulls(&["token", "expires_at"]);
        })
    }

    pub(crate) fn course_account(&self, account: &Account, fields: &Fields) -> Value {
        render(fields, |out| {
            self.account(account, "marketplace-course-accounts", out);
            let project = self.state.projects.get(account.project);
            out.put("project_slug", project.map(|project| project.slug.clone()));
            out.put("project_end_date", project.and_then(|project| project.end_date.clone()));
            out.nulls(&["project_start_date"]);
            // Waldur makes a user of its own for each course account.
            out.put("user_uuid", hex(Uuid::new_v5(&account.uuid, b"user")));
        })
    }

    fn account(&self, account: &Account, collection: &str, out: &mut Object<'_>) {
        out.put("url", self.url(collection, account.uuid));
        out.put("uuid", hex(account.uuid));
        out.put("created", time(account.created));
        out.put("modified", time(account.modified));
        out.put("username", account.username.clone());
        out.put("email", account.email.clone());
        out.put("description", account.description.clone());
        out.put("state", account.state.as_str());
        out.blanks(&["error_message", "error_traceback"]);
        out.put("project", hex(account.project));
        out.put("project_uuid", hex(account.project));
        out.put("project_name", self.state.project_name(account.project));
        let customer = self.state.customer_of_project(account.project);
        out.put("customer_uuid", customer.map(|customer| hex(customer.uuid)));
        out.put("customer_name", customer.map(|customer| customer.name.clone()));
    }
}

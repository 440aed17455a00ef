//! Service accounts and course accounts; current generation only (Waldur contract §4.6).
//!
//! The provider's side reads them; the consumer's side makes and closes them.

use uuid::Uuid;

use super::access::Standing;
use super::answer::{Answer, Outcome};
use super::call::Call;
use super::event::Event;
use super::filter;
use super::model::Account;
use super::request::{Method, parse_uuid};
use super::state::State;
use super::table::Table;
use super::wire::AccountState;

/// Which of the two kinds of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountKind {
    Service,
    Course,
}

impl AccountKind {
    fn object_type(self) -> &'static str {
        match self {
            Self::Service => "service_account",
            Self::Course => "course_account",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::Service => "ProjectServiceAccount",
            Self::Course => "CourseAccount",
        }
    }
}

impl State {
    fn accounts(&self, kind: AccountKind) -> &Table<Account> {
        match kind {
            AccountKind::Service => &self.service_accounts,
            AccountKind::Course => &self.course_accounts,
        }
    }

    fn accounts_mut(&mut self, kind: AccountKind) -> &mut Table<Account> {
        match kind {
            AccountKind::Service => &mut self.service_accounts,
            AccountKind::Course => &mut self.course_accounts,
        }
    }

    pub(crate) fn add_account(
        &mut self,
        kind: AccountKind,
        project: Uuid,
        username: &str,
        email: &str,
    ) -> Uuid {
        let now = self.now();
        let account = Account {
            uuid: self.draw_uuid(),
            project,
            username: username.to_owned(),
            email: email.to_owned(),
            description: String::new(),
            state: AccountState::Ok,
            created: now,
            modified: now,
        };
        self.tell_account(kind, &account, "create");
        self.accounts_mut(kind).insert(account)
    }

    /// Closes an account; its row stays.
    pub(crate) fn close_account(&mut self, kind: AccountKind, uuid: Uuid) {
        let now = self.now();
        self.accounts_mut(kind).update(uuid, |account| {
            account.state = AccountState::Closed;
            account.modified = now;
        });
        if let Some(account) = self.accounts(kind).get(uuid).cloned() {
            self.tell_account(kind, &account, "delete");
        }
    }

    fn tell_account(&self, kind: AccountKind, account: &Account, action: &str) {
        for offering in self.offerings_in_use(account.project) {
            self.tell(Event::account(self, kind.object_type(), offering, account, action));
        }
    }
}

impl Call<'_> {
    /// `marketplace-project-service-accounts` and `marketplace-course-accounts`.
    pub(crate) fn accounts(&mut self, kind: AccountKind, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let projects = self.request.query.uuids("project_uuid")?;
                let rows = self.state.accounts(kind).select(&projects, &self.account_states()?);
                let rows: Vec<&Account> = rows.into_iter().filter(|row| self.sees_account(row)).collect();
                self.account_page(kind, &rows)
            }
            [] if self.posts() => self.create_account(kind),
            [id] if self.reads() => self.show_account(kind, self.account(kind, id)?, false),
            [id] if self.method() == Method::Delete => {
                let account = self.account(kind, id)?.clone();
                self.may_manage(account.project)?;
                self.state.close_account(kind, account.uuid);
                Ok(Answer::deleted())
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn create_account(&mut self, kind: AccountKind) -> Outcome {
        let project = self.request.reference("project");
        let project = project.ok_or_else(|| Answer::bad_field("project", "This field is required."))?;
        self.may_manage(project)?;
        let username = self.request.text("username").or(self.request.text("preferred_identifier"));
        let username =
            username.ok_or_else(|| Answer::bad_field("username", "This field is required."))?.to_owned();
        let email = self.request.text("email").unwrap_or_default().to_owned();
        let uuid = self.state.add_account(kind, project, &username, &email);
        let account = self.state.accounts(kind).get(uuid).ok_or_else(Answer::server_error)?;
        self.show_account(kind, account, true)
    }

    fn show_account(&self, kind: AccountKind, account: &Account, created: bool) -> Outcome {
        let (view, fields) = (self.view(), self.fields());
        let body = match kind {
            AccountKind::Service => view.service_account(account, &fields),
            AccountKind::Course => view.course_account(account, &fields),
        };
        Ok(if created { Answer::created(body) } else { Answer::ok(body) })
    }

    fn account(&self, kind: AccountKind, id: &str) -> Result<&Account, Answer> {
        let account = parse_uuid(id).and_then(|uuid| self.state.accounts(kind).get(uuid));
        account.filter(|row| self.sees_account(row)).ok_or_else(|| Answer::no_object(kind.model()))
    }

    fn sees_account(&self, account: &Account) -> bool {
        let mut resources = self.state.resources_in(account.project);
        self.state.standing(self.actor, account.project).is_some()
            || resources.any(|row| self.state.provides(self.actor, row.offering))
    }

    fn may_manage(&self, project: Uuid) -> Result<(), Answer> {
        match self.state.standing(self.actor, project) {
            Some(Standing::Manager | Standing::Reviewer) => Ok(()),
            Some(Standing::Member) | None => Err(Answer::forbidden()),
        }
    }

    fn account_states(&self) -> Result<Vec<u8>, Answer> {
        filter::states(&self.request.query, "state", |text| {
            AccountState::parse(text).map(|state| state as u8)
        })
    }

    fn account_page(&self, kind: AccountKind, rows: &[&Account]) -> Outcome {
        self.page(rows, |view, row, fields| match kind {
            AccountKind::Service => view.service_account(row, fields),
            AccountKind::Course => view.course_account(row, fields),
        })
    }

    /// Accounts of the projects that use these offerings.
    pub(super) fn accounts_of(&self, kind: AccountKind, offerings: &[Uuid]) -> Outcome {
        let projects: Vec<Uuid> = self.projects_using(offerings).iter().map(|project| project.uuid).collect();
        let asked = self.request.query.uuids("project_uuid")?;
        let projects: Vec<Uuid> = projects.into_iter().filter(|uuid| filter::among(&asked, *uuid)).collect();
        let states = self.account_states()?;
        let rows = if projects.is_empty() {
            Vec::new()
        } else {
            self.state.accounts(kind).select(&projects, &states)
        };
        self.account_page(kind, &rows)
    }
}

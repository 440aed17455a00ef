//! Accounts of users in an offering (contract §4.3): the list of them, and the usernames that Waldur leaves to the agent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use planner::outcome::Failure;
use planner::usernames::{self, UserNames};
use uuid::Uuid;

use super::Offering;
use super::people::Reading;
use crate::error::ApiError;
use crate::waldur::dto;

/// All accounts in an offering at one moment.
#[derive(Debug)]
pub(super) struct Users {
    /// When reading began.
    read: Instant,
    /// In the order of their users.
    users: Vec<dto::OfferingUser>,
}

impl Users {
    /// Reads the list, and gives usernames to those who wait for one where that is the agent's task. The list of a large
    /// offering is long: where messages tell of changes one that was read before serves `reading` again.
    pub(super) async fn read(
        offering: &Offering,
        model: &dto::Offering,
        reading: Reading,
        before: Option<Arc<Self>>,
    ) -> Result<Arc<Self>, ApiError> {
        let ours = names_users(offering, model);
        let serves = |before: &Arc<Self>| {
            reading == Reading::AsTold && !ours && offering.accounts_told_since(before.read)
        };
        if let Some(before) = before.filter(serves) {
            return Ok(before);
        }
        let read = Instant::now();
        let mut users = offering.waldur.offering_users(offering.options.uuid).await?;
        if ours {
            name_users(offering, &mut users).await;
        }
        users.retain(|user| user.user_uuid.is_some());
        users.sort_by_key(|user| user.user_uuid);
        users.shrink_to_fit();
        Ok(Arc::new(Self { read, users }))
    }

    /// A user's account.
    pub(super) fn of(&self, user: Uuid) -> Option<&dto::OfferingUser> {
        let at = self.users.binary_search_by_key(&Some(user), |account| account.user_uuid);
        at.ok().map(|at| &self.users[at])
    }
}

impl Offering {
    /// Gives usernames to those of the offering's users who wait for one, where that is left to the agent. How many
    /// have got one, and how many still wait.
    pub(crate) async fn name_offering_users(&self) -> Result<(usize, usize), ApiError> {
        let model = self.read_offering().await?;
        let mut users = self.waldur.offering_users(self.options.uuid).await?;
        let unnamed = |users: &[dto::OfferingUser]| {
            let waiting = users.iter().filter(|user| user.username.is_empty() && !user.is_restricted);
            waiting.filter(|user| usernames::wants_username(user.state.as_deref())).count()
        };
        let before = unnamed(&users);
        if names_users(self, &model) {
            name_users(self, &mut users).await;
        }
        let after = unnamed(&users);
        Ok((before.saturating_sub(after), after))
    }
}

/// Whether usernames are the agent's task (contract §4.3).
fn names_users(offering: &Offering, model: &dto::Offering) -> bool {
    let ours = model.username_policy() == "service_provider"
        && model.option("service_provider_can_create_offering_user")
        && !offering.options.dry_run;
    offering.names_users.store(ours, Ordering::Relaxed);
    ours
}

/// Gives usernames to those who wait for one. A user for whom it fails waits for the next look.
async fn name_users(offering: &Offering, users: &mut [dto::OfferingUser]) {
    let mut taken: BTreeSet<String> = users.iter().map(|user| user.username.to_string()).collect();
    for user in users.iter_mut().filter(|user| user.username.is_empty() && !user.is_restricted) {
        if !usernames::wants_username(user.state.as_deref()) {
            continue;
        }
        let Some(names) = &user.names else {
            continue;
        };
        let names = UserNames { username: &names.username, email: &names.email, full_name: &names.full_name };
        let Some(username) = usernames::generate(&offering.options.usernames, names, &taken) else {
            tracing::warn!(offering_user = %user.uuid.simple(), "nothing is known of the user to make a username of");
            continue;
        };
        match name_user(offering, user, &username).await {
            Ok(()) => {
                tracing::info!(target: "audit", offering_user = %user.uuid.simple(), "username {username} given");
                taken.insert(username.clone());
                user.username = username.into();
                user.state = user.state.as_ref().map(|_| "OK".into());
            }
            Err(error) => {
                tracing::warn!(%error, username, "Waldur does not take the username; it is tried again")
            }
        }
    }
}

async fn name_user(offering: &Offering, user: &dto::OfferingUser, username: &str) -> Result<(), ApiError> {
    if usernames::has_to_begin(user.state.as_deref()) {
        match offering.waldur.begin_creating(user.uuid).await {
            // Another look was faster.
            Err(error) if error.failure == Failure::Conflict => {}
            other => other?,
        }
    }
    offering.waldur.set_username(user.uuid, username).await
}

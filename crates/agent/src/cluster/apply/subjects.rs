//! What stands for people and accounts: groups, service accounts, users and identities.

use std::collections::BTreeSet;

use planner::access::Subject;
use planner::action::{Expect, Target};
use planner::outcome::Failure;
use planner::subjects::identity_name;
use uuid::Uuid;

use super::Writes;
use crate::cluster::http::FIELD_MANAGER;
use crate::cluster::kinds::Kind;
use crate::cluster::subjects::{self, USER};
use crate::error::ApiError;

impl Writes<'_> {
    pub(super) async fn write_group(
        &self,
        resource: Uuid,
        expect: &Expect,
        name: &str,
        users: &BTreeSet<String>,
    ) -> Result<(), ApiError> {
        let path = Kind::Group.cluster_path(name);
        let uid = self.checked(&path, resource, expect).await?;
        self.write(Kind::Group, &path, &subjects::group(name, uid.as_deref(), resource, users)).await
    }

    pub(super) async fn write_service_account(
        &self,
        target: &Target,
        resource: Uuid,
        expect: &Expect,
        name: &str,
    ) -> Result<(), ApiError> {
        let path = Kind::ServiceAccount.object_path(&target.name, name);
        let uid = self.checked(&path, resource, expect).await?;
        let body = subjects::service_account((&target.name, name), uid.as_deref(), resource);
        self.write(Kind::ServiceAccount, &path, &body).await
    }

    /// What the cluster does not take is planned without.
    pub(super) fn note_refusal(&self, resource: Uuid, subject: Subject, written: &Result<(), ApiError>) {
        if let Err(error) = written
            && matches!(error.failure, Failure::Forbidden | Failure::NotOurs | Failure::Invalid)
        {
            let reason = error.to_string();
            self.cluster.write_store(|store| store.subject_refused(resource, subject, reason));
        }
    }

    /// Makes what is missing of user, identity and mapping. What is there stays as it is, whoever made it.
    pub(super) async fn ensure_identity(&self, provider: &str, username: &str) -> Result<(), ApiError> {
        let name = identity_name(provider, username);
        let parts = [
            ("users", subjects::user(username)),
            ("identities", subjects::identity(provider, username)),
            ("useridentitymappings", subjects::mapping(provider, username)),
        ];
        for (plural, body) in parts {
            let path = format!("/apis/{USER}/v1/{plural}?fieldManager={}", FIELD_MANAGER);
            match self.cluster.http.post(&path, &body).await {
                Err(error) if error.failure == Failure::AlreadyExists => {}
                other => drop(other?),
            }
        }
        self.cluster.write_store(|store| store.identity_settled(&name));
        Ok(())
    }
}

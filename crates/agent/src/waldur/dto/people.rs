//! Who has which role, and which account (Waldur contract §4). Rows of the longest lists: each takes little memory.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::nullable;

/// A word that rows of long lists share; the usual ones take no memory of their own.
pub(crate) type Word = Cow<'static, str>;

/// States of accounts and roles that nearly all rows have.
const USUAL_WORDS: [&str; 6] =
    ["OK", "PROJECT.MEMBER", "PROJECT.MANAGER", "PROJECT.ADMIN", "CUSTOMER.OWNER", "CUSTOMER.MANAGER"];

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Word>, D::Error> {
    let text: Option<Cow<'_, str>> = Option::deserialize(deserializer)?;
    Ok(text.map(|text| match USUAL_WORDS.into_iter().find(|usual| *usual == text) {
        Some(usual) => Word::Borrowed(usual),
        None => Word::Owned(text.into_owned()),
    }))
}

/// A member of a resource's project (contract §4.4).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TeamMember {
    pub(crate) uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) username: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) expiration_time: Option<Timestamp>,
    #[serde(default)]
    pub(crate) offering_user_username: Option<String>,
    #[serde(default)]
    pub(crate) offering_user_state: Option<String>,
}

/// One role of one user in one project (contract §10.2), or, without a project, in an organization.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PermissionAnswer")]
pub(crate) struct Permission {
    pub(crate) user_uuid: Uuid,
    pub(crate) user_username: Box<str>,
    pub(crate) user_email: Box<str>,
    pub(crate) project_uuid: Option<Uuid>,
    /// As the server names it.
    pub(crate) role: Option<Word>,
    pub(crate) expiration_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct PermissionAnswer {
    user_uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    user_username: Box<str>,
    #[serde(default, deserialize_with = "nullable")]
    user_email: Box<str>,
    #[serde(default)]
    project_uuid: Option<Uuid>,
    /// Servers of 2024 call it `role`.
    #[serde(default, deserialize_with = "word")]
    role_name: Option<Word>,
    #[serde(default, deserialize_with = "word")]
    role: Option<Word>,
    #[serde(default)]
    expiration_time: Option<Timestamp>,
}

impl From<PermissionAnswer> for Permission {
    fn from(answer: PermissionAnswer) -> Self {
        Self {
            user_uuid: answer.user_uuid,
            user_username: answer.user_username,
            user_email: answer.user_email,
            project_uuid: answer.project_uuid,
            role: answer.role_name.or(answer.role),
            expiration_time: answer.expiration_time,
        }
    }
}

impl Permission {
    /// The address, which not everybody needs.
    pub(crate) const EMAIL: &'static str = "user_email";
    pub(crate) const FIELDS: [&'static str; 7] =
        ["user_uuid", "user_username", Self::EMAIL, "project_uuid", "role_name", "role", "expiration_time"];
}

/// A user's account in an offering (contract §4.3).
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "OfferingUserAnswer")]
pub(crate) struct OfferingUser {
    pub(crate) uuid: Uuid,
    pub(crate) user_uuid: Option<Uuid>,
    pub(crate) username: Box<str>,
    pub(crate) state: Option<Word>,
    /// To make a username of; only where there is none.
    pub(crate) names: Option<Box<UserNames>>,
    /// Locked out by the provider.
    pub(crate) is_restricted: bool,
}

/// What Waldur tells about the person behind an account.
#[derive(Clone, Debug)]
pub(crate) struct UserNames {
    pub(crate) username: String,
    pub(crate) full_name: String,
    pub(crate) email: String,
}

#[derive(Deserialize)]
struct OfferingUserAnswer {
    uuid: Uuid,
    #[serde(default)]
    user_uuid: Option<Uuid>,
    #[serde(default, deserialize_with = "nullable")]
    username: Box<str>,
    #[serde(default, deserialize_with = "word")]
    state: Option<Word>,
    #[serde(default, deserialize_with = "nullable")]
    user_username: String,
    #[serde(default, deserialize_with = "nullable")]
    user_full_name: String,
    #[serde(default, deserialize_with = "nullable")]
    user_email: String,
    #[serde(default, deserialize_with = "nullable")]
    is_restricted: bool,
}

impl From<OfferingUserAnswer> for OfferingUser {
    fn from(answer: OfferingUserAnswer) -> Self {
        let names = answer.username.is_empty().then(|| {
            Box::new(UserNames {
                username: answer.user_username,
                full_name: answer.user_full_name,
                email: answer.user_email,
            })
        });
        Self {
            uuid: answer.uuid,
            user_uuid: answer.user_uuid,
            username: answer.username,
            state: answer.state,
            names,
            is_restricted: answer.is_restricted,
        }
    }
}

impl OfferingUser {
    pub(crate) const FIELDS: [&'static str; 8] = [
        "uuid",
        "user_uuid",
        "username",
        "state",
        "user_username",
        "user_full_name",
        "user_email",
        "is_restricted",
    ];

    /// Its state, or that the provider has locked the user out, whatever the state is.
    pub(crate) fn standing(&self) -> Option<String> {
        if self.is_restricted {
            Some("restricted".to_owned())
        } else {
            self.state.as_deref().map(str::to_owned)
        }
    }
}

/// A service or course account of a project (contract §4.6).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Account {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) username: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) project_uuid: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::read;
    use super::*;

    #[test]
    fn usual_words_and_others_are_read_alike() {
        let permission = |role: Value| {
            let answer =
                json!({"user_uuid": Uuid::nil().simple().to_string(), "role_name": null, "role": role});
            read::<Permission>(&answer).role
        };
        assert_eq!(permission(json!("PROJECT.MEMBER")), Some(Word::Borrowed("PROJECT.MEMBER")));
        assert_eq!(permission(json!("Reviewer")), Some(Word::Borrowed("Reviewer")));
        assert!(matches!(permission(json!("PROJECT.MEMBER")), Some(Word::Borrowed(_))));
        assert_eq!(permission(Value::Null), None);
    }

    #[test]
    fn names_are_kept_of_those_who_have_no_username_yet() {
        let user = |username: &str| {
            let answer = json!({"uuid": Uuid::nil(), "username": username, "user_full_name": "Mia Meyer"});
            read::<OfferingUser>(&answer).names.map(|names| names.full_name)
        };
        assert_eq!((user(""), user("mia")), (Some("Mia Meyer".to_owned()), None));
    }
}

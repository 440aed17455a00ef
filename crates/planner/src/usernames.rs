//! Usernames for offering users whose offering leaves that to the service provider (Waldur contract §4.3).

use std::collections::BTreeSet;

/// From what a username is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsernameSource {
    /// The Waldur login.
    #[default]
    Username,
    /// The e-mail address.
    Email,
    /// The full name, with dots between the words.
    FullName,
}

/// How usernames are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsernameRule {
    /// From what.
    pub source: UsernameSource,
    /// In lower case.
    pub lowercase: bool,
}

impl Default for UsernameRule {
    fn default() -> Self {
        Self { source: UsernameSource::Username, lowercase: true }
    }
}

/// What is known of a user without a username.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserNames<'a> {
    /// The Waldur login.
    pub username: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// The full name.
    pub full_name: &'a str,
}

/// True for states in which the service provider has to give a username. Users who wait for a person, and users
/// on their way out, are left alone; `None` is a server that does not tell.
#[must_use]
pub fn wants_username(state: Option<&str>) -> bool {
    matches!(state, None | Some("Requested" | "Creating" | "Error creating"))
}

/// True if the user has to be moved to Creating first.
#[must_use]
pub fn has_to_begin(state: Option<&str>) -> bool {
    matches!(state, Some("Requested" | "Error creating"))
}

/// A username that nobody has yet; `None` if nothing is known of the user to make one of. The same user gets the
/// same name each time unless it was taken in between.
#[must_use]
pub fn generate(rule: &UsernameRule, user: UserNames<'_>, taken: &BTreeSet<String>) -> Option<String> {
    let text = match rule.source {
        UsernameSource::Username => user.username.to_owned(),
        UsernameSource::Email => user.email.to_owned(),
        UsernameSource::FullName => user.full_name.split_whitespace().collect::<Vec<_>>().join("."),
    };
    let text = if text.is_empty() { user.username.to_owned() } else { text };
    let text = if rule.lowercase { text.to_lowercase() } else { text };
    let allowed = |c: &char| c.is_alphanumeric() || "@.+-_".contains(*c);
    let base: String = text.chars().filter(allowed).take(100).collect();
    if base.is_empty() {
        return None;
    }
    if !taken.contains(&base) {
        return Some(base);
    }
    (2..=10_000).map(|number| format!("{base}-{number}")).find(|name| !taken.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserNames<'static> =
        UserNames { username: "Mia.Member", email: "mia@example.org", full_name: "Mia  Member" };

    #[test]
    fn usernames_are_made_of_what_is_configured_and_are_unique() {
        let name = |source, lowercase, taken: &[&str]| {
            let taken = taken.iter().map(|name| (*name).to_owned()).collect();
            generate(&UsernameRule { source, lowercase }, USER, &taken).unwrap()
        };
        assert_eq!(name(UsernameSource::Username, true, &[]), "mia.member");
        assert_eq!(name(UsernameSource::Email, true, &[]), "mia@example.org");
        assert_eq!(name(UsernameSource::FullName, false, &[]), "Mia.Member");
        assert_eq!(name(UsernameSource::Username, true, &["mia.member", "mia.member-2"]), "mia.member-3");
        assert_eq!(generate(&UsernameRule::default(), UserNames::default(), &BTreeSet::new()), None);
    }

    #[test]
    fn only_users_who_wait_for_a_username_get_one() {
        for (state, wants, begins) in [
            (Some("Requested"), true, true),
            (Some("Error creating"), true, true),
            (Some("Creating"), true, false),
            (Some("Pending account linking"), false, false),
            (Some("OK"), false, false),
            (Some("Deleting"), false, false),
            (None, true, false),
        ] {
            assert_eq!((wants_username(state), has_to_begin(state)), (wants, begins), "{state:?}");
        }
    }
}

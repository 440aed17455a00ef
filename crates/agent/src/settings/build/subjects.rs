//! How people and accounts of Waldur are named at the cluster. Waldur contract §1.5.

use planner::access::{AccountRule, Attribute, NameRule, SubjectRule};

use super::Context;
use crate::settings::keys::SUBJECTS;
use crate::settings::view::View;

/// What role bindings name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SubjectKind {
    User,
    Group,
    ExternalGroup,
}

/// The kind as written; without it a template means external groups.
fn kind(view: &View<'_>) -> SubjectKind {
    let written = view.choice("kind", |word| match word {
        "user" => Some(SubjectKind::User),
        "group" => Some(SubjectKind::Group),
        "external_group" => Some(SubjectKind::ExternalGroup),
        _ => None,
    });
    let templated = !view.text_or_empty("group_template").is_empty();
    written.unwrap_or(if templated { SubjectKind::ExternalGroup } else { SubjectKind::User })
}

pub(super) fn subjects(backend: &View<'_>, context: &mut Context<'_, '_>) -> Option<SubjectRule> {
    let view = backend.section("subjects", SUBJECTS);
    let attribute = view.choice("attribute", |word| match word {
        "offering_username" => Some(Attribute::OfferingUsername),
        "username" => Some(Attribute::Username),
        "email" => Some(Attribute::Email),
        _ => None,
    });
    let template = view.text_or_empty("group_template");
    let kind = kind(&view);
    if kind == SubjectKind::ExternalGroup {
        if template.is_empty() {
            let message = "is missing; kind `external_group` needs it";
            let hint = "give the name of the groups, such as `waldur-{customer}-{project}-{role}`";
            context.findings.error(view.place("kind"), &view.path("group_template"), message, hint);
            return None;
        }
        return Some(SubjectRule::ExternalGroup { template });
    }
    if !template.is_empty() {
        let message = "is ignored, as kind says otherwise";
        let hint = "remove it, or write `kind: external_group`";
        context.findings.warning(view.place("group_template"), &view.path("group_template"), message, hint);
    }
    let (lowercase, prefix) = (view.truth("lowercase"), view.text_or_empty("prefix"));
    let rule = NameRule { attribute: attribute?, lowercase, prefix };
    Some(if kind == SubjectKind::Group { SubjectRule::Group(rule) } else { SubjectRule::User(rule) })
}

pub(super) fn identity_provider(backend: &View<'_>, context: &mut Context<'_, '_>) -> Option<String> {
    let view = backend.section("subjects", SUBJECTS);
    let (key, place, path) =
        ("identity_provider", view.place("identity_provider"), view.path("identity_provider"));
    let provider = Some(view.text_or_empty(key)).filter(|provider| !provider.is_empty())?;
    if provider.contains([':', '/', '%']) {
        let message = "no identity provider has a name with `:`, `/` or `%`";
        let hint = "give the `name` that the provider has in the cluster's OAuth configuration";
        context.findings.error(place, &path, message, hint);
    }
    if kind(&view) == SubjectKind::ExternalGroup {
        let message = "is ignored, as external groups are bound and not users";
        context.findings.warning(place, &path, message, "remove it");
        return None;
    }
    Some(provider)
}

pub(super) fn service_accounts(backend: &View<'_>) -> Option<AccountRule> {
    backend.choice("service_accounts", |word| match word {
        "user" => Some(AccountRule::User),
        "service_account" => Some(AccountRule::ServiceAccount),
        _ => None,
    })
}

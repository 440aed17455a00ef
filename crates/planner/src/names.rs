//! Names and labels on the cluster, made from Waldur's slugs and UUIDs.
//!
//! Everything from Waldur is data of unknown shape here: what comes out is always a valid Kubernetes name or a
//! refusal.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::policy::Naming;

/// Label that marks an object as made by this agent; its value is [`MANAGED_BY_VALUE`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// See [`MANAGED_BY`].
pub const MANAGED_BY_VALUE: &str = "waldur-site-agent";
/// Label with the Waldur resource that the object belongs to: 32 hexadecimal digits.
pub const RESOURCE_UUID: &str = "waldur/resource-uuid";
/// Annotation with the Waldur organization (contract §7.1).
pub const ORGANIZATION: &str = "waldur/organization";
/// Annotation with the Waldur project (contract §7.1).
pub const PARENT: &str = "waldur/parent";
/// Annotation that the OpenShift console shows as the project's name.
pub const DISPLAY_NAME: &str = "openshift.io/display-name";
/// Annotation that the OpenShift console shows as the project's description.
pub const DESCRIPTION: &str = "openshift.io/description";
/// Annotation in which OpenShift notes who requested a project.
pub const REQUESTER: &str = "openshift.io/requester";
/// Label that tells the namespaces of one resource apart, where it has several: the name in the configuration.
pub const ENVIRONMENT: &str = "waldur/environment";
/// Label of objects that come from the project template.
pub const TEMPLATE: &str = "waldur/template";
/// Annotation of a namespace with what of the template is in it: kinds, and objects that are made once only.
pub const TEMPLATE_RECORD: &str = "waldur/template-record";
/// Name of the quota in each project, as the Python agent names it (contract §10.4).
pub const QUOTA: &str = "waldur-quota";
/// Name of the limit range in each project.
pub const LIMIT_RANGE: &str = "waldur-limits";

/// Longest namespace name: a DNS label (RFC 1123).
const MAX_LABEL: usize = 63;
/// Longest name of one of several namespaces of a resource: enough must be left of the resource's own.
pub const MAX_ENVIRONMENT: usize = 20;
/// Longest display name or description that is put on a project, in characters.
const MAX_TEXT: usize = 1000;

/// Why a name may not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A namespace that belongs to the cluster itself.
    #[error("`{0}` is reserved for the cluster; the agent never makes, changes or deletes such a namespace")]
    Reserved(String),
    /// No DNS label.
    #[error(
        "`{0}` is not a valid namespace name (lower-case letters, digits and `-`, 2 to 63 characters, \
         a letter or digit at both ends)"
    )]
    Invalid(String),
}

/// The names that a new namespace may get: the regular one, and one for when that is taken by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// `{namespace_prefix}{allocation_prefix}{slug}`.
    pub regular: String,
    /// The regular name with a suffix from the resource's UUID.
    pub suffixed: String,
}

/// Names for the namespace of a resource with this slug (design: Namespace name). Where the resource has several,
/// `environment` ends the name of this one.
///
/// # Errors
/// [`NameError`] when the prefixes are such that the name is reserved.
pub fn candidates(
    naming: &Naming,
    slug: &str,
    environment: Option<&str>,
    resource: Uuid,
) -> Result<Candidates, NameError> {
    let id = resource.simple().to_string();
    let slug = dns_label_part(slug);
    let base = if slug.is_empty() { &id[..12] } else { &slug };
    let full = dns_label_part(&format!("{}{}{base}", naming.namespace_prefix, naming.allocation_prefix));
    let end = environment.map_or_else(String::new, |environment| format!("-{environment}"));
    let room = MAX_LABEL.saturating_sub(end.len());
    let regular = format!("{}{end}", shortened(&full, room));
    let suffixed = format!("{}-{}{end}", shortened(&full, room.saturating_sub(9)), &id[..8]);
    check_namespace(&regular)?;
    check_namespace(&suffixed)?;
    Ok(Candidates { regular, suffixed })
}

/// Name of a quota over all namespaces of a resource: the cluster has one of that name only (OpenShift:
/// ClusterResourceQuota). `quota` is what it is called where it is in a namespace.
#[must_use]
pub fn cluster_quota(quota: &str, resource: Uuid) -> String {
    format!("{quota}-{}", resource.simple())
}

/// The reverse of [`cluster_quota`]; `None` for a name that is not made like this.
#[must_use]
pub fn of_cluster_quota(name: &str) -> Option<(&str, Uuid)> {
    let (quota, resource) = name.rsplit_once('-')?;
    let resource = Some(resource).filter(|resource| resource.len() == 32)?;
    Some((quota, Uuid::try_parse(resource).ok()?))
}

/// Checks a namespace name, be it derived or stored in Waldur.
///
/// # Errors
/// [`NameError`] for a name that the agent must not touch or that Kubernetes would refuse.
pub fn check_namespace(name: &str) -> Result<(), NameError> {
    if is_reserved(name) {
        return Err(NameError::Reserved(clipped(name, 80)));
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| inner(*byte) && *byte != b'-');
    let bytes = name.as_bytes();
    let valid = (2..=MAX_LABEL).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(*byte))
        && edge(bytes.first())
        && edge(bytes.last());
    if valid { Ok(()) } else { Err(NameError::Invalid(clipped(name, 80))) }
}

/// True for namespaces that belong to the cluster (OpenShift refuses to create most of them, not to delete them).
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 4] = ["default", "openshift", "kubernetes", "kube"];
    const PREFIXES: [&str; 3] = ["openshift-", "kubernetes-", "kube-"];
    let lower = name.to_lowercase();
    NAMES.contains(&lower.as_str()) || PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

/// Lower case, with everything that a DNS label may not hold turned into single hyphens.
pub(crate) fn dns_label_part(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            label.push(character);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.trim_end_matches('-').to_owned()
}

/// At most `max` characters; what is cut is replaced by a hash, so that different texts stay different.
fn shortened(label: &str, max: usize) -> String {
    if label.len() <= max {
        return label.to_owned();
    }
    hashed_within(label, label, max)
}

/// At most `max` characters of an ASCII label with a hash of what it stands for.
pub(crate) fn hashed_within(label: &str, whole: &str, max: usize) -> String {
    hashed(label[..label.len().min(max - 9)].trim_end_matches('-'), whole)
}

/// `text` with a short hash of what it stands for.
pub(crate) fn hashed(text: &str, whole: &str) -> String {
    let hash = Sha256::digest(whole.as_bytes());
    format!("{text}-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// Text for an annotation that people read: one line, no control characters, of bounded length. OpenShift
/// refuses a display name with a line break.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clipped(words.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), MAX_TEXT)
}

/// The first `max` characters, with an ellipsis where something was cut.
#[must_use]
pub fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a ProjectRequest's description says while the labels are not on the namespace yet: a ProjectRequest
/// keeps nothing but name, display name and description.
#[must_use]
pub fn create_marker(resource: Uuid) -> String {
    format!("waldur-site-agent is creating this project for resource {}", resource.simple())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: Uuid = Uuid::from_u128(0x7f6e_5d4c_3b2a_1908_0706_0504_0302_0100);

    fn naming(namespace: &str, allocation: &str) -> Naming {
        Naming {
            namespace_prefix: namespace.to_owned(),
            allocation_prefix: allocation.to_owned(),
            ..Naming::default()
        }
    }

    #[test]
    fn a_slug_becomes_a_namespace_name() {
        for (slug, expected) in [
            ("producti-1", "waldur-alloc-producti-1"),
            ("Prod_Env", "waldur-alloc-prod-env"),
            ("1st", "waldur-alloc-1st"),
            ("", "waldur-alloc-7f6e5d4c3b2a"),
            ("--", "waldur-alloc-7f6e5d4c3b2a"),
            ("a__b..c", "waldur-alloc-a-b-c"),
            ("openshift-x", "waldur-alloc-openshift-x"),
            ("übung", "waldur-alloc-bung"),
            ("x/../y", "waldur-alloc-x-y"),
        ] {
            let names = candidates(&Naming::default(), slug, None, ID).unwrap();
            assert_eq!(names.regular, expected, "{slug}");
            assert_eq!(names.suffixed, format!("{expected}-7f6e5d4c"), "{slug}");
        }
    }

    #[test]
    fn without_prefixes_a_reserved_slug_is_refused() {
        for slug in
            ["openshift-x", "kube-system", "default", "kubernetes-1", "OpenShift-Logging", "kube", "a"]
        {
            assert!(candidates(&naming("", ""), slug, None, ID).is_err(), "{slug}");
        }
        assert_eq!(candidates(&naming("", ""), "shop-1", None, ID).unwrap().regular, "shop-1");
    }

    #[test]
    fn long_names_differ_in_their_hash() {
        let one = candidates(&Naming::default(), &format!("{}-1", "x".repeat(80)), None, ID).unwrap();
        let two = candidates(&Naming::default(), &format!("{}-2", "x".repeat(80)), None, ID).unwrap();
        assert_eq!(one.regular.len(), 63);
        assert_ne!(one.regular, two.regular);
    }

    #[test]
    fn several_namespaces_of_a_resource_end_with_what_tells_them_apart() {
        let of =
            |slug: &str, environment| candidates(&Naming::default(), slug, Some(environment), ID).unwrap();
        assert_eq!(of("shop-1", "dev").regular, "waldur-alloc-shop-1-dev");
        assert_eq!(of("shop-1", "dev").suffixed, "waldur-alloc-shop-1-7f6e5d4c-dev");
        let long = of(&"x".repeat(80), "prod");
        assert_eq!((long.regular.len(), long.suffixed.len()), (63, 63));
        assert!(long.regular.ends_with("-prod") && long.suffixed.ends_with("-7f6e5d4c-prod"));
        assert_ne!(long.regular, of(&format!("{}y", "x".repeat(80)), "prod").regular);
    }

    #[test]
    fn the_name_of_a_quota_over_several_namespaces_says_whose_it_is() {
        let name = cluster_quota(QUOTA, ID);
        assert_eq!(name, "waldur-quota-7f6e5d4c3b2a19080706050403020100");
        assert_eq!(of_cluster_quota(&name), Some((QUOTA, ID)));
        for other in ["waldur-quota", "waldur-quota-7f6e5d4c", "", "-"] {
            assert_eq!(of_cluster_quota(other), None, "{other}");
        }
    }

    #[test]
    fn text_for_people_is_one_short_line() {
        assert_eq!(one_line("a\nb\t c\u{7}"), "a b c");
        assert_eq!(one_line(&"ä".repeat(2000)).chars().count(), MAX_TEXT + 1);
    }

    proptest! {
        #[test]
        fn every_slug_gives_valid_names(
            slug in "\\PC{0,90}",
            prefix in "[a-zA-Z0-9_-]{0,70}",
            environment in prop::option::of("[a-z0-9][a-z0-9-]{0,18}[a-z0-9]"),
        ) {
            if let Ok(names) = candidates(&naming(&prefix, "alloc-"), &slug, environment.as_deref(), ID) {
                prop_assert_eq!(check_namespace(&names.regular), Ok(()));
                prop_assert_eq!(check_namespace(&names.suffixed), Ok(()));
                prop_assert_ne!(names.regular, names.suffixed);
            }
        }
    }
}

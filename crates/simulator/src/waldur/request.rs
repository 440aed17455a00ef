//! One request, taken apart: path segments, repeated query parameters, JSON body.
//!
//! UUIDs are read in both spellings wherever they occur (Waldur contract §0).

use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::Answer;

/// A request after its body was read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path's segments without the slashes.
    pub(crate) path: Vec<String>,
    pub(crate) query: Query,
    pub(crate) body: Value,
    /// `Authorization` as sent.
    pub(crate) authorization: Option<String>,
    /// Scheme and host that links in the answer begin with, without a slash at the end.
    pub(crate) base: String,
}

/// The methods that Waldur's API uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Query parameters in the order sent; any of them may repeat.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The last value under this name, as Django takes it; an empty value counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// All values under this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All values under this name as UUIDs; 400 when one is none.
    pub(crate) fn uuids(&self, name: &str) -> Result<Vec<Uuid>, Answer> {
        self.all(name)
            .map(|text| parse_uuid(text).ok_or_else(|| Answer::bad_field(name, "Enter a valid UUID.")))
            .collect()
    }

    /// `true`/`false`, in Django's spellings; anything else is no filter.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        }
    }
}

/// A UUID with or without dashes.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 32 || text.len() == 36).then(|| Uuid::parse_str(text).ok()).flatten()
}

/// A UUID as a bare value or as the last segment of a URL.
pub(crate) fn uuid_of_url(text: &str) -> Option<Uuid> {
    parse_uuid(text.trim_end_matches('/').rsplit('/').next()?)
}

/// The 32 digits that Waldur writes into bodies.
pub(crate) fn hex(uuid: Uuid) -> String {
    uuid.simple().to_string()
}

impl Request {
    /// The body's fields; empty when the body is no object.
    pub(crate) fn object(&self) -> Map<String, Value> {
        self.body.as_object().cloned().unwrap_or_default()
    }

    /// A text field of the body.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// A body field that names an object by UUID or URL.
    pub(crate) fn reference(&self, name: &str) -> Option<Uuid> {
        uuid_of_url(self.text(name)?)
    }

    /// A text field of the body that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Answer> {
        self.text(name).ok_or_else(|| Answer::bad_field(name, "This field is required."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_in_both_spellings() {
        let hexadecimal = "d629d5e45567425da9cdbdc1af67b32c";
        let dashed = "d629d5e4-5567-425d-a9cd-bdc1af67b32c";
        assert_eq!(parse_uuid(hexadecimal), parse_uuid(dashed));
        assert!(parse_uuid(dashed).is_some());
        assert_eq!(uuid_of_url(&format!("https://w/api/users/{hexadecimal}/")), parse_uuid(dashed));
        assert_eq!(parse_uuid("register_service"), None);
    }

    #[test]
    fn the_last_of_repeated_parameters_counts_for_a_single_value() {
        let query = Query::parse("page=1&state=OK&state=Erred&page=2&name=");
        assert_eq!(query.get("page"), Some("2"));
        assert_eq!(query.all("state").collect::<Vec<_>>(), ["OK", "Erred"]);
        assert_eq!(query.get("name"), None);
    }
}

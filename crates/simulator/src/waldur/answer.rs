//! What the server says: status, headers and one of the body forms that Waldur uses.
//!
//! A refusal is an answer as well, so handlers return `Result<Answer, Answer>` and leave early with `?`.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::faults::plain_shaper;

/// The result of one request; both sides are sent.
pub(crate) type Outcome = Result<Answer, Answer>;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content: Content,
    count: Option<usize>,
    link: Option<String>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Json(Value),
    Html(&'static str),
}

const NOT_FOUND: &str = "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  \
    <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n";
const SERVER_ERROR: &str = "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Server Error (500)</title>\n</head>\n\
    <body>\n  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n";

impl Answer {
    fn new(status: StatusCode, content: Content) -> Self {
        Self { status, content, count: None, link: None }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, Content::Json(body))
    }

    pub(crate) fn created(body: Value) -> Self {
        Self::new(StatusCode::CREATED, Content::Json(body))
    }

    /// 200 without a body, as Waldur answers most actions.
    pub(crate) fn empty() -> Self {
        Self::new(StatusCode::OK, Content::Empty)
    }

    /// 201 without a body.
    pub(crate) fn created_empty() -> Self {
        Self::new(StatusCode::CREATED, Content::Empty)
    }

    /// 202 without a body.
    pub(crate) fn accepted() -> Self {
        Self::new(StatusCode::ACCEPTED, Content::Empty)
    }

    /// 204.
    pub(crate) fn deleted() -> Self {
        Self::new(StatusCode::NO_CONTENT, Content::Empty)
    }

    /// `{"status": text}`, the answer of the resource actions.
    pub(crate) fn status(text: &str) -> Self {
        Self::ok(json!({ "status": text }))
    }

    /// One page of a list with its `X-Result-Count` and `Link` headers.
    pub(crate) fn page(items: Vec<Value>, count: usize, link: String) -> Self {
        Self { count: Some(count), link: Some(link), ..Self::ok(Value::Array(items)) }
    }

    fn detail(status: StatusCode, text: &str) -> Self {
        Self::new(status, Content::Json(json!({ "detail": text })))
    }

    /// 400 with any body: a field map, `non_field_errors` or a bare list.
    pub(crate) fn bad_request(body: Value) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Content::Json(body))
    }

    /// 400 that names one field.
    pub(crate) fn bad_field(field: &str, text: &str) -> Self {
        Self::bad_request(json!({ field: [text] }))
    }

    pub(crate) fn unauthorized(text: &str) -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, text)
    }

    pub(crate) fn forbidden() -> Self {
        Self::detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
    }

    /// The body of an injected error status: what Waldur says to a request that it does not grant. A 404 and what
    /// servers in trouble answer are plain text as from a proxy: only facts make Waldur say that something is not there.
    pub(crate) fn injected(status: u16, retry_after: Option<u64>) -> (&'static str, Bytes) {
        match status {
            404 | 429 | 500.. => plain_shaper(status, retry_after),
            403 => (
                "application/json",
                Bytes::from_static(br#"{"detail":"You do not have permission to perform this action."}"#),
            ),
            _ => ("application/json", Bytes::from_static(br#"{"detail":"This request is refused."}"#)),
        }
    }

    /// 404 of a known route whose object the caller cannot see.
    pub(crate) fn no_object(model: &str) -> Self {
        Self::detail(StatusCode::NOT_FOUND, &format!("No {model} matches the given query."))
    }

    pub(crate) fn invalid_page() -> Self {
        Self::detail(StatusCode::NOT_FOUND, "Invalid page.")
    }

    /// 404 of an unknown route: an HTML page.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, Content::Html(NOT_FOUND))
    }

    /// 500, which Waldur answers when a mandatory key is missing from some bodies.
    pub(crate) fn server_error() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Content::Html(SERVER_ERROR))
    }

    /// 405 with the text in place of the method's name.
    pub(crate) fn method_not_allowed(method: &str) -> Self {
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."))
    }

    /// 409 with the text given.
    pub(crate) fn conflict(text: &str) -> Self {
        Self::detail(StatusCode::CONFLICT, text)
    }

    /// 429.
    pub(crate) fn throttled() -> Self {
        Self::detail(StatusCode::TOO_MANY_REQUESTS, "Request was throttled.")
    }

    /// 409 of an action that needs another state.
    pub(crate) fn wrong_state(valid: &[impl ToString]) -> Self {
        let names: Vec<String> = valid.iter().map(ToString::to_string).collect();
        Self::conflict(&format!("Valid states for operation: {}.", names.join(", ")))
    }

    /// The answer as it goes over HTTP. Serialising happens here, outside the lock on the state.
    pub(crate) fn into_response(self) -> Response<Body> {
        let (kind, body) = match self.content {
            Content::Empty => (None, Body::empty()),
            Content::Json(value) => (Some("application/json"), Body::from(value.to_string())),
            Content::Html(page) => (Some("text/html; charset=utf-8"), Body::from(page)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(count) = self.count {
            headers.insert("x-result-count", HeaderValue::from(count));
        }
        if let Some(link) = self.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            headers.insert(header::LINK, link);
        }
        response
    }
}

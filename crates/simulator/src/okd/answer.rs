//! What is sent back: a status, a body and its headers.
//!
//! Form only; which answer it is was decided before.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::status::{self, ApiError};

/// The body of an injected error status.
pub(crate) fn injected(code: u16, retry_after: Option<u64>) -> (&'static str, Bytes) {
    ("application/json", Bytes::from(status::injected(code, retry_after).to_string()))
}

/// What is sent back.
pub(crate) struct Answer {
    code: StatusCode,
    body: Body,
    content_type: &'static str,
    /// Texts for `Warning` headers.
    warnings: Vec<String>,
}

impl Answer {
    pub(crate) fn json(code: u16, body: impl Into<Body>) -> Self {
        let code = StatusCode::from_u16(code).unwrap_or_default();
        Self { code, body: body.into(), content_type: "application/json", warnings: Vec::new() }
    }

    pub(crate) fn value(code: u16, value: &Value) -> Self {
        Self::json(code, value.to_string())
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Self { content_type: "text/plain; charset=utf-8", ..Self::json(200, text) }
    }

    pub(crate) fn with(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        for warning in self.warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                headers.append(header::WARNING, value);
            }
        }
        response
    }
}

/// An error as a response.
pub(crate) fn error_response(error: &ApiError) -> Response<Body> {
    let mut answer = match error {
        ApiError::Text(_, text) => {
            Answer { content_type: "text/plain; charset=utf-8", ..Answer::json(200, text.clone()) }
        }
        ApiError::Status { .. } => Answer::value(200, &error.body()),
    };
    answer.code = error.code();
    answer.into_response()
}

//! Tokens as kube-apiserver binds them to a service account: JWTs with `exp` and `aud`, and a signature that nobody
//! checks, since the simulator knows every token that it has given.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A JWT with these claims. `exp` is a whole number, as Kubernetes writes it, unless the time has a fraction.
#[must_use]
pub fn jwt(subject: &str, audience: &str, expires: Option<Timestamp>, id: &str) -> String {
    let mut claims =
        json!({"iss": "https://kubernetes.default.svc", "sub": subject, "aud": [audience], "jti": id});
    if let Some(expires) = expires {
        let milliseconds = expires.as_millisecond();
        claims["exp"] = match milliseconds % 1000 {
            0 => json!(milliseconds / 1000),
            _ => json!(milliseconds as f64 / 1000.0),
        };
    }
    encoded(&claims, id)
}

/// A JWT with any claims.
#[must_use]
pub fn encoded(claims: &Value, id: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "kid": "simulator"});
    format!("{}.{}.{}", part(&header), part(claims), URL_SAFE_NO_PAD.encode(format!("signature of {id}")))
}

//! Sends requests for tokens: the one place that posts to an identity provider.
//!
//! Nothing but a token, or a client's standing there, comes of these requests. Secrets that an endpoint repeats in its
//! answer are taken out of what is told of it.
//!
//! Bodies and headers that hold secrets are wiped when the request is over, and answers when they were read; see
//! [`wiped`] for what is out of reach.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use reqwest::{Method, RequestBuilder, Response, header};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::CredentialError;
use super::token_answer::{self, Answer, Refusal};
use crate::tls;
use crate::unreachable::{Keys, no_answer};
use crate::waldur::http::Verify;
use crate::wiped;

/// How long a token endpoint may take (contract §2.1).
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Answers with tokens are shorter.
const USUAL: usize = 64 * 1024;
/// No answer is read beyond this.
const LARGEST: usize = 1024 * 1024;

/// How an identity provider is reached.
#[derive(Clone, Debug)]
pub(crate) struct EndpointOptions {
    /// By which roots it is verified. Those of a file are trusted besides the system's: providers are often public
    /// where the cluster has a CA of its own.
    pub(crate) verify: Verify,
    /// Proxy; `None` leaves it to the environment.
    pub(crate) proxy: Option<Url>,
    /// The keys of the configuration to name in advice.
    pub(crate) keys: Keys,
}

/// A sender of requests for tokens.
pub(super) struct TokenHttp {
    client: reqwest::Client,
    keys: Keys,
}

impl TokenHttp {
    pub(super) fn new(options: &EndpointOptions) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("waldur-site-agent/", env!("CARGO_PKG_VERSION")))
            .timeout(DEADLINE)
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        builder = tls::verifying(builder, &options.verify, tls::System::AsWell)?;
        if let Some(proxy) = &options.proxy {
            builder =
                builder.proxy(reqwest::Proxy::all(proxy.as_str()).context("the proxy URL cannot be used")?);
        }
        let client = builder.build().context("cannot set up the HTTP client for tokens")?;
        Ok(Self { client, keys: options.keys })
    }

    /// POST of a form to a token endpoint. A client's secret goes into the form, or into a header where the endpoint
    /// wants it there (RFC 6749 §2.3.1).
    pub(super) async fn token(
        &self,
        url: &Url,
        client: (&str, Option<&SecretString>),
        fields: &[(&str, &str)],
    ) -> Result<Answer, TokenError> {
        let (id, secret) = client;
        let mut form: Vec<(&str, &str)> = fields.to_vec();
        form.push(("client_id", id));
        if let Some(secret) = secret {
            form.push(("client_secret", secret.expose_secret()));
        }
        let first = self.post(url, &form, None).await;
        match (first, secret) {
            (Err(error), Some(secret)) if error.code == "invalid_client" => {
                let again = self.post(url, fields, Some((id, secret))).await;
                // A secret that is wrong is wrong in both ways.
                again.map_err(|again| if again.code.is_empty() { error } else { again })
            }
            (first, _) => first,
        }
    }

    async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &SecretString)>,
    ) -> Result<Answer, TokenError> {
        let body = wiped::body(encoded_form(form));
        let mut request = self
            .client
            .request(Method::POST, url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some((id, secret)) = basic {
            let secret = encoded(secret.expose_secret());
            request = request.header(header::AUTHORIZATION, basic_value(&encoded(id), &secret)?);
        }
        let (status, _, body) = self.send(url, request).await?;
        token_answer::of_token(status, &body).map_err(|refusal| refused(url, refusal))
    }

    /// GET of an authorization endpoint with a user's password, as `oc login` does.
    pub(super) async fn challenge(
        &self,
        url: &Url,
        (user, password): (&str, &SecretString),
    ) -> Result<Answer, TokenError> {
        let request = self
            .client
            .request(Method::GET, url.clone())
            .header(header::AUTHORIZATION, basic_value(user, password.expose_secret())?)
            // Without it OpenShift answers no challenge.
            .header("x-csrf-token", "1");
        let (status, location, body) = self.send(url, request).await?;
        token_answer::of_challenge(status, location.as_deref(), &body)
            .map_err(|refusal| refused(url, refusal))
    }

    /// GET of a document in JSON.
    pub(super) async fn document(&self, url: &Url) -> Result<Value, TokenError> {
        let request =
            self.client.request(Method::GET, url.clone()).header(header::ACCEPT, "application/json");
        let (status, _, body) = self.send(url, request).await?;
        let document = (status == 200).then(|| serde_json::from_slice(&body).ok()).flatten();
        document.ok_or_else(|| refused(url, token_answer::no_json(status, &body)))
    }

    async fn send(
        &self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<(u16, Option<String>, Zeroizing<Vec<u8>>), TokenError> {
        let answer = async {
            let mut response = request.send().await?;
            let body = read(&mut response).await?;
            let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            Ok::<_, reqwest::Error>((response.status().as_u16(), location.map(str::to_owned), body))
        };
        answer.await.map_err(|error| {
            let text = if error.is_timeout() {
                format!("no answer from {} within {DEADLINE:?}; it will be asked again", shown(url))
            } else {
                no_answer(&shown(url), &error, self.keys)
            };
            TokenError { code: String::new(), text }
        })
    }
}

async fn read(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, reqwest::Error> {
    // What it grows out of is not wiped: room for any answer with a token is made beforehand.
    let mut body = Zeroizing::new(Vec::with_capacity(USUAL));
    while let Some(chunk) = response.chunk().await? {
        let room = LARGEST.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if room == 0 {
            break;
        }
    }
    Ok(body)
}

/// A form (WHATWG URL: `application/x-www-form-urlencoded`) in a buffer that has not grown.
fn encoded_form(form: &[(&str, &str)]) -> Zeroizing<String> {
    // An octet becomes three at most.
    let longest = form.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut serializer = url::form_urlencoded::Serializer::new(String::with_capacity(longest));
    Zeroizing::new(serializer.extend_pairs(form).finish())
}

fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    encoded.extend(url::form_urlencoded::byte_serialize(text.as_bytes()));
    encoded
}

fn basic_value(user: &str, password: &str) -> Result<header::HeaderValue, TokenError> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    let mut encoded = Zeroizing::new(String::with_capacity(4 * pair.len().div_ceil(3)));
    base64::engine::general_purpose::STANDARD.encode_string(pair.as_bytes(), &mut encoded);
    wiped::authorization("Basic", &encoded).map_err(|_| TokenError {
        code: String::new(),
        text: "the user's name and password cannot be sent".to_owned(),
    })
}

/// A URL without login, query and fragment.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn refused(url: &Url, refusal: Refusal) -> TokenError {
    TokenError { code: refusal.code, text: format!("{} {}", shown(url), refusal.text) }
}

/// Why there is no token.
pub(super) struct TokenError {
    /// See [`Refusal`].
    pub(super) code: String,
    pub(super) text: String,
}

impl TokenError {
    /// The same as the error of a credential, with these secrets left out.
    pub(super) fn without(self, secrets: &[&SecretString]) -> CredentialError {
        let mut text = self.text;
        for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty())
        {
            text = text.replace(secret, "…");
        }
        CredentialError::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_headers_are_what_servers_expect() {
        let form = encoded_form(&[("grant_type", "refresh_token"), ("refresh_token", "a b&c=ü+%")]);
        assert_eq!(form.as_str(), "grant_type=refresh_token&refresh_token=a+b%26c%3D%C3%BC%2B%25");
        assert_eq!(encoded("p:ss wörd").as_str(), "p%3Ass+w%C3%B6rd");
        let value = basic_value("robot", "p:ss").unwrap_or_else(|error| panic!("{}", error.text));
        assert_eq!(value.as_bytes(), b"Basic cm9ib3Q6cDpzcw==");
    }
}

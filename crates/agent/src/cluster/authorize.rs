//! Authorises the requests of watches, which do not go through `http.rs`: each gets the token of its moment, and a
//! token that is refused is renewed before the watch begins again.

use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use secrecy::ExposeSecret as _;
use tower::BoxError;

use crate::credentials::Credential;

/// The same client, sending a token with each request.
pub(super) fn authorized(client: Client, credential: Arc<Credential>) -> Client {
    let service = tower::service_fn(move |request| send(client.clone(), Arc::clone(&credential), request));
    ClientBuilder::new(service, "default").build()
}

async fn send(
    client: Client,
    credential: Arc<Credential>,
    mut request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let token = credential.token().await?;
    if !token.expose_secret().is_empty() {
        let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let response = client.send(request).await?;
    if response.status() == StatusCode::UNAUTHORIZED
        && let Err(error) = credential.another(&token).await
    {
        tracing::warn!(%error, "a watch was refused its token");
    }
    Ok(response)
}

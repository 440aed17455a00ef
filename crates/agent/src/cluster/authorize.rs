//! Authorises the requests of watches, which do not go through `http.rs`: each gets the token of its moment, and a
//! token that is refused is renewed before the watch begins again.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use secrecy::ExposeSecret as _;
use tower::BoxError;

use super::connection::Connection;
use crate::credentials::Credential;
use crate::wiped;

/// A client that sends a token with each request. An answer begins within `timeout`: that to a watch does so before anything
/// has changed.
pub(super) fn authorized(
    connection: Arc<Connection>,
    credential: Arc<Credential>,
    timeout: Duration,
) -> Client {
    let service = tower::service_fn(move |request| {
        send(Arc::clone(&connection), Arc::clone(&credential), timeout, request)
    });
    ClientBuilder::new(service, "default").build()
}

async fn send(
    connection: Arc<Connection>,
    credential: Arc<Credential>,
    timeout: Duration,
    mut request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let token = credential.token().await?;
    if !token.expose_secret().is_empty() {
        let value = wiped::authorization("Bearer", token.expose_secret())?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let shown = credential.certificate();
    let client = connection.client();
    let answer = tokio::time::timeout(timeout, client.send(request)).await;
    let answer = answer.map_err(|_| format!("no answer within {timeout:?}"))?;
    let response = answer.inspect_err(|_| connection.look_again())?;
    if response.status() == StatusCode::UNAUTHORIZED {
        connection.look_again();
        if let Err(error) = credential.another(&token, shown.as_ref()).await {
            tracing::warn!(%error, "a watch was refused its token");
        }
    }
    Ok(response)
}

//! From a request to the handler of its collection, and what the 2024 generation lacks.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State as Shared;
use axum::http::{Response, header, request::Parts};
use serde_json::{Value, json};

use super::Waldur;
use super::access::Actor;
use super::accounts::AccountKind;
use super::answer::{Answer, Outcome};
use super::call::Call;
use super::request::{Method, Query, Request};
use super::state::State;
use crate::server::ServeOptions;

/// Bodies beyond this are refused; Waldur's own limit is 2.5 MB.
const LARGEST_BODY: usize = 2_621_440;

/// Collections that the server of October 2024 does not have (measurements 022-045). `user-permissions` was not asked for
/// there; who can do without it can do with it.
const ABSENT_IN_2024: [&str; 14] = [
    "user-permissions",
    "event-subscriptions",
    "event-subscription-queues",
    "marketplace-site-agent-identities",
    "marketplace-site-agent-services",
    "marketplace-site-agent-processors",
    "marketplace-site-agent-logs",
    "backend-resources",
    "backend-resource-requests",
    "component-user-usage-limits",
    "marketplace-project-service-accounts",
    "marketplace-course-accounts",
    "marketplace-resource-api-keys",
    "marketplace-slurm-periodic-usage-policies",
];

impl Waldur {
    /// How to serve it: refusals in its format.
    #[must_use]
    pub fn serve_options() -> ServeOptions {
        ServeOptions { shaper: Answer::injected, ..ServeOptions::default() }
    }

    /// The HTTP API, to be served by any listener.
    pub fn router(&self) -> Router {
        Router::new().fallback(handle).with_state(self.clone())
    }
}

async fn handle(Shared(waldur): Shared<Waldur>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let answer = match read(&waldur, &parts, &body) {
        Ok(request) => waldur.answer(&request),
        Err(refusal) => refusal,
    };
    answer.into_response()
}

fn read(waldur: &Waldur, parts: &Parts, body: &[u8]) -> Result<Request, Answer> {
    let method = match parts.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        other => return Err(Answer::method_not_allowed(other)),
    };
    // Without the slash at the end no route matches, as with Django.
    let path = parts.uri.path();
    let inner =
        path.strip_prefix('/').and_then(|path| path.strip_suffix('/')).ok_or_else(Answer::no_route)?;
    let header = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|error| {
            Answer::bad_request(json!({ "detail": format!("JSON parse error - {error}") }))
        })?
    };
    Ok(Request {
        method,
        path: std::iter::once("").chain(inner.split('/')).skip(1).map(str::to_owned).collect(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body,
        authorization: header(header::AUTHORIZATION).map(str::to_owned),
        base: waldur.base_url(header(header::HOST)),
    })
}

impl Waldur {
    /// Answers one request; everything it changes is changed at once.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let changes = !matches!(request.method, Method::Get | Method::Head);
        let outcome = self.with(|state| route(state, request));
        if changes {
            self.changed();
        }
        outcome.unwrap_or_else(|refusal| refusal)
    }
}

fn route(state: &mut State, request: &Request) -> Outcome {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["api-auth", "password"] if request.method == Method::Post => sign_in(state, request),
        ["api", collection, rest @ ..] => {
            if !COLLECTIONS.contains(collection) || (state.is_2024() && ABSENT_IN_2024.contains(collection)) {
                return Err(Answer::no_route());
            }
            let (actor, token) = authenticate(state, request)?;
            let mut call = Call { state, request, actor, token: &token };
            dispatch(&mut call, collection, rest)
        }
        _ => Err(Answer::no_route()),
    }
}

const COLLECTIONS: [&str; 30] = [
    "version",
    "users",
    "user-permissions",
    "projects",
    "customers",
    "marketplace-orders",
    "marketplace-resources",
    "marketplace-provider-resources",
    "marketplace-provider-offerings",
    "marketplace-plans",
    "marketplace-service-providers",
    "marketplace-offering-users",
    "marketplace-component-usages",
    "marketplace-component-user-usages",
    "component-user-usage-limits",
    "marketplace-project-service-accounts",
    "marketplace-course-accounts",
    "marketplace-site-agent-identities",
    "marketplace-site-agent-services",
    "marketplace-site-agent-processors",
    "marketplace-site-agent-logs",
    "event-subscriptions",
    "backend-resources",
    "backend-resource-requests",
    "marketplace-resource-api-keys",
    "marketplace-slurm-remote",
    "marketplace-project-estimated-cost-policies",
    "marketplace-integration-statuses",
    "hooks",
    "events",
];

fn dispatch(call: &mut Call<'_>, collection: &str, rest: &[&str]) -> Outcome {
    match collection {
        "version" if rest.is_empty() => call.version(),
        "users" => call.users(rest),
        "user-permissions" => call.user_permissions(rest),
        "projects" => call.projects(rest),
        "customers" => call.customers(rest),
        "marketplace-orders" => call.orders(rest),
        "marketplace-resources" => call.consumer_resources(rest),
        "marketplace-provider-resources" => call.provider_resources(rest),
        "marketplace-provider-offerings" => call.provider_offerings(rest),
        "marketplace-plans" => call.plans(rest),
        "marketplace-service-providers" => call.service_providers(rest),
        "marketplace-project-service-accounts" => call.accounts(AccountKind::Service, rest),
        "marketplace-course-accounts" => call.accounts(AccountKind::Course, rest),
        "marketplace-site-agent-identities" => call.identities(rest),
        "marketplace-site-agent-services" => call.agent_services(rest),
        "marketplace-site-agent-processors" => call.agent_processors(rest),
        "marketplace-site-agent-logs" if rest.is_empty() => call.agent_log_records(),
        "event-subscriptions" => call.event_subscriptions(rest),
        "marketplace-offering-users" => call.offering_users(rest),
        "marketplace-component-usages" => call.component_usages(rest),
        "marketplace-component-user-usages" => call.component_user_usages(rest),
        "component-user-usage-limits" => call.component_user_usage_limits(rest),
        "backend-resources" => call.backend_resources(rest),
        "backend-resource-requests" => call.backend_resource_requests(rest),
        "marketplace-slurm-remote" => call.slurm_remote(rest),
        "marketplace-project-estimated-cost-policies" => call.cost_policies(rest),
        // Known to both servers, and never with a row that an agent's offering would see.
        "marketplace-integration-statuses" | "marketplace-resource-api-keys" | "hooks" | "events"
            if rest.is_empty() && call.reads() =>
        {
            call.page(&[(); 0], |_, (), _| Value::Null)
        }
        _ => Err(Answer::no_route()),
    }
}

/// The user behind `Token …` or `Bearer …`; every use starts the token's life anew.
fn authenticate(state: &mut State, request: &Request) -> Result<(Actor, String), Answer> {
    let missing = || Answer::unauthorized("Authentication credentials were not provided.");
    let header = request.authorization.as_deref().ok_or_else(missing)?;
    let (scheme, key) = header.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("token") && !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let now = state.now();
    let token = state.tokens.get_mut(key.trim()).ok_or_else(|| Answer::unauthorized("Invalid token."))?;
    if let Some(expires) = token.expires {
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Answer::unauthorized("Invalid token."));
        }
        if expires <= now {
            return Err(Answer::unauthorized("Token has expired."));
        }
    }
    let user = state.users.get(token.user).ok_or_else(|| Answer::unauthorized("Invalid token."))?;
    if !user.is_active {
        return Err(Answer::unauthorized("User inactive or deleted."));
    }
    let age = now.duration_since(token.used).as_secs();
    if user.token_lifetime.is_some_and(|lifetime| age > lifetime) {
        return Err(Answer::unauthorized("Token has expired."));
    }
    token.used = now;
    Ok((Actor { user: user.uuid, is_staff: user.is_staff }, key.trim().to_owned()))
}

fn sign_in(state: &mut State, request: &Request) -> Outcome {
    let (name, password) = (request.text("username"), request.text("password"));
    let user = state.users.find(|user| Some(user.username.as_str()) == name);
    let user = user.filter(|user| user.password.is_some() && user.password.as_deref() == password);
    let user = user.ok_or_else(|| Answer::unauthorized("Invalid username/password."))?.uuid;
    let now = state.now();
    let known = state.tokens.iter().find(|(_, token)| token.user == user).map(|(key, _)| key.clone());
    let key = known.unwrap_or_else(|| format!("{:032x}{:08x}", state.rng.u128(..), state.rng.u32(..)));
    state.tokens.insert(key.clone(), super::model::Token { user, used: now, expires: None });
    Ok(Answer::ok(json!({ "token": key })))
}

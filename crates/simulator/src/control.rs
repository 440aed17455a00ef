//! A running site over HTTP, for chores that run the simulators as a process of their own: what was asked of the
//! servers, faults, the clock, tokens, and the event broker.
//!
//! Decides nothing: each route is one call of what tests in this process call.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::broker;
use crate::faults::{Fault, Faults, PathMatch, Rule, RuleId, When};
use crate::simulation::Simulation;
use crate::traffic::Traffic;

/// What a request is refused with.
type Refusal = (StatusCode, String);

/// Routes of one site; `{server}` is `waldur` or `okd`.
///
/// | Request | Does |
/// | --- | --- |
/// | `GET /traffic`, `DELETE /traffic` | counts of requests by shape; forgets them |
/// | `GET /requests` | each request, where the site keeps a record |
/// | `POST /faults/{server}` | adds a rule, answers its `id` |
/// | `DELETE /faults/{server}` | removes all rules, and lets go of what they hold |
/// | `GET /faults/{server}/{id}` | how often it `struck` |
/// | `GET /faults/{server}/{id}/held` | waits until it holds a request, answers its `method` and `path` |
/// | `POST /faults/{server}/{id}/release` | lets go of what it holds |
/// | `POST /clock` | moves the clock of all servers by `step_seconds` |
/// | `POST /tokens/waldur` | gives a user the `token`, in place of all it had |
/// | `POST /tokens/okd` | answers a token of the agent that is good for `lifetime_seconds` |
/// | `/broker…` | see [`broker::control_routes`] |
pub fn routes(site: &Arc<Simulation>) -> Router {
    let traffic = get(async |State(site): State<Arc<Simulation>>| Json(site.traffic()));
    let traffic = traffic.delete(async |State(site): State<Arc<Simulation>>| {
        site.reset_traffic();
        Json(Value::Null)
    });
    Router::new()
        .route("/traffic", traffic)
        .route("/requests", get(requests))
        .route("/faults/{server}", post(add_fault).delete(clear_faults))
        .route("/faults/{server}/{id}", get(struck))
        .route("/faults/{server}/{id}/held", get(held))
        .route("/faults/{server}/{id}/release", post(release))
        .route("/clock", post(step_clock))
        .route("/tokens/waldur", post(waldur_token))
        .route("/tokens/okd", post(okd_token))
        .with_state(Arc::clone(site))
        .merge(broker::control_routes(site.broker.clone()))
}

/// A rule as the control port takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    /// All methods without it.
    method: Option<String>,
    /// A glob; all paths without it.
    path: Option<String>,
    /// Clients that pass by; see [`Rule::spares`].
    spares: Option<String>,
    /// Only the n-th match, from 1.
    nth: Option<u64>,
    /// Only the first n matches.
    first: Option<u64>,
    /// Each match with this probability.
    probability: Option<f64>,
    fault: FaultBody,
}

/// See [`Fault`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultBody {
    Latency { fixed_ms: u64, jitter_ms: u64 },
    Status(u16),
    TooManyRequests { retry_after: u64 },
    ResetBefore,
    ResetAfter,
    Stall,
    StallAfter,
    TruncatedBody,
    Html(u16),
    Hold,
    HoldAfter,
}

impl From<FaultBody> for Fault {
    fn from(body: FaultBody) -> Self {
        match body {
            FaultBody::Latency { fixed_ms, jitter_ms } => Self::Latency {
                fixed: Duration::from_millis(fixed_ms),
                jitter: Duration::from_millis(jitter_ms),
            },
            FaultBody::Status(status) => Self::Status(status),
            FaultBody::TooManyRequests { retry_after } => Self::TooManyRequests { retry_after },
            FaultBody::ResetBefore => Self::ResetBefore,
            FaultBody::ResetAfter => Self::ResetAfter,
            FaultBody::Stall => Self::Stall,
            FaultBody::StallAfter => Self::StallAfter,
            FaultBody::TruncatedBody => Self::TruncatedBody,
            FaultBody::Html(status) => Self::Html(status),
            FaultBody::Hold => Self::Hold,
            FaultBody::HoldAfter => Self::HoldAfter,
        }
    }
}

impl RuleBody {
    fn into_rule(self) -> Result<Rule, Refusal> {
        let method = self.method.map(|name| Method::from_bytes(name.as_bytes())).transpose();
        let method = method.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let when = match (self.nth, self.first, self.probability) {
            (Some(nth), None, None) => When::Nth(nth),
            (None, Some(first), None) => When::First(first),
            (None, None, Some(probability)) => When::Probability(probability),
            (None, None, None) => When::Always,
            _ => {
                let text = "at most one of `nth`, `first` and `probability`".to_owned();
                return Err((StatusCode::BAD_REQUEST, text));
            }
        };
        let path = self.path.map_or(PathMatch::Any, PathMatch::Glob);
        Ok(Rule { method, path, spares: self.spares, when, fault: self.fault.into() })
    }
}

fn faults<'a>(site: &'a Simulation, server: &str) -> Result<&'a Faults, Refusal> {
    match server {
        "waldur" => Ok(&site.waldur_server.faults),
        "okd" => Ok(&site.okd_server.faults),
        other => Err((StatusCode::NOT_FOUND, format!("no server `{other}`; there are `waldur` and `okd`"))),
    }
}

async fn add_fault(
    State(site): State<Arc<Simulation>>,
    Path(server): Path<String>,
    Json(rule): Json<RuleBody>,
) -> Result<Json<Value>, Refusal> {
    let RuleId(id) = faults(&site, &server)?.add(rule.into_rule()?);
    Ok(Json(json!({ "id": id })))
}

async fn clear_faults(
    State(site): State<Arc<Simulation>>,
    Path(server): Path<String>,
) -> Result<Json<Value>, Refusal> {
    faults(&site, &server)?.clear();
    Ok(Json(Value::Null))
}

async fn struck(
    State(site): State<Arc<Simulation>>,
    Path((server, id)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({ "struck": faults(&site, &server)?.struck(RuleId(id)) })))
}

async fn held(
    State(site): State<Arc<Simulation>>,
    Path((server, id)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    match faults(&site, &server)?.held(RuleId(id)).await {
        Some(held) => Ok(Json(json!({ "method": held.method.as_str(), "path": held.path }))),
        None => Err((StatusCode::NOT_FOUND, format!("the rule {id} is gone, or has let go"))),
    }
}

async fn release(
    State(site): State<Arc<Simulation>>,
    Path((server, id)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    if faults(&site, &server)?.release(RuleId(id)) {
        Ok(Json(Value::Null))
    } else {
        Err((StatusCode::NOT_FOUND, format!("no rule {id}")))
    }
}

async fn requests(State(site): State<Arc<Simulation>>) -> Json<Value> {
    let list = |traffic: &Traffic| -> Vec<Value> {
        let requests = traffic.requests().into_iter().map(|request| {
            json!({
                "method": request.method.as_str(),
                "path": request.path,
                "query": request.query,
                "status": request.status,
                "user_agent": request.user_agent,
            })
        });
        requests.collect()
    };
    let (waldur, okd) = (list(&site.waldur_server.traffic), list(&site.okd_server.traffic));
    Json(json!({ "waldur": waldur, "okd": okd }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    step_seconds: i64,
}

async fn step_clock(State(site): State<Arc<Simulation>>, Json(step): Json<Step>) -> Json<Value> {
    site.clock.step(SignedDuration::from_secs(step.step_seconds));
    Json(json!({ "now": site.clock.now().to_string() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaldurToken {
    username: String,
    token: String,
}

async fn waldur_token(
    State(site): State<Arc<Simulation>>,
    Json(WaldurToken { username, token }): Json<WaldurToken>,
) -> Result<Json<Value>, Refusal> {
    let unknown = || (StatusCode::NOT_FOUND, format!("no user `{username}`"));
    let user = site.waldur.user(&username).ok_or_else(unknown)?;
    site.waldur.set_token(user, &token);
    Ok(Json(Value::Null))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OkdToken {
    lifetime_seconds: u64,
}

async fn okd_token(State(site): State<Arc<Simulation>>, Json(wanted): Json<OkdToken>) -> Json<Value> {
    Json(json!({ "token": site.okd.agent_token(Duration::from_secs(wanted.lifetime_seconds)) }))
}

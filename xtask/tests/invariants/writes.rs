//! Invariant: only `cluster/apply.rs` and `waldur/calls.rs`, with what is in their folders, write, and
//! `cluster/refresh_token.rs` the one Secret that the operator named for it.
//!
//! What sends is told by the name of the method called: those below write, wherever they are, but for the exceptions,
//! each with its reason. kube's `Api`, whose methods have more names, is for the watches alone.

use crate::none;
use crate::source::{Source, Token, find, rust};

/// Methods that change something on a server: those of `cluster::http::Http`, of reqwest and of kube's `Api`.
const WRITES: [&str; 5] = ["apply", "delete", "patch", "post", "put"];

/// More methods of kube's `Api` that do, with names that are common elsewhere.
const WRITES_OF_API: [&str; 8] = [
    "create",
    "create_subresource",
    "delete_collection",
    "delete_opt",
    "entry",
    "patch_status",
    "replace",
    "replace_status",
];

/// The one file that uses kube's `Api`; to read.
const API: &str = "crates/agent/src/cluster/watch.rs";
/// Where writing to the cluster belongs.
const CLUSTER: &str = "crates/agent/src/cluster/apply.rs";
/// Where writing to Waldur belongs.
const WALDUR: &str = "crates/agent/src/waldur/calls.rs";
/// Where the refresh token of an OAuth server is kept, in a Secret with our label.
const REFRESH_TOKEN: &str = "crates/agent/src/cluster/refresh_token.rs";
/// Where a method's name is turned into a request, and nowhere else. The last of them asks identity providers for tokens,
/// which is done by POST and changes nothing but the client's standing there.
const SENDERS: [&str; 3] = [
    "crates/agent/src/cluster/http.rs",
    "crates/agent/src/waldur/http.rs",
    "crates/agent/src/credentials/token_http.rs",
];

/// A call that looks like a write and is none.
struct Exception {
    /// A file, or a folder with what is in it.
    path: &'static str,
    /// What stands before the dot.
    receiver: &'static str,
    methods: &'static [&'static str],
    /// What must stand in the line of the call, where that is what makes it harmless.
    with: Option<&'static str>,
}

const EXCEPTIONS: [Exception; 7] = [
    // Questions about the agent's own rights, asked by POST; they leave nothing behind.
    Exception {
        path: "crates/agent/src/cluster/connect.rs",
        receiver: "http",
        methods: &["post"],
        with: Some("/selfsubjectreviews"),
    },
    Exception {
        path: "crates/agent/src/cluster/connect.rs",
        receiver: "http",
        methods: &["post"],
        with: Some("/selfsubjectaccessreviews"),
    },
    Exception {
        path: REFRESH_TOKEN,
        receiver: "http",
        methods: &["apply"],
        with: Some("http.apply(&path, &secret)"),
    },
    // A request for a token; see the senders.
    Exception {
        path: "crates/agent/src/credentials/token_http.rs",
        receiver: "self",
        methods: &["post"],
        with: None,
    },
    // The store of what was seen, a value in memory.
    Exception {
        path: "crates/agent/src/cluster/",
        receiver: "store",
        methods: &["apply", "delete", "replace"],
        with: None,
    },
    Exception {
        path: "crates/agent/src/cluster/store.rs",
        receiver: "self",
        methods: &["apply", "delete"],
        with: None,
    },
    // Fields of a log line.
    Exception { path: "crates/agent/src/telemetry.rs", receiver: "self", methods: &["put"], with: None },
];

impl Exception {
    fn holds(&self, source: &Source, receiver: Token<'_>, method: Token<'_>) -> bool {
        let line = source.text.lines().nth(method.line - 1).unwrap_or_default();
        source.path.starts_with(self.path)
            && self.receiver == receiver.text
            && self.methods.contains(&method.text)
            && self.with.is_none_or(|with| line.contains(with))
    }
}

/// Whether it is this module, or part of it.
fn is_in(path: &str, module: &str) -> bool {
    path == module
        || path.strip_prefix(module.trim_end_matches(".rs")).is_some_and(|rest| rest.starts_with('/'))
}

fn faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let path = source.path.as_str();
    let mut faults = Vec::new();
    if !is_in(path, CLUSTER) {
        faults.extend(calls(source, &tokens));
    }
    if !is_in(path, WALDUR) {
        // `Call::post` and, around our own senders, `http::Request::post` and the like.
        for method in ["delete", "patch", "post", "put"] {
            let made = find(&tokens, &[":", ":", method, "("]).into_iter();
            faults
                .extend(made.map(|at| source.fault(tokens[at].line, &format!("`::{method}(…)` may write"))));
        }
    }
    if !SENDERS.contains(&path) {
        let methods = tokens.iter().filter(|token| ["POST", "PUT", "PATCH", "DELETE"].contains(&token.text));
        faults.extend(methods.map(|token| source.fault(token.line, &format!("`{}` is sent", token.text))));
    }
    if path != API {
        let api = tokens.iter().filter(|token| token.text == "Api");
        faults.extend(api.map(|token| source.fault(token.line, "kube's `Api` can write")));
    }
    faults
}

/// Calls of methods that write, as `receiver.method(`.
fn calls<'a>(source: &'a Source, tokens: &'a [Token<'a>]) -> impl Iterator<Item = String> {
    let calls = tokens.windows(4).filter(|call| call[1].text == "." && call[3].text == "(");
    let writes =
        |method: &str| WRITES.contains(&method) || source.path == API && WRITES_OF_API.contains(&method);
    let calls = calls.map(|call| (call[0], call[2])).filter(move |(_, method)| writes(method.text));
    let refused = calls.filter(|(receiver, method)| {
        !EXCEPTIONS.iter().any(|exception| exception.holds(source, *receiver, *method))
    });
    refused.map(|(receiver, method)| {
        source.fault(method.line, &format!("`{}.{}(…)` may write", receiver.text, method.text))
    })
}

#[test]
fn only_two_modules_write() {
    none(&rust("crates/agent/src/").iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn the_two_modules_are_those_that_write() {
    let sources = rust("crates/agent/src/");
    let tokens = |path: &str| {
        let source = sources.iter().find(|source| source.path == path);
        source.map(Source::tokens).unwrap_or_default()
    };
    assert!(!find(&tokens(CLUSTER), &["http", ".", "apply", "("]).is_empty(), "{CLUSTER} has moved");
    assert!(!find(&tokens(WALDUR), &["Call", ":", ":", "post", "("]).is_empty(), "{WALDUR} has moved");
    assert!(
        !find(&tokens(REFRESH_TOKEN), &["http", ".", "apply", "("]).is_empty(),
        "{REFRESH_TOKEN} has moved"
    );
    for path in SENDERS {
        assert!(tokens(path).iter().any(|token| token.text == "POST"), "{path} has moved");
    }
}

#[test]
fn a_write_elsewhere_is_found() {
    for (path, text) in [
        ("crates/agent/src/engine/worker.rs", "cluster.http\n    .post(path, &body).await?;"),
        ("crates/agent/src/engine/worker.rs", "waldur.http.done(Call::post(path, body)).await?;"),
        ("crates/agent/src/engine/worker.rs", "let request = http::Request::put(path).body(body)?;"),
        ("crates/agent/src/engine/worker.rs", "let quotas: Api<ResourceQuota> = quotas(client);"),
        (API, "api.patch(name, &parameters, &patch).await?;"),
        (API, "api.replace(name, &parameters, &object).await?;"),
        ("crates/agent/src/cluster/connect.rs", "self.http.post(\"/api/v1/namespaces\", &body).await?;"),
        (API, "let method = Method::DELETE;"),
        (REFRESH_TOKEN, "http.apply(&other, &body).await?;"),
        (REFRESH_TOKEN, "self.http.delete(&path, &options).await?;"),
        ("crates/agent/src/credentials/oauth.rs", "self.http.post(&url, &form).await"),
        (CLUSTER, "http.done(Call::put(path, body)).await?;"),
        (WALDUR, "cluster.http.delete(path, &options).await?;"),
        ("crates/agent/src/waldur/calls/orders.rs", "cluster.http.delete(path, &options).await?;"),
        ("crates/agent/src/cluster/apply_later.rs", "cluster.http.delete(path, &options).await?;"),
    ] {
        assert_eq!(faults(&Source::sample(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (CLUSTER, "self.cluster.http.apply(&path, body).await?;"),
        (REFRESH_TOKEN, "http.apply(&path, &secret).await.map(drop)"),
        (WALDUR, "self.http.done(Call::post(path, body)).await"),
        ("crates/agent/src/cluster/apply/remove.rs", "self.cluster.http.delete(&path, &options).await?;"),
        ("crates/agent/src/waldur/calls/orders.rs", "self.http.done(Call::post(path, body)).await"),
        ("crates/agent/src/cluster/kinds.rs", "let name = name.replace('/', \"-\");"),
        (API, "cluster.write_store(|store| store.apply(kind, &object));"),
        ("crates/agent/src/cluster/connect.rs", "self.http.post(\"/apis/a/v1/selfsubjectreviews\", &review)"),
    ] {
        none(&faults(&Source::sample(path, text)));
    }
}

//! Invariant: only `cluster/apply.rs` and `waldur/calls.rs` write.
//!
//! Everything that sends is told apart by the name of the method called: those below write, wherever they are, but
//! for the exceptions, each with its reason.

use crate::none;
use crate::source::{Source, Token, find, rust};

/// Methods that change something on a server; those of `cluster::http::Http`, of kube's `Api` and of reqwest.
const WRITES: [&str; 12] = [
    "apply",
    "create",
    "create_subresource",
    "delete",
    "delete_collection",
    "delete_opt",
    "entry",
    "patch",
    "patch_status",
    "post",
    "put",
    "replace",
];

/// Where writing to the cluster belongs.
const CLUSTER: &str = "crates/agent/src/cluster/apply.rs";
/// Where writing to Waldur belongs.
const WALDUR: &str = "crates/agent/src/waldur/calls.rs";
/// Where a method's name is turned into a request, and nowhere else.
const SENDERS: [&str; 2] = ["crates/agent/src/cluster/http.rs", "crates/agent/src/waldur/http.rs"];

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

const EXCEPTIONS: [Exception; 8] = [
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
        methods: &["apply", "delete", "replace"],
        with: None,
    },
    // Fields of a log line, and the log file.
    Exception { path: "crates/agent/src/telemetry.rs", receiver: "self", methods: &["put"], with: None },
    Exception { path: "crates/agent/src/telemetry.rs", receiver: ")", methods: &["create"], with: None },
    // Texts and maps of the configuration; nothing is sent from there.
    Exception {
        path: "crates/agent/src/settings/",
        receiver: "",
        methods: &["entry", "replace"],
        with: None,
    },
    // Maps in memory.
    Exception { path: "crates/agent/src/", receiver: "", methods: &["entry"], with: None },
];

impl Exception {
    fn holds(&self, source: &Source, receiver: Token<'_>, method: Token<'_>) -> bool {
        let line = source.text.lines().nth(method.line - 1).unwrap_or_default();
        source.path.starts_with(self.path)
            && (self.receiver.is_empty() || self.receiver == receiver.text)
            && self.methods.contains(&method.text)
            && self.with.is_none_or(|with| line.contains(with))
    }
}

fn faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let mut faults = Vec::new();
    if source.path != CLUSTER {
        faults.extend(writes(source, &tokens));
    }
    if source.path != WALDUR {
        for method in ["post", "put", "patch", "delete"] {
            let calls = find(&tokens, &["Call", ":", ":", method]);
            faults.extend(calls.into_iter().map(|place| {
                source.fault(tokens[place].line, &format!("`Call::{method}` writes to Waldur"))
            }));
        }
    }
    if !SENDERS.contains(&source.path.as_str()) {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let named = tokens.iter().filter(|token| token.text == method);
            faults.extend(
                named.map(|token| source.fault(token.line, &format!("`{method}` is sent from here"))),
            );
        }
    }
    faults
}

/// Calls of methods that write, as `receiver.method(`.
fn writes<'a>(source: &'a Source, tokens: &'a [Token<'a>]) -> impl Iterator<Item = String> {
    let calls = tokens.windows(4).filter(|call| call[1].text == "." && call[3].text == "(");
    let calls = calls.map(|call| (call[0], call[2])).filter(|(_, method)| WRITES.contains(&method.text));
    let refused = calls.filter(|(receiver, method)| {
        !EXCEPTIONS.iter().any(|exception| exception.holds(source, *receiver, *method))
    });
    refused.map(|(receiver, method)| {
        source.fault(method.line, &format!("`{}.{}(…)` may write to the cluster", receiver.text, method.text))
    })
}

#[test]
fn only_two_files_write() {
    none(&rust("crates/agent/src/").iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn the_two_files_are_those_that_write() {
    let sources = rust("crates/agent/src/");
    let tokens = |path: &str| {
        let source = sources.iter().find(|source| source.path == path);
        source.map(Source::tokens).unwrap_or_default()
    };
    assert!(!find(&tokens(CLUSTER), &["http", ".", "apply", "("]).is_empty(), "{CLUSTER} has moved");
    assert!(!find(&tokens(WALDUR), &["Call", ":", ":", "post", "("]).is_empty(), "{WALDUR} has moved");
    for path in SENDERS {
        assert!(tokens(path).iter().any(|token| token.text == "POST"), "{path} has moved");
    }
}

#[test]
fn a_write_elsewhere_is_found() {
    for (path, text) in [
        ("crates/agent/src/engine/worker.rs", "cluster.http\n    .post(path, &body).await?;"),
        ("crates/agent/src/engine/worker.rs", "waldur.http.done(Call::post(path, body)).await?;"),
        ("crates/agent/src/cluster/watch.rs", "api.patch(name, &parameters, &patch).await?;"),
        ("crates/agent/src/cluster/connect.rs", "self.http.post(\"/api/v1/namespaces\", &body).await?;"),
        ("crates/agent/src/cluster/watch.rs", "let method = Method::DELETE;"),
        (CLUSTER, "http.done(Call::put(path, body)).await?;"),
        (WALDUR, "cluster.http.delete(path, &options).await?;"),
    ] {
        assert_eq!(faults(&Source::sample(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (CLUSTER, "self.cluster.http.apply(&path, body).await?;"),
        (WALDUR, "self.http.done(Call::post(path, body)).await"),
        ("crates/agent/src/cluster/watch.rs", "cluster.write_store(|store| store.apply(kind, &object));"),
        ("crates/agent/src/cluster/connect.rs", "self.http.post(\"/apis/a/v1/selfsubjectreviews\", &review)"),
    ] {
        none(&faults(&Source::sample(path, text)));
    }
}

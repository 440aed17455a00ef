//! Watches of ordinary resources and of projects.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::{Api, MERGE, PROJECTS, Target, quota};

/// An open watch, read line by line.
struct Watch {
    response: Response,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(api: &Api, path: &str) -> Self {
        let response = api.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, buffer: Vec::new() }
    }

    /// The next event; `None` when the server closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            self.buffer.extend_from_slice(&chunk.expect("no event in time").unwrap()?);
        }
    }

    /// Type and name of the next event.
    async fn told(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn said(change: &str, name: &str) -> (String, String) {
    (change.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_tells_of_each_change_from_a_version_on() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-w1").await);
    let list = target.extended.get(&quotas).await.is(200);
    let from = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = Watch::open(&target.extended, &format!("{quotas}?watch=1&resourceVersion={from}")).await;
    target.agent.post(&quotas, &quota("q", &json!({"pods": "1"}))).await.is(201);
    assert_eq!(watch.told().await, said("ADDED", "q"));
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["status"]["used"]["pods"]),
        (&json!("MODIFIED"), &json!("0"))
    );
    assert_eq!(
        (&event["object"]["kind"], &event["object"]["apiVersion"]),
        (&json!("ResourceQuota"), &json!("v1"))
    );
    target.agent.delete(&format!("{quotas}/q")).await.is(200);
    assert_eq!(watch.told().await, said("DELETED", "q"));
    let mut again = Watch::open(&target.extended, &format!("{quotas}?watch=1&resourceVersion={from}")).await;
    assert_eq!(again.told().await, said("ADDED", "q"), "the past can be read again");
    target.agent.delete(&format!("{PROJECTS}/conf-w1")).await.is(200);
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-w2").await;
    let path = "/api/v1/namespaces?watch=true&labelSelector=conf/pick%3Dyes";
    let mut watch = Watch::open(&target.extended, path).await;
    let label = |value: Value| json!({"metadata": {"labels": {"conf/pick": value}}});
    target.agent.patch(&namespace, MERGE, &label(json!("yes"))).await.is(200);
    assert_eq!(watch.told().await, said("ADDED", "conf-w2"));
    target.agent.patch(&namespace, MERGE, &json!({"metadata": {"annotations": {"a": "b"}}})).await.is(200);
    assert_eq!(watch.told().await, said("MODIFIED", "conf-w2"));
    target.agent.patch(&namespace, MERGE, &label(json!("no"))).await.is(200);
    assert_eq!(watch.told().await, said("DELETED", "conf-w2"));
    target.agent.delete(&namespace).await.is(200);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let target = Target::new().await;
    let query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let mut watch = Watch::open(&target.extended, &format!("/api/v1/namespaces?{query}")).await;
    let mut added = 0;
    let bookmark = loop {
        let event = watch.next().await.expect("a bookmark");
        if event["type"] == "BOOKMARK" {
            break event;
        }
        assert_eq!(event["type"], "ADDED");
        added += 1;
    };
    assert!(added > 6);
    assert_eq!(bookmark["object"]["kind"], "Namespace");
    assert_eq!(bookmark["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    assert!(bookmark["object"]["metadata"]["resourceVersion"].is_string());
    assert_eq!(watch.next().await, None, "closed after timeoutSeconds");
}

#[tokio::test]
async fn bookmarks_come_to_those_who_asked() {
    let options = OkdOptions { bookmark_interval: Duration::from_millis(50), ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let mut watch = Watch::open(
        &target.extended,
        "/api/v1/namespaces?watch=1&allowWatchBookmarks=true&resourceVersion=999999",
    )
    .await;
    assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
}

#[tokio::test]
async fn a_position_that_was_compacted_is_gone() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let okd = &target.simulated.as_ref().unwrap().okd;
    let page = target.agent.get("/api/v1/namespaces?limit=2").await.is(200);
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    target.agent.project("conf-w3").await;
    okd.compact();
    let mut watch = Watch::open(&target.extended, "/api/v1/namespaces?watch=1&resourceVersion=1").await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["reason"]), (&json!("ERROR"), &json!("Expired")));
    assert_eq!((&event["object"]["code"], &event["object"]["kind"]), (&json!(410), &json!("Status")));
    assert!(event["object"]["message"].as_str().unwrap().starts_with("too old resource version: 1 ("));
    assert_eq!(watch.next().await, None);
    let list = target.agent.get(&format!("/api/v1/namespaces?limit=2&continue={token}")).await;
    assert_eq!((list.code, list.body["reason"].as_str()), (410, Some("Expired")));
    let mut now = Watch::open(&target.extended, "/api/v1/namespaces?watch=1&resourceVersion=0").await;
    assert_eq!(now.next().await.unwrap()["type"], "ADDED");
}

#[tokio::test]
async fn history_is_bounded() {
    let options = OkdOptions { watch_history: 8, ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let namespace = target.agent.project("conf-w4").await;
    for n in 0..12 {
        let change = json!({"metadata": {"annotations": {"n": n.to_string()}}});
        target.agent.patch(&namespace, MERGE, &change).await.is(200);
    }
    let mut watch = Watch::open(&target.extended, "/api/v1/namespaces?watch=1&resourceVersion=2").await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
}

#[tokio::test]
async fn projects_are_watched_without_versions_or_bookmarks() {
    let target = Target::new().await;
    let all = format!("{PROJECTS}?watch=true&resourceVersion=0&allowWatchBookmarks=true");
    let mut from_zero = Watch::open(&target.agent, &all).await;
    assert_eq!(from_zero.next().await.unwrap()["type"], "ADDED");
    let mut stale =
        Watch::open(&target.agent, &format!("{PROJECTS}?watch=true&resourceVersion=1&timeoutSeconds=1"))
            .await;
    assert_eq!(stale.next().await, None, "neither events nor 410");

    let mut watch = Watch::open(&target.agent, &format!("{PROJECTS}?watch=true")).await;
    target.agent.project("conf-w5").await;
    assert_eq!(watch.told().await, said("ADDED", "conf-w5"));
    target.agent.delete(&format!("{PROJECTS}/conf-w5")).await.is(200);
    let last = loop {
        let event = watch.next().await.unwrap();
        if event["type"] == "DELETED" {
            break event;
        }
        assert_eq!(event["type"], "MODIFIED");
    };
    let object = json!({
        "kind": "Project", "apiVersion": "project.openshift.io/v1", "metadata": {"name": "conf-w5"}, "spec": {}, "status": {},
    });
    assert_eq!(last["object"], object);
}

#[tokio::test]
async fn a_watch_ends_with_the_server() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let mut watch = Watch::open(&target.extended, "/api/v1/namespaces?watch=1&resourceVersion=999999").await;
    target.simulated.unwrap().server.shutdown().await;
    let end =
        tokio::time::timeout(Duration::from_secs(5), watch.response.chunk()).await.expect("the stream ends");
    assert!(end.is_err() || end.is_ok_and(|chunk| chunk.is_none()));
    assert!(watch.buffer.is_empty());
}

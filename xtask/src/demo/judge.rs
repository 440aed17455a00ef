//! What really became of an order: asked of Waldur as the customer and of the cluster as its administrator.
//!
//! Reads only.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::story::{Expected, Limits, Line, Request};
use crate::site::{Api, text};

/// The label that says whose a namespace is.
const RESOURCE_UUID: &str = "waldur/resource-uuid";

/// An order that was looked at, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Name of the Waldur resource.
    pub(crate) resource: &'static str,
    /// `Create`, `Update` or `Terminate`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// State that the order has to have.
    pub(crate) expected: &'static str,
    /// State that it has.
    pub(crate) state: String,
    /// Name of the project on the cluster, as Waldur knows it.
    pub(crate) project: Option<String>,
    /// `spec.hard` of the quota in it.
    pub(crate) quota: Option<BTreeMap<String, String>>,
    /// What Waldur tells the customer about the failure.
    pub(crate) error: Option<String>,
    /// What is not as it should be; empty if the order ended as expected.
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    /// An order that was never placed.
    pub(crate) fn not_placed(line: &Line) -> Self {
        let faults = vec!["the order before it did not end as expected".to_owned()];
        Self { faults, ..Self::of(line, "not placed") }
    }

    pub(crate) fn is_as_expected(&self) -> bool {
        self.faults.is_empty()
    }

    fn of(line: &Line, state: &str) -> Self {
        Self {
            resource: line.resource,
            kind: line.request.kind(),
            expected: line.expected.state(),
            state: state.to_owned(),
            project: None,
            quota: None,
            error: None,
            faults: Vec::new(),
        }
    }

    fn hold(&mut self, what: &str, found: &str, wanted: &str) {
        if found != wanted {
            self.faults.push(format!("{what} is {found}, not {wanted}"));
        }
    }
}

/// Both APIs, as those who may look.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) customer: Api,
    pub(crate) cluster: Api,
}

impl Judge {
    /// Looks at everything that one order is about.
    ///
    /// # Errors
    /// One of the servers does not answer.
    pub(crate) async fn look(&self, line: &Line, order: &Value) -> Result<Verdict> {
        let mut verdict = Verdict::of(line, text(order, "/state"));
        let error =
            ["/error_message", "/provider_rejection_comment"].map(|pointer| text(order, pointer)).concat();
        verdict.error = Some(error).filter(|error| !error.is_empty());
        let (state, expected) = (verdict.state.clone(), verdict.expected);
        verdict.hold("the order", &state, expected);

        let uuid = text(order, "/marketplace_resource_uuid");
        let resource = self.customer.get(&format!("/api/marketplace-resources/{uuid}/")).await?;
        let project = text(&resource, "/backend_id").to_owned();
        let namespace = self.namespace(&project).await?;
        let there = namespace.is_some();
        if there {
            verdict.quota = self.quota(&project).await?;
        }
        verdict.project = Some(project).filter(|name| !name.is_empty());
        match (line.expected, line.request) {
            (Expected::Rejected(reason), _) => self.rejected(&mut verdict, uuid, &resource, reason).await?,
            (Expected::Done, Request::Create(limits) | Request::Update(limits)) => {
                fulfilled(&mut verdict, &resource, namespace.as_ref(), limits);
            }
            (Expected::Done, Request::Terminate) => {
                verdict.hold("the resource in Waldur", text(&resource, "/state"), "Terminated");
                if there {
                    verdict.faults.push("the project is still on the cluster".to_owned());
                }
            }
        }
        Ok(verdict)
    }

    async fn namespace(&self, name: &str) -> Result<Option<Value>> {
        if name.is_empty() {
            return Ok(None);
        }
        self.cluster.find(&format!("/api/v1/namespaces/{name}")).await
    }

    async fn quota(&self, project: &str) -> Result<Option<BTreeMap<String, String>>> {
        let path = format!("/api/v1/namespaces/{project}/resourcequotas/waldur-quota");
        let quota = self.cluster.find(&path).await?;
        let hard = quota.as_ref().and_then(|quota| quota.pointer("/spec/hard")).and_then(Value::as_object);
        Ok(hard
            .map(|hard| hard.iter().map(|(key, value)| (key.clone(), text(value, "").to_owned())).collect()))
    }

    /// Nothing may have been made for a rejected order.
    async fn rejected(
        &self,
        verdict: &mut Verdict,
        uuid: &str,
        resource: &Value,
        reason: &str,
    ) -> Result<()> {
        verdict.hold("the resource in Waldur", text(resource, "/state"), "Terminated");
        if !verdict.error.as_ref().is_some_and(|error| error.contains(reason)) {
            verdict.faults.push(format!("the reason given does not say that {reason}"));
        }
        let selector = format!("{}%3D{uuid}", RESOURCE_UUID.replace('/', "%2F"));
        let found = self.cluster.get(&format!("/api/v1/namespaces?labelSelector={selector}")).await?;
        if found.pointer("/items").and_then(Value::as_array).is_none_or(|items| !items.is_empty()) {
            verdict.faults.push("a project was made all the same".to_owned());
        }
        Ok(())
    }
}

/// A project of this resource, with the quota of these limits, and Waldur saying the same.
fn fulfilled(verdict: &mut Verdict, resource: &Value, namespace: Option<&Value>, limits: Limits) {
    verdict.hold("the resource in Waldur", text(resource, "/state"), "OK");
    if resource.get("limits") != Some(&limits.json()) {
        verdict.faults.push("the limits in Waldur are not those of the order".to_owned());
    }
    let Some(namespace) = namespace else {
        verdict.faults.push("there is no project on the cluster".to_owned());
        return;
    };
    let label = namespace.pointer("/metadata/labels").and_then(|labels| labels.get(RESOURCE_UUID));
    if label.is_none() || label != resource.get("uuid") {
        verdict.faults.push("the project does not carry the resource's label".to_owned());
    }
    if verdict.quota.as_ref() != Some(&limits.quota()) {
        verdict.faults.push("the quota on the cluster is not that of the order".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::story::STORY;
    use super::*;

    fn judged(change: impl FnOnce(&mut Verdict, &mut Value, &mut Value)) -> Vec<String> {
        let line = &STORY[0];
        let Request::Create(limits) = line.request else { panic!("the story begins with a create") };
        let mut verdict = Verdict { quota: Some(limits.quota()), ..Verdict::of(line, "done") };
        let mut resource = json!({"uuid": "1f", "state": "OK", "limits": limits.json()});
        let mut namespace = json!({"metadata": {"labels": {RESOURCE_UUID: "1f"}}});
        change(&mut verdict, &mut resource, &mut namespace);
        fulfilled(&mut verdict, &resource, Some(&namespace), limits);
        verdict.faults
    }

    #[test]
    fn whatever_differs_from_the_order_is_a_fault() {
        assert_eq!(judged(|_, _, _| {}), [""; 0]);
        let other = judged(|_, resource, _| resource["limits"]["cpu"] = json!(5));
        assert_eq!(other, ["the limits in Waldur are not those of the order"]);
        let erred = judged(|_, resource, _| resource["state"] = json!("Erred"));
        assert_eq!(erred, ["the resource in Waldur is Erred, not OK"]);
        let foreign = judged(|_, _, namespace| namespace["metadata"]["labels"] = json!({}));
        assert_eq!(foreign, ["the project does not carry the resource's label"]);
        let no_quota = judged(|verdict, _, _| verdict.quota = None);
        assert_eq!(no_quota, ["the quota on the cluster is not that of the order"]);
    }
}

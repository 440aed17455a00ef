//! What an agent relies on with any Waldur, whatever its generation (Waldur contract §2).
//!
//! These run against both generations of the simulator. With `SITE_AGENT_WALDUR_URL`, `SITE_AGENT_WALDUR_TOKEN` and
//! `SITE_AGENT_WALDUR_OFFERING` set they run against that server instead; they only read, and what needs a customer or
//! a known number of rows is left out there.

use reqwest::Method;
use serde_json::Value;

use crate::waldur_support::{Caller, Target};

#[tokio::test]
async fn a_token_is_checked() {
    for target in Target::every().await {
        let me = target.agent.get("/api/users/me/?field=uuid").await;
        assert_eq!(me.status, 200, "{}", me.text);
        assert!(me.json["uuid"].is_string());
        let wrong = target.agent.with_token("0123456789012345678901234567890123456789");
        assert_eq!(wrong.get("/api/users/me/").await.status, 401);
        let anonymous = target.agent.with_token("");
        let refused = anonymous.get("/api/users/me/").await;
        assert_eq!(refused.status, 401);
        assert!(refused.json["detail"].is_string());
    }
}

#[tokio::test]
async fn bearer_is_as_good_as_token() {
    for target in Target::every().await {
        if target.simulator.is_some() {
            assert_eq!(target.agent.bearer().get("/api/users/me/").await.status, 200);
        }
    }
}

#[tokio::test]
async fn an_uuid_is_taken_in_both_spellings() {
    for target in Target::every().await {
        let uuid: uuid::Uuid = target.offering.parse().unwrap();
        for spelling in [uuid.simple().to_string(), uuid.hyphenated().to_string()] {
            let path = format!("/api/marketplace-provider-offerings/{spelling}/?field=uuid&field=components");
            let offering = target.agent.get(&path).await;
            assert_eq!(offering.status, 200, "{path}: {}", offering.text);
            let keys: Vec<&String> = offering.json.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["components", "uuid"]);
            let list = target.agent.get(&format!("/api/marketplace-orders/?offering_uuid={spelling}")).await;
            assert_eq!(list.status, 200);
        }
    }
}

#[tokio::test]
async fn components_say_what_they_are() {
    for target in Target::every().await {
        let path = format!("/api/marketplace-provider-offerings/{}/?field=components", target.offering);
        let offering = target.agent.get(&path).await;
        let components = offering.json["components"].as_array().unwrap();
        assert!(!components.is_empty());
        for component in components {
            for field in ["type", "name", "measured_unit", "billing_type"] {
                assert!(component[field].is_string(), "{field} in {component}");
            }
        }
    }
}

#[tokio::test]
async fn pages_tell_their_number_and_the_next() {
    for target in Target::every().await {
        let whole = target.agent.get(&format!("{}&page_size=300&field=uuid", target.resources())).await;
        let count = whole.count.unwrap();
        assert!(
            whole.link.contains(r#"rel="first""#) && whole.link.contains(r#"rel="last""#),
            "{}",
            whole.link
        );
        let mut seen = Vec::new();
        let mut path = Some(format!("{}&page_size=5&field=uuid", target.resources()));
        while let Some(next) = path {
            let page = target.agent.get(&next).await;
            assert_eq!((page.status, page.count), (200, Some(count)));
            seen.extend(page.json.as_array().unwrap().clone());
            path = page.next();
        }
        assert_eq!(Value::Array(seen), whole.json);
        if target.simulator.is_some() {
            assert_eq!(count, 12);
        }
    }
}

#[tokio::test]
async fn a_page_past_the_end_is_not_found() {
    for target in Target::every().await {
        let page = target.agent.get(&format!("{}&page=999&page_size=100", target.resources())).await;
        assert_eq!((page.status, page.str("detail")), (404, "Invalid page."));
    }
}

#[tokio::test]
async fn pages_hold_ten_rows_unless_asked_and_never_above_300() {
    for target in Target::every().await {
        if let Some(served) = &target.simulator {
            let default = target.agent.get(&target.resources()).await;
            assert_eq!(default.json.as_array().unwrap().len(), 10);
            assert!(default.link.contains("page=2"), "{}", default.link);
            let (offering, project) =
                (served.waldur.offering("okd-projects").unwrap(), served.waldur.project("web").unwrap());
            for _ in 0..300 {
                let seed = simulator::waldur::SeedResource::default();
                let state = simulator::waldur::ResourceState::Ok;
                served.waldur.add_resource(offering, project, &seed, state);
            }
            let largest =
                target.agent.get(&format!("{}&page_size=5000&field=uuid", target.resources())).await;
            assert_eq!((largest.json.as_array().unwrap().len(), largest.count), (300, Some(312)));
        }
    }
}

#[tokio::test]
async fn head_counts() {
    for target in Target::every().await {
        let count = target.agent.get(&target.resources()).await.count;
        let head = target.agent.send(Method::HEAD, &target.resources(), None).await;
        assert_eq!((head.status, head.count, head.text.as_str()), (200, count, ""));
    }
}

#[tokio::test]
async fn states_are_filtered_and_unknown_ones_refused() {
    for target in Target::every().await {
        let orders = format!("/api/marketplace-orders/?offering_uuid={}", target.offering);
        let bad = target.agent.get(&format!("{orders}&state=bogus")).await;
        assert_eq!(bad.status, 400);
        assert_eq!(bad.json["state"][0], "Select a valid choice. bogus is not one of the available choices.");
        let open = target.agent.get(&format!("{orders}&state=pending-provider&state=executing")).await;
        for order in open.json.as_array().unwrap() {
            assert!(matches!(order["state"].as_str(), Some("pending-provider" | "executing")));
            assert!(order["marketplace_resource_uuid"].is_string() && order["limits"].is_object());
        }
        if target.simulator.is_some() {
            assert_eq!(open.count, Some(12));
            let done = target.agent.get(&format!("{orders}&state=done")).await;
            assert_eq!(done.count, Some(0));
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    for target in Target::every().await {
        let some = target.agent.get(&format!("{}&field=uuid&field=no_such_field", target.resources())).await;
        for resource in some.json.as_array().unwrap() {
            assert_eq!(resource.as_object().unwrap().keys().collect::<Vec<_>>(), ["uuid"]);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for target in Target::every().await {
        let zero = "0".repeat(32);
        for collection in ["orders", "provider-resources", "provider-offerings", "offering-users"] {
            let path = format!("/api/marketplace-{collection}/{zero}/");
            let missing = target.agent.get(&path).await;
            assert_eq!(missing.status, 404, "{path}");
            assert!(
                missing.json["detail"].as_str().unwrap().contains("matches the given query"),
                "{}",
                missing.text
            );
        }
        let unknown = target.agent.get("/api/no-such-collection/").await;
        assert_eq!((unknown.status, unknown.json), (404, Value::Null));
    }
}

#[tokio::test]
async fn teams_and_permissions_name_users_and_roles() {
    for target in Target::every().await {
        let agent = &target.agent;
        let first = agent.get(&format!("{}&field=uuid&page_size=1", target.resources())).await;
        if let Some(resource) = first.json[0]["uuid"].as_str() {
            let team = agent.get(&format!("/api/marketplace-provider-resources/{resource}/team/")).await;
            assert_eq!(team.status, 200);
            for member in team.json.as_array().unwrap() {
                assert!(member["username"].is_string() && member.get("role").is_some(), "{member}");
                assert!(member.get("offering_user_username").is_some(), "{member}");
            }
        }
        let provider = provider(agent, &target.offering).await;
        let path =
            format!("/api/marketplace-service-providers/{provider}/project_permissions/?page_size=300");
        let permissions = agent.get(&path).await;
        assert_eq!(permissions.status, 200, "{}", permissions.text);
        for row in permissions.json.as_array().unwrap() {
            assert!(row["user_uuid"].is_string() && row["project_uuid"].is_string(), "{row}");
            assert!(row["role"].is_string() || row["role_name"].is_string(), "{row}");
        }
        if target.simulator.is_some() {
            assert_eq!(permissions.count, Some(2));
        }
    }
}

async fn provider(agent: &Caller, offering: &str) -> String {
    let path = format!("/api/marketplace-provider-offerings/{offering}/?field=customer_uuid");
    let customer = agent.get(&path).await.str("customer_uuid").to_owned();
    let providers = agent.get(&format!("/api/marketplace-service-providers/?customer_uuid={customer}")).await;
    providers.json[0]["uuid"].as_str().unwrap().to_owned()
}

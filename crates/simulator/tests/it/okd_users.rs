//! Users, groups, identities and the mapping between them. Against the simulator only: not every cluster that the
//! other tests can be pointed at has them.

use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::Target;

const API: &str = "/apis/user.openshift.io/v1";

fn identity(name: &str, provider: &str, user: &str) -> Value {
    json!({"metadata": {"name": name}, "providerName": provider, "providerUserName": user})
}

fn mapping(identity: &str, user: &str) -> Value {
    json!({"metadata": {"name": identity}, "identity": {"name": identity}, "user": {"name": user}})
}

#[tokio::test]
async fn names_of_users_hold_no_colon_and_a_group_is_refused_for_one_of_its_users() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let users = format!("{API}/users");
    for (name, code) in [("John.Doe+x_y@ACME.org", 201), ("oidc:john", 422), ("~", 422), ("a/b", 422)] {
        target.admin.post(&users, &json!({"metadata": {"name": name}})).await.is(code);
    }
    let groups = format!("{API}/groups");
    let group = |users: Value| json!({"metadata": {"name": "conf-team"}, "users": users});
    target.admin.post(&groups, &group(json!(["John.Doe+x_y@ACME.org", "oidc:john"]))).await.is(422);
    target.admin.post(&groups, &group(json!(["John.Doe+x_y@ACME.org", "nobody"]))).await.is(201);
}

#[tokio::test]
async fn a_mapping_is_kept_in_the_user_and_in_the_identity_and_is_made_once() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let path = |plural: &str| format!("{API}/{plural}");
    let mappings = path("useridentitymappings");
    target.admin.post(&mappings, &mapping("sso:john", "john")).await.is(422);
    target.admin.post(&path("identities"), &identity("sso:john", "ldap", "john")).await.is(422);
    target.admin.post(&path("identities"), &identity("sso:john", "sso", "john")).await.is(201);
    target.admin.post(&mappings, &mapping("sso:john", "john")).await.is(422);
    target.admin.post(&path("users"), &json!({"metadata": {"name": "john"}})).await.is(201);
    target.admin.post(&mappings, &mapping("sso:john", "john")).await.is(201);
    let again = target.admin.post(&mappings, &mapping("sso:john", "john")).await;
    assert_eq!((again.code, again.body["reason"].as_str()), (409, Some("AlreadyExists")));
    let user = target.admin.get(&format!("{API}/users/john")).await;
    assert_eq!(user.body["identities"], json!(["sso:john"]));
    let identity = target.admin.get(&format!("{API}/identities/sso:john")).await;
    assert_eq!(identity.body["user"], json!({"name": "john", "uid": user.body["metadata"]["uid"]}));
}

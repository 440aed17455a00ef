//! Every field that the published client of the current generation reads is in the answers (Waldur contract §9).

use serde_json::{Value, json};
use simulator::waldur::{Generation, ResourceState, SeedResource};

use crate::waldur_support::{Caller, Served};

const AGENT_IDENTITY: &str = "compatibility config_file_content config_file_path created created_by dependencies last_restarted \
    modified name offering services url uuid version";
const AGENT_SERVICE: &str =
    "created identity identity_name mode modified name processors state statistics url uuid";
const AGENT_PROCESSOR: &str =
    "backend_type backend_version created last_run modified name service service_name url uuid";
const ORDER: &str = "activation_price attachment attributes backend_id callback_url can_terminate category_title \
    category_uuid completed_at consumer_message consumer_rejection_comment consumer_reviewed_at \
    consumer_reviewed_by cost created created_by_civil_number created_by_email created_by_full_name \
    created_by_username customer_name customer_slug customer_uuid error_message error_traceback \
    fixed_price issue limits marketplace_resource_uuid modified new_cost_estimate new_plan_name \
    new_plan_uuid offering offering_billable offering_description offering_name offering_plugin_options \
    offering_shared offering_type offering_uuid old_cost_estimate old_plan_name old_plan_uuid \
    order_subtype output plan plan_description plan_name plan_unit plan_uuid project_description \
    project_name project_slug project_uuid provider_message provider_name provider_rejection_comment \
    provider_reviewed_at provider_reviewed_by provider_slug provider_uuid request_comment resource_name \
    resource_type resource_uuid slug start_date state termination_comment type url uuid";
const RESOURCE: &str = "attributes available_actions backend_id backend_metadata can_terminate created creation_order \
    current_usages customer_name customer_slug customer_uuid description downscaled effective_id \
    end_date end_date_requested_by end_date_updated_at endpoints error_message error_traceback \
    has_api_keys is_limit_based is_usage_based last_sync limit_usage limits modified name offering \
    offering_backend_id offering_components offering_name offering_plugin_options offering_slug \
    offering_state offering_type offering_uuid options order_in_progress paused plan plan_name plan_unit \
    plan_uuid project project_description project_end_date project_name project_slug project_uuid \
    provider_name provider_slug provider_uuid renewal_date report resource_type resource_uuid \
    restrict_member_access slug state url usage_limit_restriction user_requires_reconsent username uuid";
const OFFERING: &str = "attributes backend_id backend_id_rules backend_metadata billable category_title category_uuid \
    components created customer customer_name customer_uuid description endpoints name options \
    partitions plans plugin_options resource_options secret_options shared slug state type url uuid";
const COMPONENT: &str = "article_code billing_type default_limit description factor is_boolean is_builtin is_prepaid \
    limit_amount limit_decimal_places limit_period max_available_limit max_value measured_unit min_value \
    name offering_uuid overage_component type unit_factor uuid";
const PLAN: &str = "archived article_code backend_id components description future_prices init_price is_active \
    max_amount minimal_price name offering organization_groups plan_type prices quotas resources_count \
    switch_price unit unit_price url uuid";
const SERVICE_PROVIDER: &str = "created customer customer_name customer_slug customer_uuid description enable_notifications \
    offering_count organization_groups url uuid";
const ME: &str = "date_joined email first_name full_name is_active is_staff is_support last_name permissions slug \
    token_lifetime url username uuid";
const PERMISSION: &str = "customer_name customer_uuid expiration_time project_uuid resource_uuid role_name role_uuid \
    scope_name scope_type scope_uuid";
const ATTRIBUTE_CONFIG: &str = "created exposed_fields is_default modified offering_name offering_uuid uuid";
const SUBSCRIPTION: &str = "created description modified observable_objects source_ip url user user_full_name user_username \
    user_uuid uuid";
const LEGACY_QUEUE: &str = "created event_subscription event_subscription_uuid object_type offering_uuid queue_name url uuid \
    vhost";
const QUEUE: &str = "observable_object_types queue_name rmq_username vhost";
const TEAM_MEMBER: &str =
    "email expiration_time full_name offering_user_state offering_user_username role url username uuid";
const SERVICE_ACCOUNT: &str = "created customer_abbreviation customer_name customer_uuid description email error_message \
    error_traceback expires_at modified preferred_identifier project project_name project_uuid state \
    token url username uuid";
const COURSE_ACCOUNT: &str = "created customer_name customer_uuid description email error_message error_traceback modified project \
    project_end_date project_name project_slug project_start_date project_uuid state url user_uuid \
    username uuid";
const PROJECT_PERMISSION: &str = "created customer_name customer_uuid expiration_time project_name project_uuid role_name user_email \
    user_username user_uuid";
const OFFERING_USER: &str = "consent_data created customer_name customer_uuid has_compliance_checklist has_consent is_restricted \
    modified offering offering_name offering_uuid requires_reconsent runtime_state \
    service_provider_comment service_provider_comment_url state url user user_email user_first_name \
    user_full_name user_last_name user_username user_uuid username uuid";
const COMPONENT_USAGE: &str = "billing_period created customer_name customer_uuid date description measured_unit \
    missing_usage_policy modified_by name offering_name offering_uuid project_name project_uuid \
    recurring resource_name resource_uuid type usage uuid";
const USER_USAGE: &str = "billing_period component_type component_usage created measured_unit modified resource_uuid usage \
    user username uuid";
const USER_LIMIT: &str = "component component_type limit resource url user uuid";
const IMPORT_REQUEST: &str = "created error_message error_traceback finished modified offering offering_name offering_url started \
    state url uuid";

fn has(what: &str, answer: &Value, fields: &str) {
    let missing: Vec<&str> = fields.split_whitespace().filter(|field| answer.get(field).is_none()).collect();
    assert!(missing.is_empty(), "{what} lacks {missing:?}: {answer}");
}

async fn first(caller: &Caller, path: &str) -> Value {
    let reply = caller.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json[0].clone()
}

async fn posted(caller: &Caller, path: &str, body: Value) -> Value {
    let reply = caller.post(path, body).await;
    assert!(reply.status < 300, "{path}: {} {}", reply.status, reply.text);
    reply.json
}

/// A resource with an order, and the short names of what the tests ask for.
async fn marketplace() -> (Served, Caller, uuid::Uuid, uuid::Uuid, uuid::Uuid) {
    let served = Served::demo(Generation::Current).await;
    let waldur = &served.waldur;
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let seed = SeedResource { name: "shop".to_owned(), ..SeedResource::default() };
    let resource = waldur.add_resource(offering, project, &seed, ResourceState::Ok);
    waldur.place_update_order(resource, waldur.user("olivia.owner").unwrap(), json!({ "cpu": 1 }));
    let agent = served.caller("agent-token");
    (served, agent, offering, project, resource)
}

#[tokio::test]
async fn marketplace_objects_have_every_field() {
    let (_served, agent, offering, _, resource) = marketplace().await;
    has("order", &first(&agent, "/api/marketplace-orders/").await, ORDER);
    has("resource in a list", &first(&agent, "/api/marketplace-provider-resources/").await, RESOURCE);
    let shown = agent.get(&format!("/api/marketplace-provider-resources/{resource}/")).await.json;
    has("resource", &shown, RESOURCE);
    let shown = agent.get(&format!("/api/marketplace-provider-offerings/{offering}/")).await.json;
    has("offering", &shown, OFFERING);
    has("component", &shown["components"][0], COMPONENT);
    let plan = shown["plans"][0]["uuid"].as_str().unwrap();
    has("plan", &agent.get(&format!("/api/marketplace-plans/{plan}/")).await.json, PLAN);
    let provider = first(&agent, "/api/marketplace-service-providers/").await;
    has("service provider", &provider, SERVICE_PROVIDER);
    let provider = provider["uuid"].as_str().unwrap();
    let path = format!("/api/marketplace-service-providers/{provider}/project_permissions/");
    has("project permission", &first(&agent, &path).await, PROJECT_PERMISSION);
}

#[tokio::test]
async fn people_have_every_field() {
    let (served, agent, offering, project, resource) = marketplace().await;
    let me = agent.get("/api/users/me/").await.json;
    has("me", &me, ME);
    has("permission", &me["permissions"][0], PERMISSION);
    let path = format!("/api/marketplace-provider-resources/{resource}/team/");
    has("team member", &first(&agent, &path).await, TEAM_MEMBER);
    has("offering user", &first(&agent, "/api/marketplace-offering-users/").await, OFFERING_USER);
    let path = format!("/api/marketplace-provider-offerings/{offering}/user-attribute-config/");
    has("attribute config", &agent.get(&path).await.json, ATTRIBUTE_CONFIG);
    served.waldur.add_service_account(project, "svc");
    served.waldur.add_course_account(project, "course");
    let path = format!("/api/marketplace-provider-offerings/{offering}/list_project_service_accounts/");
    has("service account", &first(&agent, &path).await, SERVICE_ACCOUNT);
    let path = format!("/api/marketplace-provider-offerings/{offering}/list_course_accounts/");
    has("course account", &first(&agent, &path).await, COURSE_ACCOUNT);
}

#[tokio::test]
async fn usage_has_every_field() {
    let (served, agent, offering, project, resource) = marketplace().await;
    let line = json!({ "type": "cpu", "amount": "1.50" });
    posted(
        &agent,
        "/api/marketplace-component-usages/set_usage/",
        json!({ "resource": resource, "usages": [line] }),
    )
    .await;
    let usage = first(&agent, "/api/marketplace-component-usages/").await;
    has("component usage", &usage, COMPONENT_USAGE);
    let path =
        format!("/api/marketplace-component-usages/{}/set_user_usage/", usage["uuid"].as_str().unwrap());
    posted(&agent, &path, json!({ "username": "max", "usage": 1 })).await;
    has("user usage", &first(&agent, "/api/marketplace-component-user-usages/").await, USER_USAGE);
    let user = served.waldur.add_user(&simulator::waldur::SeedUser::new("limited", "limited-token"));
    served.waldur.add_member(project, user, "PROJECT.MEMBER");
    let offering_user = served.waldur.add_offering_user(offering, user, "limited");
    served.waldur.add_user_limit(resource, offering_user, "cpu", "2.00");
    has("user limit", &first(&agent, "/api/component-user-usage-limits/").await, USER_LIMIT);
    served.waldur.request_importable_resources(offering);
    has("import request", &first(&agent, "/api/backend-resource-requests/").await, IMPORT_REQUEST);
}

#[tokio::test]
async fn registrations_have_every_field() {
    let (_served, agent, offering, ..) = marketplace().await;
    let collection = "/api/marketplace-site-agent-identities/";
    let body = json!({ "offering": offering, "name": "agent-x", "version": "1", "last_restarted": "2026-08-20T09:00:00Z" });
    let identity = posted(&agent, collection, body).await;
    has("identity", &identity, AGENT_IDENTITY);
    let path = format!("{collection}{}/", identity["uuid"].as_str().unwrap());
    let action = |name: &str| format!("{path}{name}/");
    let service =
        posted(&agent, &action("register_service"), json!({ "name": "report", "mode": "report" })).await;
    has("service", &service, AGENT_SERVICE);
    let register = format!(
        "/api/marketplace-site-agent-services/{}/register_processor/",
        service["uuid"].as_str().unwrap()
    );
    let body = json!({ "name": "P", "backend_type": "okd", "backend_version": "1" });
    has("processor", &posted(&agent, &register, body).await, AGENT_PROCESSOR);
    has("queue", &posted(&agent, &action("register_queue"), json!({ "object_types": [] })).await, QUEUE);
    let body = json!({ "observable_object_type": "order", "description": "d" });
    let subscription = posted(&agent, &action("register_event_subscription"), body).await;
    has("subscription", &subscription, SUBSCRIPTION);
    let create = format!("/api/event-subscriptions/{}/create_queue/", subscription["uuid"].as_str().unwrap());
    let body = json!({ "offering_uuid": offering, "object_type": "order" });
    has("legacy queue", &posted(&agent, &create, body).await, LEGACY_QUEUE);
}

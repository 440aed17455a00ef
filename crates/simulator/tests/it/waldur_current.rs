//! What the current generation has over 2024 (Waldur contract §3-§6, §8).

use simulator::waldur::{Generation, SeedOffering, SeedPlan};

use crate::waldur_script::Stage;

const READY: &str = r#"
    - owner POST orders {$place, "attributes": {"name": "shop"}, "limits": {"cpu": 2, "memory": 4}} -> 201 {"state": "pending-provider"} ; order=uuid resource=marketplace_resource_uuid
    - olga POST orders/$order/approve_by_provider {} -> 200 {"detail": "Order has been approved by provider."}
    - agent POST provider-resources/$resource/set_backend_id {"backend_id": "waldur-shop"} -> 200 any
    - olga POST orders/$order/set_state_done -> 200
    - agent GET provider-resources/$resource -> 200 {"state": "OK", "slug": "shop-1", "project_slug": "web", "customer_slug": "acme", "offering_backend_id": ""}
"#;

#[tokio::test]
async fn an_update_needs_no_help_from_the_agent() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    stage.play(r#"
        - owner POST resources/$resource/update_limits {"limits": {"cpu": 8}} -> 200 any ; update=order_uuid
        - agent POST orders/$update/approve_by_provider {} -> 200 any
        - agent GET orders/$update -> 200 {"state": "executing", "attributes": {"old_limits": {"cpu": 2}}}
        - agent GET provider-resources/$resource -> 200 {"state": "Updating"}
        - agent POST orders/$update/set_state_done -> 200
        - agent GET provider-resources/$resource?field=limits&field=state -> 200 {"state": "OK", "limits": {"cpu": 8}}
        - agent POST slurm-remote/$resource/set_state {"state": "ok"} -> 404 html
    "#).await;
}

#[tokio::test]
async fn a_rejection_carries_its_reason() {
    Stage::new(Generation::Current).await.play(r#"
        - owner POST orders {$place, "attributes": {"name": "shop"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        - agent POST orders/$order/set_provider_info {"provider_message": "Which zone?"} -> 200 any
        - owner GET orders/$order -> 200 {"provider_message": "Which zone?"}
        - agent POST orders/$order/reject_by_provider {"provider_rejection_comment": "no room"} -> 200
        - owner GET orders/$order -> 200 {"state": "rejected", "provider_rejection_comment": "no room"}
        - agent GET provider-resources/$resource -> 200 {"state": "Terminated"}
        - agent POST orders/$order/set_provider_info {"provider_message": "late"} -> 409 any
    "#).await;
}

#[tokio::test]
async fn a_failed_create_without_backend_id_is_terminated() {
    Stage::new(Generation::Current).await.play(r#"
        - owner POST orders {$place, "attributes": {"name": "shop"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        - agent POST orders/$order/approve_by_provider {} -> 200 any
        - agent POST orders/$order/set_state_erred {} -> 200
        - agent GET orders/$order -> 200 {"state": "erred", "error_message": ""}
        - agent GET provider-resources/$resource -> 200 {"state": "Terminated"}
    "#).await;
}

#[tokio::test]
async fn erring_an_order_that_is_done_errs_its_resource_only() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    stage
        .play(
            r#"
        - agent POST orders/$order/set_state_erred {"error_message": "late", "error_traceback": ""} -> 200
        - agent GET orders/$order -> 200 {"state": "done"}
        - agent GET provider-resources/$resource -> 200 {"state": "Erred"}
    "#,
        )
        .await;
}

#[tokio::test]
async fn the_agent_writes_what_2024_could_not_store() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    stage.play(r#"
        - agent POST provider-resources/$resource/set_limits {"limits": {"cpu": 3}} -> 200 any
        - agent POST provider-resources/$resource/set_limits {"limits": {"gpu": 3}} -> 400 any
        - agent POST provider-resources/$resource/set_endpoints {"endpoints": [{"name": "console", "url": "https://c"}]} -> 200 any
        - agent POST provider-resources/$resource/refresh_last_sync -> 200
        - agent POST provider-resources/$resource/set_as_erred {"error_message": "down", "error_traceback": "tb"} -> 200
        - agent GET provider-resources/$resource -> 200 {"state": "Erred", "error_message": "down", "limits": {"cpu": 3}, "endpoints": [{"name": "console"}]}
        - agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1}]} -> 400 {"resource": ["Resource is not in valid state."]}
        - agent POST provider-resources/$resource/set_as_ok -> 200
        - agent GET provider-resources/$resource -> 200 {"state": "OK", "error_message": ""}
        - agent POST provider-resources/$resource/set_membership_sync_statuses {"statuses": []} -> 409 any
        - agent POST provider-resources/$resource/set_paused {"paused": true} -> 403 any
        - staff POST resources/$resource/set_paused {"paused": true} -> 200 any
        - staff POST resources/$resource/set_downscaled {"downscaled": true} -> 200 any
        - staff POST resources/$resource/set_restrict_member_access {"restrict_member_access": true} -> 200 any
        - agent GET provider-resources/$resource -> 200 {"paused": true, "downscaled": true, "restrict_member_access": true}
    "#).await;
}

#[tokio::test]
async fn usage_of_a_past_month_is_taken_for_limits_only() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    stage.play(r#"
        - agent POST component-usages/set_usage {"resource": "$resource", "date": "2024-05-01T00:00:00+03:00", "usages": [{"type": "cpu", "amount": "1.50"}]} -> 201
        - agent GET component-usages?resource_uuid=$resource&billing_period=2024-04-01 -> 200 [{"type": "cpu", "usage": "1.50", "billing_period": "2024-04-01"}] ; usage=0.uuid
        - agent GET provider-resources/$resource -> 200 {"current_usages": {}}
        - agent POST provider-offerings/$offering/create_offering_component {"type": "gpu", "name": "GPU", "measured_unit": "h", "billing_type": "usage"} -> 201
        - agent POST component-usages/set_usage {"resource": "$resource", "date": "2024-05-01T00:00:00Z", "usages": [{"type": "gpu", "amount": 1}]} -> 400 {"date": ["Service providers can only specify date for limit-based or prepaid billing components when backfilling past billing periods."]}
        - staff POST component-usages/set_usage {"resource": "$resource", "date": "2024-05-01T00:00:00Z", "usages": [{"type": "gpu", "amount": 1}]} -> 201
        - agent POST component-usages/$usage/set_user_usages {"usages": [{"username": "a", "usage": "1.00"}, {"username": "b", "usage": "x"}]} -> 400 any
        - agent GET component-user-usages?resource_uuid=$resource -> 200 []
        - agent POST component-usages/$usage/set_user_usages {"usages": [{"username": "a", "usage": "1.00"}, {"username": "b", "usage": "0.5"}]} -> 201
        - agent GET component-user-usages?resource_uuid=$resource&component_usage__billing_period=2024-04-01 -> 200 [{"username": "a", "usage": "1.00"}, {"username": "b", "usage": "0.50"}]
    "#).await;
}

#[tokio::test]
async fn offering_users_move_through_their_states() {
    let mut stage = Stage::new(Generation::Current).await;
    let offering = stage.uuid("offering");
    stage.served.waldur.set_plugin_option(offering, "username_generation_policy", "service_provider".into());
    stage.play(READY).await;
    stage.play(r#"
        - agent GET offering-users?state=Requested -> 200 [{"username": "", "user_email": "max.manager@example.org"}, {}, {}] ; ou=0.uuid
        - agent GET offering-users?state=bogus -> 400 any
        - agent POST offering-users/$ou/set_pending_account_linking {"comment": "c", "comment_url": null} -> 409 {"detail": "Valid states for operation: Creating, Error creating, Pending additional validation."}
        - agent POST offering-users/$ou/begin_creating -> 200
        - agent POST offering-users/$ou/begin_creating -> 409 {"detail": "Valid states for operation: Requested, Error creating."}
        - agent POST offering-users/$ou/set_pending_account_linking {"comment": "link it", "comment_url": null} -> 200
        - agent GET offering-users/$ou -> 200 {"state": "Pending account linking", "runtime_state": "Pending account linking", "service_provider_comment": "link it"}
        - agent POST offering-users/$ou/set_error_creating -> 200
        - agent PATCH offering-users/$ou {"username": "max"} -> 200 {"state": "OK", "username": "max", "service_provider_comment": ""}
        - agent GET provider-resources/$resource/team -> 200 [{"role": "PROJECT.MANAGER", "offering_user_username": "max", "offering_user_state": "OK"}, {"offering_user_state": "Requested"}, {}]
    "#).await;
}

#[tokio::test]
async fn an_agent_registers_itself_once() {
    Stage::new(Generation::Current).await.play(r#"
        - agent POST site-agent-identities {"offering": "$offering", "name": "agent-$offering", "version": "1.0.7", "dependencies": [], "last_restarted": "2026-08-20T10:00:00+00:00"} -> 201 {"name": "agent-$offering", "services": []} ; id=uuid
        - agent POST site-agent-identities {"offering": "$offering", "name": "agent-$offering"} -> 400 any
        - member POST site-agent-identities {"offering": "$offering", "name": "mine"} -> 403 any
        - agent GET site-agent-identities?name=agent-$offering -> 200 [{"uuid": "$id", "version": "1.0.7"}]
        - agent PUT site-agent-identities/$id {"offering": "$offering", "name": "agent-$offering", "version": "2"} -> 200 {"version": "2"}
        - agent POST site-agent-identities/$id/register_service {"name": "order_process", "mode": "order_process"} -> 201 {"state": "Active"} ; service=uuid
        - agent POST site-agent-identities/$id/register_service {"name": "order_process", "mode": "order_process"} -> 200 {"uuid": "$service"}
        - agent POST site-agent-services/$service/register_processor {"name": "P", "backend_type": "okd", "backend_version": "1"} -> 201 {"service_name": "order_process"} ; processor=uuid
        - agent POST site-agent-services/$service/register_processor {"name": "P", "backend_type": "okd", "backend_version": "2"} -> 200 {"uuid": "$processor", "backend_version": "2"}
        - agent POST site-agent-identities/$id/register_queue {"object_types": ["order", "resource"]} -> 201 {"observable_object_types": ["order", "resource"]} ; queue=queue_name
        - agent POST site-agent-identities/$id/register_queue {"object_types": ["order"]} -> 200 {"queue_name": "$queue", "observable_object_types": ["order"]}
        - olga POST site-agent-identities/$id/register_queue {"object_types": ["order"]} -> 409 any
        - agent POST site-agent-identities/$id/register_queue {"object_types": ["nonsense"]} -> 400 any
        - agent POST site-agent-identities/$id/register_event_subscription {"observable_object_type": "order", "description": "d"} -> 201 {"observable_objects": [{"object_type": "order"}]} ; sub=uuid
        - agent POST /api/event-subscriptions/$sub/create_queue/ {"offering_uuid": "$offering", "object_type": "order"} -> 201 {"queue_name": "subscription_$sub_offering_$offering_order"}
        - agent POST /api/event-subscriptions/$sub/create_queue/ {"offering_uuid": "$offering", "object_type": "order"} -> 200 any
    "#).await;
}

#[tokio::test]
async fn a_terminated_resource_is_restored_by_an_order() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    stage.play(r#"
        - owner POST resources/$resource/restore {} -> 409 any
        - owner POST resources/$resource/terminate {} -> 200 any ; end=order_uuid
        - agent POST orders/$end/approve_by_provider {} -> 200 any
        - agent POST orders/$end/set_state_done -> 200
        - owner POST resources/$resource/restore {} -> 200 {"state": "Creating", "backend_id": "waldur-shop", "limits": {"cpu": 2}}
        - agent GET orders?state=pending-provider&type=Restore -> 200 [{"type": "Restore", "marketplace_resource_uuid": "$resource"}] ; again=0.uuid
        - agent POST orders/$again/approve_by_provider {} -> 200 any
        - agent POST orders/$again/set_state_done -> 200
        - agent GET provider-resources/$resource -> 200 {"state": "OK"}
    "#).await;
}

#[tokio::test]
async fn accounts_and_importable_resources_reach_the_provider() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.play(READY).await;
    let (project, offering) = (stage.uuid("project"), stage.uuid("offering"));
    stage.served.waldur.add_service_account(project, "svc-web");
    stage.served.waldur.add_course_account(project, "course1");
    let request = stage.served.waldur.request_importable_resources(offering);
    stage.play(&r#"
        - agent GET provider-offerings/$offering/list_project_service_accounts -> 200 [{"username": "svc-web", "state": "OK", "project_uuid": "$project"}] ; account=0.uuid
        - agent GET provider-offerings/$offering/list_course_accounts -> 200 [{"username": "course1", "project_slug": "web"}]
        - member DELETE project-service-accounts/$account -> 403 any
        - owner DELETE project-service-accounts/$account -> 204
        - agent GET provider-offerings/$offering/list_project_service_accounts -> 200 [{"state": "Closed"}]
        - agent POST /api/backend-resource-requests/REQUEST/set_done/ -> 409 any
        - agent POST /api/backend-resource-requests/REQUEST/start_processing/ -> 200 any
        - agent POST /api/backend-resources/ {"name": "n", "project": "$project", "offering": "$offering", "backend_id": "ns", "backend_metadata": {"limits": {"cpu": 1}}} -> 201 {"backend_id": "ns"}
        - agent GET /api/backend-resources/?backend_id=ns&project_uuid=$project&offering_uuid=$offering -> 200 [{"name": "n"}]
        - agent POST /api/backend-resource-requests/REQUEST/set_done/ -> 200 any
        - agent GET /api/backend-resource-requests/REQUEST/ -> 200 {"state": "Done"}
        - agent POST provider-offerings/$offering/check_unique_backend_id {"backend_id": "waldur-shop"} -> 200 {"is_unique": false}
        - agent POST provider-offerings/$offering/check_unique_backend_id {"backend_id": "other", "check_all_offerings": true} -> 200 {"is_unique": true}
        - agent GET provider-offerings/$offering/user-attribute-config -> 200 {"exposed_fields": ["username", "full_name", "email"]}
        - agent GET provider-offerings/$offering/list_customer_users -> 200 [{"username": "max.manager"}, {}, {}]
    "#.replace("REQUEST", &request.to_string())).await;
}

#[tokio::test]
async fn membership_statuses_are_kept_where_the_offering_opted_in() {
    let mut stage = Stage::new(Generation::Current).await;
    stage.served.waldur.set_plugin_option(
        stage.uuid("offering"),
        "enable_membership_sync_status",
        true.into(),
    );
    stage.play(READY).await;
    stage.play(r#"
        - agent POST provider-resources/$resource/set_membership_sync_statuses {"statuses": [{"username": "max.manager", "role_name": "PROJECT.MANAGER", "state": "synced"}, {"username": "stranger", "state": "error"}]} -> 200 {"stored": 1, "skipped": [{"username": "stranger"}]}
    "#).await;
    let statuses = stage.served.waldur.membership_sync_statuses(stage.uuid("resource"));
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0]["state"], "synced");
}

#[tokio::test]
async fn a_plan_is_switched_without_touching_the_limits() {
    let mut stage = Stage::new(Generation::Current).await;
    let customer = stage.served.waldur.customer("cloud-provider").unwrap();
    let plan = |name: &str| SeedPlan { name: name.to_owned(), ..SeedPlan::default() };
    let plans = vec![plan("Small"), plan("Large")];
    let offering = SeedOffering { plans, ..SeedOffering::okd("Tiers", "tiers", "cloud-provider") };
    let offering = stage.served.waldur.add_offering(customer, &offering);
    let (tiers, project) = (offering.simple(), stage.uuid("project").simple());
    stage.play(&format!(r#"
        - agent GET provider-offerings/{tiers} -> 200 any ; small=plans.0.uuid large=plans.1.uuid
        - owner POST orders {{"offering": "x/{tiers}/", "project": "x/{project}/", "plan": "x/$small/", "attributes": {{"name": "tier"}}, "limits": {{"cpu": 2}}}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        - agent POST orders/$order/approve_by_provider {{}} -> 200 any
        - agent POST orders/$order/set_state_done -> 200
        - owner POST resources/$resource/switch_plan {{"plan": "x/$zero/"}} -> 400 any
        - owner POST resources/$resource/switch_plan {{"plan": "x/$large/"}} -> 200 any ; switch=order_uuid
        - agent GET orders/$switch -> 200 {{"limits": {{}}, "plan_uuid": "$large", "old_plan_uuid": "$small", "order_subtype": "plan"}}
        - agent POST orders/$switch/approve_by_provider {{}} -> 200 any
        - agent POST orders/$switch/set_state_done -> 200
        - agent GET provider-resources/$resource -> 200 {{"plan_uuid": "$large", "limits": {{"cpu": 2}}}}
    "#)).await;
}

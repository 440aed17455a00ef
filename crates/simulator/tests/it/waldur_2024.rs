//! The server of October 2024, exchange by exchange as it was measured.
//!
//! The numbers in front of the lines are those of the measurements.

use serde_json::json;
use simulator::waldur::Generation;

use crate::waldur_script::Stage;

async fn stage() -> Stage {
    let stage = Stage::new(Generation::October2024).await;
    let offering = stage.uuid("offering");
    stage.served.waldur.set_plugin_option(offering, "username_generation_policy", json!("service_provider"));
    stage
}

#[tokio::test]
async fn signing_in_and_being_refused() {
    stage().await.play(r#"
        002 nobody POST /api-auth/password/ {"username": "agent-okd", "password": "wrong"} -> 401 {"detail": "Invalid username/password."}
        003 agent GET /api/users/me/ -> 200 {"username": "agent-okd", "permissions": [{"role_name": "OFFERING.MANAGER"}, {"role_name": "CUSTOMER.OWNER", "scope_type": "customer"}]}
        004 nobody GET /api/users/me/ -> 401 {"detail": "Authentication credentials were not provided."}
        005 wrong GET /api/users/me/ -> 401 {"detail": "Invalid token."}
        006 nobody GET /api/version/ -> 401 {"detail": "Authentication credentials were not provided."}
        007 agent GET /api/version/ -> 403 {"detail": "You do not have permission to perform this action."}
        011 agent GET provider-offerings/$zero -> 404 {"detail": "No Offering matches the given query."}
        012 member GET provider-offerings/$offering -> 404 {"detail": "No Offering matches the given query."}
        020 agent GET /api/projects/?field=uuid -> 200 []
        021 agent GET /api/projects/$project/ -> 404 {"detail": "No Project matches the given query."}
    "#).await;
}

#[tokio::test]
async fn routes_of_later_servers_are_pages_not_found() {
    stage()
        .await
        .play(
            r#"
        022 agent GET /api/event-subscriptions/ -> 404 html
        024 agent POST /api/event-subscriptions/$zero/create_queue/ {} -> 404 html
        025 agent GET site-agent-identities?name=agent-x -> 404 html
        026 agent POST site-agent-identities {"offering": "$offering", "name": "agent-x"} -> 404 html
        029 agent POST site-agent-services/$zero/register_processor {} -> 404 html
        030 agent GET provider-offerings/$offering/user-attribute-config -> 404 html
        032 agent POST provider-offerings/$offering/check_unique_backend_id {"backend_id": "x"} -> 404 html
        033 agent GET provider-offerings/$offering/list_project_service_accounts -> 404 html
        034 agent GET provider-offerings/$offering/list_course_accounts -> 404 html
        035 agent GET /api/backend-resources/ -> 404 html
        036 agent GET /api/backend-resource-requests/$zero/ -> 404 html
        037 agent GET /api/component-user-usage-limits/ -> 404 html
        038 agent GET project-service-accounts -> 404 html
        039 agent GET course-accounts -> 404 html
        045 agent GET integration-statuses -> 200 []
        046 agent GET /api/hooks/ -> 200 []
        047 agent GET /api/events/?page_size=1 -> 200 []
    "#,
        )
        .await;
}

#[tokio::test]
async fn limits_of_an_order_are_whole_numbers_of_known_components() {
    stage().await.play(r#"
        049 owner POST orders {$place, "attributes": {"name": "x"}, "limits": {"gpu": 1}} -> 400 {"limits": ["Invalid types: gpu"]}
        050 owner POST orders {$place, "attributes": {"name": "x"}, "limits": {"cpu": -1}} -> 201 {"limits": {"cpu": -1}, "state": "pending-provider"}
        051 owner POST orders {$place, "attributes": {"name": "x"}, "limits": {"cpu": 1.5}} -> 400 {"limits": {"cpu": ["A valid integer is required."]}}
        052 owner POST orders {$place, "attributes": {"name": "zero"}, "limits": {"cpu": 0}} -> 201 {"limits": {"cpu": 0}}
    "#).await;
}

#[tokio::test]
async fn who_has_no_right_to_review_waits_for_the_consumer() {
    stage().await.play(r#"
        048 member POST orders {$place, "attributes": {"name": "m"}, "limits": {"cpu": 2}} -> 201 {"state": "pending-consumer", "consumer_reviewed_by": null}
        053 manager POST orders {$place, "attributes": {"name": "pm"}, "limits": {"cpu": 2}} -> 201 {"state": "pending-consumer"} ; order=uuid
        054 agent POST orders/$order/approve_by_provider -> 409 {"detail": "Valid states for operation: pending-provider."}
        055 agent POST orders/$order/set_state_executing -> 200
        056 owner POST orders/$order/approve_by_consumer -> 409 {"detail": "Valid states for operation: pending-consumer."}
        057 agent GET orders/$order -> 200 {"state": "executing", "consumer_reviewed_at": null, "project_slug": "web", "customer_slug": "acme"}
    "#).await;
}

#[tokio::test]
async fn a_resource_is_created_used_changed_and_terminated() {
    let mut stage = stage().await;
    stage.play(CREATED).await;
    stage.play(USERS).await;
    stage.play(USED).await;
    stage.play(CHANGED).await;
    stage.play(TERMINATED).await;
}

const CREATED: &str = r#"
    058 owner POST orders {$place, "attributes": {"name": "shop-163131"}, "limits": {"cpu": 2, "memory": 4, "storage": 10, "pods": 20}} -> 201 {"state": "pending-provider"} ; order=uuid resource=marketplace_resource_uuid
    064 agent GET orders/$order -> 200 {"state": "pending-provider", "type": "Create", "resource_uuid": null, "backend_id": "", "provider_reviewed_at": null}
    065 agent GET provider-resources/$resource -> 200 {"state": "Creating", "slug": "shop-163-1", "backend_id": "", "order_in_progress": {"uuid": "$order"}}
    066 olga POST orders/$order/approve_by_provider -> 403 {"detail": "You do not have permission to perform this action."}
    067 owner POST orders/$order/approve_by_provider -> 403 any
    068 agent POST orders/$order/set_state_done -> 409 {"detail": "Valid states for operation: executing."}
    069 agent POST orders/$order/approve_by_provider -> 200
    070 agent POST orders/$order/approve_by_provider {} -> 409 {"detail": "Valid states for operation: pending-provider."}
    071 agent POST orders/$order/set_state_executing {} -> 409 {"detail": "Valid states for operation: pending-consumer, pending-provider, erred."}
    072 agent GET orders/$order -> 200 {"state": "executing", "resource_type": "SLURM.Allocation"}
    073 agent GET provider-resources/$resource -> 200 {"state": "Creating"}
    074 agent GET resources/$resource -> 404 {"detail": "No Resource matches the given query."}
    075 agent GET provider-resources/$resource/team -> 200 [{"role": "manager", "offering_user_username": null}, {"role": "member"}, {"role": "admin"}]
    076 agent GET offering-users?offering_uuid=$offering&is_restricted=false -> 200 []
    077 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1}]} -> 400 {"resource": ["Resource is not in valid state."]}
    078 member POST provider-resources/$resource/set_backend_id {"backend_id": "x"} -> 404 {"detail": "No Resource matches the given query."}
    079 olga POST provider-resources/$resource/set_backend_id {"backend_id": "x"} -> 200 {"status": "Resource backend_id has been changed."}
    080 agent POST provider-resources/$resource/set_backend_id {} -> 500 html
    081 agent POST provider-resources/$resource/set_backend_id {"backend_id": "waldur-shop"} -> 200 {"status": "Resource backend_id has been changed."}
    082 agent POST provider-resources/$resource/set_backend_id {"backend_id": "waldur-shop"} -> 200 {"status": "Resource backend_id is not changed."}
    083 agent POST resources/$resource/set_backend_id {"backend_id": "x"} -> 404 html
    084 agent POST orders/$order/set_backend_id {"backend_id": "x"} -> 404 html
    085 agent POST provider-resources/$resource/set_backend_metadata {"backend_metadata": {"namespace": "waldur-shop"}} -> 200 {"status": "The backend metadata is updated"}
    086 agent POST provider-resources/$resource/submit_report {"report": [{"header": "Project", "body": "created"}]} -> 200 {"status": "Report is submitted"}
    087 agent POST provider-resources/$resource/set_limits {"limits": {"cpu": 2}} -> 404 html
    088 agent POST slurm-remote/$resource/set_limits {"cpu": 2, "memory": 4, "storage": 10, "pods": 20} -> 200 {"status": "Limits are successfully set."}
    089 agent POST slurm-remote/$resource/set_state {"state": "ok"} -> 200 {"detail": "Allocation state has been changed to ok"}
    090 agent POST provider-resources/$resource/refresh_last_sync {} -> 404 html
    091 agent POST provider-resources/$resource/set_as_ok {} -> 404 html
    092 agent POST provider-resources/$resource/set_as_erred {} -> 403 any
    093 agent POST provider-resources/$resource/set_endpoints {} -> 404 html
    094 agent POST provider-resources/$resource/set_effective_id {} -> 404 html
    095 agent POST provider-resources/$resource/set_membership_sync_statuses {} -> 404 html
    096 agent POST orders/$order/set_state_done {} -> 200
    097 agent POST orders/$order/set_state_done {} -> 409 {"detail": "Valid states for operation: executing."}
    099 agent GET orders/$order -> 200 {"state": "done"}
    100 agent GET provider-resources/$resource -> 200 {"state": "OK", "backend_id": "waldur-shop", "order_in_progress": null, "backend_metadata": {"namespace": "waldur-shop", "state": "OK"}}
    101 agent GET provider-resources?state=OK&state=Erred&field=uuid&field=project_slug&field=customer_slug -> 200 [{"uuid": "$resource"}]
    103 agent GET provider-resources?backend_id=waldur-shop -> 200 [{"uuid": "$resource", "slug": "shop-163-1"}]
    105 agent GET /api/projects/$project/ -> 404 any
"#;

const USERS: &str = r#"
    106 agent GET provider-resources/$resource/team -> 200 [{"offering_user_username": ""}, {"offering_user_username": ""}, {"offering_user_username": ""}]
    107 agent GET offering-users?offering_uuid=$offering&is_restricted=false -> 200 [{"username": ""}, {"username": ""}, {"username": ""}] ; ou=0.uuid
    109 agent PATCH offering-users/$ou {"username": "max_manager"} -> 200 {"username": "max_manager"}
    112 agent POST offering-users/$ou/begin_creating {} -> 404 html
    113 agent POST offering-users/$ou/set_ok {} -> 404 html
    116 agent POST offering-users/$ou/update_restricted {"is_restricted": true} -> 200
    117 agent GET offering-users?is_restricted=false -> 200 [{"username": ""}, {"username": ""}]
    118 agent POST offering-users/$ou/update_restricted {"is_restricted": false} -> 200
    119 agent PATCH offering-users/$ou {"username": ""} -> 200 {"username": ""}
    121 agent POST offering-users {"offering": "$url/api/marketplace-provider-offerings/$offering/", "user": "$url/api/users/$erin/", "username": "erin_pre"} -> 201 {"username": "erin_pre", "propagation_date": null} ; pre=uuid
    122 staff POST /api/projects/$project/add_user/ {"user": "$erin", "role": "PROJECT.MEMBER"} -> 201 {"expiration_time": null}
    123 agent GET provider-resources/$resource/team -> 200 [{}, {}, {}, {"username": "erin.late", "role": "member", "offering_user_username": "erin_pre"}]
    125 staff POST /api/projects/$project/update_user/ {"user": "$erin", "role": "PROJECT.MEMBER", "expiration_time": "2127-12-31T00:00:00Z"} -> 200 {"expiration_time": "2127-12-31T00:00:00Z"}
    127 staff POST /api/projects/$project/delete_user/ {"user": "$erin", "role": "PROJECT.MEMBER"} -> 200
    128 agent GET provider-resources/$resource/team -> 200 [{}, {}, {}]
    129 agent GET offering-users?user_uuid=$erin -> 200 [{"username": "erin_pre"}]
    130 agent DELETE offering-users/$pre -> 204
"#;

const USED: &str = r#"
    132 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": "1.50", "description": ""}, {"type": "memory", "amount": 3}]} -> 201
    133 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1}], "date": "2020-10-05T00:00:00Z"} -> 201
    134 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "gpu", "amount": 1}]} -> 400 {"non_field_errors": ["These components are invalid: gpu."]}
    135 agent POST component-usages/set_usage {"usages": [{"type": "cpu", "amount": 1}]} -> 400 {"non_field_errors": ["Either plan_period or resource should be provided."]}
    136 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1.234}]} -> 400 {"usages": [{"amount": ["Ensure that there are no more than 2 decimal places."]}]}
    137 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu"}]} -> 400 {"usages": [{"amount": ["This field is required."]}]}
    138 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": -1}]} -> 201
    139 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 999}]} -> 201
    141 member POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1}]} -> 403 any
    142 olga POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 2}]} -> 201
    143 agent GET component-usages?resource_uuid=$resource -> 200 [{"type": "cpu", "usage": "2.00"}, {"type": "memory", "usage": "3.00"}] ; usage=0.uuid
    146 agent POST component-usages/$usage/set_user_usage {"username": "max_manager", "usage": "1.00"} -> 201
    147 agent POST component-usages/$usage/set_user_usage {"username": "max_manager", "usage": 1.5} -> 201
    148 agent POST component-usages/$usage/set_user_usages {"usages": []} -> 404 html
    149 agent GET component-user-usages?resource_uuid=$resource -> 200 [{"username": "max_manager", "usage": "1.50", "component_type": "cpu", "user": null}]
    150 agent GET resources/$resource/plan_periods -> 404 {"detail": "No Resource matches the given query."}
    151 agent GET provider-resources/$resource/plan_periods -> 200 [{"plan_name": "Default", "end": null}]
    # Only what the last report named is left.
    152 agent GET provider-resources/$resource -> 200 {"current_usages": {"cpu": "2.00"}, "limit_usage": {"cpu": "2.00", "memory": null}}
"#;

const CHANGED: &str = r#"
    153 owner POST resources/$resource/update_limits {"limits": {"cpu": 2, "memory": 4, "storage": 10, "pods": 20}} -> 400 ["Impossible to create update orders with limits set to exactly the same."]
    154 member POST resources/$resource/update_limits {"limits": {"cpu": 4}} -> 403 any
    155 owner POST resources/$resource/update_limits {"limits": {"cpu": 4, "memory": 8, "storage": 10, "pods": 40}} -> 200 any ; update=order_uuid
    156 owner POST resources/$resource/update_limits {"limits": {"cpu": 6}} -> 400 ["Pending order for resource already exists."]
    157 agent GET orders/$update -> 200 {"state": "pending-provider", "type": "Update", "attributes": {"old_limits": {"cpu": 2, "pods": 20}}, "limits": {"cpu": 4}}
    159 agent POST orders/$update/approve_by_provider {} -> 200
    160 agent GET orders/$update -> 200 {"state": "executing"}
    161 agent GET provider-resources/$resource -> 200 {"state": "Updating", "limits": {"cpu": 2}}
    162 agent POST orders/$update/set_state_done {} -> 200
    164 agent GET provider-resources/$resource -> 200 {"state": "OK", "limits": {"cpu": 4, "memory": 8, "storage": 10, "pods": 40}, "backend_metadata": {"state": "Update Scheduled"}}
    089 agent POST slurm-remote/$resource/set_state {"state": "ok"} -> 200 any
    165 owner POST resources/$resource/update_limits {"limits": {"cpu": 8}} -> 200 any ; update2=order_uuid
    166 agent POST orders/$update2/approve_by_provider {} -> 200
    167 agent POST orders/$update2/set_state_erred {} -> 500 html
    168 agent POST orders/$update2/set_state_erred {"error_message": "quota denied", "error_traceback": "Traceback: x"} -> 200
    169 agent GET orders/$update2 -> 200 {"state": "erred", "error_message": "quota denied"}
    170 staff GET orders/$update2 -> 200 {"error_traceback": "Traceback: x"}
    171 agent GET provider-resources/$resource -> 200 {"state": "Erred", "error_message": ""}
    172 agent POST orders/$update2/set_state_executing {} -> 200
    174 agent GET provider-resources/$resource -> 200 {"state": "Erred"}
    175 agent POST orders/$update2/set_state_done {} -> 200
    176 agent GET orders/$update2 -> 200 {"state": "done", "error_message": "quota denied"}
    177 agent GET provider-resources/$resource?field=state&field=limits -> 200 {"state": "OK", "limits": {"cpu": 8}}
    178 manager POST resources/$resource/update_limits {"limits": {"cpu": 16}} -> 200 any ; update3=order_uuid
    179 agent GET orders/$update3 -> 200 {"state": "pending-consumer"}
    180 owner POST orders/$update3/approve_by_consumer -> 200
    181 agent POST orders/$update3/cancel {} -> 403 any
    182 owner POST orders/$update3/cancel {} -> 405 {"detail": "Method \"The order's offering with Marketplace.Slurm type does not support this action\" not allowed."}
    183 agent POST orders/$update3/reject_by_provider {} -> 200
    184 agent GET orders/$update3 -> 200 {"state": "rejected"}
    185 agent GET provider-resources/$resource -> 200 {"state": "OK"}
    186 agent PATCH provider-resources/$resource {"paused": true, "downscaled": true} -> 200 {"name": "shop-163131", "description": "", "end_date": null}
    188 agent GET provider-resources/$resource -> 200 {"paused": false, "downscaled": false}
    195 agent PATCH provider-resources/$resource {"name": "shop-renamed"} -> 200 {"name": "shop-renamed"}
    196 agent GET provider-resources/$resource?field=name&field=slug -> 200 {"name": "shop-renamed", "slug": "shop-163-1"}
    197 agent POST provider-resources/$resource/set_end_date_by_provider {"end_date": "2027-06-30"} -> 400 {"end_date": ["Service provider can not set end date of the resource which has been used for the last 90 days."]}
"#;

const TERMINATED: &str = r#"
    198 member POST resources/$resource/terminate {} -> 403 any
    199 manager POST resources/$resource/terminate {} -> 200 any ; end=order_uuid
    200 agent GET orders/$end -> 200 {"state": "pending-consumer", "type": "Terminate", "plan": null, "limits": {}, "cost": null}
    201 owner POST orders/$end/approve_by_consumer -> 200
    202 manager POST resources/$resource/terminate {} -> 400 ["Pending order for resource already exists."]
    204 agent POST orders/$end/approve_by_provider {} -> 200
    206 agent GET provider-resources/$resource -> 200 {"state": "Terminating"}
    207 agent POST orders/$end/set_state_done {} -> 200
    209 agent GET provider-resources/$resource -> 200 {"state": "Terminated", "backend_id": "waldur-shop"}
    210 agent GET provider-resources/$resource/team -> 200 [{}, {}, {}]
    211 agent GET provider-resources?offering_uuid=$offering -> 200 [{"state": "Terminated"}]
    212 agent POST component-usages/set_usage {"resource": "$resource", "usages": [{"type": "cpu", "amount": 1}]} -> 400 {"resource": ["Resource is not in valid state."]}
"#;

#[tokio::test]
async fn refused_and_failed_orders_leave_their_marks() {
    stage().await.play(r#"
        213 owner POST orders {$place, "attributes": {"name": "rejected"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        214 agent POST orders/$order/reject_by_provider {} -> 200
        215 agent GET orders/$order -> 200 {"state": "rejected"}
        216 agent GET provider-resources/$resource -> 200 {"state": "Terminated"}
        217 owner POST orders {$place, "attributes": {"name": "erred"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        218 agent POST orders/$order/approve_by_provider {} -> 200
        219 agent POST orders/$order/set_state_erred {"error_message": "no cluster", "error_traceback": ""} -> 200
        221 agent GET provider-resources/$resource -> 200 {"state": "Erred", "backend_id": ""}
        222 owner POST orders {$place, "attributes": {"name": "half"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        223 agent POST orders/$order/approve_by_provider {} -> 200
        225 agent POST orders/$order/set_state_erred {"error_message": "half made", "error_traceback": "tb"} -> 200
        228 agent POST orders/$order/set_state_executing {} -> 200
        229 agent POST orders/$order/set_state_done {} -> 200
        231 agent GET provider-resources/$resource -> 200 {"state": "OK"}
        232 agent POST provider-resources/$resource/terminate {} -> 200 any ; end=order_uuid
        233 agent GET orders/$end -> 200 {"state": "pending-provider", "type": "Terminate"}
        234 agent POST orders/$end/approve_by_provider {} -> 200
        235 agent POST orders/$end/set_state_erred {"error_message": "cannot delete", "error_traceback": "tb"} -> 200
        236 agent GET orders/$end -> 200 {"state": "erred", "error_message": "cannot delete"}
        237 agent GET provider-resources/$resource -> 200 {"state": "OK"}
        238 owner POST orders {$place, "attributes": {"name": "shortcut"}, "limits": {"cpu": 2}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        239 agent POST orders/$order/set_state_executing {} -> 200
        241 agent GET provider-resources/$resource -> 200 {"state": "Creating", "scope": null}
        242 agent POST orders/$order/set_state_done {} -> 200
        243 agent GET provider-resources/$resource -> 200 {"state": "OK", "backend_id": ""}
    "#).await;
}

#[tokio::test]
async fn the_server_errs_an_update_whose_allocation_was_not_set_ok() {
    stage().await.play(r#"
        320 owner POST orders {$place, "attributes": {"name": "upd"}, "limits": {"cpu": 1}} -> 201 any ; order=uuid resource=marketplace_resource_uuid
        321 agent POST orders/$order/approve_by_provider -> 200
        323 agent POST orders/$order/set_state_done -> 200
        324 staff GET provider-resources/$resource/details -> 200 {"state": "Creation Scheduled"}
        325 owner POST resources/$resource/update_limits {"limits": {"cpu": 2}} -> 200 any ; one=order_uuid
        326 agent POST orders/$one/approve_by_provider -> 200
        327 agent GET orders/$one -> 200 {"state": "erred", "error_message": "Can't switch from state '5' using method 'schedule_updating'"}
        329 agent GET provider-resources/$resource -> 200 {"state": "OK", "limits": {"cpu": 1}}
        330 agent POST slurm-remote/$resource/set_state {"state": "ok"} -> 200 {"detail": "Allocation state has been changed to ok"}
        331 owner POST resources/$resource/update_limits {"limits": {"cpu": 2}} -> 200 any ; two=order_uuid
        332 agent POST orders/$two/approve_by_provider -> 200
        333 agent GET orders/$two -> 200 {"state": "executing"}
        334 agent POST orders/$two/set_state_done -> 200
        335 agent GET provider-resources/$resource -> 200 {"state": "OK", "limits": {"cpu": 2}}
        336 staff GET provider-resources/$resource/details -> 200 {"state": "Update Scheduled"}
        337 owner POST resources/$resource/update_limits {"limits": {"cpu": 3}} -> 200 any ; three=order_uuid
        338 agent POST orders/$three/approve_by_provider -> 200
        339 staff GET orders/$three -> 200 {"state": "erred", "error_message": "Can't switch from state '1' using method 'schedule_updating'"}
    "#).await;
}

#[tokio::test]
async fn a_cost_policy_sets_flags_that_outlive_it() {
    stage().await.play(r#"
        320 owner POST orders {$place, "attributes": {"name": "costly"}, "limits": {"cpu": 1}} -> 201 any ; resource=marketplace_resource_uuid
        301 staff GET project-estimated-cost-policies/actions -> 200 any
        303 staff POST project-estimated-cost-policies {"scope": "$url/api/projects/$project/", "actions": "request_pausing,request_downscaling,restrict_members", "limit_cost": -1} -> 201 {"has_fired": true, "limit_cost": -1} ; policy=uuid
        304 agent GET provider-resources?field=paused&field=downscaled&field=restrict_member_access -> 200 [{"paused": true, "downscaled": true, "restrict_member_access": true}]
        305 staff PATCH project-estimated-cost-policies/$policy {"limit_cost": 1000000} -> 200 {"limit_cost": 1000000, "has_fired": true}
        190 agent GET provider-resources?paused=true&field=paused -> 200 [{"paused": true}]
        190 agent GET provider-resources?paused=false&field=paused -> 200 []
        307 staff DELETE project-estimated-cost-policies/$policy -> 204
        308 agent GET provider-resources?field=paused -> 200 [{"paused": true}]
    "#).await;
}

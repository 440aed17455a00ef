"""A session of the published Waldur client against one server.

Arguments: server URL, API token, offering UUID. The server must hold one pending Create order for that offering.
Every answer is parsed by the client's own models; whatever they cannot parse, or an unexpected status, ends the script
with a traceback. On success the last line of the output is `done`.
"""

import datetime
import importlib
import sys
import uuid

from waldur_api_client import AuthenticatedClient, models

URL, TOKEN, OFFERING = sys.argv[1], sys.argv[2], uuid.UUID(sys.argv[3])
CLIENT = AuthenticatedClient(base_url=URL, token=TOKEN, prefix="Token")


def call(group, endpoint, *args, how="sync", **kwargs):
    """Runs one endpoint of the client, e.g. `call("users", "users_me_retrieve")`."""
    module = importlib.import_module(f"waldur_api_client.api.{group}.{endpoint}")
    return getattr(module, how)(*args, client=CLIENT, **kwargs)


def resources(action, *args, **kwargs):
    return call("marketplace_provider_resources", f"marketplace_provider_resources_{action}", *args, **kwargs)


def orders(action, *args, **kwargs):
    return call("marketplace_orders", f"marketplace_orders_{action}", *args, **kwargs)


def offerings(action, *args, **kwargs):
    return call("marketplace_provider_offerings", f"marketplace_provider_offerings_{action}", *args, **kwargs)


def usages(action, *args, **kwargs):
    return call("marketplace_component_usages", f"marketplace_component_usages_{action}", *args, **kwargs)


def expect(condition, what):
    if not condition:
        sys.exit(f"not as expected: {what}")


def look_around():
    me = call("users", "users_me_retrieve")
    expect(any(permission.scope_uuid for permission in me.permissions), "a role of the agent")
    expect(call("version", "version_retrieve").version, "a version")
    offering = offerings("retrieve", OFFERING)
    expect({c.type_ for c in offering.components} >= {"cpu", "memory"}, "components of the offering")
    provider = call(
        "marketplace_service_providers", "marketplace_service_providers_list", customer_uuid=offering.customer_uuid
    )
    expect(len(provider) == 1, "one service provider")
    # Selected, because the client cannot parse the null that servers send for a project without an end.
    names = ["user_uuid", "user_username", "project_uuid", "role_name", "expiration_time", "created"]
    rows = call(
        "marketplace_service_providers",
        "marketplace_service_providers_project_permissions_list",
        provider[0].uuid,
        field=[models.ProjectPermissionLogFieldEnum(name) for name in names],
        how="sync_all",
    )
    expect({row.role_name for row in rows} == {"PROJECT.MANAGER", "PROJECT.MEMBER"}, "project permissions")
    plan = call("marketplace_plans", "marketplace_plans_retrieve", offering.plans[0].uuid)
    expect(plan.quotas is not None, "quotas of the plan")
    config = offerings("user_attribute_config_retrieve", OFFERING)
    expect("username" in config.exposed_fields, "exposed fields")


def register():
    now = datetime.datetime.now(datetime.timezone.utc)
    identity = call(
        "marketplace_site_agent_identities",
        "marketplace_site_agent_identities_create",
        body=models.AgentIdentityRequest(offering=OFFERING, name=f"agent-{OFFERING}", version="1.0", last_restarted=now),
    )
    listed = call(
        "marketplace_site_agent_identities", "marketplace_site_agent_identities_list", name=f"agent-{OFFERING}"
    )
    expect([row.uuid for row in listed] == [identity.uuid], "the identity in the list")
    service = call(
        "marketplace_site_agent_identities",
        "marketplace_site_agent_identities_register_service",
        identity.uuid,
        body=models.AgentServiceCreateRequest(name="order_process", mode="order_process"),
    )
    processor = call(
        "marketplace_site_agent_services",
        "marketplace_site_agent_services_register_processor",
        service.uuid,
        body=models.AgentProcessorCreateRequest(name="P", backend_type="okd", backend_version="1.0"),
    )
    expect(processor.service_name == "order_process", "the processor's service")
    queue = call(
        "marketplace_site_agent_identities",
        "marketplace_site_agent_identities_register_queue",
        identity.uuid,
        body=models.AgentQueueRegistrationRequest(object_types=[models.ObservableObjectTypeEnum("order")]),
    )
    expect(queue.queue_name.startswith("consumer_"), "the queue's name")
    subscription = call(
        "marketplace_site_agent_identities",
        "marketplace_site_agent_identities_register_event_subscription",
        identity.uuid,
        body=models.AgentEventSubscriptionCreateRequest.from_dict(
            {"observable_object_type": "order", "description": "legacy"}
        ),
    )
    legacy = call(
        "event_subscriptions",
        "event_subscriptions_create_queue",
        subscription.uuid,
        body=models.EventSubscriptionQueueCreateRequest.from_dict(
            {"offering_uuid": str(OFFERING), "object_type": "order"}
        ),
    )
    expect(legacy.queue_name.endswith("_order"), "the legacy queue's name")
    identity = call(
        "marketplace_site_agent_identities", "marketplace_site_agent_identities_retrieve", identity.uuid
    )
    expect(identity.services, "services in the identity")


def process_order():
    # More orders than a page of 100 holds, so that the client has to follow the links.
    listed = orders("list", offering_uuid=OFFERING, state=[models.OrderState("pending-provider")], how="sync_all")
    expect(len(listed) > 100, "all pages of the orders")
    order = next(row for row in listed if row.type_ == "Create" and row.resource_name == "shop")
    orders("approve_by_provider", order.uuid, body=models.OrderApproveByProviderRequest())
    expect(orders("retrieve", order.uuid).state == "executing", "the order executes")
    resource = resources("retrieve", order.marketplace_resource_uuid)
    expect(resource.slug and resource.project_slug and resource.customer_slug, "slugs")
    resources("set_backend_id", resource.uuid, body=models.ResourceBackendIDRequest("waldur-shop"))
    metadata = models.ResourceBackendMetadataRequest.from_dict({"backend_metadata": {"name": "waldur-shop"}})
    resources("set_backend_metadata", resource.uuid, body=metadata)
    limits = models.ResourceSetLimitsRequest.from_dict({"limits": {"cpu": 3}})
    resources("set_limits", resource.uuid, body=limits)
    endpoints = models.ResourceEndpointsRequest.from_dict({"endpoints": [{"name": "console", "url": "https://c"}]})
    resources("set_endpoints", resource.uuid, body=endpoints)
    orders("set_state_done", order.uuid, how="sync_detailed")
    expect(resources("retrieve", resource.uuid).state == "OK", "the resource is OK")
    failing = next(row for row in listed if row.type_ == "Update")
    orders("approve_by_provider", failing.uuid, body=models.OrderApproveByProviderRequest())
    errors = models.OrderErrorDetailsRequest(error_message="no room", error_traceback="")
    orders("set_state_erred", failing.uuid, body=errors, how="sync_detailed")
    expect(orders("retrieve", failing.uuid).error_message == "no room", "the message of the failed order")
    refused = next(row for row in listed if row.type_ == "Update" and row.uuid != failing.uuid)
    rejection = models.OrderProviderRejectionRequest.from_dict({"provider_rejection_comment": "not now"})
    orders("reject_by_provider", refused.uuid, body=rejection, how="sync_detailed")
    expect(orders("retrieve", refused.uuid).state == "rejected", "the rejected order")
    return resource.uuid


def keep(resource):
    states = [models.ResourceState("OK"), models.ResourceState("Erred")]
    listed = resources("list", offering_uuid=[OFFERING], state=states, how="sync_all")
    expect(len(listed) > 100, "all pages of the resources")
    team = resources("team_list", resource)
    expect(all(member.role and member.offering_user_username for member in team) and team, "a team with names")
    resources("refresh_last_sync", resource, how="sync_detailed")
    erred = models.ResourceSetStateErredRequest(error_message="down", error_traceback="")
    resources("set_as_erred", resource, body=erred, how="sync_detailed")
    resources("set_as_ok", resource, how="sync_detailed")
    people = call(
        "marketplace_offering_users", "marketplace_offering_users_list", offering_uuid=[OFFERING], how="sync_all"
    )
    expect(people and all(person.state == "OK" for person in people), "offering users")
    renamed = call(
        "marketplace_offering_users",
        "marketplace_offering_users_partial_update",
        people[0].uuid,
        body=models.PatchedOfferingUserRequest(username="renamed"),
    )
    expect(renamed.username == "renamed", "a renamed offering user")
    services = offerings("list_project_service_accounts_list", OFFERING, how="sync_all")
    courses = offerings("list_course_accounts_list", OFFERING, how="sync_all")
    expect(services[0].username == "svc-web" and courses[0].username == "course1", "accounts")
    unique = offerings(
        "check_unique_backend_id",
        OFFERING,
        body=models.CheckUniqueBackendIDRequest(backend_id="waldur-shop", check_all_offerings=False),
    )
    expect(unique.is_unique is False, "the taken backend id")


def report(resource):
    month = datetime.date.today().replace(day=1)
    lines = [models.ComponentUsageItemRequest(type_="cpu", amount="3.50")]
    body = models.ComponentUsageCreateRequest(resource=resource, usages=lines)
    usages("set_usage", body=body, how="sync_detailed")
    stored = usages("list", resource_uuid=resource, how="sync_all")
    expect([(row.type_, str(row.usage)) for row in stored] == [("cpu", "3.50")], "the reported usage")
    expect(stored[0].billing_period == month, "the billing period")
    per_user = models.ComponentUserUsageCreateRequest(username="renamed", usage="1.00")
    bulk = models.ComponentUserUsageBulkCreateRequest(usages=[per_user])
    usages("set_user_usages", stored[0].uuid, body=bulk, how="sync_detailed")
    rows = call(
        "marketplace_component_user_usages",
        "marketplace_component_user_usages_list",
        resource_uuid=resource,
        how="sync_all",
    )
    expect([row.username for row in rows] == ["renamed"], "the usage of a user")
    limits = call(
        "component_user_usage_limits", "component_user_usage_limits_list", resource_uuid=resource, how="sync_all"
    )
    expect(limits == [], "no limits of users")


look_around()
register()
RESOURCE = process_order()
keep(RESOURCE)
report(RESOURCE)
print("done")

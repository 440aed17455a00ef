//! Agent identities, their services and processors, event subscriptions and queues (Waldur contract §9.7).

use serde_json::{Value, json};

use super::{View, optional_time, time};
use crate::waldur::fields::{Fields, render};
use crate::waldur::model::{
    AgentIdentity, AgentProcessor, AgentService, BackendResource, BackendResourceRequest, EventConsumer,
    EventQueue, EventSubscription, User,
};
use crate::waldur::request::hex;

impl View<'_> {
    pub(crate) fn identity(&self, identity: &AgentIdentity, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("uuid", hex(identity.uuid));
            out.put("url", self.url("marketplace-site-agent-identities", identity.uuid));
            out.put("offering", hex(identity.offering));
            out.put("created_by", hex(identity.created_by));
            out.put("name", identity.name.clone());
            out.nulls(&["version", "config_file_path", "config_file_content", "last_restarted"]);
            out.put("dependencies", json!([]));
            out.extend(&identity.sent);
            out.put("created", time(identity.created));
            out.put("modified", time(identity.modified));
            out.with("services", || {
                let services = self.state.services.select(&[identity.uuid], &[]);
                Value::Array(
                    services.into_iter().map(|row| self.agent_service(row, &Fields::all())).collect(),
                )
            });
            out.put(
                "compatibility",
                json!({ "status": "compatible", "message": "", "minimum_required": "1.0.2" }),
            );
        })
    }

    pub(crate) fn agent_service(&self, service: &AgentService, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("uuid", hex(service.uuid));
            out.put("url", self.url("marketplace-site-agent-services", service.uuid));
            out.put("identity", hex(service.identity));
            let identity = self.state.identities.get(service.identity);
            out.put("identity_name", identity.map(|identity| identity.name.clone()));
            out.put("name", service.name.clone());
            out.put("mode", service.mode.clone());
            out.put("state", "Active");
            out.put("statistics", service.statistics.clone());
            out.put("created", time(service.created));
            out.put("modified", time(service.modified));
            out.with("processors", || {
                let processors = self.state.processors.select(&[service.uuid], &[]);
                Value::Array(processors.into_iter().map(|row| self.processor(row, &Fields::all())).collect())
            });
        })
    }

    pub(crate) fn processor(&self, processor: &AgentProcessor, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("uuid", hex(processor.uuid));
            out.put("url", self.url("marketplace-site-agent-processors", processor.uuid));
            out.put("service", hex(processor.service));
            let service = self.state.services.get(processor.service);
            out.put("service_name", service.map(|service| service.name.clone()));
            out.put("name", processor.name.clone());
            out.put("backend_type", processor.backend_type.clone());
            out.put("backend_version", processor.backend_version.clone());
            out.put("last_run", time(processor.last_run));
            out.put("created", time(processor.created));
            out.put("modified", time(processor.modified));
        })
    }

    pub(crate) fn subscription(&self, subscription: &EventSubscription, fields: &Fields) -> Value {
        let user = self.state.users.get(subscription.user);
        render(fields, |out| {
            out.put("uuid", hex(subscription.uuid));
            out.put("url", self.url("event-subscriptions", subscription.uuid));
            out.put("user", self.url("users", subscription.user));
            out.put("user_uuid", hex(subscription.user));
            out.put("user_username", user.map(|user| user.username.clone()));
            out.put("user_full_name", user.map(User::full_name));
            out.put("description", subscription.description.clone());
            out.put("observable_objects", json!([{ "object_type": subscription.object_type }]));
            out.put("created", time(subscription.created));
            out.put("modified", time(subscription.modified));
            out.put("source_ip", "127.0.0.1");
        })
    }

    pub(crate) fn queue(&self, queue: &EventQueue, fields: &Fields) -> Value {
        let subscription = self.state.subscriptions.get(queue.subscription);
        render(fields, |out| {
            out.put("uuid", hex(queue.uuid));
            out.put("url", self.url("event-subscription-queues", queue.uuid));
            out.put("event_subscription", self.url("event-subscriptions", queue.subscription));
            out.put("event_subscription_uuid", hex(queue.subscription));
            out.put("offering_uuid", hex(queue.offering));
            out.put("object_type", queue.object_type.clone());
            out.put("queue_name", queue.name());
            out.put("vhost", subscription.map(|subscription| hex(subscription.user)));
            out.put("created", time(queue.created));
        })
    }

    pub(crate) fn consumer(&self, consumer: &EventConsumer) -> Value {
        json!({
            "rmq_username": consumer.rmq_username,
            "queue_name": consumer.queue_name(),
            "vhost": hex(consumer.user),
            "observable_object_types": consumer.object_types,
        })
    }

    pub(crate) fn backend_resource(&self, row: &BackendResource, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("url", self.url("backend-resources", row.uuid));
            out.put("uuid", hex(row.uuid));
            out.put("name", row.name.clone());
            out.put("backend_id", row.backend_id.clone());
            out.put("backend_metadata", row.backend_metadata.clone());
            out.put("project", hex(row.project));
            out.put("project_name", self.state.project_name(row.project));
            out.put("project_url", self.url("projects", row.project));
            out.put("offering", hex(row.offering));
            let offering = self.state.offerings.get(row.offering);
            out.put("offering_name", offering.map(|offering| offering.name.clone()));
            out.put("offering_url", self.url("marketplace-provider-offerings", row.offering));
            out.put("created", time(row.created));
            out.put("modified", time(row.modified));
        })
    }

    pub(crate) fn backend_resource_request(&self, row: &BackendResourceRequest, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("url", self.url("backend-resource-requests", row.uuid));
            out.put("uuid", hex(row.uuid));
            out.put("created", time(row.created));
            out.put("modified", time(row.modified));
            out.put("started", optional_time(row.started));
            out.put("finished", optional_time(row.finished));
            out.put("state", row.state.as_str());
            out.put("offering", hex(row.offering));
            let offering = self.state.offerings.get(row.offering);
            out.put("offering_name", offering.map(|offering| offering.name.clone()));
            out.put("offering_url", self.url("marketplace-provider-offerings", row.offering));
            out.put("error_message", row.error_message.clone());
            out.put("error_traceback", row.error_traceback.clone());
        })
    }
}

impl EventQueue {
    /// Name of a legacy queue.
    pub(crate) fn name(&self) -> String {
        format!(
            "subscription_{}_offering_{}_{}",
            hex(self.subscription),
            hex(self.offering),
            self.object_type
        )
    }
}

impl EventConsumer {
    /// Name of the unified queue.
    pub(crate) fn queue_name(&self) -> String {
        format!("consumer_{}", hex(self.uuid))
    }
}

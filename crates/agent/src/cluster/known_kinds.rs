//! How kinds that projects often hold are called in rules and paths, for where no cluster can be asked. A table only;
//! where there is a cluster, its discovery says it.

/// API group, kind, plural.
const KINDS: [(&str, &str, &str); 41] = [
    ("", "ConfigMap", "configmaps"),
    ("", "Endpoints", "endpoints"),
    ("", "LimitRange", "limitranges"),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "PodTemplate", "podtemplates"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("", "ResourceQuota", "resourcequotas"),
    ("", "Secret", "secrets"),
    ("", "Service", "services"),
    ("", "ServiceAccount", "serviceaccounts"),
    ("apps", "DaemonSet", "daemonsets"),
    ("apps", "Deployment", "deployments"),
    ("apps", "ReplicaSet", "replicasets"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps.openshift.io", "DeploymentConfig", "deploymentconfigs"),
    ("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch", "CronJob", "cronjobs"),
    ("batch", "Job", "jobs"),
    ("build.openshift.io", "BuildConfig", "buildconfigs"),
    ("cert-manager.io", "Certificate", "certificates"),
    ("cert-manager.io", "Issuer", "issuers"),
    ("coordination.k8s.io", "Lease", "leases"),
    ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    ("external-secrets.io", "ExternalSecret", "externalsecrets"),
    ("external-secrets.io", "SecretStore", "secretstores"),
    ("image.openshift.io", "ImageStream", "imagestreams"),
    ("k8s.cni.cncf.io", "NetworkAttachmentDefinition", "network-attachment-definitions"),
    ("k8s.ovn.org", "EgressFirewall", "egressfirewalls"),
    ("k8s.ovn.org", "EgressQoS", "egressqoses"),
    ("monitoring.coreos.com", "PodMonitor", "podmonitors"),
    ("monitoring.coreos.com", "PrometheusRule", "prometheusrules"),
    ("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"),
    ("networking.k8s.io", "Ingress", "ingresses"),
    ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    ("operators.coreos.com", "OperatorGroup", "operatorgroups"),
    ("operators.coreos.com", "Subscription", "subscriptions"),
    ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "Role", "roles"),
    ("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    ("route.openshift.io", "Route", "routes"),
    ("template.openshift.io", "Template", "templates"),
];

/// The plural of a kind; `None` if only a cluster that serves it can tell.
pub(crate) fn plural(group: &str, kind: &str) -> Option<&'static str> {
    let found = KINDS.iter().find(|known| (known.0, known.1) == (group, kind));
    found.map(|(_, _, plural)| *plural)
}

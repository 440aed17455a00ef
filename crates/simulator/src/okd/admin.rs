//! What a cluster administrator, or fate, does to the simulated cluster: accounts, objects, and the switches of tests.
//!
//! These go past authentication, authorisation and admission; defaults and validation hold.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::{
    self, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, KINDS, Kind, NAMESPACES, RBAC, SERVICE_ACCOUNTS,
};
use super::objects::{self, DeleteOptions, Unknown, Writer};
use super::rbac::User;
use super::store::Key;
use super::{Flavour, Okd, State, Token, controllers, roles};
use crate::oauth::OAuth;

/// The namespace and the name of the agent's service account in its documentation.
const AGENT: (&str, &str) = ("waldur-system", "waldur-site-agent");

/// For whom tokens have to be that the API server takes.
pub const AUDIENCE: &str = "https://kubernetes.default.svc";

const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
const OPENSHIFT_NAMESPACES: [&str; 4] =
    ["openshift", "openshift-apiserver", "openshift-infra", "openshift-node"];

impl State {
    /// The user of a token that has not expired and whose service account, if it is one's, still exists.
    pub(crate) fn user_of(&self, token: &str, now: Timestamp) -> Option<&User> {
        let Token { user, expires } = self.tokens.get(token)?;
        let account = user.name.strip_prefix("system:serviceaccount:").filter(|_| !user.uid.is_empty());
        let exists = account.and_then(|account| account.split_once(':')).is_none_or(|(namespace, name)| {
            self.store.get(SERVICE_ACCOUNTS, namespace, name).is_some_and(|account| *account.uid == *user.uid)
        });
        (exists && expires.is_none_or(|expires| now < expires)).then_some(user)
    }
}

fn administrator() -> User {
    User {
        name: "system:admin".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        uid: String::new(),
    }
}

/// A resource by its plural name, with or without group: `resourcequotas`, `rolebindings.rbac.authorization.k8s.io`.
fn kind_named(resource: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == resource || kind.qualified() == resource)
}

impl Okd {
    pub(super) fn bootstrap(&self) {
        let openshift = self.options().flavour == Flavour::OpenShift;
        for role in roles::cluster_roles() {
            self.put_as(CLUSTER_ROLES, "", role);
        }
        for (name, role, group) in roles::CLUSTER_ROLE_BINDINGS {
            let subject = json!({"kind": "Group", "apiGroup": RBAC, "name": group});
            self.put_as(CLUSTER_ROLE_BINDINGS, "", cluster_binding(name, role, &subject));
        }
        let more: &[&str] = if openshift { &OPENSHIFT_NAMESPACES } else { &[] };
        for name in SYSTEM_NAMESPACES.iter().chain(more) {
            self.put_as(NAMESPACES, "", json!({"metadata": {"name": name}}));
        }
        // Nothing of the cluster's own making is news to anyone.
        self.lock().fresh.clear();
    }

    /// Writes as the administrator; the outcome of what is refused is `None`.
    fn put_as(&self, kind: &'static Kind, namespace: &str, object: Value) -> Option<Value> {
        let (now, user) = (self.now_text(), administrator());
        let mut writer = Writer {
            user: &user,
            manager: "cluster-admin",
            dry_run: false,
            unknown: Unknown::Ignore,
            now: &now,
            warnings: Vec::new(),
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = Key::new(namespace, &name);
        let written = {
            let store = &mut self.lock().store;
            if store.table(kind).get(&key).is_some() {
                objects::update(store, kind, &key, "", object, &mut writer).map(|(stored, _)| (stored, false))
            } else {
                objects::create(store, kind, namespace, object, &mut writer).map(|stored| (stored, true))
            }
        };
        match written {
            Ok((stored, created)) => {
                if created && kind == NAMESPACES {
                    self.note_birth(&name);
                }
                self.changed(kind, namespace, &name);
                Some(stored.value())
            }
            Err(error) => {
                tracing::warn!(resource = kind.plural, namespace, name, error = %error.body(), "write refused");
                None
            }
        }
    }

    /// Creates or replaces an object, which says its `kind`, `apiVersion`, name and namespace. A missing namespace is made.
    ///
    /// The status is taken too, as controllers write it. Returns the object as stored, or `None` if it is invalid.
    pub fn put(&self, mut object: Value) -> Option<Value> {
        let version = object["apiVersion"].as_str().unwrap_or("v1").to_owned();
        let name = object["kind"].as_str().unwrap_or_default().to_owned();
        let kind = KINDS.iter().find(|kind| kind.kind == name && kind.api_version() == version)?;
        objects::take_type(kind, &mut object).ok()?;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        if kind.namespaced {
            self.ensure_namespace(&namespace);
        }
        let status = object.get("status").cloned();
        let mut stored = self.put_as(kind, &namespace, object)?;
        if let Some(status) = status.filter(|status| *status != stored["status"]) {
            stored["status"] = status;
            let name = stored["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.lock().store.put(kind, stored);
            self.changed(kind, &namespace, &name);
            return self.get(kind.plural, &namespace, &name);
        }
        Some(stored)
    }

    fn ensure_namespace(&self, name: &str) {
        if self.lock().store.get(NAMESPACES, "", name).is_none() {
            self.put_as(NAMESPACES, "", json!({"metadata": {"name": name}}));
        }
    }

    /// An object without `kind` and `apiVersion`; `resource` is the plural name, `namespace` empty for cluster resources.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = kind_named(resource)?;
        self.lock().store.get(kind, namespace, name).map(|stored| stored.value())
    }

    /// All objects of a resource, of one namespace or of all.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let Some(kind) = kind_named(resource) else { return Vec::new() };
        self.lock().store.table(kind).range(namespace, None).map(|stored| stored.value()).collect()
    }

    /// How many objects of a resource there are.
    #[must_use]
    pub fn count(&self, resource: &str) -> usize {
        kind_named(resource).map_or(0, |kind| self.lock().store.table(kind).len())
    }

    /// Deletes an object as `kubectl delete` would; false if there was none or it may not be deleted.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> bool {
        let Some(kind) = kind_named(resource) else { return false };
        let now = self.now_text();
        let key = Key::new(namespace, name);
        let deleted =
            objects::delete(&mut self.lock().store, kind, &key, &DeleteOptions::default(), &now).is_ok();
        self.changed(kind, namespace, name);
        deleted
    }

    pub(super) fn note_birth(&self, namespace: &str) {
        let staleness = i64::try_from(self.options().project_list_staleness.as_millis()).unwrap_or(i64::MAX);
        if staleness > 0 {
            let now = self.now().as_millisecond();
            let mut state = self.lock();
            state.fresh.retain(|(_, born)| now - born <= staleness);
            state.fresh.push((namespace.to_owned(), now));
        }
    }

    /// A token for any user, valid until `expires` on the cluster's clock.
    pub fn issue_token(&self, user: &User, expires: Option<Timestamp>) -> String {
        let mut state = self.lock();
        let token = format!("sha256~{}{}", state.store.new_uid(), state.store.suffix());
        state.tokens.insert(token.clone(), Token { user: user.clone(), expires });
        token
    }

    /// A token bound to a service account, which is made if need be: a JWT for this audience that is good for so long on
    /// the cluster's clock.
    pub fn bound_token(&self, namespace: &str, name: &str, audience: &str, lifetime: Duration) -> String {
        let plain = self.add_service_account(namespace, name);
        let expires = self.now().checked_add(lifetime).unwrap_or(Timestamp::MAX);
        let known = self.lock().tokens.remove(&plain);
        match known {
            Some(Token { user, .. }) => self.issue_bound(&user, audience, expires),
            None => plain,
        }
    }

    /// A JWT of a service account; one for another audience than the API server's is not taken there.
    pub(super) fn issue_bound(&self, user: &User, audience: &str, expires: Timestamp) -> String {
        let mut state = self.lock();
        let id = state.store.new_uid();
        let token = crate::bound_token::jwt(&user.name, audience, Some(expires), &id);
        if audience == AUDIENCE {
            state.tokens.insert(token.clone(), Token { user: user.clone(), expires: Some(expires) });
        }
        token
    }

    /// A token of the agent's service account that is good for so long.
    pub fn agent_token(&self, lifetime: Duration) -> String {
        let (namespace, name) = AGENT;
        self.bound_token(namespace, name, AUDIENCE, lifetime)
    }

    /// Takes the agent's service account for whoever shows this certificate (DER) and no token.
    pub fn trust_certificate(&self, der: Vec<u8>) {
        let (namespace, name) = AGENT;
        let token = self.add_service_account(namespace, name);
        let mut state = self.lock();
        if let Some(Token { user, .. }) = state.tokens.remove(&token) {
            state.certificates.insert(der, user);
        }
    }

    /// Takes a client certificate for nobody's any more.
    pub fn distrust_certificate(&self, der: &[u8]) {
        self.lock().certificates.remove(der);
    }

    /// Names the OAuth server that users of this cluster log in at, in the document that says so.
    pub fn set_oauth(&self, oauth: OAuth) {
        self.lock().oauth = Some(oauth);
    }

    /// Makes a token invalid; unknown ones are ignored.
    pub fn revoke_token(&self, token: &str) {
        self.lock().tokens.remove(token);
    }

    /// A token of a user with these groups (and `system:authenticated`).
    pub fn add_user(&self, name: &str, groups: &[&str]) -> String {
        let groups = groups.iter().copied().chain(["system:authenticated"]).map(str::to_owned).collect();
        self.issue_token(&User { name: name.to_owned(), groups, uid: String::new() }, None)
    }

    /// A token that may do everything.
    pub fn admin_token(&self) -> String {
        self.issue_token(&administrator(), None)
    }

    /// Creates a service account, and its namespace if need be; returns a token of it.
    pub fn add_service_account(&self, namespace: &str, name: &str) -> String {
        self.ensure_namespace(namespace);
        let uid = match self.get(SERVICE_ACCOUNTS.plural, namespace, name) {
            Some(account) => account["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            None => self
                .put_as(
                    SERVICE_ACCOUNTS,
                    namespace,
                    json!({"metadata": {"name": name, "namespace": namespace}}),
                )
                .and_then(|account| account["metadata"]["uid"].as_str().map(str::to_owned))
                .unwrap_or_default(),
        };
        self.issue_token(&User::service_account(namespace, name, &uid), None)
    }

    /// Creates or replaces a ClusterRole; `rules` is an array of PolicyRules.
    pub fn put_cluster_role(&self, name: &str, rules: Value) {
        self.put_as(CLUSTER_ROLES, "", json!({"metadata": {"name": name}, "rules": rules}));
    }

    /// Grants a ClusterRole in the whole cluster; `subject` as in a ClusterRoleBinding.
    pub fn bind_cluster_role(&self, name: &str, role: &str, subject: &Value) {
        self.put_as(CLUSTER_ROLE_BINDINGS, "", cluster_binding(name, role, subject));
    }

    /// The agent's service account as its documentation sets it up, with the ClusterRole `rules`
    /// ([`super::documented_agent_rules`] or [`super::extended_agent_rules`]); returns its token.
    pub fn add_agent(&self, rules: Value) -> String {
        let (namespace, name) = AGENT;
        let token = self.add_service_account(namespace, name);
        self.put_cluster_role(name, rules);
        self.bind_cluster_role(
            name,
            name,
            &json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        );
        token
    }

    /// Keeps a namespace in `Terminating` once it is deleted, by an object in it with this finalizer.
    pub fn hold_termination(&self, namespace: &str, finalizer: &str) {
        let metadata = json!({"name": "held", "namespace": namespace, "finalizers": [finalizer]});
        self.put_as(CONFIG_MAPS, namespace, json!({"metadata": metadata}));
    }

    /// Takes off what [`Okd::hold_termination`] put on.
    pub fn release_termination(&self, namespace: &str) {
        let Some(mut held) = self.get(CONFIG_MAPS.plural, namespace, "held") else { return };
        if let Some(metadata) = held["metadata"].as_object_mut() {
            metadata.remove("finalizers");
        }
        self.put_as(CONFIG_MAPS, namespace, held);
    }

    /// Takes openshift-apiserver away (projects answer 503 in plain text, namespaces do not go) or brings it back.
    pub fn set_aggregated_down(&self, down: bool) {
        self.lock().aggregated_down = down;
        if !down {
            let waiting: Vec<String> = {
                let state = self.lock();
                let all = state.store.table(NAMESPACES).range(None, None);
                all.filter(|stored| stored.deleting).map(|stored| stored.key.name.to_string()).collect()
            };
            for namespace in waiting {
                self.after(controllers::Job::Finish(namespace), self.options().termination_delay);
            }
        }
    }

    /// Forgets the past: watches and continued lists that begin before now answer 410, open watches that have not read
    /// everything end with it.
    pub fn compact(&self) {
        self.lock().store.compact();
    }
}

fn cluster_binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "metadata": {"name": name},
        "subjects": [subject],
        "roleRef": {"apiGroup": kinds::RBAC, "kind": "ClusterRole", "name": role},
    })
}

/// A kubeconfig (YAML) for one cluster with a token; `ca_pem` empty for plain HTTP.
#[must_use]
pub fn kubeconfig(url: &str, ca_pem: &str, token: &str) -> String {
    use base64::Engine as _;
    let mut cluster = json!({"server": url});
    if !ca_pem.is_empty() {
        cluster["certificate-authority-data"] =
            base64::engine::general_purpose::STANDARD.encode(ca_pem).into();
    }
    // JSON is YAML.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "simulator", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "simulator", "context": {"cluster": "simulator", "user": "user"}}],
        "current-context": "simulator",
    });
    format!("{config:#}\n")
}

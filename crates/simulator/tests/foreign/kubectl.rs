//! The real `kubectl` over TLS: what it prints, and what it leaves in the cluster.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use simulator::okd::{Okd, OkdOptions, documented_agent_rules, kubeconfig};
use simulator::server::{ServeOptions, Server, serve};
use simulator::tls::Tls;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

struct Kubectl {
    okd: Okd,
    home: TempDir,
    config: std::path::PathBuf,
    _server: Server,
}

impl Kubectl {
    async fn admin() -> Self {
        Self::with(Okd::admin_token).await
    }

    async fn agent() -> Self {
        Self::with(|okd| okd.add_agent(documented_agent_rules())).await
    }

    async fn with(token: impl FnOnce(&Okd) -> String) -> Self {
        let okd = Okd::new(OkdOptions::immediate());
        let tls = Tls::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = serve(
            okd.router(),
            listener,
            ServeOptions { tls: Some(tls.server_config()), ..Okd::serve_options() },
        );
        let home = TempDir::new().unwrap();
        let config = home.path().join("kubeconfig");
        std::fs::write(&config, kubeconfig(&server.url, tls.ca_pem(), &token(&okd))).unwrap();
        Self { okd, home, config, _server: server }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", &self.config)
            .env("HOME", self.home.path());
        command.env_remove("HTTPS_PROXY").env_remove("https_proxy").kill_on_drop(true);
        command
    }

    async fn try_run(&self, arguments: &str) -> Output {
        self.command(arguments).output().await.expect("kubectl is installed")
    }

    /// Standard output of a call that must succeed.
    #[track_caller]
    fn output(arguments: &str, output: &Output) -> String {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn run(&self, arguments: &str) -> String {
        Self::output(arguments, &self.try_run(arguments).await)
    }

    /// With a manifest on standard input.
    async fn feed(&self, arguments: &str, manifest: &Value) -> String {
        let mut file = tempfile::NamedTempFile::new_in(self.home.path()).unwrap();
        write!(file, "{manifest}").unwrap();
        self.run(&format!("{arguments} -f {}", file.path().display())).await
    }
}

fn quota() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "waldur-quota", "namespace": "team"},
        "spec": {"hard": {"limits.cpu": "8000m", "limits.memory": "16Gi", "pods": "50"}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_created_listed_and_deleted() {
    let kubectl = Kubectl::admin().await;
    assert_eq!(kubectl.run("create namespace team").await, "namespace/team created\n");
    let duplicate = kubectl.try_run("create namespace team").await;
    let error = String::from_utf8_lossy(&duplicate.stderr).into_owned();
    assert_eq!(error, "Error from server (AlreadyExists): namespaces \"team\" already exists\n");
    let table = kubectl.run("get namespaces").await;
    let row =
        table.lines().find(|line| line.starts_with("team ")).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!((row[0], row[1]), ("team", "Active"));
    let names = kubectl.run("get ns -o name").await;
    assert!(names.lines().any(|line| line == "namespace/team"));
    assert_eq!(kubectl.run("get ns team -o jsonpath={.status.phase}").await, "Active");
    assert!(kubectl.run("describe ns team").await.contains("Status:       Active"));
    kubectl.run("label namespace team a=b").await;
    assert_eq!(kubectl.run("get ns -l a=b -o name").await, "namespace/team\n");
    assert_eq!(
        kubectl.run("delete namespace team --wait --timeout=20s").await,
        "namespace \"team\" deleted\n"
    );
    assert!(kubectl.okd.get("namespaces", "", "team").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_shown_and_requested() {
    let kubectl = Kubectl::agent().await;
    let request = json!({
        "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": "team"}, "displayName": "Team",
    });
    let made = kubectl.feed("create", &request).await;
    assert!(made.contains("/team created"), "{made}");
    let table = kubectl.run("get projects").await;
    assert!(table.lines().next().unwrap().starts_with("NAME"), "{table}");
    let row =
        table.lines().find(|line| line.starts_with("team ")).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row, ["team", "Team", "Active"]);
    assert_eq!(
        kubectl.run("delete project team --wait --timeout=20s").await.lines().next().unwrap(),
        "project.project.openshift.io \"team\" deleted"
    );
    assert!(kubectl.okd.get("namespaces", "", "team").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_applied_described_and_contested() {
    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    let apply = "apply --server-side --field-manager=waldur-site-agent";
    assert_eq!(kubectl.feed(apply, &quota()).await, "resourcequota/waldur-quota serverside-applied\n");
    let stored = kubectl.okd.get("resourcequotas", "team", "waldur-quota").unwrap();
    assert_eq!(stored["spec"]["hard"], json!({"limits.cpu": "8", "limits.memory": "16Gi", "pods": "50"}));
    let described = kubectl.run("describe quota waldur-quota -n team").await;
    let row = described.lines().find(|line| line.starts_with("limits.cpu")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["limits.cpu", "0", "8"]);
    let mut other = quota();
    other["spec"]["hard"] = json!({"pods": "60"});
    let file = kubectl.home.path().join("other.json");
    std::fs::write(&file, other.to_string()).unwrap();
    let refused =
        kubectl.try_run(&format!("apply --server-side --field-manager=other -f {}", file.display())).await;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("conflict with \"waldur-site-agent\": .spec.hard.pods"), "{error}");
    kubectl
        .run("patch quota waldur-quota -n team --type=merge -p {\"spec\":{\"hard\":{\"pods\":\"70\"}}}")
        .await;
    let stored = kubectl.okd.get("resourcequotas", "team", "waldur-quota").unwrap();
    assert_eq!(stored["spec"]["hard"]["pods"], "70");
    let fields = stored["metadata"]["managedFields"].as_array().unwrap();
    assert!(fields.iter().any(|entry| entry["manager"] == "kubectl-patch" && entry["operation"] == "Update"));
    assert!(kubectl.run("get quota -n team").await.contains("waldur-quota"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_side_apply_creates_and_changes() {
    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    assert_eq!(kubectl.feed("apply", &quota()).await, "resourcequota/waldur-quota created\n");
    let mut changed = quota();
    changed["spec"]["hard"] = json!({"pods": "51"});
    assert_eq!(kubectl.feed("apply", &changed).await, "resourcequota/waldur-quota configured\n");
    assert_eq!(
        kubectl.okd.get("resourcequotas", "team", "waldur-quota").unwrap()["spec"]["hard"],
        json!({"pods": "51"})
    );
    assert_eq!(kubectl.feed("apply", &changed).await, "resourcequota/waldur-quota unchanged\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_binding_gives_access() {
    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    let can = "auth can-i create pods -n team --as john@acme.com";
    assert_eq!(String::from_utf8_lossy(&kubectl.try_run(can).await.stdout), "no\n");
    let create = "create rolebinding waldur-users-edit --clusterrole=edit --user=john@acme.com -n team";
    assert_eq!(
        kubectl.run(create).await,
        "rolebinding.rbac.authorization.k8s.io/waldur-users-edit created\n"
    );
    assert_eq!(kubectl.run(can).await, "yes\n");
    let other = kubectl.try_run("auth can-i create resourcequotas -n team --as john@acme.com").await;
    assert_eq!(String::from_utf8_lossy(&other.stdout), "no\n");
    assert!(kubectl.run("get rolebindings -n team").await.contains("ClusterRole/edit"));
    let list = kubectl.run("auth can-i --list -n team --as john@acme.com").await;
    assert!(list.contains("configmaps"));
    assert!(kubectl.run("auth whoami").await.contains("system:admin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_role_is_as_documented() {
    let kubectl = Kubectl::agent().await;
    assert_eq!(kubectl.run("auth can-i create projectrequests.project.openshift.io").await, "yes\n");
    let watch = kubectl.try_run("auth can-i watch namespaces").await;
    assert_eq!(String::from_utf8_lossy(&watch.stdout), "no\n");
    let secrets = kubectl.try_run("get secrets -n waldur-system").await;
    let error = String::from_utf8_lossy(&secrets.stderr).into_owned();
    assert!(
        error.starts_with(
            "Error from server (Forbidden): secrets is forbidden: User \"system:serviceaccount:"
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_changes_until_its_bound() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    let arguments = "get quota -n team -w -o name --request-timeout=20s";
    let mut watching = kubectl.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    kubectl.feed("create", &quota()).await;
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("resourcequota/waldur-quota"));
    watching.kill().await.unwrap();
    let waited = kubectl.run("wait ns/team --for=jsonpath={.status.phase}=Active --timeout=20s").await;
    assert_eq!(waited, "namespace/team condition met\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_can_be_made_and_read() {
    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "quota-set.1", "namespace": "team"},
        "involvedObject": {"kind": "Namespace", "name": "team", "namespace": "team"},
        "reason": "QuotaSet", "message": "quota set by Waldur", "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
        "source": {"component": "waldur-site-agent"},
    });
    kubectl.feed("create", &event).await;
    let events = kubectl.run("get events -n team --field-selector reason=QuotaSet").await;
    assert!(events.contains("quota set by Waldur"), "{events}");
    let none = kubectl.try_run("get events -n team --field-selector reason=Other").await;
    assert!(String::from_utf8_lossy(&none.stdout).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_scaled() {
    let kubectl = Kubectl::admin().await;
    kubectl.run("create namespace team").await;
    kubectl.run("create deployment web --image=x -n team").await;
    kubectl.run("scale deployment/web --replicas=0 -n team").await;
    let deployment = kubectl.okd.get("deployments", "team", "web").unwrap();
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]),
        (&json!(0), &json!(2))
    );
    kubectl.run("create configmap m --from-literal=a=b -n team").await;
    assert!(kubectl.run("describe configmap m -n team").await.contains("a:\n----\nb"));
}

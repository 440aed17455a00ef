//! Who the agent is to the cluster: in a pod, by a kubeconfig, by OAuth.

use std::path::Path;

use super::super::{
    ClusterSettings, ClusterToken, Environment, OAuthGrant, Strictness, TlsVerify, check_text, render,
};
use super::OFFERING;

const POD: &[(&str, &str)] = &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "6443")];
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const KUBECONFIG: &str = "\
contexts:
  - {name: production, context: {cluster: okd, user: agent}}
  - {name: test, context: {cluster: okd, user: program}}
current-context: production
clusters:
  - {name: okd, cluster: {server: 'https://api.okd.example.com:6443', certificate-authority: okd.pem}}
users:
  - {name: agent, user: {token: planted}}
  - {name: program, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login}}}
";

/// The cluster of a file with these lines in `backend_settings`, in place of URL and token.
fn cluster(lines: &str, variables: &[(&str, &str)]) -> (ClusterSettings, String) {
    let keys = "      api_url: https://api.okd.example.com:6443\n      token: okd-token\n";
    let text = OFFERING.replace(keys, if lines.is_empty() { "      adopt: false\n" } else { lines });
    let environment = Environment::new(
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        |path| match path.to_str() {
            Some("/etc/kubeconfig") => Ok(KUBECONFIG.to_owned()),
            Some(path) if path.starts_with(MOUNT) => Ok("token".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
    );
    let mut loaded = check_text("config.yaml", &text, &environment, Strictness::Lenient).unwrap();
    (loaded.settings.offerings.remove(0).cluster, render(&loaded.warnings))
}

#[test]
fn a_pod_needs_no_configuration() {
    let (cluster, warnings) = cluster("", POD);
    assert_eq!(cluster.api_url.as_str(), "https://10.0.0.1:6443/");
    assert_eq!(cluster.tls, TlsVerify::CaFile(Path::new(MOUNT).join("ca.crt")));
    assert!(
        matches!(cluster.token, ClusterToken::ServiceAccount { directory } if directory == Path::new(MOUNT))
    );
    assert_eq!(warnings, "");
}

#[test]
fn what_is_given_wins_over_the_pod() {
    let (named, _) = cluster("      api_url: https://other:6443\n      token: t\n", POD);
    assert_eq!((named.api_url.as_str(), named.tls), ("https://other:6443/", TlsVerify::System));
    assert!(matches!(named.token, ClusterToken::Static(_)));
    let (six, _) =
        cluster("      token: t\n      verify_cert: false\n", &[("KUBERNETES_SERVICE_HOST", "fd00::1")]);
    assert_eq!((six.api_url.as_str(), six.tls), ("https://[fd00::1]/", TlsVerify::Off));
}

#[test]
fn a_kubeconfig_tells_what_is_not_given() {
    let (current, warnings) = cluster("      kubeconfig: /etc/kubeconfig\n", POD);
    assert_eq!(current.api_url.as_str(), "https://api.okd.example.com:6443/");
    assert_eq!(current.tls, TlsVerify::CaFile("/etc/okd.pem".into()));
    assert!(matches!(current.token, ClusterToken::Kubeconfig { runs: false, context: None, .. }));
    assert_eq!(warnings, "");
    assert!(!format!("{current:?}").contains("planted"));
    let lines =
        "      kubeconfig: /etc/kubeconfig\n      kubeconfig_context: test\n      verify_cert: false\n";
    let (program, _) = cluster(lines, &[]);
    assert!(matches!(program.token, ClusterToken::Kubeconfig { runs: true, context: Some(_), .. }));
    assert_eq!(program.tls, TlsVerify::Off);
    let (token, _) = cluster("      kubeconfig: /etc/kubeconfig\n      token: other\n", &[]);
    assert!(matches!(token.token, ClusterToken::Static(_)));
}

#[test]
fn the_grant_follows_from_what_is_given() {
    let oauth = |keys: &str| {
        let lines = format!("      token_config: {{token_type: oauth, oauth_config: {{{keys}}}}}\n");
        match cluster(&lines, POD).0.token {
            ClusterToken::OAuth(oauth) => oauth,
            other => panic!("{other:?}"),
        }
    };
    let password = oauth("username: a, password: b");
    assert_eq!(password.client_id, "openshift-challenging-client");
    assert!(matches!(password.grant, OAuthGrant::Password { username, .. } if username == "a"));
    assert!(matches!(oauth("client_id: a, client_secret: b").grant, OAuthGrant::ClientCredentials));
    let stored = oauth("client_id: a, refresh_token: c, refresh_token_secret: tokens");
    let OAuthGrant::RefreshToken { store: Some(store), .. } = stored.grant else { panic!("no store") };
    assert_eq!((store.name.as_str(), store.api_url.as_str()), ("tokens", "https://10.0.0.1:6443/"));
}

//! Certificates: by a file, not at all, and what is said when they do not fit.

use std::time::Duration;

use simulator::server::{self, ServeOptions, Server};
use simulator::tls::Tls;
use simulator::waldur::OrderState;

use crate::process::{Ended, Process};
use crate::site::{Agent, Config, Site, limits, within};

/// The site's Waldur with TLS, and the file with its CA.
async fn waldur_with_tls(site: &Site) -> (Server, String) {
    let tls = Tls::generate().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { tls: Some(tls.server_config()), ..ServeOptions::default() };
    let served = server::serve(site.sim.waldur.router(), listener, options);
    let path = site.folder.path().join("waldur-ca.pem");
    std::fs::write(&path, tls.ca_pem()).unwrap();
    (served, path.display().to_string())
}

async fn once(site: &Site, config: &Config) -> Ended {
    Process::run(site.command(config).arg("--once")).await
}

#[tokio::test]
async fn ca_files_and_no_verification_work_on_both_sides() {
    let site = Site::start().await;
    let (waldur, ca) = waldur_with_tls(&site).await;
    for (waldur_tls, okd_tls) in [
        (format!("verify_ssl: {ca}\n"), site.config().okd_tls),
        (format!("verify_ssl: {ca}\n"), format!("verify_cert: {}/ca.pem\n", site.folder.path().display())),
        ("verify_ssl: false\n".to_owned(), "verify_cert: false\n".to_owned()),
    ] {
        let mut config = site.config();
        config.waldur_url.clone_from(&waldur.url);
        (config.global, config.okd_tls) = (waldur_tls, okd_tls);
        let (order, _) = site.order("Shop", limits());
        let ended = once(&site, &config).await;
        assert_eq!(ended.code(), Some(0), "{}", ended.all());
        assert_eq!(site.order_state(order), OrderState::Done);
        let warnings = ended.events("warning").join("\n");
        let off = config.global.contains("false");
        assert_eq!(
            warnings.contains("Waldur's certificate is not verified (`verify_ssl: false`)"),
            off,
            "{warnings}"
        );
        assert_eq!(warnings.contains("the cluster's certificate is not verified"), off, "{warnings}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_refused_with_what_to_do() {
    let site = Site::start().await;
    let (waldur, waldur_ca) = waldur_with_tls(&site).await;
    let okd_ca = site.folder.path().join("ca.pem").display().to_string();
    let mut wrong_for_waldur = site.config();
    wrong_for_waldur.waldur_url.clone_from(&waldur.url);
    let mut system_for_waldur = wrong_for_waldur.clone();
    wrong_for_waldur.global = format!("verify_ssl: {okd_ca}\n");
    system_for_waldur.global = "verify_ssl: true\n".to_owned();
    let mut wrong_for_okd = site.config();
    wrong_for_okd.okd_tls = format!("ca_file: {waldur_ca}\n");
    let mut system_for_okd = site.config();
    system_for_okd.okd_tls = "verify_cert: true\n".to_owned();
    for (config, name, advice) in [
        (wrong_for_waldur, "Waldur is not available", "name the file with its CA in `verify_ssl`"),
        (system_for_waldur, "Waldur is not available", "name the file with its CA in `verify_ssl`"),
        (wrong_for_okd, "OKD is not available", "name the file with its CA in `ca_file`"),
        (system_for_okd, "OKD is not available", "name the file with its CA in `ca_file`"),
    ] {
        let (order, _) = site.order("Shop", limits());
        let ended = once(&site, &config).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.all());
        let errors = ended.errors();
        assert!(
            errors.contains(name) && errors.contains("certificate") && errors.contains(advice),
            "{errors}"
        );
        assert!(errors.contains("https://localhost:"), "{errors}");
        assert_eq!(site.order_state(order), OrderState::PendingProvider);
    }
}

#[tokio::test]
async fn a_ca_file_that_is_none_stops_the_agent_at_once() {
    let site = Site::start().await;
    let garbage = site.folder.path().join("garbage.pem");
    std::fs::write(&garbage, "not a certificate\n").unwrap();
    for (path, problem) in
        [("/nowhere/ca.pem", "No such file"), (garbage.to_str().unwrap(), "holds no PEM certificates")]
    {
        let (mut waldur, mut okd) = (site.config(), site.config());
        waldur.global = format!("verify_ssl: {path}\n");
        okd.okd_tls = format!("ca_file: {path}\n");
        for config in [waldur, okd] {
            let ended = once(&site, &config).await;
            assert_eq!(ended.code(), Some(2), "{}", ended.all());
            assert!(ended.all().contains(path) && ended.all().contains(problem), "{}", ended.all());
        }
    }
}

#[tokio::test]
async fn tls_and_plain_mixed_up_is_told() {
    let site = Site::start().await;
    let mut config = site.config();
    config.waldur_url = config.waldur_url.replace("http://", "https://");
    let ended = once(&site, &config).await;
    assert_eq!(ended.code(), Some(1));
    assert!(
        ended.errors().contains("does not speak TLS there: correct `waldur_api_url`"),
        "{}",
        ended.errors()
    );
}

/// The site's Waldur at this port, which has just been left by another.
async fn waldur_at(site: &Site, port: u16, tls: &Tls) -> Server {
    let bound = async {
        loop {
            match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let listener = within("the port is free", bound).await;
    let options = ServeOptions { tls: Some(tls.server_config()), ..ServeOptions::default() };
    server::serve(site.sim.waldur.router(), listener, options)
}

#[tokio::test]
async fn a_renewed_ca_is_taken_without_a_restart() {
    let site = Site::start().await;
    let (first, second) = (Tls::generate().unwrap(), Tls::generate().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let ca = site.folder.path().join("waldur-ca.pem");
    std::fs::write(&ca, first.ca_pem()).unwrap();
    let mut config = site.config();
    config.waldur_url = format!("https://localhost:{port}");
    config.global = format!("verify_ssl: {}\n", ca.display());
    let agent = Agent::start(config.engine());
    // The second time the file is damaged, and what it held before is trusted.
    for (tls, content) in [(&first, first.ca_pem()), (&first, "half of it"), (&second, second.ca_pem())] {
        std::fs::write(&ca, content).unwrap();
        let served = waldur_at(&site, port, tls).await;
        let (order, _) = site.order("Shop", limits());
        site.ends(order, OrderState::Done).await;
        served.shutdown().await;
    }
    agent.stop().await;
}

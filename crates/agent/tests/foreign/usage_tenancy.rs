//! OpenShift's port for tenants: each query names its namespace beside it, and shows nothing else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use url::Url;

use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::{Metrics, Prometheus};
use crate::site::limits;
use crate::usage::pod;

/// In front of a Prometheus, as OpenShift has it: without exactly one namespace, or with a query about another, the answer
/// is 400; without a token 401. Gives its address, and the namespaces that were asked about.
fn port_for_tenants(prometheus: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let behind = Url::parse(prometheus).unwrap();
    let behind = format!("{}:{}", behind.host_str().unwrap(), behind.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)).map(str::to_owned) else {
                continue;
            };
            let address = Url::parse(&format!("http://prometheus{path}")).unwrap();
            let values = |name: &str| -> Vec<String> {
                address
                    .query_pairs()
                    .filter(|(key, _)| key == name)
                    .map(|(_, value)| value.into_owned())
                    .collect()
            };
            let (namespaces, query) = (values("namespace"), values("query").concat());
            let is_known =
                head.iter().any(|line| line.to_ascii_lowercase().starts_with("authorization: bearer "));
            let about = query.split("namespace=~\"").skip(1).filter_map(|rest| rest.split('"').next());
            let is_about_it = namespaces.len() == 1 && about.clone().all(|name| name == namespaces[0]);
            if !is_known || !is_about_it {
                let status = if is_known { "400 Bad Request" } else { "401 Unauthorized" };
                let _ = stream.write_all(
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
                );
                continue;
            }
            noted.lock().unwrap().push(namespaces[0].clone());
            let mut inner = TcpStream::connect(&behind).unwrap();
            inner
                .write_all(
                    format!("GET {path} HTTP/1.1\r\nHost: {behind}\r\nConnection: close\r\n\r\n").as_bytes(),
                )
                .unwrap();
            let mut answer = Vec::new();
            inner.read_to_end(&mut answer).unwrap();
            let _ = stream.write_all(&answer);
        }
    });
    (url, asked)
}

#[tokio::test]
async fn each_query_is_about_one_namespace_and_models_are_not_made_up() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let (from, until) = ("2026-07-10T10:00:00Z", "2026-07-10T12:00:00Z");
    let mut m = Metrics::default();
    let mut made = Vec::new();
    for (name, cores) in [("Shop", "1"), ("Blog", "0.5")] {
        let resource = site.made(name, limits()).await;
        let namespace = site.backend_id(resource);
        m.namespace(&namespace, "2026-07-10T09:55:00Z", until);
        m.pod(&pod(&namespace, "u1", &[("cpu", cores)]), from, until);
        made.push((resource, namespace));
    }
    let prometheus = Prometheus::start(&[&m]).await;
    let (url, asked) = port_for_tenants(&prometheus.url);
    // Models are labels of nodes, which this port does not show: a zero for them would be made up.
    let components = format!(
        "{COMPONENTS}gpu_a100: {{measured_unit: GPU-hours, accounting_type: usage, quota: [], usage: {{resource: \
         nvidia.com/gpu, model: NVIDIA-A100}}}}\n"
    );
    let mut config = site.measuring(&url, &components);
    config.global = config.global.replace("monitoring: {", "monitoring: {prometheus_tenancy: true, ");
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(made[0].0), ["2026-07-01 cpu_hours 2.00"]);
    assert_eq!(site.told(made[1].0), ["2026-07-01 cpu_hours 1.00"]);
    let asked = asked.lock().unwrap();
    assert!(made.iter().all(|(_, namespace)| asked.contains(namespace)), "{asked:?}");
}

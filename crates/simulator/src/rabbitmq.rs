//! A real RabbitMQ of one's own, from Debian's `rabbitmq-server`, for tests.
//!
//! A node with name, ports, cookie, database and logs of its own in a folder below `target/`, as whatever user runs the
//! tests; no service manager, and nothing of an installed broker's is touched. It is killed and its folder removed
//! when dropped; what an aborted test left behind is removed by the next one. `cargo xtask test` installs the package.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// Unlike what is in `/usr/sbin`, these do not change the user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// How often a node is started at most, each time on other ports.
const STARTS: usize = 3;
/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Path of the WebSocket, as Waldur's proxies have it.
pub const PATH: &str = "/rmqws-stomp";

static NODES: AtomicU32 = AtomicU32::new(0);

/// Ports on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct RabbitMqPorts {
    /// STOMP.
    pub tcp: u16,
    /// WebSocket, at [`PATH`].
    pub ws: u16,
    management: u16,
    amqp: u16,
    distribution: u16,
    names: u16,
}

impl RabbitMqPorts {
    /// Ports that are free now. All are held until all are known, so that none is drawn twice.
    fn draw() -> anyhow::Result<Self> {
        let listeners = std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut ports = [0; 6];
        for (port, listener) in ports.iter_mut().zip::<[_; 6]>(listeners) {
            *port = listener?.local_addr()?.port();
        }
        let [tcp, ws, management, amqp, distribution, names] = ports;
        Ok(Self { tcp, ws, management, amqp, distribution, names })
    }
}

/// A running node.
pub struct RabbitMq {
    /// Where it listens; the same after a restart.
    pub ports: RabbitMqPorts,
    folder: PathBuf,
    http: Client,
    /// Erlang's port mapper, without which no node has a name. It ends with this value.
    _names: Child,
    server: Mutex<Option<Child>>,
    /// Of the server; set while it runs.
    group: AtomicU32,
}

impl RabbitMq {
    /// Starts a node with an empty database in a new folder below this one.
    ///
    /// # Errors
    /// RabbitMQ is not installed, or does not come up; the message has the end of its log.
    pub async fn start(below: &Path) -> anyhow::Result<Self> {
        for _ in 1..STARTS {
            match Self::start_once(below).await {
                // Somebody else took a port between the draw and the start.
                Err(error) if format!("{error:#}").contains("eaddrinuse") => {}
                other => return other,
            }
        }
        Self::start_once(below).await
    }

    async fn start_once(below: &Path) -> anyhow::Result<Self> {
        let installed = Path::new(PROGRAMS).join("rabbitmq-server");
        ensure!(
            installed.exists(),
            "no {}; `cargo xtask test --only install` installs it",
            installed.display()
        );
        let below = below.join("rabbitmq");
        remove_leftovers(&below);
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let folder = below.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let ports = RabbitMqPorts::draw()?;
        write_configuration(&folder, ports)?;
        let names = Command::new("epmd")
            .args(["-port", &ports.names.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start epmd, Erlang's port mapper")?;
        if let Some(pid) = names.id() {
            fs::write(folder.join("epmd.pid"), pid.to_string())?;
        }
        // The host of a proxy must not be asked for what is on this machine.
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let node =
            Self { ports, folder, http, _names: names, server: Mutex::new(None), group: AtomicU32::new(0) };
        node.boot().await?;
        Ok(node)
    }

    /// Until its listeners are open.
    async fn boot(&self) -> anyhow::Result<()> {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        command.envs(environment(&self.folder, self.ports)).current_dir(&self.folder);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().context("cannot start rabbitmq-server")?;
        let group = server.id().unwrap_or_default();
        self.group.store(group, Ordering::Relaxed);
        fs::write(self.folder.join("group.pid"), group.to_string())?;
        let output = server.stdout.take().context("no output of rabbitmq-server")?;
        let mut running = self.server.lock().await;
        *running = Some(server);
        drop(running);
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        let up = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("completed with") {
                    return Ok(());
                }
                said = format!("{said}{line}\n");
            }
            bail!("rabbitmq-server ended:\n{said}")
        };
        tokio::time::timeout(PATIENCE, up).await.context("rabbitmq-server does not come up")??;
        // Nothing more is worth reading, but a full pipe would stop the server.
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        Ok(())
    }

    /// Ends the node in order and starts it again; durable queues keep their persistent messages.
    ///
    /// # Errors
    /// It does not end or come up.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await?;
        self.boot().await
    }

    /// Ends the node in order.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.lock().await.take() {
            self.signal("TERM")?;
            let group = self.group.load(Ordering::Relaxed);
            // The script ends at once, the server when it has written everything down.
            let gone = async {
                server.wait().await?;
                while kill("0", group) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                anyhow::Ok(())
            };
            tokio::time::timeout(PATIENCE, gone).await.context("rabbitmq-server does not end")??;
            self.group.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Starts the node again after [`Self::stop`].
    ///
    /// # Errors
    /// It does not come up.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.boot().await
    }

    /// Stops the process with all connections open.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Goes on after [`Self::freeze`].
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        let group = self.group.load(Ordering::Relaxed);
        ensure!(group > 0 && kill(name, group), "cannot send {name} to rabbitmq-server");
        Ok(())
    }

    /// Makes a virtual host.
    ///
    /// # Errors
    /// The management API refuses.
    pub async fn add_vhost(&self, vhost: &str) -> anyhow::Result<()> {
        self.manage(Method::PUT, &["vhosts", vhost], json!({})).await?;
        // The one who manages publishes too.
        self.allow("guest", vhost, ".*").await
    }

    /// Makes a user or gives one that is there another password.
    ///
    /// # Errors
    /// The management API refuses.
    pub async fn add_user(&self, login: &str, passcode: &str) -> anyhow::Result<()> {
        self.manage(Method::PUT, &["users", login], json!({"password": passcode, "tags": ""})).await
    }

    /// Lets a user do everything with what this regular expression matches.
    ///
    /// # Errors
    /// The management API refuses.
    pub async fn allow(&self, login: &str, vhost: &str, pattern: &str) -> anyhow::Result<()> {
        let rights = json!({"configure": pattern, "write": pattern, "read": pattern});
        self.manage(Method::PUT, &["permissions", vhost, login], rights).await
    }

    /// Lets a user read one queue and nothing else, as Waldur does.
    ///
    /// # Errors
    /// The management API refuses.
    pub async fn allow_reading(&self, login: &str, vhost: &str, queue: &str) -> anyhow::Result<()> {
        let rights = json!({"configure": "", "write": "", "read": format!("^{queue}$")});
        self.manage(Method::PUT, &["permissions", vhost, login], rights).await
    }

    /// Declares a durable queue with arguments such as `x-max-length`.
    ///
    /// # Errors
    /// The management API refuses; also when the queue is there with other arguments.
    pub async fn declare_queue(&self, vhost: &str, queue: &str, arguments: Value) -> anyhow::Result<()> {
        let body = json!({"durable": true, "arguments": arguments});
        self.manage(Method::PUT, &["queues", vhost, queue], body).await
    }

    /// Removes a queue with what is in it.
    ///
    /// # Errors
    /// The management API refuses.
    pub async fn remove_queue(&self, vhost: &str, queue: &str) -> anyhow::Result<()> {
        self.manage(Method::DELETE, &["queues", vhost, queue], Value::Null).await
    }

    /// Puts a persistent JSON message into a queue, as Waldur does.
    ///
    /// # Errors
    /// The management API refuses, or there is no such queue.
    pub async fn publish(&self, vhost: &str, queue: &str, body: &str) -> anyhow::Result<()> {
        let message = json!({
            "properties": {"content_type": "application/json", "delivery_mode": 2},
            "routing_key": queue,
            "payload": body,
            "payload_encoding": "string",
        });
        let answer =
            self.call(Method::POST, &["exchanges", vhost, "amq.default", "publish"], &message).await?;
        ensure!(answer["routed"] == true, "no queue {queue} in {vhost} took the message");
        Ok(())
    }

    /// How many messages wait in a queue, and how many are out without acknowledgement; `None` without such a queue.
    ///
    /// # Errors
    /// `rabbitmqctl` fails.
    pub async fn depth(&self, vhost: &str, queue: &str) -> anyhow::Result<Option<(usize, usize)>> {
        let columns = ["name", "messages_ready", "messages_unacknowledged"];
        let listed =
            self.ctl(["-q", "list_queues", "-p", vhost, "--no-table-headers"].iter().chain(&columns)).await?;
        let rows = listed.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        Ok(rows.into_iter().find_map(|row| match row[..] {
            [name, ready, unacked] if name == queue => Some((ready.parse().ok()?, unacked.parse().ok()?)),
            _ => None,
        }))
    }

    /// Until a queue has so many messages waiting and so many out.
    ///
    /// # Errors
    /// `rabbitmqctl` fails, or it does not come to that within two minutes.
    pub async fn until_depth(
        &self,
        vhost: &str,
        queue: &str,
        ready: usize,
        unacked: usize,
    ) -> anyhow::Result<()> {
        let wanted = Some((ready, unacked));
        let mut seen = None;
        // Each question takes a good part of a second by itself.
        let reached = async {
            loop {
                seen = self.depth(vhost, queue).await?;
                if seen == wanted {
                    return anyhow::Ok(());
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(reached) => reached,
            Err(_) => bail!("queue {queue} is at {seen:?}, not at {wanted:?} (waiting, out)"),
        }
    }

    /// Ends all connections of all clients.
    ///
    /// # Errors
    /// `rabbitmqctl` fails.
    pub async fn close_connections(&self, reason: &str) -> anyhow::Result<()> {
        self.ctl(["close_all_connections", "--global", reason]).await.map(drop)
    }

    async fn ctl<A: AsRef<str>>(&self, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<String> {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        command.args(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        command.envs(environment(&self.folder, self.ports)).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("cannot start rabbitmqctl")?;
        ensure!(output.status.success(), "rabbitmqctl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn manage(&self, method: Method, path: &[&str], body: Value) -> anyhow::Result<()> {
        self.call(method, path, &body).await.map(drop)
    }

    async fn call(&self, method: Method, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let mut url = url::Url::parse(&format!("http://127.0.0.1:{}/api/", self.ports.management))?;
        url.path_segments_mut().map_err(|()| anyhow::anyhow!("no path"))?.pop_if_empty().extend(path);
        let request = self.http.request(method, url.clone()).basic_auth("guest", Some("guest")).json(body);
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{url}: {status}: {text}");
        if status == StatusCode::OK { Ok(serde_json::from_str(&text)?) } else { Ok(Value::Null) }
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("ports", &self.ports)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let group = self.group.load(Ordering::Relaxed);
        if group > 0 {
            kill("KILL", group);
        }
        // Best effort: the next start removes what is left.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

fn write_configuration(folder: &Path, ports: RabbitMqPorts) -> anyhow::Result<()> {
    let RabbitMqPorts { tcp, ws, management, amqp, .. } = ports;
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         stomp.listeners.tcp.1 = 127.0.0.1:{tcp}\n\
         web_stomp.tcp.ip = 127.0.0.1\n\
         web_stomp.tcp.port = {ws}\n\
         web_stomp.ws_path = {PATH}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n"
    );
    fs::write(folder.join("rabbitmq.conf"), settings)?;
    fs::write(folder.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_stomp,rabbitmq_web_stomp].\n")?;
    Ok(())
}

/// Everything that would otherwise be shared with an installed broker or another node.
fn environment(folder: &Path, ports: RabbitMqPorts) -> Vec<(&'static str, String)> {
    let below = |name: &str| folder.join(name).display().to_string();
    vec![
        // The cookie by which nodes and tools know each other is made there.
        ("HOME", folder.display().to_string()),
        ("RABBITMQ_NODENAME", format!("test{}@localhost", ports.amqp)),
        ("RABBITMQ_MNESIA_BASE", below("data")),
        ("RABBITMQ_LOG_BASE", below("log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", below("enabled_plugins")),
        ("RABBITMQ_CONFIG_FILE", below("rabbitmq")),
        ("RABBITMQ_CONF_ENV_FILE", below("none")),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("ERL_EPMD_PORT", ports.names.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
    ]
}

/// Kills and removes what tests left that were killed themselves.
fn remove_leftovers(below: &Path) {
    let folders = fs::read_dir(below).into_iter().flatten().flatten();
    for folder in folders.map(|entry| entry.path()) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let owner = name.split('-').next().unwrap_or_default();
        if owner.is_empty() || Path::new("/proc").join(owner).exists() {
            continue;
        }
        for (file, is_group) in [("group.pid", true), ("epmd.pid", false)] {
            let pid = fs::read_to_string(folder.join(file)).ok().and_then(|pid| pid.trim().parse().ok());
            // The number may belong to somebody else by now.
            if let Some(pid) = pid.filter(|pid| is_erlang(*pid)) {
                if is_group {
                    kill("KILL", pid)
                } else {
                    kill_one(pid)
                };
            }
        }
        // Best effort: it is in nobody's way.
        let _left = fs::remove_dir_all(&folder);
    }
}

fn is_erlang(pid: u32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    command.contains("rabbitmq") || command.contains("epmd")
}

/// Sends a signal to a process group.
fn kill(name: &str, group: u32) -> bool {
    signal(&[&format!("-{name}"), "--", &format!("-{group}")])
}

fn kill_one(pid: u32) -> bool {
    signal(&["-KILL", &pid.to_string()])
}

fn signal(arguments: &[&str]) -> bool {
    let sent = std::process::Command::new("kill").args(arguments).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}

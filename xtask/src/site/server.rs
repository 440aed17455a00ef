//! A process that is started in the background and ended with its guard.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What would lead requests astray, or change what is logged, if it were inherited.
const NOT_INHERITED: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "RUST_LOG",
    "WALDUR_LOG_LEVEL",
];

/// How many lines of a log are shown when something went wrong.
const TAIL: usize = 20;

/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running process. It is killed when this is dropped, unless [`Server::keep`] was called.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    name: String,
    log: PathBuf,
    kept: bool,
}

impl Server {
    /// Starts a program with its output going to a log file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        variables: &[(&str, String)],
        log: &Path,
    ) -> Result<Self> {
        let file = log_file(log)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(file.try_clone().context("cannot share a log file")?).stderr(file);
        Self::spawn(command, log)
    }

    /// Starts a program and reads the first line that it prints.
    ///
    /// # Errors
    /// It cannot be started, or ends or takes too long before it prints a line.
    pub(crate) async fn start_with_first_line<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        within: Duration,
    ) -> Result<(Self, String)> {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(log_file(log)?);
        let mut server = Self::spawn(command, log)?;
        let stdout = server.child.stdout.take().context("a process without standard output")?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let read = tokio::time::timeout(within, reading).await;
        let Ok(line) = read else {
            bail!("{} did not start in time{}", server.name, server.tail());
        };
        let line = line.context("cannot wait for a line")?.context("cannot read a line")?;
        if line.is_empty() {
            bail!("{} did not start{}", server.name, server.tail());
        }
        Ok((server, line))
    }

    fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        set_apart(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, log: log.to_owned(), kept: false })
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that its output goes to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// # Errors
    /// The process has ended, with the end of its log.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}){}", self.name, self.tail()),
        }
    }

    /// Waits until it has ended, with success.
    ///
    /// # Errors
    /// It has ended otherwise or takes longer, with the end of its log.
    pub(crate) async fn ends_within(mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} failed ({status}){}", self.name, self.tail()),
                None if Instant::now() >= deadline => bail!("{} does not end{}", self.name, self.tail()),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The last lines of its log, to be put behind a message; empty if it has said nothing.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Most memory that was resident at a time, in megabytes of 1,000,000 bytes (proc(5): `VmHWM`).
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn peak_memory_mb(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        Ok(kibibytes.with_context(|| format!("no VmHWM in {path}"))? * 1024.0 / 1e6)
    }

    /// Time that its threads have computed so far, in steps of a hundredth of a second (proc(5): `utime` and
    /// `stime` of `stat`, whose unit is fixed at that for programs).
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name, in parentheses, may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok(Duration::from_millis(10 * (user + system))),
            _ => bail!("no times in {path}"),
        }
    }

    /// Kills it at once and waits for its end.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// Leaves the process running for good.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // An error says that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Nothing of this process's surroundings reaches the other, other than its arguments.
pub(super) fn set_apart(command: &mut Command) {
    NOT_INHERITED.iter().for_each(|variable| {
        command.env_remove(variable);
    });
    // In a group of its own, a Ctrl-C on the terminal reaches only the chore, which then ends it.
    command.stdin(Stdio::null()).process_group(0);
}

/// The last lines of a log, to be put behind a message; empty if it has said nothing.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL)..];
    if last.is_empty() {
        return String::new();
    }
    format!("; the end of its log:\n  {}", last.join("\n  "))
}

pub(super) fn log_file(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Server {
        let arguments = ["-c", "echo up; exec sleep 600"];
        Server::start(Path::new("/bin/sh"), arguments, &[], &folder.join("log")).unwrap()
    }

    fn runs(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_process_ends_with_its_guard_also_when_the_chore_panics() {
        let folder = tempfile::tempdir().unwrap();
        let server = sleeper(folder.path());
        let id = server.id();
        assert!(runs(id) && server.peak_memory_mb().is_ok());
        let panicked = std::thread::spawn(move || {
            let _server = server;
            panic!("on purpose");
        });
        panicked.join().unwrap_err();
        assert!(!runs(id));
    }

    #[test]
    fn a_process_that_computes_is_told_from_one_that_waits() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = sleeper(folder.path());
        let arguments = ["-c", "while :; do :; done"];
        let busy = Server::start(Path::new("/bin/sh"), arguments, &[], &folder.path().join("busy")).unwrap();
        while busy.cpu_time().unwrap() < Duration::from_millis(100) {
            std::thread::yield_now();
        }
        assert!(waiting.cpu_time().unwrap() < Duration::from_millis(100));
    }

    #[tokio::test]
    async fn an_end_is_waited_for_and_told_from_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let ends = async |script: &str| {
            let log = folder.path().join("log");
            let server = Server::start(Path::new("/bin/sh"), ["-c", script], &[], &log).unwrap();
            server.ends_within(Duration::from_secs(10)).await.map_err(|error| error.to_string())
        };
        assert_eq!(ends("exit 0").await, Ok(()));
        assert!(ends("echo no room; exit 3").await.unwrap_err().contains("no room"));
        let stuck = sleeper(folder.path()).ends_within(Duration::ZERO).await;
        assert!(stuck.unwrap_err().to_string().contains("does not end"));
    }

    #[test]
    fn a_kept_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let server = sleeper(folder.path());
        let id = server.id();
        server.keep();
        assert!(runs(id));
        assert!(Command::new("kill").arg(id.to_string()).status().unwrap().success());
    }

    #[tokio::test]
    async fn a_start_that_fails_says_what_the_program_said() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c", "echo no port >&2; exit 1"];
        let log = folder.path().join("log");
        let within = Duration::from_secs(10);
        let started = Server::start_with_first_line(Path::new("/bin/sh"), arguments, &log, within).await;
        let error = started.unwrap_err().to_string();
        assert!(error.contains("sh did not start") && error.contains("no port"), "{error}");
    }
}

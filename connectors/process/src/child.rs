//! One running child: started, greeted, spoken to, and ended.

use crate::config::Settings;
use crate::guard::Group;
use crate::lines::{self, Line};
use crate::pending::{Pending, Ticket};
use crate::protocol::{self, FromChild, Hello, LONGEST_LINE, ToChild, VERSION};
use crate::stderr::{self, LastLines};
use leadwire_connector::{DeliveryError, ErrorKind};
use std::convert::Infallible;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// What a child that is gone has still written is read for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The guard ends a group after 10 seconds; a child that is there after these has no guard any more.
const PATIENCE: Duration = Duration::from_secs(12);
/// With the time that it takes to end a child without a guard.
const LONGEST_STOP: Duration = Duration::from_secs(20);

/// A child that has said hello. Dropping it begins to end the child: it sees the end of its standard input, and has some seconds.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) hello: Hello,
    pub(crate) pending: Arc<Pending>,
    lines: mpsc::Sender<Vec<u8>>,
    ended: watch::Receiver<Option<Ended>>,
    _wanted: mpsc::Sender<Infallible>,
}

/// How a child ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// After "the child": `exited (exit status: 1)`.
    pub(crate) why: String,
    /// Whether it should not have.
    pub(crate) is_failure: bool,
}

/// A child between its start and its hello.
struct Newborn {
    group: Group,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<()>,
    last_lines: LastLines,
}

impl Running {
    /// Starts a child and waits for its hello.
    pub(crate) async fn start(settings: &Settings, directory: &Path, destination: &str) -> Result<Self, DeliveryError> {
        let mut newborn = Newborn::spawn(settings, directory, destination)?;
        let hello =
            ToChild::Hello { protocol: VERSION, leadwire: env!("CARGO_PKG_VERSION"), destination, timeout: settings.timeout.as_secs_f64() };
        let greeted = tokio::time::timeout(settings.start_timeout, newborn.greet(&hello.line())).await;
        let late = || format!("did not say hello within {:?}", settings.start_timeout);
        match greeted.unwrap_or_else(|_| Err(late())) {
            Ok(hello) if hello.protocol == VERSION => Ok(newborn.run(hello.clean(&settings.redactor()), destination.to_owned())),
            Ok(hello) => {
                let message = format!(
                    "the child speaks version {} of the protocol, and this Leadwire version {VERSION}; bring one of them up to date",
                    hello.protocol
                );
                newborn.end().await;
                Err(DeliveryError::hold(ErrorKind::Configuration, message, None))
            }
            Err(why) => {
                let excerpt = newborn.end().await;
                let message = format!("the child `{}` {why}; nothing was sent", settings.name());
                Err(DeliveryError::retry(ErrorKind::Unreachable, message).with_excerpt(excerpt.as_bytes()))
            }
        }
    }

    /// Gives a line to the child, which waits here while the child does not read.
    pub(crate) async fn send(&self, line: Vec<u8>) {
        // A child that is gone is seen by whoever waits for its answer.
        let _ = self.lines.send(line).await;
    }

    /// Waits until the child is gone, and says how it went.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let told = tokio::time::timeout(LONGEST_STOP, ended.wait_for(Option::is_some)).await;
        let unknown = || Ended { why: "could not be ended".to_owned(), is_failure: true };
        told.ok().and_then(Result::ok).and_then(|ended| ended.clone()).unwrap_or_else(unknown)
    }

    /// Ends the child and waits until it is gone.
    pub(crate) async fn stop(self) {
        let mut ended = self.ended.clone();
        drop(self);
        // The guard goes on when this is given up.
        let _ = tokio::time::timeout(LONGEST_STOP, ended.wait_for(Option::is_some)).await;
    }

    /// A place for a request; `None` when the child has ended or takes no more.
    pub(crate) async fn open(&self) -> Option<Ticket> {
        self.pending.open().await
    }
}

impl Newborn {
    fn spawn(settings: &Settings, directory: &Path, destination: &str) -> Result<Self, DeliveryError> {
        let told = |why: &str| format!("the child `{}` cannot be started in {}: {why}", settings.name(), directory.display());
        let cannot = |why: String| DeliveryError::retry(ErrorKind::Unreachable, told(&why));
        let mut command = Command::new(&settings.program);
        command.args(&settings.arguments).current_dir(directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(settings.env.iter().map(|(name, value)| (name, value.expose())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| match misplaced(&error, directory) {
            // No attempt mends that, and so many of them would cost the lead.
            Some(why) => DeliveryError::hold(ErrorKind::Configuration, told(why), None),
            None => cannot(error.to_string()),
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::new(child).map_err(cannot)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(cannot("it has no pipes".to_owned()));
        };
        let last_lines = LastLines::default();
        let (name, redactor) = (destination.to_owned(), settings.redactor());
        let stderr = tokio::spawn(stderr::follow(stderr, name, settings.stderr, redactor, last_lines.clone()));
        Ok(Self { group, stdin, stdout: BufReader::new(stdout), stderr, last_lines })
    }

    /// Sends our hello and reads the child's.
    async fn greet(&mut self, hello: &[u8]) -> Result<Hello, String> {
        // A child that does not read may have written its hello all the same.
        let _ = self.stdin.write_all(hello).await;
        let mut line = Vec::new();
        match lines::next(&mut self.stdout, &mut line, LONGEST_LINE).await {
            Line::End => Err(match tokio::time::timeout(LAST_WORDS, self.group.child.wait()).await {
                Ok(Ok(status)) => format!("{} before it said hello", exited(status)),
                _ => "closed its standard output before it said hello".to_owned(),
            }),
            Line::Cut => Err(format!("wrote, in place of its hello, a line of more than {LONGEST_LINE} bytes")),
            Line::Whole => match protocol::parse(&line) {
                Ok(FromChild::Hello(hello)) => Ok(hello),
                Ok(FromChild::Of(..)) => Err("answered before it said hello".to_owned()),
                Err(why) => Err(format!("wrote, in place of its hello, {why}")),
            },
        }
    }

    /// Ends it at once. Returns the end of its standard error, which is about nobody yet.
    async fn end(mut self) -> String {
        self.group.end().await;
        finish(&mut self.stderr).await;
        self.last_lines.excerpt()
    }

    fn run(self, hello: Hello, destination: String) -> Running {
        let Self { group, stdin, stdout, stderr, .. } = self;
        let (fault, faults) = mpsc::channel(1);
        let (wanted, unwanted) = mpsc::channel(1);
        let (lines, queue) = mpsc::channel(1);
        let (told, ended) = watch::channel(None);
        let pending = Arc::new(Pending::new(hello.concurrency, hello.requests, fault.clone()));
        tokio::spawn(write(stdin, queue));
        let reader = tokio::spawn(read(stdout, Arc::clone(&pending), fault));
        tracing::info!(destination, child = hello.name, version = hello.version, "the child has said hello");
        let keeper = Keeper { group, reader, stderr, pending: Arc::clone(&pending), destination };
        tokio::spawn(keeper.keep(faults, unwanted, told));
        Running { hello, pending, lines, ended, _wanted: wanted }
    }
}

/// What is wrong with the command, and the remedy; `None` when it is the machine that cannot.
fn misplaced(error: &std::io::Error, directory: &Path) -> Option<&'static str> {
    match error.kind() {
        std::io::ErrorKind::NotFound if !directory.is_dir() => Some("there is no such folder; see `directory`"),
        std::io::ErrorKind::NotFound => Some("there is no such program; see `command`, and the PATH of the bridge"),
        std::io::ErrorKind::PermissionDenied => Some("it may not be executed; see its permissions"),
        _ => None,
    }
}

fn exited(status: ExitStatus) -> String {
    format!("exited ({status})")
}

/// One line after the other. A child that does not read makes this wait, and nobody else but its own requests.
async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Reads answers until the child has no more, or writes what is none.
async fn read(mut stdout: BufReader<ChildStdout>, pending: Arc<Pending>, fault: mpsc::Sender<String>) {
    let mut line = Vec::new();
    let why = loop {
        let read = match lines::next(&mut stdout, &mut line, LONGEST_LINE).await {
            Line::Whole => protocol::parse(&line).and_then(|said| pending.hand(said)),
            Line::Cut => Err(format!("a line of more than {LONGEST_LINE} bytes")),
            Line::End => break "closed its standard output".to_owned(),
        };
        if let Err(why) = read {
            break format!("wrote {why}");
        }
    };
    let _ = fault.try_send(why);
}

/// Lets a task that reads from a child come to the end of what there is.
async fn finish(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        let _ = tokio::time::timeout(LAST_WORDS, task).await;
    }
}

/// Waits for the end of a child, whatever it is, and sees to it that nothing of it is left.
struct Keeper {
    group: Group,
    reader: JoinHandle<()>,
    stderr: JoinHandle<()>,
    pending: Arc<Pending>,
    destination: String,
}

impl Keeper {
    async fn keep(
        mut self,
        mut faults: mpsc::Receiver<String>,
        mut unwanted: mpsc::Receiver<Infallible>,
        told: watch::Sender<Option<Ended>>,
    ) {
        let (why, is_failure) = tokio::select! {
            ended = self.group.ended() => match ended {
                Some(status) => self.gone(status).await,
                None => ("lost the shell in its process group that guards it, and was ended".to_owned(), true),
            },
            Some(why) = faults.recv() => self.at_fault(why).await,
            _ = unwanted.recv() => (self.let_go().await, false),
        };
        self.pending.close();
        self.group.end().await;
        // Their pipes have closed with the group.
        finish(&mut self.reader).await;
        finish(&mut self.stderr).await;
        let destination = self.destination;
        if is_failure {
            tracing::warn!(
                destination,
                "the child {why}; the next delivery starts it again (its standard error is in the log by `stderr`)"
            );
        } else {
            tracing::debug!(destination, "the child {why}");
        }
        let _ = told.send(Some(Ended { why, is_failure }));
    }

    /// Nobody needs it any more. It gets its time, and then the guard ends it.
    async fn let_go(&mut self) -> String {
        self.group.release();
        match tokio::time::timeout(PATIENCE, self.group.child.wait()).await {
            Ok(status) => status.map_or_else(|error| error.to_string(), exited),
            Err(_) => "did not end, and was killed".to_owned(),
        }
    }

    /// It exited by itself. What it wrote before counts; what it started ends with it.
    async fn gone(&mut self, status: std::io::Result<ExitStatus>) -> (String, bool) {
        self.group.release();
        finish(&mut self.reader).await;
        let is_success = status.as_ref().is_ok_and(ExitStatus::success);
        (status.map_or_else(|error| error.to_string(), exited), !is_success || self.pending.is_busy())
    }

    /// It closed its output, as one does that is about to exit, or it broke the protocol.
    async fn at_fault(&mut self, why: String) -> (String, bool) {
        let is_closed = self.reader.is_finished() && why.starts_with("closed");
        if is_closed && let Ok(status) = tokio::time::timeout(LAST_WORDS, self.group.child.wait()).await {
            return self.gone(status).await;
        }
        (why, true)
    }
}

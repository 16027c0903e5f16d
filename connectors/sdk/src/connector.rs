//! The contract between the bridge and a connector.

use crate::background::Background;
use crate::http::HttpSettings;
use crate::report::Report;
use crate::settings::Fault;
use crate::values::{MemoryValues, ValueStore};
use crate::{Delivery, DeliveryError, Event, Receipt, Steps};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The code that talks to one kind of destination.
///
/// # Contract
/// - [`deliver`](Self::deliver) is called **at least once** for each delivery: again after every [`Verdict::Retry`](crate::Verdict),
///   and after a crash of the bridge at any moment. Repeats must be harmless: write with the destination's own key (an upsert, an
///   idempotency key), or inside [`Steps::once`], and after an ambiguous answer read back before writing again.
/// - Deliveries of one person to one destination never run at the same time, and come in the order they were received.
///   Deliveries of different people do run at the same time, up to the destination's concurrency.
/// - `Ok` means that the destination *has* the event: a 2xx whose body says otherwise is an error.
/// - No method blocks the thread, panics on what the other side says, or puts a secret into an error.
/// - Dropping the future (at shutdown) is like a crash: safe at every `await`.
#[async_trait]
pub trait Connector: Send + Sync {
    /// One attempt.
    ///
    /// # Errors
    /// What failed and the [`Verdict`](crate::Verdict): `Retry` costs this delivery a backoff, `Reject` makes it a dead letter,
    /// `Hold` parks the whole destination and costs nothing.
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError>;

    /// Proves credentials, scopes and required fields without changing anything at the destination.
    async fn check(&self) -> Report;

    /// Takes up what an earlier run left, such as a file that a crash left open. A bridge calls it when it starts, since no lead may
    /// come for days; a command that only checks or previews does not.
    ///
    /// # Errors
    /// Why it cannot be done now. The first delivery does it again.
    async fn prepare(&self) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// What [`deliver`](Self::deliver) would send for this event, nothing sent and nobody asked. Secrets are masked. Requests that
    /// depend on an answer say so in [`PreviewRequest::condition`].
    ///
    /// # Errors
    /// What `deliver` would say before sending anything.
    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError>;

    /// Removes what this connector keeps *on our side* of these deliveries, by their ids, because their person is erased: rows in
    /// files, say. What the destination itself keeps is its owner's to remove. When it returns `Ok`, what it names as removed is gone,
    /// and an attempt of one of these deliveries that is still under way, or that comes later, brings nothing back. Repeats must be
    /// harmless: it is asked again when such an attempt has ended, also for what cannot keep this promise any earlier.
    ///
    /// # Errors
    /// Why it cannot be done now; it is asked again.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        let _ = deliveries;
        Ok(Erased::NotKept)
    }
}

/// What [`Connector::erase`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erased {
    /// This kind keeps nothing on our side.
    NotKept,
    /// Everything it keeps was looked through. A delivery that is not among these was not found.
    Looked(Vec<ErasedPlace>),
}

/// A place, such as a file, that held something of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedPlace {
    /// The delivery's id.
    pub delivery: String,
    /// Where it was.
    pub place: String,
    /// False when it is still there: the place is no longer what the connector made, and a person must look at it.
    pub is_removed: bool,
}

/// Something that a connector keeps on our side of a delivery, such as a row in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The delivery's id; empty when it is not told.
    pub delivery: String,
    /// Where it is, such as the path of a file.
    pub place: String,
    /// Which one it is there, from 1: the row of a file, not counting its header.
    pub number: u64,
    /// What is kept: the cells of a row with the names of their columns.
    pub values: Vec<(String, String)>,
}

/// A request that would be sent, or a file that would be written.
///
/// What cannot be known before something is sent, such as the id of a record that an earlier request makes, stands as a
/// [`placeholder`](Self::placeholder).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviewRequest {
    /// What it is for, in a word or two: `contact`, `note 2`, `find the contact`. Empty when there is one request only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// When it is sent, if not always: `only when there is no such contact`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// `POST`, `PATCH`, …; `APPEND` for a file.
    pub method: String,
    /// Where to.
    pub url: String,
    /// In the order they are sent; secrets are masked.
    pub headers: Vec<(String, String)>,
    /// JSON when it is JSON, else text.
    pub body: Value,
}

impl PreviewRequest {
    /// Says what it is for.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.step = step.into();
        self
    }

    /// Says when it is sent, if not always, beginning with `when` or `only when`.
    #[must_use]
    pub fn only_when(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// Stands for what is not known yet: `(id of the contact)`.
    #[must_use]
    pub fn placeholder(what: &str) -> String {
        format!("({what})")
    }
}

/// How hard a destination of this kind may be driven unless its owner says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Attempts under way at once.
    pub concurrency: u32,
    /// Attempts started per second; `None` is no limit.
    pub per_second: Option<f64>,
    /// How many may start at once after a quiet time.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 16, per_second: None, burst: 1 }
    }
}

/// What a connector may use of the world around it.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The destination's name in the configuration.
    pub destination: String,
    /// Relative paths in the configuration are relative to this.
    pub base_directory: PathBuf,
    /// For [`http::Client::new`](crate::http::Client::new).
    pub http: HttpSettings,
    /// Small values that survive restarts and that all bridges on one store share, such as tokens.
    pub values: Arc<dyn ValueStore>,
    /// For work that a delivery begins and must not cut short, such as renewing a token.
    pub background: Background,
}

impl BuildContext {
    /// For a destination of this name, in the current folder, with values that are kept in memory only: for tests and previews.
    #[must_use]
    pub fn new(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            base_directory: PathBuf::from("."),
            http: HttpSettings::default(),
            values: Arc::<MemoryValues>::default(),
            background: Background::default(),
        }
    }

    /// With these settings for HTTP.
    #[must_use]
    pub fn with_http(self, http: HttpSettings) -> Self {
        Self { http, ..self }
    }

    /// With paths relative to this folder.
    #[must_use]
    pub fn with_base_directory(self, base_directory: impl Into<PathBuf>) -> Self {
        Self { base_directory: base_directory.into(), ..self }
    }

    /// With values that are kept there.
    #[must_use]
    pub fn with_values(self, values: Arc<dyn ValueStore>) -> Self {
        Self { values, ..self }
    }

    /// With work that is waited for there.
    #[must_use]
    pub fn with_background(self, background: Background) -> Self {
        Self { background, ..self }
    }
}

/// Something that only one destination can use, such as a folder that it writes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it is set, below `[destinations.NAME]`.
    pub path: Vec<String>,
    /// What it is, without its article: `folder`.
    pub what: &'static str,
    /// The same for the same thing. Never shown; a secret's hash where it is one.
    pub id: String,
    /// What to do about a second one.
    pub help: &'static str,
}

/// Valid settings of one destination: everything that can be known without touching the world.
pub trait Build: Send + Sync + std::fmt::Debug {
    /// Makes the connector. May open files and connections.
    ///
    /// # Errors
    /// What is in the way, in a sentence for a person.
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String>;

    /// The limits of this destination.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What is legal but probably not meant, a sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What these settings need for themselves: no two destinations of a configuration may name the same. Relative paths are below
    /// `base_directory`.
    fn claims(&self, base_directory: &Path) -> Vec<Claim> {
        let _ = base_directory;
        Vec::new()
    }

    /// What connectors with these settings keep on our side and `wanted` says yes to. Only reads, also beside a bridge that writes.
    ///
    /// # Errors
    /// What is in the way, in a sentence for a person.
    fn kept(&self, context: &BuildContext, wanted: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, String> {
        let _ = (context, wanted);
        Ok(Vec::new())
    }
}

/// Reads the settings of one destination; every fault at once.
pub type ParseSettings = fn(Map<String, Value>, &dyn crate::settings::Origin) -> Result<Box<dyn Build>, Vec<Fault>>;

/// A kind of destination, as the bridge's registry lists it.
#[derive(Clone, Copy)]
pub struct ConnectorKind {
    /// The `type` in the configuration.
    pub name: &'static str,
    /// One line for lists.
    pub about: &'static str,
    /// The configuration reference, in Markdown.
    pub reference: &'static str,
    /// Reads the keys of `[destinations.NAME]` that the bridge itself does not know. Pure: no network, nothing written.
    /// Implementations call [`settings::parse_and`](crate::settings::parse_and).
    pub parse: ParseSettings,
    /// What [`settings::schema`](crate::settings::schema) says of those keys, for editors and for the reference. Without it, any keys are
    /// taken by editors; `parse` decides all the same.
    pub schema: Option<fn() -> Value>,
    /// A simulated service of this kind, if it comes with one.
    #[cfg(feature = "simulator")]
    pub simulator: Option<Simulation>,
}

/// A simulated service that comes with a connector.
#[cfg(feature = "simulator")]
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// Makes one, empty.
    pub service: fn() -> Box<dyn crate::simulator::Service>,
    /// The lines of `[destinations.NAME]` for a destination that talks to one at this address: `type`, the address, and made-up
    /// credentials where it wants some. TOML, each line with its line break.
    pub settings: fn(&url::Url) -> String,
}

impl std::fmt::Debug for ConnectorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectorKind").field("name", &self.name).finish_non_exhaustive()
    }
}

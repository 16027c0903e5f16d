#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod background;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connector;
mod delivery;
mod error;
mod event;
pub mod fields;
pub mod http;
pub mod mapping;
pub mod note;
pub mod phone;
mod redact;
pub mod refusal;
mod report;
pub mod session;
pub mod settings;
pub mod signature;
#[cfg(feature = "simulator")]
pub mod simulator;
mod steps;
#[cfg(feature = "conformance")]
pub mod testing;
pub mod text;
pub mod token;
mod values;

pub use background::Background;
#[cfg(feature = "simulator")]
pub use connector::Simulation;
pub use connector::{
    Build, BuildContext, Claim, Connector, ConnectorKind, Erased, ErasedPlace, Kept, Limits, ParseSettings, PreviewRequest,
};
pub use delivery::{Delivery, Receipt, Record};
pub use error::{DeliveryError, ErrorKind, Verdict};
pub use event::{Author, Conversation, Event, Kind, Message, Person, Window, timestamp};
pub use redact::Redactor;
pub use report::{Finding, Report, Severity};
pub use steps::{MemorySteps, StepStore, Steps};
pub use values::{MemoryValues, Stored, ValueStore};

/// Everything a connector's signature mentions from other crates, at the versions this SDK was built with.
pub mod reexport {
    pub use async_trait::async_trait;
    pub use bytes::Bytes;
    pub use jiff::Timestamp;
    pub use minijinja;
    pub use schemars;
    pub use serde_json;
    pub use url::Url;
    pub use uuid::Uuid;
}

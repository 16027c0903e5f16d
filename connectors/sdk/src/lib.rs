#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod connector;
mod delivery;
mod error;
mod event;
pub mod http;
pub mod mapping;
pub mod settings;
#[cfg(feature = "simulator")]
pub mod simulator;
mod steps;
pub mod text;

#[cfg(feature = "simulator")]
pub use connector::Simulation;
pub use connector::{
    Build, BuildContext, Connector, ConnectorKind, Erased, ErasedPlace, Finding, Kept, Limits, ParseSettings, PreviewRequest, Report,
};
pub use delivery::{Delivery, Receipt, Record};
pub use error::{DeliveryError, ErrorKind, Verdict};
pub use event::{Author, Conversation, Event, Kind, Message, Person, Window, timestamp};
pub use steps::{MemorySteps, StepStore, Steps};

/// Everything a connector's signature mentions from other crates, at the versions this SDK was built with.
pub mod reexport {
    pub use async_trait::async_trait;
    pub use bytes::Bytes;
    pub use jiff::Timestamp;
    pub use minijinja;
    pub use serde_json;
    pub use url::Url;
    pub use uuid::Uuid;
}

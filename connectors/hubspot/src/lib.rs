#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod check;
mod client;
mod config;
mod deliver;
mod map;
mod note;
mod recent;
pub mod simulator;
mod verdict;

pub use config::{Config, Conversations};

use leadwire_connector::{ConnectorKind, Simulation};

/// The date version of every HubSpot API used here. A new one comes every March and September and is supported for 18 months
/// (<https://developers.hubspot.com/docs/developer-tooling/platform/versioning>).
pub const API_VERSION: &str = "2026-09";

/// What the bridge registers: destinations with `type = "hubspot"`.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "hubspot",
    about: "contacts and notes in HubSpot CRM",
    reference: include_str!("../README.md"),
    parse: config::parse,
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

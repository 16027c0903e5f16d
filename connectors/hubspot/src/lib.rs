#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod activity;
mod check;
mod client;
mod config;
mod contact;
mod deliver;
mod known;
mod map;
mod note;
mod preview;
pub mod simulator;
mod time;
mod verdict;

pub use config::{Appointments, Config, Otherwise};

use leadwire_connector::{ConnectorKind, Simulation};

/// The date version of every HubSpot API used here, unless `api_version` says otherwise. A new one comes every March and September
/// and is supported for 18 months (<https://developers.hubspot.com/docs/developer-tooling/platform/versioning>).
pub const API_VERSION: &str = "2026-09";

/// What the bridge registers: destinations with `type = "hubspot"`.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "hubspot",
    about: "contacts, notes, tasks and meetings in HubSpot CRM",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod client;
mod config;
mod deliver;
pub mod simulator;

use leadwire_connector::{ConnectorKind, Simulation};

/// The connector as the bridge's registry lists it.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "acme",
    about: "contacts and notes in Acme CRM",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

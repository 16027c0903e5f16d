#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod client;
mod config;
mod faults;
mod map;
mod preset;
mod rules;
mod sign;
pub mod simulator;
mod slack;
mod template;
mod thin;
mod verdict;

pub use config::{Address, Basic, Config, Method};
pub use map::Envelope;
pub use preset::Preset;
pub use rules::{Rule, Statuses, Success, Word};
pub use sign::Secrets;

use leadwire_connector::{ConnectorKind, Simulation};

/// What the bridge registers: destinations with `type = "json"`.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "json",
    about: "signed JSON to an address of your own; Zapier, Make, n8n, Slack, GoHighLevel's inbound webhook",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

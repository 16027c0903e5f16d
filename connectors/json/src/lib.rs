#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod client;
mod config;
mod map;
mod sign;
pub mod simulator;
mod verdict;

pub use config::{Basic, Config, Method, Success};

use leadwire_connector::{ConnectorKind, Simulation};

/// What the bridge registers: destinations with `type = "json"`.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "json",
    about: "signed JSON to an address of your own",
    reference: include_str!("../README.md"),
    parse: config::parse,
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod appointment;
mod check;
mod client;
mod compare;
mod config;
mod contact;
mod deliver;
mod fields;
mod map;
mod note;
pub mod simulator;
mod verdict;
mod write;

pub use config::{Appointments, Config, NoteFormat, Status};

use leadwire_connector::{ConnectorKind, Simulation};

/// What the bridge registers: destinations with `type = "gohighlevel"`.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "gohighlevel",
    about: "contacts, notes, tasks and appointments in GoHighLevel (LeadConnector)",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: Some(Simulation { service: simulator::boxed, settings: simulator::settings }),
};

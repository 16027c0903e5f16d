#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod answer;
mod child;
mod config;
mod connector;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod ledger;
mod lines;
mod patience;
mod pending;
mod protocol;
mod stderr;

use leadwire_connector::ConnectorKind;

/// The connector as the bridge's registry lists it.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "process",
    about: "a program of your own, in any language, that speaks JSON lines",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: None,
};

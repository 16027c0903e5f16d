//! The bridge from outside: the real binary, real sockets, a real file system. Each module tells stories about one part.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod driver;
mod harness;
mod oracle;
#[path = "../support/postgres.rs"]
mod postgres;

mod access;
mod acts;
mod advice;
mod alerts;
mod api;
mod bad_input;
mod cli;
mod clock;
mod cluster;
mod crash;
mod delivery;
mod disk;
mod docs;
mod examples;
#[cfg(debug_assertions)]
mod failpoints;
mod figures;
mod floods;
mod init;
mod keeping;
mod kept;
mod load;
mod mail;
mod many;
mod modes;
mod notify;
mod outage;
mod person;
mod promises;
mod receipts;
mod reload;
mod schema;
mod senders;
mod sick;
mod tls;
mod trace;
#[cfg(feature = "otlp")]
mod traces;

//! Leadwire: a lead relay. It receives the signed webhooks of chatbot platforms and gets every lead into the CRMs its owner names.
//!
//! The modules stand in the order in which an event meets them. `docs/architecture.md` is the map.

pub mod alerts;
pub mod app;
pub mod bucket;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod console;
pub mod deliver;
pub mod door;
pub mod failpoint;
pub mod figures;
pub mod inspect;
pub mod normalize;
pub mod notify;
pub mod receive;
pub mod route;
pub mod simulate;
pub mod store;
pub mod swap;
pub mod telemetry;
pub mod verify;

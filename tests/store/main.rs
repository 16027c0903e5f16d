//! The contract of the store, told once and held by every engine.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

#[path = "../support/postgres.rs"]
mod postgres;

mod server;

//! The connector against a simulated HubSpot, over a socket.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod activities;
mod bodies;
mod check;
mod contacts;
mod conversations;
mod harness;
mod keys;
mod refusals;

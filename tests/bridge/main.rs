//! The bridge from outside: the real binary, real sockets, a real file system. Each module tells stories about one part.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod harness;

mod bad_input;
mod cli;
mod crash;
mod delivery;
mod keeping;
mod person;
mod promises;
mod senders;
mod sick;

//! The console as people meet it: a real bridge, a real Chromium, a mouse, a keyboard or a thumb. Each module tells stories about one part.
//!
//! Pictures of every page go to the folder that `LEADWIRE_TEST_SCREENSHOTS` names, when it names one.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod browser;
mod checks;
mod driver;
#[path = "../bridge/harness.rs"]
#[allow(dead_code, reason = "no test program uses all of it")]
mod harness;
#[path = "../bridge/load.rs"]
#[allow(dead_code, reason = "no test program uses all of it")]
mod load;
mod showroom;

mod access;
mod actions;
mod honest;
mod hostile;
mod keyboard;
mod live;
mod look;
mod plain;
mod tour;

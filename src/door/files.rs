//! How many files the process may have open: a connection is one, and the store and the destinations need theirs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the store, for connections to destinations, and for whatever else is open beside those at the door.
const OTHERS: u64 = 200;

/// Raises the limit to what the machine allows: the usual 1,024 are from a time when programs waited for files one by one.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // What cannot be raised stays as it is, and `enough_for` says so if it matters.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// Whether so many connections are possible; `Err` with how many files there may be.
///
/// # Errors
/// The limit, when it is too low.
pub fn enough_for(connections: usize) -> Result<(), u64> {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < wanted => Err(limit),
        _ => Ok(()),
    }
}

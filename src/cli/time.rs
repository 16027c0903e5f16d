//! Moments on the command line.

use jiff::{SignedDuration, Timestamp};
use leadwire_connector::settings::duration;

/// Reads `2026-11-22T10:00:00Z`, `2026-11-22` (UTC), or an age such as `2h`, `7d`.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return day.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp()).map_err(|error| error.to_string());
    }
    let age = duration::parse(text).ok().and_then(|age| SignedDuration::try_from(age).ok());
    age.and_then(|age| Timestamp::now().checked_sub(age).ok())
        .ok_or_else(|| format!("`{text}` is no moment; write 2026-11-22T10:00:00Z, 2026-11-22, or an age such as 2h or 7d"))
}

/// To the second, for tables.
pub(super) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn moments_days_and_ages_are_read() {
        assert_eq!(short(parse("2026-11-22T10:00:00Z").unwrap()), "2026-11-22 10:00:00");
        assert_eq!(short(parse("2026-11-22").unwrap()), "2026-11-22 00:00:00");
        assert!(parse("2h").unwrap() < Timestamp::now());
        assert!(parse("yesterday").unwrap_err().contains("yesterday"));
    }
}

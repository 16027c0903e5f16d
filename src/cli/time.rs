//! Moments on the command line.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::settings::duration;

/// Reads `2026-11-22T10:00:00Z`, `2026-11-22` (UTC), or an age such as `2h`, `7d`.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return day.to_zoned(TimeZone::UTC).map(|at| at.timestamp()).map_err(|error| error.to_string());
    }
    let age = duration::parse(text).ok().and_then(|age| SignedDuration::try_from(age).ok());
    age.and_then(|age| Timestamp::now().checked_sub(age).ok())
        .ok_or_else(|| format!("`{text}` is no moment; write 2026-11-22T10:00:00Z, 2026-11-22, or an age such as 2h or 7d"))
}

/// To the second.
pub(super) fn long(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// To the second, for tables: this year goes without saying.
pub(super) fn short(at: Timestamp) -> String {
    short_at(at, Timestamp::now())
}

fn short_at(at: Timestamp, now: Timestamp) -> String {
    let year = |at: Timestamp| at.to_zoned(TimeZone::UTC).year();
    if year(at) == year(now) { at.strftime("%m-%d %H:%M:%S").to_string() } else { long(at) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn moments_days_and_ages_are_read() {
        assert_eq!(long(parse("2026-11-22T10:00:00Z").unwrap()), "2026-11-22 10:00:00");
        assert_eq!(long(parse("2026-11-22").unwrap()), "2026-11-22 00:00:00");
        assert!(parse("2h").unwrap() < Timestamp::now());
        assert!(parse("yesterday").unwrap_err().contains("yesterday"));
    }

    #[test]
    fn only_another_year_is_told() {
        let now = parse("2026-11-22T10:00:00Z").unwrap();
        assert_eq!(short_at(parse("2026-01-02T03:04:05Z").unwrap(), now), "01-02 03:04:05");
        assert_eq!(short_at(parse("2025-12-31T23:59:59Z").unwrap(), now), "2025-12-31 23:59:59");
    }
}

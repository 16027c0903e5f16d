//! What another side says about when to come again: any text is read or ignored, and each form that HTTP has is read to the second.
//!
//! The input is eight bytes of a moment, then the text.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::http::{Answer, Quota, QuotaHeaders, Reset, Window, parse_retry_after};
use std::time::Duration;

const QUOTA: QuotaHeaders = QuotaHeaders::new("limit", "left").window(Window::Milliseconds("window")).resets(Reset::Seconds("resets"));
/// The last second that a `Timestamp` can hold.
const LAST: u64 = 253_402_207_200;

pub fn check(data: &[u8]) {
    let (moment, text) = data.split_at_checked(8).unwrap_or((&[], data));
    let seconds = moment.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % LAST;
    let now = Timestamp::from_second(seconds as i64).unwrap();
    let text = String::from_utf8_lossy(text);
    let told = parse_retry_after(&text, now);
    let digits = text.trim();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let after = told.expect("digits are seconds").as_secs();
        assert!(digits.parse::<u64>().map_or(after >= u64::from(u32::MAX), |seconds| after == seconds));
    }
    for wait in [0, 1, 59, 86_400, told.map_or(7, |after| after.as_secs() % 100_000_000)] {
        dates_are_read(now, wait);
    }
    headers_are_read(&text, now);
}

/// The three forms of RFC 9110, 5.6.7, of which the older ones must be read too.
fn dates_are_read(now: Timestamp, wait: u64) {
    let Ok(at) = now.checked_add(SignedDuration::from_secs(wait as i64)) else { return };
    let date = at.to_zoned(TimeZone::UTC);
    if date.year() > 9_999 {
        return;
    }
    // Two digits of a year mean the century around us.
    let forms: &[&str] = match date.year() {
        1970..2069 => &["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y", "%A, %d-%b-%y %H:%M:%S GMT"],
        _ => &["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"],
    };
    for form in forms {
        let written = date.strftime(form).to_string();
        assert_eq!(parse_retry_after(&written, now), Some(Duration::from_secs(wait)), "{written}");
    }
    let past = now.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    assert_eq!(parse_retry_after(&past, at), Some(Duration::ZERO));
}

/// The other headers that tell of time and of limits, with whatever stands in them.
fn headers_are_read(text: &str, now: Timestamp) {
    let names = ["retry-after", "date", "age", "limit", "left", "window", "resets"];
    let headers = names.map(|name| (name.to_owned(), text.to_owned())).into();
    let answer = Answer { status: 429, headers, body: text.to_owned().into(), truncated: false, at: now };
    assert_eq!(answer.retry_after(), parse_retry_after(text, now));
    let _ = (answer.clock_skew(), answer.error("the CRM"));
    for quota in [QUOTA.read(&answer), Quota::from_usage(text, Some(Duration::from_secs(1)))].into_iter().flatten() {
        let _ = (quota.is_low(), quota.wait(now));
    }
}

//! Whether a silence is unusual, by a source's own week.
//!
//! Each hour of the week has a rate: how many leads came in it, on average over the last weeks. The rates summed over a silence are the
//! leads that it misses, `missed`: a night adds nothing to it where no leads come at night, and an hour at noon adds a lot where many do.
//! Leads that come independently of each other leave a silence that misses n of them once in eⁿ times (Poisson). A silence is unusual
//! when it misses more than [`UNUSUAL`], and clearly more than any silence of the last weeks did: a holiday teaches.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

const WEEK_HOURS: i64 = 168;
const HOUR_SECONDS: i64 = 3_600;
/// What is looked at: eight weeks.
pub(super) const HISTORY_HOURS: i64 = 8 * WEEK_HOURS;
/// A source must be known for so long, and have had so many leads, before anything about it can be unusual.
const KNOWN_HOURS: i64 = 2 * WEEK_HOURS;
const KNOWN_LEADS: i64 = 20;
/// Once in e⁹ silences, which are some 8,000, it is an accident.
const UNUSUAL: f64 = 9.0;
/// How much more than the longest silence before it.
const MORE: f64 = 1.5;
/// Further ahead nothing is foreseen.
const AHEAD_HOURS: i64 = HISTORY_HOURS;

/// The silence that a source is in: there is always one, which begins with its last lead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Silence {
    /// When the last lead or appointment came.
    #[serde(with = "leadwire_connector::timestamp")]
    pub since: Timestamp,
    /// By when the next one is expected, at the latest; `None` while the source is too new or too quiet to tell.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub expected_by: Option<Timestamp>,
    /// Whether it lasts for longer than that.
    pub unusual: bool,
}

/// Judges the silence since `last`. `hours` are counts of leads by the hour, as its number since 1970, in any order; hours that are not
/// there had none. For a bridge that did not listen since the last lead, `last` is when it began to listen again.
#[must_use]
pub fn judge(hours: &[(i64, i64)], last: Timestamp, now: Timestamp) -> Silence {
    let expected_by = Week::learn(hours, hour_of(last)).and_then(|week| week.expect_after(last));
    Silence { since: last, expected_by, unusual: expected_by.is_some_and(|by| by < now) }
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR_SECONDS)
}

/// What is usual.
struct Week {
    /// Leads by the hour of the week.
    rates: Vec<f64>,
    /// How many leads a silence must miss to be unusual.
    unusual: f64,
}

impl Week {
    /// `None` when too little is known. What came after `until` is left out, so that a long silence does not become usual by lasting.
    fn learn(hours: &[(i64, i64)], until: i64) -> Option<Self> {
        let is_recent = |hour: i64| hour <= until && hour.saturating_add(HISTORY_HOURS) > until;
        let mut known: Vec<(i64, i64)> = hours.iter().copied().filter(|(hour, leads)| is_recent(*hour) && *leads > 0).collect();
        known.sort_unstable();
        let begin = known.first()?.0;
        let leads = known.iter().fold(0_i64, |sum, (_, leads)| sum.saturating_add(*leads));
        if until - begin + 1 < KNOWN_HOURS || leads < KNOWN_LEADS {
            return None;
        }
        let mut week = Self { rates: rates(&known, begin, until), unusual: UNUSUAL };
        let gaps =
            known.windows(2).filter_map(|pair| if let [(from, _), (to, _)] = pair { Some(week.missed_between(*from, *to)) } else { None });
        let longest = gaps.fold(0.0, f64::max);
        week.unusual = UNUSUAL.max(MORE * longest);
        Some(week)
    }

    fn rate(&self, hour: i64) -> f64 {
        usize::try_from(hour.rem_euclid(WEEK_HOURS)).ok().and_then(|hour| self.rates.get(hour)).copied().unwrap_or(0.0)
    }

    /// What a silence misses that begins in the middle of one hour and ends in the middle of another.
    fn missed_between(&self, from: i64, to: i64) -> f64 {
        // More than the whole history cannot be between two of its hours.
        let between: f64 = (from + 1..to.min(from + HISTORY_HOURS)).map(|hour| self.rate(hour)).sum();
        between + (self.rate(from) + self.rate(to)) / 2.0
    }

    fn expect_after(&self, last: Timestamp) -> Option<Timestamp> {
        let (mut missed, first) = (0.0, hour_of(last));
        for hour in first..=first + AHEAD_HOURS {
            let begin = hour.saturating_mul(HOUR_SECONDS).max(last.as_second());
            let length = (hour + 1).saturating_mul(HOUR_SECONDS) - begin;
            let adds = self.rate(hour) * length as f64 / HOUR_SECONDS as f64;
            if adds > 0.0 && missed + adds >= self.unusual {
                let part = ((self.unusual - missed) / adds).clamp(0.0, 1.0);
                return Timestamp::from_second(begin).ok()?.checked_add(SignedDuration::from_secs_f64(length as f64 * part)).ok();
            }
            missed += adds;
        }
        None
    }
}

/// Leads by the hour of the week. Neighbouring hours share a part, since people are not punctual, and clocks are changed twice a year.
fn rates(known: &[(i64, i64)], begin: i64, until: i64) -> Vec<f64> {
    let mut sums = vec![0.0; WEEK_HOURS as usize];
    for (hour, leads) in known {
        if let Some(sum) = usize::try_from(hour.rem_euclid(WEEK_HOURS)).ok().and_then(|hour| sums.get_mut(hour)) {
            *sum += *leads as f64;
        }
    }
    let weeks = (until - begin + 1) as f64 / WEEK_HOURS as f64;
    let at = |hour: usize| sums.get(hour % sums.len()).copied().unwrap_or(0.0);
    (0..sums.len()).map(|hour| (at(hour + sums.len() - 1) + 2.0 * at(hour) + at(hour + 1)) / 4.0 / weeks).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    /// A Monday, 0:00.
    const BEGIN: i64 = 4 * 24 + 2_900 * WEEK_HOURS;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * HOUR_SECONDS + 600).unwrap()
    }

    /// Leads drawn with this rate for each hour of the week, for so many weeks.
    fn drawn(seed: u64, weeks: i64, rate: impl Fn(i64) -> f64) -> Vec<(i64, i64)> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = |rate: f64| {
            let (mut leads, mut product, limit) = (0, rng.random::<f64>(), (-rate).exp());
            while product > limit {
                leads += 1;
                product *= rng.random::<f64>();
            }
            leads
        };
        let hours = (0..weeks * WEEK_HOURS).map(|hour| (BEGIN + hour, draw(rate(hour % WEEK_HOURS))));
        hours.filter(|(_, leads)| *leads > 0).collect()
    }

    /// So many leads a day, in the ten hours that an office is open, on weekdays.
    fn office(a_day: f64) -> impl Fn(i64) -> f64 {
        move |hour| if hour / 24 < 5 && (8..18).contains(&(hour % 24)) { a_day / 10.0 } else { 0.0 }
    }

    /// Silences of a past that were judged unusual when the next lead ended them.
    fn false_alarms(hours: &[(i64, i64)]) -> usize {
        let pairs = hours.windows(2).enumerate();
        pairs.filter(|(index, pair)| judge(&hours[..=*index], at(pair[0].0), at(pair[1].0)).unusual).count()
    }

    #[test]
    fn a_busy_source_that_stops_is_missed_within_hours_of_its_own_day() {
        let hours = drawn(1, 6, office(60.0));
        let last = BEGIN + 6 * WEEK_HOURS - 24 * 3 - 14;
        let hours: Vec<_> = hours.into_iter().filter(|(hour, _)| *hour <= last).collect();
        let silence = judge(&hours, at(last), at(last + 1));
        let by = silence.expected_by.unwrap();
        assert!(!silence.unusual && by > at(last + 1) && by < at(last + 4), "{silence:?}");
        assert!(judge(&hours, at(last), at(last + 5)).unusual);
    }

    #[test]
    fn three_leads_a_day_do_not_alarm_at_night_nor_on_a_weekend() {
        let hours = drawn(2, 8, office(3.0));
        let friday_evening = BEGIN + 8 * WEEK_HOURS - 2 * 24 - 7;
        for later in 0..(2 * 24 + 14) {
            assert!(!judge(&hours, at(friday_evening), at(friday_evening + later)).unusual, "{later} hours later");
        }
        assert!(judge(&hours, at(friday_evening), at(friday_evening + 3 * WEEK_HOURS)).unusual, "but for ever is too long");
    }

    #[test]
    fn a_holiday_teaches() {
        let is_off = |hour: i64| (BEGIN + 3 * WEEK_HOURS..BEGIN + 4 * WEEK_HOURS).contains(&hour);
        let hours: Vec<_> = drawn(3, 8, office(20.0)).into_iter().filter(|(hour, _)| !is_off(*hour)).collect();
        let last = hours.last().unwrap().0;
        assert!(!judge(&hours, at(last), at(last + WEEK_HOURS)).unusual);
    }

    /// Chance makes an unusual silence now and then, so that this counts over many sources, always the same ones: of a thousand drawn in
    /// each of these ways, at most one in twelve alarmed within six weeks, and at most two did so twice.
    #[test]
    fn a_source_that_goes_on_as_ever_hardly_ever_alarms() {
        let sources = || [3.0, 10.0, 30.0, 100.0].into_iter().flat_map(|a_day| (0..16).map(move |seed| (seed, a_day)));
        let in_offices: usize = sources().map(|(seed, a_day)| false_alarms(&drawn(seed, 6, office(a_day)))).sum();
        let at_any_hour: usize = sources().map(|(seed, a_day)| false_alarms(&drawn(seed, 6, |_| a_day / 24.0))).sum();
        assert!(in_offices <= 8 && at_any_hour <= 8, "of 64 sources each: {in_offices} in offices, {at_any_hour} at any hour");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_new_source_never_alarms(hours in proptest::collection::vec((0..2 * WEEK_HOURS - 1, 0_i64..1_000), 0..200), later in 0_i64..100_000) {
            let hours: Vec<_> = hours.into_iter().map(|(hour, leads)| (BEGIN + hour, leads)).collect();
            let last = hours.iter().map(|(hour, _)| *hour).max().unwrap_or(BEGIN);
            prop_assert_eq!(judge(&hours, at(last), at(last + later)).expected_by, None);
        }

        #[test]
        fn a_silence_stays_unusual_for_as_long_as_it_lasts(seed: u64, a_day in 1.0..50.0_f64, later in 1_i64..5_000) {
            let hours = drawn(seed, 8, office(a_day));
            let last = hours.last().unwrap().0;
            let first = judge(&hours, at(last), at(last + later));
            let second = judge(&hours, at(last), at(last + later + 1));
            prop_assert_eq!(first.expected_by, second.expected_by);
            prop_assert!(!first.unusual || second.unusual);
        }

        #[test]
        fn no_numbers_are_too_strange(hours: Vec<(i64, i64)>, last in -2_000_000_000_i64..2_000_000_000, now in -2_000_000_000_i64..2_000_000_000) {
            let moment = |second: i64| Timestamp::from_second(second).unwrap();
            let _ = judge(&hours, moment(last), moment(now));
        }
    }
}

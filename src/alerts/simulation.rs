//! Months of trouble in a second: bridges that look at one memory, trouble that comes and goes, restarts.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::super::note::tests::now;
use super::*;
use proptest::prelude::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn rules(started_at: Timestamp) -> Rules {
    let channels = vec![("all".to_owned(), AlertSeverity::Warning), ("pager".to_owned(), AlertSeverity::Critical)];
    Rules { remind_every: SignedDuration::from_hours(24), settle: MINUTE * 5, started_at, channels }
}

fn trouble(level: i64, is_ripe: bool) -> Problem {
    Problem {
        kind: AlertKind::DeadLetters,
        subject: "crm".into(),
        severity: AlertSeverity::Warning,
        since: now(),
        is_ripe,
        level,
        title: format!("{level} dead letters for crm"),
        detail: "why".into(),
        remedy: "mend it".into(),
    }
}

/// What a run of looks told, as (minute, what), with all letters taken at once.
struct Run {
    page: Page,
    told: Vec<(i64, What)>,
}

impl Run {
    fn new() -> Self {
        Self { page: Page::default(), told: Vec::new() }
    }

    fn look(&mut self, minute: i64, problem: Option<&Problem>, rules: &Rules) {
        if let Some(page) = step(&self.page, problem, now() + MINUTE * i32::try_from(minute).unwrap(), rules) {
            self.page = page;
        }
        self.told.extend(self.page.letters.drain(..).map(|letter| (minute, letter.note.what)));
    }
}

#[test]
fn trouble_is_told_once_reminded_of_each_day_and_its_end_is_told() {
    let (mut run, rules) = (Run::new(), rules(now()));
    for minute in 0..3_000 {
        run.look(minute, Some(&trouble(3, true)), &rules);
    }
    for minute in 3_000..6_000 {
        run.look(minute, None, &rules);
    }
    assert_eq!(run.told, [(0, What::Opened), (1_440, What::Reminder), (2_880, What::Reminder), (3_003, What::Resolved)]);
    let incident = run.page.incident.unwrap();
    assert_eq!(span(incident.ended_at.unwrap().duration_since(incident.since)), "2 d 1 h");
}

#[test]
fn what_grows_is_told_no_more_often_than_it_settles_and_from_its_least_on() {
    let (mut run, rules) = (Run::new(), rules(now()));
    for minute in 0..20 {
        run.look(minute, Some(&trouble(minute + 1, true)), &rules);
    }
    assert_eq!(run.told, [(0, What::Opened), (5, What::Grew), (10, What::Grew), (15, What::Grew)]);
    run.look(21, Some(&trouble(2, true)), &rules);
    run.look(40, Some(&trouble(3, true)), &rules);
    assert_eq!(run.told.last(), Some(&(40, What::Grew)), "two of them were replayed, and one more died");
}

#[test]
fn a_channel_hears_what_is_bad_enough_for_it_and_then_also_the_end() {
    let rules = rules(now());
    let to = |page: &Page| page.letters.last().unwrap().to.clone();
    let page = step(&Page::default(), Some(&trouble(1, true)), now(), &rules).unwrap();
    assert_eq!(to(&page), ["all"]);
    let worse = Problem { severity: AlertSeverity::Critical, ..trouble(1, true) };
    let page = step(&page, Some(&worse), now() + MINUTE, &rules).unwrap();
    assert_eq!((to(&page), page.letters.last().unwrap().note.what), (vec!["all".to_owned(), "pager".to_owned()], What::Grew));
    let page = step(&page, None, now() + MINUTE * 30, &rules).unwrap();
    assert_eq!((to(&page).len(), page.letters.last().unwrap().note.what), (2, What::Resolved));
}

#[test]
fn what_is_not_bad_enough_is_not_told_but_keeps_what_was_told_from_ending() {
    let (mut run, rules) = (Run::new(), rules(now()));
    run.look(0, Some(&trouble(1, false)), &rules);
    assert_eq!(run.told, []);
    run.look(1, Some(&trouble(1, true)), &rules);
    for minute in 2..3_000 {
        run.look(minute, Some(&trouble(1, false)), &rules);
    }
    assert_eq!(run.told, [(1, What::Opened)]);
}

#[test]
fn what_flaps_is_told_ever_less_often() {
    let (mut run, rules) = (Run::new(), rules(now()));
    for minute in 0..1_440 {
        let there = (minute / 7) % 2 == 0;
        run.look(minute, there.then(|| trouble(1, true)).as_ref(), &rules);
    }
    assert!(run.told.len() <= 5, "{:?}", run.told);
}

#[test]
fn a_restart_neither_repeats_nor_forgets() {
    let mut run = Run::new();
    run.look(0, Some(&trouble(1, true)), &rules(now()));
    // The bridge is away for two hours, and sees nothing in its first minutes.
    let later = rules(now() + MINUTE * 120);
    run.look(120, None, &later);
    for minute in 123..130 {
        run.look(minute, Some(&trouble(1, true)), &later);
    }
    assert_eq!(run.told, [(0, What::Opened)]);
    for minute in 130..150 {
        run.look(minute, None, &later);
    }
    assert_eq!(run.told.len(), 2);
}

#[test]
fn of_two_bridges_only_one_sees_it_and_it_stays_open() {
    let (mut run, rules) = (Run::new(), rules(now()));
    for minute in 0..600 {
        run.look(minute, Some(&trouble(1, true)), &rules);
        run.look(minute, None, &rules);
    }
    assert_eq!(run.told, [(0, What::Opened)]);
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing_open() {
    let (mut run, rules) = (Run::new(), rules(now()));
    run.look(1_440, Some(&trouble(1, true)), &rules);
    for minute in 0..10 {
        run.look(minute, None, &rules);
    }
    assert_eq!(run.told.iter().map(|(_, what)| *what).collect::<Vec<_>>(), [What::Opened, What::Resolved]);
}

proptest! {
    /// Beginnings and ends alternate; an end comes only after nobody saw the trouble for that long, and always in the end.
    #[test]
    fn however_it_comes_and_goes(looks in prop::collection::vec((1_i64..40, 0_u8..3, 0_i64..5, any::<bool>()), 1..300)) {
        let (mut run, mut rules) = (Run::new(), rules(now()));
        let (mut minute, mut seen) = (0, None::<i64>);
        for (pause, there, level, restarts) in looks {
            minute += pause;
            if restarts && level == 4 {
                rules.started_at = now() + MINUTE * i32::try_from(minute).unwrap();
            }
            let problem = (there > 0).then(|| trouble(level, there == 2));
            let before = run.told.len();
            run.look(minute, problem.as_ref(), &rules);
            prop_assert!(run.told.len() <= before + 1, "a look tells one thing");
            if let Some((_, What::Resolved)) = run.told.get(before) {
                // What is remembered of when it was seen may be a quarter older.
                prop_assert!(problem.is_none() && minute - seen.unwrap() >= 3);
            }
            seen = if problem.is_some() { Some(minute) } else { seen };
        }
        rules.started_at = now();
        for _ in 0..200 {
            minute += 1;
            run.look(minute, None, &rules);
        }
        let ends: Vec<What> = run.told.iter().map(|(_, what)| *what).filter(|what| matches!(what, What::Opened | What::Resolved)).collect();
        let expected: Vec<What> = [What::Opened, What::Resolved].into_iter().cycle().take(ends.len()).collect();
        prop_assert_eq!(&ends, &expected);
        prop_assert_eq!(ends.len() % 2, 0, "it is over in the end, and told so");
    }
}

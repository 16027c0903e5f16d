//! What is wrong at one moment. Pure: a view of the bridge goes in, troubles come out.

use super::silence::{AllHeard, silent_since};
use super::words::{anonymous, bytes, count, moment, span};
use crate::config::{AlertKind, AlertSeverity};
use crate::store::{DeadCause, Hold, SpoolStatus};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A hold that ends by itself sooner is the business of the destination.
const SHORT_HOLD: SignedDuration = SignedDuration::from_mins(15);

/// What is told, and from where on.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// For how long a breaker may be open.
    pub breaker_open_for: SignedDuration,
    /// For how long a lead may be undelivered.
    pub lead_older_than: SignedDuration,
    /// Bodies of one source in an hour.
    pub quarantine_per_hour: i64,
    /// Bytes that must be free.
    pub disk_free: u64,
    /// For how long the store may be sick.
    pub store_sick_for: SignedDuration,
    /// By source: for how long nothing may come.
    pub silence_after: BTreeMap<String, SignedDuration>,
    /// What is not told.
    pub off: Vec<AlertKind>,
    /// Of the times in texts.
    pub zone: TimeZone,
}

/// The bridge at one moment.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The moment.
    pub now: Timestamp,
    /// The name of the machine.
    pub host: String,
    /// Since when the store takes or answers nothing.
    pub store_sick_since: Option<Timestamp>,
    /// `None` without a spool.
    pub spool: Option<SpoolStatus>,
    /// Folders, with what is free on their disks.
    pub disks: Vec<(String, u64)>,
    /// The destinations of this bridge.
    pub lanes: Vec<Lane>,
    /// What only the store knows; `None` while it cannot be read.
    pub stored: Option<Stored>,
}

/// A destination as this bridge treats it.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Its name.
    pub name: String,
    /// Set while parked.
    pub hold: Option<Hold>,
    /// Since when its breaker has been open.
    pub down_since: Option<Timestamp>,
}

/// What only the store knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// All destinations that it knows.
    pub destinations: Vec<Destination>,
    /// Bodies that came into the quarantine within an hour, by source and code.
    pub quarantined: BTreeMap<String, BTreeMap<String, i64>>,
    /// When something came from the sources last.
    pub heard: AllHeard,
    /// Since when sources are silent whose leads are missed by their own week.
    pub missing: BTreeMap<String, Timestamp>,
}

/// A destination as the store knows it.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// Its name.
    pub name: String,
    /// Set while parked.
    pub hold: Option<Hold>,
    /// Deliveries that have not ended.
    pub pending: i64,
    /// Deliveries that a person must look at.
    pub dead: i64,
    /// Why they died, the commonest first.
    pub causes: Vec<DeadCause>,
    /// Since when the oldest pending delivery has been under way.
    pub oldest: Option<Timestamp>,
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Of which kind.
    pub kind: AlertKind,
    /// A source, a destination, a machine or a folder.
    pub subject: String,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is bad enough to be told. One that is not only keeps what was told from being over.
    pub is_ripe: bool,
    /// What makes it news when it grows.
    pub level: i64,
    /// One line.
    pub title: String,
    /// What is known of it.
    pub detail: String,
    /// What a person can do.
    pub remedy: String,
}

impl Problem {
    /// What it is known by.
    #[must_use]
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.subject)
    }
}

/// Whether trouble of this kind can be seen without the store.
#[must_use]
pub(super) fn is_seen_without_store(kind: AlertKind) -> bool {
    !matches!(kind, AlertKind::DeadLetters | AlertKind::Waiting | AlertKind::Quarantine | AlertKind::Silence)
}

/// Everything that is wrong.
#[must_use]
pub(super) fn judge(view: &View, limits: &Limits) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(store_sick(view, limits));
    found.extend(view.spool.iter().flat_map(|spool| [spool_used(view, spool), set_aside(view, spool)]).flatten());
    found.extend(view.disks.iter().filter_map(|(folder, free)| disk(view, limits, folder, *free)));
    found.extend(view.lanes.iter().filter_map(|lane| breaker(view, limits, lane)));
    found.extend(holds(view).into_iter().map(|(name, hold)| held(view, limits, name, hold)));
    if let Some(stored) = &view.stored {
        found.extend(stored.destinations.iter().filter_map(|destination| dead(view, destination)));
        found.extend(stored.destinations.iter().filter_map(|destination| waiting(view, limits, destination)));
        found.extend(stored.quarantined.iter().filter_map(|(source, codes)| quarantine(view, limits, source, codes)));
        found.extend(limits.silence_after.iter().filter_map(|(source, after)| silence(view, limits, stored, source, *after)));
        // What a person set for a source wins over what its weeks say.
        let by_week = stored.missing.iter().filter(|(source, _)| !limits.silence_after.contains_key(*source));
        found.extend(by_week.map(|(source, since)| unusual(view, limits, source, *since)));
    }
    found.retain(|problem| !limits.off.contains(&problem.kind));
    found
}

fn problem(kind: AlertKind, subject: &str, severity: AlertSeverity, since: Timestamp) -> Problem {
    let (title, detail, remedy) = (String::new(), String::new(), String::new());
    Problem { kind, subject: subject.to_owned(), severity, since, is_ripe: true, level: 0, title, detail, remedy }
}

fn store_sick(view: &View, limits: &Limits) -> Option<Problem> {
    let since = view.store_sick_since?;
    let then = if view.spool.is_some() { "What is received is kept in the spool." } else { "Senders are answered 503 and try again." };
    Some(Problem {
        is_ripe: view.now.duration_since(since) >= limits.store_sick_for,
        title: format!("the store of {} is sick", view.host),
        detail: format!("It has taken or answered nothing for {}. {then}", span(view.now.duration_since(since))),
        remedy: "The log says why: a full disk, a lock, a database that is gone. Mend that; no restart is needed.".to_owned(),
        ..problem(AlertKind::Store, &view.host, AlertSeverity::Critical, since)
    })
}

fn spool_used(view: &View, spool: &SpoolStatus) -> Option<Problem> {
    if spool.records == 0 {
        return None;
    }
    let (severity, room) = match spool.takes_more {
        true => (AlertSeverity::Warning, "It takes more."),
        false => (AlertSeverity::Critical, "It is full or cannot be written, so that senders are refused."),
    };
    let records = i64::try_from(spool.records).unwrap_or(i64::MAX);
    Some(Problem {
        title: format!("the spool of {} is in use", view.host),
        detail: format!("{} not in the store yet. {room}", count(records, "request is", "requests are")),
        remedy: "They come into the store by themselves when it is well. Look at the store.".to_owned(),
        ..problem(AlertKind::Spool, &view.host, severity, spool.oldest.unwrap_or(view.now))
    })
}

fn set_aside(view: &View, spool: &SpoolStatus) -> Option<Problem> {
    let files = i64::try_from(spool.set_aside).unwrap_or(i64::MAX);
    (files > 0).then(|| Problem {
        level: files,
        title: format!("the spool of {} has {} set aside", view.host, count(files, "file", "files")),
        detail: "They hold records that are damaged or that the store refuses.".to_owned(),
        remedy: "Each needs a person; the chapter on a sick store in docs/running.md says how.".to_owned(),
        ..problem(AlertKind::SetAside, &view.host, AlertSeverity::Critical, view.now)
    })
}

fn disk(view: &View, limits: &Limits, folder: &str, free: u64) -> Option<Problem> {
    // A disk at its limit must not come and go with every file.
    let well = limits.disk_free.saturating_add(limits.disk_free / 10);
    (free < well).then(|| Problem {
        is_ripe: free < limits.disk_free,
        title: format!("{} left on the disk of {folder} at {}", bytes(free), view.host),
        detail: format!("At least {} should be free. When the disk is full, no lead can be kept on it.", bytes(limits.disk_free)),
        remedy: "Make room, or set `retention` or `max_bytes` in [store].".to_owned(),
        ..problem(AlertKind::Disk, &format!("{}:{folder}", view.host), AlertSeverity::Critical, view.now)
    })
}

fn breaker(view: &View, limits: &Limits, lane: &Lane) -> Option<Problem> {
    let since = lane.down_since?;
    Some(Problem {
        is_ripe: view.now.duration_since(since) >= limits.breaker_open_for && lane.hold.is_none(),
        title: format!("{} is down", lane.name),
        detail: format!("It has failed every attempt for {}. {}", span(view.now.duration_since(since)), waits(view, &lane.name)),
        remedy: format!(
            "Deliveries go on by themselves when it answers; none is lost. `leadwire doctor --destination {}` says what is wrong.",
            lane.name
        ),
        ..problem(AlertKind::Breaker, &lane.name, AlertSeverity::Warning, since)
    })
}

/// The store knows of holds before the lanes do, and the lanes while the store cannot be read.
fn holds(view: &View) -> BTreeMap<&str, &Hold> {
    let of_lanes = view.lanes.iter().filter(|_| view.stored.is_none()).map(|lane| (&lane.name, &lane.hold));
    let of_store = view.stored.iter().flat_map(|stored| &stored.destinations).map(|row| (&row.name, &row.hold));
    of_lanes.chain(of_store).filter_map(|(name, hold)| Some((name.as_str(), hold.as_ref()?))).collect()
}

fn held(view: &View, limits: &Limits, name: &str, hold: &Hold) -> Problem {
    let (severity, end) = match hold.until {
        None => (AlertSeverity::Critical, String::new()),
        Some(until) => (AlertSeverity::Warning, format!(" It resumes by itself at {}.", moment(until, &limits.zone))),
    };
    let lasts = hold.until.map_or(SignedDuration::MAX, |until| until.duration_since(hold.since));
    let release = if hold.until.is_some() { "To go on sooner, mend" } else { "Mend" };
    Problem {
        is_ripe: lasts.max(view.now.duration_since(hold.since)) >= SHORT_HOLD,
        title: format!("{name} is on hold"),
        detail: format!("{}.{end} {}", anonymous(&hold.reason).trim_end_matches('.'), waits(view, name)),
        remedy: format!("{release} what the reason says, then `leadwire resume {name}`."),
        ..problem(AlertKind::Hold, name, severity, hold.since)
    }
}

fn waits(view: &View, name: &str) -> String {
    let row = view.stored.iter().flat_map(|stored| &stored.destinations).find(|row| row.name == name);
    row.map_or_else(String::new, |row| format!("{} for it.", count(row.pending, "delivery waits", "deliveries wait")))
}

fn dead(view: &View, destination: &Destination) -> Option<Problem> {
    let name = &destination.name;
    (destination.dead > 0).then(|| Problem {
        level: destination.dead,
        title: format!("{} for {name}", count(destination.dead, "dead letter", "dead letters")),
        detail: causes(&destination.causes),
        remedy: format!(
            "`leadwire deliveries list --state dead` says why. Mend the cause, then `leadwire replay --destination {name} --state dead`."
        ),
        ..problem(AlertKind::DeadLetters, name, AlertSeverity::Critical, view.now)
    })
}

fn causes(causes: &[DeadCause]) -> String {
    let words = |cause: &DeadCause| format!("{}: {}", cause.count, cause.cause.replace('/', " "));
    let told: Vec<String> = causes.iter().map(words).collect();
    if told.is_empty() { String::new() } else { format!("{}.", told.join(", ")) }
}

fn waiting(view: &View, limits: &Limits, destination: &Destination) -> Option<Problem> {
    let (since, name) = (destination.oldest?, &destination.name);
    let age = view.now.duration_since(since);
    let is_told_otherwise = destination.hold.is_some() || view.lanes.iter().any(|lane| lane.name == *name && lane.down_since.is_some());
    let nobody = !view.lanes.iter().any(|lane| lane.name == *name);
    let why = if nobody { " The destination is not in the configuration, so nobody delivers them." } else { "" };
    (age >= limits.lead_older_than).then(|| Problem {
        is_ripe: !is_told_otherwise,
        title: format!("a lead for {name} has waited for {}", span(age)),
        detail: format!("{}{why}", waits(view, name)),
        remedy: "`leadwire deliveries list --state pending` says what keeps them.".to_owned(),
        ..problem(AlertKind::Waiting, name, AlertSeverity::Warning, since)
    })
}

fn quarantine(view: &View, limits: &Limits, source: &str, codes: &BTreeMap<String, i64>) -> Option<Problem> {
    let bodies: i64 = codes.values().sum();
    let told: Vec<String> = codes.iter().map(|(code, count)| format!("{count}: {code}")).collect();
    (bodies * 2 >= limits.quarantine_per_hour && bodies > 0).then(|| Problem {
        is_ripe: bodies >= limits.quarantine_per_hour,
        title: format!("{} of {source} in the quarantine within an hour", count(bodies, "body", "bodies")),
        detail: format!("They could not be verified, and may be leads. {}.", told.join(", ")),
        remedy: format!("`leadwire quarantine list --source {source}` says what to do; with the right key they become leads."),
        ..problem(AlertKind::Quarantine, source, AlertSeverity::Warning, view.now)
    })
}

fn silence(view: &View, limits: &Limits, stored: &Stored, source: &str, after: SignedDuration) -> Option<Problem> {
    let since = silent_since(*stored.heard.get(source)?, after, view.now)?;
    let detail = format!("Something is expected every {}; the last came at {}.", span(after), moment(since, &limits.zone));
    Some(silent(view, source, since, "nothing", detail))
}

/// Silent for longer than it ever is at these hours of the week.
fn unusual(view: &View, limits: &Limits, source: &str, since: Timestamp) -> Problem {
    let last = moment(since, &limits.zone);
    let detail = format!(
        "By its last weeks, leads should have come; nothing but silence since {last}. `silence_after` of the source sets a time of your own."
    );
    silent(view, source, since, "no lead", detail)
}

fn silent(view: &View, source: &str, since: Timestamp, what: &str, detail: String) -> Problem {
    Problem {
        title: format!("{what} from {source} for {}", span(view.now.duration_since(since))),
        detail,
        remedy: format!("Try the chatbot, and look whether its webhook still points to /hooks/{source}."),
        ..problem(AlertKind::Silence, source, AlertSeverity::Warning, since)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::note::tests::now;
    use super::super::silence::Heard;
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn limits() -> Limits {
        Limits {
            breaker_open_for: HOUR / 4,
            lead_older_than: HOUR,
            quarantine_per_hour: 10,
            disk_free: 1 << 30,
            store_sick_for: HOUR / 60,
            silence_after: BTreeMap::from([("acme".to_owned(), HOUR * 24)]),
            off: Vec::new(),
            zone: TimeZone::UTC,
        }
    }

    fn destination() -> Destination {
        Destination { name: "crm".into(), hold: None, pending: 0, dead: 0, causes: Vec::new(), oldest: None }
    }

    fn view(stored: Stored) -> View {
        let lane = Lane { name: "crm".into(), hold: None, down_since: None };
        View {
            now: now(),
            host: "box".into(),
            store_sick_since: None,
            spool: None,
            disks: vec![("data".into(), 2 << 30)],
            lanes: vec![lane],
            stored: Some(stored),
        }
    }

    fn hold(until: Option<SignedDuration>) -> Hold {
        Hold { reason: "refused jane@example.com.".into(), since: now(), until: until.map(|span| now() + span) }
    }

    /// Each as its kind, and whether it is told.
    fn found(view: &View) -> Vec<(AlertKind, bool)> {
        judge(view, &limits()).iter().map(|problem| (problem.kind, problem.is_ripe)).collect()
    }

    #[test]
    fn nothing_is_wrong_with_a_bridge_that_works() {
        let heard = AllHeard::from([("acme".to_owned(), Heard { received: 1, at: now() })]);
        assert_eq!(found(&view(Stored { destinations: vec![destination()], heard, ..Stored::default() })), []);
    }

    #[test]
    fn a_lead_that_waits_for_a_hold_or_an_outage_is_told_by_that() {
        let late = Destination { oldest: Some(now() - HOUR), pending: 2, ..destination() };
        let stored = |destination| Stored { destinations: vec![destination], ..Stored::default() };
        assert_eq!(found(&view(stored(late.clone()))), [(AlertKind::Waiting, true)]);
        let held = Destination { hold: Some(hold(None)), ..late.clone() };
        assert_eq!(found(&view(stored(held))), [(AlertKind::Hold, true), (AlertKind::Waiting, false)]);
        let mut down = view(stored(late.clone()));
        down.lanes[0].down_since = Some(now() - HOUR / 2);
        assert_eq!(found(&down), [(AlertKind::Breaker, true), (AlertKind::Waiting, false)]);
        let mut nobody = view(stored(late));
        nobody.lanes.clear();
        assert!(judge(&nobody, &limits())[0].detail.contains("nobody delivers them"));
    }

    #[test]
    fn a_short_hold_is_not_told_and_none_names_a_person() {
        let held =
            |until| view(Stored { destinations: vec![Destination { hold: Some(hold(until)), ..destination() }], ..Stored::default() });
        assert_eq!(found(&held(Some(SHORT_HOLD / 2))), [(AlertKind::Hold, false)]);
        assert_eq!(found(&held(Some(HOUR))), [(AlertKind::Hold, true)]);
        let problem = judge(&held(None), &limits()).remove(0);
        assert_eq!((problem.severity, problem.detail.as_str()), (AlertSeverity::Critical, "refused …. 0 deliveries wait for it."));
    }

    #[test]
    fn without_the_store_the_lanes_and_the_disks_are_still_seen() {
        let mut blind = view(Stored::default());
        (blind.stored, blind.store_sick_since, blind.disks[0].1) = (None, Some(now() - HOUR), 5 << 20);
        blind.lanes[0].hold = Some(hold(None));
        blind.spool = Some(SpoolStatus { records: 3, bytes: 9, oldest: None, takes_more: false, set_aside: 1 });
        let kinds: Vec<AlertKind> = judge(&blind, &limits()).iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, [AlertKind::Store, AlertKind::Spool, AlertKind::SetAside, AlertKind::Disk, AlertKind::Hold]);
        assert!(kinds.into_iter().all(is_seen_without_store));
        let silent = Limits { off: AlertKind::ALL.to_vec(), ..limits() };
        assert_eq!(judge(&blind, &silent), []);
    }

    #[test]
    fn a_limit_is_left_behind_by_more_than_a_little() {
        let mut full = view(Stored::default());
        let told = [1 << 29, (1 << 30) + 1, (1 << 30) * 12 / 10].map(|free| {
            full.disks[0].1 = free;
            found(&full)
        });
        assert_eq!(told, [vec![(AlertKind::Disk, true)], vec![(AlertKind::Disk, false)], vec![]]);
        let quarantined = |bodies| BTreeMap::from([("acme".to_owned(), BTreeMap::from([("no_key_matched".to_owned(), bodies)]))]);
        let told = [10, 5, 4].map(|bodies| found(&view(Stored { quarantined: quarantined(bodies), ..Stored::default() })));
        assert_eq!(told, [vec![(AlertKind::Quarantine, true)], vec![(AlertKind::Quarantine, false)], vec![]]);
    }

    #[test]
    fn a_source_whose_week_misses_leads_is_told_unless_a_person_set_a_time() {
        let missing = |source: &str| Stored { missing: BTreeMap::from([(source.to_owned(), now() - HOUR * 30)]), ..Stored::default() };
        let told = judge(&view(missing("other")), &limits());
        assert_eq!((told[0].kind, told[0].title.as_str()), (AlertKind::Silence, "no lead from other for 1 d 6 h"));
        assert_eq!(found(&view(missing("acme"))), []);
    }

    #[test]
    fn dead_letters_say_why_they_died() {
        let cause = |cause: &str, count| DeadCause {
            destination: "crm".to_owned(),
            cause: cause.to_owned(),
            count,
            oldest: Timestamp::UNIX_EPOCH,
            newest: Timestamp::UNIX_EPOCH,
            example: uuid::Uuid::nil(),
            message: "told to people who may see persons".to_owned(),
        };
        let causes = vec![cause("data/422/INVALID", 3), cause("unreadable", 1)];
        let dead = Destination { dead: 4, causes, ..destination() };
        let problem = judge(&view(Stored { destinations: vec![dead], ..Stored::default() }), &limits()).remove(0);
        assert_eq!((problem.title.as_str(), problem.level), ("4 dead letters for crm", 4));
        assert_eq!(problem.detail, "3: data 422 INVALID, 1: unreadable.");
    }
}

//! The conservation oracle: what was promised, what arrived, and whether the two agree.
//!
//! Every success answer is an obligation. After a phase without faults the judge wants each of them met at every destination,
//! nothing invented, nothing changed, the order of each person kept, and no delivery twice but those that were under way when a
//! process was killed. It returns what it finds as values, so that it can be judged itself.

use crate::driver::{Driver, Posted};
use crate::harness::{Bridge, Setup, endpoint, eventually, rows};
use leadwire_connector::simulator::{Logged, Server};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What reached a destination: a request to an endpoint, or a row of a finished file.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) destination: &'static str,
    /// The delivery's id.
    pub(crate) id: String,
    /// Whether the destination said that it took it.
    pub(crate) accepted: bool,
    /// The event's fields by name, as text.
    pub(crate) fields: BTreeMap<String, String>,
    /// What was posted, where a destination gets that too.
    pub(crate) raw: Option<Value>,
}

/// Everything the judge looks at.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// In the order of posting; an event of a person was posted after the one before it was answered.
    pub(crate) posted: Vec<Posted>,
    /// In the order of arrival at each destination.
    pub(crate) arrivals: Vec<Arrival>,
    /// Where every event is routed to.
    pub(crate) destinations: Vec<&'static str>,
    /// Those of them whose order says nothing: files are named by the clock, which may be wrong.
    pub(crate) unordered: Vec<&'static str>,
    /// How often a delivery was under way when a process was killed: so often it may have been sent again.
    pub(crate) excused: BTreeMap<String, usize>,
    /// Repeats of any delivery that a fault is known to have caused.
    pub(crate) spare: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Answered with success, and not there.
    Lost,
    /// There, and never posted.
    Invented,
    /// Not what was posted.
    Changed,
    /// Taken more often than kills can explain.
    Doubled,
    /// Taken before an earlier event of the same person.
    Reordered,
}

/// A fault, where, and of which posted event (or which delivery, when it is of none).
pub(crate) type Finding = (Fault, &'static str, String);

/// Compares.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let known: BTreeMap<String, &Posted> = evidence.posted.iter().map(|posted| (session(&posted.body), posted)).collect();
    let mut findings = Vec::new();
    for destination in &evidence.destinations {
        let mut arrived: BTreeMap<u64, Vec<&Arrival>> = BTreeMap::new();
        for arrival in evidence.arrivals.iter().filter(|arrival| arrival.destination == *destination) {
            match arrival.fields.get("session_id").and_then(|session| known.get(session)) {
                None => findings.push((Fault::Invented, *destination, arrival.id.clone())),
                Some(posted) if is_changed(posted, arrival) => findings.push((Fault::Changed, *destination, posted.n.to_string())),
                Some(posted) => arrived.entry(posted.n).or_default().push(arrival),
            }
        }
        arrived.values_mut().for_each(|arrivals| arrivals.retain(|arrival| arrival.accepted));
        arrived.retain(|_, arrivals| !arrivals.is_empty());
        findings.extend(find_lost(evidence, destination, &arrived));
        if !evidence.unordered.contains(destination) {
            findings.extend(find_reordered(evidence, destination, &arrived));
        }
        findings.extend(find_doubled(destination, &arrived, &evidence.excused));
    }
    forgive(findings, evidence.spare)
}

type Arrived<'a> = BTreeMap<u64, Vec<&'a Arrival>>;

fn find_lost<'a>(evidence: &'a Evidence, destination: &'static str, arrived: &'a Arrived<'a>) -> impl Iterator<Item = Finding> + 'a {
    let owed = evidence.posted.iter().filter(|posted| posted.answered);
    owed.filter(|posted| !arrived.contains_key(&posted.n)).map(move |posted| (Fault::Lost, destination, posted.n.to_string()))
}

/// Each person's events must first be taken in the order in which they were posted.
fn find_reordered(evidence: &Evidence, destination: &'static str, arrived: &Arrived<'_>) -> Vec<Finding> {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let place: BTreeMap<&str, usize> = evidence
        .arrivals
        .iter()
        .enumerate()
        .filter(|(_, arrival)| arrival.accepted && arrival.destination == destination)
        .rev()
        .map(|(place, arrival)| (arrival.id.as_str(), place))
        .collect();
    let mut findings = Vec::new();
    for posted in &evidence.posted {
        let Some(first) = arrived.get(&posted.n).and_then(|arrivals| arrivals.iter().map(|arrival| place[arrival.id.as_str()]).min())
        else {
            continue;
        };
        let before = last.insert(&posted.person, first);
        if before.is_some_and(|before| before > first) {
            findings.push((Fault::Reordered, destination, posted.n.to_string()));
        }
    }
    findings
}

/// A file knows each delivery by its id, so that a repeat makes no second row; an endpoint is told the id and may do the same.
fn find_doubled(destination: &'static str, arrived: &Arrived<'_>, excused: &BTreeMap<String, usize>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, arrivals) in arrived {
        let ids: BTreeSet<&str> = arrivals.iter().map(|arrival| arrival.id.as_str()).collect();
        let excuses = if destination == ARCHIVE { 0 } else { ids.iter().filter_map(|id| excused.get(*id)).sum() };
        // Two ids for one posted event are two events: no kill explains that.
        let surplus = (arrivals.len() - 1).saturating_sub(excuses).max(ids.len() - 1);
        findings.extend(std::iter::repeat_n((Fault::Doubled, destination, n.to_string()), surplus));
    }
    findings
}

fn forgive(findings: Vec<Finding>, mut spare: usize) -> Vec<Finding> {
    let is_kept = |finding: &Finding| {
        let is_forgiven = finding.0 == Fault::Doubled && finding.1 == BACKEND && spare > 0;
        spare -= usize::from(is_forgiven);
        !is_forgiven
    };
    findings.into_iter().filter(is_kept).collect()
}

fn is_changed(posted: &Posted, arrival: &Arrival) -> bool {
    let same = |field: &str, key: &str| arrival.fields.get(field).map(String::as_str) == posted.body[key].as_str();
    let fields = [("first_name", "FirstName"), ("last_name", "LastName"), ("email", "Email"), ("content", "Content")];
    !fields.iter().all(|(field, key)| same(field, key)) || arrival.raw.as_ref().is_some_and(|raw| *raw != posted.body)
}

fn session(body: &Value) -> String {
    body["SessionID"].to_string()
}

pub(crate) const BACKEND: &str = "backend";
pub(crate) const ARCHIVE: &str = "archive";

/// A bridge's world during faults: who posts, what takes, and what is known of the kills.
pub(crate) struct Trial {
    pub(crate) sink: Server,
    pub(crate) driver: Driver,
    pub(crate) evidence: Evidence,
    drop: Option<PathBuf>,
}

impl Trial {
    /// An endpoint and a driver that posts to nobody yet.
    pub(crate) async fn new(seed: u64) -> Self {
        let sink = endpoint().await;
        Self { sink, driver: Driver::new(seed), evidence: Evidence { destinations: vec![BACKEND], ..Evidence::default() }, drop: None }
    }

    /// Every event goes to the endpoint and into a file.
    pub(crate) fn setup(&mut self) -> Setup {
        let setup = Setup::new().endpoint(BACKEND, self.sink.url().as_str()).archive();
        self.evidence.destinations.push(ARCHIVE);
        self.drop = Some(setup.drop_folder());
        setup
    }

    /// One of several bridges on a PostgreSQL database. Every event goes to the endpoint.
    pub(crate) fn setup_on(&self, postgres: &str) -> Setup {
        Setup::new().on(postgres).endpoint(BACKEND, self.sink.url().as_str())
    }

    /// A process was killed or stopped: what was leased then may be sent again, as often as that
    /// happened. Returns what it was.
    pub(crate) fn excuse(&mut self, setup: &Setup) -> Vec<String> {
        let output = setup.command(&["deliveries", "list", "--state", "leased", "--limit", "100000", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let leased: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let ids: Vec<String> = leased.iter().map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect();
        for id in &ids {
            *self.evidence.excused.entry(id.clone()).or_default() += 1;
        }
        ids
    }

    /// Ends the faults and the load, waits until nothing is pending, and judges: there must be no finding. Returns how many
    /// obligations were met.
    pub(crate) async fn end(mut self, bridge: &Bridge) -> usize {
        let findings = self.findings(bridge).await;
        assert!(findings.is_empty(), "{} findings, of {} posted: {findings:?}", findings.len(), self.evidence.posted.len());
        self.evidence.posted.iter().filter(|posted| posted.answered).count()
    }

    /// The same, with the findings.
    pub(crate) async fn findings(&mut self, bridge: &Bridge) -> Vec<Finding> {
        self.sink.clear_faults();
        self.driver.aim(&[&bridge.url]);
        self.evidence.posted = self.driver.finish().await;
        eventually("nothing to be pending", async || bridge.is_quiet().await.then_some(())).await;
        bridge.assert_audit();
        self.gather().await;
        judge(&self.evidence)
    }

    async fn gather(&mut self) {
        let mut logged = self.sink.requests();
        logged.sort_by_key(|logged| logged.at);
        self.evidence.arrivals.extend(logged.iter().filter_map(request));
        let Some(folder) = self.drop.clone() else { return };
        let taken: BTreeSet<_> =
            self.evidence.arrivals.iter().filter(|arrival| arrival.accepted).map(|arrival| &arrival.fields["session_id"]).collect();
        let rows = eventually("the last file to be closed", async || Some(rows(&folder)).filter(|rows| rows.len() >= taken.len())).await;
        self.evidence.arrivals.extend(rows.into_iter().map(row));
    }
}

fn request(logged: &Logged) -> Option<Arrival> {
    let id = logged.request.header("webhook-id")?.to_owned();
    let event = logged.request.json()["data"].take();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let person = ["first_name", "last_name", "email"].map(|name| (name.to_owned(), text(&event["person"][name])));
    let own = ["content", "session_id"].map(|name| (name.to_owned(), text(&event[name])));
    let fields = person.into_iter().chain(own).collect();
    let raw = Some(event["raw"].clone());
    Some(Arrival { destination: BACKEND, id, accepted: logged.status == Some(200), fields, raw })
}

fn row(fields: BTreeMap<String, String>) -> Arrival {
    let id = fields["delivery_id"].clone();
    Arrival { destination: ARCHIVE, id, accepted: true, fields, raw: None }
}

/// The judge is judged: each kind of fault is put into evidence that is otherwise good, and must be found, alone.
mod judged {
    use super::{Arrival, BACKEND, Evidence, Fault, Finding, judge};
    use crate::driver::Posted;
    use crate::harness::lead;
    use serde_json::json;

    fn posted(n: u64) -> Posted {
        Posted { n, person: (n % 2).to_string(), body: lead(n), answered: true }
    }

    fn arrival(n: u64) -> Arrival {
        let body = lead(n);
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        let fields = [("first_name", "FirstName"), ("last_name", "LastName"), ("email", "Email"), ("content", "Content")];
        let mut fields: std::collections::BTreeMap<String, String> = fields.map(|(name, key)| (name.to_owned(), text(key))).into();
        fields.insert("session_id".to_owned(), body["SessionID"].to_string());
        Arrival { destination: BACKEND, id: format!("d{n}"), accepted: true, fields, raw: Some(body) }
    }

    fn good() -> Evidence {
        Evidence {
            posted: (0..6).map(posted).collect(),
            arrivals: (0..6).map(arrival).collect(),
            destinations: vec![BACKEND],
            ..Evidence::default()
        }
    }

    fn finding(fault: Fault, of: &str) -> Vec<Finding> {
        vec![(fault, BACKEND, of.to_owned())]
    }

    #[test]
    fn good_evidence_has_no_findings() {
        assert_eq!(judge(&good()), []);
    }

    #[test]
    fn what_never_arrived_is_lost_and_a_refused_request_is_no_arrival() {
        let mut evidence = good();
        evidence.arrivals.remove(2);
        assert_eq!(judge(&evidence), finding(Fault::Lost, "2"));
        evidence.arrivals.insert(2, Arrival { accepted: false, ..arrival(2) });
        assert_eq!(judge(&evidence), finding(Fault::Lost, "2"));
    }

    #[test]
    fn what_was_never_answered_is_not_owed_and_may_arrive() {
        let mut evidence = good();
        evidence.posted[2].answered = false;
        assert_eq!(judge(&evidence), []);
        evidence.arrivals.remove(2);
        assert_eq!(judge(&evidence), []);
    }

    #[test]
    fn what_nobody_posted_is_invented() {
        let mut evidence = good();
        evidence.arrivals.push(arrival(77));
        assert_eq!(judge(&evidence), finding(Fault::Invented, "d77"));
    }

    #[test]
    fn what_differs_is_changed() {
        let mut evidence = good();
        evidence.arrivals[5].raw.as_mut().unwrap()["Content"] = json!("something else");
        assert!(judge(&evidence).contains(&finding(Fault::Changed, "5")[0]));
        let mut evidence = good();
        evidence.arrivals[5].fields.insert("email".to_owned(), "other@example.com".to_owned());
        assert!(judge(&evidence).contains(&finding(Fault::Changed, "5")[0]));
    }

    #[test]
    fn what_is_taken_twice_is_doubled_unless_it_was_under_way_at_a_kill() {
        let mut evidence = good();
        evidence.arrivals.push(arrival(1));
        assert_eq!(judge(&evidence), finding(Fault::Doubled, "1"));
        evidence.excused.insert("d1".to_owned(), 1);
        assert_eq!(judge(&evidence), []);
        evidence.arrivals.push(arrival(1));
        assert_eq!(judge(&evidence), finding(Fault::Doubled, "1"));
        evidence.spare = 1;
        assert_eq!(judge(&evidence), []);
    }

    #[test]
    fn two_deliveries_of_one_posted_event_are_doubled_whatever_was_killed() {
        let mut evidence = good();
        evidence.arrivals.push(Arrival { id: "other".to_owned(), ..arrival(1) });
        evidence.excused.insert("d1".to_owned(), 5);
        assert_eq!(judge(&evidence), finding(Fault::Doubled, "1"));
    }

    #[test]
    fn what_overtakes_the_same_person_is_found_and_others_may_pass() {
        let mut evidence = good();
        evidence.arrivals.swap(1, 2);
        assert_eq!(judge(&evidence), [], "1 and 2 are of different persons");
        let mut evidence = good();
        evidence.arrivals.swap(1, 3);
        assert_eq!(judge(&evidence), finding(Fault::Reordered, "3"));
    }
}

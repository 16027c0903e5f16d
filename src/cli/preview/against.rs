//! `leadwire preview --since T --against OTHER_CONFIG`: which requests would another configuration change?

use super::diff::{Differences, Place, compare};
use super::outcome::Previewer;
use super::{PreviewArgs, show_diff};
use crate::cli::show::line;
use crate::cli::{Context, Failure};
use crate::config::Settings;
use crate::inspect::{Outcome, SecretMask};
use crate::route::Rules;
use crate::store::{EventRow, Store};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use leadwire_connector::settings::did_you_mean;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use uuid::Uuid;

/// Events read in one go; a conversation may be large.
const PIECE: u32 = 32;
/// Ids are made a moment after the receipt, by a clock that may be set.
const SPARE: SignedDuration = SignedDuration::from_mins(1);
/// Places that are counted apart; a list that is longer tells nobody anything.
const PLACES: usize = 1_000;

pub(super) struct Task<'a> {
    pub(super) args: &'a PreviewArgs,
    pub(super) since: Timestamp,
    pub(super) other: &'a Path,
}

/// One of the two configurations.
struct Side {
    rules: Rules,
    previewer: Previewer,
}

impl Side {
    fn routes(&self, event: &Event, destination: &str) -> bool {
        self.rules.route(event).destinations.iter().any(|name| name == destination)
    }
}

/// Why an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// Both routes send it there, or it was sent there before.
    Both,
    /// Only the routes of the present configuration.
    Here,
    /// Only the routes of the other one.
    There,
    /// It has nothing to do with the destination.
    None,
}

fn concern(was_delivered: bool, here: bool, there: bool) -> Concern {
    match (here, there) {
        (true, true) => Concern::Both,
        (true, false) => Concern::Here,
        (false, true) => Concern::There,
        (false, false) if was_delivered => Concern::Both,
        (false, false) => Concern::None,
    }
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Events whose requests were compared.
    pub(super) compared: u64,
    pub(super) same: u64,
    pub(super) changed: u64,
    /// Events that only the present configuration sends there.
    pub(super) only_here: u64,
    /// Events that only the other one does.
    pub(super) only_there: u64,
    /// How many events differ in each place.
    #[serde(skip)]
    pub(super) places: BTreeMap<Place, u64>,
}

impl Tally {
    fn count(&mut self, differences: &Differences) {
        self.compared += 1;
        if differences.is_empty() {
            self.same += 1;
            return;
        }
        self.changed += 1;
        for place in differences.keys() {
            if self.places.len() < PLACES || self.places.contains_key(place) {
                *self.places.entry(place.clone()).or_default() += 1;
            }
        }
    }

    fn seen(&self) -> u64 {
        self.compared + self.only_here + self.only_there
    }

    pub(super) fn is_same(&self) -> bool {
        self.seen() == self.same
    }

    fn to_json(&self) -> Value {
        let places: Vec<_> = self.places.iter().map(|(place, events)| json!({"place": place, "events": events})).collect();
        json!({"summary": self, "places": places})
    }
}

pub(super) async fn run(task: &Task<'_>, context: &Context) -> Result<(), Failure> {
    let (mut here, mut there) = both(context, task.other)?;
    let mask = SecretMask::of([&here, &there]);
    let name = task.args.destination_name(&here)?.to_owned();
    let known: Vec<&str> = there.destinations.keys().map(String::as_str).collect();
    if !known.contains(&name.as_str()) {
        let shown = task.other.display();
        return Err(Failure::Usage(format!("{shown} has no destination `{name}`; {}", did_you_mean(&name, &known))));
    }
    let store = context.store().await?;
    let side = |settings: &mut Settings| {
        let previewer = Previewer::new(&name, settings, mask.clone())?;
        Ok::<_, Failure>(Side { rules: std::mem::take(&mut settings.routes), previewer })
    };
    let mut comparison = Comparison {
        here: side(&mut here)?,
        there: side(&mut there)?,
        name: &name,
        limit: task.args.limit.unwrap_or(u64::MAX),
        writer: Writer { as_json: context.json, is_first: true },
        tally: Tally::default(),
    };
    comparison.writer.begin(&name, task)?;
    walk(&store, task.since, &mut comparison).await?;
    comparison.writer.end(&comparison.tally, &name, task.other)?;
    if comparison.tally.is_same() { Ok(()) } else { Err(Failure::Silent) }
}

/// Both configurations, or everything that is wrong with either.
fn both(context: &Context, other: &Path) -> Result<(Settings, Settings), Failure> {
    match (context.settings(), context.settings_of(other)) {
        (Ok(here), Ok(there)) => Ok((here, there)),
        (Err(Failure::Usage(here)), Err(Failure::Usage(there))) => Err(Failure::Usage(format!("{here}\n{there}"))),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

/// Newest first, a few at a time.
async fn walk(store: &Store, since: Timestamp, comparison: &mut Comparison<'_>) -> Result<(), Failure> {
    let (first, mut last) = (first_id(since), Uuid::max());
    let began = Timestamp::now();
    let bar = progress(began.duration_since(since));
    loop {
        let rows = store.events_between(first, last, PIECE).await?;
        let oldest = rows.last().map(|row| row.event.id.as_u128());
        for row in rows.iter().filter(|row| row.erased_at.is_none() && row.event.received_at >= since) {
            if comparison.look_at(row).await?.is_break() {
                bar.finish_and_clear();
                return Ok(());
            }
            bar.set_position(u64::try_from(began.duration_since(row.event.received_at).as_secs()).unwrap_or(0));
            bar.set_message(format!("{} looked at, {} would change", HumanCount(comparison.tally.seen()), comparison.tally.changed));
        }
        match oldest.and_then(|oldest| oldest.checked_sub(1)) {
            Some(next) if rows.len() == PIECE as usize => last = Uuid::from_u128(next),
            _ => break,
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Ids of version 7 begin with 48 bits of milliseconds since 1970 (RFC 9562, 5.7).
fn first_id(since: Timestamp) -> Uuid {
    let from = since.checked_sub(SPARE).unwrap_or(Timestamp::UNIX_EPOCH);
    Uuid::from_u128(u128::try_from(from.as_millisecond()).unwrap_or(0) << 80)
}

/// How many there are is not known, but how far back it goes is.
fn progress(span: SignedDuration) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent}% of the time  {msg}");
    ProgressBar::new(u64::try_from(span.as_secs()).unwrap_or(0)).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Comparison<'a> {
    here: Side,
    there: Side,
    name: &'a str,
    limit: u64,
    writer: Writer,
    tally: Tally,
}

impl Comparison<'_> {
    /// Breaks when there have been enough.
    async fn look_at(&mut self, row: &EventRow) -> Result<ControlFlow<()>, Failure> {
        let event = &row.event;
        let was_delivered = row.deliveries.iter().any(|delivery| delivery.destination == self.name);
        match concern(was_delivered, self.here.routes(event, self.name), self.there.routes(event, self.name)) {
            Concern::None => return Ok(ControlFlow::Continue(())),
            Concern::Here => {
                self.tally.only_here += 1;
                self.writer.only(event, "here")?;
            }
            Concern::There => {
                self.tally.only_there += 1;
                self.writer.only(event, "there")?;
            }
            Concern::Both => {
                let differences = self.compare(event).await?;
                self.tally.count(&differences);
                if !differences.is_empty() {
                    self.writer.changed(event, &differences)?;
                }
            }
        }
        Ok(if self.tally.seen() < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// What depends on the moment or on chance differs from one time to the next; what the configuration changes does not.
    async fn compare(&self, event: &Event) -> Result<Differences, Failure> {
        let mut differences = self.compare_once(event).await?;
        if !differences.is_empty() {
            let again = self.compare_once(event).await?;
            differences.retain(|place, values| again.get(place) == Some(values));
        }
        Ok(differences)
    }

    async fn compare_once(&self, event: &Event) -> Result<Differences, Failure> {
        let (old, new): (Outcome, Outcome) = (self.here.previewer.of(event).await?, self.there.previewer.of(event).await?);
        Ok(compare(&old, &new))
    }
}

/// Writes as it goes, so that memory does not grow with what is found. In JSON, one object over many lines.
struct Writer {
    as_json: bool,
    is_first: bool,
}

impl Writer {
    fn begin(&self, name: &str, task: &Task<'_>) -> Result<(), Failure> {
        if !self.as_json {
            return Ok(());
        }
        let head = json!({"destination": name, "against": task.other.display().to_string(), "since": task.since}).to_string();
        line(&format!("{},\"events\":[", head.trim_end_matches('}')))
    }

    fn item(&mut self, value: &Value) -> Result<(), Failure> {
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        line(&format!("{comma}{value}"))
    }

    fn only(&mut self, event: &Event, side: &str) -> Result<(), Failure> {
        if self.as_json {
            return self.item(&json!({"event": event.id, "kind": event.kind, "received_at": event.received_at, "only": side}));
        }
        line(&show_diff::only(event, side))
    }

    fn changed(&mut self, event: &Event, differences: &Differences) -> Result<(), Failure> {
        if !self.as_json {
            return line(&show_diff::changed(event, differences));
        }
        let list: Vec<_> = differences
            .iter()
            .map(|(place, values)| {
                json!({"request": place.request, "part": place.part, "at": place.at, "old": values.old, "new": values.new})
            })
            .collect();
        self.item(&json!({"event": event.id, "kind": event.kind, "received_at": event.received_at, "differences": list}))
    }

    fn end(&self, tally: &Tally, name: &str, other: &Path) -> Result<(), Failure> {
        if self.as_json {
            return line(&format!("],{}", tally.to_json().to_string().trim_start_matches('{')));
        }
        line(&show_diff::summary(tally, name, other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::diff::{Part, Values};
    use super::*;
    use crate::connectors::Connectors;
    use async_trait::async_trait;
    use leadwire_connector::settings::{Fault, Origin};
    use leadwire_connector::{
        Build, BuildContext, Connector, ConnectorKind, Delivery, DeliveryError, PreviewRequest, Receipt, Report, Steps,
    };
    use serde_json::Map;

    #[test]
    fn an_event_is_compared_where_both_send_it_or_neither_and_it_was_there() {
        assert_eq!(concern(false, true, true), Concern::Both);
        assert_eq!(concern(true, false, false), Concern::Both);
        assert_eq!(concern(true, true, false), Concern::Here);
        assert_eq!(concern(false, false, true), Concern::There);
        assert_eq!(concern(false, false, false), Concern::None);
    }

    #[test]
    fn ids_of_that_time_and_later_are_looked_at() {
        let since = Timestamp::now();
        assert!(first_id(since) <= Uuid::now_v7());
        let earlier = since.checked_sub(SignedDuration::from_hours(1)).unwrap();
        assert!(first_id(earlier) < first_id(since));
        assert_eq!(first_id(Timestamp::MIN), Uuid::nil());
    }

    /// Sends a number that is never the same, and a text of its configuration.
    #[derive(Debug, Clone)]
    struct Restless(String);

    impl Build for Restless {
        fn build(&self, _: &BuildContext) -> Result<Box<dyn Connector>, String> {
            Ok(Box::new(self.clone()))
        }
    }

    #[async_trait]
    impl Connector for Restless {
        async fn deliver(&self, _: &Delivery, _: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
            Ok(Receipt::delivered())
        }

        async fn check(&self) -> Report {
            Report::default()
        }

        fn preview(&self, _: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
            let body = json!({"id": Uuid::now_v7().to_string(), "text": self.0});
            Ok(vec![PreviewRequest { body, ..PreviewRequest::default() }])
        }
    }

    fn parse(mut table: Map<String, Value>, _: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
        Ok(Box::new(Restless(table.remove("text").unwrap().to_string())))
    }

    fn side(text: &str) -> Side {
        let kind = ConnectorKind { name: "restless", about: "", reference: "", parse, schema: None, simulator: None };
        let connectors = Connectors::default().with(kind);
        let toml = format!("[sources.a]\n[destinations.d]\ntype = \"restless\"\ntext = \"{text}\"\n[[routes]]\nto = [\"d\"]\n");
        let mut settings = crate::config::parse("test.toml".as_ref(), &toml, &connectors, std::iter::empty()).unwrap();
        let mask = SecretMask::of([&settings]);
        Side { previewer: Previewer::new("d", &mut settings, mask).unwrap(), rules: std::mem::take(&mut settings.routes) }
    }

    fn event() -> Event {
        serde_json::from_value(json!({
            "id": Uuid::now_v7(), "kind": "lead", "source": "a", "chatbot_id": null,
            "person": {"first_name": null, "last_name": null, "email": null, "phone": null}, "content": null, "session_id": null,
            "page_url": null, "created_at": null, "received_at": Timestamp::now(), "extra": {}, "raw": {}
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn what_is_never_the_same_is_no_change() {
        let compare = async |old: &str, new: &str| {
            let writer = Writer { as_json: false, is_first: true };
            let comparison = Comparison { here: side(old), there: side(new), name: "d", limit: 1, writer, tally: Tally::default() };
            let differences = comparison.compare(&event()).await.unwrap();
            differences.into_keys().map(|place| place.at).collect::<Vec<_>>()
        };
        assert_eq!(compare("a", "a").await, Vec::<String>::new());
        assert_eq!(compare("a", "b").await, ["/text"]);
    }

    #[test]
    fn the_tally_counts_each_event_once_and_its_places_apart() {
        let place = |at: &str| Place { request: "contact".to_owned(), part: Part::Body, at: at.to_owned() };
        let values = || Values { old: None, new: Some(Value::Null) };
        let mut tally = Tally::default();
        tally.count(&Differences::new());
        tally.count(&[(place("/a"), values()), (place("/b"), values())].into());
        tally.count(&[(place("/a"), values())].into());
        assert_eq!((tally.compared, tally.same, tally.changed, tally.places[&place("/a")]), (3, 1, 2, 2));
        assert!(!tally.is_same());
    }
}

//! The destinations, all at once.

use super::Asked;
use crate::app;
use crate::config::{Delivery, Destination};
use crate::deliver::{self, LateConnector, SET_UP};
use crate::inspect::{examine, with_state};
use crate::store::Store;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::{Background, Report, Severity, Stored, ValueStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A bridge gives a sign of life every minute.
const ALIVE_WITHIN: SignedDuration = SignedDuration::from_mins(3);

/// More names than this make the line of the progress too long.
const NAMED: usize = 4;

/// In place of a store that is not there: a token that is renewed and not kept would lock the bridge out, so that none is renewed.
#[derive(Debug)]
struct NoStore;

const NO_STORE: &str = "there is no store that can be used, and a renewed token must be kept; start the bridge once, then ask again";

#[async_trait]
impl ValueStore for NoStore {
    async fn load(&self, _name: &str) -> Result<Option<Stored>, String> {
        Err(NO_STORE.to_owned())
    }

    async fn save(&self, _name: &str, _value: &str, _version: i64) -> Result<bool, String> {
        Err(NO_STORE.to_owned())
    }
}

/// In the order of their names.
pub(super) async fn ask(
    destinations: BTreeMap<String, Destination>,
    delivery: &Delivery,
    store: Option<&Store>,
    limit: Duration,
) -> Vec<Asked> {
    let (states, has_bridge) = match store {
        Some(store) => (store.holds().await.unwrap_or_default(), has_bridge(store).await),
        None => (Vec::new(), false),
    };
    let mut waiting: BTreeSet<String> = destinations.keys().cloned().collect();
    let bar = progress(waiting.len());
    let background = Background::default();
    let mut answers: FuturesUnordered<_> = destinations
        .into_iter()
        .map(|(name, destination)| {
            let state = states.iter().find(|row| row.name == name);
            let kind = destination.kind.clone();
            let connector = connect(&name, destination, delivery, store).with_background(background.clone());
            async move {
                let report = examine(connector, limit).await;
                let report = if has_bridge { beside_a_bridge(report) } else { report };
                Asked { what: "destination", report: with_state(report, state), name, kind: Some(kind) }
            }
        })
        .collect();
    bar.set_message(names(&waiting));
    let mut asked = BTreeMap::new();
    while let Some(answer) = answers.next().await {
        waiting.remove(&answer.name);
        bar.inc(1);
        bar.set_message(names(&waiting));
        asked.insert(answer.name.clone(), answer);
    }
    bar.set_message("tokens to be kept");
    // A check that took too long may have left a token that is being renewed.
    let _ = tokio::time::timeout(app::LAST_RENEWALS, background.finished()).await;
    bar.finish_and_clear();
    asked.into_values().collect()
}

fn progress(count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos}/{len} asked, waiting for {msg}");
    let bar = ProgressBar::new(count as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn names(waiting: &BTreeSet<String>) -> String {
    let named: Vec<&str> = waiting.iter().take(NAMED).map(String::as_str).collect();
    let more = if waiting.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

fn connect(name: &str, destination: Destination, delivery: &Delivery, store: Option<&Store>) -> LateConnector {
    match store.and_then(|store| Some((store, store.destination_id(name)?))) {
        Some(at) => deliver::connect(name, destination, delivery, Some(at)),
        None => deliver::connect(name, destination, delivery, None).keeping_in(Arc::new(NoStore)),
    }
}

async fn has_bridge(store: &Store) -> bool {
    let alive_at = store.status().await.ok().and_then(|status| status.alive_at);
    alive_at.is_some_and(|at| Timestamp::now().duration_since(at) < ALIVE_WITHIN)
}

/// What one process alone can use, such as a folder, is in use by the bridge.
fn beside_a_bridge(mut report: Report) -> Report {
    for finding in report.findings.iter_mut().filter(|finding| finding.subject == SET_UP && finding.severity == Severity::Bad) {
        finding.severity = Severity::Warn;
        finding.remedy.get_or_insert_with(|| {
            "a bridge runs; if it is what uses this destination, all is well, and `leadwire deliveries list` shows it".to_owned()
        });
    }
    report
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::settings::{Fault, Origin};
    use leadwire_connector::{
        Build, BuildContext, Connector, Delivery as Attempt, DeliveryError, Event, PreviewRequest, Receipt, Severity, Steps,
    };

    /// What a connector does when it is asked.
    #[derive(Debug, Clone, Copy)]
    enum Manner {
        Panics,
        IsSilent,
        SaysNothing,
        NeedsATokenKept,
        RenewsSlowly,
    }

    #[derive(Debug)]
    struct Odd(Manner);

    struct OddOne(Manner, BuildContext);

    impl Build for Odd {
        fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
            Ok(Box::new(OddOne(self.0, context.clone())))
        }
    }

    #[async_trait]
    impl Connector for OddOne {
        async fn deliver(&self, _delivery: &Attempt, _steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
            Ok(Receipt::delivered())
        }

        async fn check(&self) -> Report {
            match self.0 {
                Manner::Panics => panic!("odd"),
                Manner::IsSilent => std::future::pending().await,
                Manner::SaysNothing => Report::default(),
                Manner::NeedsATokenKept => match self.1.values.save("token", "new", 0).await {
                    Ok(_) => Report::default().good("credentials", "kept"),
                    Err(why) => Report::default().bad("credentials", why),
                },
                Manner::RenewsSlowly => {
                    let values = Arc::clone(&self.1.values);
                    let renewal = self.1.background.spawn(async move {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        values.save("token", "rotated", 0).await
                    });
                    Report::default().good("credentials", format!("{:?}", renewal.await))
                }
            }
        }

        fn preview(&self, _event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
            Ok(Vec::new())
        }
    }

    fn parse(_: serde_json::Map<String, serde_json::Value>, _: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
        Ok(Box::new(Odd(Manner::SaysNothing)))
    }

    fn destination(manner: Manner) -> Destination {
        let kind = leadwire_connector::ConnectorKind { name: "odd", about: "", reference: "", parse, schema: None, simulator: None };
        let connectors = crate::connectors::Connectors::default().with(kind);
        let text = "[sources.a]\n[destinations.d]\ntype = \"odd\"\n[[routes]]\nto = [\"d\"]\n";
        let mut settings = crate::config::parse("test.toml".as_ref(), text, &connectors, std::iter::empty()).unwrap();
        Destination { settings: Box::new(Odd(manner)), ..settings.destinations.remove("d").unwrap() }
    }

    #[tokio::test]
    async fn a_connector_that_panics_or_is_silent_keeps_no_other_from_being_asked() {
        let manners = [("a", Manner::Panics), ("b", Manner::IsSilent), ("c", Manner::SaysNothing), ("d", Manner::NeedsATokenKept)];
        let destinations = manners.map(|(name, manner)| (name.to_owned(), destination(manner))).into();
        let asked = ask(destinations, &Delivery::default(), None, Duration::from_millis(50)).await;
        let told: Vec<(&str, Severity, &str)> =
            asked.iter().map(|asked| (asked.name.as_str(), asked.report.worst(), asked.report.findings[0].message.as_str())).collect();
        assert_eq!(told[0], ("a", Severity::Bad, "it panicked; this is a bug in its connector"));
        assert_eq!(told[1], ("b", Severity::Bad, "none within 50ms"));
        assert_eq!(told[2], ("c", Severity::Warn, "its connector looked at nothing"));
        assert_eq!(told[3], ("d", Severity::Bad, NO_STORE));
    }

    #[tokio::test]
    async fn a_token_that_is_renewed_for_a_check_is_kept_for_the_bridge() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::sqlite(&folder.path().join("leadwire.db"), [], [&"d".to_owned()]).unwrap();
        let destinations = [("d".to_owned(), destination(Manner::NeedsATokenKept))].into();
        let asked = ask(destinations, &Delivery::default(), Some(&store), Duration::from_secs(30)).await;
        assert_eq!(asked[0].report.worst(), Severity::Good);
        let id = store.destination_id("d").unwrap();
        assert_eq!(store.load_token(id, "token".to_owned()).await.unwrap(), Some(("new".to_owned(), 1)));
    }

    #[tokio::test]
    async fn a_token_whose_renewal_takes_longer_than_the_check_may_is_kept_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::sqlite(&folder.path().join("leadwire.db"), [], [&"d".to_owned()]).unwrap();
        let destinations = [("d".to_owned(), destination(Manner::RenewsSlowly))].into();
        let asked = ask(destinations, &Delivery::default(), Some(&store), Duration::from_millis(50)).await;
        assert_eq!(asked[0].report.findings[0].message, "none within 50ms");
        let id = store.destination_id("d").unwrap();
        assert_eq!(store.load_token(id, "token".to_owned()).await.unwrap(), Some(("rotated".to_owned(), 1)));
    }

    #[test]
    fn what_the_bridge_may_be_using_is_no_fault_beside_it() {
        let report = beside_a_bridge(Report::default().bad(SET_UP, "the folder is in use").bad("credentials", "refused"));
        let severities: Vec<Severity> = report.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Warn, Severity::Bad]);
    }
}

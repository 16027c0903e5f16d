//! How things stand: what the first page and `/api/v1/status` tell.

use super::Console;
use crate::alerts::Overview;
use crate::deliver::LaneStatus;
use crate::store::{Condition, Counts, DestinationRow, Hold, SpoolStatus, Store};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// A store that takes longer counts as one that cannot be read.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(5);

/// How things stand.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) ready: bool,
    pub(super) not_ready_because: Option<String>,
    /// Why leads are kept somewhere else than in the store.
    pub(super) remark: Option<String>,
    pub(super) store: StoreStatus,
    pub(super) spool: Option<SpoolStatus>,
    pub(super) sources: Vec<SourceStatus>,
    pub(super) destinations: Vec<DestinationStatus>,
    /// This and what follows is unknown while the store cannot be read, as are the counts of sources and destinations.
    pub(super) quarantined: Option<i64>,
    pub(super) unrouted: Option<i64>,
    /// Who is told of trouble; `None` when nobody is.
    pub(super) alerts: Option<Overview>,
}

#[derive(Debug, Serialize)]
pub(super) struct StoreStatus {
    pub(super) up: bool,
    pub(super) sick_for_s: u64,
    pub(super) failures: u64,
    /// Why it cannot be read; the rest is told all the same.
    pub(super) unreadable_because: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SourceStatus {
    pub(super) name: String,
    pub(super) received: Option<i64>,
    pub(super) awaiting_key: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct DestinationStatus {
    #[serde(flatten)]
    pub(super) known: Known,
    pub(super) state: LaneState,
    pub(super) in_flight: u32,
}

/// What is known of a destination.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Known {
    /// All that the store says.
    Row(DestinationRow),
    /// While the store cannot be read, there are no counts: "unknown" must not look like "nothing pending".
    Lane { name: String, hold: Option<Hold> },
}

impl DestinationStatus {
    pub(super) fn name(&self) -> &str {
        match &self.known {
            Known::Row(row) => &row.name,
            Known::Lane { name, .. } => name,
        }
    }

    pub(super) fn hold(&self) -> Option<&Hold> {
        match &self.known {
            Known::Row(row) => row.hold.as_ref(),
            Known::Lane { hold, .. } => hold.as_ref(),
        }
    }

    /// For people: one that they put on hold is on hold, although the bridge takes note of it a moment later.
    pub(super) fn shown(&self) -> &LaneState {
        match (&self.state, self.hold()) {
            (LaneState::NotConfigured, _) | (_, None) => &self.state,
            _ => &LaneState::Held,
        }
    }

    /// Unknown while the store cannot be read.
    pub(super) fn counts(&self) -> Option<&Counts> {
        self.row().map(|row| &row.counts)
    }

    pub(super) fn pending(&self) -> Option<i64> {
        self.counts().map(|counts| counts.pending)
    }

    pub(super) fn delivered(&self) -> Option<i64> {
        self.counts().map(|counts| counts.delivered)
    }

    pub(super) fn skipped(&self) -> Option<i64> {
        self.counts().map(|counts| counts.skipped)
    }

    pub(super) fn dead(&self) -> Option<i64> {
        self.counts().map(|counts| counts.dead)
    }

    pub(super) fn due_since(&self) -> Option<Timestamp> {
        self.row()?.due_since
    }

    fn row(&self) -> Option<&DestinationRow> {
        if let Known::Row(row) = &self.known { Some(row) } else { None }
    }
}

/// How the running bridge treats a destination.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum LaneState {
    Fine,
    Held,
    /// The breaker is open: it is probed now and then.
    Down,
    /// Its deliveries are kept, and nobody delivers them.
    NotConfigured,
}

impl LaneState {
    /// The class of its badge.
    pub(super) fn badge(&self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Held => "held",
            Self::Down => "down",
            Self::NotConfigured => "skipped",
        }
    }

    /// For people.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Held => "on hold",
            Self::Down => "down, probed by itself",
            Self::NotConfigured => "not in the configuration",
        }
    }
}

pub(super) async fn collect(console: &Console) -> Status {
    let readiness = console.health.check(&console.keeper).await;
    let Condition { sick_for, failures, spool } = console.keeper.condition();
    let (figures, unreadable_because) = match read(&console.store).await {
        Ok(figures) => (Some(figures), None),
        Err(reason) => (None, Some(reason)),
    };
    let (quarantined, unrouted) = figures.as_ref().map(|figures| (figures.quarantined, figures.unrouted)).unzip();
    let (received, rows) = figures.map(|figures| (figures.received, figures.destinations)).unzip();
    let lanes: BTreeMap<String, LaneStatus> = console.lanes.iter().map(|(name, lane)| (name.to_owned(), lane)).collect();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: readiness.is_ok(),
        remark: readiness.as_ref().ok().cloned().flatten(),
        not_ready_because: readiness.err(),
        store: StoreStatus { up: sick_for.is_none(), sick_for_s: sick_for.unwrap_or_default().as_secs(), failures, unreadable_because },
        spool,
        sources: console.sources.iter().map(|(name, has_key)| source_status(name, *has_key, received.as_ref())).collect(),
        destinations: know(rows, &lanes).into_iter().map(|known| destination_status(known, &lanes)).collect(),
        quarantined,
        unrouted,
        alerts: console.alerts.as_ref().map(|overview| overview.lock().unwrap_or_else(PoisonError::into_inner).clone()),
    }
}

/// What only the store knows.
pub(super) struct Figures {
    pub(super) received: BTreeMap<String, i64>,
    pub(super) destinations: Vec<DestinationRow>,
    pub(super) quarantined: i64,
    pub(super) unrouted: i64,
}

/// Or why it cannot be read.
pub(super) async fn read(store: &Store) -> Result<Figures, String> {
    match tokio::time::timeout(READ_WITHIN, ask(store)).await {
        Ok(figures) => figures.map_err(|error| error.to_string()),
        Err(_) => Err("the store does not answer".to_owned()),
    }
}

async fn ask(store: &Store) -> crate::store::Result<Figures> {
    Ok(Figures {
        received: store.source_counts().await?.into_iter().collect(),
        destinations: store.destinations().await?,
        quarantined: store.count_quarantined().await?,
        unrouted: store.count_unrouted().await?,
    })
}

fn source_status(name: &str, has_key: bool, received: Option<&BTreeMap<String, i64>>) -> SourceStatus {
    let received = received.map(|received| received.get(name).copied().unwrap_or(0));
    SourceStatus { name: name.to_owned(), received, awaiting_key: !has_key }
}

fn know(rows: Option<Vec<DestinationRow>>, lanes: &BTreeMap<String, LaneStatus>) -> Vec<Known> {
    let of_lane = |(name, lane): (&String, &LaneStatus)| Known::Lane { name: name.clone(), hold: lane.hold.clone() };
    // The lane may have been put on hold since the row was read, and what is told as held is told with its reason.
    let hold_of = |name: &str| lanes.get(name).and_then(|lane| lane.hold.clone());
    let complete = |row: DestinationRow| Known::Row(DestinationRow { hold: row.hold.clone().or_else(|| hold_of(&row.name)), ..row });
    match rows {
        Some(rows) => rows.into_iter().map(complete).collect(),
        None => lanes.iter().map(of_lane).collect(),
    }
}

fn destination_status(known: Known, lanes: &BTreeMap<String, LaneStatus>) -> DestinationStatus {
    let lane = lanes.get(match &known {
        Known::Row(row) => &row.name,
        Known::Lane { name, .. } => name,
    });
    let state = match lane {
        None => LaneState::NotConfigured,
        Some(lane) if lane.hold.is_some() => LaneState::Held,
        Some(lane) if lane.flowing => LaneState::Fine,
        Some(_) => LaneState::Down,
    };
    DestinationStatus { state, in_flight: lane.map_or(0, |lane| lane.in_flight), known }
}

//! What a store consists of, whatever the engine: the rows as they are handed from one store to another.

use super::{Error, Result};
use sha2::{Digest, Sha256};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

/// What a row holds in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// How much memory it takes, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Int(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// When the rows of a table are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// At the beginning, all at once: few rows.
    Head,
    /// With the event whose place in the order is in this column.
    Events(&'static str),
    /// One after the other by the number in this column.
    Quarantine(&'static str),
}

/// A table of the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) part: Part,
    pub(super) columns: &'static [(&'static str, Kind)],
}

/// Everything that moves. What is not here is made anew from it (totals, the search index), belongs to one place only (the mark of a
/// transfer), or is no lead and begins anew (the tally: many rows for a plot).
pub(super) static TABLES: [Table; 17] = {
    use Kind::{Bytes, Int, Text};
    [
        Table { name: "source", part: Part::Head, columns: &[("id", Int), ("name", Text), ("received", Int), ("removed", Int)] },
        Table {
            name: "destination",
            part: Part::Head,
            columns: &[
                ("id", Int),
                ("name", Text),
                ("created", Int),
                ("removed", Int),
                ("delivered", Int),
                ("skipped", Int),
                ("dead", Int),
                ("erased", Int),
                ("hold_reason", Text),
                ("hold_since", Int),
                ("hold_until", Int),
                ("parked_us", Int),
            ],
        },
        Table {
            name: "erasure",
            part: Part::Head,
            columns: &[
                ("delivery", Text),
                ("destination", Int),
                ("event", Int),
                ("under_way", Int),
                ("requested_at", Int),
                ("done_at", Int),
                ("result", Text),
                ("place", Text),
                ("arrived", Text),
            ],
        },
        Table { name: "certificate", part: Part::Head, columns: &[("id", Text), ("begun_at", Int), ("head", Text), ("removed", Text)] },
        Table { name: "token", part: Part::Head, columns: &[("destination", Int), ("name", Text), ("value", Text), ("version", Int)] },
        Table {
            name: "action",
            part: Part::Head,
            columns: &[
                ("id", Int),
                ("at", Int),
                ("who", Text),
                ("client", Text),
                ("action", Text),
                ("target", Text),
                ("planned", Int),
                ("count", Int),
                ("detail", Text),
                ("ended_at", Int),
                ("failure", Text),
                ("again", Text),
            ],
        },
        Table { name: "logout", part: Part::Head, columns: &[("session", Text), ("ends_at", Int)] },
        Table { name: "alert", part: Part::Head, columns: &[("name", Text), ("page", Text), ("version", Int)] },
        Table {
            name: "sighting",
            part: Part::Head,
            columns: &[("source", Int), ("what", Int), ("name", Text), ("at", Int), ("times", Int), ("listed", Int)],
        },
        Table { name: "missed_mark", part: Part::Head, columns: &[("id", Int), ("seq", Int)] },
        Table { name: "pulse", part: Part::Head, columns: &[("id", Int), ("beats", Int), ("alive_at", Int)] },
        Table {
            name: "event",
            part: Part::Events("seq"),
            columns: &[
                ("seq", Int),
                ("id", Bytes),
                ("source", Int),
                ("content_key", Bytes),
                ("kind", Text),
                ("received_at", Int),
                ("email", Text),
                ("phone", Text),
                ("session_id", Text),
                ("deliveries", Int),
                ("duplicates", Int),
                ("body", Text),
                ("erased_at", Int),
                ("receipt", Text),
            ],
        },
        Table {
            name: "delivery",
            part: Part::Events("event"),
            columns: &[
                ("event", Int),
                ("destination", Int),
                (STATE, Int),
                ("person", Bytes),
                ("attempts", Int),
                ("not_before", Int),
                ("clock_start", Int),
                ("parked_base", Int),
                ("ended_at", Int),
                ("record_id", Text),
                ("record_url", Text),
                ("remark", Text),
                ("cause", Text),
            ],
        },
        Table {
            name: "attempt",
            part: Part::Events("event"),
            columns: &[
                ("event", Int),
                ("destination", Int),
                ("at", Int),
                ("duration_ms", Int),
                ("outcome", Text),
                ("kind", Text),
                ("status", Int),
                ("code", Text),
                ("message", Text),
                ("excerpt", Text),
            ],
        },
        Table {
            name: "step",
            part: Part::Events("event"),
            columns: &[("event", Int), ("destination", Int), ("name", Text), ("remote_id", Text)],
        },
        Table {
            name: "missed",
            part: Part::Events("event"),
            columns: &[
                ("event", Int),
                ("found_at", Int),
                ("email", Text),
                ("phone", Text),
                ("ending", Int),
                ("settled_at", Int),
                ("lead", Text),
            ],
        },
        Table {
            name: "quarantine",
            part: Part::Quarantine("id"),
            columns: &[
                ("id", Int),
                ("source", Text),
                ("class", Int),
                ("size", Int),
                ("digest", Bytes),
                ("at", Int),
                ("client", Text),
                ("times", Int),
                ("code", Text),
                ("reason", Text),
                ("header", Text),
                ("body", Bytes),
            ],
        },
    ]
};

const STATE: &str = "state";

impl Table {
    /// The columns, as they stand in a query.
    pub(super) fn list(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// The same for reading: who had leased a delivery is not where it goes, so it arrives as waiting.
    pub(super) fn list_for_reading(&self) -> String {
        let read = |name: &'static str| if name == STATE { "CASE state WHEN 1 THEN 0 ELSE state END AS state" } else { name };
        self.columns.iter().map(|(name, _)| read(name)).collect::<Vec<_>>().join(", ")
    }
}

/// The tables of the head.
pub(super) fn head_tables() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.part == Part::Head)
}

/// The tables that follow events, each with the column of the event's place; the events themselves come first.
pub(super) fn event_tables() -> impl Iterator<Item = (&'static Table, &'static str)> {
    TABLES.iter().filter_map(|table| if let Part::Events(column) = table.part { Some((table, column)) } else { None })
}

/// The tables of the quarantine, each with the column of its number.
pub(super) fn quarantine_tables() -> impl Iterator<Item = (&'static Table, &'static str)> {
    TABLES.iter().filter_map(|table| if let Part::Quarantine(column) = table.part { Some((table, column)) } else { None })
}

/// Rows of one table.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: &'static Table,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Rows {
    /// The number in this column of the last row.
    pub(super) fn last(&self, column: &str) -> Option<i64> {
        let at = self.table.columns.iter().position(|(name, _)| *name == column)?;
        self.rows.last()?.get(at)?.as_int()
    }
}

/// How far a transfer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) stage: Stage,
    /// The number of the last event or body that was handed over.
    pub(super) after: i64,
}

/// What of a transfer comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Events,
    Quarantine,
    Complete,
}

impl Stage {
    pub(super) fn number(self) -> i64 {
        self as i64
    }

    pub(super) fn from_number(number: i64) -> Result<Self> {
        let stages = [Self::Events, Self::Quarantine, Self::Complete];
        let stage = usize::try_from(number).ok().and_then(|number| stages.get(number).copied());
        stage.ok_or_else(|| {
            Error::Refused("the mark of the transfer in the target cannot be read; begin again with an empty target".to_owned())
        })
    }
}

impl Mark {
    pub(super) const START: Self = Self { stage: Stage::Events, after: i64::MIN };

    /// Where it goes on after reading these rows, of which there may be more when the piece is full.
    pub(super) fn next(self, last: Option<i64>, is_full: bool) -> Self {
        match (last, self.stage) {
            (Some(last), _) if is_full => Self { after: last, ..self },
            (_, Stage::Events) => Self { stage: Stage::Quarantine, after: i64::MIN },
            _ => Self { stage: Stage::Complete, after: i64::MAX },
        }
    }
}

/// Rows that one transaction brings into the target, with the mark that goes with them.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) from: Mark,
    pub(super) to: Mark,
    pub(super) rows: Vec<Rows>,
}

impl Piece {
    pub(super) fn count_events(&self) -> u64 {
        let events = self.rows.iter().filter(|rows| rows.table.name == "event");
        u64::try_from(events.map(|rows| rows.rows.len()).sum::<usize>()).unwrap_or(u64::MAX)
    }
}

/// What a transfer begins with.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) rows: Vec<Rows>,
    /// Numbers that grow with what is written: the newest event and the newest body in quarantine.
    pub(super) newest: [i64; 2],
}

impl Head {
    /// Differs when a bridge ran on the origin, or a command changed it.
    pub(super) fn fingerprint(&self) -> String {
        let text = format!("{:?} {:?}", self.newest, self.rows.iter().map(|rows| (rows.table.name, &rows.rows)).collect::<Vec<_>>());
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    /// How many events the ledger says there are.
    pub(super) fn count_events(&self) -> u64 {
        let number = |row: &[Value], at: usize| row.get(at).and_then(Value::as_int).unwrap_or(0);
        let sources = self.rows.iter().filter(|rows| rows.table.name == "source").flat_map(|rows| &rows.rows);
        let count: i64 = sources.map(|row| number(row, 2).saturating_sub(number(row, 3))).sum();
        u64::try_from(count).unwrap_or(0)
    }
}

/// Where a target stands when a transfer into it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// The target was empty and has the head now, or it has a part of the same transfer: from here on.
    From(Mark, u64),
    /// The same transfer was finished at this moment, in microseconds since 1970.
    Finished(i64),
}

/// The mark that the target keeps of a transfer.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) origin: String,
    pub(super) fingerprint: String,
    pub(super) mark: Mark,
    pub(super) finished_at: Option<i64>,
}

impl Kept {
    /// Whether the transfer of this origin goes on from here.
    ///
    /// # Errors
    /// `Refused` when it is another, or the origin is not what it was.
    pub(super) fn resume(&self, origin: &str, fingerprint: &str, events: u64) -> Result<Begun> {
        if self.origin != origin {
            let state = if self.finished_at.is_some() { "holds what came" } else { "is in the middle of a transfer" };
            return Err(Error::Refused(format!("the target {state} from {}; give an empty one", self.origin)));
        }
        if let Some(at) = self.finished_at {
            return Ok(Begun::Finished(at));
        }
        if self.fingerprint != fingerprint {
            return Err(Error::Refused(format!(
                "{origin} was changed after this transfer began, so that its parts would not fit; begin again with an empty target"
            )));
        }
        Ok(Begun::From(self.mark, events))
    }
}

/// Why a bridge does not run on a store that is the target of an unfinished transfer.
pub(super) fn refuse_unfinished(origin: &str) -> Error {
    Error::Refused(format!(
        "this store is in the middle of a transfer from {origin}: only a part of the leads is here; finish it with `leadwire store migrate`"
    ))
}

/// Why a target that holds something is left alone.
pub(super) fn refuse_full() -> Error {
    Error::Refused("the target is not empty, and nothing in it is overwritten; give an empty one".to_owned())
}

/// What is counted of the rows in both stores after a transfer, as (part, what, count). Both engines read it, and the ledger beside it.
/// What was leased arrived as waiting.
pub(super) const ROW_COUNTS: &str = "
    SELECT 'source ' || s.name AS part, 'in the store' AS what, count(*) AS n FROM event e JOIN source s ON s.id = e.source GROUP BY s.name
    UNION ALL SELECT 'source ' || s.name, 'duplicates', CAST(sum(e.duplicates) AS bigint) FROM event e JOIN source s ON s.id = e.source GROUP BY s.name
    UNION ALL SELECT 'destination ' || n.name,
        CASE WHEN d.state IN (0, 1) THEN 'waiting' WHEN d.state = 2 THEN 'blocked' WHEN d.state = 3 THEN 'delivered' WHEN d.state = 4 THEN 'skipped'
             WHEN d.state = 5 THEN 'dead' WHEN d.state = 6 THEN 'erased' ELSE 'in an unknown state' END AS what,
        count(*) FROM delivery d JOIN destination n ON n.id = d.destination GROUP BY 1, 2
    UNION ALL SELECT 'all', 'attempts', count(*) FROM attempt
    UNION ALL SELECT 'all', 'steps', count(*) FROM step
    UNION ALL SELECT 'all', 'tombstones', count(*) FROM event WHERE erased_at IS NOT NULL
    UNION ALL SELECT 'all', 'erasures', count(*) FROM erasure
    UNION ALL SELECT 'all', 'certificates', count(*) FROM certificate
    UNION ALL SELECT 'all', 'tokens', count(*) FROM token
    UNION ALL SELECT 'all', 'actions', count(*) FROM action
    UNION ALL SELECT 'all', 'sightings', count(*) FROM sighting
    UNION ALL SELECT 'all', 'missed leads', count(*) FROM missed
    UNION ALL SELECT 'quarantine ' || source, 'bodies', count(*) FROM quarantine GROUP BY source
    UNION ALL SELECT 'quarantine ' || source, 'bytes', CAST(sum(size) AS bigint) FROM quarantine GROUP BY source";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_transfer_goes_through_the_events_then_the_quarantine_then_is_complete() {
        let events = Mark::START.next(Some(7), true);
        assert_eq!(events, Mark { stage: Stage::Events, after: 7 });
        let quarantine = events.next(Some(9), false);
        assert_eq!(quarantine, Mark { stage: Stage::Quarantine, after: i64::MIN });
        assert_eq!(quarantine.next(None, false).stage, Stage::Complete);
    }

    #[test]
    fn a_stage_is_read_as_it_was_written_and_another_number_is_refused() {
        for stage in [Stage::Events, Stage::Quarantine, Stage::Complete] {
            assert_eq!(Stage::from_number(stage.number()).unwrap(), stage);
        }
        assert!(Stage::from_number(3).is_err() && Stage::from_number(-1).is_err());
    }

    #[test]
    fn only_the_same_unfinished_transfer_goes_on() {
        let kept = |finished_at| Kept { origin: "a".to_owned(), fingerprint: "f".to_owned(), mark: Mark::START, finished_at };
        assert_eq!(kept(None).resume("a", "f", 3).unwrap(), Begun::From(Mark::START, 3));
        assert_eq!(kept(Some(5)).resume("a", "g", 3).unwrap(), Begun::Finished(5));
        assert!(kept(None).resume("b", "f", 3).unwrap_err().to_string().contains("in the middle of a transfer from a"));
        assert!(kept(None).resume("a", "g", 3).unwrap_err().to_string().contains("was changed"));
    }
}

//! Reading a delivery for people.

use super::moment;
use crate::store::{DeliveryRow, State};
use leadwire_connector::Record;
use rusqlite::Row;
use uuid::Uuid;

/// The columns that [`read_delivery`] takes, of `delivery d JOIN event e JOIN destination n`.
pub(super) const DELIVERY_COLUMNS: &str =
    "e.id, n.name, d.state, d.attempts, e.received_at, d.not_before, d.ended_at, d.record_id, d.record_url, d.remark";

pub(super) const DELIVERY_TABLES: &str = "delivery d JOIN event e ON e.seq = d.event JOIN destination n ON n.id = d.destination";

pub(super) fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let event = Uuid::from_bytes(row.get(0)?);
    let destination: String = row.get(1)?;
    let state = State::from_number(row.get(2)?).unwrap_or(State::Dead);
    let record: Option<String> = row.get(7)?;
    let url: Option<String> = row.get(8)?;
    Ok(DeliveryRow {
        id: crate::store::delivery_id(event, &destination),
        event,
        destination,
        state,
        attempts: row.get(3)?,
        received_at: moment(row.get(4)?),
        not_before: if state == State::Waiting { Some(moment(row.get(5)?)) } else { None },
        ended_at: row.get::<_, Option<i64>>(6)?.map(moment),
        record: record.map(|id| Record { id, url }),
        remark: row.get(9)?,
    })
}

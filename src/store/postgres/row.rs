//! Reading a delivery for people.

use super::{column, moment};
use crate::store::{DeliveryRow, Result, State};
use leadwire_connector::Record;
use tokio_postgres::Row;
use uuid::Uuid;

/// The columns that [`read_delivery`] takes, of [`DELIVERY_TABLES`].
pub(super) const DELIVERY_COLUMNS: &str =
    "e.id, n.name, d.state, d.attempts, e.received_at, d.not_before, d.ended_at, d.record_id, d.record_url, d.remark";

pub(super) const DELIVERY_TABLES: &str = "delivery d JOIN event e ON e.seq = d.event JOIN destination n ON n.id = d.destination";

pub(super) fn read_delivery(row: &Row) -> Result<DeliveryRow> {
    let event: Uuid = column(row, 0)?;
    let destination: String = column(row, 1)?;
    let state = State::from_number(column(row, 2)?).unwrap_or(State::Dead);
    let (record, url): (Option<String>, Option<String>) = (column(row, 7)?, column(row, 8)?);
    Ok(DeliveryRow {
        id: crate::store::delivery_id(event, &destination),
        event,
        destination,
        state,
        attempts: u32::try_from(column::<i64>(row, 3)?).unwrap_or(u32::MAX),
        received_at: moment(column(row, 4)?),
        not_before: if state == State::Waiting { Some(moment(column(row, 5)?)) } else { None },
        ended_at: column::<Option<i64>>(row, 6)?.map(moment),
        record: record.map(|id| Record { id, url }),
        remark: column(row, 9)?,
    })
}

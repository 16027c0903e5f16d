//! Delivering again what has ended.

use super::ledger::Tally;
use super::receive::{Place, lock_ahead};
use super::row::DELIVERY_TABLES;
use super::search::{Conditions, delivery_conditions};
use super::{Postgres, again, column, execute, hold, micros, query, tell_all};
use crate::store::{DeliveryFilter, DeliveryKey, DestinationId, Result, State};
use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// An ended delivery that no other transaction changes before this one ends.
pub(super) struct Ended {
    pub(super) key: DeliveryKey,
    person: Option<Vec<u8>>,
    pub(super) state: State,
}

impl Ended {
    fn place(&self) -> Option<Place> {
        Some((self.key.destination.into(), self.person.clone()?))
    }
}

impl Postgres {
    pub(in crate::store) async fn find_ended(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        self.run(move |client| async move { read_ended(&client, &delivery_conditions(&filter)).await }).await
    }

    pub(in crate::store) async fn find_ended_of(&self, event: Uuid, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        let mut conditions = delivery_conditions(&filter);
        conditions.add("e.id = ?", Some(event));
        self.run(move |client| async move { read_ended(&client, &conditions).await }).await
    }

    pub(in crate::store) async fn replay(&self, keys: Vec<DeliveryKey>, now: Timestamp) -> Result<usize> {
        let (keys, slot) = (Arc::new(keys), self.shared.membership.slot() + 2);
        let (replayed, due) = again(|| {
            let keys = Arc::clone(&keys);
            self.run(move |mut client| async move {
                let transaction = client.transaction().await?;
                let revived = revive(&transaction, &keys, &[], micros(now), slot).await?;
                transaction.commit().await?;
                Ok(revived)
            })
        })
        .await?;
        self.shared.tell_waiting(due);
        Ok(replayed)
    }
}

async fn read_ended(client: &impl GenericClient, conditions: &Conditions) -> Result<Vec<DeliveryKey>> {
    let sql = format!(
        "SELECT d.event, d.destination FROM {DELIVERY_TABLES} WHERE d.state >= 3 AND d.state <> 6 AND {} ORDER BY d.event, d.destination",
        conditions.clause()
    );
    let rows = conditions.query(client, &sql).await?;
    rows.iter().map(|row| Ok(DeliveryKey { event: column(row, 0)?, destination: hold::number(row, 1)? })).collect()
}

/// How many had ended, in one of these states if there are any, and the destinations that have something due now. Within the
/// transaction of the caller.
pub(super) async fn revive(
    transaction: &Transaction<'_>,
    keys: &[DeliveryKey],
    from: &[State],
    now: i64,
    slot: i64,
) -> Result<(usize, HashSet<DestinationId>)> {
    let mut ended = lock_ended(transaction, keys).await?;
    ended.retain(|one| from.is_empty() || from.contains(&one.state));
    let mut under_way = lock_ahead(transaction, &ended.iter().filter_map(Ended::place).collect()).await?;
    let mut tally = Tally::default();
    // Of several deliveries of a person, the first goes ahead and the others wait behind it.
    let states: Vec<State> = ended
        .iter()
        .map(|one| {
            tally.add_ended(one.key.destination, one.state, -1);
            if one.place().is_none_or(|place| under_way.insert(place)) { State::Waiting } else { State::Blocked }
        })
        .collect();
    make_pending(transaction, &ended, &states, now).await?;
    tally.write(transaction, slot).await?;
    let due: HashSet<DestinationId> =
        ended.iter().zip(&states).filter(|(_, state)| **state == State::Waiting).map(|(one, _)| one.key.destination).collect();
    if !due.is_empty() {
        tell_all(transaction).await?;
    }
    Ok((ended.len(), due))
}

/// Those of the deliveries that have ended, each once, in the order they were named. They are locked in the order in which an erasure
/// does it.
pub(super) async fn lock_ended(client: &impl GenericClient, keys: &[DeliveryKey]) -> Result<Vec<Ended>> {
    let (events, destinations): (Vec<i64>, Vec<i64>) = keys.iter().map(|key| (key.event, i64::from(key.destination))).unzip();
    let sql = "SELECT d.event, d.destination, d.person, d.state, k.place
         FROM unnest($1::BIGINT[], $2::BIGINT[]) WITH ORDINALITY AS k(event, destination, place)
         JOIN delivery d ON d.event = k.event AND d.destination = k.destination
         WHERE d.state >= 3 AND d.state <> 6 ORDER BY d.destination, d.person, d.state, d.event, k.place FOR UPDATE OF d";
    let mut ended: BTreeMap<i64, Ended> = BTreeMap::new();
    let mut seen = HashSet::new();
    for row in query(client, sql, &[&events, &destinations]).await? {
        let key = DeliveryKey { event: column(&row, 0)?, destination: hold::number(&row, 1)? };
        if seen.insert(key) {
            let state = State::from_number(column(&row, 3)?).unwrap_or(State::Dead);
            ended.insert(column(&row, 4)?, Ended { key, person: column(&row, 2)?, state });
        }
    }
    Ok(ended.into_values().collect())
}

async fn make_pending(client: &impl GenericClient, ended: &[Ended], states: &[State], now: i64) -> Result<()> {
    let events: Vec<i64> = ended.iter().map(|one| one.key.event).collect();
    let destinations: Vec<i64> = ended.iter().map(|one| one.key.destination.into()).collect();
    let states: Vec<i64> = states.iter().map(|state| state.number()).collect();
    let sql = "UPDATE delivery d SET state = t.state, attempts = 0, not_before = $4, clock_start = $4, ended_at = NULL, leased_by = NULL,
             parked_base = n.parked_us + CASE WHEN n.hold_since IS NULL THEN 0 ELSE greatest(0, $4 - n.hold_since) END
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS t(event, destination, state) JOIN destination n ON n.id = t.destination
         WHERE d.event = t.event AND d.destination = t.destination";
    execute(client, sql, &[&events, &destinations, &states, &now]).await.map(drop)
}

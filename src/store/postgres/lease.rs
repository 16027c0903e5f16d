//! Taking deliveries to work on, and giving them back.

use super::{Params, Postgres, Shared, column, execute, micros, moment, person, query, query_opt, text};
use crate::failpoint::{self, Commit};
use crate::store::{Claimed, DeliveryKey, DestinationId, Ended, Error, Lease, Leased, Outcome, Result, Settlement, State, places_for};
use deadpool_postgres::{GenericClient, Object};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_postgres::Row;

/// Bodies of one claim, in bytes: what is over waits for the next one.
const CLAIM_BYTES: i64 = 8 << 20;

impl Postgres {
    pub(in crate::store) async fn claim(&self, destination: DestinationId, limit: u32, now: Timestamp) -> Result<Claimed> {
        let shared = Arc::clone(&self.shared);
        let (found, next_due) =
            self.run_now(move |client| async move { lease_due(client, &shared, destination, limit, micros(now)).await }).await?;
        let found_none = found.is_empty();
        // What is due and was not to be had is another's at this moment: no reason to ask again at once.
        let is_anothers = |due: Timestamp| found_none && due <= now;
        let soon = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
        let mut deliveries = Vec::with_capacity(found.len());
        for found in found {
            match read_body(&found) {
                Ok(event) => deliveries.push(found.lease(event)),
                Err(remark) => self.bury(found, remark, now).await,
            }
        }
        Ok(Claimed { deliveries, next_due: next_due.map(moment).map(|due| if is_anothers(due) { soon } else { due }) })
    }

    pub(in crate::store) async fn release(&self, leases: Vec<Lease>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.run_now(move |client| async move {
            let events: Vec<i64> = leases.iter().map(|lease| lease.key.event).collect();
            let destinations: Vec<i64> = leases.iter().map(|lease| lease.key.destination.into()).collect();
            let numbers: Vec<i64> = leases.iter().map(|lease| lease.number).collect();
            let sql =
                "UPDATE delivery d SET state = 0, leased_by = NULL FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS t(e, d, l)
                 WHERE d.event = t.e AND d.destination = t.d AND d.lease = t.l AND d.leased_by = $4 AND d.state = 1";
            execute(&client, sql, &[&events, &destinations, &numbers, &shared.membership.id()]).await?;
            leases.iter().for_each(|lease| shared.membership.let_go(*lease));
            shared.signals.tell_others();
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn save_step(&self, key: DeliveryKey, name: String, remote_id: String) -> Result<()> {
        self.run_now(move |client| async move {
            // Of a person who was erased in the meantime, nothing is kept.
            let sql = "INSERT INTO step (event, destination, name, remote_id)
                 SELECT event, destination, $3, $4 FROM delivery WHERE event = $1 AND destination = $2 AND state <> 6 FOR SHARE
                 ON CONFLICT (event, destination, name) DO UPDATE SET remote_id = excluded.remote_id";
            let values: Params<'_> = &[&key.event, &i64::from(key.destination), &text(&name), &text(&remote_id)];
            failpoint::reach(Commit::Step.before()).await?;
            if execute(&client, sql, values).await? == 0 {
                // But the owner must learn what was made at the destination.
                let arrived = text(&format!("{name} {remote_id}"));
                person::reopen(&client, &[key.event], &[key.destination.into()], &[Some(arrived)]).await?;
            }
            Ok(failpoint::reach(Commit::Step.after()).await?)
        })
        .await
    }

    pub(in crate::store) async fn due_destinations(&self, now: Timestamp) -> Result<Vec<DestinationId>> {
        self.run_now(move |client| async move {
            let sql = "SELECT id FROM destination n WHERE EXISTS
                 (SELECT 1 FROM delivery d WHERE d.destination = n.id AND d.state = 0 AND d.not_before <= $1)";
            let rows = query(&client, sql, &[&micros(now)]).await?;
            rows.iter().map(|row| Ok(DestinationId::try_from(column::<i64>(row, 0)?).unwrap_or_default())).collect()
        })
        .await
    }

    /// When it cannot be written, the lease is found to be nobody's after a while, and the others are delivered all the same.
    async fn bury(&self, found: Found, remark: String, now: Timestamp) {
        let outcome = Outcome::Ended(Ended { state: State::Dead, record: None, remark: Some(remark) });
        let settlement = Settlement { key: found.key, lease: found.lease, person_key: found.person_key, outcome, at: now, attempt: None };
        if let Err(error) = self.settle(settlement).await {
            tracing::error!("a delivery whose event cannot be read was not made a dead letter: {error}");
        }
    }
}

/// A claimed delivery whose event is not read yet.
struct Found {
    key: DeliveryKey,
    person_key: Option<[u8; 16]>,
    attempts: u32,
    clock_start: i64,
    parked_base_us: i64,
    lease: i64,
    not_before: i64,
    body: Option<String>,
    steps: Vec<(String, String)>,
}

impl Found {
    fn read(row: &Row, destination: DestinationId) -> Result<Self> {
        let person: Option<Vec<u8>> = column(row, 1)?;
        Ok(Self {
            key: DeliveryKey { event: column(row, 0)?, destination },
            person_key: person.and_then(|person| person.try_into().ok()),
            attempts: u32::try_from(column::<i64>(row, 2)?).unwrap_or(u32::MAX),
            clock_start: column(row, 3)?,
            parked_base_us: column(row, 4)?,
            lease: column(row, 5)?,
            not_before: column(row, 6)?,
            body: None,
            steps: Vec::new(),
        })
    }

    fn lease_of(&self) -> Lease {
        Lease { key: self.key, number: self.lease }
    }

    fn lease(self, event: Event) -> Leased {
        Leased {
            key: self.key,
            event: Arc::new(event),
            person_key: self.person_key,
            attempts: self.attempts,
            clock_start: moment(self.clock_start),
            parked_base_us: self.parked_base_us,
            places: places_for(self.body.map_or(0, |body| body.len())),
            steps: self.steps,
            lease: self.lease,
        }
    }
}

fn read_body(found: &Found) -> std::result::Result<Event, String> {
    let body = found.body.as_ref().ok_or_else(|| "the event of this delivery is missing from the store".to_owned())?;
    serde_json::from_str(body).map_err(|error| format!("the stored event cannot be read: {error}"))
}

/// The leases are committed before any body is read: a process that is stopped while it reads must not keep rows locked.
async fn lease_due(
    mut client: Object,
    shared: &Shared,
    destination: DestinationId,
    limit: u32,
    now: i64,
) -> Result<(Vec<Found>, Option<i64>)> {
    let silent = || Error::Unavailable("this bridge has not been in touch with the store for some seconds".to_owned());
    let began_at = Instant::now();
    let member = shared.membership.live_id().ok_or_else(silent)?;
    let transaction = client.transaction().await?;
    let events = choose(&transaction, destination, limit, now, &shared.membership.running(destination)).await?;
    let mut found = lease(&transaction, destination, &events, member).await?;
    let next_due = read_next_due(&transaction, destination).await?;
    failpoint::reach(Commit::Claim.before()).await?;
    transaction.commit().await?;
    failpoint::reach(Commit::Claim.after()).await?;
    if !shared.membership.hold(member, began_at, found.iter().map(Found::lease_of)) {
        return Err(silent());
    }
    if let Err(error) = read_bodies(&client, destination, &events, &mut found).await {
        // They are in nobody's memory then, and found as such after a while.
        found.iter().for_each(|found| shared.membership.let_go(found.lease_of()));
        return Err(error);
    }
    Ok((found, next_due))
}

async fn lease(client: &impl GenericClient, destination: DestinationId, events: &[i64], member: i64) -> Result<Vec<Found>> {
    let sql = "UPDATE delivery d SET state = 1, leased_by = $3, lease = d.lease + 1 WHERE destination = $1 AND event = ANY($2::BIGINT[])
         RETURNING event, person, attempts, clock_start, parked_base, lease, not_before";
    let rows = query(client, sql, &[&i64::from(destination), &events, &member]).await?;
    let mut found: Vec<Found> = rows.iter().map(|row| Found::read(row, destination)).collect::<Result<_>>()?;
    found.sort_by_key(|found| (found.not_before, found.key.event));
    Ok(found)
}

async fn read_bodies(client: &Object, destination: DestinationId, events: &[i64], found: &mut [Found]) -> Result<()> {
    let sql = "SELECT seq, body FROM event WHERE seq = ANY($1::BIGINT[])";
    let values: Params<'_> = &[&events];
    let (rows, mut steps) = tokio::try_join!(query(client, sql, values), read_steps(client, destination, events))?;
    let mut bodies: HashMap<i64, String> = HashMap::new();
    for row in &rows {
        bodies.insert(column(row, 0)?, column(row, 1)?);
    }
    for found in found {
        found.body = bodies.remove(&found.key.event);
        found.steps = steps.remove(&found.key.event).unwrap_or_default();
    }
    Ok(())
}

/// The deliveries that are due longest and that nobody else is taking at this moment. Their sizes bound how many. What this process
/// itself is still attempting, under a lease that it lost, is left out.
async fn choose(client: &impl GenericClient, destination: DestinationId, limit: u32, now: i64, running: &[i64]) -> Result<Vec<i64>> {
    let sql = "SELECT d.event, (SELECT octet_length(body)::BIGINT FROM event e WHERE e.seq = d.event) FROM delivery d
         WHERE d.destination = $1 AND d.state = 0 AND d.not_before <= $2 AND d.event <> ALL($4::BIGINT[])
         ORDER BY d.not_before, d.event LIMIT $3 FOR UPDATE SKIP LOCKED";
    let values: Params<'_> = &[&i64::from(destination), &now, &i64::from(limit), &running];
    let (mut events, mut bytes) = (Vec::new(), 0);
    for row in query(client, sql, values).await? {
        if bytes >= CLAIM_BYTES {
            break;
        }
        bytes += column::<Option<i64>>(&row, 1)?.unwrap_or_default();
        events.push(column(&row, 0)?);
    }
    Ok(events)
}

async fn read_steps(
    client: &impl GenericClient,
    destination: DestinationId,
    events: &[i64],
) -> Result<HashMap<i64, Vec<(String, String)>>> {
    let sql =
        "SELECT event, name, remote_id FROM step WHERE destination = $1 AND event = ANY($2::BIGINT[]) ORDER BY event, name COLLATE \"C\"";
    let mut steps: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    for row in query(client, sql, &[&i64::from(destination), &events]).await? {
        steps.entry(column(&row, 0)?).or_default().push((column(&row, 1)?, column(&row, 2)?));
    }
    Ok(steps)
}

async fn read_next_due(client: &impl GenericClient, destination: DestinationId) -> Result<Option<i64>> {
    let sql = "SELECT not_before FROM delivery WHERE destination = $1 AND state = 0 ORDER BY not_before LIMIT 1";
    let row = query_opt(client, sql, &[&i64::from(destination)]).await?;
    row.map(|row| column(&row, 0)).transpose()
}

//! Stories about what the writer knows of backlogs.

use super::*;
use crate::store::Error;

/// A lane that is closed, with the deliveries of these persons waiting behind it.
async fn behind_a_closed_lane(stage: &Stage, persons: &[u8]) -> (Arc<Room>, UnboundedReceiver<Handoff>) {
    let (room, handoffs) = attach_lane(stage, 100);
    room.set_open(false);
    for (n, person) in (1..).zip(persons) {
        stage.receive(n, Some(*person)).await;
    }
    (room, handoffs)
}

fn in_line(stage: &Stage) -> Vec<bool> {
    let raw = stage.raw();
    let mut query = raw.prepare("SELECT in_line FROM delivery ORDER BY event").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_transaction_that_failed_has_taken_nobody_out_of_a_backlog() {
    let stage = Stage::open();
    let (room, _handoffs) = behind_a_closed_lane(&stage, &[7]).await;
    let crm = stage.crm;
    let failed = stage.store.writer.write(move |unit| -> crate::store::Result<()> {
        unit.connection.execute("UPDATE delivery SET state = 3, ended_at = 1", [])?;
        assert!(!unit.backlogs.may_hold(unit.connection, crm, &[7; 16])?);
        Err(Error::Refused("it changed its mind".to_owned()))
    });
    assert!(failed.await.is_err());
    room.set_open(true);
    stage.receive(2, Some(7)).await;
    assert_eq!(stage.states().await, [State::Waiting, State::Waiting]);
    assert_eq!(in_line(&stage), [false, false]);
}

#[tokio::test]
async fn only_what_another_process_adds_makes_it_forget() {
    let stage = Stage::open();
    let (room, _handoffs) = behind_a_closed_lane(&stage, &[7, 8]).await;
    room.set_open(true);
    stage.store.probe().await.unwrap();
    stage.store.empty_log().await.unwrap();
    stage.store.probe().await.unwrap();
    stage.receive(3, Some(9)).await;
    assert_eq!(stage.states().await, [State::Waiting, State::Waiting, State::Leased], "a stranger goes ahead");
    stage.raw().execute("UPDATE pulse SET beats = 7", []).unwrap();
    stage.receive(4, Some(10)).await;
    assert_eq!(in_line(&stage), [false, false, true, true], "it added to no backlog");
    stage.raw().execute("UPDATE destination SET joined = joined + 1", []).unwrap();
    stage.receive(5, Some(11)).await;
    assert_eq!(in_line(&stage), [false, false, true, true, false], "any may be in there now");
    assert_eq!(stage.claim(1).await.deliveries.len(), 1);
    stage.receive(6, Some(12)).await;
    assert_eq!(in_line(&stage), [true, false, true, true, false, true], "a claim learned who is");
}

#[tokio::test]
async fn what_an_older_program_stored_is_in_line() {
    let stage = Stage::open();
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    stage
        .raw()
        .execute_batch(
            "DROP INDEX delivery_waiting; DROP INDEX delivery_line; DROP INDEX delivery_backlog; ALTER TABLE delivery DROP COLUMN in_line;
             ALTER TABLE destination DROP COLUMN joined;
             CREATE INDEX delivery_waiting ON delivery (destination, not_before) WHERE state = 0;
             CREATE INDEX delivery_pending ON delivery (destination, person, event, state) WHERE state < 3;
             PRAGMA user_version = 12;",
        )
        .unwrap();
    let Stage { folder, store, .. } = stage;
    drop(store);
    let stage = Stage::reopen(folder);
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked]);
    let (_room, _handoffs) = attach_lane(&stage, 8);
    stage.receive(3, Some(7)).await;
    stage.receive(4, Some(8)).await;
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked, State::Blocked, State::Leased]);
    assert_eq!(in_line(&stage), [true; 4]);
    stage.assert_audit().await;
}

/// What people look at all the time must not read rows, however long a backlog is.
#[tokio::test]
async fn what_is_pending_is_counted_from_the_indexes_alone() {
    let stage = Stage::open();
    let raw = stage.raw();
    for sql in [
        "SELECT count(*) FROM delivery WHERE destination = 1 AND state = 0 AND in_line = 0",
        "SELECT destination, sum(state = 0), sum(state = 1) FROM delivery INDEXED BY delivery_line WHERE state < 3 AND in_line = 1 GROUP BY destination",
        "SELECT event FROM delivery WHERE state < 3 AND in_line = 1 AND state = 1",
        super::super::size::OLDEST,
    ] {
        let mut plan = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let lines = plan.query_map([], |row| row.get::<_, String>(3)).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        let reads_rows = |line: &&String| line.contains("delivery") && !line.contains("COVERING INDEX");
        assert_eq!(lines.iter().find(reads_rows), None, "{sql}: {lines:?}");
    }
}

//! Stories about the search index in the file.

use super::*;
use crate::store::{Erasing, EventFilter, Needle};

fn named(n: u16, name: &str) -> NewEvent {
    let mut new = event(0, None, &[]);
    let event = Arc::make_mut(&mut new.event);
    event.id = Uuid::from_u128(u128::from(n) + 1);
    event.person.email = Some(format!("{name}@example.com"));
    event.content = Some(format!("{name} wants number {n}"));
    new.content_key[..2].copy_from_slice(&n.to_be_bytes());
    NewEvent { body: serde_json::to_string(&new.event).unwrap(), ..new }
}

#[tokio::test]
async fn words_of_who_was_erased_are_nowhere_in_the_file_though_the_index_was_written_many_times() {
    let stage = Stage::open();
    for batch in 0..20_u16 {
        let one = |k| named(batch * 50 + k, if (batch * 50 + k) % 7 == 3 { "jane.secretive" } else { "other" });
        stage.store.receive((0..50).map(one).collect::<Vec<_>>()).await.unwrap();
        while stage.store.index_events(1).await.unwrap() {}
    }
    let filter = EventFilter { text: Some("secretive".to_owned()), limit: 10_000, ..EventFilter::default() };
    let events: Vec<Uuid> = stage.store.events(filter).await.unwrap().iter().map(|row| row.event.id).collect();
    assert_eq!(events.len(), 143);
    stage.store.erase(Erasing { events, ..Erasing::default() }, now()).await.unwrap();
    let needle = Needle { label: "email", text: "secretive".to_owned() };
    let scrubbed = stage.store.scrub(vec![needle], false, Arc::new(|_, _| {})).await.unwrap();
    assert_eq!((scrubbed.remains[0].left(), scrubbed.remains[0].in_files), (0, 0), "{scrubbed:?}");
    for name in ["l.db", "l.db-wal"] {
        let bytes = std::fs::read(stage.folder.path().join(name)).unwrap_or_default();
        assert!(!bytes.windows(9).any(|window| window == b"secretive"), "{name}");
    }
    stage.assert_audit().await;
}

#[tokio::test]
async fn a_draft_that_a_crash_left_is_searched_by_nobody_and_goes_with_the_next_batch() {
    let stage = Stage::open();
    stage.store.receive((0..50).map(|n| named(n, "jane")).collect::<Vec<_>>()).await.unwrap();
    while stage.store.index_events(1).await.unwrap() {}
    let raw = stage.raw();
    raw.execute_batch(
        "INSERT INTO search_stretch (id, first, last, events, words, oldest, newest, version) VALUES (77, -77, -77, 0, 0, 0, 0, 5);
         INSERT INTO search_page SELECT 77, first, body FROM search_page",
    )
    .unwrap();
    stage.assert_audit().await;
    let filter = EventFilter { text: Some("jane".to_owned()), limit: 100, ..EventFilter::default() };
    assert_eq!(stage.store.events(filter.clone()).await.unwrap().len(), 50);
    assert!(stage.store.index_events(1).await.unwrap());
    assert!(!stage.store.index_events(1).await.unwrap());
    let pages = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pages("SELECT count(*) FROM search_page WHERE stretch = 77"), 0);
    assert!(pages("SELECT count(*) FROM search_page") > 0);
    assert_eq!(stage.store.events(filter).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_draft_forgets_who_is_erased() {
    let stage = Stage::open();
    stage.store.receive((0..50).map(|n| named(n, "jane.secretive")).collect::<Vec<_>>()).await.unwrap();
    stage
        .raw()
        .execute_batch(
            "INSERT INTO search_stretch (id, first, last, events, words, oldest, newest, version) VALUES (77, -77, -77, 0, 0, 0, 0, 5);
             INSERT INTO search_page VALUES (77, x'736563726574697665', x'736563726574697665')",
        )
        .unwrap();
    stage.store.erase(Erasing { events: vec![Uuid::from_u128(1)], ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(stage.raw().query_row("SELECT count(*) FROM search_page WHERE stretch = 77", [], |row| row.get(0)), Ok(0));
}

#[tokio::test]
async fn no_search_reads_the_whole_table() {
    let stage = Stage::open();
    let raw = stage.raw();
    super::super::search::add_functions(&raw).unwrap();
    for sql in super::super::search::statements() {
        let mut plan = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let width = plan.parameter_count();
        let lines = plan.query_map(rusqlite::params_from_iter(vec![0; width]), |row| row.get::<_, String>(3)).unwrap();
        let told = lines.map(Result::unwrap).collect::<Vec<_>>().join("; ");
        // An index of just what is wanted may be read from end to end.
        let own = ["event_duplicated", "event_unrouted", "delivery_waiting", "delivery_line", "delivery_backlog", "delivery_closed"];
        let is_whole = |line: &&str| line.starts_with("SCAN") && !own.iter().any(|index| line.ends_with(index));
        assert_eq!(told.split("; ").find(is_whole), None, "{sql}: {told}");
        assert!(!told.contains("TEMP B-TREE"), "{sql}: {told}");
    }
}

//! Stories about moving, copying and bounding the file.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::tests::{Stage, event, names, now};
use super::{Sqlite, dump::Dump, schema};
use crate::store::dump::{Mark, Stage as Of, TABLES, Value};
use crate::store::{
    AttemptRow, Beginning, Engine, Origin, Pending, QuarantineClass, QuarantineLimits, Received, Refused, Retention, Settlement, State,
    Store, Transfer,
};
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Stage {
    fn file(&self) -> PathBuf {
        self.folder.path().join("l.db")
    }

    fn as_store(&self) -> Store {
        Store::on(Engine::Sqlite(self.store.clone()))
    }

    /// Something of everything: each state, attempts, steps, a hold, each class of the quarantine.
    async fn fill(&self) {
        for (n, person) in [(1, None), (2, None), (3, None), (4, Some(7)), (5, Some(7)), (6, None)] {
            self.receive(n, person).await;
        }
        self.receive(1, None).await;
        let claimed = self.claim(5).await.deliveries;
        self.end(&claimed[0], State::Delivered).await;
        self.end(&claimed[1], State::Skipped).await;
        self.store.save_step(claimed[2].key, "contact".to_owned(), "101".to_owned()).await.unwrap();
        self.settle_with_attempt(&claimed[2]).await;
        let drop = self.store.destination_id("drop").unwrap();
        self.store.hold(drop, "moving".to_owned(), Some(now()), now()).await.unwrap();
        let limits = QuarantineLimits { max_bytes: 1 << 20 };
        for (body, class) in [
            ("a", QuarantineClass::Hopeless),
            ("b", QuarantineClass::Refused),
            ("", QuarantineClass::Promised),
            ("a", QuarantineClass::Hopeless),
        ] {
            self.store.quarantine(refused(body, class), limits).await.unwrap();
        }
    }

    async fn settle_with_attempt(&self, leased: &crate::store::Leased) {
        let attempt = AttemptRow {
            at: now(),
            duration_ms: 3,
            outcome: "dead".to_owned(),
            kind: None,
            status: Some(422),
            code: Some(String::new()),
            message: Some("100 % of 'it' failed; _ and \\ too".to_owned()),
            excerpt: None,
        };
        let ended = crate::store::Ended { state: State::Dead, record: None, remark: Some("for a reason".to_owned()) };
        let outcome = crate::store::Outcome::Ended(ended);
        let (key, lease, person_key) = (leased.key, leased.lease, leased.person_key);
        self.store.settle(Settlement { key, lease, person_key, outcome, at: now(), attempt: Some(attempt) }).await.unwrap();
    }

    /// Many events at once, each with one delivery in this state, received a second apart.
    fn fill_many(&self, first: i64, count: i64, state: i64) {
        let raw = self.raw();
        let body = event(1, None, &[]).body.replace("\"x\"", &format!("\"{}\"", "x".repeat(700)));
        raw.execute_batch(&format!(
            "BEGIN;
             WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {first} + {count} - 1)
             INSERT INTO event (seq, id, source, content_key, kind, received_at, deliveries, body)
             SELECT i, randomblob(16), 1, CAST(printf('%024d', i) AS BLOB), 'lead', i * 1000000, 1, '{body}' FROM n;
             INSERT INTO delivery (event, destination, state, not_before, clock_start, parked_base, ended_at, remark)
             SELECT seq, 1, {state}, 0, 0, 0, CASE WHEN {state} > 2 THEN 0 END, 'x' FROM event WHERE seq >= {first} AND seq < {first} + {count};
             UPDATE source SET received = received + {count} WHERE id = 1;
             UPDATE destination SET created = created + {count}, delivered = delivered + {count} * ({state} = 3), dead = dead + {count} * ({state} = 5)
             WHERE id = 1;
             COMMIT;"
        ))
        .unwrap();
    }
}

fn refused(body: &str, class: QuarantineClass) -> Refused {
    Refused {
        source: "acme".to_owned(),
        at: now(),
        client: "203.0.113.9".to_owned(),
        header: None,
        body: body.to_owned().into(),
        code: "no_key_matched".to_owned(),
        reason: "no key matched".to_owned(),
        class,
    }
}

fn all_rows(path: &Path) -> Vec<String> {
    let raw = rusqlite::Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for table in TABLES.iter().map(|table| table.name).chain(["quarantine_total"]) {
        let mut query = raw.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let width = query.column_count();
        let mut found = query.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<String> = (0..width).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
            rows.push(format!("{table}: {}", values.join(", ")));
        }
    }
    rows
}

async fn begin(from: &Path, to: &Path) -> crate::store::Result<Beginning> {
    Transfer::begin(Origin::sqlite(from)?, Store::sqlite(to, [], [])?, "sqlite:origin").await
}

async fn open(from: &Path, to: &Path) -> Transfer {
    match begin(from, to).await.unwrap() {
        Beginning::Open(transfer) => *transfer,
        Beginning::Finished(at) => panic!("finished at {at}"),
    }
}

async fn refusal(from: &Path, to: &Path) -> String {
    begin(from, to).await.unwrap_err().to_string()
}

#[test]
fn every_table_and_column_moves_or_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    drop(Sqlite::open(&path, [], []).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let mut query = raw
        .prepare("SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY 1, 2")
        .unwrap();
    let there: Vec<(String, String)> = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    // Made anew, of one place only, of no lead, or of this engine.
    let stays = |table: &str| ["quarantine_total", "transfer", "tally"].contains(&table) || table.starts_with("search_");
    let is_own = |column: &str| ["in_line", "joined"].contains(&column);
    let there: Vec<(String, String)> = there.into_iter().filter(|(table, column)| !stays(table) && !is_own(column)).collect();
    let mut moved: Vec<(String, String)> = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |(column, _)| (table.name.to_owned(), (*column).to_owned())))
        .collect();
    moved.sort();
    assert_eq!(there, moved, "a table or column that is new must be named in `TABLES`, or it is lost when a store moves");
}

#[tokio::test]
async fn everything_moves_and_what_was_leased_waits() {
    let stage = Stage::open();
    stage.fill().await;
    let target = stage.folder.path().join("new/t.db");
    let mut transfer = open(&stage.file(), &target).await;
    while transfer.step().await.unwrap() {}
    let progress = transfer.progress();
    assert_eq!((progress.events, progress.of), (6, 6));
    let comparison = transfer.finish().await.unwrap();
    assert!(comparison.is_same() && comparison.audit.holds(), "{comparison:?}");
    assert!(comparison.lines.iter().any(|line| line.part == "destination crm" && line.what == "dead" && line.target == 1));
    stage.raw().execute("UPDATE delivery SET state = 0 WHERE state = 1", []).unwrap();
    assert_eq!(all_rows(&stage.file()), all_rows(&target));
    assert!(matches!(begin(&stage.file(), &target).await.unwrap(), Beginning::Finished(_)));
}

#[tokio::test]
async fn a_moved_store_goes_on_numbering_where_the_first_one_was() {
    let stage = Stage::open();
    stage.fill().await;
    let target = stage.folder.path().join("t.db");
    let mut transfer = open(&stage.file(), &target).await;
    while transfer.step().await.unwrap() {}
    transfer.finish().await.unwrap();
    let store = Sqlite::open(&target, &names(&["acme", "later"]), &names(&["drop", "crm", "later"])).unwrap();
    let _ownership = store.take_ownership().await.unwrap();
    assert_eq!(store.destination_id("crm"), Some(stage.crm));
    assert_eq!(store.receive(vec![event(1, None, &[stage.crm])]).await.unwrap(), [Received::Duplicate]);
    assert_eq!(store.receive(vec![event(9, None, &[stage.crm])]).await.unwrap(), [Received::New]);
    assert!(store.audit().await.unwrap().holds());
}

#[tokio::test]
async fn an_interrupted_transfer_goes_on_and_no_bridge_runs_on_a_part() {
    let stage = Stage::open();
    stage.fill_many(1, 5_000, 3);
    stage.fill().await;
    let target = stage.folder.path().join("t.db");
    let mut transfer = open(&stage.file(), &target).await;
    assert!(transfer.step().await.unwrap());
    drop(transfer);
    let error = Sqlite::open(&target, [], []).unwrap().take_ownership().await.unwrap_err().to_string();
    assert!(error.contains("in the middle of a transfer from sqlite:origin"), "{error}");
    let mut transfer = open(&stage.file(), &target).await;
    assert_eq!(transfer.progress().events, 2_000);
    while transfer.step().await.unwrap() {}
    assert_eq!(transfer.progress().events, 5_006);
    assert!(transfer.finish().await.unwrap().is_same());
    assert!(Sqlite::open(&target, [], []).unwrap().take_ownership().await.is_ok());
}

#[tokio::test]
async fn a_transfer_that_would_mix_things_up_is_refused() {
    let stage = Stage::open();
    stage.fill_many(1, 2_500, 3);
    let target = stage.folder.path().join("t.db");
    let mut transfer = open(&stage.file(), &target).await;
    transfer.step().await.unwrap();
    assert!(refusal(&stage.file(), &target).await.contains("a bridge runs on"), "the origin is locked while it is read");
    drop(transfer);
    let other = Stage::open();
    let named_otherwise = Transfer::begin(Origin::sqlite(&other.file()).unwrap(), Store::sqlite(&target, [], []).unwrap(), "sqlite:other");
    assert!(named_otherwise.await.unwrap_err().to_string().contains("in the middle of a transfer from sqlite:origin"));
    stage.receive(200, None).await;
    assert!(refusal(&stage.file(), &target).await.contains("was changed"));
    other.receive(1, None).await;
    assert!(refusal(&stage.file(), &other.file()).await.contains("not empty"));
    let _ownership = other.store.take_ownership().await.unwrap();
    assert!(refusal(&other.file(), &target).await.contains("stop it first"));
    assert!(refusal(&stage.folder.path().join("none.db"), &target).await.contains("there is no store"));
}

#[tokio::test]
async fn names_that_a_first_start_registered_are_no_content() {
    let (stage, target) = (Stage::open(), Stage::open());
    stage.fill().await;
    target.store.register_for_test("sooner");
    let mut transfer = open(&stage.file(), &target.file()).await;
    while transfer.step().await.unwrap() {}
    assert!(transfer.finish().await.unwrap().is_same());
}

impl Sqlite {
    fn register_for_test(&self, name: &str) {
        drop(Self::open(&self.readers.path, &names(&[name]), &names(&[name])).unwrap());
    }
}

#[tokio::test]
async fn a_piece_ends_before_it_is_large() {
    let stage = Stage::open();
    stage.fill_many(1, 4, 3);
    stage.raw().execute_batch("UPDATE event SET body = printf('%.*c', 5000000, 'x')").unwrap();
    let dump = Dump::open(&stage.file()).unwrap();
    let piece = dump.piece(Mark::START).await.unwrap();
    assert_eq!((piece.to, piece.count_events()), (Mark { stage: Of::Events, after: 2 }, 2));
    assert_eq!(piece.rows[1].rows.len(), 2, "the deliveries come with their events");
    assert_eq!(piece.rows[0].last("seq"), Some(2));
    assert_eq!(piece.rows[0].rows[0][0], Value::Int(1));
}

async fn drill(file: &Path) -> Vec<String> {
    Store::verify(file).await.unwrap().findings
}

#[tokio::test]
async fn a_backup_holds_everything_and_overwrites_nothing() {
    let stage = Stage::open();
    stage.fill().await;
    let file = stage.folder.path().join("copy of 100%?.db");
    stage.store.backup(&file, |_, _| {}).await.unwrap();
    let verification = Store::verify(&file).await.unwrap();
    assert!(verification.is_good(), "{:?}", verification.findings);
    assert_eq!((verification.events, verification.quarantine_bodies), (6, 3));
    assert_eq!(all_rows(&stage.file()), all_rows(&file));
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777, 0o600);
    let error = stage.store.backup(&file, |_, _| {}).await.unwrap_err().to_string();
    assert!(error.contains("overwrites nothing"), "{error}");
    let beside: Vec<_> = std::fs::read_dir(stage.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        beside.iter().all(|name| !name.to_string_lossy().starts_with("copy of 100%?.db.") && !name.to_string_lossy().ends_with("part"))
    );
    let missing = stage.folder.path().join("none/copy.db");
    assert!(stage.store.backup(&missing, |_, _| {}).await.is_err());
}

#[tokio::test]
async fn a_leftover_of_a_backup_that_was_cut_short_is_in_nobodys_way() {
    let stage = Stage::open();
    stage.fill().await;
    let file = stage.folder.path().join("b.db");
    std::fs::write(stage.folder.path().join("b.db.part"), "half of something").unwrap();
    stage.store.backup(&file, |_, _| {}).await.unwrap();
    assert_eq!(drill(&file).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_drill_finds_what_is_wrong_with_a_copy() {
    let stage = Stage::open();
    stage.fill().await;
    stage.fill_many(100, 500, 3);
    let good = stage.folder.path().join("good.db");
    stage.store.backup(&good, |_, _| {}).await.unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let file = stage.folder.path().join("bad.db");
    let told = async |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        let findings = drill(&file).await;
        assert!(!findings.is_empty(), "nothing was found in {} bytes", content.len());
        findings.join("\n")
    };
    assert!(told(b"").await.contains("is empty"));
    assert!(told(b"hello").await.contains("no SQLite file"));
    told(&bytes[..100]).await;
    told(&bytes[..bytes.len() / 2]).await;
    told(&bytes[..bytes.len() - 4_096]).await;
    for (at, length) in [(100, 60), (bytes.len() / 4, 2_000), (bytes.len() / 2, 2_000)] {
        let mut damaged = bytes.clone();
        damaged[at..at + length].fill(0xA5);
        told(&damaged).await;
    }
    assert!(drill(&stage.folder.path().join("none.db")).await[0].contains("cannot be read"));
    assert!(drill(stage.folder.path()).await[0].contains("no file"));
    assert!(drill(&stage.file()).await[0].contains("a store in use"));
}

#[tokio::test]
async fn the_drill_finds_what_was_tampered_with() {
    let stage = Stage::open();
    stage.fill().await;
    let file = stage.folder.path().join("b.db");
    for (tampering, finding) in [
        ("PRAGMA user_version = 99", "schema 99"),
        ("PRAGMA application_id = 7", "another program"),
        ("DELETE FROM event WHERE seq = 1", "does not hold"),
        ("UPDATE event SET body = '{}' WHERE seq = 2", "event 2 cannot be read"),
        ("DROP INDEX delivery_line", "lacks delivery_line"),
        ("CREATE TABLE theirs (x)", "theirs does not belong"),
        ("INSERT INTO transfer VALUES (1, 'sqlite:x', '', 0, 0, NULL)", "only a part"),
    ] {
        stage.store.backup(&file, |_, _| {}).await.unwrap();
        let raw = rusqlite::Connection::open(&file).unwrap();
        raw.execute_batch(&format!("PRAGMA foreign_keys = OFF; {tampering}")).unwrap();
        drop(raw);
        let findings = drill(&file).await.join("\n");
        assert!(findings.contains(finding), "{tampering}: {findings}");
        std::fs::remove_file(&file).unwrap();
    }
}

/// A file as the first schema made it, with an event in it.
fn old_file(path: &Path) {
    let old = rusqlite::Connection::open(path).unwrap();
    old.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    old.execute_batch(include_str!("migrations/0001_start.sql")).unwrap();
    let body = event(1, None, &[]).body;
    old.execute_batch(&format!(
        "PRAGMA application_id = 0x4C454144; PRAGMA user_version = 1; INSERT INTO source (name, received) VALUES ('acme', 1);
         INSERT INTO event VALUES (1, x'00', 1, x'00', 'test', 5, NULL, NULL, NULL, 0, 0, '{body}');"
    ))
    .unwrap();
}

#[tokio::test]
async fn an_older_file_is_drilled_as_it_would_be_restored_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.db");
    old_file(&file);
    let before = std::fs::read(&file).unwrap();
    let verification = Store::verify(&file).await.unwrap();
    assert!(verification.is_good(), "{:?}", verification.findings);
    assert_eq!((verification.schema, verification.events), (Some(1), 1));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_of_the_first_schema_learns_to_shrink() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("l.db");
    old_file(&file);
    let stage = Stage::reopen(folder);
    let mode: i64 = stage.raw().query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, schema::INCREMENTAL);
    stage.assert_audit().await;
}

#[tokio::test]
async fn the_file_shrinks_and_only_what_ended_goes() {
    let stage = Stage::open();
    stage.fill_many(1, 10_000, 3);
    stage.fill_many(10_001, 50, 5);
    stage.fill_many(10_051, 50, 0);
    let store = stage.as_store();
    store.tidy(Retention::default(), Timestamp::now()).await.unwrap();
    let before = stage.store.status().await.unwrap();
    let removed = store.tidy(Retention { age: Some(Duration::from_secs(60)), max_bytes: None }, Timestamp::now()).await.unwrap();
    assert_eq!(removed, 10_000);
    let after = stage.store.status().await.unwrap();
    assert!(before.file_bytes + before.wal_bytes.unwrap() > 10 << 20, "{before:?}");
    assert!(after.file_bytes < 1 << 20 && after.wal_bytes == Some(0), "{after:?}");
    assert_eq!((after.events, after.oldest_pending.unwrap().received_at.as_second()), (100, 10_051));
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_does_not_fit_goes_oldest_first_and_what_may_not_go_is_told() {
    let stage = Stage::open();
    stage.fill_many(1, 2_000, 3);
    stage.fill_many(2_001, 2_000, 0);
    let store = stage.as_store();
    let tidy = async |max_bytes| store.tidy(Retention { age: None, max_bytes: Some(max_bytes) }, Timestamp::now()).await;
    assert_eq!(tidy(1 << 40).await.unwrap(), 0);
    let used = stage.store.used_bytes().await.unwrap();
    let removed = tidy(used - 500_000).await.unwrap();
    assert!((300..=1_000).contains(&removed), "{removed}");
    let oldest: i64 = stage.raw().query_row("SELECT min(seq) FROM event", [], |row| row.get(0)).unwrap();
    assert_eq!(oldest, i64::try_from(removed).unwrap() + 1);
    let error = tidy(1 << 20).await.unwrap_err().to_string();
    assert!(error.contains("never removed for its size"), "{error}");
    assert_eq!(stage.store.status().await.unwrap().events, 2_000, "all that was pending is still there");
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_its_sender_may_repeat_stays_whatever_the_size() {
    let stage = Stage::open();
    stage.fill_many(1, 10, 3);
    let tidy = Retention { age: None, max_bytes: Some(1) };
    let just_then = Timestamp::from_second(10 + 599).unwrap();
    assert!(stage.as_store().tidy(tidy, just_then).await.is_err());
    assert_eq!(stage.store.status().await.unwrap().events, 2);
}

#[tokio::test]
async fn what_ends_after_retention_passed_it_is_found_all_the_same() {
    let stage = Stage::open();
    stage.receive(1, None).await;
    stage.receive(2, None).await;
    let claimed = stage.claim(2).await.deliveries;
    stage.end(&claimed[1], State::Delivered).await;
    let later = now() + SignedDuration::from_hours(1);
    assert_eq!(stage.store.remove_ended(later).await.unwrap(), 1);
    assert_eq!(stage.store.remove_ended(later).await.unwrap(), 0);
    stage.end(&claimed[0], State::Delivered).await;
    assert_eq!(stage.store.remove_ended(later).await.unwrap(), 1);
    stage.fill_many(50, 3, 3);
    assert_eq!(stage.store.remove_ended(Timestamp::from_second(52).unwrap()).await.unwrap(), 2);
    assert_eq!(stage.store.remove_ended(later).await.unwrap(), 1);
    stage.assert_audit().await;
}

#[test]
fn retention_uses_its_indexes() {
    let stage = Stage::open();
    let (raw, mut told) = (stage.raw(), Vec::new());
    for sql in [
        super::retention::FIND_AHEAD,
        super::retention::FIND_BEHIND,
        super::retention::FIND_ERASED,
        "DELETE FROM attempt WHERE event = ?1",
        "DELETE FROM step WHERE event = ?1",
        "DELETE FROM delivery WHERE event = ?1",
    ] {
        let mut plan = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let width = plan.parameter_count();
        let lines = plan.query_map(rusqlite::params_from_iter(vec![0; width]), |row| row.get::<_, String>(3)).unwrap();
        told.extend(lines.map(Result::unwrap));
    }
    let told = told.join("\n");
    // Tombstones are few, and sorted.
    assert!(!told.contains("SCAN") && told.matches("TEMP B-TREE").count() == 1, "{told}");
    assert!(told.contains("event_received"), "{told}");
}

/// A file of another program, and what it is byte by byte.
fn foreign_file(path: &Path) -> Vec<u8> {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(raw);
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn a_file_of_another_program_stays_as_it_is_and_the_advice_fits() {
    let stage = Stage::open();
    let theirs = stage.folder.path().join("theirs.db");
    let before = foreign_file(&theirs);
    let told = [
        refusal(&theirs, &stage.folder.path().join("new.db")).await,
        refusal(&stage.file(), &theirs).await,
        drill(&theirs).await.remove(0),
    ];
    for told in told {
        assert!(told.contains("a database of another program") && !told.contains("[store] url"), "{told}");
    }
    assert_eq!(std::fs::read(&theirs).unwrap(), before);
    assert!(refusal(&theirs, &stage.file()).await.starts_with(&theirs.display().to_string()));
}

#[tokio::test]
async fn a_damaged_file_is_not_moved() {
    let stage = Stage::open();
    stage.fill_many(1, 500, 3);
    let copy = stage.folder.path().join("copy.db");
    stage.store.backup(&copy, |_, _| {}).await.unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_096].fill(0xA5);
    std::fs::write(&copy, bytes).unwrap();
    let target = stage.folder.path().join("t.db");
    let told = refusal(&copy, &target).await;
    assert!(told.contains("copy.db is not moved, because it is damaged") && told.contains("store verify"), "{told}");
    let events: i64 = rusqlite::Connection::open(&target).unwrap().query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
    assert_eq!(events, 0);
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_the_store_is_not_blamed() {
    let stage = Stage::open();
    let file = stage.folder.path().join("none/copy.db");
    let told = stage.store.backup(&file, |_, _| {}).await.unwrap_err().to_string();
    assert!(told.starts_with("the backup ") && told.contains("none/copy.db") && told.ends_with("make its folder first"), "{told}");
    let told = drill(&file).await.remove(0);
    assert!(told.starts_with("it cannot be read: No such file"), "{told}");
    let told = refusal(&stage.file(), Path::new("/proc/none/t.db")).await;
    assert!(told.starts_with("/proc/none cannot be used"), "{told}");
}

#[tokio::test]
async fn pending_deliveries_are_told_apart() {
    let stage = Stage::open();
    for (n, person) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None), (5, None)] {
        stage.receive(n, person).await;
    }
    stage.claim(2).await;
    let pending = async || {
        let destinations = stage.store.status().await.unwrap().destinations;
        let crm = destinations.iter().find(|destination| destination.ledger.name == "crm").unwrap().clone();
        let Pending { waiting, leased, blocked, held } = crm.pending;
        assert_eq!(crm.ledger.counts.pending, waiting + leased + blocked + held);
        [waiting, leased, blocked, held]
    };
    assert_eq!(pending().await, [2, 2, 1, 0]);
    stage.store.hold(stage.crm, "moving".to_owned(), None, now()).await.unwrap();
    assert_eq!(pending().await, [0, 2, 1, 2]);
}

/// Reading what nobody can write, as the program finds it there.
fn read_only(path: &Path) -> Store {
    Store::on(Engine::Sqlite(Sqlite::open_read_only(path, &names(&["acme", "new"]), &names(&["crm", "new"])).unwrap()))
}

#[tokio::test]
async fn a_file_is_read_as_it_is_and_nothing_comes_beside_it() {
    let stage = Stage::open();
    stage.fill().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy #1.db");
    stage.store.backup(&copy, |_, _| {}).await.unwrap();
    let before = std::fs::read(&copy).unwrap();
    let store = read_only(&copy);
    assert!(store.audit().await.unwrap().holds());
    assert_eq!((store.status().await.unwrap().events, store.destination_id("new")), (6, None));
    assert!(store.probe().await.is_err());
    drop(store);
    assert_eq!((std::fs::read(&copy).unwrap(), std::fs::read_dir(folder.path()).unwrap().count()), (before, 1));
}

#[tokio::test]
async fn what_is_still_in_the_log_is_read_too() {
    let stage = Stage::open();
    stage.fill().await;
    assert_eq!(read_only(&stage.file()).status().await.unwrap().events, 6, "a bridge's log is beside it");
}

#[test]
fn an_old_file_that_cannot_be_written_is_refused_with_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.db");
    old_file(&file);
    let told = Sqlite::open_read_only(&file, [], []).unwrap_err().to_string();
    assert!(told.contains("has schema 1, this program needs") && told.contains("cannot be written here"), "{told}");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_without_writing_is_told() {
    let stage = Stage::open();
    stage.fill().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("l.db");
    std::fs::copy(stage.file(), &copy).unwrap();
    let log = super::open::beside(&copy, "-wal");
    std::fs::copy(super::open::beside(&stage.file(), "-wal"), &log).unwrap();
    // SQLite follows no link there, so that it is in the way as a disk that cannot be written would be.
    std::os::unix::fs::symlink("nowhere", super::open::beside(&copy, "-shm")).unwrap();
    let told = Sqlite::open_read_only(&copy, [], []).unwrap_err().to_string();
    assert!(told.contains(&format!("still in its log, {}", log.display())) && told.contains("copy the two together"), "{told}");
}

//! Stories about the spool on real files.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::entry::{Content, Entry};
use super::*;
use crate::store::{QuarantineClass, Refused};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

fn entry(n: u8) -> Entry {
    let refused = Refused {
        source: "acme".to_owned(),
        at: Timestamp::from_second(i64::from(n)).unwrap(),
        client: "203.0.113.7".to_owned(),
        header: None,
        body: vec![n; 100].into(),
        code: "awaiting_key".to_owned(),
        reason: "the source awaits its key".to_owned(),
        class: QuarantineClass::Promised,
    };
    Entry::of_promised(&refused)
}

fn seconds(readings: &[Reading]) -> Vec<i64> {
    readings.iter().filter_map(|reading| reading.entry.as_ref().ok()).map(|entry| entry.at.as_second()).collect()
}

async fn filled(folder: &TempDir, count: u8) -> Spool {
    let spool = Spool::open(&folder.path().join("spool"), 1 << 20).unwrap();
    for n in 0..count {
        spool.append(&entry(n)).await.unwrap();
    }
    spool
}

fn only_segment(folder: &TempDir) -> PathBuf {
    segments(&folder.path().join("spool")).unwrap().pop().unwrap()
}

#[tokio::test]
async fn records_survive_a_restart_in_order_and_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder, 3).await);
    assert_eq!(std::fs::metadata(only_segment(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(folder.path().join("spool")).unwrap().permissions().mode() & 0o777, 0o700);
    let spool = filled(&folder, 0).await;
    spool.append(&entry(9)).await.unwrap();
    assert_eq!((spool.pending(), spool.status().oldest.unwrap().as_second()), (4, 0));
    assert_eq!(seconds(&spool.read_oldest().await.unwrap().unwrap()), [0, 1, 2]);
    spool.remove_oldest().unwrap();
    let rest = spool.read_oldest().await.unwrap().unwrap();
    assert_eq!(seconds(&rest), [9]);
    assert!(matches!(&rest[0].entry.as_ref().unwrap().content, Content::Promised(_)));
    spool.remove_oldest().unwrap();
    assert_eq!((spool.pending(), spool.status().bytes), (0, 0));
    assert!(segments(&folder.path().join("spool")).unwrap().is_empty());
}

#[tokio::test]
async fn a_second_bridge_may_not_use_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _spool = filled(&folder, 0).await;
    assert!(matches!(Spool::open(&folder.path().join("spool"), 1), Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_full_spool_refuses_and_counts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&folder.path().join("spool"), 1_000).unwrap();
    let mut kept = 0;
    while spool.append(&entry(1)).await.is_ok() {
        kept += 1;
    }
    assert!(kept > 0 && spool.pending() == kept);
    assert!(!spool.status().takes_more);
    assert!(spool.status().bytes <= 1_000);
}

#[tokio::test]
async fn a_torn_end_is_left_out_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder, 3).await);
    let path = only_segment(&folder);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let report = inspect(&folder.path().join("spool")).unwrap();
    assert_eq!((report.records, report.unreadable.len()), (2, 0));

    let mut damaged = whole.clone();
    damaged[60] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let report = inspect(&folder.path().join("spool")).unwrap();
    assert_eq!((report.records, report.unreadable.len()), (2, 1));
    assert!(report.findings().iter().any(|finding| !finding.differing.is_empty()));

    let spool = filled(&folder, 0).await;
    let readings = spool.read_oldest().await.unwrap().unwrap();
    assert_eq!(seconds(&readings), [1, 2]);
    let broken = spool.set_aside(readings[0].end, &readings[0].bytes, Aside::Broken).unwrap();
    assert_eq!(std::fs::read(broken).unwrap(), damaged[..readings[0].end]);
    assert_eq!(spool.status().set_aside, 1);
}

#[tokio::test]
async fn a_segment_that_was_brought_over_in_part_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let spool = filled(&folder, 3).await;
    let readings = spool.read_oldest().await.unwrap().unwrap();
    spool.note_done(readings[0].end);
    assert_eq!(seconds(&spool.read_oldest().await.unwrap().unwrap()), [1, 2]);
}

#[test]
fn a_folder_that_is_not_there_holds_nothing() {
    assert_eq!(inspect(Path::new("/no/such/folder")).unwrap(), SpoolReport::default());
}

#[tokio::test]
async fn files_that_are_none_of_the_spool_are_counted_and_told_until_they_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let spool = filled(&folder, 1).await;
    assert_eq!(spool.status().set_aside, 0);
    let inside = folder.path().join("spool");
    for name in ["garbage.log", "notes.txt", "spool-x.tar"] {
        std::fs::write(inside.join(name), "something else").unwrap();
    }
    std::fs::create_dir(inside.join("lost+found")).unwrap();
    std::fs::write(inside.join(".hidden"), "").unwrap();
    spool.count_aside();
    assert_eq!(spool.status().set_aside, 3);
    let report = inspect(&inside).unwrap();
    assert_eq!((report.records, report.unreadable.len()), (1, 3));
    assert!(report.unreadable[0].starts_with("garbage.log: no file of a spool"), "{report:?}");
    drop(spool);
    let spool = filled(&folder, 0).await;
    assert_eq!((spool.pending(), spool.status().set_aside), (1, 3));
    for name in ["garbage.log", "notes.txt", "spool-x.tar"] {
        std::fs::remove_file(inside.join(name)).unwrap();
    }
    spool.count_aside();
    assert_eq!(spool.status().set_aside, 0);
}

#[tokio::test]
async fn a_segment_of_nothing_but_garbage_is_pending_until_it_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder, 0).await);
    for (name, content) in [("spool-1.log", "garbage"), ("spool-2.log", "")] {
        std::fs::write(folder.path().join("spool").join(name), content).unwrap();
    }
    let spool = filled(&folder, 0).await;
    assert_eq!(spool.pending(), 2);
    let readings = spool.read_oldest().await.unwrap().unwrap();
    assert!(readings.len() == 1 && readings[0].entry.is_err());
    spool.remove_oldest().unwrap();
    assert!(spool.read_oldest().await.unwrap().unwrap().is_empty());
    spool.remove_oldest().unwrap();
    assert_eq!((spool.pending(), segments(&folder.path().join("spool")).unwrap().len()), (0, 0));
}

#[test]
fn a_spool_that_is_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spool");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Spool::open(&path, 1).unwrap_err();
        assert!(matches!(error, Error::Refused(_)) && error.to_string().contains("must be the path of a folder"), "{error}");
    }
}

/// An event whose own JSON is full of quotes.
fn quoted() -> (crate::store::NewEvent, HashMap<crate::store::DestinationId, String>) {
    let event: leadwire_connector::Event = serde_json::from_value(serde_json::json!({
        "id": uuid::Uuid::now_v7(), "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": null, "last_name": null, "email": null, "phone": null}, "content": "\"".repeat(45_000),
        "session_id": null, "page_url": null, "created_at": null, "received_at": "2026-11-22T09:00:00Z", "extra": {}, "raw": {}
    }))
    .unwrap();
    let body = serde_json::to_string(&event).unwrap();
    let new = crate::store::NewEvent {
        event: Arc::new(event),
        content_key: [7; 24],
        person_key: None,
        destinations: vec![],
        body,
        receipt: None,
    };
    (new, HashMap::new())
}

#[test]
fn an_event_takes_in_the_spool_what_it_takes_in_the_store_and_what_earlier_versions_wrote_is_read() {
    let (new, names) = quoted();
    let written = Entry::of_events(std::slice::from_ref(&new), &names).unwrap().to_json().unwrap();
    assert!(written.len() < new.body.len() + 500, "{} bytes for {}", written.len(), new.body.len());
    let mut before: serde_json::Value = serde_json::from_slice(&written).unwrap();
    before["content"]["events"][0]["body"] = new.body.clone().into();
    for record in [written, serde_json::to_vec(&before).unwrap()] {
        let Content::Events(mut events) = Entry::from_json(&record).unwrap().content else { panic!("no events") };
        assert_eq!(events.remove(0).into_new(vec![]).unwrap().body, new.body);
    }
}

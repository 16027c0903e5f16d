//! Stories about the spool on real files.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::entry::{Content, Entry};
use super::*;
use crate::store::{QuarantineClass, Refused};
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

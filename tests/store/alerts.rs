//! Stories about what alerts keep and ask.

use crate::stage::Stage;
use leadwire::store::{AlertPage, State};

fn page(name: &str, page: &str, version: i64) -> AlertPage {
    AlertPage { name: name.to_owned(), page: page.to_owned(), version }
}

async fn a_page_is_written_over_the_version_that_was_read_only(stage: Stage) {
    let save = async |page| stage.store.save_alert_page(page).await.unwrap();
    assert!(!save(page("b", "nothing to write over", 1)).await);
    assert!(save(page("b", "first", 0)).await && save(page("B", "another", 0)).await);
    assert!(!save(page("b", "again as the first", 0)).await);
    assert!(save(page("b", "second", 1)).await && !save(page("b", "late", 1)).await);
    assert_eq!(stage.store.alert_pages().await.unwrap(), [page("B", "another", 1), page("b", "second", 2)]);
    assert!(!stage.store.remove_alert_page("b".to_owned(), 1).await.unwrap());
    assert!(stage.store.remove_alert_page("b".to_owned(), 2).await.unwrap());
    assert_eq!(stage.store.alert_pages().await.unwrap().len(), 1);
}

async fn of_many_bridges_that_write_at_once_one_wins(stage: Stage) {
    for version in 0..5 {
        let tries = (0..8).map(|number| {
            let store = stage.store.clone();
            tokio::spawn(async move { store.save_alert_page(page("a", &format!("{number}"), version)).await.unwrap() })
        });
        let mut won = 0;
        for one in tries.collect::<Vec<_>>() {
            won += usize::from(one.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

async fn the_oldest_that_is_pending_is_told_for_each_destination(stage: Stage) {
    assert_eq!(stage.store.oldest_pending_each().await.unwrap(), []);
    stage.receive(1, Some(1)).await;
    stage.receive(2, Some(1)).await;
    let names = async || -> Vec<String> { stage.store.oldest_pending_each().await.unwrap().into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names().await, ["crm"]);
    let first = stage.store.oldest_pending_each().await.unwrap()[0].1;
    let leased = stage.claim_one().await;
    assert_eq!(stage.store.oldest_pending_each().await.unwrap()[0].1, first, "also while it is attempted");
    stage.end(&leased, State::Delivered).await;
    assert!(stage.store.oldest_pending_each().await.unwrap()[0].1 >= first);
    let leased = stage.claim_one().await;
    stage.end(&leased, State::Delivered).await;
    assert!(names().await.is_empty());
}

on_every_engine!(
    a_page_is_written_over_the_version_that_was_read_only,
    of_many_bridges_that_write_at_once_one_wins,
    the_oldest_that_is_pending_is_told_for_each_destination,
);

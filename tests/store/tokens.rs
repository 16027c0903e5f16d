//! Stories about the values that connectors keep.

use crate::stage::Stage;

async fn a_value_is_written_over_the_version_that_was_read_only(stage: Stage) {
    let load = async |name: &str| stage.store.load_token(stage.crm, name.to_owned()).await.unwrap();
    let save = async |value: &str, version| stage.store.save_token(stage.crm, "oauth".to_owned(), value.to_owned(), version).await.unwrap();
    assert_eq!(load("oauth").await, None);
    assert!(!save("nothing to write over", 1).await);
    assert!(save("first", 0).await);
    assert!(!save("again as the first", 0).await);
    assert!(save("second", 1).await);
    assert!(!save("late", 1).await);
    assert_eq!(load("oauth").await, Some(("second".to_owned(), 2)));
    assert_eq!(load("other").await, None);
    assert_eq!(stage.store.load_token(stage.drop, "oauth".to_owned()).await.unwrap(), None, "each destination has its own");
}

async fn of_many_that_write_at_once_one_wins(stage: Stage) {
    for version in 0..5 {
        let tries = (0..8).map(|number| {
            let store = stage.store.clone();
            let crm = stage.crm;
            tokio::spawn(async move { store.save_token(crm, "oauth".to_owned(), number.to_string(), version).await.unwrap() })
        });
        let mut won = 0;
        for one in tries.collect::<Vec<_>>() {
            won += usize::from(one.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

on_every_engine!(a_value_is_written_over_the_version_that_was_read_only, of_many_that_write_at_once_one_wins);

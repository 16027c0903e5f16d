//! Stories about logins of the console that were ended.

use crate::stage::{Stage, after, now};

async fn a_logout_is_remembered_until_the_login_would_have_ended(stage: Stage) {
    let is_out = async |stage: &Stage, session: &str| stage.store.is_logged_out(session.to_owned()).await.unwrap();
    assert!(!is_out(&stage, "one").await);
    for _ in 0..2 {
        stage.store.note_logout("one".to_owned(), after(60), now()).await.unwrap();
    }
    let stage = stage.restart().await;
    assert!(is_out(&stage, "one").await && !is_out(&stage, "two").await);
    stage.store.note_logout("two".to_owned(), after(120), after(60)).await.unwrap();
    assert!(!is_out(&stage, "one").await, "its cookie is over by itself");
    assert!(is_out(&stage, "two").await);
}

on_every_engine!(a_logout_is_remembered_until_the_login_would_have_ended);

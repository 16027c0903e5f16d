//! Stories about bodies that could not be verified.

use crate::stage::{Stage, after, event, now, with};
use leadwire::store::{QuarantineClass, QuarantineLimits, Quarantined, Received, Refused};

const ROOMY: QuarantineLimits = QuarantineLimits { max_bytes: 1 << 20 };

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

async fn the_quarantine_is_bounded_and_no_class_pushes_out_another(stage: Stage) {
    use QuarantineClass::{Hopeless, Promised, Refused};
    // A row takes 512 bytes beside its body: there is room for two or three.
    let limits = QuarantineLimits { max_bytes: 2_000 };
    let keep = async |size: usize, letter: &str, class| stage.store.quarantine(refused(&letter.repeat(size), class), limits).await.unwrap();
    let kept = |pushed_out| Quarantined::Kept { pushed_out };
    assert_eq!(keep(10, "a", Refused).await, kept(0));
    assert_eq!(keep(10, "a", Refused).await, kept(0), "a repetition is counted");
    assert_eq!(keep(900, "b", Promised).await, kept(0));
    assert_eq!(keep(700, "c", Refused).await, kept(0));
    assert_eq!(keep(11, "d", Refused).await, kept(1), "the largest makes room, so that a lead outlives a flood");
    assert_eq!(keep(2_000, "e", Refused).await, Quarantined::Full);
    assert_eq!(keep(900, "f", Promised).await, Quarantined::Full, "what was promised is never pushed out");
    assert_eq!(keep(10, "g", Hopeless).await, Quarantined::Full, "what can never verify gets a sixteenth");
    let mut sizes: Vec<i64> = stage.store.quarantined(None, 10).await.unwrap().iter().map(|row| row.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [522, 523, 1_412]);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 3);
    assert_eq!(stage.store.purge_quarantine(None, None, false).await.unwrap(), 2);
    assert_eq!(stage.store.purge_quarantine(None, None, true).await.unwrap(), 1);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 0);
}

async fn a_long_header_is_cut_and_counts_too(stage: Stage) {
    // The cut falls into the middle of a letter.
    let header = Some(format!("x{}", "ä".repeat(50_000)));
    stage.store.quarantine(Refused { header, ..refused("", QuarantineClass::Refused) }, ROOMY).await.unwrap();
    let row = stage.store.quarantined(None, 1).await.unwrap().remove(0);
    assert_eq!((row.header.map(|header| header.len()), row.size), (Some(2_047), 2_559));
    let limits = QuarantineLimits { max_bytes: 32_000 };
    for n in 0..20 {
        let header = Some(format!("{n}{}", "x".repeat(100_000)));
        stage.store.quarantine(Refused { header, ..refused("", QuarantineClass::Hopeless) }, limits).await.unwrap();
    }
    assert!(stage.store.count_quarantined().await.unwrap() <= 2);
}

async fn many_at_once_keep_to_the_bound(stage: Stage) {
    let (other, _ownership) = stage.another().await;
    let limits = QuarantineLimits { max_bytes: 6_000 };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60_usize {
        let store = if n % 2 == 0 { stage.store.clone() } else { other.clone() };
        let body = refused(&"x".repeat(100 + n % 30), QuarantineClass::Refused);
        tasks.spawn(async move { store.quarantine(body, limits).await.unwrap() });
    }
    tasks.join_all().await;
    let rows = stage.store.quarantined(None, 100).await.unwrap();
    assert!(rows.iter().map(|row| row.size).sum::<i64>() <= 6_000);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), i64::try_from(rows.len()).unwrap());
}

async fn bytes_that_are_no_text_come_back_as_they_were(stage: Stage) {
    let body: Vec<u8> = (0..=255).rev().chain([0xff, 0xfe, 0xed, 0xa0, 0x80]).collect();
    let header = Some("t=1,\0v1=%_\\".to_owned());
    let strange = Refused { header, body: body.clone().into(), reason: "a\0b".to_owned(), ..refused("", QuarantineClass::Refused) };
    for _ in 0..2 {
        stage.store.quarantine(strange.clone(), ROOMY).await.unwrap();
    }
    let (row, kept) = stage.store.quarantined_bodies("acme".to_owned(), 0, 10).await.unwrap().remove(0);
    assert_eq!((kept, row.times, row.reason.as_str()), (body, 2, "a\u{fffd}b"));
    assert_eq!(row.header.as_deref(), Some("t=1,\u{fffd}v1=%_\\"));
}

async fn a_body_that_verifies_leaves_as_its_events_in_one_step(stage: Stage) {
    for n in 0..3 {
        stage.store.quarantine(refused(&n.to_string(), QuarantineClass::Promised), ROOMY).await.unwrap();
    }
    let rows = stage.store.quarantined_bodies("acme".to_owned(), 0, 2).await.unwrap();
    assert_eq!(rows.iter().map(|(_, body)| body.as_slice()).collect::<Vec<_>>(), [b"0", b"1"]);
    let (first, last) = (rows[0].0.id, rows[1].0.id);
    assert_eq!(stage.store.quarantined_bodies("acme".to_owned(), last, 9).await.unwrap().len(), 1, "piece by piece");
    let news = || vec![event(1, None, &[stage.crm])];
    assert_eq!(stage.store.admit(first, news()).await.unwrap(), [Received::New]);
    assert_eq!(stage.store.admit(first, news()).await.unwrap(), [Received::Duplicate], "another process was faster");
    stage.store.explain_quarantined(first, "late".to_owned(), "it is gone".to_owned()).await.unwrap();
    stage.store.explain_quarantined(last, "other".to_owned(), "why".to_owned()).await.unwrap();
    let rows = stage.store.quarantined(Some("acme".to_owned()), 9).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.code.as_str()).collect::<Vec<_>>(), ["no_key_matched", "other"], "newest first");
    let unknown = with(event(2, None, &[]), |event| event.source = "unregistered".to_owned());
    assert!(stage.store.admit(last, vec![unknown]).await.is_err());
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 2, "what was not admitted stays");
    stage.assert_audit().await;
}

async fn a_purge_takes_what_it_is_asked_to(stage: Stage) {
    for (n, source) in ["acme", "acme", "ac%", "Beta"].into_iter().enumerate() {
        let at = after(i64::try_from(n).unwrap());
        let body = Refused { source: source.to_owned(), at, ..refused(&n.to_string(), QuarantineClass::Refused) };
        stage.store.quarantine(body, ROOMY).await.unwrap();
    }
    let purge = async |source: Option<&str>, before| stage.store.purge_quarantine(source.map(str::to_owned), before, false).await.unwrap();
    assert_eq!(purge(Some("ac%"), Some(after(2))).await, 0, "before, and not at");
    assert_eq!(purge(Some("ac%"), None).await, 1);
    assert_eq!(purge(None, Some(after(1))).await, 1);
    assert_eq!(purge(Some(""), None).await, 0);
    assert_eq!(stage.store.quarantined(Some("Beta".to_owned()), 9).await.unwrap().len(), 1);
    assert_eq!(stage.store.quarantined(Some("beta".to_owned()), 9).await.unwrap().len(), 0);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 2);
}

on_every_engine!(
    the_quarantine_is_bounded_and_no_class_pushes_out_another,
    a_long_header_is_cut_and_counts_too,
    many_at_once_keep_to_the_bound,
    bytes_that_are_no_text_come_back_as_they_were,
    a_body_that_verifies_leaves_as_its_events_in_one_step,
    a_purge_takes_what_it_is_asked_to,
);

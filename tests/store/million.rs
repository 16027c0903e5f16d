//! How long searches take among many events, for people who want to know: a million by default, or `LEADWIRE_EVENTS`.
//!
//! `cargo test --release --test store -- --ignored --nocapture million`

use crate::stage::{Engine, Stage, event, with};
use jiff::SignedDuration;
use leadwire::store::{EventFilter, NewEvent, State};
use std::time::{Duration, Instant};

const BATCH: u64 = 500;

/// Nobody notices less.
const QUICK: Duration = Duration::from_millis(200);

fn events() -> u64 {
    std::env::var("LEADWIRE_EVENTS").map_or(1_000_000, |events| events.parse().unwrap())
}

/// Event `n`: names of many people, words that all have, and words that one has.
fn lead(n: u64, destination: u32) -> NewEvent {
    let destinations: &[u32] = if n.is_multiple_of(1_000) { &[destination] } else { &[] };
    let mut new = with(event(n, None, destinations), |event| {
        let person = &mut event.person;
        person.first_name = Some(format!("First{}", n % 5_000));
        person.last_name = Some(format!("Last{}", n % 50_021));
        person.email = Some(format!("first{}.{n}@mail{}.example.com", n % 5_000, n % 300));
        person.phone = Some(format!("+49{:010}", n * 7_919));
        event.content =
            Some(format!("please send me an offer about item{} in green{}", n % 10_000, if n.is_multiple_of(2) { " soon" } else { "" }));
        event.session_id = Some(format!("s{n}"));
        event.source = crate::stage::SOURCES[usize::from(n % 100_000 == 7)].to_owned();
        event.received_at += SignedDuration::from_secs(i64::try_from(n).unwrap());
    });
    new.content_key[..8].copy_from_slice(&n.to_be_bytes());
    new
}

async fn measure(engine: Engine) {
    let (stage, all, began_at) = (Stage::open(engine).await, events(), Instant::now());
    for start in (1..=all).step_by(usize::try_from(BATCH).unwrap()) {
        let news: Vec<NewEvent> = (start..=all.min(start + BATCH - 1)).map(|n| lead(n, stage.crm)).collect();
        stage.store.receive(news).await.unwrap();
    }
    println!("{engine:?}: {all} events received in {:.1} s", began_at.elapsed().as_secs_f64());
    let (began_at, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let batch_at = Instant::now();
        if !stage.store.index_events(32).await.unwrap() {
            break;
        }
        longest = longest.max(batch_at.elapsed());
    }
    println!("indexed in {:.1} s, the longest batch {:.0} ms", began_at.elapsed().as_secs_f64(), longest.as_secs_f64() * 1e3);
    let text = |text: &str| EventFilter { text: Some(text.to_owned()), ..EventFilter::default() };
    let none = EventFilter::default;
    let since = lead(all - all / 10, 0).event.received_at;
    let until = lead(all / 10, 0).event.received_at;
    let searches = [
        ("newest", none()),
        ("a word of every event", text("please")),
        ("two words of every event", text("please offer")),
        ("the beginning of every word", text("f")),
        ("a name of few", text("last77")),
        ("first and last name", text("first77 last77")),
        ("one e-mail", text("first77.77@mail77.example.com")),
        ("a domain", text("@mail77.example.com")),
        ("last digits of a phone", text("7919")),
        ("a whole phone", text("+49 0000 60976 3")),
        ("a session", text("s4242")),
        ("words that no event has together", text("soon item1 item2")),
        ("common words, none together", text("first1 first2")),
        ("a word that none has", text("nowhere")),
        ("every word and a rare source", EventFilter { source: Some("Beta".to_owned()), ..text("please") }),
        ("a rare source", EventFilter { source: Some("Beta".to_owned()), ..none() }),
        ("a kind that none has", EventFilter { kind: Some("test".to_owned()), ..text("please") }),
        ("every word, since", EventFilter { since: Some(since), ..text("please") }),
        ("every word, of long ago", EventFilter { until: Some(until), ..text("please") }),
        ("of long ago", EventFilter { until: Some(until), ..none() }),
        ("waiting", EventFilter { state: Some(State::Waiting), ..text("please") }),
        ("dead, of which there is none", EventFilter { state: Some(State::Dead), ..text("please") }),
        ("duplicates, of which there is none", EventFilter { duplicates: true, ..none() }),
        ("unrouted with a rare name", EventFilter { unrouted: true, ..text("last77") }),
        ("--email", EventFilter { email: Some("first77.77@mail77.example.com".to_owned()), ..none() }),
        ("--phone", EventFilter { phone: Some("0609763".to_owned()), ..none() }),
        ("--session", EventFilter { session: Some("s4242".to_owned()), ..none() }),
    ];
    let mut slow = Vec::new();
    for (name, filter) in searches {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let began_at = Instant::now();
            found = stage.store.events(EventFilter { limit: 50, ..filter.clone() }).await.unwrap().len();
            times.push(began_at.elapsed());
        }
        let first = times[0];
        times.sort();
        println!(
            "{name:<40} {found:>3} found  first {:>7.1} ms  median {:>7.1} ms",
            first.as_secs_f64() * 1e3,
            times[2].as_secs_f64() * 1e3
        );
        slow.extend((times[2] > QUICK).then_some(name));
    }
    assert!(slow.is_empty(), "too slow: {slow:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_million_on_sqlite() {
    measure(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_million_on_postgres() {
    measure(Engine::Postgres).await;
}

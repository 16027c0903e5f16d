//! How long searches take among many events, for people who want to know: a million by default, or `LEADWIRE_EVENTS`.
//!
//! `cargo test --release --test store -- --ignored --nocapture million`

use crate::stage::{Engine, Stage, event, with};
use jiff::SignedDuration;
use leadwire::store::{EventFilter, NewEvent, State};
use std::time::{Duration, Instant};

const BATCH: u64 = 500;
/// What the console asks for: fifty, and one to see whether there are more.
const PAGE: u32 = 51;
/// Each search is made so often.
const ROUNDS: usize = 11;
/// Pages that are turned, at most.
const WALK: usize = 200;
/// Those who send at once.
const SENDERS: usize = 32;

/// Nobody notices less.
const QUICK: Duration = Duration::from_millis(200);

fn events() -> u64 {
    std::env::var("LEADWIRE_EVENTS").map_or(1_000_000, |events| events.parse().unwrap())
}

/// Event `n`: names of many people, words that all have, and words that one has. One of a thousand goes to the first destination, one
/// nowhere, and the others to the second.
fn lead(n: u64, [rare, usual]: [u32; 2]) -> NewEvent {
    let destinations = [[rare], [usual]];
    let destinations = match n % 1_000 {
        0 => &destinations[0][..],
        1 => &[],
        _ => &destinations[1],
    };
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
        let news: Vec<NewEvent> = (start..=all.min(start + BATCH - 1)).map(|n| lead(n, [stage.crm, stage.drop])).collect();
        stage.store.receive(news).await.unwrap();
    }
    println!("{engine:?}: {all} events received in {:.1} s", began_at.elapsed().as_secs_f64());
    // As if most were delivered, and one of ten had not been taken.
    let states = "state = CASE WHEN event % 10 = 0 THEN 5 ELSE 3 END, ended_at = not_before";
    stage.tamper(&format!("UPDATE delivery SET {states} WHERE destination = {}", stage.drop));
    if stage.is_shared() {
        stage.tamper("VACUUM ANALYZE delivery");
    }
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
    let in_state = |state, filter| EventFilter { state: Some(state), ..filter };
    let to = |destination: &str, filter| EventFilter { destination: Some(destination.to_owned()), ..filter };
    let since = lead(all - all / 10, [0; 2]).event.received_at;
    let until = lead(all / 10, [0; 2]).event.received_at;
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
        ("a name of few and a common source", EventFilter { source: Some("acme".to_owned()), ..text("last77") }),
        ("a rare source and every word", EventFilter { source: Some("Beta".to_owned()), ..text("please") }),
        ("a rare source", EventFilter { source: Some("Beta".to_owned()), ..none() }),
        ("a kind that none has", EventFilter { kind: Some("test".to_owned()), ..text("please") }),
        ("every word, since", EventFilter { since: Some(since), ..text("please") }),
        ("every word, of long ago", EventFilter { until: Some(until), ..text("please") }),
        ("of long ago", EventFilter { until: Some(until), ..none() }),
        ("waiting, one of a thousand", in_state(State::Waiting, text("please"))),
        ("dead, one of ten", in_state(State::Dead, none())),
        ("dead, with a name of few", in_state(State::Dead, text("last77"))),
        ("dead, with a word that none has", in_state(State::Dead, text("nowhere"))),
        ("delivered, with every word", in_state(State::Delivered, text("please"))),
        ("skipped, of which there is none", in_state(State::Skipped, text("please"))),
        ("to a destination of few", to("crm", none())),
        ("to a destination of few, delivered", to("crm", in_state(State::Delivered, none()))),
        ("to a destination of none", to("a-list", none())),
        ("to a destination of none, every word", to("a-list", text("please"))),
        ("to a destination of few, a name of few", to("crm", text("last77"))),
        ("unrouted", EventFilter { unrouted: true, ..none() }),
        ("unrouted, with a name of few", EventFilter { unrouted: true, ..text("last77") }),
        ("duplicates, of which there is none", EventFilter { duplicates: true, ..none() }),
        ("a chatbot that none has", EventFilter { chatbot: Some("nobody".to_owned()), ..none() }),
        ("--email", EventFilter { email: Some("first77.77@mail77.example.com".to_owned()), ..none() }),
        ("--phone", EventFilter { phone: Some("0609763".to_owned()), ..none() }),
        ("--session", EventFilter { session: Some("s4242".to_owned()), ..none() }),
    ];
    let mut slow = Vec::new();
    for (name, filter) in searches {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began_at = Instant::now();
            found = stage.store.events(EventFilter { limit: PAGE, ..filter.clone() }).await.unwrap().len();
            times.push(began_at.elapsed());
        }
        slow.extend(tell(name, &format!("{found} found"), times).then_some(name));
    }
    for (name, filter) in [("walking through a word of every event", text("please")), ("walking through a first name", text("first77"))] {
        let (mut times, mut filter) = (Vec::new(), EventFilter { limit: PAGE, ..filter });
        while times.len() < WALK {
            let began_at = Instant::now();
            let rows = stage.store.events(filter.clone()).await.unwrap();
            times.push(began_at.elapsed());
            let Some(last) = rows.last() else { break };
            filter.before = Some(last.event.id);
        }
        slow.extend(tell(name, &format!("{} pages", times.len()), times).then_some(name));
    }
    assert!(slow.is_empty(), "too slow: {slow:?}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Says how long it took; true when that is too long.
fn tell(name: &str, what: &str, mut times: Vec<Duration>) -> bool {
    let first = times[0];
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name:<40} {what:>9}  first {:>7.1} ms  median {:>7.1} ms  worst {:>7.1} ms", ms(first), ms(median), ms(worst));
    median > QUICK
}

/// Receives as a busy bridge does, by many at once, and says what that takes; perhaps beside the making of the index.
async fn receive_by_many(engine: Engine, all: u64, is_indexed: bool) {
    let stage = Stage::open(engine).await;
    // To compare, such as with and without an index.
    if let Ok(sql) = std::env::var("LEADWIRE_SQL") {
        stage.tamper(&sql);
    }
    let index = is_indexed.then(|| tokio::spawn(stage.store.clone().keep_index()));
    let mut news: Vec<Vec<NewEvent>> = (0..SENDERS).map(|_| Vec::new()).collect();
    for n in 1..=all {
        news[usize::try_from(n).unwrap() % SENDERS].push(lead(n, [stage.crm, stage.drop]));
    }
    let began_at = Instant::now();
    let senders = news.into_iter().map(|news| {
        let store = stage.store.clone();
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(news.len());
            for new in news {
                let began_at = Instant::now();
                store.receive(vec![new]).await.unwrap();
                times.push(began_at.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        times.extend(sender.await.unwrap());
    }
    let took = began_at.elapsed();
    if let Some(index) = index {
        index.abort();
    }
    times.sort();
    let part = |of_thousand: usize| ms(times[(times.len() - 1) * of_thousand / 1_000]);
    println!(
        "{engine:?}, {:<21} {:>6.0} a second, each: median {:.1} ms, 99 of 100 {:.1} ms, 999 of 1,000 {:.1} ms, worst {:.1} ms",
        if is_indexed { "beside the index task" } else { "without the index task" },
        all as f64 / took.as_secs_f64(),
        part(500),
        part(990),
        part(999),
        part(1_000)
    );
}

/// In turns, since a machine is not always as quick.
async fn measure_receiving(engine: Engine) {
    for is_indexed in [false, true, false, true] {
        receive_by_many(engine, events().min(100_000), is_indexed).await;
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn receiving_a_tenth_of_a_million_on_sqlite() {
    measure_receiving(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn receiving_a_tenth_of_a_million_on_postgres() {
    measure_receiving(Engine::Postgres).await;
}

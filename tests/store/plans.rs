//! How PostgreSQL finds what is searched for: it is asked for the plan of every statement while searches of each kind run.

use crate::postgres;
use crate::stage::{Engine, Stage, event, now, with};
use jiff::SignedDuration;
use leadwire::store::{EventFilter, NewEvent, State};

/// So many that reading them all costs more than looking them up.
const EVENTS: u64 = 6_000;
/// After a few runs the server may make one plan for all values.
const ROUNDS: usize = 8;

/// So small a table would be read whole even where an index is at hand, which tells nothing of millions.
const TELL_PLANS: &str = "DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
    EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
    EXECUTE format('ALTER DATABASE %I SET auto_explain.log_analyze = on', current_database());
    EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
END $$";

/// Rows that a step of a plan may read in vain: those of one stretch of the index, however many events there are.
const IN_VAIN: u64 = 512;

fn lead(n: u64, stage: &Stage) -> NewEvent {
    let destinations = if n.is_multiple_of(50) { [stage.crm] } else { [stage.drop] };
    with(event(n, None, if n % 50 == 1 { &[] } else { &destinations }), |event| {
        event.person.first_name = Some(format!("First{}", n % 500));
        event.person.email = Some(format!("first{n}@example.com"));
        event.person.phone = Some(format!("+49{:010}", n * 7_919));
        event.content = Some("please send me an offer, and tell me how long it takes".to_owned());
        event.source = crate::stage::SOURCES[usize::from(n % 1_000 == 7)].to_owned();
        event.received_at += SignedDuration::from_secs(i64::try_from(n).unwrap());
    })
}

fn searches() -> Vec<EventFilter> {
    let some = |value: &str| Some(value.to_owned());
    let none = EventFilter::default;
    let text = |text: &str| EventFilter { text: some(text), ..none() };
    let mut filters = vec![
        none(),
        text("please"),
        text("first77"),
        text("first1 first2"),
        text("nowhere"),
        text("+49 0000 6097 63"),
        text("0199f3c2-0000-7000-8000-000000000063"),
        EventFilter { email: some("first99@example.com"), ..none() },
        EventFilter { phone: some("0609763"), ..none() },
        EventFilter { session: some("4242"), ..none() },
        EventFilter { chatbot: some("nobody"), ..none() },
        EventFilter { source: some("Beta"), ..text("please") },
        EventFilter { kind: some("test"), ..none() },
        EventFilter { since: Some(now()), ..text("please") },
        EventFilter { until: Some(now() - SignedDuration::from_secs(3_500)), ..none() },
        EventFilter { destination: some("crm"), ..none() },
        EventFilter { destination: some("a-list"), ..none() },
        EventFilter { unrouted: true, ..text("first77") },
        EventFilter { duplicates: true, ..none() },
        EventFilter { before: Some(event(3_000, None, &[]).event.id), ..text("please") },
    ];
    filters.extend(State::ALL.map(|state| EventFilter { state: Some(state), ..text("please") }));
    filters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_search_reads_a_whole_table_of_events_or_deliveries() {
    let stage = Stage::open(Engine::Postgres).await;
    for start in (0..EVENTS).step_by(500) {
        stage.store.receive((start..start + 500).map(|n| lead(n, &stage)).collect::<Vec<_>>()).await.unwrap();
    }
    while stage.store.index_events(1).await.unwrap() {}
    stage.tamper("ANALYZE");
    stage.tamper(TELL_PLANS);
    // Connections that are there already tell nothing.
    let (store, ownership) = stage.another().await;
    let mut seen = postgres::shared().log().len();
    for filter in searches() {
        for _ in 0..ROUNDS {
            store.events(EventFilter { limit: 51, ..filter.clone() }).await.unwrap();
        }
        let plans = postgres::shared().log().split_off(seen);
        seen += plans.len();
        assert!(plans.contains("Query Text: "), "the plans are told: {filter:?}");
        let scans = ["Seq Scan on event e", "Seq Scan on delivery d", "Seq Scan on search_page"];
        let found = scans.iter().find(|scan| plans.contains(**scan));
        assert_eq!(found, None, "{filter:?}\n{plans}");
        assert!(most_in_vain(&plans) <= IN_VAIN, "{filter:?}\n{plans}");
    }
    drop((store, ownership));
}

fn most_in_vain(plans: &str) -> u64 {
    let removed = plans.split("Rows Removed by Filter: ").skip(1);
    removed.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).max().unwrap_or(0)
}

//! A story about everything that touches a person's deliveries at the same time, from two handles where the engine allows that.

use crate::stage::{Stage, event, now, settlement};
use leadwire::store::{DeliveryFilter, Ended, Erasing, Outcome, State, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

const PERSONS: u64 = 5;
const RECEIVERS: usize = 12;
const EVENTS_OF_EACH: u64 = 25;

/// What the tasks share.
#[derive(Default)]
struct Course {
    received: AtomicBool,
    next: AtomicU64,
    ids: std::sync::Mutex<Vec<Uuid>>,
}

async fn nobody_waits_behind_nobody_and_nothing_waits_in_a_circle(stage: Stage) {
    let (other, _ownership) = if stage.is_shared() { stage.another().await } else { (stage.store.clone(), None) };
    let handles = [stage.store.clone(), other];
    let course = Arc::new(Course::default());
    play(&stage, &handles, &course, false).await;
    assert_eq!(stage.deadlocks(), 0);
    // A replay or an erasure may meet others in a circle now and then. People do these seldom, and what gave way is done again.
    play(&stage, &handles, &course, true).await;
    let counts: Vec<_> = stage.store.holds().await.unwrap().into_iter().take(2).map(|row| row.counts).collect();
    assert!(counts.iter().all(|counts| counts.delivered > 0 && counts.erased > 0), "{counts:?}");
}

async fn play(stage: &Stage, handles: &[Store; 2], course: &Arc<Course>, with_people: bool) {
    course.received.store(false, Ordering::Release);
    let (mut receivers, mut others) = (JoinSet::new(), JoinSet::new());
    for n in 0..RECEIVERS {
        receivers.spawn(receive(handles[n % 2].clone(), [stage.crm, stage.drop], Arc::clone(course)));
    }
    for (n, handle) in handles.iter().cycle().take(4).enumerate() {
        let destination = if n < 2 { stage.crm } else { stage.drop };
        others.spawn(deliver(handle.clone(), destination, Arc::clone(course)));
    }
    if with_people {
        others.spawn(replay(handles[1].clone(), Arc::clone(course)));
        others.spawn(erase(handles[0].clone(), 0, Arc::clone(course)));
        others.spawn(erase(handles[1].clone(), 1, Arc::clone(course)));
    }
    while let Some(done) = receivers.join_next().await {
        done.unwrap();
    }
    course.received.store(true, Ordering::Release);
    while let Some(done) = others.join_next().await {
        done.unwrap();
    }
    stage.assert_audit().await;
    let counts: Vec<_> = stage.store.holds().await.unwrap().into_iter().map(|row| row.counts).collect();
    assert!(counts.iter().all(|counts| counts.pending == 0), "{counts:?}");
}

async fn receive(store: Store, destinations: [u32; 2], course: Arc<Course>) {
    for _ in 0..EVENTS_OF_EACH {
        let n = course.next.fetch_add(2, Ordering::Relaxed);
        let person = |n: u64| u8::try_from(n % PERSONS).ok();
        let news = vec![event(n, person(n), &destinations), event(n + 1, person(n * 7), &destinations)];
        course.ids.lock().unwrap().extend(news.iter().map(|new| new.event.id));
        store.receive(news).await.unwrap();
    }
}

/// Until everything was received and nothing has been pending for a while.
async fn deliver(store: Store, destination: u32, course: Arc<Course>) {
    loop {
        let claimed = store.claim(destination, 20, now()).await.unwrap().deliveries;
        let settling: JoinSet<()> = claimed
            .into_iter()
            .map(|leased| {
                let (store, ended) = (store.clone(), Ended { state: State::Delivered, record: None, remark: None });
                async move { store.settle(settlement(&leased, Outcome::Ended(ended))).await.unwrap() }
            })
            .collect();
        settling.join_all().await;
        let pending: i64 = store.holds().await.unwrap().iter().map(|row| row.counts.pending).sum();
        if course.received.load(Ordering::Acquire) && pending == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every fifth event, some while they are pending.
async fn erase(store: Store, odd: usize, course: Arc<Course>) {
    let mut done = 0;
    while !course.received.load(Ordering::Acquire) {
        let events: Vec<Uuid> = course.ids.lock().unwrap().iter().skip(done).copied().collect();
        done += events.len();
        let events = events.into_iter().enumerate().filter(|(n, _)| n % 10 == odd * 5).map(|(_, id)| id).collect();
        store.erase(Erasing { events, ..Erasing::default() }, now()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn replay(store: Store, course: Arc<Course>) {
    while !course.received.load(Ordering::Acquire) {
        let filter = DeliveryFilter { states: vec![State::Delivered], limit: 10, ..DeliveryFilter::default() };
        let keys = store.find_ended(filter).await.unwrap();
        let last = keys.len().saturating_sub(6);
        store.replay(keys.into_iter().skip(last).collect(), now()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

on_every_engine!(nobody_waits_behind_nobody_and_nothing_waits_in_a_circle);

//! Stories about what bridges counted.

use crate::stage::Stage;
use jiff::{SignedDuration, Timestamp};
use leadwire::figures::{DestinationTally, SourceTally, Speed, Tally};
use leadwire::store::{Span, Store, Tallies};
use std::collections::BTreeMap;

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// So many received and delivered, the slowest of which took so long.
fn tally(n: u64, slowest_us: u64) -> Tally {
    let mut speed = Speed::default();
    speed.add_bucket(6, n);
    speed.add_slowest(slowest_us);
    Tally {
        sources: BTreeMap::from([("Beta".to_owned(), SourceTally { received: n, duplicates: 0, refused: 1 })]),
        destinations: BTreeMap::from([("crm".to_owned(), DestinationTally { delivered: n, speed, ..DestinationTally::default() })]),
    }
}

async fn read(store: &Store, span: Span, now: Timestamp) -> Tallies {
    store.tallies(span, now).await.unwrap()
}

fn received(tallies: &Tallies) -> Vec<u64> {
    tallies.points.iter().map(|point| point.tally.sources.get("Beta").map_or(0, |part| part.received)).collect()
}

async fn what_was_counted_is_there_by_minute_quarter_and_two_hours_also_after_a_restart(stage: Stage) {
    for (minutes, n) in [(0, 1), (1, 2), (59, 4)] {
        stage.store.add_tally(noon() + SignedDuration::from_mins(minutes), &tally(n, 9_000 + n)).await.unwrap();
    }
    let stage = stage.restart().await;
    let now = noon() + SignedDuration::from_mins(59);
    let hour = received(&read(&stage.store, Span::Hour, now).await);
    assert_eq!((hour.len(), hour[0], hour[1], hour[2], hour[59]), (60, 1, 2, 0, 4));
    let day = received(&read(&stage.store, Span::Day, now).await);
    assert_eq!((day.len(), day[92], day[95]), (96, 3, 4));
    let week = read(&stage.store, Span::Week, now).await;
    assert_eq!((week.step_s, week.points.len(), received(&week)[83]), (7_200, 84, 7));
    let last = &week.points[83];
    assert_eq!(last.at, noon());
    let crm = &last.tally.destinations["crm"];
    assert_eq!((crm.delivered, crm.speed.count(), crm.speed.slowest_us()), (7, 7, 9_004));
    assert_eq!(last.tally.sources["Beta"].refused, 3);
}

async fn what_several_bridges_counted_adds_up(stage: Stage) {
    let (other, _ownership) = stage.another().await;
    let tasks: Vec<_> = [stage.store.clone(), other]
        .into_iter()
        .flat_map(|store| [store.clone(), store])
        .map(|store| {
            tokio::spawn(async move {
                for turn in 0..10 {
                    store.add_tally(noon() + SignedDuration::from_mins(turn % 3), &tally(2, 10_000 + turn.unsigned_abs())).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let hour = read(&stage.store, Span::Hour, noon() + SignedDuration::from_mins(2)).await;
    assert_eq!(received(&hour).iter().sum::<u64>(), 80);
    assert_eq!(
        hour.points.iter().map(|point| point.tally.destinations.get("crm").map_or(0, |part| part.speed.slowest_us())).max(),
        Some(10_009)
    );
    assert_eq!(stage.deadlocks(), 0);
}

async fn each_length_of_a_step_is_removed_when_it_is_old_enough(stage: Stage) {
    stage.store.add_tally(noon(), &tally(1, 5)).await.unwrap();
    let count = async |span, now| received(&read(&stage.store, span, now).await).iter().sum::<u64>();
    let day_after = noon() + SignedDuration::from_hours(23);
    stage.store.add_tally(day_after, &tally(2, 5)).await.unwrap();
    assert_eq!(count(Span::Hour, noon()).await, 0, "minutes are gone after some hours");
    assert_eq!(count(Span::Day, day_after).await, 3);
    let month_after = noon() + SignedDuration::from_hours(36 * 24);
    stage.store.add_tally(month_after, &tally(4, 5)).await.unwrap();
    assert_eq!(count(Span::Day, day_after).await, 0);
    assert_eq!(count(Span::FiveWeeks, month_after).await, 4);
}

async fn what_has_no_number_in_the_store_is_not_counted(stage: Stage) {
    let mut strange = tally(3, 5);
    strange.sources.insert("nobody knows it".to_owned(), SourceTally { received: 1, duplicates: 0, refused: 0 });
    stage.store.add_tally(noon(), &strange).await.unwrap();
    let hour = read(&stage.store, Span::Hour, noon()).await;
    assert_eq!(hour.points[59].tally.sources.keys().collect::<Vec<_>>(), ["Beta"]);
}

on_every_engine!(
    what_was_counted_is_there_by_minute_quarter_and_two_hours_also_after_a_restart,
    what_several_bridges_counted_adds_up,
    each_length_of_a_step_is_removed_when_it_is_old_enough,
    what_has_no_number_in_the_store_is_not_counted,
);

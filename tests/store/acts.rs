//! Stories about what people do, and the trail of it.

use crate::stage::{Stage, after, again, event, now, settlement, with};
use jiff::SignedDuration;
use leadwire::store::{
    Act, ActionFilter, ActionRow, AttemptRow, DeliveryFilter, DeliveryKey, Ended, Entry, Erasing, EventFilter, INTERRUPTED, Leased,
    NewAction, Outcome, Pace, Purge, QuarantineClass, QuarantineLimits, Refused, Routing, State, Store, UNSORTED,
};
use leadwire_connector::{Event, Kind};
use std::time::Duration;

fn noted(action: &'static str) -> NewAction {
    NewAction {
        who: "anna".to_owned(),
        client: Some("203.0.113.9".to_owned()),
        action,
        target: "crm".to_owned(),
        planned: 1,
        ..Default::default()
    }
}

fn line(action: &'static str) -> Entry {
    Entry::New(noted(action))
}

async fn trail(store: &Store) -> Vec<ActionRow> {
    store.actions(ActionFilter { limit: 1_000, ..ActionFilter::default() }).await.unwrap()
}

fn rejected(status: u16, code: &str, message: &str) -> AttemptRow {
    AttemptRow {
        at: now(),
        duration_ms: 3,
        outcome: "reject".to_owned(),
        kind: Some("data".to_owned()),
        status: Some(status),
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        excerpt: None,
    }
}

async fn die(stage: &Stage, leased: &Leased, attempt: AttemptRow) {
    let ended = Ended { state: State::Dead, record: None, remark: attempt.message.clone() };
    let mut settlement = settlement(leased, Outcome::Ended(ended));
    settlement.attempt = Some(attempt);
    stage.store.settle(settlement).await.unwrap();
}

/// Events `1..=count` of different persons, dead at the CRM for the same reason.
async fn dead_letters(stage: &Stage, count: u64) -> Vec<DeliveryKey> {
    for n in 1..=count {
        stage.receive_one(event(n, None, &[stage.crm])).await;
    }
    let mut keys = Vec::new();
    loop {
        let claimed = stage.claim(100).await.deliveries;
        if claimed.is_empty() {
            keys.sort_by_key(|key: &DeliveryKey| key.event);
            return keys;
        }
        for leased in claimed {
            keys.push(leased.key);
            die(stage, &leased, rejected(422, "INVALID", "the field `email` is no address")).await;
        }
    }
}

fn dead(cause: &str) -> DeliveryFilter {
    DeliveryFilter { states: vec![State::Dead], cause: Some(cause.to_owned()), limit: 100, ..DeliveryFilter::default() }
}

async fn dead_letters_are_grouped_by_what_they_died_of(stage: Stage) {
    let keys = dead_letters(&stage, 3).await;
    stage.receive_one(with(event(9, None, &[stage.crm]), |event| event.received_at = now())).await;
    let last = stage.claim_one().await;
    die(&stage, &last, rejected(400, "", "it did not like it")).await;
    let causes = stage.store.dead_causes().await.unwrap();
    let told: Vec<_> = causes.iter().map(|cause| (cause.destination.as_str(), cause.cause.as_str(), cause.count)).collect();
    assert_eq!(told, [("crm", "data/422/INVALID/email", 3), ("crm", "data/400", 1)]);
    assert_eq!(causes[0].message, "the field `email` is no address");
    assert_eq!((causes[0].example, causes[0].oldest), (event(3, None, &[]).event.id, now() - SignedDuration::from_hours(1)));
    assert_eq!((causes[1].oldest, causes[1].newest), (now(), now()));
    let found = stage.store.find_ended(dead("data/422/INVALID/email")).await.unwrap();
    assert_eq!(found, keys);
    assert_eq!(stage.store.deliveries(dead("data/400")).await.unwrap().len(), 1);
    assert_eq!(stage.store.deliveries(dead("data/4%")).await.unwrap().len(), 0);
    // What is alive again has no cause, and what dies again has that of its last death.
    stage.store.replay(vec![keys[0]], now()).await.unwrap();
    assert_eq!(stage.store.dead_causes().await.unwrap()[0].count, 2);
    let leased = stage.claim_one().await;
    die(&stage, &leased, AttemptRow { at: after(1), ..rejected(400, "", "it did not like it") }).await;
    assert_eq!(stage.store.dead_causes().await.unwrap().iter().map(|cause| cause.count).collect::<Vec<_>>(), [2, 2]);
    stage.assert_audit().await;
}

async fn dead_letters_from_before_causes_were_kept_get_theirs(stage: Stage) {
    dead_letters(&stage, 2).await;
    stage.tamper("UPDATE delivery SET cause = ''");
    let causes = stage.store.dead_causes().await.unwrap();
    assert_eq!((causes.len(), causes[0].cause.as_str(), causes[0].count), (1, UNSORTED, 2));
    assert_eq!(stage.store.find_ended(dead(UNSORTED)).await.unwrap().len(), 2);
    assert_eq!(stage.store.sort_dead().await.unwrap(), 2);
    assert_eq!(stage.store.sort_dead().await.unwrap(), 0);
    assert_eq!(stage.store.dead_causes().await.unwrap()[0].cause, "data/422/INVALID/email");
    stage.tamper("DELETE FROM attempt; UPDATE delivery SET cause = ''");
    assert_eq!(stage.store.sort_dead().await.unwrap(), 2);
    assert_eq!(stage.store.dead_causes().await.unwrap()[0].cause, "unreadable");
}

async fn a_discarded_dead_letter_is_skipped_with_the_reason_and_can_be_replayed(stage: Stage) {
    let keys = dead_letters(&stage, 3).await;
    stage.store.replay(vec![keys[2]], now()).await.unwrap();
    let act = Act::Discard { keys: keys.clone(), remark: "discarded by anna: test data".to_owned() };
    assert_eq!(stage.store.perform(line("discard"), act.clone(), after(5)).await.unwrap(), 2, "what is no longer dead is left alone");
    let rows = stage.store.deliveries(DeliveryFilter { states: vec![State::Skipped], limit: 9, ..Default::default() }).await.unwrap();
    assert_eq!((rows.len(), rows[0].remark.as_deref(), rows[0].ended_at), (2, Some("discarded by anna: test data"), Some(after(5))));
    assert!(stage.store.dead_causes().await.unwrap().is_empty());
    stage.assert_audit().await;
    assert_eq!(stage.store.perform(line("discard"), act, after(6)).await.unwrap(), 0);
    assert_eq!(stage.store.replay(keys, after(7)).await.unwrap(), 2);
    stage.assert_audit().await;
    assert_eq!(trail(&stage.store).await.iter().map(|row| row.count).collect::<Vec<_>>(), [0, 2]);
}

async fn what_was_discarded_is_removed_when_it_is_old(stage: Stage) {
    let keys = dead_letters(&stage, 1).await;
    assert_eq!(stage.store.remove_ended(after(0)).await.unwrap(), 0, "a dead letter keeps its event");
    let act = Act::Discard { keys, remark: "discarded by anna: test data".to_owned() };
    stage.store.perform(line("discard"), act, now()).await.unwrap();
    assert_eq!(stage.store.remove_ended(after(0)).await.unwrap(), 1);
    stage.assert_audit().await;
}

async fn what_another_process_discarded_is_removed_when_it_is_old(stage: Stage) {
    let keys = dead_letters(&stage, 1).await;
    assert_eq!(stage.store.remove_ended(after(0)).await.unwrap(), 0);
    let (other, _ownership) = stage.another().await;
    let act = Act::Discard { keys, remark: "discarded by anna: test data".to_owned() };
    other.perform(line("discard"), act, now()).await.unwrap();
    assert_eq!(stage.store.remove_ended(after(0)).await.unwrap(), 1);
}

async fn a_replay_takes_only_what_is_still_as_it_was_found(stage: Stage) {
    let keys = dead_letters(&stage, 2).await;
    stage.store.replay(vec![keys[0]], now()).await.unwrap();
    let leased = stage.claim_one().await;
    stage.end(&leased, State::Delivered).await;
    let act = Act::Replay { keys, from: vec![State::Dead] };
    assert_eq!(stage.store.perform(line("replay"), act, now()).await.unwrap(), 1);
    assert_eq!(stage.states().await, [State::Delivered, State::Waiting]);
    stage.assert_audit().await;
}

fn routing(n: u64, person: Option<u8>, destinations: &[u32]) -> Routing {
    Routing { event: event(n, None, &[]).event.id, person_key: person.map(|p| [p; 16]), destinations: destinations.to_vec() }
}

async fn route(store: &Store, routings: Vec<Routing>) -> usize {
    store.perform(line("route"), Act::Route { routings }, now()).await.unwrap()
}

async fn an_event_that_no_route_took_is_routed_once_however_often_it_is_asked(stage: Stage) {
    stage.receive_one(event(1, Some(1), &[])).await;
    stage.receive_one(event(2, None, &[stage.crm])).await;
    assert_eq!(stage.store.count_unrouted().await.unwrap(), 1);
    let both = || vec![routing(1, Some(1), &[stage.crm, stage.drop]), routing(2, None, &[stage.crm, stage.drop])];
    assert_eq!(route(&stage.store, both()).await, 3);
    assert_eq!(route(&stage.store, both()).await, 0);
    assert_eq!((stage.store.count_unrouted().await.unwrap(), stage.states().await.len()), (0, 4));
    assert_eq!(route(&stage.store, vec![routing(77, None, &[stage.crm])]).await, 0, "there is no such event");
    stage.assert_audit().await;
    assert_eq!(stage.claim(9).await.deliveries.len(), 2);
    let rows = stage.store.destinations().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.counts.pending).sum::<i64>(), 4);
}

async fn what_is_routed_later_keeps_the_order_of_its_person(stage: Stage) {
    stage.receive_one(event(1, Some(1), &[])).await;
    stage.receive_one(event(2, Some(1), &[])).await;
    stage.receive_one(event(3, Some(1), &[stage.crm])).await;
    let third = stage.claim_one().await;
    // Named in the wrong order.
    assert_eq!(route(&stage.store, vec![routing(2, Some(1), &[stage.crm]), routing(1, Some(1), &[stage.crm])]).await, 2);
    assert_eq!(stage.states().await, [State::Blocked, State::Blocked, State::Leased]);
    stage.assert_audit().await;
    stage.end(&third, State::Delivered).await;
    let first = stage.claim_one().await;
    assert_eq!(first.event.id, event(1, None, &[]).event.id);
    assert!(stage.claim(9).await.deliveries.is_empty());
    stage.end(&first, State::Delivered).await;
    assert_eq!(stage.claim_one().await.event.id, event(2, None, &[]).event.id);
    stage.assert_audit().await;
}

async fn of_several_events_of_a_person_that_are_routed_the_first_goes_first(stage: Stage) {
    for n in 1..=3 {
        stage.receive_one(event(n, Some(1), &[])).await;
    }
    let routings = [3, 1, 2].map(|n| routing(n, Some(1), &[stage.crm])).to_vec();
    assert_eq!(route(&stage.store, routings).await, 3);
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked, State::Blocked]);
    stage.assert_audit().await;
}

async fn an_event_of_an_erased_person_goes_nowhere(stage: Stage) {
    stage.receive_one(event(1, Some(1), &[])).await;
    let erasing = Erasing { events: vec![event(1, None, &[]).event.id], ..Erasing::default() };
    stage.store.erase(erasing, now()).await.unwrap();
    assert_eq!(route(&stage.store, vec![routing(1, Some(1), &[stage.crm])]).await, 0);
    assert!(stage.store.unrouted_after(i64::MIN, 9).await.unwrap().is_empty());
    stage.assert_audit().await;
}

async fn two_who_route_the_same_at_once_make_it_once(stage: Stage) {
    for n in 1..=40 {
        stage.receive_one(event(n, Some((n % 4) as u8), &[])).await;
    }
    let (other, _ownership) = stage.another().await;
    let all = || (1..=40).map(|n| routing(n, Some((n % 4) as u8), &[stage.crm, stage.drop])).collect::<Vec<_>>();
    let receiving = async {
        for n in 41..=60 {
            stage.receive_one(event(n, Some((n % 4) as u8), &[stage.crm])).await;
        }
    };
    let (one, another, ()) = tokio::join!(route(&stage.store, all()), route(&other, all()), receiving);
    assert_eq!(one + another, 80);
    stage.assert_audit().await;
}

async fn unrouted_events_are_gone_through_in_the_order_of_receipt(stage: Stage) {
    for n in 1..=5 {
        let destinations = if n == 3 { vec![stage.crm] } else { Vec::new() };
        stage.receive_one(event(n, None, &destinations)).await;
    }
    stage.receive_one(with(event(6, None, &[]), |event| event.kind = Kind::Test)).await;
    let (mut seen, mut after) = (Vec::new(), i64::MIN);
    loop {
        let piece = stage.store.unrouted_after(after, 2).await.unwrap();
        let Some(last) = piece.last() else { break };
        after = last.seq;
        seen.extend(piece.iter().map(|one| serde_json::from_str::<Event>(&one.body).unwrap().session_id.unwrap()));
    }
    assert_eq!(seen, ["1", "2", "4", "5"]);
}

async fn a_long_act_goes_on_in_pieces_and_the_trail_counts_them(stage: Stage) {
    let keys = dead_letters(&stage, 230).await;
    let mut pieces = Vec::new();
    let new = NewAction { planned: keys.len(), ..noted("replay") };
    let act = |keys| Act::Replay { keys, from: vec![State::Dead] };
    let pace = Pace { per_second: Some(1_000) };
    let started_at = std::time::Instant::now();
    let done = stage.store.perform_all(new, &keys, pace, act, |rows| pieces.push(rows)).await.unwrap();
    assert_eq!((done, pieces), (230, vec![100, 100, 30]));
    assert!(started_at.elapsed() >= Duration::from_millis(190), "the pace is kept");
    let rows = trail(&stage.store).await;
    let [row] = rows.as_slice() else { panic!("one line for all pieces: {rows:?}") };
    assert_eq!((row.planned, row.count, row.ended_at.is_some(), row.failure.as_deref()), (230, 230, true, None));
    assert_eq!(stage.store.action(row.id).await.unwrap().as_ref(), Some(row));
    assert_eq!(stage.store.action(row.id + 1).await.unwrap(), None);
    stage.assert_audit().await;
}

async fn the_trail_tells_who_did_what_and_names_nobody_else(stage: Stage) {
    let hold = Act::Hold { destination: stage.crm, reason: "asked by jane@example.com".to_owned(), until: None };
    let (detail, reason) = ("until 2026-11-22T10:00:00Z".to_owned(), "asked by jane@example.com, +1 (555) 010-0199".to_owned());
    let entry = Entry::New(NewAction { detail, reason, ..noted("hold") });
    assert_eq!(stage.store.perform(entry, hold, now()).await.unwrap(), 1);
    assert!(stage.store.holds().await.unwrap().iter().any(|row| row.hold.is_some()));
    let resume = Act::Resume { destination: stage.crm };
    assert_eq!(stage.store.perform(line("resume"), resume.clone(), after(1)).await.unwrap(), 1);
    assert_eq!(stage.store.perform(line("resume"), resume, after(2)).await.unwrap(), 0);
    let id = stage.store.begin_action(noted("verify"), after(3)).await.unwrap();
    stage.store.end_action(id, 4, Some("the disk is full".to_owned()), after(4)).await.unwrap();
    let rows = trail(&stage.store).await;
    let told: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.count, row.at)).collect();
    assert_eq!(told, [("verify", 4, after(3)), ("resume", 0, after(2)), ("resume", 1, after(1)), ("hold", 1, now())]);
    assert_eq!(rows[0].failure.as_deref(), Some("the disk is full"));
    assert_eq!(rows[3].detail, "until 2026-11-22T10:00:00Z; asked by (e-mail) +(number)");
    assert_eq!((rows[3].who.as_str(), rows[3].client.as_deref(), rows[3].target.as_str()), ("anna", Some("203.0.113.9"), "crm"));
    let page = |before, since| ActionFilter { since, before, limit: 2 };
    let ids = async |filter| stage.store.actions(filter).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(page(Some(rows[1].id), None)).await, [rows[2].id, rows[3].id]);
    assert_eq!(ids(page(None, Some(after(3)))).await, [rows[0].id]);
    assert_eq!(stage.store.forget_actions(after(2)).await.unwrap(), 2);
    assert_eq!(trail(&stage.store).await.len(), 2);
}

async fn what_was_left_undone_can_be_asked_for_until_somebody_did(stage: Stage) {
    let again = [("destination", "crm"), ("reason", "asked by jane@example.com, +1 (555) 010-0199")];
    let again = again.map(|(name, value)| (name, value.to_owned())).into();
    let id = stage.store.begin_action(NewAction { again, ..noted("discard") }, now()).await.unwrap();
    stage.store.end_action(id, 0, Some("the disk is full".to_owned()), after(1)).await.unwrap();
    let kept = async || stage.store.action(id).await.unwrap().unwrap().again;
    let told = kept().await.unwrap();
    assert_eq!((told["destination"].as_str(), told["reason"].as_str()), ("crm", "asked by (e-mail) +(number)"), "it names nobody");
    stage.store.forget_again(id).await.unwrap();
    assert_eq!(kept().await, None);
}

async fn what_a_page_asked_for_is_interrupted_with_its_bridge_and_a_command_is_not(stage: Stage) {
    let page = stage.store.begin_action(noted("replay"), now()).await.unwrap();
    let command = stage.store.begin_action(NewAction { client: None, ..noted("replay") }, now()).await.unwrap();
    let stage = stage.restart().await;
    let failure = async |id| stage.store.action(id).await.unwrap().unwrap().failure;
    assert_eq!(failure(page).await.as_deref(), Some(INTERRUPTED));
    assert_eq!(failure(command).await, None, "no bridge is at it");
    let going = stage.store.begin_action(noted("replay"), now()).await.unwrap();
    assert_eq!(failure(going).await, None);
}

async fn an_act_that_fails_leaves_no_line(stage: Stage) {
    let keys = dead_letters(&stage, 1).await;
    stage.tamper("ALTER TABLE action RENAME TO elsewhere");
    let act = Act::Discard { keys, remark: "discarded by anna: test data".to_owned() };
    assert!(stage.store.perform(line("discard"), act.clone(), now()).await.is_err());
    assert_eq!(stage.states().await, [State::Dead], "what cannot be noted is not done");
    stage.tamper("ALTER TABLE elsewhere RENAME TO action");
    assert_eq!(stage.store.perform(line("discard"), act, now()).await.unwrap(), 1);
    assert_eq!(trail(&stage.store).await.len(), 1);
}

async fn one_body_is_looked_at_and_purged(stage: Stage) {
    for n in 0..2_u8 {
        let refused = Refused {
            source: "acme".to_owned(),
            at: now(),
            client: "203.0.113.9".to_owned(),
            header: None,
            body: vec![n; 1_000].into(),
            code: "no_header".to_owned(),
            reason: "it was not signed".to_owned(),
            class: QuarantineClass::Hopeless,
        };
        stage.store.quarantine(refused, QuarantineLimits { max_bytes: 1 << 20 }).await.unwrap();
    }
    let newest = stage.store.quarantined(None, 1).await.unwrap().remove(0);
    let (row, start) = stage.store.quarantined_body(newest.id, 10).await.unwrap().unwrap();
    assert_eq!((row.id, start), (newest.id, vec![1; 10]));
    let which = Purge { id: Some(newest.id), source: Some("Beta".to_owned()), ..Purge::default() };
    assert_eq!(stage.store.perform(line("purge"), Act::Purge(which.clone()), now()).await.unwrap(), 0, "everything must match");
    let which = Purge { source: None, ..which };
    assert_eq!(stage.store.perform(line("purge"), Act::Purge(which), now()).await.unwrap(), 1);
    assert!(stage.store.quarantined_body(newest.id, 10).await.unwrap().is_none());
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 1);
    stage.assert_audit().await;
}

async fn a_repetition_of_what_was_routed_later_is_still_a_duplicate(stage: Stage) {
    stage.receive_one(event(1, None, &[])).await;
    route(&stage.store, vec![routing(1, None, &[stage.crm])]).await;
    stage.receive_one(again(event(1, None, &[]))).await;
    let rows = stage.find(EventFilter::default()).await;
    assert_eq!((rows.len(), rows[0].duplicates, rows[0].deliveries.len()), (1, 1, 1));
    stage.assert_audit().await;
}

on_every_engine!(
    dead_letters_are_grouped_by_what_they_died_of,
    dead_letters_from_before_causes_were_kept_get_theirs,
    a_discarded_dead_letter_is_skipped_with_the_reason_and_can_be_replayed,
    what_was_discarded_is_removed_when_it_is_old,
    what_another_process_discarded_is_removed_when_it_is_old,
    a_replay_takes_only_what_is_still_as_it_was_found,
    an_event_that_no_route_took_is_routed_once_however_often_it_is_asked,
    what_is_routed_later_keeps_the_order_of_its_person,
    of_several_events_of_a_person_that_are_routed_the_first_goes_first,
    an_event_of_an_erased_person_goes_nowhere,
    two_who_route_the_same_at_once_make_it_once,
    unrouted_events_are_gone_through_in_the_order_of_receipt,
    a_long_act_goes_on_in_pieces_and_the_trail_counts_them,
    the_trail_tells_who_did_what_and_names_nobody_else,
    what_was_left_undone_can_be_asked_for_until_somebody_did,
    what_a_page_asked_for_is_interrupted_with_its_bridge_and_a_command_is_not,
    an_act_that_fails_leaves_no_line,
    one_body_is_looked_at_and_purged,
    a_repetition_of_what_was_routed_later_is_still_a_duplicate,
);

//! Notes, tasks and meetings.

use crate::harness::{Crm, TOKEN, lead, person, record_id, remark};
use leadwire_connector::http::Method;
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::{Event, MemorySteps, Verdict};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};

fn wish(content: &Value) -> Event {
    lead(&json!({"kind": "appointment", "content": content}))
}

#[tokio::test]
async fn an_appointment_with_a_certain_time_is_a_meeting() {
    let crm = Crm::with(&json!({"appointments": {"minutes": 30}})).await;
    crm.deliver("d1", &wish(&json!("2099-11-24T15:00:00+01:00"))).await.unwrap();
    let meeting = crm.meetings().pop().unwrap();
    assert_eq!(meeting["contact"], "101");
    assert_eq!(meeting["properties"]["hs_meeting_start_time"], "2099-11-24T14:00:00.000Z");
    assert_eq!(meeting["properties"]["hs_meeting_end_time"], "2099-11-24T14:30:00.000Z");
    assert_eq!(meeting["properties"]["hs_meeting_title"], "Appointment: David Garcia");
    assert!(meeting["body"].as_str().unwrap().contains("2099-11-24T15:00:00+01:00"));
    assert_eq!(crm.counts(), [1, 0, 0, 1]);
}

#[tokio::test]
async fn an_appointment_whose_time_would_have_to_be_guessed_is_a_task_or_a_note() {
    for (otherwise, counts) in [("task", [1, 0, 1, 0]), ("note", [1, 1, 0, 0])] {
        let crm = Crm::with(&json!({"appointments": {"otherwise": otherwise}, "notes": false})).await;
        crm.deliver("d1", &wish(&json!("tomorrow at 3pm"))).await.unwrap();
        assert_eq!(crm.counts(), counts);
    }
}

#[tokio::test]
async fn an_appointment_without_text_still_gets_its_task() {
    let crm = Crm::start().await;
    crm.deliver("d1", &wish(&Value::Null)).await.unwrap();
    assert!(crm.tasks()[0]["body"].as_str().unwrap().starts_with("Wish for an appointment"));
    assert_eq!(crm.tasks()[0]["properties"]["hs_task_status"], "NOT_STARTED");
}

#[tokio::test]
async fn a_moment_in_the_past_and_a_moment_among_other_words_are_tasks() {
    for text in ["2020-01-01T10:00:00Z", "anything but 2099-11-24T15:00:00Z"] {
        let crm = Crm::start().await;
        crm.deliver("d1", &wish(&json!(text))).await.unwrap();
        assert_eq!(crm.counts(), [1, 0, 1, 0], "{text}");
    }
}

#[tokio::test]
async fn a_field_and_a_time_zone_of_the_settings_make_a_meeting() {
    let crm = Crm::with(&json!({"appointments": {"time": "{{ extra.When }}", "time_zone": "America/New_York"}})).await;
    crm.deliver("d1", &lead(&json!({"kind": "appointment", "extra": {"When": "2099-11-24 15:00"}}))).await.unwrap();
    assert_eq!(crm.meetings()[0]["properties"]["hs_meeting_start_time"], "2099-11-24T20:00:00.000Z");
}

/// The events whose activities may not be made twice, and where they are written.
fn all_kinds() -> [(Event, &'static str); 3] {
    [(lead(&json!({})), "notes"), (wish(&json!("tomorrow")), "tasks"), (wish(&json!("2099-11-24T15:00:00Z")), "meetings")]
}

#[tokio::test]
async fn an_activity_whose_answer_never_arrived_is_found_and_not_written_again() {
    for (event, objects) in all_kinds() {
        let (crm, kept) = (Crm::start().await, MemorySteps::default());
        crm.order(&format!("reset-after-write x1 @POST @/{objects}"));
        assert!(crm.attempt("d1", &event, &kept).await.unwrap_err().is_ambiguous());
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!((crm.contacts().len(), crm.records(objects).len()), (1, 1), "{objects}");
    }
}

#[tokio::test]
async fn an_activity_that_never_arrived_is_written() {
    for (event, objects) in all_kinds() {
        let (crm, kept) = (Crm::start().await, MemorySteps::default());
        crm.order(&format!("reset-before x1 @POST @/{objects}"));
        crm.attempt("d1", &event, &kept).await.unwrap_err();
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!(crm.records(objects).len(), 1, "{objects}");
    }
}

#[tokio::test]
async fn a_crash_after_an_activity_was_written_makes_no_second_one() {
    for (event, objects) in all_kinds() {
        let (crm, all) = (Crm::start().await, MemorySteps::default());
        crm.attempt("d1", &event, &all).await.unwrap();
        let step = objects.trim_end_matches('s');
        let kept = MemorySteps::of(all.saved().into_iter().filter(|(name, _)| name != step));
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!(crm.records(objects).len(), 1, "{objects}");
    }
}

#[tokio::test]
async fn reading_back_follows_a_contact_that_was_merged_meanwhile() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.order("reset-after-write x1 @POST @/notes");
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    crm.contact(&json!({"email": "other@acme.example"})).await;
    let both = json!({"primaryObjectId": "103", "objectIdToMerge": "101"});
    let survivor = crm.call(Method::Post, "crm/objects/2026-09/contacts/merge", &both).await;
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!(crm.counts(), [1, 1, 0, 0]);
    assert_eq!(kept.saved()["contact"], survivor["id"].as_str().unwrap(), "the id of now is the one that is kept");
}

#[tokio::test]
async fn what_stood_on_an_archived_contact_is_written_again_on_the_new_one() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    let event = lead(&json!({"content": (0..20).map(|_| "word ".repeat(1_000)).collect::<Vec<_>>().join("\n")}));
    crm.attempt("d1", &event, &kept).await.unwrap();
    assert_eq!(crm.notes().len(), 2);
    // As if the bridge had died before the second page, and the contact was archived meanwhile.
    crm.call(Method::Delete, "crm/objects/2026-09/contacts/101", &Value::Null).await;
    let without_second = MemorySteps::of(kept.saved().into_iter().filter(|(name, _)| !name.starts_with("note-2")));
    crm.attempt("d1", &event, &without_second).await.unwrap();
    assert_eq!(crm.counts(), [1, 2, 0, 0]);
}

#[tokio::test]
async fn an_owner_who_left_is_left_out() {
    let crm = Crm::of(Simulator::accepting(TOKEN).with_owners(&[7]), &json!({"appointments": {"owner_id": 8}})).await;
    let receipt = crm.deliver("d1", &wish(&json!("tomorrow"))).await.unwrap();
    assert!(remark(&receipt).unwrap().contains("owner_id"), "{receipt:?}");
    assert_eq!(crm.counts(), [1, 0, 1, 0]);
    let crm = Crm::of(Simulator::accepting(TOKEN).with_owners(&[7]), &json!({"appointments": {"owner_id": 7}})).await;
    assert_eq!(remark(&crm.deliver("d1", &wish(&json!("tomorrow"))).await.unwrap()), None);
    assert_eq!(crm.tasks()[0]["properties"]["hubspot_owner_id"], "7");
}

#[tokio::test]
async fn markup_of_a_visitor_stays_text_everywhere() {
    let crm = Crm::start().await;
    let evil = "<img src=x onerror=alert(1)> \"q\" &";
    crm.deliver("d1", &lead(&json!({"content": evil}))).await.unwrap();
    crm.deliver(
        "d2",
        &lead(&json!({"kind": "appointment", "content": evil, "person": person(Some("<b>A</b>"), Some("a@b.example"), None)})),
    )
    .await
    .unwrap();
    for record in [crm.notes(), crm.tasks()].concat() {
        let body = record["body"].as_str().unwrap();
        assert!(body.contains("&lt;img src=x") && !body.contains("<img"), "{body}");
    }
}

#[tokio::test]
async fn an_activity_that_cannot_be_read_back_now_is_not_written_again() {
    for (event, objects) in all_kinds() {
        let (crm, kept) = (Crm::start().await, MemorySteps::default());
        crm.order(&format!("reset-after-write x1 @POST @/{objects}"));
        crm.attempt("d1", &event, &kept).await.unwrap_err();
        // The list is read, and of its records none but an error.
        crm.order(&format!("error-inside x1 @POST @/crm/objects/2026-09/{objects}/batch/read"));
        let error = crm.attempt("d1", &event, &kept).await.unwrap_err();
        assert!(matches!(error.verdict, Verdict::Retry { .. }), "{objects}: {error:?}");
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!(crm.records(objects).len(), 1, "{objects}");
    }
}

#[tokio::test]
async fn what_a_template_could_not_make_is_told_in_the_note() {
    let crm = Crm::with(&json!({"fields": {"zip": "{{ extra.Zip|int }}"}})).await;
    crm.deliver("d1", &lead(&json!({"extra": {"Zip": "12-345"}}))).await.unwrap();
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("`zip`"));
}

/// Refuses activities of contacts that are archived in words of its own.
struct Odd(Simulator, u16);

impl Service for Odd {
    fn answer(&mut self, request: &Request) -> Response {
        let contact = request.json()["associations"][0]["to"]["id"].clone();
        let state = self.0.state();
        let is_archived = state["contacts"].as_array().unwrap().iter().any(|known| known["id"] == contact && known["archived"] == true);
        if is_archived {
            Response::json(self.1, &json!({"status": "error", "message": "that cannot be associated"}))
        } else {
            self.0.answer(request)
        }
    }

    fn error_inside(&self) -> Response {
        self.0.error_inside()
    }

    fn rate_limited(&self) -> Response {
        self.0.rate_limited()
    }

    fn state(&self) -> Value {
        self.0.state()
    }
}

#[tokio::test]
async fn a_note_of_a_contact_that_was_archived_goes_to_another_one_in_whatever_words_it_is_refused() {
    for status in [400, 404] {
        let (crm, kept) = (Crm::of(Odd(Simulator::accepting(TOKEN), status), &json!({})).await, MemorySteps::default());
        crm.order("503 x1 @/notes");
        crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
        crm.call(Method::Delete, "crm/objects/2026-09/contacts/101", &Value::Null).await;
        // Without the mark of an earlier attempt, which would have the contact looked at first.
        let known = kept.saved().into_iter().filter(|(name, _)| name != "note.sent");
        let receipt = crm.attempt("d1", &lead(&json!({})), &MemorySteps::of(known)).await.unwrap();
        assert_eq!((record_id(&receipt).as_str(), crm.contacts().len(), crm.notes().len()), ("102", 1, 1), "{status}");
    }
}

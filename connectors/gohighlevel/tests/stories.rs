//! The connector against a simulated GoHighLevel, over a socket.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod crm;

use crm::{Crm, LOCATION, TOKEN, event, person, record_id, remark, settings};
use leadwire_connector::http::Method;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::{ErrorKind, Event, MemorySteps, Receipt, Severity, Verdict};
use leadwire_connector_gohighlevel::simulator::Simulator;
use serde_json::{Value, json};
use std::time::Duration;

const FIND: &str = "GET /contacts/search/duplicate";
const SESSION_FIELD: &str = "Kq2Zt8RwXy4Lm6Np0VbC";

fn simulator() -> Simulator {
    Simulator::accepting(TOKEN, LOCATION)
}

#[tokio::test]
async fn a_new_lead_makes_one_contact_with_its_tags_and_one_note() {
    let crm = Crm::with(&json!({"tags": ["Chatbot", "from {{ source }}"], "fields": {"contact.budget": "{{ extra.Budget }}"}})).await;
    let receipt = crm.deliver("d1", &event(&json!({"extra": {"Budget": "5000"}}))).await.unwrap();
    let contact = crm.contacts().pop().unwrap();
    assert_eq!(
        (&contact["email"], &contact["phone"], &contact["source"]),
        (&json!("david@acme.example"), &json!("+14155550100"), &json!("Website chat"))
    );
    assert_eq!(contact["customFields"], json!([{"id": "3sv6UEo51C9Bmpo1cKTq", "value": "5000"}]));
    assert_eq!(contact["tags"], json!(["chatbot", "from acme"]));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("I want a quote"));
    let Receipt::Delivered { record: Some(record), remark: None } = receipt else { panic!("{receipt:?}") };
    assert_eq!(record.url.unwrap(), format!("https://app.gohighlevel.com/v2/location/LOC1/contacts/detail/{}", record.id));
    let id = record.id;
    assert_eq!(
        crm.sent(),
        [
            FIND,
            FIND,
            "POST /contacts/upsert",
            "GET /locations/LOC1/customFields",
            &format!("POST /contacts/{id}/tags"),
            &format!("POST /contacts/{id}/notes")
        ]
    );
}

#[tokio::test]
async fn repeating_a_finished_delivery_sends_nothing() {
    let (crm, kept) = (Crm::with(&json!({"tags": ["x"]})).await, MemorySteps::default());
    let first = crm.attempt("d1", &event(&json!({})), &kept).await.unwrap();
    let sent = crm.sent().len();
    let second = crm.attempt("d1", &event(&json!({})), &kept).await.unwrap();
    assert_eq!((first, crm.sent().len()), (second, sent));
}

#[tokio::test]
async fn a_crash_after_any_answer_makes_nothing_twice() {
    for (kind, content) in [("lead", "Hi"), ("appointment", "tomorrow"), ("appointment", "2099-12-01T15:00:00Z")] {
        let (crm, all) = (Crm::with(&json!({"calendar_id": "CAL1", "tags": ["x"]})).await, MemorySteps::default());
        let event = event(&json!({"kind": kind, "content": content}));
        crm.attempt("d1", &event, &all).await.unwrap();
        let before = crm.counts();
        // Once for each step: the write was done, and the bridge died before it could keep the record's id.
        for lost in ["contact", "tags", "appointment", "task", "note"] {
            let kept = MemorySteps::of(all.saved().into_iter().filter(|(name, _)| name != lost));
            crm.attempt("d1", &event, &kept).await.unwrap();
            assert_eq!(crm.counts(), before, "{kind} {lost}");
        }
    }
}

#[tokio::test]
async fn what_was_written_without_an_answer_is_found_and_not_written_again() {
    for (place, content) in
        [("/notes", "tomorrow"), ("/tasks", "tomorrow"), ("/appointments", "2099-12-01T15:00:00Z"), ("/upsert", "tomorrow")]
    {
        let (crm, kept) =
            (Crm::with(&json!({"calendar_id": "CAL1", "appointments": {"free_slots_only": false}})).await, MemorySteps::default());
        let event = event(&json!({"kind": "appointment", "content": content}));
        crm.order(&format!("reset-after-write x2 @POST @{place}"));
        let mut attempts = 0;
        while crm.attempt("d1", &event, &kept).await.is_err() {
            attempts += 1;
            assert!(attempts < 4, "{place}");
        }
        let booked = usize::from(content != "tomorrow");
        assert_eq!(crm.counts(), [1, 1, 1 - booked, booked], "{place}");
    }
}

#[tokio::test]
async fn a_known_contact_is_updated_and_never_emptied_and_keeps_its_tags_and_source() {
    let crm = Crm::with(&json!({"tags": ["chatbot"]})).await;
    crm.make(&json!({"email": "david@acme.example", "phone": "+14155550100", "city": "Bonn", "source": "Fair", "tags": ["vip"]})).await;
    crm.deliver("d1", &event(&json!({"person": person(Some("Dave"), Some("David@acme.example"), None)}))).await.unwrap();
    let contact = crm.contacts().pop().unwrap();
    assert_eq!((&contact["firstName"], &contact["phone"], &contact["city"]), (&json!("Dave"), &json!("+14155550100"), &json!("Bonn")));
    assert_eq!((&contact["source"], &contact["tags"]), (&json!("Fair"), &json!(["vip", "chatbot"])));
}

#[tokio::test]
async fn a_secondary_email_finds_its_contact_and_does_not_become_the_primary() {
    let crm = Crm::start().await;
    let id = crm.make(&json!({"email": "main@acme.example"})).await;
    crm.call(Method::Post, &format!("contacts/{id}/additionalEmails"), &json!({"email": "david@acme.example"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    let contact = crm.contacts().pop().unwrap();
    assert_eq!((record_id(&receipt), &contact["email"], &contact["firstName"]), (id, &json!("main@acme.example"), &json!("David")));
    assert_eq!(contact["additionalEmails"], json!([{"email": "david@acme.example"}]));
    assert_eq!(remark(&receipt), None);
}

#[tokio::test]
async fn an_email_and_a_phone_of_two_contacts_mean_the_one_with_the_email_whatever_the_order() {
    for simulator in [simulator(), simulator().with_phone_first()] {
        let crm = Crm::of(simulator, &json!({})).await;
        let by_phone = crm.make(&json!({"phone": "+14155550100", "firstName": "Other"})).await;
        let by_email = crm.make(&json!({"email": "david@acme.example"})).await;
        let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
        assert_eq!(record_id(&receipt), by_email);
        assert!(remark(&receipt).unwrap().contains("split identity"), "{receipt:?}");
        let other = crm.contacts().into_iter().find(|contact| contact["id"] == by_phone).unwrap();
        assert_eq!((&other["firstName"], &other["phone"]), (&json!("Other"), &json!("+14155550100")));
        assert!(crm.notes()[0]["body"].as_str().unwrap().contains("phone (belongs to another contact): +14155550100"));
    }
}

#[tokio::test]
async fn a_phone_whose_contact_has_another_email_keeps_that_and_notes_the_new_one() {
    let crm = Crm::start().await;
    let id = crm.make(&json!({"email": "office@acme.example", "phone": "+1 415-555-0100"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    assert_eq!((record_id(&receipt), crm.contacts().len()), (id, 1));
    assert_eq!(crm.contacts()[0]["email"], "office@acme.example");
    assert!(remark(&receipt).unwrap().contains("other values, which stay; left out: email"));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("david@acme.example"));
}

#[tokio::test]
async fn a_phone_whose_contact_has_no_email_gets_the_email() {
    let crm = Crm::start().await;
    crm.make(&json!({"phone": "+14155550100"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    assert_eq!((crm.contacts().len(), &crm.contacts()[0]["email"], remark(&receipt)), (1, &json!("david@acme.example"), None));
}

#[tokio::test]
async fn a_field_that_is_accepted_and_not_kept_goes_into_the_note() {
    let config = json!({"fields": {"city": "Bonn", "contact.nonsense": "blue", "contact.budget": "10"}});
    let (crm, kept) = (Crm::of(simulator().dropping("city"), &config).await, MemorySteps::default());
    crm.order("503 x1 @/notes");
    crm.attempt("d1", &event(&json!({})), &kept).await.unwrap_err();
    let receipt = crm.attempt("d1", &event(&json!({})), &kept).await.unwrap();
    assert_eq!(remark(&receipt), Some("GoHighLevel accepted these fields and did not keep them: city, contact.nonsense"));
    let note = crm.notes().pop().unwrap()["body"].as_str().unwrap().to_owned();
    assert!(note.contains("city (accepted as a field, but not kept): Bonn") && note.contains("blue"), "{note}");
}

#[tokio::test]
async fn a_field_that_is_refused_is_left_out_once_and_noted() {
    let crm = Crm::of(simulator().refusing("city"), &json!({"fields": {"gender": "male", "city": "Bonn"}})).await;
    let receipt = crm.deliver("d1", &event(&json!({"content": null}))).await.unwrap();
    assert_eq!(remark(&receipt), Some("GoHighLevel did not accept these fields: city"));
    assert_eq!((&crm.contacts()[0]["gender"], &crm.contacts()[0]["city"]), (&json!("male"), &Value::Null));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("city (not accepted as a field): Bonn"));
    crm.deliver("d2", &event(&json!({}))).await.unwrap();
    assert_eq!(crm.contacts().len(), 1, "an update does not even try the gender");
}

#[tokio::test]
async fn a_422_that_made_the_contact_all_the_same_makes_no_second_one() {
    for config in [json!({}), json!({"fields": {"source": ""}})] {
        let crm = Crm::of(simulator().creating_despite_refusal(), &config).await;
        crm.deliver("d1", &event(&json!({}))).await.unwrap();
        assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
    }
}

#[tokio::test]
async fn an_email_that_is_none_leaves_the_phone() {
    let config = json!({"fields": {"email": "{{ extra.Mail }}"}});
    let crm = Crm::with(&config).await;
    let receipt = crm.deliver("d1", &event(&json!({"extra": {"Mail": "david at acme"}}))).await.unwrap();
    assert_eq!((crm.contacts()[0].get("email"), &crm.contacts()[0]["phone"]), (None, &json!("+14155550100")));
    assert_eq!(remark(&receipt), Some("GoHighLevel did not accept these fields: email"));
    let nothing_else = event(&json!({"extra": {"Mail": "david at acme"}, "person": person(Some("D"), None, None)}));
    let error = crm.deliver("d2", &nothing_else).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Data, &Verdict::Reject));
    assert!(error.message.contains("email") && !error.message.contains("acme"), "{error}");
}

#[tokio::test]
async fn a_contact_that_appears_meanwhile_is_updated() {
    // The look-ups are behind, so that the phone's contact shows only in the refusal.
    let crm = Crm::of(simulator().with_search_lag(3), &json!({})).await;
    let other = crm.make(&json!({"phone": "+14155550100"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    assert_eq!((record_id(&receipt), crm.contacts().len()), (other, 1));
}

#[tokio::test]
async fn a_phone_that_turns_out_to_be_another_contacts_is_left_out_of_the_update() {
    let crm = Crm::of(simulator().with_search_lag(2), &json!({})).await;
    let by_email = crm.make(&json!({"email": "david@acme.example"})).await;
    crm.call(Method::Get, "contacts/x", &Value::Null).await;
    // So fresh that no look-up shows it yet.
    crm.make(&json!({"phone": "+14155550100"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    assert_eq!((record_id(&receipt), crm.contacts().len()), (by_email, 2));
    assert!(remark(&receipt).unwrap().contains("split identity"), "{receipt:?}");
}

/// Refuses the first upsert, as `POST /contacts/` refuses a contact that is there already.
struct Refusing(Simulator, Option<Value>);

impl Service for Refusing {
    fn answer(&mut self, request: &Request) -> Response {
        match self.1.take_if(|_| request.path() == "/contacts/upsert" && request.json().get("source").is_some()) {
            Some(meta) => {
                let message = "This location does not allow duplicated contacts.";
                Response::json(400, &json!({"statusCode": 400, "message": message, "meta": meta}))
            }
            // No look-up shows anybody.
            None if request.path() == "/contacts/search/duplicate" => Response::json(200, &json!({"contact": null})),
            None => self.0.answer(request),
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
async fn a_contact_that_the_refusal_names_is_updated() {
    let meta = json!({"contactId": "contact0000000000001", "contactName": "x", "matchingField": "phone"});
    let crm = Crm::of(Refusing(simulator(), Some(meta)), &json!({})).await;
    let known = crm.make(&json!({"phone": "+14155550100", "email": "office@acme.example"})).await;
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    assert_eq!((record_id(&receipt), crm.contacts().len()), (known, 1));
    assert_eq!((&crm.contacts()[0]["email"], &crm.contacts()[0]["firstName"]), (&json!("office@acme.example"), &json!("David")));
    assert!(remark(&receipt).unwrap().contains("other values, which stay; left out: email"), "{receipt:?}");
}

#[tokio::test]
async fn a_deleted_contact_is_made_anew_with_what_hung_on_it() {
    let (crm, kept) = (Crm::with(&json!({"tags": ["x"]})).await, MemorySteps::default());
    let event = event(&json!({"kind": "appointment"}));
    crm.order("503 x1 @POST @/notes");
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    let old = crm.contacts().pop().unwrap()["id"].as_str().unwrap().to_owned();
    crm.call(Method::Delete, &format!("contacts/{old}"), &Value::Null).await;
    let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
    assert_ne!(record_id(&receipt), old);
    assert_eq!((crm.counts(), &crm.contacts()[0]["tags"]), ([1, 1, 1, 0], &json!(["x"])));
}

#[tokio::test]
async fn a_lead_of_nobody_is_skipped_or_gets_an_address_by_template() {
    let nobody = event(&json!({"person": person(Some("D"), None, None)}));
    let crm = Crm::start().await;
    assert!(matches!(crm.deliver("d1", &nobody).await.unwrap(), Receipt::Skipped { .. }));
    assert!(crm.sent().is_empty());
    let crm = Crm::with(&json!({"fields": {"email": "{{ person.email|default('chat-' ~ session_id ~ '@acme.example', true) }}"}})).await;
    crm.deliver("d1", &nobody).await.unwrap();
    crm.deliver("d2", &nobody).await.unwrap();
    assert_eq!((crm.contacts().len(), &crm.contacts()[0]["email"]), (1, &json!("chat-31305@acme.example")));
}

#[tokio::test]
async fn refused_credentials_hold_the_destination_and_say_what_is_missing() {
    let wrong_token = Crm::of(Simulator::accepting("another-token", LOCATION), &json!({})).await;
    let no_scope = Crm::of(simulator().without_scope("contacts.write"), &json!({})).await;
    let foreign = Crm::of(Simulator::accepting(TOKEN, "LOC2"), &json!({})).await;
    for (crm, told) in [(wrong_token, "token"), (no_scope, "contacts.write"), (foreign, "location_id")] {
        let error = crm.deliver("d1", &event(&json!({}))).await.unwrap_err();
        assert_eq!((error.kind, &error.verdict), (ErrorKind::Credentials, &Verdict::Hold { until: None }));
        assert!(error.message.contains(told) && !format!("{error:?}").contains(TOKEN), "{error:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_unknown_holds_the_destination_as_set_up_wrongly() {
    let crm = Crm::with(&json!({"contacts_version": "2020-01-01"})).await;
    let error = crm.deliver("d1", &event(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Configuration, &Verdict::Hold { until: None }));
    let crm = Crm::with(&json!({"api_version": "v3"})).await;
    crm.deliver("d1", &event(&json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_burst_is_waited_out_and_a_spent_day_holds() {
    let crm = Crm::of(simulator().with_limits(2, 1_000), &json!({})).await;
    let error = crm.deliver("d1", &event(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, error.verdict), (ErrorKind::RateLimited, Verdict::Retry { after: Some(Duration::from_secs(10)) }));
    let crm = Crm::of(simulator().with_limits(100, 2), &json!({})).await;
    let error = crm.deliver("d1", &event(&json!({}))).await.unwrap_err();
    let Verdict::Hold { until: Some(until) } = error.verdict else { panic!("{error:?}") };
    assert_eq!(error.kind, ErrorKind::Quota);
    assert!((58..=60).contains(&until.duration_since(Timestamp::now()).as_mins()));
}

#[tokio::test]
async fn a_2xx_with_an_error_inside_or_with_rubbish_is_no_delivery() {
    for fault in ["error-inside", "garbage", "huge-body:20000000"] {
        for place in ["/duplicate", "/upsert", "/tags", "/notes", "/appointments"] {
            let config = json!({"tags": ["x"], "calendar_id": "CAL1"});
            let (crm, kept) = (Crm::with(&config).await, MemorySteps::default());
            let event = event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00Z"}));
            crm.order(&format!("{fault} x1 @{place}"));
            let error = crm.attempt("d1", &event, &kept).await.unwrap_err();
            assert!(matches!(error.verdict, Verdict::Retry { .. }), "{fault} {place}: {error:?}");
            crm.attempt("d1", &event, &kept).await.unwrap();
            assert_eq!(crm.counts(), [1, 1, 0, 1], "{fault} {place}");
        }
    }
}

#[tokio::test]
async fn an_appointment_with_an_explicit_time_is_booked_as_it_was_written() {
    let config = json!({"calendar_id": "CAL1", "appointments": {"minutes": 45, "status": "new", "notify": false, "assigned_user": "U1"}});
    let crm = Crm::with(&config).await;
    let receipt = crm.deliver("d1", &event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00+01:00"}))).await.unwrap();
    let appointment = &crm.list("appointments")[0];
    assert_eq!(
        (&appointment["startTime"], &appointment["endTime"]),
        (&json!("2099-12-01T15:00:00+01:00"), &json!("2099-12-01T15:45:00+01:00"))
    );
    assert_eq!((&appointment["title"], &appointment["appointmentStatus"]), (&json!("Chat appointment: David Garcia"), &json!("new")));
    assert_eq!((remark(&receipt), crm.counts()), (None, [1, 1, 0, 1]));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("Booked for 2099-12-01T15:00:00+01:00"));
}

#[tokio::test]
async fn a_time_that_anybody_would_have_to_guess_becomes_a_task_and_a_note() {
    for content in [
        "tomorrow at 3pm",
        "2099-12-01 15:00",
        "2099-12-01T15:00:00Z or 2099-12-02T15:00:00Z",
        "not 2099-12-01T15:00:00Z",
        "2020-12-01T15:00:00Z",
    ] {
        let crm = Crm::with(&json!({"calendar_id": "CAL1"})).await;
        crm.deliver("d1", &event(&json!({"kind": "appointment", "content": content}))).await.unwrap();
        let task = &crm.list("tasks")[0];
        assert_eq!((crm.counts(), &task["dueDate"], &task["completed"]), ([1, 1, 1, 0], &json!("2026-11-23T05:16:00Z"), &json!(false)));
        assert!(task["body"].as_str().unwrap().starts_with(content));
    }
}

#[tokio::test]
async fn a_taken_slot_and_a_missing_calendar_become_a_task_and_a_note() {
    let taken = simulator().with_taken("2099-12-01T15:00:00Z".parse().unwrap());
    for (simulator, why) in
        [(taken, "this time is not free in the calendar"), (simulator().with_calendar("CAL2"), "the calendar did not take it")]
    {
        let (crm, kept) = (Crm::of(simulator, &json!({"calendar_id": "CAL1"})).await, MemorySteps::default());
        let event = event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00Z"}));
        crm.order("503 x1 @POST @/notes");
        crm.attempt("d1", &event, &kept).await.unwrap_err();
        let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!(crm.counts(), [1, 1, 1, 0]);
        assert_eq!(remark(&receipt), Some(format!("the appointment was not booked: {why}").as_str()));
        assert!(crm.notes()[0]["body"].as_str().unwrap().contains(&format!("Not booked: {why}. There is")));
    }
}

#[tokio::test]
async fn a_slot_that_this_very_appointment_takes_is_no_refusal() {
    let crm = Crm::with(&json!({"calendar_id": "CAL1"})).await;
    let event = event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00Z"}));
    crm.deliver("d1", &event).await.unwrap();
    let receipt = crm.deliver("d2", &event).await.unwrap();
    assert_eq!((remark(&receipt), crm.counts()), (None, [1, 2, 0, 1]));
}

#[tokio::test]
async fn a_conversation_goes_to_a_known_contact_in_several_notes_and_is_skipped_for_strangers() {
    let crm = Crm::start().await;
    let messages: Vec<Value> = (0..10).map(|_| json!({"author": "user", "text": "word ".repeat(300)})).collect();
    let chat = |who: Value| event(&json!({"kind": "conversation", "content": null, "messages": messages, "person": who}));
    let known = person(None, Some("david@acme.example"), None);
    let kept = MemorySteps::default();
    let error = crm.attempt("d1", &chat(known.clone()), &kept).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(15)) });
    assert!(matches!(crm.attempt("d1", &chat(known.clone()), &kept).await.unwrap(), Receipt::Skipped { .. }));
    let nobody = Event { session_id: None, ..chat(person(None, None, None)) };
    assert!(matches!(crm.deliver("d2", &nobody).await.unwrap(), Receipt::Skipped { .. }));
    assert!(crm.contacts().is_empty());
    crm.deliver("d3", &event(&json!({"content": null}))).await.unwrap();
    crm.deliver("d4", &chat(known)).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 4));
    assert!(crm.notes().iter().all(|note| note["body"].as_str().unwrap().len() <= 5_000));
    assert!(crm.notes()[3]["body"].as_str().unwrap().starts_with("Part 4 of 4"));
}

#[tokio::test]
async fn a_conversation_is_found_by_the_chat_session_that_its_lead_left() {
    let crm = Crm::with(&json!({"session_field": SESSION_FIELD})).await;
    let lead = crm.deliver("d1", &event(&json!({"content": null}))).await.unwrap();
    let chat = json!({"kind": "conversation", "person": person(None, None, None), "messages": [{"author": "user", "text": "Hi"}]});
    let receipt = crm.deliver("d2", &event(&chat)).await.unwrap();
    assert_eq!((record_id(&receipt), crm.notes().len()), (record_id(&lead), 1));
    assert!(crm.contacts()[0].get("firstName").is_some());
}

#[tokio::test]
async fn a_token_of_oauth_is_asked_for_once_and_a_revoked_grant_holds() {
    let app = |refresh| Simulator::of_app("c", "secret-0123456789", refresh);
    let config = json!({"oauth": {"client_id": "c", "client_secret": "secret-0123456789", "refresh_token": "refresh-token-0"}});
    let crm = Crm::of(app("refresh-token-0"), &config).await;
    crm.deliver("d1", &event(&json!({}))).await.unwrap();
    crm.deliver("d2", &event(&json!({}))).await.unwrap();
    let asked = crm.sent().iter().filter(|line| *line == "POST /oauth/token").count();
    assert_eq!((asked, crm.contacts().len()), (1, 1));
    let wrong = Crm::of(app("another-refresh-token"), &config).await;
    let error = wrong.deliver("d1", &event(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, error.verdict), (ErrorKind::Credentials, Verdict::Hold { until: None }));
}

#[tokio::test]
async fn check_finds_what_is_missing_and_changes_nothing() {
    let config = json!({"calendar_id": "CAL1", "session_field": SESSION_FIELD, "fields": {"contact.budget": "1"}});
    let crm = Crm::of(simulator().with_limits(100, 200_000), &config).await;
    let report = crm.connector.check().await;
    assert_eq!(report.worst(), Severity::Good, "{report:?}");
    let subjects: Vec<&str> = report.findings.iter().map(|finding| finding.subject.as_str()).collect();
    for subject in ["credentials", "quota", "location", "calendar", "fields", "scopes"] {
        assert!(subjects.contains(&subject), "{subject}: {report:?}");
    }
    assert!(crm.sent().iter().all(|line| line.starts_with("GET ")), "{:?}", crm.sent());
}

#[tokio::test]
async fn check_names_each_thing_that_is_wrong() {
    let config = json!({"calendar_id": "CAL1", "fields": {"contact.bugdet": "1"}});
    let crm = Crm::of(simulator().with_calendar("CAL2"), &config).await;
    let report = crm.connector.check().await;
    let bad: Vec<&str> =
        report.findings.iter().filter(|finding| finding.severity == Severity::Bad).map(|finding| finding.subject.as_str()).collect();
    assert_eq!(bad, ["calendar", "fields"], "{report:?}");
    assert!(format!("{report:?}").contains("contact.budget"));
    let few = Crm::of(simulator().without_scope("locations.readonly").without_scope("locations/customFields.readonly"), &config).await;
    assert_eq!(few.connector.check().await.worst(), Severity::Warn);
    let none = Crm::of(simulator().without_scope("contacts.readonly"), &config).await;
    assert!(none.connector.check().await.findings[0].message.contains("contacts.readonly"));
    let foreign = Crm::of(Simulator::accepting(TOKEN, "LOC2"), &json!({})).await;
    assert!(foreign.connector.check().await.findings[0].message.contains("location_id"));
    assert!(!crm.another(&settings(&crm.server.url(), &json!({"token": "wrong"}))).check().await.is_good());
}

#[tokio::test]
async fn a_preview_is_what_is_sent_without_the_token() {
    for content in ["2099-12-01T15:00:00+01:00", "tomorrow"] {
        let crm = Crm::with(&json!({"calendar_id": "CAL1", "tags": ["x"], "fields": {"contact.budget": "10"}})).await;
        let event = event(&json!({"kind": "appointment", "content": content}));
        let preview = crm.connector.preview(&event).unwrap();
        assert!(crm.sent().is_empty() && !serde_json::to_string(&preview).unwrap().contains(TOKEN));
        let id = record_id(&crm.deliver("(id of the delivery)", &event).await.unwrap());
        let told = |text: &str| text.replace("(id%20of%20the%20contact)", &id).replace("(id of the contact)", &id);
        let base = crm.server.url();
        let is_shown = |request: &Request| {
            let url = base.join(&request.target).unwrap().to_string();
            let same_body = |body: &Value| {
                told(&body.to_string()) == if request.body.is_empty() { "\"\"".to_owned() } else { request.json().to_string() }
            };
            preview.iter().any(|shown| shown.method == request.method && told(&shown.url) == url && same_body(&shown.body))
        };
        for request in crm.requests() {
            assert!(is_shown(&request), "{} {} is not in the preview: {preview:#?}", request.method, request.target);
        }
    }
    let crm = Crm::start().await;
    assert!(crm.connector.preview(&event(&json!({"kind": "test"}))).unwrap().is_empty());
}

#[tokio::test]
async fn a_look_up_that_is_refused_costs_the_phone_and_not_the_lead() {
    for fault in ["422 x1 @/contacts/search/duplicate?locationId=LOC1&number", "400 x1 @/contacts/search/duplicate?locationId=LOC1&number"]
    {
        let crm = Crm::start().await;
        crm.order(fault);
        let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
        assert_eq!((crm.contacts().len(), &crm.contacts()[0]["email"]), (1, &json!("david@acme.example")), "{fault}");
        assert_eq!(remark(&receipt), Some("GoHighLevel did not accept these fields: phone"), "{fault}");
        assert!(crm.notes()[0]["body"].as_str().unwrap().contains("+14155550100"), "{fault}");
    }
}

#[tokio::test]
async fn a_phone_alone_lets_nobody_overwrite_another_person() {
    let crm = Crm::with(&json!({"fields": {"city": "Bonn", "companyName": "Navy", "contact.budget": "10"}})).await;
    let amara = json!({"firstName": "Amara", "lastName": "Okafor", "email": "amara@acme.example", "phone": "+14155550100", "city": "Lagos",
        "customFields": [{"key": "budget", "field_value": "5"}]});
    let id = crm.make(&amara).await;
    let grace = json!({"first_name": "Grace", "last_name": null, "email": "grace@acme.example", "phone": "+14155550100"});
    let receipt = crm.deliver("d1", &event(&json!({"person": grace, "content": null}))).await.unwrap();
    let contact = crm.contacts().pop().unwrap();
    assert_eq!((record_id(&receipt), crm.contacts().len()), (id, 1));
    for (name, kept) in
        [("firstName", "Amara"), ("lastName", "Okafor"), ("email", "amara@acme.example"), ("city", "Lagos"), ("companyName", "Navy")]
    {
        assert_eq!(contact[name], kept, "{name}");
    }
    assert_eq!(contact["customFields"][0]["value"], "5");
    let told = remark(&receipt).unwrap();
    assert!(told.contains("other values, which stay; left out: city, contact.budget, email, firstName"), "{told}");
    let note = crm.notes().pop().unwrap()["body"].as_str().unwrap().to_owned();
    assert!(note.contains("firstName (this contact has another one): Grace") && note.contains("grace@acme.example"), "{note}");
}

#[tokio::test]
async fn a_known_phone_is_not_lost_to_whoever_knows_the_email() {
    for notes in [true, false] {
        let (crm, kept) = (Crm::with(&json!({"notes": notes})).await, MemorySteps::default());
        crm.make(&json!({"email": "david@acme.example", "phone": "+493012345678"})).await;
        crm.order("503 x1 @PUT");
        crm.attempt("d1", &event(&json!({"content": null})), &kept).await.unwrap_err();
        let receipt = crm.attempt("d1", &event(&json!({"content": null})), &kept).await.unwrap();
        assert_eq!((crm.contacts().len(), &crm.contacts()[0]["phone"]), (1, &json!("+493012345678")));
        assert_eq!(remark(&receipt), Some("the contact has other values, which stay; left out: phone"));
        let told =
            crm.notes().iter().any(|note| note["body"].as_str().unwrap().contains("phone (this contact has another one): +14155550100"));
        assert_eq!(told, notes);
        assert!(!format!("{:?}", kept.saved()).contains("+49"), "steps are told in certificates, which name nobody");
    }
}

/// Does not look at the filters of a search.
struct Deaf(Simulator);

impl Service for Deaf {
    fn answer(&mut self, request: &Request) -> Response {
        if request.path() == "/contacts/search" {
            return Response::json(200, &json!({"contacts": self.0.state()["contacts"]}));
        }
        self.0.answer(request)
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
async fn a_search_that_finds_everybody_gives_no_conversation_to_a_stranger() {
    let (crm, kept) = (Crm::of(Deaf(simulator()), &json!({"session_field": SESSION_FIELD})).await, MemorySteps::default());
    crm.make(&json!({"email": "stranger@acme.example"})).await;
    let chat = event(&json!({"kind": "conversation", "person": person(None, None, None), "messages": [{"author": "user", "text": "Hi"}]}));
    crm.attempt("d1", &chat, &kept).await.unwrap_err();
    assert!(matches!(crm.attempt("d1", &chat, &kept).await.unwrap(), Receipt::Skipped { .. }));
    let with_session = json!({"email": "a@acme.example", "customFields": [{"id": SESSION_FIELD, "field_value": "31305"}]});
    let id = crm.make(&with_session).await;
    assert_eq!(record_id(&crm.deliver("d2", &chat).await.unwrap()), id);
}

#[tokio::test]
async fn a_conversation_of_a_session_that_nobody_knows_costs_no_attempt() {
    let crm = Crm::start().await;
    let chat = event(&json!({"kind": "conversation", "person": person(None, None, None), "messages": [{"author": "user", "text": "Hi"}]}));
    assert!(matches!(crm.deliver("d1", &chat).await.unwrap(), Receipt::Skipped { .. }));
}

#[tokio::test]
async fn what_a_template_could_not_make_is_told_in_the_note() {
    let crm = Crm::with(&json!({"fields": {"postalCode": "{{ extra.Zip|int }}"}})).await;
    crm.deliver("d1", &event(&json!({"extra": {"Zip": "12-345"}}))).await.unwrap();
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("`postalCode`"));
}

#[tokio::test]
async fn what_a_lead_says_beside_its_remark_is_in_a_note() {
    let crm = Crm::start().await;
    let extra = json!({"Email": "david at acme", "Wishes": ["a", "b"], "Address": {"city": "Bonn"}});
    let person = person(Some("D"), None, Some("+14155550100"));
    crm.deliver("d1", &event(&json!({"content": null, "extra": extra, "person": person}))).await.unwrap();
    let note = crm.notes().pop().unwrap()["body"].as_str().unwrap().to_owned();
    assert!(note.contains("Email: david at acme") && note.contains("Wishes: a, b") && note.contains("Bonn"), "{note}");
}

#[tokio::test]
async fn an_appointment_of_a_deleted_contact_is_booked_again_or_becomes_a_task() {
    for (free_slots_only, counts) in [(true, [1, 1, 1, 1]), (false, [1, 1, 0, 2])] {
        let config = json!({"calendar_id": "CAL1", "appointments": {"free_slots_only": free_slots_only}});
        let (crm, kept) = (Crm::with(&config).await, MemorySteps::default());
        let event = event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00Z"}));
        crm.order("503 x1 @POST @/notes");
        crm.attempt("d1", &event, &kept).await.unwrap_err();
        let old = crm.contacts().pop().unwrap()["id"].as_str().unwrap().to_owned();
        crm.call(Method::Delete, &format!("contacts/{old}"), &Value::Null).await;
        let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!((crm.counts(), remark(&receipt).is_some()), (counts, free_slots_only));
        let booked = crm.list("appointments").pop().unwrap()["contactId"] == record_id(&receipt).as_str();
        assert_eq!(booked, !free_slots_only);
    }
}

#[tokio::test]
async fn a_refusal_without_a_word_is_told_as_it_is_and_loses_nothing() {
    let crm = Crm::with(&json!({"fields": {"companyName": "Acme", "contact.budget": "10"}})).await;
    crm.order("422 x1 @/upsert");
    let receipt = crm.deliver("d1", &event(&json!({}))).await.unwrap();
    let told = "GoHighLevel refused the contact without naming a field, and took it without these: companyName, contact.budget, source";
    assert_eq!(remark(&receipt), Some(told));
    let note = crm.notes().pop().unwrap()["body"].as_str().unwrap().to_owned();
    assert!(note.contains("companyName (not written") && note.contains(": Acme") && note.contains(": 10"), "{note}");
    crm.order("402 x1 @/duplicate");
    assert!(matches!(crm.deliver("d2", &event(&json!({}))).await.unwrap_err().verdict, Verdict::Hold { .. }));
}

#[tokio::test]
async fn a_conversation_without_a_person_is_found_by_the_session_of_its_lead_until_that_is_erased() {
    let crm = Crm::start().await;
    let lead = crm.deliver("d1", &event(&json!({"content": null}))).await.unwrap();
    let chat = json!({"kind": "conversation", "person": person(None, None, None), "messages": [{"author": "user", "text": "Hi"}]});
    let receipt = crm.deliver("d2", &event(&chat)).await.unwrap();
    assert_eq!((record_id(&receipt), crm.notes().len()), (record_id(&lead), 1));
    crm.connector.erase(&["d1".to_owned()]).await.unwrap();
    assert!(matches!(crm.deliver("d3", &event(&chat)).await.unwrap(), Receipt::Skipped { .. }));
}

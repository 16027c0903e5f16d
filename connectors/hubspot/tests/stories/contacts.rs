//! Contacts: found, made, updated, merged and archived, and never twice.

use crate::harness::{Crm, assert_waits, lead, person, record_id, remark};
use leadwire_connector::http::Method;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::testing::deliver;
use leadwire_connector::{ErrorKind, Event, MemorySteps, Receipt, StepStore, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_new_lead_makes_one_contact_and_one_note() {
    let crm = Crm::with(&json!({"fields": {"lifecyclestage": "lead"}, "portal_id": 42})).await;
    let receipt = crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    let contact = crm.contacts().pop().unwrap();
    assert_eq!(
        contact["properties"],
        json!({
            "email": "david@acme.example", "firstname": "David", "lastname": "Garcia", "lifecyclestage": "lead", "phone": "+14155550100",
        })
    );
    let notes = crm.notes();
    assert_eq!((notes.len(), &notes[0]["contact"], &notes[0]["timestamp"]), (1, &contact["id"], &json!("2026-11-22T05:16:00.000Z")));
    assert!(notes[0]["body"].as_str().unwrap().contains("I want a quote"));
    let Receipt::Delivered { record: Some(record), remark: None } = receipt else { panic!("{receipt:?}") };
    assert_eq!(record.url.unwrap(), "https://app.hubspot.com/contacts/42/record/0-1/101");
    let sent = ["/contacts/search", "/contacts", "/notes"].map(|path| format!("POST /crm/objects/2026-09{path}"));
    assert_eq!(crm.sent(), sent);
}

#[tokio::test]
async fn repeating_a_finished_delivery_sends_nothing() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    let first = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    let second = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!(first, second);
    assert_eq!((crm.contacts().len(), crm.notes().len(), crm.sent().len()), (1, 1, 3));
}

#[tokio::test]
async fn a_note_whose_answer_never_arrived_is_found_and_not_written_again() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.order("reset-after-write x1 @POST @/notes");
    let error = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    assert!(error.is_ambiguous(), "{error}");
    let receipt = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!(record_id(&receipt), "101");
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
}

#[tokio::test]
async fn a_note_among_many_others_is_found() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.order("reset-after-write x1 @POST @/notes");
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    for other in 0..25 {
        crm.deliver(&format!("d1{other}"), &lead(&json!({}))).await.unwrap();
    }
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!(crm.notes().len(), 26);
}

#[tokio::test]
async fn a_contact_whose_answer_never_arrived_is_not_made_again() {
    // A request that may be sent twice is sent again at once, so that one with an e-mail fails only if both answers get lost.
    for (who, lost, after) in
        [(person(None, Some("a@b.example"), None), 2, None), (person(None, None, None), 1, Some(Duration::from_secs(15)))]
    {
        let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
        let event = lead(&json!({"person": who}));
        crm.order(&format!("reset-after-write x{lost} @POST @/contacts"));
        let error = crm.attempt("d1", &event, &kept).await.unwrap_err();
        assert_eq!((error.is_ambiguous(), error.verdict), (true, Verdict::Retry { after }));
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1), "{who}");
    }
}

#[tokio::test]
async fn a_crash_after_any_answer_makes_nothing_twice() {
    for who in [person(None, Some("a@b.example"), None), person(None, None, Some("+14155550100")), person(None, None, None)] {
        let (crm, all) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
        let event = lead(&json!({"person": who}));
        crm.attempt("d1", &event, &all).await.unwrap();
        // Once for each step: the write was done, and the bridge died before it could keep the record's id.
        for lost in ["contact", "note"] {
            let kept = MemorySteps::of(all.saved().into_iter().filter(|(name, _)| name != lost));
            crm.attempt("d1", &event, &kept).await.unwrap();
            assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1), "{who} {lost}");
        }
    }
}

#[tokio::test]
async fn a_known_contact_is_updated_and_never_emptied() {
    let crm = Crm::with(&json!({"fields": {"lifecyclestage": "lead"}})).await;
    crm.contact(&json!({"email": "david@acme.example", "phone": "+1", "company": "Acme", "lifecyclestage": "customer"})).await;
    let event = lead(&json!({"person": person(Some("Dave"), Some("David@acme.example"), None)}));
    assert_eq!(record_id(&crm.deliver("d1", &event).await.unwrap()), "101");
    assert_eq!(
        crm.contacts()[0]["properties"],
        json!({
            "email": "david@acme.example", "firstname": "Dave", "phone": "+1", "company": "Acme", "lifecyclestage": "customer",
        })
    );
    assert_eq!(crm.notes().len(), 1);
}

#[tokio::test]
async fn a_phone_that_somebody_shares_renames_nobody() {
    let (crm, kept) = (Crm::with(&json!({"fields": {"company": "{{ extra.Company }}"}})).await, MemorySteps::default());
    crm.contact(&json!({"email": "amy@acme.example", "firstname": "Amara", "lastname": "Original", "phone": "+14155550001"})).await;
    let who = json!({"first_name": "Grace", "last_name": "Other", "email": null, "phone": "+14155550001"});
    // The note fails, so that a later attempt must still know what was kept.
    crm.order("503 x1 @/notes");
    let event = lead(&json!({"person": who, "extra": {"Company": "Acme"}}));
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
    let expected = json!({
        "email": "amy@acme.example", "firstname": "Amara", "lastname": "Original", "phone": "+14155550001", "company": "Acme",
    });
    assert_eq!(crm.contacts()[0]["properties"], expected);
    assert_eq!(remark(&receipt), Some("the contact in HubSpot has other values, which were kept: firstname, lastname"));
    let note = crm.notes()[0]["body"].as_str().unwrap().to_owned();
    assert!(note.contains("firstname (the contact has another value, which was kept): Grace") && note.contains("Other"), "{note}");
}

#[tokio::test]
async fn a_known_phone_is_not_lost_to_a_new_one() {
    let crm = Crm::start().await;
    crm.contact(&json!({"email": "david@acme.example", "phone": "+1"})).await;
    let receipt = crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.contacts()[0]["properties"]["phone"], "+1");
    assert!(remark(&receipt).unwrap().contains("kept: phone"));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("+14155550100"));
}

#[tokio::test]
async fn a_contact_that_was_archived_leaves_its_values_behind() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.contact(&json!({"email": "david@acme.example", "phone": "+1"})).await;
    crm.order("503 x1 @/notes");
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    crm.call(Method::Delete, "crm/objects/2026-09/contacts/101", &Value::Null).await;
    let receipt = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!((crm.contacts()[0]["properties"]["phone"].as_str(), remark(&receipt)), (Some("+14155550100"), None));
}

#[tokio::test]
async fn nothing_that_a_lead_without_a_remark_tells_is_lost() {
    let crm = Crm::start().await;
    let extra = json!({"Email": "not an address", "URI": "javascript:alert(1)", "Tags": ["a", "b"], "UTM": {"source": "ads"}});
    let who = person(Some("Ana"), None, Some("+14155552671"));
    crm.deliver("d1", &lead(&json!({"content": null, "person": who, "extra": extra}))).await.unwrap();
    let note = crm.notes()[0]["body"].as_str().unwrap().to_owned();
    for told in ["Email: not an address", "javascript:alert(1)", "Tags: a, b", "ads", "Page: https://acme.example/", "Chat session: 31305"]
    {
        assert!(note.contains(told), "{told}: {note}");
    }
    let nothing = json!({"content": null, "session_id": null, "page_url": null});
    crm.deliver("d2", &lead(&nothing)).await.unwrap();
    assert_eq!(crm.notes().len(), 1, "a note that says nothing");
}

#[tokio::test]
async fn a_secondary_email_finds_its_contact_and_does_not_become_the_primary() {
    let crm = Crm::start().await;
    crm.contact(&json!({"email": "main@acme.example", "hs_additional_emails": "david@acme.example"})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!((crm.contacts().len(), &crm.contacts()[0]["properties"]["email"]), (1, &json!("main@acme.example")));
}

#[tokio::test]
async fn a_conflict_without_an_id_is_settled_by_the_email() {
    let crm = Crm::start().await;
    crm.contact(&json!({"email": "david@acme.example"})).await;
    crm.order("409 x1 @POST @/contacts");
    crm.deliver("d1", &lead(&json!({"person": person(Some("David"), Some("david@acme.example"), None)}))).await.unwrap();
    assert_eq!(crm.contacts().len(), 1);
    assert_eq!(crm.contacts()[0]["properties"]["firstname"], "David");
}

#[tokio::test]
async fn a_refused_token_holds_the_destination() {
    let crm = Crm::start().await;
    let wrong = crm.another(&json!({"token": "pat-na1-wrongwrongwrong"}));
    let error = deliver(&*wrong, "d1", &lead(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Credentials, &Verdict::Hold { until: None }));
    assert!(!format!("{error:?}").contains("wrongwrong"), "{error:?}");
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_and_an_outage_is_tried_again() {
    let crm = Crm::start().await;
    for (fault, kind, after) in [
        ("429 x1", ErrorKind::RateLimited, 10),
        ("429:77 x1", ErrorKind::RateLimited, 77),
        ("503 x1", ErrorKind::Server, 3),
        ("423 x1", ErrorKind::RateLimited, 2),
    ] {
        crm.order(fault);
        let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
        assert_eq!((error.kind, error.verdict), (kind, Verdict::Retry { after: Some(Duration::from_secs(after)) }), "{fault}");
    }
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
}

/// An account that has spent its requests for the day.
struct Spent;

impl Service for Spent {
    fn answer(&mut self, _: &Request) -> Response {
        self.rate_limited()
    }

    fn error_inside(&self) -> Response {
        self.rate_limited()
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({"status": "error", "errorType": "RATE_LIMIT", "policyName": "DAILY"}))
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

#[tokio::test]
async fn a_spent_daily_limit_holds_the_destination_for_an_hour() {
    let crm = Crm::of(Spent, &json!({})).await;
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    let Verdict::Hold { until: Some(until) } = error.verdict else { panic!("{error:?}") };
    let minutes = until.duration_since(Timestamp::now()).as_mins();
    assert_eq!(error.kind, ErrorKind::Quota);
    assert!((58..=60).contains(&minutes), "{minutes}");
}

#[tokio::test]
async fn a_2xx_with_an_error_inside_or_with_rubbish_is_no_delivery() {
    for (fault, times) in [("error-inside", 1), ("garbage", 1), ("huge-body:20000000", 1)] {
        for place in ["/contacts", "/notes"] {
            let (crm, kept) = (Crm::start().await, MemorySteps::default());
            crm.order(&format!("{fault} x{times} @POST @{place}"));
            let error = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
            assert!(matches!(error.verdict, Verdict::Retry { .. }), "{fault} {place}: {error:?}");
            crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
            assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1), "{fault} {place}");
        }
    }
}

#[tokio::test]
async fn a_property_that_hubspot_refuses_is_left_out_once_and_noted() {
    let crm = Crm::with(&json!({"fields": {"favcolor": "{{ extra.Color }}", "hs_lead_status": "SHINY"}})).await;
    let kept = MemorySteps::default();
    let event = lead(&json!({"extra": {"Color": "blue"}, "content": null}));
    crm.order("503 x1 @/notes");
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
    let remark = remark(&receipt).unwrap();
    assert!(remark.contains("favcolor, hs_lead_status") && !remark.contains("blue"), "{remark}");
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("favcolor (not accepted as a property): blue"));
    assert_eq!(crm.sent().iter().filter(|line| *line == "POST /crm/objects/2026-09/contacts").count(), 2);
}

#[tokio::test]
async fn a_refused_email_leaves_a_contact_with_the_phone_and_the_address_in_the_note() {
    let crm = Crm::start().await;
    let event = lead(&json!({"person": person(Some("Ann"), Some("ann@host.invalid"), Some("+14155550100"))}));
    crm.deliver("d1", &event).await.unwrap();
    assert_eq!(crm.contacts()[0]["properties"], json!({"firstname": "Ann", "phone": "+14155550100"}));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("ann@host.invalid"));
    let nobody = lead(&json!({"person": person(None, Some("bob@host.invalid"), None)}));
    let error = crm.deliver("d2", &nobody).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Reject);
    assert!(error.message.contains("email (INVALID_EMAIL)") && !error.message.contains("bob"), "{error}");
}

#[tokio::test]
async fn a_phone_alone_finds_its_contact_again() {
    let crm = Crm::start().await;
    let event = lead(&json!({"person": person(None, None, Some("+14155550100"))}));
    crm.deliver("d1", &event).await.unwrap();
    crm.deliver("d2", &event).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 2));
    assert_eq!(crm.contacts()[0]["properties"]["lastname"], "+14155550100");
}

/// The two persons whom only search recognises: one with a phone, one with a name.
fn without_email() -> [Event; 2] {
    [person(None, None, Some("+14155550100")), person(Some("Ann"), None, None)].map(|person| lead(&json!({"person": person})))
}

#[tokio::test]
async fn a_crash_after_the_create_makes_no_second_contact_although_search_lags() {
    for event in without_email() {
        let crm = Crm::lagging(3, &json!({"anonymous": true})).await;
        // The contact is made, and the bridge dies before it can keep its id.
        let dead = MemorySteps::default();
        crm.attempt("d1", &event, &dead).await.unwrap();
        let kept = MemorySteps::default();
        kept.save("contact.sent", "").await.unwrap();
        let notes = crm.notes().len();
        crm.connector.erase(&["d1".to_owned()]).await.unwrap();
        let crm = crm.restarted();
        assert_waits(&crm.attempt("d1", &event, &kept).await.unwrap_err());
        crm.call(Method::Get, "crm/objects/2026-09/contacts", &Value::Null).await;
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!((crm.contacts().len(), crm.notes().len()), (1, notes + 1), "{:?}", crm.sent());
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_create_is_waited_for_until_search_shows_the_contact() {
    let (crm, kept) = (Crm::lagging(1, &json!({"anonymous": true})).await, MemorySteps::default());
    let [_, event] = without_email();
    crm.order("reset-after-write x1 @POST @/contacts");
    assert!(crm.attempt("d1", &event, &kept).await.unwrap_err().is_ambiguous());
    assert_waits(&crm.attempt("d1", &event, &kept).await.unwrap_err());
    crm.attempt("d1", &event, &kept).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1), "{:?}", crm.sent());
}

#[tokio::test]
async fn a_create_that_never_arrived_is_waited_for_once_and_then_sent() {
    for event in without_email() {
        let (crm, kept) = (Crm::lagging(3, &json!({"anonymous": true})).await, MemorySteps::default());
        kept.save("contact.sent", "").await.unwrap();
        assert_waits(&crm.attempt("d1", &event, &kept).await.unwrap_err());
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
    }
}

/// People of whom the account has a first name that a lead has as well.
fn namesakes() -> [Value; 4] {
    [
        json!({"firstname": "Ann", "lastname": "Miller", "email": "ann@miller.example"}),
        json!({"firstname": "Ann", "mobilephone": "+14155550199"}),
        json!({"firstname": "Ann", "lastname": "Miller"}),
        json!({"firstname": "ANN"}),
    ]
}

#[tokio::test]
async fn a_refused_create_makes_nobody_of_the_same_name_the_lead() {
    let [_, event] = without_email();
    for (fault, namesake) in [("429", json!({"firstname": "Ann"})), ("401", namesakes()[0].clone()), ("423", namesakes()[1].clone())] {
        let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
        crm.order(&format!("{fault} x1 @POST @/contacts"));
        crm.attempt("d1", &event, &kept).await.unwrap_err();
        let stranger = crm.contact(&namesake).await;
        let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
        assert_ne!(record_id(&receipt), stranger["id"], "{fault}");
        assert_eq!(crm.contacts().len(), 2);
        assert!(!crm.sent().iter().any(|line| line.contains("/search") || line.contains("PATCH")), "{:?}", crm.sent());
    }
}

#[tokio::test]
async fn a_lead_whose_create_never_arrived_is_none_of_those_with_its_name() {
    let [_, event] = without_email();
    for namesake in namesakes() {
        let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
        crm.order("reset-before x1 @POST @/contacts");
        assert!(crm.attempt("d1", &event, &kept).await.unwrap_err().is_ambiguous());
        let stranger = crm.contact(&namesake).await;
        assert_waits(&crm.attempt("d1", &event, &kept).await.unwrap_err());
        let receipt = crm.attempt("d1", &event, &kept).await.unwrap();
        assert_ne!(record_id(&receipt), stranger["id"], "{namesake}");
        assert!(!crm.sent().iter().any(|line| line.contains("PATCH")), "{:?}", crm.sent());
    }
}

#[tokio::test]
async fn a_lead_whose_answer_got_lost_is_found_among_those_with_its_name() {
    let [_, event] = without_email();
    let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
    for namesake in namesakes() {
        crm.contact(&namesake).await;
    }
    crm.order("reset-after-write x1 @POST @/contacts");
    assert!(crm.attempt("d1", &event, &kept).await.unwrap_err().is_ambiguous());
    // A refusal of what is sent next says nothing of what got lost before.
    crm.order("429 x1 @POST @/contacts/search");
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    assert_eq!(record_id(&crm.attempt("d1", &event, &kept).await.unwrap()), "105");
    assert_eq!(crm.contacts().len(), 5);
}

#[tokio::test]
async fn of_two_that_may_be_the_lead_neither_is_taken() {
    let [_, event] = without_email();
    let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
    crm.contact(&json!({"firstname": "Ann"})).await;
    crm.order("reset-after-write x1 @POST @/contacts");
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    assert_waits(&crm.attempt("d1", &event, &kept).await.unwrap_err());
    assert_eq!(record_id(&crm.attempt("d1", &event, &kept).await.unwrap()), "103");
}

#[tokio::test]
async fn a_search_with_an_error_inside_finds_nothing_out() {
    let crm = Crm::start().await;
    let [event, _] = without_email();
    crm.contact(&json!({"lastname": "Garcia", "phone": "+14155550100"})).await;
    crm.order("error-inside x1 @POST @/contacts/search");
    assert!(matches!(crm.deliver("d1", &event).await.unwrap_err().verdict, Verdict::Retry { .. }));
    assert_eq!(record_id(&crm.deliver("d1", &event).await.unwrap()), "101");
}

#[tokio::test]
async fn a_refused_property_of_a_phone_only_lead_costs_no_wait() {
    let crm = Crm::lagging(100, &json!({"fields": {"favcolor": "blue"}})).await;
    crm.deliver("d1", &without_email()[0]).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
}

#[tokio::test]
async fn a_lead_an_appointment_and_a_conversation_seconds_apart_are_of_one_contact() {
    for first in [person(None, None, Some("+14155550100")), person(None, Some("david@acme.example"), Some("+14155550100"))] {
        let crm = Crm::lagging(100, &json!({})).await;
        let phone = person(None, None, Some("+14155550100"));
        crm.deliver("d1", &lead(&json!({"person": first}))).await.unwrap();
        crm.deliver("d2", &lead(&json!({"kind": "appointment", "person": phone}))).await.unwrap();
        let messages = json!([{"author": "user", "text": "Hi"}]);
        crm.deliver("d3", &lead(&json!({"kind": "conversation", "person": phone, "messages": messages}))).await.unwrap();
        assert_eq!(crm.counts(), [1, 2, 1, 0]);
    }
}

#[tokio::test]
async fn a_remembered_contact_that_is_gone_is_made_anew() {
    for kind in ["lead", "conversation"] {
        let (crm, kept) = (Crm::start().await, MemorySteps::default());
        let [phone, _] = without_email();
        crm.deliver("d1", &phone).await.unwrap();
        crm.call(Method::Delete, "crm/objects/2026-09/contacts/101", &Value::Null).await;
        let messages = json!([{"author": "user", "text": "Hi"}]);
        let next = lead(&json!({"kind": kind, "person": phone.person, "messages": messages}));
        let (first, second) = (crm.attempt("d2", &next, &kept).await, crm.attempt("d2", &next, &kept).await);
        match kind {
            "lead" => assert!(first.is_ok() && crm.contacts().len() == 1, "{first:?}"),
            _ => assert!(first.is_err() && matches!(second, Ok(Receipt::Skipped { .. })), "{first:?} {second:?}"),
        }
    }
}

#[tokio::test]
async fn a_conversation_right_after_its_lead_finds_the_contact_when_search_has_followed() {
    let crm = Crm::lagging(3, &json!({})).await;
    let [phone, _] = without_email();
    crm.deliver("d1", &phone).await.unwrap();
    // As if another system had made the contact: nothing of it is remembered.
    crm.connector.erase(&["d1".to_owned()]).await.unwrap();
    let kept = MemorySteps::default();
    let messages = json!([{"author": "user", "text": "Hi"}]);
    let chat = lead(&json!({"kind": "conversation", "person": phone.person, "session_id": null, "messages": messages}));
    assert_waits(&crm.attempt("d2", &chat, &kept).await.unwrap_err());
    crm.call(Method::Get, "crm/objects/2026-09/contacts", &Value::Null).await;
    assert_eq!(record_id(&crm.attempt("d2", &chat, &kept).await.unwrap()), "101");
}

#[tokio::test]
async fn a_lead_of_nobody_is_skipped_or_made_anonymous() {
    let nobody = lead(&json!({"person": person(None, None, None)}));
    let crm = Crm::start().await;
    assert!(matches!(crm.deliver("d1", &nobody).await.unwrap(), Receipt::Skipped { .. }));
    assert!(crm.sent().is_empty());
    let crm = Crm::with(&json!({"anonymous": true})).await;
    crm.deliver("d1", &nobody).await.unwrap();
    assert_eq!(crm.contacts()[0]["properties"]["lastname"], "Chat visitor 31305");
}

#[tokio::test]
async fn a_conversation_goes_to_a_known_contact_and_is_skipped_for_strangers() {
    let crm = Crm::with(&json!({"notes": false})).await;
    let messages: Vec<Value> = (0..40).map(|_| json!({"author": "user", "text": "word ".repeat(1_000)})).collect();
    let chat = |who: Value| lead(&json!({"kind": "conversation", "content": null, "messages": messages, "person": who}));
    for stranger in [person(None, None, None), person(None, Some("david@acme.example"), None), person(None, None, Some("+14155550100"))] {
        let kept = MemorySteps::default();
        let has_identity = stranger != person(None, None, None);
        if has_identity {
            // The lead may have come a moment ago.
            assert_waits(&crm.attempt("d1", &chat(stranger.clone()), &kept).await.unwrap_err());
        }
        assert!(matches!(crm.attempt("d1", &chat(stranger), &kept).await.unwrap(), Receipt::Skipped { .. }));
    }
    assert!(crm.contacts().is_empty());
    crm.deliver("d2", &lead(&json!({"content": null}))).await.unwrap();
    crm.deliver("d3", &chat(person(None, Some("david@acme.example"), None))).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 4));
    assert!(crm.notes()[3]["body"].as_str().unwrap().contains("Part 4 of 4"));
}

#[tokio::test]
async fn a_contact_archived_between_two_attempts_is_made_anew() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.order("503 x1 @/notes");
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    crm.call(Method::Delete, "crm/objects/2026-09/contacts/101", &Value::Null).await;
    let receipt = crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    assert_eq!(crm.notes()[0]["contact"], record_id(&receipt));
    assert_eq!((crm.contacts().len(), crm.notes().len()), (1, 1));
}

#[tokio::test]
async fn a_merged_contact_is_known_by_its_new_id() {
    let crm = Crm::with(&json!({"notes": false})).await;
    crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    crm.contact(&json!({"email": "other@acme.example"})).await;
    let both = json!({"primaryObjectId": "102", "objectIdToMerge": "101"});
    let survivor = crm.call(Method::Post, "crm/objects/2026-09/contacts/merge", &both).await;
    let receipt = crm.deliver("d2", &lead(&json!({}))).await.unwrap();
    assert_eq!(record_id(&receipt), survivor["id"]);
}

#[tokio::test]
async fn a_phone_that_comes_first_gets_its_email_later_and_stays_one_contact() {
    let crm = Crm::start().await;
    let phone = Some("+14155550100");
    let first = crm.deliver("d1", &lead(&json!({"person": person(Some("David"), None, phone)}))).await.unwrap();
    let second = crm.deliver("d2", &lead(&json!({"person": person(Some("David"), Some("d@acme.example"), phone)}))).await.unwrap();
    assert_eq!((crm.contacts().len(), record_id(&first)), (1, record_id(&second)));
    assert_eq!(crm.contacts()[0]["properties"]["email"], "d@acme.example");
    // The same after the bridge was started anew, when search has followed.
    let crm = crm.restarted();
    crm.deliver("d3", &lead(&json!({"person": person(Some("David"), Some("d@acme.example"), phone)}))).await.unwrap();
    assert_eq!(crm.contacts().len(), 1);
}

#[tokio::test]
async fn an_email_is_given_to_nobody_who_may_be_somebody_else() {
    let crm = Crm::start().await;
    crm.contact(&json!({"firstname": "Grace", "phone": "+14155550100"})).await;
    crm.deliver("d1", &lead(&json!({"person": person(Some("David"), Some("d@acme.example"), Some("+14155550100"))}))).await.unwrap();
    assert_eq!((crm.contacts().len(), crm.contacts()[0]["properties"].get("email")), (2, None));
}

#[tokio::test]
async fn an_email_that_is_another_contacts_leads_there_although_the_phone_led_elsewhere() {
    let crm = Crm::start().await;
    crm.contact(&json!({"firstname": "David", "phone": "+14155550100"})).await;
    crm.contact(&json!({"email": "d@acme.example"})).await;
    let receipt = crm.deliver("d1", &lead(&json!({"person": person(Some("David"), Some("d@acme.example"), Some("+14155550100"))}))).await;
    assert_eq!((record_id(&receipt.unwrap()).as_str(), crm.contacts().len()), ("102", 2));
    assert_eq!(crm.contacts()[0]["properties"].get("email"), None);
}

#[tokio::test]
async fn a_phone_is_one_contact_although_search_lags_and_the_bridge_restarts_or_is_another() {
    let crm = Crm::lagging(50, &json!({})).await;
    let event = lead(&json!({"person": person(Some("David"), None, Some("+14155550100"))}));
    crm.deliver("d1", &event).await.unwrap();
    let other = crm.another(&json!({}));
    deliver(&*other, "d2", &event).await.unwrap();
    let crm = crm.restarted();
    crm.deliver("d3", &event).await.unwrap();
    assert_eq!(crm.contacts().len(), 1);
    // What is kept of it goes with the person.
    crm.connector.erase(&["d1", "d2", "d3"].map(str::to_owned)).await.unwrap();
    crm.deliver("d4", &event).await.unwrap();
    assert_eq!(crm.contacts().len(), 2);
}

#[tokio::test]
async fn a_phone_that_somebody_typed_in_another_form_is_the_same() {
    let crm = Crm::start().await;
    crm.contact(&json!({"lastname": "Garcia", "phone": "(415) 555-0100"})).await;
    crm.contact(&json!({"lastname": "Other", "mobilephone": "+44 20 5550100"})).await;
    let receipt = crm.deliver("d1", &lead(&json!({"person": person(None, None, Some("+14155550100"))}))).await.unwrap();
    assert_eq!((record_id(&receipt).as_str(), remark(&receipt), crm.contacts().len()), ("101", None, 2));
    // An account that has no such properties is searched as it can be.
    crm.contact(&json!({"lastname": "Plain", "phone": "+14155550199"})).await;
    crm.order("400 x1 @/search");
    let receipt = crm.deliver("d2", &lead(&json!({"person": person(None, None, Some("+14155550199"))}))).await.unwrap();
    assert_eq!(record_id(&receipt), "104", "the note between them is 103");
}

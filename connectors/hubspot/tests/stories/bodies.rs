//! Every request, to the letter.

use crate::harness::{Crm, TOKEN, lead, person};
use leadwire_connector::simulator::Request;
use leadwire_connector::{Event, MemorySteps};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};

/// All requests of a course, without what changes from run to run.
fn requests(crm: &Crm) -> Value {
    let shown = |request: &Request| json!({"request": format!("{} {}", request.method, request.target), "body": request.json()});
    crm.requests().iter().map(shown).collect()
}

fn phone() -> Event {
    lead(&json!({"person": person(Some("Ann"), None, Some("+14155550100")), "received_at": "2026-11-22T05:17:00.000000Z"}))
}

async fn course(name: &str, config: &Value, events: &[Event]) {
    let crm = Crm::with(config).await;
    for (number, event) in events.iter().enumerate() {
        crm.deliver(&format!("d{number}"), event).await.unwrap();
    }
    insta::assert_json_snapshot!(name, requests(&crm));
}

#[tokio::test]
async fn a_new_contact_and_a_known_one() {
    let config = json!({"fields": {"lifecyclestage": "lead", "company": "{{ extra.Company }}"}});
    let event = lead(&json!({"extra": {"Company": "Acme & Sons"}}));
    course("contact_by_email", &config, &[event.clone(), event]).await;
    course("contact_by_phone", &json!({}), &[phone()]).await;
}

#[tokio::test]
async fn an_appointment_as_a_task_a_note_and_a_meeting() {
    let wish = |content: &str| lead(&json!({"kind": "appointment", "content": content, "received_at": "2026-11-22T05:17:00Z"}));
    let config = |otherwise: &str| json!({"appointments": {"otherwise": otherwise, "owner_id": 7, "minutes": 30}});
    course("appointment_task", &config("task"), &[wish("tomorrow at 3pm")]).await;
    course("appointment_note", &config("note"), &[wish("tomorrow at 3pm")]).await;
    course("appointment_meeting", &config("task"), &[wish("2026-11-24T15:00:00+01:00")]).await;
}

#[tokio::test]
async fn a_conversation_by_email_and_by_session() {
    let messages = json!([{"author": "ai", "text": "Hello"}, {"author": "user", "text": "I am <David>"}]);
    let window = json!({"start": "2026-11-21T00:00:00Z", "end": "2026-11-22T00:00:00Z"});
    let chat = |who: Value| {
        lead(
            &json!({"kind": "conversation", "person": who, "content": null, "messages": messages, "window": window, "chatbot_name": "Ada"}),
        )
    };
    let by_email = person(None, Some("david@acme.example"), None);
    course("conversation", &json!({}), &[lead(&json!({"content": null})), chat(by_email), chat(person(None, None, None))]).await;
}

#[tokio::test]
async fn reading_back_after_an_answer_that_never_arrived() {
    let (crm, kept) = (Crm::start().await, MemorySteps::default());
    crm.order("reset-after-write x1 @POST @/notes");
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap_err();
    crm.attempt("d1", &lead(&json!({})), &kept).await.unwrap();
    insta::assert_json_snapshot!("read_back", requests(&crm));
}

#[tokio::test]
async fn looking_for_a_nameless_contact_that_may_be_there() {
    let (crm, kept) = (Crm::with(&json!({"anonymous": true})).await, MemorySteps::default());
    let event = lead(&json!({"person": person(Some("Ann"), None, None), "received_at": "2026-11-22T05:17:00.000000Z"}));
    crm.order("reset-after-write x1 @POST @/2026-09/contacts");
    crm.attempt("d1", &event, &kept).await.unwrap_err();
    crm.attempt("d1", &event, &kept).await.unwrap();
    insta::assert_json_snapshot!("anonymous", requests(&crm));
}

#[tokio::test]
async fn a_key_of_the_visitor() {
    let config = json!({"person_key_property": "visitor", "anonymous": true});
    let crm = Crm::of(Simulator::accepting(TOKEN), &config).await;
    crm.property("visitor", true).await;
    let nobody = person(None, None, None);
    crm.deliver("d1", &lead(&json!({"person": nobody}))).await.unwrap();
    crm.connector.erase(&["d1".to_owned()]).await.unwrap();
    let messages = json!([{"author": "user", "text": "Hi"}]);
    crm.deliver("d2", &lead(&json!({"kind": "conversation", "person": nobody, "messages": messages}))).await.unwrap();
    insta::assert_json_snapshot!("visitor_key", requests(&crm));
}

#[tokio::test]
async fn everything_that_a_check_asks() {
    let crm = Crm::with(&json!({"fields": {"lifecyclestage": "lead"}})).await;
    crm.connector.check().await;
    insta::assert_json_snapshot!("check", requests(&crm));
}

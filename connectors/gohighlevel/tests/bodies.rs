//! Every body that is sent, as it goes out.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod crm;

use crm::{Crm, event, person};
use leadwire_connector::simulator::Request;
use serde_json::{Value, json};

/// What was sent after `from`, without headers: one line for the request, then its body.
fn sent(crm: &Crm, from: usize) -> Vec<Value> {
    let shown = |request: &Request| json!({"request": format!("{} {}", request.method, request.target), "version": request.header("version"), "body": request.json()});
    crm.requests()[from..].iter().map(shown).collect()
}

fn config() -> Value {
    json!({
        "calendar_id": "CAL1", "tags": ["chatbot", "{{ source }}"], "session_field": "Kq2Zt8RwXy4Lm6Np0VbC",
        "fields": {"companyName": "{{ extra.Company }}", "contact.budget": "{{ extra.Budget }}", "contact.color": "[\"red\",\"blue\"]"},
        "appointments": {"minutes": 30, "status": "confirmed", "assigned_user": "U1"},
    })
}

#[tokio::test]
async fn a_new_lead() {
    let crm = Crm::with(&config()).await;
    crm.deliver("d1", &event(&json!({"extra": {"Company": "Acme", "Budget": "5000"}}))).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, 0));
}

#[tokio::test]
async fn a_known_lead_found_by_its_phone() {
    let crm = Crm::with(&config()).await;
    crm.make(&json!({"phone": "+14155550100"})).await;
    crm.deliver("d1", &event(&json!({}))).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, 1));
}

#[tokio::test]
async fn an_appointment_with_an_explicit_time() {
    let crm = Crm::with(&config()).await;
    crm.deliver("d1", &event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00+01:00"}))).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, 0));
}

#[tokio::test]
async fn an_appointment_whose_time_is_taken() {
    let crm = Crm::with(&config()).await;
    let other = event(
        &json!({"kind": "appointment", "content": "2099-12-01T15:00:00+01:00", "person": person(Some("A"), Some("a@b.example"), None)}),
    );
    crm.deliver("d1", &other).await.unwrap();
    let before = crm.sent().len();
    crm.deliver("d2", &event(&json!({"kind": "appointment", "content": "2099-12-01T15:00:00+01:00"}))).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, before));
}

#[tokio::test]
async fn a_conversation_of_a_session() {
    let crm = Crm::with(&config()).await;
    crm.deliver("d1", &event(&json!({"content": null}))).await.unwrap();
    let before = crm.sent().len();
    let messages = json!([{"author": "ai", "text": "Hello"}, {"author": "user", "text": "Hi <you>"}]);
    let window = json!({"start": "2026-11-21T00:00:00Z", "end": "2026-11-22T00:00:00Z"});
    let chat =
        json!({"kind": "conversation", "person": person(None, None, None), "messages": messages, "window": window, "chatbot_name": "Ada"});
    crm.deliver("d2", &event(&chat)).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, before));
}

#[tokio::test]
async fn a_lead_of_version_3_with_notes_as_html() {
    let crm = Crm::with(&json!({"api_version": "v3", "note_format": "html", "fields": {"contact.budget": "10"}})).await;
    crm.deliver("d1", &event(&json!({"content": "a <b> & \"c\""}))).await.unwrap();
    insta::assert_json_snapshot!(sent(&crm, 0));
}

//! Conversations: on the contact who had the session.

use crate::harness::{Crm, TOKEN, lead, person, record_id};
use leadwire_connector::http::Method;
use leadwire_connector::{ErrorKind, Event, MemorySteps, Receipt, Verdict};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};

/// A chat log names nobody.
fn chat(session: &str) -> Event {
    let messages = json!([{"author": "ai", "text": "Hello"}, {"author": "user", "text": "Hi"}]);
    lead(&json!({"kind": "conversation", "person": person(None, None, None), "session_id": session, "content": null, "messages": messages}))
}

fn is_skipped(receipt: &Receipt) -> bool {
    matches!(receipt, Receipt::Skipped { .. })
}

#[tokio::test]
async fn a_conversation_goes_to_the_contact_whose_lead_came_from_the_same_session() {
    let crm = Crm::with(&json!({"notes": false})).await;
    let who = person(None, Some("ann@acme.example"), None);
    crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    crm.deliver("d2", &lead(&json!({"content": null, "person": who, "session_id": "31306"}))).await.unwrap();
    // Also by another bridge, or after a restart.
    let crm = crm.restarted();
    assert_eq!(record_id(&crm.deliver("d3", &chat("31306")).await.unwrap()), "102");
    assert_eq!(record_id(&crm.deliver("d4", &chat("31305")).await.unwrap()), "101");
    assert_eq!(crm.notes().iter().map(|note| &note["contact"]).collect::<Vec<_>>(), ["102", "101"]);
}

#[tokio::test]
async fn a_conversation_of_a_stranger_asks_hubspot_nothing_and_is_skipped() {
    let crm = Crm::start().await;
    assert!(is_skipped(&crm.deliver("d1", &chat("1")).await.unwrap()));
    let other_chatbot = Event { chatbot_id: Some("other".to_owned()), ..chat("31305") };
    crm.deliver("d2", &lead(&json!({}))).await.unwrap();
    let before = crm.sent().len();
    assert!(is_skipped(&crm.deliver("d3", &other_chatbot).await.unwrap()), "the same number at another chatbot is another session");
    assert_eq!(crm.sent().len(), before);
}

#[tokio::test]
async fn a_session_follows_a_merge_and_forgets_an_archived_contact() {
    let crm = Crm::with(&json!({"notes": false})).await;
    crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    crm.contact(&json!({"email": "other@acme.example"})).await;
    let both = json!({"primaryObjectId": "102", "objectIdToMerge": "101"});
    let survivor = crm.call(Method::Post, "crm/objects/2026-09/contacts/merge", &both).await["id"].as_str().unwrap().to_owned();
    assert_eq!(record_id(&crm.deliver("d2", &chat("31305")).await.unwrap()), survivor);
    crm.call(Method::Delete, &format!("crm/objects/2026-09/contacts/{survivor}"), &Value::Null).await;
    assert!(is_skipped(&crm.deliver("d3", &chat("31305")).await.unwrap()));
}

#[tokio::test]
async fn a_404_of_somebody_else_holds_and_forgets_no_session() {
    let crm = Crm::start().await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    let by_email = |event: Event| Event { person: lead(&json!({})).person, ..event };
    // This version of the API was retired: a page of a web server answers.
    let crm = crm.restarted_with(&json!({"api_version": "2020-03"}));
    for event in [chat("31305"), by_email(chat("31305")), lead(&json!({}))] {
        let error = crm.deliver("d2", &event).await.unwrap_err();
        assert_eq!((error.kind, &error.verdict), (ErrorKind::Configuration, &Verdict::Hold { until: None }), "{error:?}");
        assert!(error.message.contains("`base_url`") && error.message.contains("`api_version`"), "{error}");
    }
    assert_eq!(record_id(&crm.restarted().deliver("d2", &chat("31305")).await.unwrap()), "101", "the session is still known");
}

#[tokio::test]
async fn a_404_of_a_create_holds_whatever_it_says() {
    let crm = Crm::start().await;
    crm.order("404 x1 @POST @/2026-09/contacts");
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Configuration, &Verdict::Hold { until: None }), "{error:?}");
}

#[tokio::test]
async fn an_erased_delivery_leaves_no_trace_of_its_session() {
    let crm = Crm::start().await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    crm.connector.erase(&["d1".to_owned()]).await.unwrap();
    assert!(is_skipped(&crm.deliver("d2", &chat("31305")).await.unwrap()));
}

#[tokio::test]
async fn a_long_conversation_is_cut_between_messages_and_each_part_is_written_once() {
    let (crm, kept) = (Crm::with(&json!({"notes": false})).await, MemorySteps::default());
    crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    let messages: Vec<Value> =
        (0..40).map(|number| json!({"author": "user", "text": format!("{number} {}", "word ".repeat(1_000))})).collect();
    let mut long = chat("31305");
    long.conversation.as_mut().unwrap().messages = serde_json::from_value(messages.into()).unwrap();
    crm.order("reset-after-write @60% @POST @/notes");
    let mut lost = 0;
    while let Err(error) = crm.attempt("d2", &long, &kept).await {
        assert!(error.is_ambiguous(), "{error:?}");
        lost += 1;
        assert!(lost < 100, "it must end");
    }
    assert!(lost > 0);
    let bodies: Vec<String> = crm.notes().iter().map(|note| note["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies.len(), 4);
    for (index, body) in bodies.iter().enumerate() {
        assert!(body.starts_with(&format!("Part {} of 4<br>", index + 1)) && body.chars().count() <= 65_000);
        let marker = if index == 0 { "[Leadwire d2 note]".to_owned() } else { format!("[Leadwire d2 note-{}]", index + 1) };
        assert!(body.ends_with(&marker), "{marker}");
        assert_eq!(body.matches("word").count() % 1_000, 0, "no message is cut");
    }
}

#[tokio::test]
async fn without_conversations_no_session_is_remembered() {
    let crm = Crm::with(&json!({"conversations": "skip"})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert!(is_skipped(&crm.deliver("d2", &chat("31305")).await.unwrap()));
    let values: &dyn leadwire_connector::ValueStore = crm.values.as_ref();
    for number in 0..=u8::MAX {
        assert_eq!(values.load(&format!("sessions-{number:02x}")).await, Ok(None), "nothing is remembered that nobody asks for");
    }
}

#[tokio::test]
async fn a_key_property_finds_the_contact_of_a_session_that_is_not_remembered() {
    let config = json!({"person_key_property": "visitor"});
    let crm = Crm::of(Simulator::accepting(TOKEN), &config).await;
    crm.property("visitor", true).await;
    crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    crm.connector.erase(&["d1".to_owned()]).await.unwrap();
    assert_eq!(record_id(&crm.deliver("d2", &chat("31305")).await.unwrap()), "101");
    assert!(is_skipped(&crm.deliver("d3", &chat("1")).await.unwrap()));
}

//! The doctor's questions, and previews.

use crate::harness::{Crm, TOKEN, lead, person};
use leadwire_connector::{Event, PreviewRequest, Report, Severity};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};

fn bad(report: &Report) -> Vec<(&str, &str)> {
    let bad = report.findings.iter().filter(|finding| finding.severity == Severity::Bad);
    bad.map(|finding| (finding.subject.as_str(), finding.message.as_str())).collect()
}

async fn check_of(simulator: Simulator, config: &Value) -> Report {
    Crm::of(simulator, config).await.connector.check().await
}

#[tokio::test]
async fn a_good_destination_is_told_what_was_looked_at() {
    let crm = Crm::start().await;
    let before = crm.server.state();
    let report = crm.connector.check().await;
    assert!(report.is_good() && report.worst() == Severity::Good, "{report:?}");
    let subjects: Vec<&str> = report.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["credentials", "clock", "quota", "quota", "scopes", "fields"]);
    assert!(report.findings[0].message.contains("1234567"));
    assert_eq!(crm.server.state(), before);
    let writes: Vec<String> = crm.sent().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    assert_eq!(writes, ["PATCH /crm/objects/2026-09/contacts/0"], "a contact that does not exist");
}

#[tokio::test]
async fn every_field_that_cannot_be_filled_is_told_with_a_remedy() {
    let fields = json!({"favcolor": "x", "lifecyclestage": "Lead", "createdate": "1"});
    let report = check_of(Simulator::accepting(TOKEN), &json!({"fields": fields, "person_key_property": "company"})).await;
    let told = bad(&report);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|(subject, _)| *subject == "fields"));
    assert!(report.findings.iter().filter(|finding| finding.severity == Severity::Bad).all(|finding| finding.remedy.is_some()));
    let unique = Crm::of(Simulator::accepting(TOKEN), &json!({"person_key_property": "visitor"})).await;
    unique.property("visitor", true).await;
    assert!(unique.connector.check().await.is_good());
}

#[tokio::test]
async fn credentials_and_scopes_are_told_apart() {
    let crm = Crm::start().await;
    let report = crm.another(&json!({"token": "wrong"})).check().await;
    assert_eq!(bad(&report)[0].0, "credentials");
    for scope in ["crm.objects.contacts.read", "crm.objects.contacts.write"] {
        let report = check_of(Simulator::accepting(TOKEN).without_scope(scope), &json!({})).await;
        let told = bad(&report);
        assert!(told.len() == 1 && told[0].0 == "scopes" && told[0].1.contains("cannot be"), "{told:?}");
        assert_eq!(report.findings.last().unwrap().remedy.as_deref(), Some(format!("add the scope {scope}").as_str()));
    }
    let report = check_of(Simulator::accepting(TOKEN).without_scope("crm.schemas.contacts.read"), &json!({})).await;
    assert!(report.is_good() && report.worst() == Severity::Warn, "deliveries do not need it: {report:?}");
}

#[tokio::test]
async fn a_quota_that_is_nearly_spent_and_a_hubspot_that_is_not_there_are_told() {
    let report = check_of(Simulator::accepting(TOKEN).with_limits(100, 5), &json!({})).await;
    assert!(report.findings.iter().any(|finding| finding.subject == "quota" && finding.message.contains("requests for today")));
    let report = check_of(Simulator::accepting(TOKEN).with_limits(100, 0), &json!({})).await;
    assert_eq!(bad(&report)[0].0, "quota");
    let crm = Crm::start().await;
    crm.order("reset-before");
    assert_eq!(bad(&crm.connector.check().await)[0].0, "reachable");
}

/// The requests that are sent for sure, and the search for a phone that is not remembered, with the ids that only the answers bring.
fn filled(preview: &[PreviewRequest]) -> Vec<(String, String, Value)> {
    let sure = preview.iter().filter(|request| request.condition.is_none() || request.step == "find the contact");
    sure.map(|request| {
        let body = request.body.to_string().replace("(id of the contact)", "101").replace("(id of the delivery)", "d1");
        let path = request.url.split_once("/crm/").map_or("", |(_, path)| path).to_owned();
        (request.method.clone(), path, serde_json::from_str(&body).unwrap())
    })
    .collect()
}

#[tokio::test]
async fn a_preview_is_what_is_sent_without_the_token() {
    let config = json!({"appointments": {"minutes": 15}, "fields": {"lifecyclestage": "lead"}});
    let kinds: [Event; 3] = [
        lead(&json!({})),
        lead(&json!({"kind": "appointment", "content": "tomorrow"})),
        lead(&json!({"kind": "appointment", "content": "2099-11-24T15:00:00Z"})),
    ];
    for event in kinds {
        let crm = Crm::with(&config).await;
        let preview = crm.connector.preview(&event).unwrap();
        assert!(crm.sent().is_empty());
        assert!(!serde_json::to_string(&preview).unwrap().contains(TOKEN));
        crm.deliver("d1", &event).await.unwrap();
        let sent: Vec<(String, String, Value)> = crm
            .server
            .requests()
            .into_iter()
            .map(|logged| {
                let path = logged.request.target.split_once("/crm/").unwrap().1.to_owned();
                (logged.request.method.clone(), path, logged.request.json())
            })
            .collect();
        assert_eq!(filled(&preview), sent);
    }
}

#[tokio::test]
async fn a_preview_says_what_depends_on_an_answer() {
    let crm = Crm::start().await;
    let steps = |event: &Event| {
        let preview = crm.connector.preview(event).unwrap();
        preview.iter().map(|request| (request.step.clone(), request.condition.is_some())).collect::<Vec<_>>()
    };
    let told =
        |steps: Vec<(String, bool)>| steps.into_iter().map(|(step, is)| format!("{step}{}", if is { "?" } else { "" })).collect::<Vec<_>>();
    assert_eq!(told(steps(&lead(&json!({})))), ["find the contact?", "contact", "read the contact?", "update the contact?", "note"]);
    let phone = lead(&json!({"person": person(None, None, Some("+14155550100"))}));
    assert_eq!(told(steps(&phone)), ["find the contact?", "contact?", "read the contact?", "update the contact?", "note"]);
    let chat = lead(&json!({"kind": "conversation", "person": person(None, None, None), "messages": [{"author": "user", "text": "Hi"}]}));
    assert_eq!(told(steps(&chat)), ["find the contact?", "note"]);
    assert!(steps(&lead(&json!({"kind": "test"}))).is_empty());
}

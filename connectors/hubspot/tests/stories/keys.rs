//! Contacts by a visitor's key of their own, and by an app instead of a service key.

use crate::harness::{Crm, TOKEN, lead, person, remark};
use leadwire_connector::simulator::Request;
use leadwire_connector::{ErrorKind, MemorySteps, Verdict};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};

async fn keyed(lag: u64) -> Crm {
    let config = json!({"person_key_property": "visitor", "anonymous": true});
    let crm = Crm::of(Simulator::accepting(TOKEN).with_search_lag(lag), &config).await;
    crm.property("visitor", true).await;
    crm
}

#[tokio::test]
async fn a_key_makes_contacts_without_an_email_certain_although_search_lags() {
    for who in [person(None, None, Some("+14155550100")), person(Some("Ann"), None, None), person(None, None, None)] {
        let (crm, kept) = (keyed(1_000).await, MemorySteps::default());
        let event = lead(&json!({"person": who}));
        crm.order("reset-after-write x2 @POST @/2026-09/contacts");
        let first = crm.attempt("d1", &event, &kept).await;
        let crm = crm_again(crm);
        crm.attempt("d1", &event, &kept).await.unwrap();
        assert_eq!(crm.counts(), [1, 1, 0, 0], "{who} {first:?}");
    }
}

/// After a restart, so that nothing is remembered.
fn crm_again(crm: Crm) -> Crm {
    let config = json!({"person_key_property": "visitor", "anonymous": true});
    crm.restarted_with(&config)
}

#[tokio::test]
async fn two_anonymous_leads_of_one_session_are_one_contact_and_of_two_are_two() {
    let crm = keyed(1_000).await;
    let nobody = |session: &str| lead(&json!({"person": person(None, None, None), "session_id": session}));
    crm.deliver("d1", &nobody("1")).await.unwrap();
    crm.deliver("d2", &nobody("1")).await.unwrap();
    crm.deliver("d3", &nobody("2")).await.unwrap();
    assert_eq!(crm.contacts().len(), 2);
}

#[tokio::test]
async fn an_email_says_more_than_the_session_it_came_from() {
    let crm = keyed(0).await;
    crm.deliver("d1", &lead(&json!({"person": person(None, Some("a@b.example"), None)}))).await.unwrap();
    crm.deliver("d2", &lead(&json!({"person": person(None, Some("c@d.example"), None)}))).await.unwrap();
    let contacts = crm.contacts();
    assert_eq!(contacts.len(), 2, "{contacts:?}");
    assert!(contacts[0]["properties"]["visitor"].is_string() && contacts[1]["properties"]["visitor"].is_null());
}

#[tokio::test]
async fn a_key_property_that_does_not_exist_is_left_out_and_told() {
    let crm = Crm::with(&json!({"person_key_property": "visitor"})).await;
    let receipt = crm.deliver("d1", &lead(&json!({"content": null}))).await.unwrap();
    assert_eq!(remark(&receipt), Some("HubSpot did not accept these properties, which were left out: visitor"));
    assert_eq!(crm.counts(), [1, 1, 0, 0]);
}

const APP: [&str; 3] = ["client-0123", "client-secret-0123456789", "refresh-token-0123456789"];

fn app() -> (Simulator, Value) {
    let [id, secret, refresh] = APP;
    (Simulator::of_app(id, secret, refresh), json!({"oauth": {"client_id": id, "client_secret": secret, "refresh_token": refresh}}))
}

fn token_requests(crm: &Crm) -> Vec<Request> {
    crm.requests().into_iter().filter(|request| request.path() == "/oauth/2026-09/token").collect()
}

#[tokio::test]
async fn an_app_gets_its_token_once_and_by_the_form_that_hubspot_wants() {
    let (simulator, config) = app();
    let crm = Crm::of(simulator, &config).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    crm.deliver("d2", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.counts(), [1, 2, 0, 0]);
    let asked = token_requests(&crm);
    assert_eq!(asked.len(), 1);
    let form = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    for part in ["grant_type=refresh_token", "client_id=client-0123", "client_secret=", "refresh_token=refresh-token-0123456789"] {
        assert!(form.contains(part), "{form}");
    }
}

#[tokio::test]
async fn a_revoked_app_holds_the_destination_with_the_remedy() {
    let (simulator, mut config) = app();
    config["oauth"]["refresh_token"] = "refresh-token-that-was-revoked".into();
    let crm = Crm::of(simulator, &config).await;
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Credentials, &Verdict::Hold { until: None }));
    assert!(error.message.contains("connect the account again"), "{error}");
    assert!(!format!("{error:?}").contains("refresh-token-that-was-revoked"));
    assert!(!crm.connector.check().await.is_good());
}

#[tokio::test]
async fn a_token_that_is_refused_though_fresh_holds_and_is_not_asked_for_again() {
    let (simulator, config) = app();
    let crm = Crm::of(simulator, &config).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    crm.order("401 @/crm");
    let error = crm.deliver("d2", &lead(&json!({}))).await.unwrap_err();
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Credentials, &Verdict::Hold { until: None }));
    assert!(error.message.contains("app"), "{error}");
    assert_eq!(token_requests(&crm).len(), 1);
}

#[tokio::test]
async fn a_newer_version_of_the_api_is_one_setting() {
    let simulator = Simulator::accepting(TOKEN).with_version("2027-03");
    let crm = Crm::of(simulator, &json!({"api_version": "2027-03"})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert!(crm.sent().iter().all(|line| line.contains("/2027-03/")), "{:?}", crm.sent());
}

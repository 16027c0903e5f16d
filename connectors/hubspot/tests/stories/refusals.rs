//! What HubSpot refuses, and what becomes of the lead.

use crate::harness::{Crm, TOKEN, lead, person, remark};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::{DeliveryError, ErrorKind, Verdict};
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::json;
use std::time::Duration;

async fn refused(simulator: Simulator) -> (Crm, DeliveryError) {
    let crm = Crm::of(simulator, &json!({})).await;
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    (crm, error)
}

#[tokio::test]
async fn a_missing_scope_holds_the_destination_and_is_named() {
    let (crm, error) = refused(Simulator::accepting(TOKEN).without_scope("crm.objects.contacts.write")).await;
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Credentials, &Verdict::Hold { until: None }));
    assert!(error.message.contains("lacks crm.objects.contacts.write"), "{error}");
    assert!(crm.contacts().is_empty());
}

#[tokio::test]
async fn a_property_that_an_administrator_requires_is_named_and_a_constant_helps() {
    let (crm, error) = refused(Simulator::accepting(TOKEN).with_required("company")).await;
    assert_eq!((error.kind, &error.verdict), (ErrorKind::Data, &Verdict::Reject));
    assert!(error.message.contains("HubSpot wants company, which this delivery does not fill"), "{error}");
    assert!(crm.contacts().is_empty());
    let crm = Crm::of(Simulator::accepting(TOKEN).with_required("company"), &json!({"fields": {"company": "Unknown"}})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.contacts()[0]["properties"]["company"], "Unknown");
}

#[tokio::test]
async fn a_required_property_with_a_value_that_is_refused_is_a_dead_letter_that_names_it() {
    let simulator = Simulator::accepting(TOKEN).with_required("hs_lead_status");
    let crm = Crm::of(simulator, &json!({"fields": {"hs_lead_status": "SHINY"}})).await;
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Reject);
    assert!(error.message.contains("hs_lead_status"), "{error}");
}

#[tokio::test]
async fn a_property_that_hubspot_only_reads_out_is_left_out_and_noted() {
    let crm = Crm::with(&json!({"fields": {"createdate": "2020-01-01"}})).await;
    let receipt = crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(remark(&receipt), Some("HubSpot did not accept these properties, which were left out: createdate"));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("createdate (not accepted as a property): 2020-01-01"));
}

#[tokio::test]
async fn a_value_that_a_known_contact_refuses_is_left_out_and_the_rest_is_written() {
    let crm = Crm::with(&json!({"create_only": [], "fields": {"hs_lead_status": "SHINY"}})).await;
    crm.contact(&json!({"email": "david@acme.example"})).await;
    let receipt = crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert!(remark(&receipt).unwrap().contains("hs_lead_status"));
    assert_eq!(crm.contacts()[0]["properties"]["firstname"], "David");
}

#[tokio::test]
async fn a_refusal_that_names_nothing_costs_only_what_can_be_done_without() {
    for status in [400, 422] {
        let crm = Crm::with(&json!({"fields": {"company": "Acme"}})).await;
        crm.order(&format!("{status} x1 @POST @/2026-09/contacts"));
        let receipt = crm.deliver("d1", &lead(&json!({"person": person(None, Some("a@b.example"), None)}))).await.unwrap();
        let told = "HubSpot refused the data without saying which field, so that these properties were left out: company";
        assert_eq!(remark(&receipt), Some(told));
        assert!(crm.contacts()[0]["properties"]["company"].is_null());
        assert!(crm.notes()[0]["body"].as_str().unwrap().contains("Acme"));
        crm.order(&format!("{status} x2 @POST @/2026-09/contacts"));
        let other = lead(&json!({"person": person(None, Some("b@c.example"), None)}));
        assert_eq!(crm.deliver("d2", &other).await.unwrap_err().verdict, Verdict::Reject, "that fails too");
    }
}

#[tokio::test]
async fn a_conflict_with_nobody_is_tried_again_and_an_account_that_owes_is_held() {
    let crm = Crm::start().await;
    crm.order("409 x1 @POST @/2026-09/contacts");
    let error = crm.deliver("d1", &lead(&json!({"person": person(None, Some("a@b.example"), None)}))).await.unwrap_err();
    assert!(matches!(error.verdict, Verdict::Retry { after: Some(_) }), "{error:?}");
    crm.order("402 x1");
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Hold { until: None });
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.counts(), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_twin_that_hubspot_finds_out_late_is_updated_as_well() {
    let crm = Crm::of(Simulator::accepting(TOKEN).finding_twins_late(), &json!({})).await;
    crm.contact(&json!({"email": "main@acme.example", "hs_additional_emails": "david@acme.example"})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.counts(), [1, 1, 0, 0]);
    assert_eq!(crm.contacts()[0]["properties"]["email"], "main@acme.example");
    assert_eq!(crm.contacts()[0]["properties"]["firstname"], "David");
}

#[tokio::test]
async fn an_invalid_email_with_a_name_only_makes_one_contact_by_name() {
    let crm = Crm::start().await;
    let event = lead(&json!({"person": person(Some("Ann"), Some("ann@host.invalid"), None)}));
    let receipt = crm.deliver("d1", &event).await.unwrap();
    assert!(remark(&receipt).unwrap().contains("email") && !remark(&receipt).unwrap().contains("ann@"));
    assert_eq!(crm.contacts()[0]["properties"], json!({"firstname": "Ann"}));
    assert!(crm.notes()[0]["body"].as_str().unwrap().contains("ann@host.invalid"));
}

#[tokio::test]
async fn a_spent_day_holds_until_midnight_where_the_account_is() {
    let simulator = Simulator::accepting(TOKEN).in_time_zone("Pacific/Kiritimati").with_limits(1_000, 12);
    let crm = Crm::of(simulator, &json!({})).await;
    let of = |number: u32| lead(&json!({"person": person(None, Some(&format!("a{number}@b.example")), None)}));
    for number in 1..=5 {
        crm.deliver(&format!("d{number}"), &of(number)).await.unwrap();
    }
    // The headers tell that the day is nearly spent; the last request asks where the account is.
    let error = crm.deliver("d6", &of(6)).await.unwrap_err();
    let Verdict::Hold { until: Some(until) } = error.verdict else { panic!("{error:?}") };
    assert_eq!(error.kind, ErrorKind::Quota);
    let minute = until.to_zoned(jiff::tz::TimeZone::get("Pacific/Kiritimati").unwrap()).strftime("%H:%M").to_string();
    assert_eq!(minute, "00:01");
    assert!(until.duration_since(Timestamp::now()).as_hours() <= 24);
    assert_eq!(crm.sent().iter().filter(|line| line.contains("/account-info/")).count(), 1);
}

#[tokio::test]
async fn a_short_limit_is_waited_out_and_no_attempt_writes_twice() {
    let crm = Crm::of(Simulator::accepting(TOKEN).with_limits(1, 1_000), &json!({})).await;
    let kept = leadwire_connector::MemorySteps::default();
    let event = lead(&json!({"person": person(None, Some("a@b.example"), None)}));
    let error = crm.attempt("d1", &event, &kept).await.unwrap_err();
    assert_eq!((error.kind, error.verdict), (ErrorKind::RateLimited, Verdict::Retry { after: Some(Duration::from_secs(10)) }));
    assert_eq!(error.code.as_deref(), Some("TEN_SECONDLY_ROLLING"));
    assert_eq!(crm.counts(), [1, 0, 0, 0]);
}

#[tokio::test]
async fn an_account_that_is_moved_is_waited_for() {
    let crm = Crm::start().await;
    crm.order("477 x1");
    let error = crm.deliver("d1", &lead(&json!({}))).await.unwrap_err();
    let Verdict::Hold { until: Some(until) } = error.verdict else { panic!("{error:?}") };
    assert!((118..=120).contains(&until.duration_since(Timestamp::now()).as_mins()));
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
}

#[tokio::test]
async fn an_email_and_a_phone_of_two_people_are_the_emails() {
    let crm = Crm::start().await;
    crm.contact(&json!({"email": "david@acme.example"})).await;
    crm.contact(&json!({"email": "other@acme.example", "phone": "+14155550100"})).await;
    crm.deliver("d1", &lead(&json!({}))).await.unwrap();
    assert_eq!(crm.notes()[0]["contact"], "101");
    assert_eq!(crm.contacts().len(), 2);
}

#[tokio::test]
async fn a_name_is_never_needed_with_an_email_and_never_invented() {
    let crm = Crm::start().await;
    crm.deliver("d1", &lead(&json!({"person": person(None, Some("a@b.example"), None)}))).await.unwrap();
    assert_eq!(crm.contacts()[0]["properties"], json!({"email": "a@b.example"}));
}

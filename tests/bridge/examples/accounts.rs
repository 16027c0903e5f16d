//! One client with one account, and several bridges on one database.

use super::{appointment, archived, at, chat_log, david, example, lead, people, post, secret, serving, table, until_all_ended, with};
use crate::harness::{Bridge, eventually};
use crate::postgres::database;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector_gohighlevel::simulator::Simulator as GoHighLevel;
use leadwire_connector_hubspot::simulator::Simulator as HubSpot;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_least_brings_everything_into_the_folder() {
    let bridge = example("minimal").start();
    for body in [lead(1), appointment(2), chat_log(1)] {
        post(&bridge, "acme", &body).await;
    }
    until_all_ended(&bridge, 3, 0).await;
    let kinds = ["appointment", "conversation", "lead"];
    assert_eq!(archived(&bridge), kinds.map(|kind| (kind.to_owned(), "acme".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspot_gets_leads_and_appointments_and_the_archive_gets_everything() {
    let crm = serving(HubSpot::accepting(secret("HUBSPOT_TOKEN"))).await;
    let bridge = at(example("hubspot-and-csv"), "crm", "BASE_URL", crm.url().as_str()).start();
    post(&bridge, "acme", &with(with(lead(1), "Company", "Acme Ltd"), "PhoneNumber", "(212) 555-0123")).await;
    post(&bridge, "acme", &appointment(2)).await;
    post(&bridge, "acme", &chat_log(1)).await;
    until_all_ended(&bridge, 5, 0).await;
    assert_eq!(people(&crm), [david(1), david(2)]);
    let state = crm.state();
    let first = state["contacts"].as_array().unwrap().iter().find(|contact| contact["properties"]["email"] == david(1)).unwrap();
    let told = ["lifecyclestage", "company", "phone"].map(|name| first["properties"][name].as_str().unwrap_or_default());
    assert_eq!(told, ["lead", "Acme Ltd", "+12125550123"]);
    assert!(!state.to_string().contains("What can I help you with?"), "a chat log is in the CRM: {state}");
    assert_eq!(archived(&bridge).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_account_gets_contacts_with_tags_and_books_what_has_a_certain_time() {
    let location = table("gohighlevel")["destinations"]["crm"]["location_id"].as_str().unwrap().to_owned();
    let crm = serving(GoHighLevel::accepting(secret("GHL_TOKEN"), location)).await;
    let bridge = at(example("gohighlevel"), "crm", "BASE_URL", crm.url().as_str()).start();
    let in_two_days = (Timestamp::now() + SignedDuration::from_hours(48)).strftime("%Y-%m-%dT15:00:00+00:00").to_string();
    post(&bridge, "acme", &with(with(lead(1), "Company", "Acme Ltd"), "Budget", "5000")).await;
    post(&bridge, "acme", &with(appointment(2), "Content", in_two_days)).await;
    post(&bridge, "acme", &with(appointment(3), "Content", "tomorrow at three")).await;
    bridge.until("delivered", 3).await;
    // Of a session that the account knows by now.
    post(&bridge, "acme", &chat_log(1)).await;
    until_all_ended(&bridge, 4, 0).await;
    assert_eq!(people(&crm), [david(1), david(2), david(3)]);
    let state = crm.state();
    let first = state["contacts"].as_array().unwrap().iter().find(|contact| contact["email"] == david(1)).unwrap();
    assert_eq!((&first["companyName"], first["tags"].to_string().as_str()), (&"Acme Ltd".into(), r#"["chatbot","chatbot acme"]"#));
    assert!(first["customFields"].to_string().contains("5000"), "{first}");
    let count = |what: &str| state[what].as_array().unwrap().len();
    assert_eq!((count("appointments"), count("tasks")), (1, 1), "{state}");
    assert!(state["notes"].to_string().contains("make an appointment"), "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_bridges_on_one_database_bring_each_lead_once_when_one_is_killed() {
    const LEADS: u64 = 45;
    let crm = serving(HubSpot::accepting(secret("HUBSPOT_TOKEN"))).await;
    // Slow enough for the bridge to have some under way.
    crm.set_latency(Duration::from_millis(200));
    let database = database();
    let start = || at(example("postgres").environment("DATABASE_URL", &database), "crm", "BASE_URL", crm.url().as_str()).start();
    let mut bridges: Vec<Bridge> = vec![start(), start(), start()];
    for n in 0..LEADS {
        if n == 20 {
            let killed = bridges.remove(0).kill();
            let output = killed.command(&["deliveries", "list", "--state", "leased", "--json"]);
            assert!(output.stdout.len() > 10, "nothing was under way: {}", String::from_utf8_lossy(&output.stdout));
            crm.set_latency(Duration::ZERO);
        }
        let bridge = n as usize % bridges.len();
        post(&bridges[bridge], "acme", &lead(n)).await;
    }
    bridges[0].until("delivered", LEADS as usize).await;
    let mut expected: Vec<String> = (0..LEADS).map(david).collect();
    expected.sort();
    assert_eq!(people(&crm), expected);
    eventually("one note for each", async || (crm.state()["notes"].as_array().unwrap().len() == LEADS as usize).then_some(())).await;
    assert_eq!(bridges[1].deliveries().len(), LEADS as usize);
    bridges[1].assert_audit();
}

//! Many clients in one file: each one's leads in their own account, and in no other.

use super::{
    SUCCESS, archived, at, david, example, lead, people, post, post_from, secret, serving, table, until_all_ended, variable, with,
};
use crate::harness::eventually;
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::Server;
use leadwire_connector_gohighlevel::simulator::Simulator as GoHighLevel;
use leadwire_connector_hubspot::simulator::Simulator as HubSpot;
use leadwire_connector_json::simulator::Endpoint;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clients_have_their_leads_in_their_own_sub_account_and_nowhere_else() {
    let file = table("gohighlevel-agency");
    let destinations = file["destinations"].as_table().unwrap();
    let clients: Vec<&String> = destinations.keys().filter(|name| destinations[*name]["type"].as_str() == Some("gohighlevel")).collect();
    assert_eq!(clients.len(), 20);
    let mut setup = example("gohighlevel-agency");
    let mut accounts: Vec<Server> = Vec::new();
    for client in &clients {
        // Each lets one token in, and knows one location.
        let location = destinations[*client]["location_id"].as_str().unwrap();
        let account = serving(GoHighLevel::accepting(secret(&format!("{}_GHL_TOKEN", variable(client))), location)).await;
        setup = at(setup, client, "BASE_URL", account.url().as_str());
        accounts.push(account);
    }
    let locations: BTreeSet<&str> = clients.iter().map(|client| destinations[*client]["location_id"].as_str().unwrap()).collect();
    assert_eq!(locations.len(), 20, "no two clients have one location");
    let desk = serving(Endpoint::signed(&secret("FRONT_DESK_SECRET")).unwrap()).await;
    let bridge = at(setup, "front-desk", "URL", desk.url().as_str()).start();
    for (n, client) in (0..).zip(&clients) {
        post(&bridge, client, &lead(n)).await;
    }
    post(&bridge, "new-client", &lead(20)).await;
    let nobody = with(with(lead(21), "Email", ""), "Content", "somebody without an address");
    post(&bridge, clients[3], &nobody).await;
    post(&bridge, clients[4], &json!({"Something": "new", "Email": "david22@example.com"})).await;
    // The one who left no address is skipped by the sub-account.
    until_all_ended(&bridge, 20 + 23 + 3, 1).await;
    for (n, account) in (0..).zip(&accounts) {
        assert_eq!(people(account), [david(n)], "{}", clients[usize::try_from(n).unwrap()]);
        assert!(account.requests().iter().all(|logged| logged.status != Some(401) && logged.status != Some(403)));
    }
    assert_eq!(people(&desk), ["".to_owned(), david(20), david(22)]);
    assert_eq!(archived(&bridge).len(), 23);
    let request = Request::new(Method::Get, format!("{}/api/v1/events", bridge.console).parse().unwrap());
    let shown = async |name: &str| bridge.client.send(&request.clone().bearer(&secret(name))).await.unwrap();
    let (all, masked) = (shown("LEADWIRE_CONSOLE_TOKEN").await, shown("SUPPORT_TOKEN").await);
    assert_eq!((all.status, masked.status), (200, 200));
    assert!(all.body.escape_ascii().to_string().contains(&david(3)));
    assert!(!masked.body.escape_ascii().to_string().contains(&david(3)), "{}", masked.body.escape_ascii());
}

/// A brand's own page, about somebody else.
fn page(name: &str, email: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/senders/{name}.json"));
    let page: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    if page.get("Collection").is_some() { page } else { with(page, "Email", email) }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_five_brands_have_their_leads_in_their_own_crm() {
    const ONE_OF_HELLO_CLIENT: &str = "20.245.232.251";
    const CLIENTS: [(&str, &str); 5] = [
        ("bakery", "newoaks"),
        ("realtor", "appointify"),
        ("trattoria", "neoagent"),
        ("garage", "smarterbot"),
        ("dentist", "hello-client"),
    ];
    let hubspot = async |client: &str| serving(HubSpot::accepting(secret(&format!("{client}_HUBSPOT_TOKEN")))).await;
    let (bakery, garage, dentist) = (hubspot("BAKERY").await, hubspot("GARAGE").await, hubspot("DENTIST").await);
    let location = table("several-brands")["destinations"]["realtor-crm"]["location_id"].as_str().unwrap().to_owned();
    let realtor = serving(GoHighLevel::accepting(secret("REALTOR_GHL_TOKEN"), location)).await;
    let trattoria = serving(Endpoint::signed(&secret("TRATTORIA_SECRET")).unwrap()).await;
    let sales = serving(Endpoint::signed(&secret("SALES_TEAM_SECRET")).unwrap()).await;
    let mut setup = example("several-brands");
    for (name, key, account) in [
        ("bakery-crm", "BASE_URL", &bakery),
        ("realtor-crm", "BASE_URL", &realtor),
        ("trattoria-backend", "URL", &trattoria),
        ("garage-crm", "BASE_URL", &garage),
        ("dentist-crm", "BASE_URL", &dentist),
        ("sales-team", "URL", &sales),
    ] {
        setup = at(setup, name, key, account.url().as_str());
    }
    let bridge = setup.start();
    for (client, brand) in CLIENTS {
        let email = format!("{client}@example.com");
        let mut body = page(&format!("{brand}-lead"), &email);
        if client == "garage" {
            body["PhoneNumber"] = "(212) 555-0123".into();
        }
        let answer = post_from(&bridge, client, &body, Some(ONE_OF_HELLO_CLIENT)).await;
        assert_eq!(answer.body.as_ref(), SUCCESS, "{client}");
    }
    bridge.until("delivered", 11).await;
    for (client, brand) in CLIENTS {
        post(&bridge, client, &page(&format!("{brand}-chat-log"), "")).await;
    }
    // Their chats go to the archive, and to all but the bakery.
    eventually("all chat logs to end", async || {
        let deliveries = bridge.deliveries();
        (deliveries.len() == 11 + 5 + 4 && deliveries.iter().all(|row| row["ended_at"].is_string())).then_some(())
    })
    .await;
    let email = |client: &str| vec![format!("{client}@example.com")];
    for (client, account) in [("bakery", &bakery), ("realtor", &realtor), ("garage", &garage), ("dentist", &dentist)] {
        assert_eq!(people(account), email(client), "{client}");
    }
    assert_eq!(people(&sales), email("garage"));
    assert_eq!(people(&trattoria), ["".to_owned(), "trattoria@example.com".to_owned()], "a chat and a lead");
    assert_eq!(archived(&bridge).len(), 10);
    assert!(!bakery.requests().iter().any(|logged| logged.request.body.escape_ascii().to_string().contains("make an appointment")));
    bridge.assert_audit();
    // Hello Client documents one answer only; the others get the platform's other one for their tests.
    let test = async |client: &str| post_from(&bridge, client, &json!({}), Some("203.0.113.9")).await.body;
    assert_eq!(test("dentist").await.as_ref(), SUCCESS);
    assert_ne!(test("bakery").await.as_ref(), SUCCESS);
    assert!(bridge.log().contains("let in, because report_only is set"), "an address that is not in the list is told");
    let setup = bridge.terminate();
    let seen: Value = serde_json::from_slice(&setup.command(&["sources", "list", "--json"]).stdout).unwrap();
    let dentist = seen.as_array().unwrap().iter().find(|row| row["name"] == "dentist").unwrap();
    let listed =
        |address: &str| dentist["clients"].as_array().unwrap().iter().find(|row| row["address"] == address).unwrap()["listed"].clone();
    assert_eq!((listed(ONE_OF_HELLO_CLIENT), listed("203.0.113.9")), (json!(true), json!(false)));
}

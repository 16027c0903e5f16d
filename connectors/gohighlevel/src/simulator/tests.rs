#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;

struct Client(Simulator);

impl Client {
    fn send(&mut self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let request =
            Request::new(method, target).with_header("Authorization", "Bearer x").with_header("Version", "2021-07-28").with_json(body);
        let response = self.0.answer(&request);
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    fn upsert(&mut self, fields: &Value) -> (u16, Value) {
        let mut body = fields.clone();
        body["locationId"] = "L".into();
        self.send("POST", "/contacts/upsert", &body)
    }
}

fn client() -> Client {
    Client(Simulator::default())
}

#[test]
fn the_token_the_version_the_scope_and_the_location_are_looked_at() {
    let to = |target: &str, token: &str| Request::new("GET", target).with_header("Authorization", format!("Bearer {token}"));
    let mut simulator = Simulator::accepting("t", "L").without_scope("contacts.readonly");
    let mut status = |request: Request| simulator.answer(&request).status;
    let mut with = |target: &str, token: &str, version: &str| status(to(target, token).with_header("Version", version));
    assert_eq!((with("/locations/L", "t", "v3"), with("/locations/L", "x", "v3"), with("/locations/L", "t", "v9")), (200, 401, 401));
    assert_eq!((with("/locations/M", "t", "v3"), with("/contacts/c", "t", "v3")), (403, 401));
    assert_eq!(status(to("/locations/L", "t")), 401);
}

#[test]
fn an_upsert_replaces_tags_and_the_primary_address() {
    let mut crm = client();
    let (_, made) = crm.upsert(&json!({"email": "a@b.example", "tags": ["one"]}));
    let id = made["contact"]["id"].as_str().unwrap().to_owned();
    crm.send("POST", &format!("/contacts/{id}/additionalEmails"), &json!({"email": "second@b.example"}));
    let (status, known) = crm.upsert(&json!({"email": "second@b.example", "tags": ["two"], "gender": "male"}));
    assert_eq!((status, &known["new"], &known["contact"]["id"]), (200, &json!(false), &json!(id)));
    assert_eq!((&known["contact"]["email"], &known["contact"]["tags"]), (&json!("second@b.example"), &json!(["two"])));
    assert_eq!((&known["contact"]["additionalEmails"], known["contact"].get("gender")), (&json!([]), None));
}

#[test]
fn of_two_contacts_the_first_field_decides_and_the_other_is_dropped() {
    let mut crm = client();
    crm.upsert(&json!({"phone": "+14155550100"}));
    crm.upsert(&json!({"email": "a@b.example"}));
    let (_, both) = crm.upsert(&json!({"email": "a@b.example", "phone": "+14155550100"}));
    assert_eq!((&both["contact"]["id"], both["contact"].get("phone")), (&json!("contact0000000000002"), None));
    let (status, refused) = crm.send("PUT", "/contacts/contact0000000000002", &json!({"phone": "+14155550100"}));
    assert_eq!((status, &refused["meta"]["matchingField"]), (400, &json!("phone")));
    let (status, refused) = crm.send("POST", "/contacts/", &json!({"email": "a@b.example", "locationId": "L"}));
    assert_eq!((status, &refused["meta"]["contactId"]), (400, &json!("contact0000000000002")));
}

#[test]
fn what_is_unknown_is_refused_with_a_list_and_custom_fields_are_ignored() {
    let mut crm = client();
    let (status, body) = crm.upsert(&json!({"email": "nope", "additionalEmails": [], "city": 5}));
    assert_eq!((status, body["message"].as_array().unwrap().len()), (422, 3), "{body}");
    assert_eq!(crm.upsert(&json!({"firstName": "A"})).0, 400);
    let custom = json!([{"key": "budget", "field_value": "10"}, {"key": "nonsense", "field_value": "x"}]);
    let (_, body) = crm.upsert(&json!({"email": "a@b.example", "customFields": custom}));
    assert_eq!(body["contact"]["customFields"], json!([{"id": "3sv6UEo51C9Bmpo1cKTq", "value": "10"}]));
    assert_eq!(crm.send("PUT", "/contacts/contact0000000000001", &json!({"locationId": "L"})).0, 422);
}

#[test]
fn a_look_up_finds_nobody_with_200_and_may_lag() {
    let mut crm = Client(Simulator::default().with_search_lag(1));
    let find = "/contacts/search/duplicate?locationId=L&email=a%40b.example";
    assert_eq!(crm.send("GET", find, &Value::Null).1["contact"], Value::Null);
    crm.upsert(&json!({"email": "a@b.example"}));
    let found = [(); 3].map(|()| crm.send("GET", find, &Value::Null).1["contact"].is_object());
    assert_eq!(found, [false, true, true]);
    assert_eq!(crm.send("GET", "/contacts/search/duplicate?locationId=L", &Value::Null).0, 400);
}

#[test]
fn a_deleted_contact_is_a_400_and_notes_come_newest_first() {
    let mut crm = client();
    crm.upsert(&json!({"email": "a@b.example"}));
    let notes = "/contacts/contact0000000000001/notes";
    assert_eq!(crm.send("POST", notes, &json!({"body": "one"})).0, 201);
    crm.send("POST", notes, &json!({"body": "two"}));
    assert_eq!(crm.send("GET", notes, &Value::Null).1["notes"][0]["body"], "two");
    assert_eq!(crm.send("POST", notes, &json!({})).0, 422);
    crm.send("DELETE", "/contacts/contact0000000000001", &Value::Null);
    let (status, body) = crm.send("POST", notes, &json!({"body": "three"}));
    assert_eq!((status, body["message"].as_str().unwrap()), (400, "Contact with id contact0000000000001 not found"));
}

#[test]
fn a_slot_is_taken_once_unless_nobody_cares() {
    let mut crm = client();
    crm.upsert(&json!({"email": "a@b.example"}));
    let mut book = |extra: Value| {
        let mut body =
            json!({"calendarId": "C", "locationId": "L", "contactId": "contact0000000000001", "startTime": "2026-11-24T15:00:00+01:00"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        crm.send("POST", "/calendars/events/appointments", &body).0
    };
    assert_eq!(
        (book(json!({})), book(json!({"startTime": "2026-11-24T14:00:00Z"})), book(json!({"ignoreFreeSlotValidation": true}))),
        (200, 400, 200)
    );
    assert_eq!(book(json!({"startTime": ""})), 422);
}

#[test]
fn staging_wants_the_token_and_the_location_that_it_prints() {
    let asked = |token: &str, location: &str| {
        let request = Request::new("GET", &format!("/locations/{location}")).with_header("Authorization", format!("Bearer {token}"));
        boxed().answer(&request.with_header("Version", "2021-07-28")).status
    };
    assert_eq!((asked(TOKEN, LOCATION), asked("x", LOCATION), asked(TOKEN, "elsewhere")), (200, 401, 403));
    let printed = settings(&"http://127.0.0.1:9090/".parse().unwrap());
    assert!(printed.contains(TOKEN) && printed.contains(LOCATION));
}

#[test]
fn ordered_faults_hit_what_they_are_about() {
    let crm = Simulator::default();
    let request = |method: &str, target: &str, body: Value| Request::new(method, target).with_json(&body);
    let email = FaultKind::InvalidField("email".to_owned());
    let upsert = request("POST", "/contacts/upsert", json!({"email": "a@b.example"}));
    let look_up = request("GET", "/contacts/search/duplicate?email=a", Value::Null);
    assert!(crm.is_hit(&email, &upsert) && !crm.is_hit(&email, &look_up));
    assert!(crm.is_hit(&FaultKind::SearchLag, &look_up) && !crm.is_hit(&FaultKind::SearchLag, &upsert));
    assert!(crm.day_is_spent().headers.contains(&("X-RateLimit-Daily-Remaining".to_owned(), "0".to_owned())));
}

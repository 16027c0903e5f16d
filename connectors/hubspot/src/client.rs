//! The requests that HubSpot is sent, as values, and sending them. Paths and bodies follow
//! <https://developers.hubspot.com/docs/api-reference/latest/overview>.

use crate::API_VERSION;
use crate::config::Config;
use crate::verdict::{self, Outcome};
use leadwire_connector::DeliveryError;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::reexport::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

/// `note_to_contact` in HubSpot's list of association types.
const NOTE_TO_CONTACT: u32 = 202;
/// As many as one page of associations may hold.
const ASSOCIATIONS_AT_ONCE: &str = "500";

/// The API of one account.
pub(crate) struct Api {
    base: Url,
    token: String,
    client: Client,
}

impl Api {
    pub(crate) fn new(config: &Config, http: &HttpSettings) -> Result<Self, String> {
        Ok(Self { base: config.base_url.clone(), token: config.token.expose().to_owned(), client: Client::new(http)? })
    }

    /// Sends, and says what the answer means.
    pub(crate) async fn send(&self, request: &Request) -> Result<Outcome, DeliveryError> {
        let answer = self.client.send(request).await?;
        verdict::read(&self.without_token(answer))
    }

    /// A proxy or a debugging endpoint may echo what it was sent; the token must not get into an excerpt.
    fn without_token(&self, mut answer: Answer) -> Answer {
        let text = String::from_utf8_lossy(&answer.body);
        if text.contains(&self.token) {
            let clean = text.replace(&self.token, "••••");
            answer.body = clean.into();
        }
        answer
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let mut url = self.base.clone();
        // An address without a path cannot get here: only http and https pass the configuration.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Request::new(method, url).secret_header("Authorization", format!("Bearer {}", self.token)).header("Accept", "application/json")
    }

    fn objects(&self, method: Method, path: &[&str]) -> Request {
        self.request(method, &[&["crm", "objects", API_VERSION], path].concat())
    }

    /// A new contact. HubSpot refuses a second one with the same e-mail, so only such a request may be sent twice.
    pub(crate) fn create_contact(&self, properties: &[(&str, &str)]) -> Request {
        let request = self.objects(Method::Post, &["contacts"]).json(&json!({"properties": table(properties), "associations": []}));
        if properties.iter().any(|(name, _)| *name == "email") { request.repeatable() } else { request }
    }

    pub(crate) fn update_contact(&self, id: &str, properties: &[(&str, &str)]) -> Request {
        self.objects(Method::Patch, &["contacts", id]).json(&json!({"properties": table(properties)})).repeatable()
    }

    /// Also finds by a secondary e-mail.
    pub(crate) fn contact_by_email(&self, email: &str) -> Request {
        with_query(self.objects(Method::Get, &["contacts", email]), &[("idProperty", "email"), ("properties", "email")])
    }

    /// Contacts with this number, in either of the two properties that people use.
    pub(crate) fn contacts_by_phone(&self, phone: &str) -> Request {
        let group = |name: &str| json!({"filters": [{"propertyName": name, "operator": "EQ", "value": phone}]});
        self.search(&json!([group("phone"), group("mobilephone")]))
    }

    /// Contacts with exactly these properties that were made since then.
    pub(crate) fn contacts_made_since(&self, since: Timestamp, properties: &[(&str, &str)]) -> Request {
        let mut filters = vec![json!({"propertyName": "createdate", "operator": "GTE", "value": since.as_millisecond().to_string()})];
        filters.extend(properties.iter().map(|(name, value)| json!({"propertyName": name, "operator": "EQ", "value": value})));
        self.search(&json!([{"filters": filters}]))
    }

    fn search(&self, groups: &Value) -> Request {
        let body = json!({"filterGroups": groups, "sorts": [], "properties": ["createdate"], "limit": 100, "after": "0"});
        self.objects(Method::Post, &["contacts", "search"]).json(&body).repeatable()
    }

    pub(crate) fn create_note(&self, contact: &str, at: Timestamp, html: &str) -> Request {
        self.objects(Method::Post, &["notes"]).json(&json!({
            "properties": {"hs_timestamp": at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(), "hs_note_body": html},
            "associations": [{
                "to": {"id": contact},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT}],
            }],
        }))
    }

    /// One page of the ids of a contact's notes. Unlike search, this list is not behind the writes.
    pub(crate) fn notes_of(&self, contact: &str, after: Option<&str>) -> Request {
        let mut query = vec![("limit", ASSOCIATIONS_AT_ONCE)];
        query.extend(after.map(|after| ("after", after)));
        with_query(self.objects(Method::Get, &["contacts", contact, "associations", "notes"]), &query)
    }

    pub(crate) fn read_notes(&self, ids: &[u64]) -> Request {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        let body = json!({"inputs": inputs, "properties": ["hs_note_body"], "propertiesWithHistory": []});
        self.objects(Method::Post, &["notes", "batch", "read"]).json(&body).repeatable()
    }

    pub(crate) fn account(&self) -> Request {
        self.request(Method::Get, &["account-info", API_VERSION, "details"])
    }

    pub(crate) fn one_contact(&self) -> Request {
        with_query(self.objects(Method::Get, &["contacts"]), &[("limit", "1"), ("properties", "createdate")])
    }

    pub(crate) fn property(&self, name: &str) -> Request {
        self.request(Method::Get, &["crm", "properties", API_VERSION, "0-1", name])
    }
}

fn table(properties: &[(&str, &str)]) -> Map<String, Value> {
    properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn with_query(mut request: Request, query: &[(&str, &str)]) -> Request {
    request.url.query_pairs_mut().extend_pairs(query);
    request
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;

    pub(crate) fn api(base: &str) -> Api {
        Api::new(&settings(&json!({"base_url": base})).config, &HttpSettings::default()).unwrap()
    }

    #[test]
    fn an_address_with_odd_characters_stays_one_part_of_the_path() {
        let request = api("https://crm.example/hub/").contact_by_email("a/b?c@d.example");
        assert_eq!(
            request.url.as_str(),
            "https://crm.example/hub/crm/objects/2026-09/contacts/a%2Fb%3Fc@d.example?idProperty=email&properties=email"
        );
    }

    #[test]
    fn only_what_may_be_sent_twice_says_so() {
        let api = api("https://crm.example");
        assert!(api.create_contact(&[("email", "a@b.example")]).repeatable);
        assert!(!api.create_contact(&[("phone", "+1")]).repeatable);
        assert!(!api.create_note("1", Timestamp::UNIX_EPOCH, "x").repeatable);
        assert!(api.update_contact("1", &[]).repeatable);
    }

    #[test]
    fn a_note_names_its_contact_and_its_moment() {
        let request = api("https://crm.example").create_note("101", "2026-11-22T10:00:00.123456Z".parse().unwrap(), "x");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["properties"]["hs_timestamp"], "2026-11-22T10:00:00.123Z");
        assert_eq!(body["associations"][0]["to"]["id"], "101");
        assert_eq!(body["associations"][0]["types"][0]["associationTypeId"], 202);
    }

    #[test]
    fn an_echoed_token_is_taken_out_of_the_answer() {
        let api = api("https://crm.example");
        let body = format!("<p>you sent Bearer {}</p>", api.token).into();
        let answer = Answer { status: 500, headers: Vec::new(), body, truncated: false, at: Timestamp::UNIX_EPOCH };
        assert!(!String::from_utf8_lossy(&api.without_token(answer).body).contains("0123456789"));
    }
}

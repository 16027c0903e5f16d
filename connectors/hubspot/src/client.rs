//! The requests that HubSpot is sent, as values, and sending them. Paths and bodies are those of its OpenAPI files
//! (<https://github.com/HubSpot/HubSpot-public-api-spec-collection>, `2026-09`).

use crate::activity::Kind;
use crate::config::Settings;
use crate::contact::BY_NAME_ALONE;
use crate::known::LOOKED_AT;
use crate::verdict::{self, Account, Outcome};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use leadwire_connector::http::{self, Answer, Client, Method, QuotaHeaders, Request, Window};
use leadwire_connector::token::Tokens;
use leadwire_connector::{BuildContext, DeliveryError, PreviewRequest, phone};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use url::Url;

/// How much of the day is left. HubSpot does not tell it to apps
/// (<https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>).
pub(crate) const DAILY: QuotaHeaders =
    QuotaHeaders::new("x-hubspot-ratelimit-daily", "x-hubspot-ratelimit-daily-remaining").window(Window::Fixed(86_400));
/// Of 10 seconds, mostly.
pub(crate) const PER_WINDOW: QuotaHeaders = QuotaHeaders::new("x-hubspot-ratelimit-max", "x-hubspot-ratelimit-remaining")
    .window(Window::Milliseconds("x-hubspot-ratelimit-interval-milliseconds"));
const LIMITS: [(&str, QuotaHeaders); 2] = [("day", DAILY), ("window", PER_WINDOW)];

/// The API of one account.
pub(crate) struct Api {
    base: Url,
    version: String,
    tokens: Tokens,
    is_app: bool,
    client: Client,
    /// The account's time zone, once it was needed.
    zone: Mutex<Option<TimeZone>>,
    has_foreseen: AtomicBool,
}

impl Api {
    pub(crate) fn new(settings: &Settings, context: &BuildContext) -> Result<Self, String> {
        Ok(Self {
            base: settings.config.base_url.clone(),
            version: settings.config.api_version.clone(),
            tokens: settings.credentials.tokens("HubSpot", context)?,
            is_app: settings.credentials.is_app(),
            client: Client::new(&context.http)?.watching(&LIMITS),
            zone: Mutex::default(),
            has_foreseen: AtomicBool::new(false),
        })
    }

    /// Sends, and says what the answer means.
    pub(crate) async fn send(&self, request: &Request) -> Result<Outcome, DeliveryError> {
        let answer = self.ask(request).await?;
        // Once the day is spent, HubSpot no longer says when it ends.
        if DAILY.read(&answer).is_some_and(|quota| quota.is_low()) && !self.has_foreseen.swap(true, Ordering::Relaxed) {
            self.zone().await;
        }
        self.read(&answer).await
    }

    /// Sends, with a token that is renewed by the clock if it comes from an app.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Answer, DeliveryError> {
        self.tokens.send(&self.client, |token| request.clone().bearer(token.expose())).await
    }

    /// What the answer means.
    pub(crate) async fn read(&self, answer: &Answer) -> Result<Outcome, DeliveryError> {
        let zone = if verdict::is_daily_limit(answer) { self.zone().await } else { None };
        verdict::read(answer, &Account { is_app: self.is_app, zone })
    }

    /// As `deliver` would send it, nobody asked.
    pub(crate) fn preview(&self, request: &Request) -> PreviewRequest {
        request.clone().bearer(self.tokens.placeholder().expose()).preview()
    }

    /// The account's time zone; asked for once it matters. `None` when HubSpot does not say, as it well may once no request is left.
    async fn zone(&self) -> Option<TimeZone> {
        let known = self.zone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return known;
        }
        let account = self.ask(&self.account()).await.ok().filter(Answer::is_2xx)?.json()?;
        let zone = zone_of(&account)?;
        *self.zone.lock().unwrap_or_else(PoisonError::into_inner) = Some(zone.clone());
        Some(zone)
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        Request::new(method, http::join(&self.base, path)).header("Accept", "application/json")
    }

    fn objects(&self, method: Method, path: &[&str]) -> Request {
        self.request(method, &[&["crm", "objects", &self.version], path].concat())
    }

    /// A new contact. HubSpot refuses a second one with the same e-mail or key, so only such a request may be sent twice.
    pub(crate) fn create_contact(&self, properties: &[(&str, &str)], is_unique: bool) -> Request {
        // The OpenAPI file wants `associations`, the guide leaves it out: an empty list suits both.
        let request = self.objects(Method::Post, &["contacts"]).json(&json!({"properties": table(properties), "associations": []}));
        if is_unique { request.repeatable() } else { request }
    }

    pub(crate) fn update_contact(&self, id: &str, properties: &[(&str, &str)]) -> Request {
        self.objects(Method::Patch, &["contacts", id]).json(&json!({"properties": table(properties)})).repeatable()
    }

    /// By a property with unique values; `email` also finds by a secondary e-mail.
    pub(crate) fn contact_by(&self, property: &str, value: &str) -> Request {
        self.objects(Method::Get, &["contacts", value]).query(&[("idProperty", property), ("properties", "email")])
    }

    /// Under the id that it has now: that of a contact which was merged into another still finds the other one.
    pub(crate) fn contact(&self, id: &str) -> Request {
        self.objects(Method::Get, &["contacts", id]).query(&[("properties", "email")])
    }

    /// The same with these properties.
    pub(crate) fn contact_with(&self, id: &str, properties: &[&str]) -> Request {
        self.objects(Method::Get, &["contacts", id]).query(&[("properties", &properties.join(","))])
    }

    /// Contacts that may have this number: as it is sent, in either of the two properties that people use, or ending like it in what
    /// HubSpot makes of them, which has neither signs nor the country's code
    /// (<https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm>).
    pub(crate) fn contacts_by_phone(&self, phone: &str) -> Request {
        let alike = |ending: &String| {
            let calculated = ["hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number"];
            calculated.map(|name| json!({"propertyName": name, "operator": "CONTAINS_TOKEN", "value": format!("*{ending}")}))
        };
        let ending = phone::ending(phone);
        self.contacts_where(exact_phone(phone).into_iter().chain(ending.iter().flat_map(alike)))
    }

    /// The first half of these.
    pub(crate) fn contacts_by_exact_phone(&self, phone: &str) -> Request {
        self.contacts_where(exact_phone(phone))
    }

    fn contacts_where(&self, one_of: impl IntoIterator<Item = Value>) -> Request {
        let groups: Vec<Value> = one_of.into_iter().map(|filter| json!({"filters": [filter]})).collect();
        self.search(&groups.into(), &LOOKED_AT)
    }

    /// Contacts with this value. Unlike asking for one, it is no error for HubSpot when there is none, of which it counts the share.
    pub(crate) fn contacts_with(&self, property: &str, value: &str) -> Request {
        self.search(&json!([{"filters": [equal(property, value)]}]), &["createdate"])
    }

    /// Contacts with these properties that were made since then, in any case of letters and whatever else they have, which is shown.
    pub(crate) fn contacts_made_since(&self, since: Timestamp, properties: &[(&str, &str)]) -> Request {
        let mut filters = vec![json!({"propertyName": "createdate", "operator": "GTE", "value": since.as_millisecond().to_string()})];
        filters.extend(properties.iter().map(|(name, value)| equal(name, value)));
        self.search(&json!([{"filters": filters}]), &BY_NAME_ALONE)
    }

    fn search(&self, groups: &Value, shown: &[&str]) -> Request {
        let body = json!({"filterGroups": groups, "sorts": [], "properties": shown, "limit": 100, "after": "0"});
        self.objects(Method::Post, &["contacts", "search"]).json(&body).repeatable()
    }

    pub(crate) fn create_activity(&self, kind: Kind, contact: &str, properties: &[(&'static str, String)]) -> Request {
        let properties: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.objects(Method::Post, &[kind.objects()]).json(&json!({
            "properties": table(&properties),
            "associations": [{
                "to": {"id": contact},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind.to_contact()}],
            }],
        }))
    }

    /// One page of the ids of a contact's activities. Unlike search, this list is not behind the writes. (`2026-09` has no `GET` for it
    /// any more.)
    pub(crate) fn activities_of(&self, kind: Kind, contact: &str, after: Option<&str>) -> Request {
        let mut input = json!({"id": contact});
        if let Some(after) = after {
            input["after"] = after.into();
        }
        let path = ["crm", "associations", &self.version, "contacts", kind.objects(), "batch", "read"];
        self.request(Method::Post, &path).json(&json!({"inputs": [input]})).repeatable()
    }

    pub(crate) fn read_activities(&self, kind: Kind, ids: &[u64]) -> Request {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        let body = json!({"inputs": inputs, "properties": [kind.body()], "propertiesWithHistory": []});
        self.objects(Method::Post, &[kind.objects(), "batch", "read"]).json(&body).repeatable()
    }

    pub(crate) fn account(&self) -> Request {
        self.request(Method::Get, &["account-info", &self.version, "details"])
    }

    pub(crate) fn first_of(&self, objects: &str) -> Request {
        self.objects(Method::Get, &[objects]).query(&[("limit", "1"), ("properties", "hs_object_id")])
    }

    pub(crate) fn property(&self, name: &str) -> Request {
        self.request(Method::Get, &["crm", "properties", &self.version, "0-1", name])
    }
}

/// By its name, else by its offset of today.
fn zone_of(account: &Value) -> Option<TimeZone> {
    let named = account["timeZone"].as_str().and_then(|name| TimeZone::get(name).ok());
    named.or_else(|| {
        let seconds = i32::try_from(account["utcOffsetMilliseconds"].as_i64()? / 1_000).ok()?;
        Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
    })
}

fn table(properties: &[(&str, &str)]) -> Map<String, Value> {
    properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn exact_phone(phone: &str) -> [Value; 2] {
    ["phone", "mobilephone"].map(|name| equal(name, phone))
}

fn equal(name: &str, value: &str) -> Value {
    json!({"propertyName": name, "operator": "EQ", "value": value})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;

    fn api(base: &str) -> Api {
        Api::new(&settings(&json!({"base_url": base})), &BuildContext::new("crm")).unwrap()
    }

    #[test]
    fn an_address_with_odd_characters_stays_one_part_of_the_path() {
        let request = api("https://crm.example/hub/").contact_by("email", "a/b?c@d.example");
        assert_eq!(
            request.url.as_str(),
            "https://crm.example/hub/crm/objects/2026-09/contacts/a%2Fb%3Fc@d.example?idProperty=email&properties=email"
        );
    }

    #[test]
    fn only_what_may_be_sent_twice_says_so() {
        let api = api("https://crm.example");
        assert!(api.create_contact(&[("email", "a@b.example")], true).repeatable);
        assert!(!api.create_contact(&[("phone", "+1")], false).repeatable);
        assert!(!api.create_activity(Kind::Note, "1", &[]).repeatable);
        assert!(api.update_contact("1", &[]).repeatable);
    }

    #[test]
    fn an_account_has_its_time_zone_by_name_or_by_offset() {
        let named = zone_of(&json!({"timeZone": "US/Eastern", "utcOffsetMilliseconds": 0})).unwrap();
        assert_eq!(named.iana_name(), Some("US/Eastern"));
        let offset = zone_of(&json!({"timeZone": "Nowhere", "utcOffsetMilliseconds": -18_000_000})).unwrap();
        assert_eq!(offset.to_offset(Timestamp::UNIX_EPOCH).seconds(), -18_000);
        assert!(zone_of(&json!({})).is_none());
    }
}

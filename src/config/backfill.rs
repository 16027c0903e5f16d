//! `[sources.NAME.backfill]`: the platform's list of leads, to fetch from it what its webhooks lost.

use super::kinds;
use super::reader::Reader;
use leadwire_connector::http::is_loopback;
use leadwire_connector::settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Where the list is and how it is asked. What the platform's pages do not say is a key here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backfill {
    /// Where the list is asked for, with POST; without it, the address that most brands share.
    #[serde(with = "kinds::WebAddress")]
    pub url: Option<Url>,
    /// The secret key of the account, sent as it is in `Authorization`.
    pub token: Option<Secret>,
    /// The chatbots to ask for: their `SerialNumber`s.
    #[serde(with = "kinds::Words")]
    pub chatbots: Vec<String>,
    /// Requests in a minute; 60 when not given.
    #[serde(with = "kinds::SomeCount")]
    pub requests_per_minute: Option<u32>,
    /// The field of the request that takes the number of a page, from 1; without it a day is one answer.
    pub page_field: Option<String>,
    /// The field of the request that takes the length of a page.
    pub page_size_field: Option<String>,
    /// The length of a page; one that is shorter is the last. 100 when not given.
    #[serde(with = "kinds::SomeCount")]
    pub page_size: Option<u32>,
}

impl Backfill {
    /// The address that the pages of most brands name.
    const SHARED: &str = "https://usapi.hottask.com/chat/Chatbot/LeadList";

    /// Where the list is asked for.
    #[must_use]
    pub fn address(&self) -> Option<Url> {
        self.url.clone().or_else(|| Self::SHARED.parse().ok())
    }
}

pub(super) fn check(reader: &mut Reader<'_>, name: &str, backfill: &Backfill) {
    let path = |key| ["sources", name, "backfill", key];
    if backfill.chatbots.is_empty() && !reader.is_faulty(&path("chatbots")) {
        reader.fault(
            &["sources", name, "backfill"],
            "`chatbots` is missing",
            "list the chatbots' ids, as in `SerialNumber` of their webhooks",
        );
    }
    match &backfill.token {
        None if !reader.is_faulty(&path("token")) => {
            reader.fault(&["sources", name, "backfill"], "`token` is missing", "set the secret key of the account: { env = \"NAME\" }");
        }
        Some(token) if token.is_literal() && reader.layers.is_from_file(&path("token")) => {
            reader.warn(&path("token"), "this secret stands in the file itself", "write { env = \"NAME\" } and give the secret there");
        }
        _ => {}
    }
    if backfill.url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_loopback(url)) {
        reader.fault(&path("url"), "the token and the leads would go unencrypted", "write https://");
    }
    if backfill.page_field.is_none() && (backfill.page_size_field.is_some() || backfill.page_size.is_some()) {
        reader.warn(&path("page_size"), "pages are asked for only with `page_field`", "set `page_field`, or remove the others");
    }
}

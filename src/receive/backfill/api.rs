//! The platform's list of leads, as far as its pages tell: `POST` with the account's key bare in `Authorization` and
//! `{"serialNumber", "startTime", "endTime"}`, days in UTC; the answer begins with `{"Data":[{"Type":"Lead","Name":…`. Whether there are
//! pages, and whether the last day is meant with its hours, they do not tell: a day is asked for up to the next one, and pages are asked
//! for where the configuration names their fields.

use jiff::ToSpan as _;
use jiff::civil::Date;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use serde_json::{Map, Value, json};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Tries of one request; the pause doubles from the first one.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pages of one day; more are a list that repeats itself.
const MOST_PAGES: u32 = 1_000;
/// Of one answer.
const MOST_BYTES: usize = 64 << 20;

/// Why the list could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The key is refused.
    #[error("the platform refuses the token ({0}); copy the secret key of the account into [sources.NAME.backfill] token again")]
    Token(u16),
    /// No answer, or none that helps, after several tries.
    #[error("the platform's list of leads cannot be read now: {0}; run the command again later, it goes on where it stopped")]
    Unavailable(String),
    /// The request is wrong.
    #[error("the platform refuses the request ({0}); see that `url` and `chatbots` of [sources.NAME.backfill] are right")]
    Refused(u16),
    /// An answer of another shape.
    #[error("the platform's answer is no list of leads: {0}; see that `url` of [sources.NAME.backfill] is right")]
    Unexpected(&'static str),
}

/// How pages are asked for.
#[derive(Debug, Clone)]
pub struct Pages {
    /// Takes the number of the page, from 1.
    pub field: String,
    /// Takes its length.
    pub size_field: Option<String>,
    /// A shorter one is the last.
    pub size: u32,
}

/// The list of one account.
#[derive(Debug)]
pub struct LeadList {
    client: Client,
    url: Url,
    token: String,
    chatbots: Vec<String>,
    pages: Option<Pages>,
    pause: Duration,
    next_at: Mutex<Instant>,
}

impl LeadList {
    /// A list that is asked so many times a minute at most.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn new(url: Url, token: &str, chatbots: Vec<String>, pages: Option<Pages>, per_minute: u32) -> Result<Self, String> {
        let client =
            Client::new(&HttpSettings { max_answer_bytes: MOST_BYTES, timeout: Duration::from_secs(60), ..HttpSettings::default() })?;
        let pause = Duration::from_secs(60) / per_minute.max(1);
        Ok(Self { client, url, token: token.to_owned(), chatbots, pages, pause, next_at: Mutex::new(Instant::now()) })
    }

    /// The chatbots to ask for.
    pub fn chatbots(&self) -> impl Iterator<Item = &str> {
        self.chatbots.iter().map(String::as_str)
    }

    /// The records of a chatbot on one day, perhaps with some of the next.
    ///
    /// # Errors
    /// Why they could not be had.
    pub async fn day(&self, chatbot: &str, day: Date) -> Result<Vec<Value>, ApiError> {
        let end = day.checked_add(1.day()).unwrap_or(day);
        let mut body = json!({"serialNumber": chatbot, "startTime": day.to_string(), "endTime": end.to_string()});
        let (Some(pages), Some(fields)) = (&self.pages, body.as_object_mut()) else { return self.ask(&body).await };
        self.all_pages(pages, fields).await
    }

    async fn all_pages(&self, pages: &Pages, fields: &mut Map<String, Value>) -> Result<Vec<Value>, ApiError> {
        let mut all: Vec<Value> = Vec::new();
        for page in 1..=MOST_PAGES {
            fields.insert(pages.field.clone(), page.into());
            if let Some(field) = &pages.size_field {
                fields.insert(field.clone(), pages.size.into());
            }
            let records = self.ask(&Value::Object(fields.clone())).await?;
            let is_last = records.len() < pages.size as usize;
            // A platform that does not know the field answers the same again and again.
            let is_repeated = !records.is_empty() && all.ends_with(&records);
            if !is_repeated {
                all.extend(records);
            }
            if is_last || is_repeated {
                return Ok(all);
            }
        }
        Err(ApiError::Unexpected("it has no last page"))
    }

    async fn ask(&self, body: &Value) -> Result<Vec<Value>, ApiError> {
        let request =
            Request::new(Method::Post, self.url.clone()).json(body).secret_header("Authorization", self.token.clone()).repeatable();
        let mut pause = FIRST_PAUSE;
        for tried in 1..=TRIES {
            self.wait_for_turn().await;
            let (reason, wait) = match self.client.send(&request).await {
                Ok(answer) if answer.is_2xx() => return records(&answer),
                Ok(Answer { status: status @ (401 | 403), .. }) => return Err(ApiError::Token(status)),
                Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                    (format!("it answered {}", answer.status), answer.retry_after())
                }
                Ok(answer) => return Err(ApiError::Refused(answer.status)),
                Err(error) => (error.message, None),
            };
            if tried == TRIES {
                return Err(ApiError::Unavailable(reason));
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
        }
        Err(ApiError::Unavailable("it was not asked".to_owned()))
    }

    async fn wait_for_turn(&self) {
        let turn = {
            let mut next_at = self.next_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let turn = (*next_at).max(Instant::now());
            *next_at = turn + self.pause;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// The list in an answer: `Data` itself, or the first list in it. An envelope that reports an error inside is told by what it lacks.
fn records(answer: &Answer) -> Result<Vec<Value>, ApiError> {
    if answer.truncated {
        return Err(ApiError::Unexpected("it is longer than 64 MiB; set `page_field`, if the platform has pages"));
    }
    let Some(Value::Object(envelope)) = answer.json() else { return Err(ApiError::Unexpected("it is no JSON object")) };
    match envelope.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("data")) {
        Some((_, Value::Array(records))) => Ok(records),
        Some((_, Value::Object(inner))) => {
            let list = inner.into_iter().find_map(|(_, value)| if let Value::Array(records) = value { Some(records) } else { None });
            list.ok_or(ApiError::Unexpected("its `Data` holds no list"))
        }
        Some((_, Value::Null)) => Ok(Vec::new()),
        Some(_) => Err(ApiError::Unexpected("its `Data` is no list")),
        None => Err(ApiError::Unexpected("it has no `Data`")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.to_owned().into(), truncated: false, at: jiff::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_list_is_found_in_its_envelope() {
        for (body, count) in [
            (r#"{"Data":[{},{}],"Version":"1.0.0"}"#, 2),
            (r#"{"data":[]}"#, 0),
            (r#"{"Data":null}"#, 0),
            (r#"{"Data":{"Total":1,"List":[{}]}}"#, 1),
        ] {
            assert_eq!(records(&answer(body)).unwrap().len(), count, "{body}");
        }
        for body in ["", "<html>", "[]", "{}", r#"{"Data":"no"}"#, r#"{"Data":{}}"#, r#"{"Code":401,"Message":"no"}"#] {
            assert!(matches!(records(&answer(body)), Err(ApiError::Unexpected(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(body in ".{0,60}|\\{\"Data\":[\\[\\]{}\",:a0-9]{0,30}\\}") {
            let _ = records(&answer(&body));
        }
    }
}

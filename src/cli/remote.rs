//! A running bridge, over its API: for operators who work from their own machine, without the store.

mod selected;

pub(super) use selected::{Deed, Selected};

use super::near::as_neighbour;
use super::{Failure, show};
use indicatif::{ProgressBar, ProgressStyle};
use leadwire_connector::http::{Client, HttpSettings, Method, Request, in_the_clear, join};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use url::Url;

/// Where the token is, if no file is named.
const TOKEN_VARIABLE: &str = "LEADWIRE_TOKEN";
/// Entries that are asked for at once; the API gives no more.
const PAGE: u32 = 200;
/// A page is 8 MiB and one event, which may be long.
const LARGEST_ANSWER: usize = 64 << 20;
/// Destinations that are examined take a while.
const WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked how far a job is.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// A bridge that is asked.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    url: Url,
    token: Option<String>,
}

/// One page.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// A list without pages.
#[derive(Deserialize)]
struct Whole<T> {
    items: Vec<T>,
}

/// What came of an action.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) count: usize,
    pub(super) message: String,
    job: Option<i64>,
}

/// How far one is.
#[derive(Deserialize)]
struct Progress {
    planned: u64,
    count: u64,
    ended_at: Option<String>,
    failure: Option<String>,
}

impl Server {
    /// The bridge whose console is at `url`.
    ///
    /// # Errors
    /// `Usage` when the address cannot be used, or the token cannot be read.
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, Failure> {
        let is_usable = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none();
        let unusable = || Failure::Usage(format!("`{url}` is no address of a console; write it as https://leads.example.com:8081"));
        let parsed = Url::parse(url).ok().filter(is_usable).ok_or_else(unusable)?;
        let read = |file: &Path| {
            let shown = file.display();
            std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("the token file {shown} cannot be read: {error}")))
        };
        let token = match token_file {
            Some(file) => Some(read(file)?),
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        Self::with_token(parsed, token)
    }

    /// The same with a token that is known.
    pub(super) fn with_token(url: Url, token: Option<String>) -> Result<Self, Failure> {
        Self::by(url, token, HttpSettings::default())
    }

    /// The console of this machine's own configuration.
    pub(super) fn nearby(url: Url, token: Option<String>) -> Result<Self, Failure> {
        Self::by(url, token, as_neighbour(HttpSettings::default()))
    }

    fn by(url: Url, token: Option<String>, settings: HttpSettings) -> Result<Self, Failure> {
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
            return Err(Failure::Usage("the token has characters that no token has; is it the right file?".to_owned()));
        }
        if let Some(warning) = token.as_ref().and_then(|_| in_the_clear("--server", &url, "the token")) {
            show::note(&format!("warning: {warning}"));
        }
        let settings = HttpSettings { timeout: WITHIN, max_answer_bytes: LARGEST_ANSWER, ..settings };
        Ok(Self { client: Client::new(&settings).map_err(Failure::Failed)?, url, token })
    }

    /// What is at this path of the API.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, Failure> {
        let given: Vec<(&str, &str)> =
            query.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, value.as_str())).collect();
        let request = Request::new(Method::Get, self.at(path));
        self.ask(if given.is_empty() { request } else { request.query(&given) }).await
    }

    /// Whatever is asked for by a body.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> Result<T, Failure> {
        self.ask(Request::new(Method::Post, self.at(path)).json(body)).await
    }

    /// At most so many entries of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)], limit: u32) -> Result<Vec<T>, Failure> {
        let (mut items, mut query) = (Vec::new(), query.to_vec());
        loop {
            let left = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if left == 0 {
                return Ok(items);
            }
            query.retain(|(name, _)| *name != "limit");
            query.push(("limit", left.min(PAGE).to_string()));
            let page: Page<T> = self.get(path, &query).await?;
            items.extend(page.items);
            let Some(next) = page.next else { return Ok(items) };
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", next));
        }
    }

    /// A list that has no pages.
    pub(super) async fn whole<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, Failure> {
        Ok(self.get::<Whole<T>>(path, &[]).await?.items)
    }

    /// Does something, and waits until it is done if it takes a while.
    pub(super) async fn act(&self, action: &str, body: &Value) -> Result<Done, Failure> {
        let done: Done = self.post(&["actions", action], body).await?;
        match done.job {
            Some(job) => Ok(Done { count: self.finish(job).await?, ..done }),
            None => Ok(done),
        }
    }

    /// How many an action would be of.
    pub(super) async fn count(&self, action: &str, body: &Value) -> Result<usize, Failure> {
        let mut body = body.clone();
        body["dry_run"] = json!(true);
        Ok(self.post::<Done>(&["actions", action], &body).await?.count)
    }

    async fn finish(&self, job: i64) -> Result<usize, Failure> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar()));
        loop {
            let progress: Progress = self.get(&["actions", &job.to_string()], &[]).await?;
            bar.set_length(progress.planned);
            bar.set_position(progress.count);
            if let Some(failure) = progress.failure {
                return Err(self.said(&format!("{failure} ({} of {} were done)", progress.count, progress.planned)));
            }
            if progress.ended_at.is_some() {
                bar.finish_and_clear();
                return Ok(usize::try_from(progress.count).unwrap_or(usize::MAX));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn at(&self, path: &[&str]) -> Url {
        join(&self.url, &[&["api", "v1"], path].concat())
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        };
        let answer = self.client.send(&request).await;
        let answer = answer.map_err(|error| Failure::Failed(format!("the bridge at {} cannot be asked: {}", self.url, error.message)))?;
        if !answer.is_2xx() {
            return Err(self.refused(answer.status, answer.json().as_ref()));
        }
        if answer.truncated {
            return Err(self.said("more than fits into memory; ask for less, such as with --limit"));
        }
        serde_json::from_slice(&answer.body).map_err(|_| {
            Failure::Failed(format!(
                "what answers at {} is no console of this version of Leadwire ({})",
                self.url,
                env!("CARGO_PKG_VERSION")
            ))
        })
    }

    fn refused(&self, status: u16, problem: Option<&Value>) -> Failure {
        let Some(detail) = problem.and_then(|problem| problem["detail"].as_str()) else {
            return Failure::Failed(format!("what answers at {} is no console of Leadwire: it says {status}", self.url));
        };
        let way = if status == 401 { format!("; give yours as {TOKEN_VARIABLE} or in a --token-file") } else { String::new() };
        self.said(&format!("{}{way} ({status})", show::plain(detail)))
    }

    fn said(&self, what: &str) -> Failure {
        Failure::Failed(format!("the bridge at {} says: {what}", self.url))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Usage(text) | Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_address_or_no_token_is_told() {
        for url in ["leads.example.com", "ftp://leads.example.com", "https://", "https://leads.example.com/?a=b"] {
            assert!(text(Server::new(url, None).unwrap_err()).contains("no address"), "{url}");
        }
        let url: Url = "http://127.0.0.1:1".parse().unwrap();
        assert!(text(Server::with_token(url.clone(), Some("a b".to_owned())).unwrap_err()).contains("no token has"));
        assert_eq!(Server::with_token(url, Some(" abc\n".to_owned())).unwrap().token.as_deref(), Some("abc"));
    }

    #[test]
    fn the_console_may_be_below_a_path_and_names_are_escaped() {
        let server = Server::with_token("https://example.com/leads/".parse().unwrap(), None).unwrap();
        assert_eq!(server.at(&["destinations", "a/b"]).as_str(), "https://example.com/leads/api/v1/destinations/a%2Fb");
    }
}

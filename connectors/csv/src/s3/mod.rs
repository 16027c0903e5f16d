//! A bucket of storage that speaks S3: what it takes to put a file there, and nothing that removes one.

mod sign;
mod upload;

pub(crate) use upload::{Uploader, Uploads};

use leadwire_connector::http::{Answer, Client, Method, Request, in_the_clear};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::settings::{Fault, Secret, duration};
use leadwire_connector::{DeliveryError, ErrorKind, PreviewRequest, Report, Verdict};
use serde::Deserialize;
use sign::{Signed, Signer};
use std::time::Duration;

/// A file of a day may be large, and its way slow.
const TIMEOUT: Duration = Duration::from_secs(300);
const MAX_LAG: Duration = Duration::from_secs(3_600);
const CODE_MOST: usize = 60;

/// The keys of `[destinations.NAME.s3]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    endpoint: Url,
    bucket: String,
    #[serde(default)]
    prefix: String,
    #[serde(default = "default_region")]
    region: String,
    access_key: Secret,
    secret_key: Secret,
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    max_lag: Option<Duration>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

impl Keys {
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: &str, help: &str| faults.push(Fault::new(["s3", key], message).with_help(help));
        if !matches!(self.endpoint.scheme(), "http" | "https") || self.endpoint.host().is_none() {
            fault("endpoint", "this is no web address", "write one such as \"https://s3.eu-central-1.amazonaws.com\"");
        }
        if !matches!(self.endpoint.path(), "" | "/") || self.endpoint.query().is_some() || !self.endpoint.username().is_empty() {
            fault("endpoint", "the address has more than a host", "take the rest out; `bucket` and `prefix` have keys of their own");
        }
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(is_name) {
            fault("bucket", "this is no name of a bucket", "write its name alone, without `s3://` and without a folder");
        }
        if self.prefix.starts_with('/') || self.prefix.len() > 500 || self.prefix.chars().any(char::is_control) {
            fault("prefix", "a prefix does not start with `/` and has at most 500 bytes", "write one such as \"leads/\"");
        }
        if self.prefix.split('/').any(|part| part == "." || part == "..") {
            fault("prefix", "a prefix goes no way up or in place", "take `.` and `..` out");
        }
        if self.region.is_empty() || !self.region.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            fault("region", "this is no region", "write one such as \"eu-central-1\", or \"auto\" where the storage says so");
        }
        if !self.access_key.expose().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
            fault("access_key", "this is no access key", "copy the id of the key again");
        }
        faults
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        in_the_clear("s3.endpoint", &self.endpoint, "the leads").into_iter().collect()
    }

    pub(crate) fn max_lag(&self) -> Duration {
        self.max_lag.unwrap_or(MAX_LAG)
    }
}

/// One bucket, and who may write there.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    endpoint: Url,
    bucket: String,
    prefix: String,
    signer: Signer,
}

impl Bucket {
    pub(crate) fn new(keys: &Keys) -> Self {
        let access_key = keys.access_key.expose().to_owned();
        let signer = Signer { access_key, secret_key: keys.secret_key.clone(), region: keys.region.clone() };
        Self { endpoint: keys.endpoint.clone(), bucket: keys.bucket.clone(), prefix: keys.prefix.clone(), signer }
    }

    /// What stands before a file's name in messages and certificates.
    pub(crate) fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// Puts a file, over itself if it is there. The name is of the rows, so that a repeat changes nothing.
    pub(crate) async fn put(&self, client: &Client, name: &str, body: Vec<u8>) -> Result<(), DeliveryError> {
        let request = self.request(Method::Put, &format!("{}{name}", self.prefix), body, Timestamp::now());
        let answer = client.send(&request.timeout(TIMEOUT)).await?;
        if answer.is_2xx() { Ok(()) } else { Err(self.refusal(&answer)) }
    }

    /// Looking at a bucket is a right of its own, which who may write need not have.
    pub(crate) async fn check(&self, client: &Client, report: Report) -> Report {
        let answer = match client.send(&self.request(Method::Head, "", Vec::new(), Timestamp::now())).await {
            Ok(answer) => answer,
            Err(error) => return report.failed("bucket", &error),
        };
        let report = match answer.status {
            200..=299 => report.good("bucket", format!("{} is there", self.place())),
            403 => report
                .warn("bucket", format!("{} may not be looked at (403)", self.place()))
                .remedy("if files are uploaded all the same, ignore it: the key may write and not look; else renew the key"),
            _ => report.failed("bucket", &self.refusal(&answer)),
        };
        report.clock(&answer)
    }

    pub(crate) fn preview(&self, file: &str) -> PreviewRequest {
        let stem = file.strip_suffix(".csv").unwrap_or(file);
        let name = format!("{}{stem}-{}.csv", self.prefix, PreviewRequest::placeholder("hash of the rows"));
        let body = PreviewRequest::placeholder("the file").into();
        let url = format!("{}{}/{name}", self.endpoint, self.bucket);
        PreviewRequest { step: "upload".to_owned(), method: "PUT".to_owned(), url, body, ..PreviewRequest::default() }
            .only_when("when the file is finished")
    }

    fn request(&self, method: Method, key: &str, body: Vec<u8>, at: Timestamp) -> Request {
        let path = sign::encoded(&format!("/{}{}{key}", self.bucket, if key.is_empty() { "" } else { "/" }));
        let mut url = self.endpoint.clone();
        url.set_path(&path);
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let body_hash = sign::hash(&body);
        let headers = [("host", host), ("x-amz-content-sha256", body_hash.clone()), ("x-amz-date", sign::moment(at))];
        let signed = Signed { method: method.as_str(), path: &path, headers: &headers, body_hash: &body_hash, at };
        let request = Request::new(method, url).secret_header("Authorization", self.signer.authorization(&signed));
        let request = headers.iter().skip(1).fold(request, |request, (name, value)| request.header(name, value));
        if method == Method::Put { request.body("text/csv; charset=utf-8", body).repeatable() } else { request }
    }

    /// Rows are never at fault, so that nothing is rejected: a refusal waits until somebody changed something.
    fn refusal(&self, answer: &Answer) -> DeliveryError {
        let body = String::from_utf8_lossy(&answer.body);
        let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
        let code = code.filter(|code| code.len() <= CODE_MOST && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let error = answer.error(&format!("the bucket {}", self.place()));
        let (kind, verdict) = match (answer.status, error.verdict) {
            (404, _) => (ErrorKind::Configuration, Verdict::Hold { until: None }),
            (_, Verdict::Reject) => (ErrorKind::Unexpected, Verdict::Retry { after: answer.retry_after() }),
            (_, verdict) => (error.kind, verdict),
        };
        let message = match code {
            Some(code) => format!("{}: {code}", error.message),
            None => error.message,
        };
        DeliveryError { kind, verdict, message, code: code.map(str::to_owned), ..error }
    }
}

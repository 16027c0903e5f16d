//! The requests that an endpoint is sent, as values, and sending them.

use crate::config::{Settings, is_secret_header};
use crate::{map, verdict};
use async_trait::async_trait;
use bytes::Bytes;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::{Connector, Delivery, DeliveryError, Event, PreviewRequest, Receipt, Report, Steps};

/// One destination.
pub(crate) struct Endpoint {
    settings: Settings,
    what: String,
    secrets: Vec<String>,
    client: Client,
}

impl Endpoint {
    pub(crate) fn new(settings: Settings, http: &HttpSettings) -> Result<Self, String> {
        let http = HttpSettings { timeout: settings.config.timeout.unwrap_or(http.timeout), ..http.clone() };
        let what = settings.config.url.host_str().unwrap_or("the endpoint").to_owned();
        let secrets = settings.secrets();
        Ok(Self { client: Client::new(&http)?, settings, what, secrets })
    }

    /// A request with the credentials and the headers of the configuration.
    fn request(&self, method: Method) -> Request {
        let mut request = Request::new(method, self.settings.config.url.clone());
        if let Some(value) = self.settings.authorization() {
            request = request.secret_header("Authorization", value);
        }
        for (name, value) in &self.settings.config.headers {
            let is_secret = is_secret_header(name, value);
            request = if is_secret { request.secret_header(name, value.expose()) } else { request.header(name, value.expose()) };
        }
        request
    }

    /// The idempotency key makes every one of them repeatable.
    fn event_request(&self, body: Bytes, id: &str, seconds: &str) -> Request {
        let signature = self.settings.key.as_ref().map(|key| key.sign(id, seconds, &body));
        let request = self.request(self.settings.config.method.into()).body("application/json", body).repeatable();
        let request = request.header("Idempotency-Key", id).header("webhook-id", id).header("webhook-timestamp", seconds);
        match signature {
            Some(signature) => request.secret_header("webhook-signature", signature),
            None => request,
        }
    }

    fn body(&self, event: &Event) -> Result<Bytes, DeliveryError> {
        map::body(event, &self.settings.fields, self.settings.config.envelope)
    }

    /// An endpoint may repeat what it was sent; no secret of it may get into an error.
    fn without_secrets(&self, mut answer: Answer) -> Answer {
        let body = String::from_utf8_lossy(&answer.body);
        if self.secrets.iter().any(|secret| body.contains(secret)) {
            let masked = self.secrets.iter().fold(body.into_owned(), |body, secret| body.replace(secret, "••••"));
            answer.body = masked.into();
        }
        answer
    }
}

#[async_trait]
impl Connector for Endpoint {
    async fn deliver(&self, delivery: &Delivery, _steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let body = self.body(&delivery.event)?;
        let request = self.event_request(body, &delivery.id, &Timestamp::now().as_second().to_string());
        let answer = self.without_secrets(self.client.send(&request).await?);
        verdict::read(&answer, &self.settings.config.success, &self.what, &delivery.event.person)
    }

    /// A `HEAD` changes nothing anywhere, and most endpoints answer something to it.
    async fn check(&self) -> Report {
        let reached = match self.client.send(&self.request(Method::Head)).await {
            Ok(answer) => judge(&answer, &self.what, self.settings.key.is_some()),
            Err(error) => Report::default().bad("address", error.message),
        };
        let reached = match self.settings.authorization().is_some() {
            true => reached.good("credentials", "an `Authorization` is sent"),
            false => reached.good("credentials", "no `Authorization` is sent, since neither `bearer` nor `basic` is set"),
        };
        match self.settings.key.is_some() {
            true => reached.good("signature", "requests are signed by Standard Webhooks"),
            false => reached.good("signature", "requests are not signed, since `secret` is not set"),
        }
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let body = self.body(event)?;
        Ok(vec![self.event_request(body, "(id of the delivery)", "(time of the attempt)").preview()])
    }
}

/// What the answer to a `HEAD` says about deliveries. An endpoint that only takes signed or posted requests refuses it, which is no fault.
fn judge(answer: &Answer, what: &str, is_signed: bool) -> Report {
    let status = answer.status;
    let report = Report::default();
    match status {
        401 | 403 if is_signed => report.good("address", format!("{what} answers; it refuses an unsigned HEAD ({status}), as it may")),
        401 | 403 | 410 | 300..=399 => report.bad("address", answer.error(what).message),
        501 => report.good("address", format!("{what} answers; it does not know HEAD (501)")),
        500.. => report.bad("address", format!("{what} answers a HEAD with {status}; look at its logs")),
        404 => report.good("address", format!("{what} answers; it knows no HEAD at this path (404): see that the path of `url` is right")),
        _ => report.good("address", format!("{what} answers ({status} to a HEAD)")),
    }
}

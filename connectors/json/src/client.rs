//! The requests that an endpoint is sent, as values, and sending them.

use crate::config::{Settings, is_secret_header, is_template};
use crate::preset::Preset;
use crate::verdict::{self, Judge};
use async_trait::async_trait;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::token::Tokens;
use leadwire_connector::{BuildContext, Connector, Delivery, DeliveryError, Event, PreviewRequest, Receipt, Redactor, Report, Steps};

/// What is sent for one event, but for the credentials and the time.
struct Message {
    written: crate::map::Written,
    headers: Vec<(String, String)>,
    id: String,
    /// What was left out since its template failed.
    remark: Option<String>,
}

/// One destination.
pub(crate) struct Endpoint {
    settings: Settings,
    what: String,
    secrets: Vec<String>,
    tokens: Option<Tokens>,
    client: Client,
}

impl Endpoint {
    pub(crate) fn new(settings: Settings, context: &BuildContext) -> Result<Self, String> {
        let what = settings.config.url.url.host_str().unwrap_or("the endpoint").to_owned();
        let tokens = settings.oauth.clone().map(|oauth| Tokens::oauth(oauth, &what, context)).transpose()?;
        let client = Client::new(&http(&settings, &context.http))?;
        Ok(Self { secrets: settings.secrets(), settings, what, tokens, client })
    }

    /// A request with the credentials and the fixed headers of the configuration.
    fn request(&self, method: Method, url: url::Url, token: Option<&str>) -> Request {
        let mut request = Request::new(method, url);
        let authorization = token.map(|token| format!("Bearer {token}")).or_else(|| self.settings.authorization());
        if let Some(value) = authorization {
            request = request.secret_header("Authorization", value);
        }
        for (name, value) in self.settings.config.headers.iter().filter(|(name, value)| !is_template(name, value)) {
            let is_secret = is_secret_header(name, value);
            request = if is_secret { request.secret_header(name, value.expose()) } else { request.header(name, value.expose()) };
        }
        self.settings.secret_path().into_iter().fold(request, Request::secret)
    }

    /// What the event becomes. The idempotency key makes the request repeatable.
    fn message(&self, event: &Event, id: &str) -> Result<Message, DeliveryError> {
        let written = self.settings.body.write(event, id)?;
        let one_line = |value: String| value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let rendered = self.settings.headers.render(event);
        let remarks: Vec<String> = written.remark.iter().cloned().chain(rendered.remark()).collect();
        let headers = rendered.fields.into_iter().map(|(name, value)| (name, one_line(value))).collect();
        let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
        Ok(Message { written, headers, id: id.to_owned(), remark })
    }

    /// `Idempotency-Key` is a string of Structured Fields (RFC 9651), which has quotes (draft-ietf-httpapi-idempotency-key-header, 2.1).
    fn event_request(&self, message: &Message, seconds: &str, token: Option<&str>) -> Request {
        let Message { written, headers, id, .. } = message;
        let signature = self.settings.keys.sign(id, seconds, &written.bytes);
        let request = self.request(self.settings.config.method.into(), self.settings.config.url.url.clone(), token);
        let mut request = request.body(&written.content_type, written.bytes.clone()).repeatable();
        for (name, value) in written.headers.iter().map(|(name, value)| (*name, value)).chain(headers.iter().map(|(a, b)| (a.as_str(), b)))
        {
            request = request.header(name, value);
        }
        let request = request.header("Idempotency-Key", format!("\"{id}\"")).header("webhook-id", id).header("webhook-timestamp", seconds);
        match signature {
            Some(signature) => request.secret_header("webhook-signature", signature),
            None => request,
        }
    }

    async fn send(&self, message: &Message) -> Result<Answer, DeliveryError> {
        let seconds = Timestamp::now().as_second().to_string();
        match &self.tokens {
            None => self.client.send(&self.event_request(message, &seconds, None)).await,
            Some(tokens) => tokens.send(&self.client, |token| self.event_request(message, &seconds, Some(token.expose()))).await,
        }
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

    /// What a check looks at: the address, or, since hooks of automation tools may start something at any request, what is before its path.
    fn checked(&self) -> url::Url {
        let mut url = self.settings.config.url.url.clone();
        if self.settings.config.preset.is_some() {
            url.set_path("/");
            url.set_query(None);
        }
        url
    }

    async fn reached(&self) -> Report {
        let token = match &self.tokens {
            None => None,
            Some(tokens) => match tokens.get().await {
                Ok(token) => Some(token),
                Err(error) => return Report::default().failed("credentials", &error),
            },
        };
        let request = self.request(Method::Head, self.checked(), token.as_ref().map(leadwire_connector::token::Token::expose));
        match self.client.send(&request).await {
            Ok(answer) => judge(&answer, &self.what, !self.settings.keys.is_empty(), self.settings.config.preset),
            Err(error) => Report::default().bad("address", error.message),
        }
    }
}

fn http(settings: &Settings, http: &HttpSettings) -> HttpSettings {
    let mut http = HttpSettings { timeout: settings.config.timeout.unwrap_or(http.timeout), ..http.clone() };
    http.identity = settings.identity.clone().or(http.identity);
    http.extra_roots.extend(settings.config.ca_certificate.iter().map(|pem| pem.expose().to_owned()));
    http
}

#[async_trait]
impl Connector for Endpoint {
    async fn deliver(&self, delivery: &Delivery, _steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let message = self.message(&delivery.event, &delivery.id)?;
        let answer = self.without_secrets(self.send(&message).await?);
        let config = &self.settings.config;
        let judge = Judge { success: &config.success, answers: &config.answers, what: &self.what, person: &delivery.event.person };
        Ok(verdict::read(&answer, &judge)?.with_remark(message.remark))
    }

    /// A `HEAD` changes nothing anywhere, and most endpoints answer something to it.
    async fn check(&self) -> Report {
        let reached = self.reached().await;
        let reached = match (&self.tokens, self.settings.authorization()) {
            (Some(_), _) => reached.good("credentials", "an `Authorization` with a token of OAuth is sent"),
            (None, Some(_)) => reached.good("credentials", "an `Authorization` is sent"),
            (None, None) => {
                reached.good("credentials", "no `Authorization` is sent, since neither `bearer` nor `basic` nor `oauth` is set")
            }
        };
        match self.settings.keys.is_empty() {
            false => reached.good("signature", "requests are signed by Standard Webhooks"),
            true => reached.good("signature", "requests are not signed, since `secret` is not set"),
        }
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let message = self.message(event, &PreviewRequest::placeholder("id of the delivery"))?;
        let token = self.tokens.as_ref().map(Tokens::placeholder);
        let token = token.as_ref().map(leadwire_connector::token::Token::expose);
        let mut preview = self.event_request(&message, &PreviewRequest::placeholder("time of the attempt"), token).preview();
        let redactor = Redactor::new(self.settings.secret_path());
        preview.url = redactor.clean(&preview.url).into_owned();
        Ok(vec![preview])
    }
}

/// What the answer to a `HEAD` says about deliveries. An endpoint that only takes signed or posted requests refuses it, which is no fault.
fn judge(answer: &Answer, what: &str, is_signed: bool, preset: Option<Preset>) -> Report {
    let status = answer.status;
    let report = Report::default();
    match (status, preset) {
        (500.., None) if status == 501 => report.good("address", format!("{what} answers; it does not know HEAD (501)")),
        (500.., _) => report.bad("address", format!("{what} answers a HEAD with {status}; look at its logs")),
        (_, Some(_)) => report.good(
            "address",
            format!("{what} answers ({status}); whether what stands behind `url` is switched on shows with the first delivery"),
        ),
        (401 | 403, _) if is_signed => report.good("address", format!("{what} answers; it refuses an unsigned HEAD ({status}), as it may")),
        (401 | 403 | 410 | 300..=399, _) => report.bad("address", answer.error(what).message),
        (404, _) => {
            report.good("address", format!("{what} answers; it knows no HEAD at this path (404): see that the path of `url` is right"))
        }
        _ => report.good("address", format!("{what} answers ({status} to a HEAD)")),
    }
}

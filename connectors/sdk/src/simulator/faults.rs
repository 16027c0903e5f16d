//! Faults to order: what goes wrong, for which requests, how often.

use super::{Request, Service};
use crate::settings::duration;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const DEFAULT_PACE: Duration = Duration::from_millis(100);
const DEFAULT_HUGE: u64 = 64 << 20;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// This status, in the service's own shape if it has one; the service does not process the request. A redirect names a `Location`.
    Status(u16),
    /// The service's own refusal of a field of this name; the service does not process the request. Hits requests that send the field
    /// only, where the service can tell.
    InvalidField(String),
    /// The service's own 429; the service does not process the request.
    RateLimit {
        /// `Retry-After`, seconds or a date, sent as it is.
        retry_after: Option<String>,
    },
    /// The service's own 429 of an account whose requests for the day are used up; the service does not process the request.
    DayIsSpent,
    /// The service's own answer of a search that does not know yet what was written. Hits searches only.
    SearchLag,
    /// The connection is reset before the service sees the request.
    ResetBefore,
    /// The service processes the request, then the connection is reset without a byte of an answer.
    ResetAfterWrite,
    /// The service's own 2xx that reports an error inside; the service does not process the request.
    ErrorInside,
    /// 200 with a page of HTML, as a proxy in between sends it; the service does not see the request.
    Garbage,
    /// 400 with everything that was sent, credentials too, as debugging endpoints and proxies repeat it; the service does not see the
    /// request.
    Echo,
    /// The service processes the request; the answer says that it is `text/html`.
    WrongType,
    /// The service answers; the body goes out one byte at a time, with this pause between.
    SlowBody(Duration),
    /// The service processes the request; the answer's body is this many bytes of nonsense.
    HugeBody(u64),
    /// No answer until the client gives up; the service does not see the request.
    Hang,
    /// The service processes the request at once; the answer leaves this much later. Rules below this one still apply.
    Latency(Duration),
    /// The service answers and promises to keep the connection, then closes it just as it is used again.
    CloseIdle,
}

/// A fault, and which requests it hits.
///
/// As text, on the command line and at `POST /_simulator/faults`:
///
/// ```text
/// KIND[:VALUE] [xTIMES] [@PERCENT%] [@METHOD] [@/PATH]
/// ```
///
/// | KIND | VALUE |
/// | --- | --- |
/// | a status, 200 to 599 | for 429: `Retry-After`, seconds or a date; or `daily`, the limit of a day |
/// | `search-lag`, `reset-before`, `reset-after-write`, `error-inside`, `garbage`, `echo`, `wrong-type`, `hang`, `close-idle` | |
/// | `invalid` | the name of the field that is refused, required |
/// | `slow-body` | the pause between two bytes, 100ms unless given |
/// | `huge-body` | bytes, 64 MiB unless given |
/// | `latency` | a duration, required |
///
/// `xTIMES` hits the next so many requests and is then used up. `@PERCENT%` hits each request with that probability.
/// `@METHOD` and `@/PATH` hit only such requests; the path may be any part of the target that starts with `/`.
/// The spaces are optional; the parts with an `@` may come in any order.
///
/// `503`, `503x3`, `503@20%`, `429:30`, `reset-after-write x1`, `latency:200ms @GET @/crm/objects`.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only requests whose target contains this.
    pub path_contains: Option<String>,
    /// Only requests with this method, in capitals.
    pub method: Option<String>,
    /// Only the next so many requests.
    pub times: Option<u32>,
    /// Each request with this probability, 0 to 1.
    pub probability: Option<f64>,
}

impl FaultRule {
    /// A fault that hits every request.
    #[must_use]
    pub fn always(kind: FaultKind) -> Self {
        Self { kind, path_contains: None, method: None, times: None, probability: None }
    }

    /// A fault that hits the next `times` requests.
    #[must_use]
    pub fn next(times: u32, kind: FaultKind) -> Self {
        Self { times: Some(times), ..Self::always(kind) }
    }

    fn concerns(&self, request: &Request, service: &dyn Service) -> bool {
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path_contains.as_ref().is_none_or(|part| request.target.contains(part))
            && service.is_hit(&self.kind, request)
    }
}

impl FromStr for FaultRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('@').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let (kind, times) = split_times(head)?;
        let mut rule = Self { times, ..Self::always(parse_kind(kind)?) };
        for part in parts {
            if part.starts_with('/') {
                rule.path_contains = Some(part.to_owned());
            } else if let Some(percent) = part.strip_suffix('%') {
                rule.probability = Some(parse_percent(percent)?);
            } else if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase()) {
                rule.method = Some(part.to_owned());
            } else {
                return Err(format!("`@{part}` is neither a probability (`@20%`) nor a method (`@POST`) nor a path (`@/crm`)"));
            }
        }
        Ok(rule)
    }
}

/// No kind and no HTTP date ends in an `x` and a number, so those are the times.
fn split_times(head: &str) -> Result<(&str, Option<u32>), String> {
    let is_number = |times: &&str| times.bytes().all(|byte| byte.is_ascii_digit());
    let Some((kind, times)) = head.rsplit_once('x').filter(|(_, times)| is_number(times)) else { return Ok((head, None)) };
    match times.parse() {
        Ok(times) if times > 0 => Ok((kind.trim_end(), Some(times))),
        _ => Err(format!("`x{times}` is no number of requests; write `x3` for the next three")),
    }
}

fn parse_percent(percent: &str) -> Result<f64, String> {
    let number = percent.trim().parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    number.map(|number| number / 100.0).ok_or_else(|| format!("`{percent}%` is no probability; write 0% to 100%"))
}

fn parse_kind(text: &str) -> Result<FaultKind, String> {
    let (word, value) = match text.split_once(':') {
        Some((word, value)) => (word.trim(), Some(value.trim())),
        None => (text, None),
    };
    let kind = match (word, value) {
        ("429", Some("daily")) => FaultKind::DayIsSpent,
        ("search-lag", None) => FaultKind::SearchLag,
        ("429", value) => FaultKind::RateLimit { retry_after: value.map(str::to_owned) },
        ("reset-before", None) => FaultKind::ResetBefore,
        ("reset-after-write", None) => FaultKind::ResetAfterWrite,
        ("error-inside", None) => FaultKind::ErrorInside,
        ("garbage", None) => FaultKind::Garbage,
        ("echo", None) => FaultKind::Echo,
        ("wrong-type", None) => FaultKind::WrongType,
        ("invalid", Some(field)) if !field.is_empty() => FaultKind::InvalidField(field.to_owned()),
        ("invalid", _) => return Err("`invalid` needs the name of a field, such as `invalid:email`".to_owned()),
        ("hang", None) => FaultKind::Hang,
        ("close-idle", None) => FaultKind::CloseIdle,
        ("slow-body", value) => FaultKind::SlowBody(value.map_or(Ok(DEFAULT_PACE), duration::parse)?),
        ("huge-body", None) => FaultKind::HugeBody(DEFAULT_HUGE),
        ("huge-body", Some(bytes)) => FaultKind::HugeBody(bytes.parse().map_err(|_| format!("`{bytes}` is no number of bytes"))?),
        ("latency", Some(value)) => FaultKind::Latency(duration::parse(value)?),
        ("latency", None) => return Err("`latency` needs a duration, such as `latency:200ms`".to_owned()),
        (word, None) => FaultKind::Status(parse_status(word)?),
        (word, Some(_)) => return Err(format!("`{word}` takes no value")),
    };
    Ok(kind)
}

fn parse_status(word: &str) -> Result<u16, String> {
    word.parse().ok().filter(|status| (200..600).contains(status)).ok_or_else(|| {
        format!(
            "unknown fault `{word}`; known are a status (`503`), `429:SECONDS`, `429:daily`, `search-lag`, `reset-before`, `reset-after-write`, `error-inside`, \
             `invalid:FIELD`, `garbage`, `echo`, `wrong-type`, `slow-body`, `huge-body`, `hang`, `latency:DURATION` and `close-idle`"
        )
    })
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::RateLimit { retry_after: None } => f.write_str("429"),
            Self::RateLimit { retry_after: Some(value) } => write!(f, "429:{value}"),
            Self::DayIsSpent => f.write_str("429:daily"),
            Self::SearchLag => f.write_str("search-lag"),
            Self::ResetBefore => f.write_str("reset-before"),
            Self::ResetAfterWrite => f.write_str("reset-after-write"),
            Self::ErrorInside => f.write_str("error-inside"),
            Self::InvalidField(field) => write!(f, "invalid:{field}"),
            Self::Garbage => f.write_str("garbage"),
            Self::Echo => f.write_str("echo"),
            Self::WrongType => f.write_str("wrong-type"),
            Self::SlowBody(pace) => write!(f, "slow-body:{}ms", pace.as_millis()),
            Self::HugeBody(bytes) => write!(f, "huge-body:{bytes}"),
            Self::Hang => f.write_str("hang"),
            Self::Latency(latency) => write!(f, "latency:{}ms", latency.as_millis()),
            Self::CloseIdle => f.write_str("close-idle"),
        }
    }
}

/// The form that [`FromStr`] reads.
impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if let Some(times) = self.times {
            write!(f, " x{times}")?;
        }
        if let Some(probability) = self.probability {
            write!(f, " @{}%", probability * 100.0)?;
        }
        if let Some(method) = &self.method {
            write!(f, " @{method}")?;
        }
        self.path_contains.as_ref().map_or(Ok(()), |path| write!(f, " @{path}"))
    }
}

/// All faults of a server. The default is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Added to every answer.
    pub latency: Duration,
    /// The first rule that hits a request decides; rules of [`FaultKind::Latency`] add up on the way there.
    pub rules: Vec<FaultRule>,
    /// The same seed and the same requests give the same faults. Moves on with every draw.
    pub seed: u64,
}

impl Faults {
    /// These rules and no added latency.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        Self { rules: rules.into_iter().collect(), ..Self::default() }
    }

    /// How late the answer to this request is, and what else goes wrong. Uses up rules with a number of times.
    pub(super) fn draw(&mut self, request: &Request, service: &dyn Service) -> (Duration, Option<FaultKind>) {
        let mut delay = self.latency;
        let mut fault = None;
        for index in 0..self.rules.len() {
            if !self.hits(index, request, service) {
                continue;
            }
            match self.rules.get(index).map(|rule| &rule.kind) {
                Some(FaultKind::Latency(latency)) => delay += *latency,
                kind => {
                    fault = kind.cloned();
                    break;
                }
            }
        }
        self.rules.retain(|rule| rule.times != Some(0));
        (delay, fault)
    }

    fn hits(&mut self, index: usize, request: &Request, service: &dyn Service) -> bool {
        let Some(rule) = self.rules.get_mut(index).filter(|rule| rule.times != Some(0) && rule.concerns(request, service)) else {
            return false;
        };
        if rule.probability.is_some_and(|probability| random(&mut self.seed) >= probability) {
            return false;
        }
        rule.times = rule.times.map(|times| times - 1);
        true
    }

    /// The rules as text, for the control endpoint.
    pub(super) fn listed(&self) -> Value {
        self.rules.iter().map(ToString::to_string).collect()
    }
}

/// SplitMix64: a fault needs to be repeatable, not unpredictable. From 0 to below 1.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::Response;
    use super::*;
    use proptest::prelude::*;

    /// Knows fields by its body, and searches by their path.
    struct Plain;

    impl Service for Plain {
        fn answer(&mut self, _: &Request) -> Response {
            Response::json(200, &Value::Null)
        }

        fn error_inside(&self) -> Response {
            Response::json(200, &Value::Null)
        }

        fn rate_limited(&self) -> Response {
            Response::json(429, &Value::Null)
        }

        fn is_hit(&self, kind: &FaultKind, request: &Request) -> bool {
            match kind {
                FaultKind::InvalidField(field) => request.json().get(field).is_some(),
                FaultKind::SearchLag => request.target.ends_with("/search"),
                _ => true,
            }
        }

        fn state(&self) -> Value {
            Value::Null
        }
    }

    #[test]
    fn a_fault_of_a_field_or_a_search_waits_for_the_request_that_has_one() {
        let mut faults = Faults::new([rule("invalid:email x1"), rule("search-lag x1")]);
        assert_eq!(faults.draw(&request("POST", "/a"), &Plain).1, None);
        assert_eq!(faults.draw(&request("POST", "/search"), &Plain).1, Some(FaultKind::SearchLag));
        let sends = Request { body: bytes::Bytes::from_static(b"{\"email\":\"a\"}"), ..request("POST", "/a") };
        assert_eq!(faults.draw(&sends, &Plain).1, Some(FaultKind::InvalidField("email".to_owned())));
        assert_eq!(faults.draw(&sends, &Plain).1, None);
    }

    fn rule(text: &str) -> FaultRule {
        text.parse().unwrap()
    }

    fn request(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: bytes::Bytes::new() }
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        assert_eq!(rule("503"), FaultRule::always(FaultKind::Status(503)));
        assert_eq!(rule("503x3"), FaultRule::next(3, FaultKind::Status(503)));
        assert_eq!(rule("503@20%").probability, Some(0.2));
        assert_eq!((rule("429:daily x2").kind, rule("search-lag").kind), (FaultKind::DayIsSpent, FaultKind::SearchLag));
        assert_eq!(rule("429").kind, FaultKind::RateLimit { retry_after: None });
        assert_eq!(rule("429:30 x2"), FaultRule::next(2, FaultKind::RateLimit { retry_after: Some("30".to_owned()) }));
        let date = "Sun, 22 Nov 2026 10:00:30 GMT";
        assert_eq!(rule(&format!("429:{date}")).kind, FaultKind::RateLimit { retry_after: Some(date.to_owned()) });
        assert_eq!(rule("reset-after-write x1"), FaultRule::next(1, FaultKind::ResetAfterWrite));
        assert_eq!(rule("slow-body").kind, FaultKind::SlowBody(DEFAULT_PACE));
        assert_eq!(rule("huge-body:1000").kind, FaultKind::HugeBody(1000));
        let all = rule("latency:200ms x7 @50% @GET @/crm/objects");
        assert_eq!(all.kind, FaultKind::Latency(Duration::from_millis(200)));
        assert_eq!(
            (all.times, all.probability, all.method.as_deref(), all.path_contains.as_deref()),
            (Some(7), Some(0.5), Some("GET"), Some("/crm/objects"))
        );
    }

    #[test]
    fn what_is_no_fault_is_explained() {
        for (text, told) in [
            ("", "unknown fault"),
            ("explode", "unknown fault"),
            ("99", "unknown fault"),
            ("600", "unknown fault"),
            ("503:1", "takes no value"),
            ("503x", "no number of requests"),
            ("503x0", "no number of requests"),
            ("503@120%", "no probability"),
            ("503@NaN%", "no probability"),
            ("503@post", "neither"),
            ("latency", "needs a duration"),
            ("invalid", "needs the name of a field"),
            ("latency:200", "no duration"),
            ("huge-body:many", "no number of bytes"),
        ] {
            let error = text.parse::<FaultRule>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_with_times_is_used_up_by_the_requests_it_hits_only() {
        let mut faults = Faults::new([rule("503x2 @POST @/b")]);
        assert_eq!(faults.draw(&request("GET", "/b"), &Plain).1, None);
        assert_eq!(faults.draw(&request("POST", "/a"), &Plain).1, None);
        assert_eq!(faults.draw(&request("POST", "/a/b?c"), &Plain).1, Some(FaultKind::Status(503)));
        assert_eq!(faults.draw(&request("POST", "/b"), &Plain).1, Some(FaultKind::Status(503)));
        assert_eq!(faults.draw(&request("POST", "/b"), &Plain).1, None);
        assert!(faults.rules.is_empty());
    }

    #[test]
    fn latencies_add_up_and_the_first_other_rule_decides() {
        let mut faults = Faults::new([rule("latency:1s"), rule("latency:2s x1"), rule("500 x1"), rule("502")]);
        faults.latency = Duration::from_secs(10);
        assert_eq!(faults.draw(&request("GET", "/"), &Plain), (Duration::from_secs(13), Some(FaultKind::Status(500))));
        assert_eq!(faults.draw(&request("GET", "/"), &Plain), (Duration::from_secs(11), Some(FaultKind::Status(502))));
    }

    #[test]
    fn a_probability_is_kept_and_repeats_with_its_seed() {
        let run = |seed| {
            let mut faults = Faults { seed, ..Faults::new([rule("503@20%")]) };
            (0..10_000).map(|_| faults.draw(&request("GET", "/"), &Plain).1.is_some()).collect::<Vec<_>>()
        };
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    fn kinds() -> impl Strategy<Value = FaultKind> {
        prop_oneof![
            (200_u16..600).prop_filter("429 has its own kind", |status| *status != 429).prop_map(FaultKind::Status),
            proptest::option::of("[0-9]{1,6}").prop_map(|retry_after| FaultKind::RateLimit { retry_after }),
            Just(FaultKind::DayIsSpent),
            Just(FaultKind::SearchLag),
            Just(FaultKind::ResetBefore),
            Just(FaultKind::ResetAfterWrite),
            Just(FaultKind::ErrorInside),
            "[a-w][a-w_]{0,11}".prop_map(FaultKind::InvalidField),
            Just(FaultKind::Garbage),
            Just(FaultKind::Echo),
            Just(FaultKind::WrongType),
            (0_u64..100_000).prop_map(|pace| FaultKind::SlowBody(Duration::from_millis(pace))),
            any::<u64>().prop_map(FaultKind::HugeBody),
            Just(FaultKind::Hang),
            (0_u64..100_000).prop_map(|latency| FaultKind::Latency(Duration::from_millis(latency))),
            Just(FaultKind::CloseIdle),
        ]
    }

    proptest! {
        #[test]
        fn a_rule_survives_the_way_through_text(
            kind in kinds(), times in proptest::option::of(1_u32..), percent in proptest::option::of(0_u8..=4),
            method in proptest::option::of("[A-Z]{3,6}"), path_contains in proptest::option::of("/[a-z0-9/]{0,12}"),
        ) {
            let rule = FaultRule { kind, times, probability: percent.map(|quarter| f64::from(quarter) / 4.0), method, path_contains };
            prop_assert_eq!(rule.to_string().parse::<FaultRule>(), Ok(rule));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<FaultRule>();
        }
    }
}

#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;
use crate::http::Method;
use crate::{MemoryValues, Stored, ValueStore, Verdict};
use async_trait::async_trait;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the endpoint says to its first request, its second, and so on; the last one stands for all later ones.
type Script = Vec<(u16, String)>;

/// A token endpoint and an API behind one address: `POST /token`, anything else is the API.
struct Place {
    url: url::Url,
    asked: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<String>>>,
}

fn issue(access: &str, refresh: Option<&str>) -> (u16, String) {
    let refresh = refresh.map_or_else(String::new, |token| format!(",\"refresh_token\":\"{token}\""));
    (200, format!("{{\"access_token\":\"{access}\",\"expires_in\":3600{refresh}}}"))
}

/// The API takes `good` tokens only; the endpoint takes `pause` for each answer.
async fn place(script: Script, good: &'static [&'static str], pause: Duration) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (asked, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, kept) = (Arc::clone(&asked), Arc::clone(&bodies));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (script, count, kept) = (script.clone(), Arc::clone(&count), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut request = String::new();
                let mut buffer = [0; 4096];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    request.push_str(&String::from_utf8_lossy(&buffer[..read]));
                    let length =
                        request.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
                    let body = request.split_once("\r\n\r\n").map(|(_, body)| body.len());
                    if read == 0 || body.is_some_and(|body| body >= length) {
                        break;
                    }
                }
                let (status, body) = if request.starts_with("POST /token") {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    kept.lock().unwrap().push(request.split_once("\r\n\r\n").unwrap().1.to_owned());
                    tokio::time::sleep(pause).await;
                    script[number.min(script.len() - 1)].clone()
                } else {
                    let is_good = good.iter().any(|token| request.contains(&format!("Bearer {token}\r\n")));
                    (if is_good { 200 } else { 401 }, "{}".to_owned())
                };
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    Place { url, asked, bodies }
}

impl Place {
    fn oauth(&self) -> OAuth {
        let grant = Grant::RefreshToken(Secret::literal("refresh-0"));
        OAuth::new(self.url.join("token").unwrap(), "client", grant).client_secret(Secret::literal("client-secret"))
    }

    fn tokens(&self, values: &Arc<dyn ValueStore>) -> Tokens {
        Tokens::oauth(self.oauth(), "the CRM", &BuildContext::new("crm").with_values(Arc::clone(values))).unwrap()
    }

    fn row(&self) -> String {
        self.oauth().row()
    }

    async fn call(&self, tokens: &Tokens) -> Result<u16, DeliveryError> {
        let client = Client::new(&crate::http::HttpSettings::default()).unwrap();
        let make = |token: &Token| {
            Request::new(Method::Post, self.url.clone()).secret_header("Authorization", format!("Bearer {}", token.expose()))
        };
        tokens.send(&client, make).await.map(|answer| answer.status)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn memory() -> Arc<dyn ValueStore> {
    Arc::<MemoryValues>::default()
}

async fn kept(values: &Arc<dyn ValueStore>, place: &Place) -> Value {
    serde_json::from_str(&values.load(&place.row()).await.unwrap().unwrap().value).unwrap()
}

/// Writes as another bridge would: a token of then, good until then.
async fn keep(values: &Arc<dyn ValueStore>, place: &Place, access: &str, refresh: &str, from: i64, until: i64) {
    let at = |seconds| (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let issued = serde_json::json!({"access_token": access, "issued_at": at(from), "expires_at": at(until)});
    let held = serde_json::json!({"refresh_token": refresh, "issued": issued});
    let version = values.load(&place.row()).await.unwrap().map_or(0, |stored| stored.version);
    assert!(values.save(&place.row(), &held.to_string(), version).await.unwrap());
}

/// Makes kept tokens old: of a long time ago, and no longer good when `expired`.
async fn age(values: &Arc<dyn ValueStore>, place: &Place, expired: bool) {
    let Stored { value, version } = values.load(&place.row()).await.unwrap().unwrap();
    let mut held: Value = serde_json::from_str(&value).unwrap();
    held["issued"]["issued_at"] = "2026-01-01T00:00:00Z".into();
    if expired {
        held["issued"]["expires_at"] = "2026-01-01T01:00:00Z".into();
    }
    assert!(values.save(&place.row(), &held.to_string(), version).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_wait_there_is_one_request() {
    let place = place(vec![issue("a1", Some("refresh-1"))], &["a1"], Duration::from_millis(100)).await;
    let values = memory();
    let tokens = place.tokens(&values);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn({
                let tokens = tokens.clone();
                async move { tokens.get().await }
            })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().expose(), "a1");
    }
    assert_eq!(place.asked(), 1);
    assert_eq!(kept(&values, &place).await["refresh_token"], "refresh-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_bridges_on_one_store_ask_once_and_share_what_they_get() {
    let place = place(vec![issue("a1", Some("refresh-1"))], &["a1"], Duration::from_millis(300)).await;
    let values = memory();
    let bridges: Vec<Tokens> = (0..4).map(|_| place.tokens(&values)).collect();
    let asking = bridges.iter().cloned().map(|tokens| tokio::spawn(async move { tokens.get().await.unwrap().expose().to_owned() }));
    for one in asking.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "a1");
    }
    assert_eq!(place.asked(), 1);
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_kept() {
    let place = place(vec![issue("a1", Some("refresh-1")), issue("a2", Some("refresh-2"))], &["a1", "a2"], Duration::ZERO).await;
    let values = memory();
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a1");
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a1", "a token that is good is not asked for again");
    age(&values, &place, true).await;
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a2");
    assert!(place.bodies.lock().unwrap()[1].contains("refresh_token=refresh-1"), "the rotated one is used");
    let other = OAuth::new(place.url.join("token").unwrap(), "client", Grant::RefreshToken(Secret::literal("set-anew")));
    let tokens = Tokens::oauth(other, "the CRM", &BuildContext::new("crm").with_values(values)).unwrap();
    tokens.get().await.unwrap();
    assert!(place.bodies.lock().unwrap()[2].contains("refresh_token=set-anew"), "what a person sets counts more than what was kept");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_only_if_it_is_old() {
    let place = place(vec![issue("a1", None), issue("a2", None)], &["a2"], Duration::ZERO).await;
    let values = memory();
    let tokens = place.tokens(&values);
    assert_eq!(place.call(&tokens).await, Ok(401), "a token of this moment is refused for another reason");
    assert_eq!(place.asked(), 1);
    age(&values, &place, false).await;
    let tokens = place.tokens(&values);
    assert_eq!(place.call(&tokens).await, Ok(200));
    assert_eq!(place.asked(), 2);
    assert_eq!(tokens.renew(&Token { secret: "a1".to_owned(), fields: Map::new() }).await.unwrap().unwrap().expose(), "a2");
    assert_eq!(place.asked(), 2, "somebody else has renewed it already");
}

#[tokio::test]
async fn a_revoked_grant_holds_and_an_outage_is_tried_again() {
    let revoked = place(vec![(400, "{\"error\":\"invalid_grant\"}".to_owned())], &[], Duration::ZERO).await;
    let error = revoked.tokens(&memory()).get().await.unwrap_err();
    assert_eq!((error.verdict.clone(), error.kind), (Verdict::Hold { until: None }, ErrorKind::Credentials));
    let down = place(vec![(503, String::new()), issue("a1", None)], &[], Duration::ZERO).await;
    let tokens = down.tokens(&memory());
    assert!(matches!(tokens.get().await.unwrap_err().verdict, Verdict::Retry { .. }));
    assert_eq!(tokens.get().await.unwrap().expose(), "a1");
}

#[tokio::test]
async fn those_who_waited_for_a_failure_share_it() {
    let down = place(vec![(503, String::new())], &[], Duration::from_millis(200)).await;
    let tokens = down.tokens(&memory());
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let tokens = tokens.clone();
                async move { tokens.get().await }
            })
        })
        .collect();
    for one in waiting {
        assert!(one.await.unwrap().is_err());
    }
    assert_eq!(down.asked(), 1);
}

#[tokio::test]
async fn a_token_that_is_still_good_outlives_an_outage_of_its_endpoint() {
    let place = place(vec![issue("a1", None), (503, String::new())], &["a1"], Duration::ZERO).await;
    let values = memory();
    place.tokens(&values).get().await.unwrap();
    keep(&values, &place, "a1", "refresh-1", -3_600, 20).await;
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a1");
    assert_eq!(place.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_hangs_or_fails_is_left_alone_for_a_while_when_a_token_is_still_good() {
    for (pause, status) in [(Duration::from_secs(5), 200), (Duration::ZERO, 503)] {
        let place = place(vec![(status, "{}".to_owned())], &["a1"], pause).await;
        let values = memory();
        keep(&values, &place, "a1", "refresh-1", -3_600, 60).await;
        let http = crate::http::HttpSettings { timeout: Duration::from_millis(500), ..Default::default() };
        let context = BuildContext::new("crm").with_values(Arc::clone(&values)).with_http(http);
        let tokens = Tokens::oauth(place.oauth(), "the CRM", &context).unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let tokens = tokens.clone();
                    async move { tokens.get().await }
                })
            })
            .collect();
        for one in waiting {
            assert_eq!(one.await.unwrap().unwrap().expose(), "a1");
        }
        assert_eq!(tokens.get().await.unwrap().expose(), "a1");
        assert_eq!(place.asked(), 1, "{status}");
        assert!(place.call(&tokens).await.is_ok());
        let refused = tokens.renew(&Token { secret: "a1".to_owned(), fields: Map::new() }).await;
        assert!(refused.is_err(), "a refused token is no help");
        assert_eq!(place.asked(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_good_token_is_used_while_another_bridge_asks_for_the_next_one() {
    let place = place(vec![issue("a2", None)], &[], Duration::ZERO).await;
    let values = memory();
    keep(&values, &place, "a1", "refresh-1", -3_600, 60).await;
    let Stored { value, version } = values.load(&place.row()).await.unwrap().unwrap();
    let mut held: Value = serde_json::from_str(&value).unwrap();
    held["is_asked_for"] = true.into();
    assert!(values.save(&place.row(), &held.to_string(), version).await.unwrap());
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a1");
    assert_eq!(place.asked(), 0);
}

#[tokio::test]
async fn a_token_endpoint_has_ten_seconds_or_less_if_the_settings_say_so() {
    let place = place(vec![issue("a1", None)], &[], Duration::ZERO).await;
    let patience = |seconds| {
        let http = crate::http::HttpSettings { timeout: Duration::from_secs(seconds), ..Default::default() };
        Renewal::new(place.oauth(), String::new(), &BuildContext::new("crm").with_http(http)).unwrap().patience
    };
    assert_eq!((patience(30), patience(3)), (Duration::from_secs(10), Duration::from_secs(3)));
}

#[tokio::test]
async fn a_new_token_counts_although_the_one_it_replaces_bears_a_later_time() {
    let place = place(vec![issue("a2", Some("refresh-2"))], &["a2"], Duration::ZERO).await;
    let values = memory();
    // The clock was an hour ahead and was set back, or that of another bridge is ahead.
    keep(&values, &place, "a1", "refresh-1", 3_600, 7_200).await;
    assert_eq!(place.call(&place.tokens(&values)).await, Ok(200));
    let kept = kept(&values, &place).await;
    assert_eq!((&kept["refresh_token"], &kept["issued"]["access_token"]), (&"refresh-2".into(), &"a2".into()));
}

#[tokio::test]
async fn what_another_bridge_kept_meanwhile_counts_although_it_bears_an_earlier_time() {
    let place = place(vec![issue("a2", Some("refresh-2"))], &[], Duration::from_millis(300)).await;
    let values = memory();
    keep(&values, &place, "a1", "refresh-1", -7_200, -3_600).await;
    let tokens = place.tokens(&values);
    let asking = tokio::spawn(async move { tokens.get().await });
    tokio::time::timeout(Duration::from_secs(10), async {
        while place.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    keep(&values, &place, "b2", "refresh-b", -600, 3_000).await;
    assert_eq!(asking.await.unwrap().unwrap().expose(), "b2");
    assert_eq!(kept(&values, &place).await["refresh_token"], "refresh-b");
}

#[tokio::test]
async fn two_configurations_side_by_side_keep_their_own_refresh_tokens() {
    let issues = ["1", "2", "3", "4"].map(|number| issue(&format!("a{number}"), Some(&format!("refresh-{number}"))));
    let place = place(issues.to_vec(), &[], Duration::ZERO).await;
    let values = memory();
    let other = || {
        let oauth = OAuth::new(place.url.join("token").unwrap(), "client", Grant::RefreshToken(Secret::literal("set-anew")));
        Tokens::oauth(oauth, "the CRM", &BuildContext::new("crm").with_values(Arc::clone(&values))).unwrap()
    };
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a1");
    assert_eq!(other().get().await.unwrap().expose(), "a2");
    age(&values, &place, true).await;
    assert_eq!(place.tokens(&values).get().await.unwrap().expose(), "a3");
    assert!(place.bodies.lock().unwrap()[2].contains("refresh_token=refresh-1"));
    assert_eq!(other().get().await.unwrap().expose(), "a2");
}

#[tokio::test]
async fn other_scopes_take_no_rotated_refresh_token_away() {
    let place = place(vec![issue("a1", Some("refresh-1")), issue("a2", None)], &[], Duration::ZERO).await;
    let values = memory();
    place.tokens(&values).get().await.unwrap();
    age(&values, &place, true).await;
    let context = BuildContext::new("crm").with_values(Arc::clone(&values));
    let tokens = Tokens::oauth(place.oauth().parameter("scope", "more"), "the CRM", &context).unwrap();
    assert_eq!(tokens.get().await.unwrap().expose(), "a2");
    assert!(place.bodies.lock().unwrap()[1].contains("refresh_token=refresh-1&scope=more"));
}

/// Refuses the first so many writes of issued tokens.
#[derive(Debug, Default)]
struct Sick {
    inner: MemoryValues,
    failures: AtomicU32,
}

#[async_trait]
impl ValueStore for Sick {
    async fn load(&self, name: &str) -> Result<Option<Stored>, String> {
        self.inner.load(name).await
    }

    async fn save(&self, name: &str, value: &str, version: i64) -> Result<bool, String> {
        let is_issued = value.contains("access_token\":\"a");
        if is_issued && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err("the disk is full".to_owned());
        }
        self.inner.save(name, value, version).await
    }
}

#[tokio::test]
async fn a_new_token_is_kept_before_it_is_used_and_not_lost_when_it_cannot_be() {
    let place =
        place(vec![issue("a1", Some("refresh-1")), (400, "{\"error\":\"invalid_grant\"}".to_owned())], &["a1"], Duration::ZERO).await;
    let values: Arc<dyn ValueStore> = Arc::new(Sick { failures: AtomicU32::new(12), ..Sick::default() });
    let tokens = place.tokens(&values);
    let sick = tokio::time::timeout(Duration::from_secs(60), tokens.get()).await.unwrap().unwrap_err();
    assert!(sick.message.contains("the disk is full"), "{sick}");
    assert_eq!(tokens.get().await.unwrap().expose(), "a1");
    assert_eq!((place.asked(), &kept(&values, &place).await["refresh_token"]), (1, &serde_json::json!("refresh-1")));
}

#[tokio::test]
async fn a_delivery_that_is_given_up_does_not_take_the_token_with_it() {
    let place = place(vec![issue("a1", Some("refresh-1"))], &["a1"], Duration::from_millis(200)).await;
    let values = memory();
    let tokens = place.tokens(&values);
    assert!(tokio::time::timeout(Duration::from_millis(50), tokens.get()).await.is_err());
    assert_eq!(tokens.get().await.unwrap().expose(), "a1");
    assert_eq!(place.asked(), 1);
}

#[tokio::test]
async fn a_bridge_that_stops_can_wait_for_the_token_of_a_delivery_that_was_given_up() {
    let place = place(vec![issue("a1", Some("refresh-1"))], &["a1"], Duration::from_millis(200)).await;
    let values = memory();
    let context = BuildContext::new("crm").with_values(Arc::clone(&values));
    let tokens = Tokens::oauth(place.oauth(), "the CRM", &context).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), tokens.get()).await.is_err());
    tokio::time::timeout(Duration::from_secs(10), context.background.finished()).await.unwrap();
    assert_eq!(kept(&values, &place).await["refresh_token"], "refresh-1");
}

#[tokio::test]
async fn no_token_is_printed() {
    let place = place(vec![issue("a1-secret", Some("refresh-1"))], &[], Duration::ZERO).await;
    let tokens = place.tokens(&memory());
    let token = tokens.get().await.unwrap();
    let shown = format!("{tokens:?} {token:?} {:?} {:?}", tokens.placeholder(), Tokens::fixed(&Secret::literal("fixed-secret")));
    for secret in ["a1-secret", "refresh-", "client-secret", "fixed-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

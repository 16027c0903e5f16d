//! The console as an attacker finds it, and as those who may come in do. Requests are written byte by byte, as no browser would.

use crate::harness::{Bridge, Setup, eventually};
use crate::postgres::database;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const OWNER: &str = "owner-0123456789abcdef";
const ANN: &str = "ann-0123456789abcdef";
const BEN: &str = "ben-0123456789abcdef";

/// The owner, Ann who may act, and Ben who may look.
fn guarded(console: &str) -> Setup {
    let mut setup = Setup::new()
        .with(&format!("[console.users.ann]\ntoken = \"{ANN}\"\nrole = \"operate\""))
        .with(&format!("[console.users.ben]\ntoken = \"{BEN}\"\nrole = \"read\""));
    setup.replace("[console]\n", &format!("[console]\ntoken = \"{OWNER}\"\n{console}\n"));
    setup
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    fn headers(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// `name=value` of the session that it begins.
    fn session(&self) -> String {
        let cookie = self.headers("set-cookie").into_iter().find(|cookie| cookie.contains("leadwire_session")).expect("no session began");
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The hidden field of its forms.
    fn form_token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"_token\" value=\"").expect("the page has no form");
        rest.split('"').next().unwrap().to_owned()
    }
}

/// Sends bytes as they are; `None` when the bridge closes the connection without an answer.
fn send(bridge: &Bridge, bytes: &[u8]) -> Option<Reply> {
    let address = bridge.console.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may refuse before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_owned(), body: body.to_owned() })
}

fn ask(bridge: &Bridge, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str("Host: 127.0.0.1\r\n");
    }
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str(&format!("\r\n{body}"));
    send(bridge, request.as_bytes()).expect("the bridge answers")
}

fn get(bridge: &Bridge, path: &str, headers: &[(&str, &str)]) -> Reply {
    ask(bridge, "GET", path, headers, "")
}

fn post(bridge: &Bridge, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    ask(bridge, "POST", path, &[&[form], headers].concat(), body)
}

/// The session of whoever has this token.
fn log_in(bridge: &Bridge, token: &str) -> String {
    let reply = post(bridge, "/login", &[], &format!("token={token}"));
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")), "{}", reply.body);
    reply.session()
}

fn is_in(bridge: &Bridge, session: &str) -> bool {
    get(bridge, "/", &[("Cookie", session)]).status == 200
}

/// What must stand on every answer.
fn assert_safe(reply: &Reply, what: &str) {
    let policy = reply.header("content-security-policy").unwrap_or_default();
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{what}: no {part} in {policy:?}\n{}", reply.head);
    }
    assert!(!policy.contains("unsafe"));
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        assert_eq!(reply.header(name), Some(value), "{what}\n{}", reply.head);
    }
}

#[test]
fn a_stranger_sees_nothing_but_the_way_in() {
    let bridge = guarded("").start();
    for path in ["/", "/leads?q=jane@example.com", "/destinations", "/anything"] {
        let reply = get(&bridge, path, &[]);
        assert_eq!(reply.status, 303, "{path}");
        assert!(reply.header("location").unwrap().starts_with("/login") && reply.body.is_empty(), "{path}");
        assert_safe(&reply, path);
    }
    for path in ["/api/v1/status", "/api/v1/no/such", "/metrics", "/live"] {
        let reply = get(&bridge, path, &[]);
        assert_eq!((reply.status, reply.header("content-type")), (401, Some("application/problem+json")), "{path}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer") && reply.body.contains("\"unauthorized\""), "{path}");
        assert_safe(&reply, path);
    }
    assert_eq!(post(&bridge, "/actions/hold", &[], "destination=crm").header("location"), Some("/login"));
    let login = get(&bridge, "/login", &[]);
    assert!(login.status == 200 && !login.body.contains("acme") && !login.body.contains("<nav"), "{}", login.body);
    assert_eq!(get(&bridge, "/healthz", &[]).body, r#"{"status":"alive"}"#);
}

#[test]
fn a_wrong_token_is_refused_alike_however_near_it_is_and_told_nowhere() {
    let bridge = guarded("").start();
    let wrong = ["hunter2-and-more-of-it", "owner-0123456789abcdeX", "owner", "", &"x".repeat(5_000)];
    let forms: Vec<Reply> = wrong.iter().map(|token| post(&bridge, "/login", &[], &format!("token={token}"))).collect();
    for reply in &forms {
        assert_eq!((reply.status, &reply.body), (401, &forms[0].body));
        assert!(reply.header("set-cookie").is_none());
    }
    for header in ["Bearer hunter2-and-more-of-it", "Basic b3BlcmF0b3I6aHVudGVyMi1hbmQtbW9yZS1vZi1pdA==", "Bearer", "Negotiate x"] {
        let reply = get(&bridge, "/api/v1/status", &[("Authorization", header)]);
        assert_eq!(reply.status, 401, "{header}");
        assert!(!reply.body.contains("hunter2"));
    }
    assert!(!bridge.log().contains("hunter2"), "{}", bridge.log());
    assert!(bridge.log().contains("a token that is not known"));
}

#[test]
fn programs_show_the_token_with_each_request() {
    let bridge = guarded("").start();
    let basic = "Basic YW55Om93bmVyLTAxMjM0NTY3ODlhYmNkZWY=";
    for header in [&format!("Bearer {OWNER}"), &format!("bearer {BEN}"), basic] {
        let reply = get(&bridge, "/api/v1/status", &[("Authorization", header)]);
        assert_eq!(reply.status, 200, "{header}: {}", reply.body);
        assert!(reply.header("set-cookie").is_none());
    }
}

#[test]
fn a_login_is_a_cookie_that_no_script_reads_and_a_logout_ends_every_copy_of_it() {
    let bridge = guarded("").start();
    let reply = post(&bridge, "/login", &[], &format!("token={ANN}&back=%2Fleads%3Fq%3Da"));
    assert_eq!((reply.status, reply.header("location")), (303, Some("/leads?q=a")));
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; Max-Age=") && !cookie.contains("Secure") && !cookie.contains(ANN), "{cookie}");
    let session = reply.session();
    let page = get(&bridge, "/", &[("Cookie", &session)]);
    assert!(page.status == 200 && page.body.contains("ann") && page.body.contains("acme"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let out = post(&bridge, "/logout", &[("Cookie", &session)], &format!("_token={}", page.form_token()));
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    assert!(out.headers("set-cookie").iter().any(|cookie| cookie.starts_with("leadwire_session=;") && cookie.contains("Max-Age=0")));
    assert!(!is_in(&bridge, &session), "a copy of the cookie");
    let notice =
        out.headers("set-cookie").into_iter().find(|cookie| cookie.starts_with("leadwire_notice=")).unwrap().split(';').next().unwrap();
    let login = get(&bridge, "/login", &[("Cookie", notice)]);
    assert!(
        login.body.contains("You are logged out.") && login.headers("set-cookie").iter().any(|cookie| cookie.contains("leadwire_notice=;"))
    );
}

#[test]
fn a_logout_counts_at_every_bridge_and_after_a_restart() {
    let url = database();
    let (first, second) = (guarded("").on(&url).start(), guarded("").on(&url).start());
    let (session, other) = (log_in(&first, ANN), log_in(&first, ANN));
    assert!(is_in(&first, &session) && is_in(&second, &session), "a login counts at every bridge");
    let token = get(&first, "/", &[("Cookie", &session)]).form_token();
    assert_eq!(post(&first, "/logout", &[("Cookie", &session)], &format!("_token={token}")).status, 303);
    assert!(!is_in(&first, &session) && !is_in(&second, &session), "a copy of the cookie");
    let first = first.terminate().start();
    assert!(!is_in(&first, &session), "after a restart");
    assert!(is_in(&first, &other) && is_in(&second, &other), "another login of the same person");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_lifetime_used_or_not() {
    let bridge = guarded("session_lifetime = \"2s\"").start();
    let session = log_in(&bridge, ANN);
    eventually("the session to end", async || (!is_in(&bridge, &session)).then_some(())).await;
    let reply = get(&bridge, "/api/v1/status", &[("Cookie", &session)]);
    assert_eq!(reply.status, 401);
}

#[test]
fn a_session_that_is_used_gets_a_later_end_and_a_page_that_refreshes_itself_does_not_use_it() {
    let bridge = guarded("session_idle = \"8s\"").start();
    let session = log_in(&bridge, ANN);
    let begun = std::time::Instant::now();
    let renewed = loop {
        let quiet = get(&bridge, "/", &[("Cookie", &session), ("X-Refresh", "1")]);
        assert!(quiet.header("set-cookie").is_none());
        let used = get(&bridge, "/", &[("Cookie", &session)]);
        if used.header("set-cookie").is_some() {
            break used.session();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "a used session is renewed");
    };
    assert_ne!(renewed, session);
    assert!(is_in(&bridge, &renewed));
}

#[test]
fn a_session_survives_a_restart_and_ends_with_its_token() {
    let bridge = guarded("").start();
    let (of_ann, of_ben) = (log_in(&bridge, ANN), log_in(&bridge, BEN));
    let mut setup = bridge.terminate();
    setup.replace(ANN, "ann-has-another-token-now");
    let bridge = setup.start();
    assert!(is_in(&bridge, &of_ben));
    assert!(!is_in(&bridge, &of_ann));
}

#[test]
fn a_cookie_that_was_changed_is_none() {
    let bridge = guarded("").start();
    let session = log_in(&bridge, BEN);
    assert!(is_in(&bridge, &session));
    let (name, value) = session.split_once('=').unwrap();
    let parts: Vec<&str> = value.split('.').collect();
    let with = |place: usize, part: &str| {
        let mut parts = parts.clone();
        parts[place] = part;
        format!("{name}={}", parts.join("."))
    };
    let later = (parts[2].parse::<i64>().unwrap() + 9_999).to_string();
    let changed = [
        with(0, "ann"),
        with(0, "operator"),
        with(0, "local"),
        with(2, &later),
        with(3, "00"),
        with(4, ""),
        with(4, &"0".repeat(64)),
        format!("{name}={}", parts[..4].join(".")),
        format!("{name}="),
        format!("{name}={}", "a".repeat(4_000)),
        format!("{session}.x"),
    ];
    for cookie in &changed {
        assert!(!is_in(&bridge, cookie), "{cookie}");
    }
}

#[test]
fn what_another_site_has_a_browser_send_is_refused() {
    let bridge = guarded("").start();
    let session = log_in(&bridge, ANN);
    let token = get(&bridge, "/", &[("Cookie", &session)]).form_token();
    let other = get(&bridge, "/", &[("Cookie", &log_in(&bridge, BEN))]).form_token();
    let out =
        |headers: &[(&str, &str)], body: &str| post(&bridge, "/logout", &[&[("Cookie", session.as_str())], headers].concat(), body).status;
    let good = format!("_token={token}");
    for body in ["", "_token=", &format!("_token={other}"), &format!("_token={token}x"), &format!("_token=x&{good}"), "{}"] {
        assert_eq!(out(&[], body), 403, "{body}");
    }
    for header in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1.evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        assert_eq!(out(&[header], &good), 403, "{header:?}");
    }
    let plain = ask(&bridge, "POST", "/logout", &[("Cookie", &session), ("Content-Type", "text/plain")], &good);
    assert_eq!(plain.status, 403, "a form of another type");
    let foreign = post(&bridge, "/login", &[("Origin", "https://evil.example")], &format!("token={ANN}"));
    assert!(foreign.status == 403 && foreign.header("set-cookie").is_none(), "a login is not made by others either");
    assert!(is_in(&bridge, &session));
    assert_eq!(out(&[("Origin", "http://127.0.0.1")], &good), 303);
}

#[test]
fn no_answer_lets_itself_be_framed_or_scripted() {
    let bridge = guarded("").start();
    let session = log_in(&bridge, ANN);
    let cookie = ("Cookie", session.as_str());
    let page = get(&bridge, "/", &[cookie]);
    assert_safe(&page, "the page");
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "<script>", "http://", "https://"] {
        assert!(!page.body.contains(inline), "{inline} in\n{}", page.body);
    }
    let assets: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert!(assets.len() >= 5, "{assets:?}");
    for asset in assets {
        let reply = get(&bridge, asset, &[]);
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("public, max-age=31536000, immutable")), "{asset}");
        assert_safe(&reply, asset);
    }
    for (method, path, status) in [
        ("GET", "/no/such/page", 404),
        ("GET", "/assets/console.css", 404),
        ("GET", "/api/v1/no-such", 404),
        ("DELETE", "/", 403),
        ("PUT", "/login", 405),
        ("OPTIONS", "/", 405),
        ("TRACE", "/", 403),
        ("QWERTY", "/api/v1/status", 403),
    ] {
        let reply = ask(&bridge, method, path, &[cookie], "");
        assert_eq!(reply.status, status, "{method} {path}\n{}", reply.body);
        assert_safe(&reply, path);
    }
    let bearer = ("Authorization", format!("Bearer {ANN}"));
    for method in ["DELETE", "TRACE", "QWERTY", "POST"] {
        assert_eq!(ask(&bridge, method, "/api/v1/status", &[(bearer.0, &bearer.1)], "").status, 405, "{method}");
    }
}

#[test]
fn no_way_of_writing_a_path_leads_around_the_login() {
    let bridge = guarded("").start();
    for path in [
        "//",
        "//evil.example/",
        "/./",
        "/../",
        "/assets/../",
        "/assets/..%2f..%2fapi/v1/status",
        "/%2e%2e/api/v1/status",
        "/api//v1/status",
        "/healthz/../api/v1/status",
        "/healthz%2f..%2fapi",
        "/API/v1/status",
        "/api/v1/status/",
        "/api/v1/status;x=/assets/",
        "/api/v1/status?/healthz",
        "/login/../api/v1/status",
        "/login%00",
        "/\\evil.example",
        "/assets//etc/passwd",
        "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/%61pi/v1/status",
    ] {
        let Some(reply) = send(&bridge, format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes()) else {
            continue;
        };
        assert!([303, 400, 401, 404].contains(&reply.status), "{path}: {}", reply.status);
        assert!(!reply.body.contains("acme") && !reply.body.contains("root:"), "{path}: {}", reply.body);
        if let Some(location) = reply.header("location") {
            assert!(location.starts_with("/login"), "{path}: {location}");
        }
    }
    for target in ["http://evil.example/", "http://127.0.0.1/api/v1/status", "http://user@evil.example/metrics", "*"] {
        let Some(reply) = send(&bridge, format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes()) else {
            continue;
        };
        assert!(reply.status >= 300 && !reply.body.contains("acme"), "{target}: {}", reply.status);
    }
}

#[test]
fn the_way_back_leads_nowhere_else_and_into_no_header() {
    let bridge = guarded("").start();
    let session = log_in(&bridge, ANN);
    for back in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2F%09%2Fevil.example",
        "javascript%3Aalert(1)",
        "%2F%0D%0ASet-Cookie%3A%20x%3D1",
        "%2F%0Aevil",
        "%2F%00",
        "%2F%E2%80%AE",
        "%FF",
        "%2Flogin",
        "evil.example",
    ] {
        let of_form = post(&bridge, "/login", &[], &format!("token={ANN}&back={back}"));
        let of_link = get(&bridge, &format!("/login?back={back}"), &[("Cookie", &session)]);
        for reply in [of_form, of_link] {
            assert!((reply.status, reply.header("location")) == (303, Some("/")) || reply.status == 400, "{back}: {}", reply.head);
            assert!(!reply.head.contains("x=1"), "{}", reply.head);
        }
    }
    let shown = get(&bridge, "/login?back=%2Fa%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E", &[]);
    assert!(!shown.body.contains("<script>"), "{}", shown.body);
}

#[test]
fn what_is_very_long_is_refused_and_the_console_goes_on() {
    let bridge = guarded("").start();
    let session = log_in(&bridge, ANN);
    let long = "x".repeat(60_000);
    let huge = "x".repeat(2_000_000);
    let cookie = format!("{session}; a={long}");
    assert_eq!(get(&bridge, "/", &[("Cookie", &cookie)]).status, 200);
    let _ = get(&bridge, &format!("/?q={long}"), &[("Cookie", &session)]);
    assert!(get(&bridge, &format!("/leads?q={long}"), &[]).header("location").is_some_and(|location| location.len() < 100));
    for request in [
        format!("GET /?q={huge} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {huge}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {huge}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", "A: b\r\n".repeat(100_000)),
    ] {
        assert!(send(&bridge, request.as_bytes()).is_none_or(|reply| reply.status >= 400), "{}", &request[..60]);
    }
    let reply = post(&bridge, "/login", &[], &format!("token={}", "x".repeat(20_000)));
    assert_eq!(reply.status, 413);
    let token = get(&bridge, "/", &[("Cookie", &session)]).form_token();
    let body = format!("_token={token}&x={}", "x".repeat(5 << 20));
    let head = format!("POST /logout HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {session}\r\nContent-Length: {}\r\n", body.len());
    let form = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n";
    assert!(send(&bridge, format!("{head}{form}{body}").as_bytes()).is_none_or(|reply| reply.status == 413));
    assert!(is_in(&bridge, &session));
}

#[test]
fn guessing_is_slowed_down_and_hinders_nobody_else() {
    let mut setup = guarded("");
    setup.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let bridge = setup.start();
    let session = log_in(&bridge, ANN);
    let guess = |from: &str, token: &str| post(&bridge, "/login", &[("X-Forwarded-For", from)], &format!("token={token}"));
    let statuses: Vec<u16> = (0..20).map(|_| guess("203.0.113.9", "wrong").status).collect();
    assert!(statuses[0] == 401 && statuses[19] == 429, "{statuses:?}");
    let refused = guess("203.0.113.9", OWNER);
    assert_eq!(refused.status, 429, "also when it is right at last");
    assert!(refused.header("retry-after").is_some_and(|seconds| (1..=60).contains(&seconds.parse::<u32>().unwrap())));
    let bearer = [("X-Forwarded-For", "203.0.113.9"), ("Authorization", "Bearer guess")];
    assert_eq!(get(&bridge, "/api/v1/status", &bearer).status, 429, "no other door is open");
    assert_eq!(guess("203.0.113.10", OWNER).status, 303, "another address");
    assert!(get(&bridge, "/", &[("X-Forwarded-For", "203.0.113.9"), ("Cookie", &session)]).status == 200, "who is in stays in");
    let mut addresses = (0..2_000).map(|number| format!("198.51.{}.{}", number / 250, number % 250));
    assert!(addresses.any(|address| guess(&address, "wrong").status == 429), "many addresses do not help");
    assert!(is_in(&bridge, &session));
}

#[test]
fn without_a_token_only_names_of_this_machine_lead_in() {
    let bridge = Setup::new().start();
    for host in ["127.0.0.1:8081", "localhost", "[::1]:8081"] {
        assert_eq!(get(&bridge, "/", &[("Host", host)]).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:8081", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1, evil.example"] {
        let reply = get(&bridge, "/api/v1/status", &[("Host", host)]);
        assert!(matches!(reply.status, 400 | 403) && !reply.body.contains("acme"), "{host}: {}", reply.body);
    }
    let rebound = ask(&bridge, "GET", "http://evil.example/", &[], "");
    assert!(rebound.status >= 400 && !rebound.body.contains("acme"));
    let two = ask(&bridge, "GET", "/", &[("Host", "localhost"), ("Host", "evil.example")], "");
    assert!(two.status >= 400);
    assert!(send(&bridge, b"GET / HTTP/1.0\r\n\r\n").is_none_or(|reply| reply.status >= 400));
    for header in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(post(&bridge, "/actions/hold", &[header], "destination=crm").status, 403, "{header:?}");
    }
    assert_eq!(get(&bridge, "/login", &[]).header("location"), Some("/"), "there is nothing to log in to");
}

#[test]
fn who_may_read_may_not_act() {
    let bridge = guarded("").start();
    let act = |token: &str| {
        let session = log_in(&bridge, token);
        let page = get(&bridge, "/", &[("Cookie", &session)]);
        assert_eq!(page.body.contains("(read only)"), token == BEN);
        post(&bridge, "/actions/nothing", &[("Cookie", &session)], &format!("_token={}", page.form_token()))
    };
    let refused = act(BEN);
    assert!(refused.status == 403 && refused.body.contains("may look, and not act"), "{}", refused.body);
    assert_eq!(act(ANN).status, 404, "there is no such action, and she may know");
    let bearer = format!("Bearer {BEN}");
    assert_eq!(post(&bridge, "/actions/nothing", &[("Authorization", &bearer)], "").status, 403);
}

#[test]
fn behind_https_the_cookie_is_for_https_alone() {
    let mut setup = guarded("");
    setup.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let bridge = setup.start();
    let https = ("X-Forwarded-Proto", "https");
    let reply = post(&bridge, "/login", &[https], &format!("token={ANN}"));
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-leadwire_session=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(is_in(&bridge, &reply.session()));
    let untrusted = guarded("").start();
    assert!(!post(&untrusted, "/login", &[https], &format!("token={ANN}")).header("set-cookie").unwrap().contains("Secure"));
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    let bridge = guarded("").start();
    let begun = std::time::Instant::now();
    let reply = send(&bridge, b"GET / HTTP/1.1\r\nHost: 127.0");
    assert!(reply.is_none_or(|reply| reply.status == 408) && begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_body_that_never_ends_is_given_up() {
    let bridge = guarded("").start();
    let begun = std::time::Instant::now();
    let head =
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ntoken=";
    let reply = send(&bridge, head.as_bytes());
    assert!(reply.is_none_or(|reply| reply.status >= 400) && begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
}

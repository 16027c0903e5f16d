//! A login, as the value of a cookie.
//!
//! It is signed with a key that comes from the user's token: it survives restarts, counts on every bridge with the same configuration, and
//! ends when the token changes. Only that somebody logged out has to be remembered: in the store, for all bridges, and here, so that it is
//! looked up once.

use crate::verify::same;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// No value of ours is longer.
const LONGEST: usize = 256;
/// Logins that ended before their time, remembered at once.
const MOST_ENDED: usize = 10_000;

/// What signs the sessions of one user. Its `Debug` shows dots.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn of(token: &str) -> Self {
        let derived = hmac(token.as_bytes()).chain_update("leadwire console session").finalize().into_bytes();
        Self(hmac(&derived))
    }

    /// Each purpose has its own signatures, so that none stands for another.
    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(purpose).chain_update("\0").chain_update(text)
    }

    fn sign(&self, purpose: &str, text: &str) -> String {
        hex::encode(self.mac(purpose, text).finalize().into_bytes())
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length (RFC 2104, section 2), so there is no error to pass on.
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(••••)")
    }
}

/// How long sessions last, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    /// In all.
    pub(super) whole: i64,
    /// Unused.
    pub(super) idle: i64,
}

/// One login. Moments are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Whose.
    pub(super) name: String,
    started: i64,
    /// When it ends unless it is used.
    until: i64,
    /// Tells it from every other; stays when it is renewed.
    nonce: String,
}

impl Session {
    pub(super) fn begin(name: &str, now: i64, lifetime: Lifetime) -> Self {
        let nonce = hex::encode(rand::random::<[u8; 16]>());
        Self { name: name.to_owned(), started: now, until: now.saturating_add(lifetime.whole.min(lifetime.idle)), nonce }
    }

    /// `name.started.until.nonce.signature`; names have no dots.
    pub(super) fn seal(&self, key: &Key) -> String {
        let text = self.text();
        format!("{text}.{}", key.sign("session", &text))
    }

    fn text(&self) -> String {
        format!("{}.{}.{}.{}", self.name, self.started, self.until, self.nonce)
    }

    /// The session of a sealed text that `key_of` its name signed, unless it is over.
    pub(super) fn open<'k>(sealed: &str, key_of: impl FnOnce(&str) -> Option<&'k Key>, now: i64, lifetime: Lifetime) -> Option<Self> {
        let (text, signature) = sealed.rsplit_once('.').filter(|_| sealed.len() <= LONGEST)?;
        let mut parts = text.split('.');
        let (name, started, until, nonce) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let signature = hex::decode(signature).ok()?;
        let mac = key_of(name)?.mac("session", text).finalize().into_bytes();
        if !bool::from(same(&signature, &mac)) {
            return None;
        }
        let session = Self { name: name.to_owned(), started: started.parse().ok()?, until: until.parse().ok()?, nonce: nonce.to_owned() };
        // A lifetime that was made shorter ends sessions that began under the longer one.
        let is_over = now >= session.until.min(session.end(lifetime));
        (!is_over).then_some(session)
    }

    /// When it ends however much it is used.
    pub(super) fn end(&self, lifetime: Lifetime) -> i64 {
        self.started.saturating_add(lifetime.whole)
    }

    /// The same for longer, because it is used; `None` while that is not worth a new cookie.
    pub(super) fn renewed(&self, now: i64, lifetime: Lifetime) -> Option<Self> {
        let until = now.saturating_add(lifetime.idle).min(self.end(lifetime));
        (until - self.until > lifetime.idle / 8).then(|| Self { until, ..self.clone() })
    }

    /// What tells it from every other session. Nobody can make a cookie of it.
    pub(super) fn id(&self) -> &str {
        &self.nonce
    }

    /// How long the browser keeps the cookie.
    pub(super) fn seconds_left(&self, now: i64) -> u64 {
        u64::try_from(self.until - now).unwrap_or(0)
    }

    /// What every form of this session carries, and no other site can know.
    pub(super) fn form_token(&self, key: &Key) -> String {
        key.sign("form", &self.nonce)
    }
}

/// Sessions that somebody ended by logging out, until they would have ended anyway.
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<BTreeMap<String, i64>>);

impl Ended {
    pub(super) fn add(&self, session: &Session, now: i64, lifetime: Lifetime) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| *until > now);
        if ended.len() >= MOST_ENDED
            && let Some(first) = ended.iter().min_by_key(|(_, until)| **until).map(|(nonce, _)| nonce.clone())
        {
            ended.remove(&first);
        }
        ended.insert(session.nonce.clone(), session.end(lifetime));
    }

    pub(super) fn contains(&self, session: &Session) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session.nonce)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    const LIFETIME: Lifetime = Lifetime { whole: 1_000, idle: 100 };

    fn open(sealed: &str, key: &Key, now: i64) -> Option<Session> {
        Session::open(sealed, |name| (name == "ann").then_some(key), now, LIFETIME)
    }

    #[test]
    fn a_session_ends_unused_or_in_the_end() {
        let key = Key::of("token");
        let session = Session::begin("ann", 50, LIFETIME);
        let sealed = session.seal(&key);
        assert_eq!(open(&sealed, &key, 149), Some(session.clone()));
        assert_eq!(open(&sealed, &key, 150), None);
        assert_eq!(session.renewed(55, LIFETIME), None, "a cookie for each request would be too many");
        let mut used = session.clone();
        for now in (100..1_040).step_by(50) {
            used = used.renewed(now, LIFETIME).unwrap_or(used);
            assert_eq!(open(&used.seal(&key), &key, now), Some(used.clone()));
        }
        assert_eq!(open(&used.seal(&key), &key, 1_050), None);
        assert_eq!(used.form_token(&key), session.form_token(&key), "a form that was open meanwhile still counts");
    }

    #[test]
    fn a_shorter_lifetime_ends_sessions_that_began_before_it() {
        let key = Key::of("token");
        let sealed = Session::begin("ann", 0, Lifetime { whole: 10_000, idle: 10_000 }).seal(&key);
        assert_eq!(open(&sealed, &key, 1_001), None);
    }

    #[test]
    fn only_the_key_of_the_named_user_opens_it() {
        let (key, other) = (Key::of("token"), Key::of("another"));
        let session = Session::begin("ann", 0, LIFETIME);
        assert_eq!(open(&session.seal(&other), &key, 1), None);
        let of_ben = Session { name: "ben".to_owned(), ..session.clone() };
        assert_eq!(open(&of_ben.seal(&key), &key, 1), None, "ben is nobody");
        let as_ann = of_ben.seal(&other).replace("ben", "ann");
        assert_eq!(open(&as_ann, &key, 1), None);
        assert_eq!(open(&format!("{}.{}", session.text(), session.form_token(&key)), &key, 1), None);
    }

    #[test]
    fn who_logged_out_is_out_however_often_the_session_was_renewed() {
        let ended = Ended::default();
        let (session, other) = (Session::begin("ann", 0, LIFETIME), Session::begin("ann", 0, LIFETIME));
        ended.add(&session, 0, LIFETIME);
        assert!(ended.contains(&session.renewed(50, LIFETIME).unwrap()) && !ended.contains(&other));
        ended.add(&other, 2_000, LIFETIME);
        assert!(!ended.contains(&session), "it is over by now, and not remembered any more");
    }

    proptest! {
        #[test]
        fn nothing_that_was_changed_is_a_session(at in any::<prop::sample::Index>(), byte in 0x21_u8..0x7f) {
            let key = Key::of("token");
            let sealed = Session::begin("ann", 0, LIFETIME).seal(&key);
            let mut changed = sealed.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            // Hex in upper case says the same.
            prop_assume!(!changed.eq_ignore_ascii_case(&sealed));
            prop_assert_eq!(open(&changed, &key, 1), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,300}", numbers in "ann\\.-?[0-9]{0,30}\\.-?[0-9]{0,30}\\.[a-f]{0,9}") {
            let key = Key::of("token");
            prop_assert_eq!(open(&text, &key, 1), None);
            let signed = format!("{numbers}.{}", key.sign("session", &numbers));
            let _ = open(&signed, &key, 1).map(|session| session.renewed(i64::MAX, LIFETIME));
        }
    }
}

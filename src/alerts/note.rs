//! What is told, and the letters that wait to be told. Kept in the store as JSON.

use crate::config::{AlertKind, AlertSeverity};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What was not told in that time is no news any more.
const LETTER_AGE: SignedDuration = SignedDuration::from_hours(72);

/// What a message says of its trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// It is there.
    Opened,
    /// It became worse.
    Grew,
    /// It is still there.
    Reminder,
    /// It is gone.
    Resolved,
    /// No trouble: what a day brought.
    Digest,
    /// No trouble: a person tries the channel.
    Test,
}

/// One message, before it takes the form of its channel. Names no person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What it says.
    pub what: What,
    /// The kind of trouble.
    pub condition: Option<AlertKind>,
    /// A source, a destination, a machine or a folder.
    pub subject: String,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// One line.
    pub title: String,
    /// What is known of it.
    pub detail: String,
    /// What a person can do.
    pub remedy: String,
    /// Since when there is trouble.
    pub since: Option<Timestamp>,
    /// Until when there was.
    pub ended_at: Option<Timestamp>,
    /// When this was written.
    pub at: Timestamp,
    /// Of a digest, the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Value>,
}

/// A note and the channels that have not taken it yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// The same for every try and every channel, so that a receiver can tell a repetition. Without dots.
    pub id: String,
    /// What it says.
    pub note: Note,
    /// Names of channels.
    pub to: Vec<String>,
}

/// An id that is the same whoever makes it, of what it is made of.
#[must_use]
pub(super) fn letter_id(name: &str, began: Timestamp, at: Timestamp) -> String {
    let digest = Sha256::digest(format!("{name}|{}|{}", began.as_microsecond(), at.as_microsecond()));
    format!("alert_{}", hex::encode(digest.get(..12).unwrap_or_default()))
}

/// Adds a letter. What a channel has not heard yet of the same trouble is overtaken by it, but for the beginning.
pub(super) fn add(letters: &mut Vec<Letter>, letter: Letter) {
    if letter.to.is_empty() {
        return;
    }
    for earlier in letters.iter_mut().filter(|earlier| !matches!(earlier.note.what, What::Opened | What::Resolved)) {
        earlier.to.retain(|channel| !letter.to.contains(channel));
    }
    letters.push(letter);
    letters.retain(|letter| !letter.to.is_empty());
}

/// Takes out what this channel has taken. Whether there was something to take out.
pub(super) fn acknowledge(letters: &mut Vec<Letter>, id: &str, channel: &str) -> bool {
    let mut was_there = false;
    for letter in letters.iter_mut().filter(|letter| letter.id == id) {
        let before = letter.to.len();
        letter.to.retain(|to| to != channel);
        was_there |= letter.to.len() < before;
    }
    letters.retain(|letter| !letter.to.is_empty());
    was_there
}

/// Takes out what is too old to be told.
#[must_use]
pub(super) fn take_stale(letters: &mut Vec<Letter>, now: Timestamp) -> Vec<Letter> {
    letters.extract_if(.., |letter| now.duration_since(letter.note.at) > LETTER_AGE).collect()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    pub(in crate::alerts) fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    pub(in crate::alerts) fn note(what: What) -> Note {
        Note {
            what,
            condition: Some(AlertKind::Hold),
            subject: "crm".into(),
            severity: AlertSeverity::Critical,
            title: "crm is on hold".into(),
            detail: "the credentials were refused".into(),
            remedy: "mend it".into(),
            since: Some(now()),
            ended_at: None,
            at: now(),
            figures: None,
        }
    }

    fn letter(id: &str, what: What, to: &[&str]) -> Letter {
        Letter { id: id.into(), note: note(what), to: to.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_channel_that_was_away_hears_the_beginning_and_the_last_of_it() {
        let mut letters = Vec::new();
        for (id, what) in [("1", What::Opened), ("2", What::Grew), ("3", What::Reminder), ("4", What::Resolved)] {
            add(&mut letters, letter(id, what, &["a", "b"]));
            acknowledge(&mut letters, id, "b");
        }
        let left: Vec<(&str, &[String])> = letters.iter().map(|letter| (letter.id.as_str(), letter.to.as_slice())).collect();
        assert_eq!(left, [("1", &["a".to_owned()][..]), ("4", &["a".to_owned()][..])]);
        assert!(acknowledge(&mut letters, "1", "a") && !acknowledge(&mut letters, "1", "a"));
        assert_eq!(take_stale(&mut letters, now() + LETTER_AGE).len(), 0);
        assert_eq!(take_stale(&mut letters, now() + LETTER_AGE * 2).len(), 1);
    }

    #[test]
    fn ids_are_the_same_for_the_same_and_have_no_dot() {
        let id = letter_id("hold:crm", now(), now());
        assert_eq!(id, letter_id("hold:crm", now(), now()));
        assert_ne!(id, letter_id("hold:crm", now(), now() + SignedDuration::from_micros(1)));
        assert!(id.len() == 30 && !id.contains('.'));
    }
}

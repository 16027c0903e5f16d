//! What bridges remember together: pages in the store, and in memory while that is sick.

use super::incident::{Claim, Page};
use super::note::{acknowledge, take_stale};
use crate::store::{AlertPage, Store};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// A store that takes longer is not waited for.
const STORE_WITHIN: Duration = Duration::from_secs(5);
/// How long a bridge that claimed letters has for a try, and how soon another one may take over from one that is gone.
const CLAIM: SignedDuration = SignedDuration::from_secs(45);
/// Trouble that has been over for so long is forgotten.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The version of a page that another bridge wrote since it was read. No row has it.
const OVERTAKEN: i64 = -1;

#[derive(Debug, Clone, Default)]
struct Entry {
    page: Page,
    /// Of the row in the store; 0 when there is none.
    version: i64,
    /// Whether it says something that the store does not know.
    is_unsaved: bool,
}

/// All pages.
#[derive(Debug)]
pub(super) struct Book {
    me: Uuid,
    /// Whether other bridges may share the store.
    is_shared: bool,
    entries: BTreeMap<String, Entry>,
    /// Letters that channels took from this bridge: id and channel. A row that was read may not know yet.
    taken: HashSet<(String, String)>,
    /// Whether the store was there when it was asked last.
    has_store: bool,
}

impl Book {
    pub(super) fn new(is_shared: bool) -> Self {
        Self { me: Uuid::now_v7(), is_shared, entries: BTreeMap::new(), taken: HashSet::new(), has_store: false }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    pub(super) fn page(&self, name: &str) -> Page {
        self.entries.get(name).map(|entry| entry.page.clone()).unwrap_or_default()
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = (&String, &Page)> {
        self.entries.iter().map(|(name, entry)| (name, &entry.page))
    }

    pub(super) fn put(&mut self, name: &str, page: Page) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.page = page;
        entry.is_unsaved = true;
    }

    /// Reads what other bridges wrote. Without a store, what is in memory stands.
    pub(super) async fn read(&mut self, store: Option<&Store>) {
        let rows = match store {
            Some(store) => timeout(STORE_WITHIN, store.alert_pages()).await.ok().and_then(Result::ok),
            None => None,
        };
        self.has_store = rows.is_some();
        if let Some(rows) = rows {
            self.merge(rows);
        }
    }

    fn merge(&mut self, rows: Vec<AlertPage>) {
        let mut known = std::mem::take(&mut self.entries);
        for row in rows {
            let entry = match known.remove(&row.name) {
                Some(entry) if entry.is_unsaved && entry.version == row.version => entry,
                // What a later version of this program wrote may not be readable; it is written anew when there is something to tell.
                _ => Entry { page: serde_json::from_str(&row.page).unwrap_or_default(), version: row.version, is_unsaved: false },
            };
            self.entries.insert(row.name, entry);
        }
        for (name, entry) in known.into_iter().filter(|(_, entry)| entry.is_unsaved) {
            self.entries.insert(name, Entry { version: 0, ..entry });
        }
        for entry in self.entries.values_mut() {
            for (id, channel) in &self.taken {
                entry.is_unsaved |= acknowledge(&mut entry.page.letters, id, channel);
            }
        }
    }

    /// A channel took a letter.
    pub(super) fn note_taken(&mut self, id: &str, channel: &str) {
        self.taken.insert((id.to_owned(), channel.to_owned()));
        for entry in self.entries.values_mut() {
            entry.is_unsaved |= acknowledge(&mut entry.page.letters, id, channel);
        }
    }

    /// Takes the right to send what `wanted` channels have not taken, where no other bridge has it.
    pub(super) fn claim(&mut self, wanted: impl Fn(&str) -> bool, now: Timestamp) {
        let (me, is_shared) = (self.me, self.is_shared);
        let is_wanted = |page: &Page| page.letters.iter().flat_map(|letter| &letter.to).any(|channel| wanted(channel));
        for entry in self.entries.values_mut().filter(|entry| is_wanted(&entry.page)) {
            let is_free =
                entry.page.claim.is_none_or(|claim| claim.by == me || !is_shared || claim.until <= now || claim.until > now + CLAIM * 2);
            let is_good = entry.page.claim.is_some_and(|claim| claim.by == me && claim.until >= now + CLAIM / 2);
            if is_free && !is_good {
                entry.page.claim = Some(Claim { by: me, until: now + CLAIM });
                entry.is_unsaved = true;
            }
        }
    }

    /// Writes what the store does not know. What another bridge wrote in between is read with the next look, and decided anew.
    pub(super) async fn save(&mut self, store: Option<&Store>) {
        let Some(store) = store else {
            self.has_store = false;
            return;
        };
        for (name, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.is_unsaved) {
            // A page is JSON whatever is in it.
            let page = serde_json::to_string(&entry.page).unwrap_or_default();
            let row = AlertPage { name: name.clone(), page, version: entry.version };
            match timeout(STORE_WITHIN, store.save_alert_page(row)).await {
                Ok(Ok(true)) => (entry.version, entry.is_unsaved) = (entry.version + 1, false),
                Ok(Ok(false)) => *entry = Entry { page: Page::default(), version: OVERTAKEN, is_unsaved: false },
                Ok(Err(_)) | Err(_) => {
                    self.has_store = false;
                    return;
                }
            }
        }
        self.forget_taken();
    }

    /// Once a row knows it, it need not be remembered.
    fn forget_taken(&mut self) {
        if self.has_store && self.entries.values().all(|entry| !entry.is_unsaved && entry.version > 0) {
            self.taken.clear();
        }
    }

    /// The oldest letter that this channel has not taken and that this bridge may send. Without a store, each bridge tells what it sees.
    pub(super) fn next_for(&self, channel: &str, now: Timestamp) -> Option<super::note::Letter> {
        let may_send = |entry: &&Entry| {
            let is_mine = entry.page.claim.is_some_and(|claim| claim.by == self.me && claim.until > now);
            is_mine && (!entry.is_unsaved || !self.has_store)
        };
        let letters = self.entries.values().filter(may_send).flat_map(|entry| &entry.page.letters);
        letters.filter(|letter| letter.to.iter().any(|to| to == channel)).min_by_key(|letter| letter.note.at).cloned()
    }

    /// Drops letters that are no news any more, and trouble that was over long ago. Returns how many letters were not told.
    pub(super) async fn tidy(&mut self, store: Option<&Store>, now: Timestamp) -> usize {
        let mut lost = 0;
        for entry in self.entries.values_mut() {
            let stale = take_stale(&mut entry.page.letters, now).len();
            entry.is_unsaved |= stale > 0;
            lost += stale;
        }
        let is_old = |page: &Page| {
            let ended_at = page.incident.as_ref().and_then(|incident| incident.ended_at);
            page.letters.is_empty() && ended_at.is_some_and(|ended_at| now.duration_since(ended_at) > FORGET_AFTER)
        };
        let old: Vec<(String, i64)> =
            self.entries.iter().filter(|(_, entry)| is_old(&entry.page)).map(|(name, entry)| (name.clone(), entry.version)).collect();
        for (name, version) in old {
            if let Some(store) = store
                && matches!(timeout(STORE_WITHIN, store.remove_alert_page(name.clone(), version)).await, Ok(Ok(_)))
            {
                self.entries.remove(&name);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::note::tests::{note, now};
    use super::super::note::{Letter, What};
    use super::*;

    fn page(to: &[&str]) -> Page {
        let letter = Letter { id: "alert_1".into(), note: note(What::Opened), to: to.iter().map(|name| (*name).to_owned()).collect() };
        Page { letters: vec![letter], ..Page::default() }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::sqlite(&folder.path().join("s.db"), [], []).unwrap();
        (folder, store)
    }

    async fn book(store: &Store) -> Book {
        let mut book = Book::new(true);
        book.read(Some(store)).await;
        book
    }

    #[tokio::test]
    async fn of_two_bridges_one_may_send_and_the_other_takes_over_when_it_is_gone() {
        let (_folder, store) = store();
        let mut first = book(&store).await;
        first.put("hold:crm", page(&["mail"]));
        first.save(Some(&store)).await;
        let mut second = book(&store).await;
        for book in [&mut first, &mut second] {
            book.claim(|_| true, now());
            book.save(Some(&store)).await;
        }
        assert!(first.next_for("mail", now()).is_some() && second.next_for("mail", now()).is_none());
        assert!(first.next_for("chat", now()).is_none());
        let later = now() + CLAIM * 2;
        assert!(first.next_for("mail", later).is_none(), "a claim that is over is none");
        second.read(Some(&store)).await;
        second.claim(|_| true, later);
        second.save(Some(&store)).await;
        assert!(second.next_for("mail", later).is_some());
    }

    #[tokio::test]
    async fn what_a_channel_took_is_not_sent_again_though_the_row_was_written_by_another() {
        let (_folder, store) = store();
        let mut first = book(&store).await;
        first.put("hold:crm", page(&["mail", "chat"]));
        first.save(Some(&store)).await;
        let mut second = book(&store).await;
        second.put("hold:crm", page(&["mail", "chat"]));
        second.save(Some(&store)).await;
        first.note_taken("alert_1", "mail");
        first.save(Some(&store)).await;
        first.read(Some(&store)).await;
        first.save(Some(&store)).await;
        assert_eq!(book(&store).await.page("hold:crm").letters[0].to, ["chat"]);
    }

    #[tokio::test]
    async fn without_a_store_memory_stands_and_is_written_when_it_is_back() {
        let (_folder, store) = store();
        let mut alone = Book::new(true);
        alone.read(None).await;
        alone.put("store:host", page(&["mail"]));
        alone.claim(|_| true, now());
        alone.save(None).await;
        assert!(alone.next_for("mail", now()).is_some());
        alone.note_taken("alert_1", "mail");
        assert!(alone.next_for("mail", now()).is_none());
        alone.read(Some(&store)).await;
        alone.save(Some(&store)).await;
        assert_eq!(book(&store).await.names(), ["store:host"]);
    }
}

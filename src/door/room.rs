//! Who is in: so many connections, each with what it does to the bridge. When all places are taken, whoever keeps the bridge waiting longest
//! makes room for whoever comes.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

/// What the server takes.
pub(super) const MOST_WORKERS: usize = 512;
/// An address with more than this part of all places is crowding others out, and is the first to lose some.
const FAIR_SHARE: usize = 8;
/// How often the kernel is asked what a connection has sent before it has to go: once for the bytes, and once for what they set going;
const HEARINGS: usize = 2;
/// and as long as there were more, so often. Each time takes 32 KiB and more, so that an honest body is heard to its end, and one without end
/// for some milliseconds.
const MOST_HEARINGS: usize = 256;

/// The places of a listener.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Arc<Seat>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    /// Whose it is, as a network that one machine has.
    from: IpAddr,
    state: Mutex<State>,
    leave: Notify,
}

/// What the bridge waits for.
#[derive(Debug, Default)]
struct State {
    /// For the head of a request, since then. `None` while the bridge itself is at work.
    head_since: Option<Instant>,
    /// For the body of a request, since then. How long that may take is for those to say who read it.
    body_since: Option<Instant>,
    /// For the other side to read, since then.
    unread_since: Option<Instant>,
    /// Whether it was answered before: nothing is lost when it is closed while it is idle.
    is_answered: bool,
    /// Whether something was read since the last request began.
    has_read: bool,
    /// Whether something was read since that was last asked.
    has_more: bool,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    pub(super) seat: Arc<Seat>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.seats().taken.remove(&self.number);
    }
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), seats: Mutex::default() }
    }

    /// How many may be on their way in or out beside those that have a place, before the kernel lets others wait.
    pub(super) fn doors(&self) -> usize {
        self.most.saturating_add(self.most / 8 + 16)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in. When the room is full, another has to go; when all are being served, nobody has.
    pub(super) fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Place {
        let from = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| network(peer.ip()));
        let seat = Arc::new(Seat { from, state: Mutex::new(State::owing()), leave: Notify::new() });
        let mut seats = self.seats();
        if seats.taken.len() >= self.most {
            seats.make_room(self.most);
        }
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&seat));
        Place { room: Arc::clone(self), number, seat }
    }
}

impl Place {
    /// Ends when this connection has to go: it is waited for longer than `patience`, or its place is needed. To be polled after what is
    /// served, so that whatever the connection has sent is looked at first.
    pub(super) async fn must_go(&self, patience: Duration) {
        tokio::select! {
            () = self.is_needed() => {}
            () = self.seat.outstay(patience) => {}
        }
    }

    /// Of connections that come in the same moment, those that came first would have to go before anybody looked at what they sent. So
    /// whoever is asked to go is heard first, and may stay when the bridge turns out to be who is waited for; then another has to go.
    async fn is_needed(&self) {
        loop {
            self.seat.leave.notified().await;
            if !self.is_heard_out().await {
                return;
            }
            self.keep();
        }
    }

    /// Whether all that it has sent is a request that is here now.
    async fn is_heard_out(&self) -> bool {
        let mut left = HEARINGS;
        for _ in 0..MOST_HEARINGS {
            // Goes on after the kernel was asked who has sent something.
            yield_now().await;
            let mut state = self.seat.state();
            if state.wait().is_none() {
                return true;
            }
            left = if std::mem::take(&mut state.has_more) { HEARINGS } else { left - 1 };
            if left == 0 {
                return false;
            }
        }
        false
    }

    fn keep(&self) {
        let mut seats = self.room.seats();
        seats.taken.insert(self.number, Arc::clone(&self.seat));
        if seats.taken.len() > self.room.most {
            seats.make_room(self.room.most);
        }
    }
}

impl Seats {
    fn make_room(&mut self, most: usize) {
        let mut by_network: HashMap<IpAddr, usize> = HashMap::new();
        for seat in self.taken.values() {
            *by_network.entry(seat.from).or_default() += 1;
        }
        let is_fair = |seat: &Seat| by_network.get(&seat.from).is_none_or(|count| count.saturating_mul(FAIR_SHARE) <= most);
        let waited_for = self.taken.iter().filter_map(|(number, seat)| Some((is_fair(seat), seat.state().wait()?, *number)));
        if let Some(seat) = waited_for.min().and_then(|(.., number)| self.taken.remove(&number)) {
            seat.leave.notify_one();
        }
    }
}

impl State {
    fn owing() -> Self {
        Self { head_since: Some(Instant::now()), ..Self::default() }
    }

    /// Since when the bridge waits, for whatever it is; the first to go has the smallest.
    fn wait(&self) -> Option<(bool, Instant)> {
        let since = [self.head_since, self.body_since, self.unread_since].into_iter().flatten().min()?;
        let is_idle = self.is_answered && self.head_since.is_some();
        Some((!is_idle, since))
    }

    /// When this connection has outstayed.
    fn end(&self, patience: Duration) -> Option<Instant> {
        [self.head_since, self.unread_since].into_iter().flatten().min().map(|since| since + patience)
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of a request is here. Returns whether it came together with the one before, as many may.
    pub(super) fn begin(&self, has_body: bool) -> bool {
        let mut state = self.state();
        let is_together = !std::mem::take(&mut state.has_read);
        // No sender of leads does that, and requests without end keep others out like any that do not end.
        (state.head_since, state.body_since) = (None, (has_body || is_together).then(Instant::now));
        is_together
    }

    /// Something came.
    pub(super) fn note_read(&self) {
        let mut state = self.state();
        (state.has_read, state.has_more) = (true, true);
    }

    /// All of the request is here.
    pub(super) fn has_all(&self) {
        self.state().body_since = None;
    }

    /// The request was answered, and the next one is waited for.
    pub(super) fn end(&self) {
        let mut state = self.state();
        (state.head_since, state.body_since, state.is_answered) = (Some(Instant::now()), None, true);
    }

    /// Whether the other side takes what it is sent.
    pub(super) fn note_write(&self, is_taken: bool) {
        let mut state = self.state();
        match (is_taken, state.unread_since) {
            (true, _) => state.unread_since = None,
            (false, None) => state.unread_since = Some(Instant::now()),
            (false, Some(_)) => {}
        }
    }

    async fn outstay(&self, patience: Duration) {
        loop {
            let end = self.state().end(patience);
            match end {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                None => sleep(patience).await,
            }
        }
    }
}

/// Whoever has one address of IPv6 has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use futures_util::FutureExt as _;

    const PATIENCE: Duration = Duration::from_secs(16);

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    /// A room with these connections, each of which has waited a little longer than the one after it.
    fn filled(most: usize, addresses: &[&str]) -> (Arc<Room>, Vec<Place>) {
        let room = Arc::new(Room::new(most));
        let places: Vec<Place> = addresses.iter().map(|address| room.enter(from(address))).collect();
        let ago = |index: usize| Instant::now() - Duration::from_millis(100 * u64::try_from(addresses.len() - index).unwrap());
        places.iter().enumerate().for_each(|(index, place)| place.seat.state().head_since = Some(ago(index)));
        (room, places)
    }

    /// Who has to go now and was not told before.
    fn gone(places: &[Place]) -> Vec<usize> {
        let has_gone = |place: &Place| place.seat.leave.notified().now_or_never().is_some();
        places.iter().enumerate().filter(|(_, place)| has_gone(place)).map(|(index, _)| index).collect()
    }

    #[test]
    fn who_is_waited_for_longest_makes_room_and_who_is_served_does_not() {
        let (room, places) = filled(3, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        places[0].seat.begin(false);
        let _fourth = room.enter(from("10.0.0.4"));
        assert_eq!(gone(&places), [1]);
        places[2].seat.begin(true);
        let body_since = Instant::now() - Duration::from_secs(9);
        places[2].seat.state().body_since = Some(body_since);
        let _fifth = room.enter(from("10.0.0.5"));
        assert_eq!(gone(&places), [2], "a body that is waited for is no better than a head");
        assert_eq!(room.seats().taken.len(), 3);
    }

    #[test]
    fn who_was_answered_and_is_idle_goes_before_who_has_not_been_heard_yet() {
        let (room, places) = filled(3, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        places[2].seat.begin(false);
        places[2].seat.end();
        let _fourth = room.enter(from("10.0.0.4"));
        assert_eq!(gone(&places), [2]);
    }

    #[test]
    fn requests_that_come_together_are_told_apart_from_those_that_come_alone() {
        let room = Arc::new(Room::new(1));
        let place = room.enter(from("10.0.0.1"));
        place.seat.note_read();
        assert!(!place.seat.begin(false));
        assert!(place.seat.begin(false));
        assert!(place.seat.state().wait().is_some(), "they make room for others");
        place.seat.note_read();
        assert!(!place.seat.begin(false));
    }

    #[test]
    fn when_all_are_served_nobody_has_to_go() {
        let (room, places) = filled(2, &["10.0.0.1", "10.0.0.2"]);
        places.iter().for_each(|place| place.seat.note_read());
        places[0].seat.begin(false);
        places[1].seat.begin(true);
        places[1].seat.has_all();
        let third = room.enter(from("10.0.0.3"));
        assert!(gone(&places).is_empty() && gone(std::slice::from_ref(&third)).is_empty());
        assert_eq!(room.seats().taken.len(), 3);
        drop((places, third));
        assert!(room.seats().taken.is_empty());
    }

    #[test]
    fn an_address_with_more_than_its_share_loses_places_first() {
        let others: Vec<String> = (0..12).map(|n| format!("2001:db8:0:{n}::1")).collect();
        let addresses: Vec<&str> = ["198.51.100.7"].into_iter().chain(["10.0.0.1"; 3]).chain(others.iter().map(String::as_str)).collect();
        let (room, places) = filled(16, &addresses);
        let _next = room.enter(from("198.51.100.8"));
        assert_eq!(gone(&places), [1], "the oldest of the three, though the first has waited longer");
        let _next = room.enter(from("198.51.100.9"));
        assert_eq!(gone(&places), [0], "two of sixteen are a fair share");
    }

    #[test]
    fn one_machine_has_a_whole_network_of_ipv6() {
        let others = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
        let addresses = [["198.51.100.7", "2001:db8::1", "2001:db8::2"].as_slice(), &others].concat();
        let (room, places) = filled(8, &addresses);
        let _next = room.enter(from("198.51.100.8"));
        assert_eq!(gone(&places), [1]);
    }

    #[test]
    fn every_head_has_its_time_also_the_second_and_who_is_served_has_all_they_need() {
        let room = Arc::new(Room::new(8));
        let place = room.enter(from("10.0.0.1"));
        let end = || place.seat.state().end(PATIENCE);
        assert!(end().is_some());
        place.seat.begin(true);
        assert_eq!(end(), None);
        place.seat.has_all();
        assert_eq!(end(), None);
        place.seat.end();
        assert!(end().unwrap() <= Instant::now() + PATIENCE);
    }

    #[test]
    fn who_never_reads_is_cut_off() {
        let room = Arc::new(Room::new(8));
        let place = room.enter(from("10.0.0.1"));
        place.seat.begin(false);
        place.seat.note_write(false);
        let first = place.seat.state().end(PATIENCE).unwrap();
        place.seat.note_write(false);
        assert_eq!(place.seat.state().end(PATIENCE), Some(first), "asking again is no sign of life");
        place.seat.note_write(true);
        assert_eq!(place.seat.state().end(PATIENCE), None);
    }

    #[tokio::test]
    async fn who_outstays_has_to_go() {
        let room = Arc::new(Room::new(8));
        let place = room.enter(from("10.0.0.1"));
        place.seat.begin(false);
        let patience = Duration::from_millis(20);
        let early = tokio::time::timeout(Duration::from_millis(60), place.must_go(patience)).await;
        assert!(early.is_err(), "it was served");
        place.seat.end();
        place.must_go(patience).await;
    }

    #[tokio::test]
    async fn who_is_asked_to_go_and_turns_out_to_have_sent_a_request_stays_and_another_goes() {
        let (room, places) = filled(2, &["10.0.0.1", "10.0.0.2"]);
        let _third = room.enter(from("10.0.0.3"));
        let mut asked = std::pin::pin!(places[0].must_go(PATIENCE));
        assert!(asked.as_mut().now_or_never().is_none(), "it is heard first");
        places[0].seat.note_read();
        places[0].seat.begin(false);
        assert!(tokio::time::timeout(Duration::from_millis(60), asked.as_mut()).await.is_err(), "it is served");
        places[1].must_go(PATIENCE).await;
        assert_eq!(room.seats().taken.len(), 2, "the first and the third");
        places[0].seat.end();
        let _fourth = room.enter(from("10.0.0.4"));
        asked.await;
    }
}

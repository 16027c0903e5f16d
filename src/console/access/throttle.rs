//! How often tokens may be guessed: from one address, and in all.

use crate::bucket::Bucket;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Failures from one address: so many at once, then one in so many seconds.
const EACH_BURST: u32 = 10;
const EACH_PER_SECOND: f64 = 1.0 / 6.0;
/// After so long without a failure an address has its whole allowance back.
const REFILLED: SignedDuration = SignedDuration::from_secs(60);
/// The same from all together, so that many addresses do not help. A login that would succeed waits, too, while it lasts; sessions and their
/// pages go on.
const ALL_BURST: u32 = 100;
const ALL_PER_SECOND: f64 = 5.0;
/// Addresses before those are forgotten that have their whole allowance back. Failures in all bound how many others there are.
const MANY: usize = 1_000;

/// Failures lately.
#[derive(Debug)]
pub(super) struct Throttle {
    /// A clock that is set must not open or shut it.
    start: Instant,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    all: Bucket,
    /// With the moment of the last failure.
    each: HashMap<IpAddr, (Bucket, Timestamp)>,
}

impl Default for Throttle {
    fn default() -> Self {
        let buckets = Buckets { all: Bucket::new(ALL_PER_SECOND, ALL_BURST), each: HashMap::new() };
        Self { start: Instant::now(), buckets: Mutex::new(buckets) }
    }
}

impl Throttle {
    /// For how many seconds nothing is tried for this address; `None` when it may be tried now.
    pub(super) fn wait(&self, address: IpAddr) -> Option<u64> {
        let (now, buckets) = (self.now(), self.buckets.lock().unwrap_or_else(PoisonError::into_inner));
        let own = buckets.each.get(&network(address)).map_or(Timestamp::MIN, |(bucket, _)| bucket.next_at());
        let next = own.max(buckets.all.next_at());
        (next > now).then(|| u64::try_from(next.duration_since(now).as_secs()).unwrap_or(0) + 1)
    }

    /// A token was tried that is nobody's.
    pub(super) fn failed(&self, address: IpAddr) {
        let (now, mut buckets) = (self.now(), self.buckets.lock().unwrap_or_else(PoisonError::into_inner));
        if buckets.each.len() >= MANY {
            buckets.each.retain(|_, (_, last)| now.duration_since(*last) < REFILLED);
        }
        buckets.all.try_take(now);
        let (bucket, last) = buckets.each.entry(network(address)).or_insert_with(|| (Bucket::new(EACH_PER_SECOND, EACH_BURST), now));
        bucket.try_take(now);
        *last = now;
    }

    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.start.elapsed()).unwrap_or(SignedDuration::MAX);
        Timestamp::UNIX_EPOCH.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// One customer of a provider has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn one_address_is_stopped_and_others_are_not() {
        let throttle = Throttle::default();
        (0..EACH_BURST).for_each(|_| {
            assert_eq!(throttle.wait(address(1)), None);
            throttle.failed(address(1));
        });
        assert!(throttle.wait(address(1)).unwrap() <= 7);
        assert_eq!(throttle.wait(address(2)), None);
    }

    #[test]
    fn many_addresses_are_stopped_together_and_take_little_memory() {
        let throttle = Throttle::default();
        let tried = (0..100_000).filter(|number| {
            let is_tried = throttle.wait(address(*number)).is_none();
            if is_tried {
                throttle.failed(address(*number));
            }
            is_tried
        });
        assert!(tried.count() <= ALL_BURST as usize + 1_000);
        assert!(throttle.buckets.lock().unwrap().each.len() <= MANY + ALL_BURST as usize);
    }

    #[test]
    fn the_addresses_of_one_customer_count_as_one() {
        let same = ["2001:db8::1", "2001:db8::ffff:1"].map(|text| network(text.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_ne!(same[0], network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:203.0.113.9".parse().unwrap()), "203.0.113.9".parse::<IpAddr>().unwrap());
    }
}

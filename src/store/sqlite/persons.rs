//! A set of persons that takes little more than a byte for each: it may hold one by mistake, and never misses one.

/// Bits for each person: each layer holds one in three hundred strangers by mistake, and all of them together one in thirty.
const BITS_EACH: usize = 12;
/// Bits that are set for each person.
const PROBES: u64 = 6;
/// The first layer has so many bits, each further one twice as many as the one before.
const FIRST_BITS: usize = 1 << 13;
/// With so many layers, 2 MiB, 1.4 million persons have been added. From then on, everybody is held.
const MOST_LAYERS: usize = 11;

/// A Bloom filter in layers that grow (Almeida and others, "Scalable Bloom Filters", 2007).
#[derive(Debug)]
pub(super) struct Persons {
    layers: Vec<Box<[u64]>>,
    /// How many more the last layer takes.
    left: usize,
    is_full: bool,
}

impl Persons {
    pub(super) const NOBODY: Self = Self { layers: Vec::new(), left: 0, is_full: false };

    /// Whether the person may have been added.
    pub(super) fn may_hold(&self, person: &[u8; 16]) -> bool {
        self.is_full || self.layers.iter().any(|layer| bits(layer, person).all(|bit| layer[bit / 64] >> (bit % 64) & 1 == 1))
    }

    pub(super) fn add(&mut self, person: &[u8; 16]) {
        if self.may_hold(person) || !self.has_room() {
            return;
        }
        let Some(layer) = self.layers.last_mut() else { return };
        for bit in bits(layer, person) {
            layer[bit / 64] |= 1 << (bit % 64);
        }
        self.left -= 1;
    }

    fn has_room(&mut self) -> bool {
        if self.left == 0 {
            self.is_full = self.layers.len() == MOST_LAYERS;
            if !self.is_full {
                let size = FIRST_BITS << self.layers.len();
                self.layers.push(vec![0; size / 64].into());
                self.left = size / BITS_EACH;
            }
        }
        !self.is_full
    }
}

/// The bits of a layer that stand for the person.
fn bits(layer: &[u64], person: &[u8; 16]) -> impl Iterator<Item = usize> + use<> {
    let [low, high] = [&person[..8], &person[8..]].map(|half| half.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    let first = mixed(low ^ mixed(high));
    let step = mixed(first) | 1;
    let mask = (layer.len() * 64 - 1) as u64;
    // Less than the number of bits, which is a `usize`.
    (0..PROBES).map(move |probe| (first.wrapping_add(probe.wrapping_mul(step)) & mask) as usize)
}

/// The last step of MurmurHash3 (Austin Appleby, public domain). A key is half of a hash already; so one that is not does no harm.
fn mixed(mut half: u64) -> u64 {
    half = (half ^ half >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    half = (half ^ half >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    half ^ half >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u128) -> [u8; 16] {
        // Neighbours, as keys would be that are no hashes.
        n.to_be_bytes()
    }

    #[test]
    fn who_was_added_is_held_and_hardly_anybody_else() {
        let mut persons = Persons::NOBODY;
        assert!(!persons.may_hold(&person(0)));
        (0..50_000).for_each(|n| persons.add(&person(n)));
        assert_eq!((0..50_000).find(|n| !persons.may_hold(&person(*n))), None);
        let mistakes = (50_000..150_000).filter(|n| persons.may_hold(&person(*n))).count();
        assert!(mistakes < 3_000, "{mistakes}");
        let bytes: usize = persons.layers.iter().map(|layer| layer.len() * 8).sum();
        assert!(bytes < 4 * 50_000, "{bytes}");
    }

    #[test]
    fn one_that_is_added_again_takes_no_room() {
        let mut persons = Persons::NOBODY;
        (0..10_000).for_each(|_| persons.add(&person(7)));
        assert_eq!(persons.layers.len(), 1);
    }

    #[test]
    fn when_there_are_too_many_everybody_is_held() {
        let mut persons = Persons::NOBODY;
        (0..1_700_000).for_each(|n| persons.add(&person(n)));
        assert!(persons.is_full && persons.may_hold(&person(u128::MAX)));
        assert_eq!(persons.layers.iter().map(|layer| layer.len() * 8).sum::<usize>(), (2 << 20) - 1_024);
    }
}

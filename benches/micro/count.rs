//! One part, for callgrind, which counts what runs within `measured`: `scripts/instructions.py` starts it. With `twice`, the part runs two
//! times where it should run once, which the check must notice.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod parts;

/// What is read on first use has been read by then.
const WARM: usize = 3;
/// Evens out where a hash table, whose keys are random, puts its entries.
const RUNS: usize = 20;

#[inline(never)]
fn measured(work: &mut dyn FnMut(), times: usize) {
    for _ in 0..times {
        work();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some((name, rest)) = arguments.split_first() else {
        parts::PARTS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let ready = parts::PARTS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("there is no part {name}")).1;
    let mut work = ready();
    (0..WARM).for_each(|_| work());
    let times = if rest.iter().any(|word| word == "twice") { 2 * RUNS } else { RUNS };
    measured(&mut work, times);
    println!("{RUNS}");
}

//! A disk that is full, fails, or loses what was not synced. A small library stands before the real disk for these stories.

use crate::driver::{Dice, seed};
use crate::harness::{Bridge, Setup, eventually, preload};
use crate::oracle::{Fault, Trial};
use std::collections::HashMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FULL: u32 = 28;
const BROKEN: u32 = 5;

/// About every so many writes one is made to fail, from where the seed says; many runs with other seeds reach them all.
const STRIDE: u64 = 61;
/// More writes than a run makes; it must end long before.
const MOST: u64 = 2_000;

fn faulty(setup: Setup, more: &[(&str, &Path)]) -> Setup {
    let folder = setup.folder.path().to_owned();
    let setup =
        setup.environment("LD_PRELOAD", &preload("faulty_disk").display().to_string()).environment("FAULTY_PART", "/data/leadwire.db");
    more.iter().fold(setup, |setup, (name, file)| setup.environment(name, &folder.join(file).display().to_string()))
}

fn calls(folder: &Path) -> u64 {
    std::fs::read_to_string(folder.join("counter")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Whether the `n`-th write came at all.
async fn play(n: u64, error: u32, manner: &str, seed: u64) -> bool {
    let mut trial = Trial::new(seed).await;
    let setup = faulty(trial.setup(), &[("FAULTY_ORDER", Path::new("order")), ("FAULTY_COUNTER", Path::new("counter"))]);
    let folder = setup.folder.path().to_owned();
    std::fs::write(folder.join("order"), format!("{n} {error} {manner}")).unwrap();
    trial.driver.limit(12);
    trial.driver.start();
    let healer = tokio::spawn(heal(folder.clone(), n));
    // A bridge that meets the fault at its start tries again.
    let bridge = setup.start();
    trial.driver.aim(&[&bridge.url]);
    eventually("all answers", async || (trial.driver.answered() == 12).then_some(())).await;
    assert!(calls(&folder) > 20, "the store's writes do not come through the library");
    // The fault may come after the last answer, and the disk must be made well then, too.
    let bridge = crash(&mut trial, bridge).await;
    let struck = calls(&folder) >= n;
    healer.abort();
    assert_eq!(trial.end(&bridge).await, 12, "write {n}, error {error}, {manner}");
    struck
}

/// Some more writes fail after the first, where later ones do; then the disk is well again, and everything must go on by itself.
async fn heal(folder: PathBuf, n: u64) {
    // Ended by the story when the fault never comes.
    while calls(&folder) < n {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    std::fs::remove_file(folder.join("order")).unwrap();
}

/// Nothing that is still in memory may be needed.
async fn crash(trial: &mut Trial, bridge: Bridge) -> Bridge {
    eventually("nothing to be pending", async || bridge.is_quiet().await.then_some(())).await;
    let setup = bridge.kill().without("LD_PRELOAD");
    trial.excuse(&setup);
    setup.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_fails_no_success_is_told_in_vain_and_it_goes_on_by_itself() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    for (error, manner) in [(FULL, "on"), (BROKEN, "once"), (FULL, "once"), (BROKEN, "on")] {
        let mut n = 1 + dice.roll(STRIDE);
        while play(n, error, manner, seed).await {
            n += STRIDE + dice.roll(STRIDE);
            assert!(n < MOST, "it never comes to an end");
        }
    }
}

/// The bytes of one write, as the library notes them.
struct Write {
    offset: u64,
    size_before: u64,
    old: Vec<u8>,
    /// `None` for another size.
    new: Option<Vec<u8>>,
    new_size: u64,
}

fn read_journal(path: &Path) -> Vec<Write> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut writes = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<32>() {
        let number = |place: usize| i64::from_ne_bytes(head[place * 8..place * 8 + 8].try_into().unwrap());
        let (old, tail) = tail.split_at(usize::try_from(number(2)).unwrap());
        let new_length = usize::try_from(number(3)).unwrap_or(0);
        let (new, tail) = tail.split_at(new_length);
        let (offset, size_before) = (number(0).unsigned_abs(), number(1).unsigned_abs());
        let is_size = number(3) < 0;
        let new_size = if is_size { (-1 - number(3)).unsigned_abs() } else { size_before.max(offset + new.len() as u64) };
        writes.push(Write { offset, size_before, old: old.to_vec(), new: (!is_size).then(|| new.to_vec()), new_size });
        rest = tail;
    }
    writes
}

/// What a machine without power does: of what was written since a file's last sync, some stays and some does not. Returns how many
/// writes were lost.
fn lose_power(data: &Path, journals: &Path, mut keeps: impl FnMut() -> bool) -> usize {
    let files: HashMap<u64, PathBuf> =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap()).map(|entry| (entry.metadata().unwrap().ino(), entry.path())).collect();
    let mut lost = 0;
    for journal in std::fs::read_dir(journals).unwrap().map(|entry| entry.unwrap()) {
        let inode: u64 = journal.file_name().to_str().unwrap().parse().unwrap();
        let Some(path) = files.get(&inode) else { continue };
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let writes = read_journal(&journal.path());
        for write in writes.iter().rev() {
            file.write_all_at(&write.old, write.offset).unwrap();
            file.set_len(write.size_before).unwrap();
        }
        for write in &writes {
            if !keeps() {
                lost += 1;
                continue;
            }
            match &write.new {
                Some(new) => file.write_all_at(new, write.offset).unwrap(),
                None => file.set_len(write.new_size).unwrap(),
            }
        }
    }
    // It is shared memory, which no disk keeps.
    let _ = std::fs::remove_file(data.join("leadwire.db-shm"));
    for journal in std::fs::read_dir(journals).unwrap() {
        std::fs::remove_file(journal.unwrap().path()).unwrap();
    }
    lost
}

fn powered(trial: &mut Trial) -> Setup {
    let setup = faulty(trial.setup(), &[("FAULTY_JOURNAL", Path::new("journals"))]);
    std::fs::create_dir(setup.folder.path().join("journals")).unwrap();
    setup
}

fn cut_power(trial: &mut Trial, bridge: Bridge, keeps: impl FnMut() -> bool) -> (Setup, usize) {
    let setup = bridge.kill();
    let lost = lose_power(&setup.folder.path().join("data"), &setup.folder.path().join("journals"), keeps);
    let setup = setup.without("LD_PRELOAD");
    trial.excuse(&setup);
    let preload = preload("faulty_disk").display().to_string();
    (setup.environment("LD_PRELOAD", &preload), lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_loses_its_power_loses_nothing_it_answered() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut trial = Trial::new(seed).await;
    let mut bridge = powered(&mut trial).start();
    trial.driver.start();
    let mut lost = 0;
    for round in 0..8 {
        trial.driver.aim(&[&bridge.url]);
        tokio::time::sleep(Duration::from_millis(50 + dice.roll(300))).await;
        // At first everything unsynced is lost, then a part of it, in no order.
        let (setup, gone) = cut_power(&mut trial, bridge, || round > 1 && dice.roll(2) == 0);
        lost += gone;
        bridge = setup.start();
    }
    let met = trial.end(&bridge).await;
    assert!(met > 50, "too little load to prove anything: {met}");
    assert!(lost > 0, "no write was ever lost: the library does not see them");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn a_store_that_does_not_wait_for_the_disk_is_found_out_by_a_loss_of_power() {
    let mut trial = Trial::new(seed()).await;
    trial.sink.set_latency(Duration::from_secs(1));
    let bridge = powered(&mut trial).environment("LEADWIRE_FAILPOINTS", "store.careless=error").start();
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    eventually("answers", async || (trial.driver.answered() > 20).then_some(())).await;
    let (setup, lost) = cut_power(&mut trial, bridge, || false);
    assert!(lost > 0);
    let bridge = setup.start();
    trial.sink.set_latency(Duration::ZERO);
    let findings = trial.findings(&bridge).await;
    assert!(findings.iter().any(|finding| finding.0 == Fault::Lost), "{findings:?}");
}

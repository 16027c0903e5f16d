//! The store, its disk and its spool.

use super::Asked;
use crate::cli::time;
use crate::config::Settings;
use crate::store::{self, Checkup, Status, Store, check_disk, inspect_spool};
use indicatif::BinaryBytes;
use leadwire_connector::Report;
use std::path::Path;
use std::time::Duration;

/// A thousand leads or so, and no room for the log of a busy moment.
const LEAST_FREE: u64 = 128 << 20;
const FEW_FREE: u64 = 1 << 30;
/// Every answer waits for one.
const SLOW: Duration = Duration::from_millis(50);
/// No disk is as fast.
const TOO_FAST: Duration = Duration::from_micros(10);

pub(super) async fn ask(settings: &Settings, checkup: &Checkup, opened: Option<&store::Result<Store>>) -> Vec<Asked> {
    let mut report = writing(schema(Report::default(), checkup), checkup);
    if !checkup.waits_for_disk {
        report = report
            .bad("fsync", "the server does not wait for its disk (`fsync = off`): leads that were answered are lost when it goes down")
            .remedy("set `fsync = on` in postgresql.conf");
    }
    let what = if checkup.engine == "sqlite" { "a write with fsync beside it" } else { "a commit" };
    report = checkup.syncs.iter().fold(report, |report, syncs| speed(report, syncs, what));
    report = room(report, checkup.free_bytes);
    report = match opened {
        None => report,
        Some(Ok(store)) => alive(report, store.status().await.as_ref()),
        Some(Err(error)) => report.bad("opening", error.to_string()),
    };
    let store = Asked { what: "store", name: checkup.place.clone(), kind: Some(checkup.engine.to_owned()), report };
    std::iter::once(store).chain(settings.store.spool.as_deref().map(spool)).collect()
}

fn schema(report: Report, checkup: &Checkup) -> Report {
    match &checkup.schema {
        Ok(None) => report.good("schema", "there is no store yet; the first start of the bridge makes it"),
        Ok(Some(schema)) if *schema < checkup.newest => report
            .warn("schema", format!("{schema}, which the next start brings up to {}; older programs cannot open it then", checkup.newest))
            .remedy("make a backup first: leadwire store backup FILE, with the program that runs now"),
        Ok(Some(schema)) => report.good("schema", format!("{schema}, the one that this program writes")),
        Err(error) => report.bad("schema", error.to_string()),
    }
}

fn writing(report: Report, checkup: &Checkup) -> Report {
    match &checkup.writing {
        None => report,
        Some(Ok(())) => report.good("writing", "a transaction can write"),
        Some(Err(error)) => report.bad("writing", error.to_string()).remedy(
            "see that the user of the bridge may write there, that the disk is not full, and that no other program keeps it locked",
        ),
    }
}

fn speed(report: Report, syncs: &store::Result<Vec<Duration>>, what: &str) -> Report {
    let mut syncs = match syncs {
        Ok(syncs) => syncs.clone(),
        Err(error) => return report.bad("fsync", error.to_string()).remedy("give the user of the bridge the right to write there"),
    };
    syncs.sort_unstable();
    let (median, slowest) = (syncs.get(syncs.len() / 2).copied().unwrap_or_default(), syncs.last().copied().unwrap_or_default());
    let told = format!("{what} takes {}, the slowest of {} took {}", milliseconds(median), syncs.len(), milliseconds(slowest));
    if median < TOO_FAST {
        return report
            .warn("fsync", format!("{told}; nothing reaches a disk that fast"))
            .remedy("see that this is no file system in memory, or what is answered with success is lost when the machine goes down");
    }
    if median > SLOW {
        return report.warn("fsync", told).remedy("every answer waits for one; a faster disk, or a less busy one, makes answers faster");
    }
    report.good("fsync", told)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

fn room(report: Report, free: Option<u64>) -> Report {
    const REMEDY: &str = "free some, move the store, or bound it with [store] retention and max_bytes";
    let Some(free) = free else { return report };
    let told = format!("{} are free on its disk", BinaryBytes(free));
    match free {
        ..LEAST_FREE => report.bad("space", told).remedy(REMEDY),
        LEAST_FREE..FEW_FREE => report.warn("space", told).remedy(REMEDY),
        _ => report.good("space", told),
    }
}

/// That no bridge runs is no fault: it may be about to be started.
fn alive(report: Report, status: Result<&Status, &store::Error>) -> Report {
    match status {
        Ok(Status { alive_at: Some(at), .. }) => report.good("bridge", format!("gave its last sign of life at {} UTC", time::long(*at))),
        Ok(_) => report.good("bridge", "none has run on it yet"),
        Err(error) => report.bad("opening", error.to_string()),
    }
}

fn spool(folder: &Path) -> Asked {
    let disk = check_disk(folder);
    let mut report = Report::default();
    if disk.folder != std::path::absolute(folder).unwrap_or_default() {
        report = report.good("folder", "is not there yet; the bridge makes it");
    }
    report = match inspect_spool(folder) {
        Err(error) => report.bad("records", error.to_string()),
        Ok(found) if !found.unreadable.is_empty() || !found.refused.is_empty() => report
            .warn("records", format!("{} wait for the store, and some need a person", found.records))
            .remedy("`leadwire audit` names them; docs/running.md says what to do"),
        Ok(found) => report.good("records", format!("{} wait for the store", found.records)),
    };
    report = room(speed(report, &disk.syncs, "a write with fsync"), disk.free_bytes);
    Asked { what: "spool", name: folder.display().to_string(), kind: None, report }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::Severity;

    #[test]
    fn a_disk_that_is_slow_or_too_fast_to_be_one_is_to_be_looked_at() {
        let worst = |micros: u64| speed(Report::default(), &Ok(vec![Duration::from_micros(micros); 9]), "a write").worst();
        assert_eq!((worst(1), worst(400), worst(80_000)), (Severity::Warn, Severity::Good, Severity::Warn));
        let failed = Err(store::Error::Unavailable("data cannot be written".to_owned()));
        assert_eq!(speed(Report::default(), &failed, "a write").worst(), Severity::Bad);
    }

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let worst = |free: u64| room(Report::default(), Some(free)).worst();
        assert_eq!((worst(1 << 20), worst(512 << 20), worst(8 << 30)), (Severity::Bad, Severity::Warn, Severity::Good));
        assert!(room(Report::default(), None).findings.is_empty());
    }
}

//! The process as the system sees it, under the names that every Prometheus client uses. Where there is no `/proc`, it is left out.

use super::page::Page;

/// Adds them.
pub(super) fn show(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    page.gauge_if_known("process_resident_memory_bytes", "Memory that the process has in use.", resident_bytes(&status));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat, rustix::param::clock_ticks_per_second()) {
        page.counters("process_cpu_seconds_total", "Time of processors that the process has spent.").add(&[], seconds);
    }
    // One of them is the folder that is read.
    let open = std::fs::read_dir("/proc/self/fd").map(|found| found.count().saturating_sub(1)).ok();
    page.gauge_if_known("process_open_fds", "Open files and connections.", open);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    page.gauge_if_known("process_max_fds", "How many may be open.", max_fds(&limits));
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kib: u64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// The name of the program stands in brackets and may hold anything, so that fields are counted from its end (proc_pid_stat(5)).
fn cpu_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / ticks_per_second.max(1) as f64)
}

fn max_fds(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_read() {
        assert_eq!(resident_bytes("VmSize:\t  9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(cpu_seconds("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0", 100), Some(2.0));
        assert_eq!(max_fds("Limit  Soft\nMax open files            1024                 4096                 files\n"), Some(1_024));
        assert_eq!((resident_bytes(""), cpu_seconds("", 100), max_fds("")), (None, None, None));
    }
}

//! Files that hold leads or secrets are for their owner alone, whatever the umask says.

use crate::harness::{KEY, Setup, eventually, lead, signature};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bridge and commands under this umask.
fn under(umask: &str) -> Setup {
    let setup = Setup::new().archive();
    let spool = setup.folder.path().join("spool").display().to_string();
    let shell = format!("umask {umask}; exec \"$@\"");
    setup.environment("LEADWIRE__STORE__SPOOL", &spool).under(&["sh", "-c", &shell, "sh"])
}

/// Every file below a folder that is not for its owner alone, with its mode.
fn open_files(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        if entry.file_type().unwrap().is_dir() {
            found.extend(open_files(&entry.path()));
        } else if mode & 0o077 != 0 {
            found.push((entry.path(), mode));
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn only_for_the_owner(umask: &str) {
    let bridge = under(umask).start();
    let folder = bridge.setup.folder.path().to_owned();
    let data = folder.join("data");
    // Whoever may look into the folders must still find nothing.
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let header = signature("another-key", b"{}");
    bridge.post_to("acme", "{}", &[("X-Webhook-Signature", &header)]).await.unwrap();
    let known = names(&data);
    for name in ["leadwire.db", "leadwire.db-shm", "leadwire.db-wal"] {
        assert!(known.contains(&name.to_owned()), "{known:?}");
    }
    assert_eq!(open_files(&data), [], "under umask {umask}");
    assert_eq!(open_files(&folder.join("spool")), [], "under umask {umask}");
    assert_eq!(std::fs::metadata(folder.join("spool")).unwrap().permissions().mode() & 0o077, 0);
    let config = bridge.setup.config_path().display().to_string();
    let command = |config: &str, arguments: &str| {
        let line = format!("umask {umask}; exec {} --config {config} {arguments}", env!("CARGO_BIN_EXE_leadwire"));
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(&folder)
            .env("LEADWIRE__STORE__SPOOL", folder.join("spool"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::create_dir(folder.join("made")).unwrap();
    command(&config, "store backup made/backup.db");
    command(&config, "person export --email david1@example.com --output made/export.json");
    command(&config, "person erase --email david1@example.com --yes --certificate made/certificate.json");
    command("made/leadwire.toml", &format!("init --yes --source acme --destination a=csv --set a.directory=a --key acme={KEY}"));
    assert!(names(&folder.join("made")).len() >= 5, "{:?}", names(&folder.join("made")));
    assert_eq!(open_files(&folder.join("made")), [], "under umask {umask}");
    // The folder goes with it.
    let _setup = bridge.terminate();
    assert_eq!(open_files(&data), [], "after the stop, under umask {umask}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_leads_or_secrets_is_for_its_owner_alone_under_the_usual_umask() {
    only_for_the_owner("022").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_leads_or_secrets_is_for_its_owner_alone_under_no_umask_at_all() {
    only_for_the_owner("000").await;
}

/// Others are to read them: the program that picks them up, a person with a spreadsheet.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_rows_follow_the_umask() {
    let bridge = under("027").start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let drop = bridge.setup.drop_folder();
    let file = eventually("a finished file", async || names(&drop).into_iter().find(|name| name.ends_with(".csv"))).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&drop.join(file)), mode(&drop)), (0o640, 0o750));
}

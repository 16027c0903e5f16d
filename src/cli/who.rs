//! Who runs a command, for the trail of what people did.

use crate::store::NewAction;

/// What a command does, in the name of the system's user that runs it.
pub(super) fn acts(action: &'static str, target: &str, planned: usize, detail: String) -> NewAction {
    NewAction { who: name(), client: None, action, target: target.to_owned(), planned, detail, ..NewAction::default() }
}

/// `cli (anna)`: as the remark of what this user discards, too.
pub(super) fn name() -> String {
    format!("cli ({})", user().unwrap_or_else(|| "unknown".to_owned()))
}

/// As the system knows it. What the environment says anybody can set, and is only the second choice.
fn user() -> Option<String> {
    let said = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    #[cfg(unix)]
    let said = || id().map(|id| name_of(id).unwrap_or_else(|| format!("user {id}"))).or_else(said);
    said()
}

/// Of the user of this process. Its folder in `/proc` belongs to it.
#[cfg(unix)]
fn id() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|found| found.uid())
}

#[cfg(unix)]
fn name_of(id: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    find_user(&users, id).map(str::to_owned)
}

#[cfg(unix)]
fn find_user(users: &str, id: u32) -> Option<&str> {
    let id = id.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_user_is_known_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# odd line\nanna:x:1000:1000:Anna,,,:/home/anna:/bin/sh\n";
        assert_eq!((find_user(users, 0), find_user(users, 1000), find_user(users, 7)), (Some("root"), Some("anna"), None));
    }

    #[test]
    fn there_is_always_a_name() {
        assert!(name().starts_with("cli (") && name().len() > "cli ()".len());
    }
}

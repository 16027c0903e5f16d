//! A guard in each child's process group, which ends the group when the bridge is gone, however that came.
//!
//! A child of a bridge that was killed would live on if it does not read its standard input. No signal tells it: asking the kernel
//! for one takes code between fork and exec, which is unsafe. So a small shell waits at a pipe whose other end the bridge alone
//! holds. As a member of the group it keeps the group's number from being given to others, and ends with it.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

/// `$1` is the leader of the group. A line means that nothing is to be waited for; the end of the pipe means that the leader has
/// seen the end of its standard input too, and gets 5 seconds, then SIGTERM and 5 more.
const SCRIPT: &str = "trap '' TERM INT HUP
if ! read -r now; then
  second=0
  while kill -0 \"$1\" 2>/dev/null && [ $second -lt 10 ]; do
    [ $second -eq 5 ] && kill -TERM 0
    sleep 1
    second=$((second + 1))
  done
fi
kill -KILL 0";

/// How long a process is waited for that was killed, or whose guard was.
const KILLED: Duration = Duration::from_secs(2);
/// How long a guard is waited for that was told to end the group.
const ENDING: Duration = Duration::from_secs(3);

/// A child, the leader of its group, with its guard. Dropping it begins to end the group, with patience.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) child: Child,
    guard: Guard,
}

impl Group {
    /// Gives the child, the leader of a group, a guard.
    pub(crate) fn new(mut child: Child) -> Result<Self, String> {
        match child.id().ok_or_else(|| "it ended at once".to_owned()).and_then(Guard::join) {
            Ok(guard) => Ok(Self { child, guard }),
            Err(why) => {
                // Without a guard it could outlive the bridge.
                let _ = child.start_kill();
                Err(why)
            }
        }
    }

    /// Waits until the child has exited. `None` when it is the guard that has gone, so that nothing would end the child with the bridge.
    pub(crate) async fn ended(&mut self) -> Option<io::Result<ExitStatus>> {
        tokio::select! {
            biased;
            status = self.child.wait() => Some(status),
            // Whoever ends the whole group ends the guard too.
            _ = self.guard.shell.wait() => tokio::time::timeout(KILLED, self.child.wait()).await.ok(),
        }
    }

    /// Begins to end the group: the child, which has seen the end of its input, gets some seconds.
    pub(crate) fn release(&mut self) {
        self.guard.pipe = None;
    }

    /// Ends the group, whatever it is doing.
    pub(crate) async fn end(&mut self) {
        self.guard.end().await;
        if tokio::time::timeout(KILLED, self.child.wait()).await.is_ok() {
            return;
        }
        // The guard was killed or stopped. Until the child is waited for, the number of the group is its own, and another guard can join.
        if let Some(mut another) = self.child.id().and_then(|leader| Guard::join(leader).ok()) {
            another.end().await;
        }
        let _ = self.child.start_kill();
        let _ = tokio::time::timeout(KILLED, self.child.wait()).await;
    }
}

impl Drop for Group {
    /// A guard that lives gives the child its time, also when the bridge has gone; one that was killed does not.
    fn drop(&mut self) {
        if !matches!(self.guard.shell.try_wait(), Ok(None)) {
            let _ = self.child.start_kill();
        }
    }
}

/// Ends the whole group when it is dropped, with patience.
#[derive(Debug)]
struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Joins the group of the process with this id, its leader.
    fn join(leader: u32) -> Result<Self, String> {
        let group = i32::try_from(leader).map_err(|_| "its process id is no number of a group".to_owned())?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "leadwire-guard", &leader.to_string()]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(group);
        let mut shell = command.spawn().map_err(|error| format!("/bin/sh, which ends it with the bridge, cannot be started: {error}"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    async fn end(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A pipe that cannot be written to belongs to a shell that has gone.
            let _ = pipe.write_all(b"now\n").await;
        }
        let _ = tokio::time::timeout(ENDING, self.shell.wait()).await;
    }
}

//! A guard in each child's process group, which ends the group when the bridge is gone, however that came.
//!
//! A child of a bridge that was killed would live on if it does not read its standard input. No signal tells it: asking the kernel
//! for one takes code between fork and exec, which is unsafe. So a small shell waits at a pipe whose other end the bridge alone
//! holds. As a member of the group it keeps the group's number from being given to others, and ends with it.

use std::process::Stdio;
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

/// Ends the whole group when it is dropped, with patience.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Joins the group of the process with this id, its leader.
    pub(crate) fn join(leader: u32) -> Result<Self, String> {
        let group = i32::try_from(leader).map_err(|_| "its process id is no number of a group".to_owned())?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "leadwire-guard", &leader.to_string()]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(group);
        let mut shell = command.spawn().map_err(|error| format!("/bin/sh, which ends it with the bridge, cannot be started: {error}"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Begins to end the group: the leader, which has seen the end of its input, gets some seconds.
    pub(crate) fn release(&mut self) {
        self.pipe = None;
    }

    /// Ends the group, whatever it is doing.
    pub(crate) async fn end(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A pipe that cannot be written to belongs to a shell that has gone, and the group with it.
            let _ = pipe.write_all(b"now\n").await;
        }
        let _ = self.shell.wait().await;
    }
}

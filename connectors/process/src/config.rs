//! `[destinations.NAME]` of `type = "process"`: read, checked as a whole, ready to be built.

use crate::connector::Process;
use leadwire_connector::settings::{self, Fault, Origin, Secret, duration};
use leadwire_connector::{Build, BuildContext, Connector, Limits, Redactor};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Waiting for a place, starting and one request together stay below the five minutes that the bridge gives an attempt.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(120);
const START_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys as they are written. The README is their reference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The program and its arguments; no shell is involved.
    command: Vec<String>,
    /// The folder it is started in, relative to the working directory.
    directory: Option<PathBuf>,
    /// Its environment: these, `PATH`, and nothing else.
    #[serde(default)]
    env: BTreeMap<String, Secret>,
    /// How long it may take for one request. Default `"30s"`.
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    #[schemars(with = "Option<duration::Text>")]
    timeout: Option<Duration>,
    /// How long it may take to start. Default `"10s"`.
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    #[schemars(with = "Option<duration::Text>")]
    start_timeout: Option<Duration>,
    /// At which level of the log its standard error is seen. Default `"debug"`.
    #[serde(default)]
    stderr: Loudness,
}

/// At which level of the log the child's standard error is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Loudness {
    Off,
    #[default]
    Debug,
    Info,
    Warn,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) env: BTreeMap<String, Secret>,
    pub(crate) timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) stderr: Loudness,
}

/// What editors are told of the keys.
pub(crate) fn schema() -> Value {
    settings::schema::<Keys>()
}

/// Reads the keys; every fault at once.
pub(crate) fn parse(keys: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(settings::parse_and(keys, origin, Settings::new)?))
}

impl Settings {
    fn new(keys: Keys) -> Result<Self, Vec<Fault>> {
        let mut faults = keys.faults();
        match keys.command.split_first() {
            Some((program, arguments)) if faults.is_empty() => Ok(Self {
                program: program.clone(),
                arguments: arguments.to_vec(),
                directory: keys.directory,
                env: keys.env,
                timeout: keys.timeout.unwrap_or(TIMEOUT),
                start_timeout: keys.start_timeout.unwrap_or(START_TIMEOUT),
                stderr: keys.stderr,
            }),
            Some(_) => Err(faults),
            None => {
                faults.push(Fault::new(["command"], "the command is empty").with_help(EXAMPLE));
                Err(faults)
            }
        }
    }

    /// The program's file name, for messages. Never its arguments: a token may be among them.
    pub(crate) fn name(&self) -> String {
        let name = Path::new(&self.program).file_name();
        name.map_or_else(|| self.program.clone(), |name| name.to_string_lossy().into_owned())
    }

    /// What the child was given in confidence, which nothing that it says may repeat. A value that stands in the configuration
    /// itself is a secret by its name only. A value of several lines, such as a private key, may be repeated line by line.
    pub(crate) fn redactor(&self) -> Redactor {
        let is_secret = |(name, value): &(&String, &Secret)| !value.is_literal() || is_secret_name(name);
        let values = self.env.iter().filter(is_secret).map(|(_, value)| value.expose());
        Redactor::new(values.flat_map(|value| std::iter::once(value).chain(value.lines())))
    }
}

const EXAMPLE: &str = "write the program and its arguments, such as [\"python3\", \"connector.py\"]";

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "KEY", "PASS", "AUTH", "CREDENTIAL"].iter().any(|word| name.contains(word))
}

impl Keys {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.command.first().is_some_and(|program| program.trim().is_empty()) {
            faults.push(Fault::new(["command", "0"], "the program is empty").with_help(EXAMPLE));
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            faults.push(Fault::new(["command"], "a NUL cannot be in a command").with_help("take it out"));
        }
        if self.timeout.is_some_and(|timeout| !TIMEOUTS.contains(&timeout)) {
            faults.push(Fault::new(["timeout"], "a request takes \"100ms\" to \"120s\""));
        }
        if self.start_timeout.is_some_and(|timeout| !START_TIMEOUTS.contains(&timeout)) {
            faults.push(Fault::new(["start_timeout"], "a start takes \"100ms\" to \"60s\""));
        }
        faults.extend(self.env.iter().filter_map(|(name, value)| env_fault(name, value)));
        faults
    }
}

fn env_fault(name: &str, value: &Secret) -> Option<Fault> {
    let message = if name.is_empty() || name.contains(['=', '\0']) {
        "this is not the name of an environment variable"
    } else if value.expose().contains('\0') {
        "a NUL cannot be in an environment variable"
    } else {
        return None;
    };
    Some(Fault::new(["env", name], message).with_help("such as ACME_TOKEN = { env = \"ACME_TOKEN\" }"))
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(Process::new(self.clone(), context)))
    }

    /// The child says in its hello how many it takes at once; the others wait here.
    fn limits(&self) -> Limits {
        Limits { concurrency: 8, ..Limits::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::settings::Typed;
    use serde_json::json;

    fn read(keys: &Value) -> Result<Settings, Vec<Fault>> {
        settings::parse_and(keys.as_object().unwrap().clone(), &Typed, Settings::new)
    }

    #[test]
    fn a_command_is_all_that_is_needed() {
        let settings = read(&json!({"command": ["/usr/bin/python3", "connector.py", "--token=hunter22"]})).unwrap();
        assert_eq!((settings.name().as_str(), settings.timeout, settings.stderr), ("python3", TIMEOUT, Loudness::Debug));
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let places = |keys: Value| -> Vec<String> { read(&keys).unwrap_err().iter().map(|fault| fault.path.join(".")).collect() };
        assert_eq!(places(json!({"command": [], "timeout": "10m", "start_timeout": "1ms"})), ["timeout", "start_timeout", "command"]);
        assert_eq!(places(json!({"command": [" "], "env": {"A=B": "x", "C": "a\u{0}b"}})), ["command.0", "env.A=B", "env.C"]);
        assert_eq!(places(json!({"comand": ["x"]})), ["comand", "command"]);
        assert_eq!(places(json!({"command": ["x"], "stderr": "loud"})), ["stderr"]);
    }

    #[test]
    fn what_is_a_secret_by_its_name_or_its_place_is_masked() {
        let settings =
            read(&json!({"command": ["x"], "env": {"ACME_TOKEN": "0123456789", "MODE": "production", "PATHS": {"env": "PATH"}}})).unwrap();
        let path = std::env::var("PATH").unwrap();
        assert_eq!(settings.redactor().clean(&format!("0123456789 production {path}")), "•••• production ••••");
    }
}

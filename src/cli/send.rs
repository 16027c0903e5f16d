//! `leadwire send`: posts signed samples or own payloads once each, and prints the answers.

use super::near::{as_neighbour, nearby};
use super::show::{line, plain, table};
use super::{Context, Failure};
use crate::config::Settings;
use crate::simulate::{SampleKind, Samples, Sender, Try, write};
use crate::verify::{Form, SigningKey};
use bytes::Bytes;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use leadwire_connector::http::HttpSettings;
use leadwire_connector::settings::did_you_mean;
use leadwire_connector::text::truncate;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use url::Url;

const CONCURRENCY: usize = 16;
/// More answers than this are summed up instead of listed, and get a progress bar.
const LISTED: usize = 20;
const ANSWER_CHARACTERS: usize = 100;

/// Where to post, and how to sign.
#[derive(Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// The source to post to; not needed when the configuration has only one.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The webhook URL, where it is not the one of this machine's bridge.
    #[arg(long)]
    url: Option<Url>,
    /// The signing key, where it is not the source's first one.
    #[arg(long, env = "LEADWIRE_SIGNING_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Send no signature, whatever key there is.
    #[arg(long)]
    unsigned: bool,
    /// What is signed: the body's bytes, or what JSON.stringify(JSON.parse(body)) makes of them.
    #[arg(long, default_value = "raw", value_parser = forms())]
    form: Form,
}

fn forms() -> impl TypedValueParser<Value = Form> {
    PossibleValuesParser::new(["raw", "canonical"]).map(|word| if word == "raw" { Form::Raw } else { Form::Canonical })
}

impl TargetArgs {
    /// A sender for this target. The configuration is read only for what the arguments do not say.
    pub(super) fn sender(&self, context: &Context) -> Result<Sender, Failure> {
        let key = self.key.as_deref().filter(|_| !self.unsigned).map(SigningKey::new);
        let (url, key) = match &self.url {
            Some(url) if key.is_some() || self.unsigned => (url.clone(), key),
            _ => self.look_up(&context.settings()?, key)?,
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::Usage(format!("`{url}` is no web address; write one such as http://127.0.0.1:8080/hooks/NAME")));
        }
        // Where no URL was given, it is that of the listener here, unless only its public one is known.
        let is_near = self.url.is_none() && url.host_str().is_some_and(|host| host.parse::<IpAddr>().is_ok() || host.starts_with('['));
        let settings = HttpSettings::default();
        let settings = if is_near { as_neighbour(settings) } else { settings };
        Sender::by(url, key, self.form, &settings).map_err(Failure::Failed)
    }

    fn look_up(&self, settings: &Settings, key: Option<SigningKey>) -> Result<(Url, Option<SigningKey>), Failure> {
        let name = self.source_name(settings)?;
        let url = self.url.clone().map_or_else(|| hook(settings, name), Ok)?;
        if key.is_some() || self.unsigned {
            return Ok((url, key));
        }
        let keys = settings.sources.get(name).map(|source| source.signing_keys.as_slice()).unwrap_or_default();
        let key = keys.first().ok_or_else(|| {
            Failure::Failed(format!(
                "the source `{name}` has no signing key yet; give one with `--key`, or post without a signature with `--unsigned`"
            ))
        })?;
        Ok((url, Some(SigningKey::new(key.expose()))))
    }

    fn source_name<'a>(&'a self, settings: &'a Settings) -> Result<&'a str, Failure> {
        let known: Vec<&str> = settings.sources.keys().map(String::as_str).collect();
        match (&self.source, known.as_slice()) {
            (Some(name), known) if known.contains(&name.as_str()) => Ok(name),
            (Some(name), known) => Err(Failure::Usage(format!("there is no source `{name}`; {}", did_you_mean(name, known)))),
            (None, [only]) => Ok(only),
            (None, []) => {
                Err(Failure::Usage("the configuration has no source; add one, `[sources.NAME]`, or give `--url` and `--key`".to_owned()))
            }
            (None, known) => Err(Failure::Usage(format!("which source? Add `--source` with one of {}", known.join(", ")))),
        }
    }
}

/// The source's URL at the bridge of this machine.
pub(super) fn hook(settings: &Settings, source: &str) -> Result<Url, Failure> {
    let listen = nearby(settings.server.listen);
    let base = match &settings.server.public_url {
        Some(public) if listen.port() == 0 => public.as_str().trim_end_matches('/').to_owned(),
        None if listen.port() == 0 => {
            return Err(Failure::Usage(
                "the bridge listens on a port that only it knows (port 0); give its address with `--url`".to_owned(),
            ));
        }
        _ => format!("{}://{listen}", settings.server.scheme()),
    };
    Url::parse(&format!("{base}/hooks/{source}"))
        .map_err(|error| Failure::Failed(format!("`{base}/hooks/{source}` is no address: {error}")))
}

#[derive(Debug, clap::Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// A body of your own, as it is; `-` reads standard input. May be repeated.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "seed"])]
    file: Vec<PathBuf>,
    /// How many samples, or how often each file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// What the samples are.
    #[arg(long, value_enum, default_value_t)]
    kind: SampleKind,
    /// The same seed makes the same people.
    #[arg(long)]
    seed: Option<u64>,
}

pub(super) async fn run(args: SendArgs, context: &Context) -> Result<(), Failure> {
    let sender = args.target.sender(context)?;
    let mut files = args.file.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    let tries = if files.is_empty() {
        let mut samples = Samples::start(args.seed);
        let bodies = (0..count).map(|_| (args.kind.as_str().to_owned(), write(&samples.make(args.kind, Timestamp::now()), sender.form)));
        post_all(&sender, bodies, count).await
    } else {
        let total = count.saturating_mul(files.len());
        let bodies = std::iter::repeat_n(std::mem::take(&mut files), count).flatten();
        post_all(&sender, bodies, total).await
    };
    report(&tries, &sender.url, context)
}

fn read(path: &Path) -> Result<(String, Bytes), Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    bytes.map(|bytes| (name, bytes.into())).map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))
}

/// What was posted and what came of it, in the order of the answers.
async fn post_all(sender: &Sender, bodies: impl Iterator<Item = (String, Bytes)>, total: usize) -> Vec<(String, Try)> {
    let progress = progress(total);
    let posted = bodies.map(|(what, body)| async move {
        let tried = sender.post(&body, 1).await;
        (what, tried)
    });
    let posted = futures_util::stream::iter(posted).buffer_unordered(CONCURRENCY).inspect(|_| progress.inc(1));
    let tries = posted.collect().await;
    progress.finish_and_clear();
    tries
}

/// To standard error, and only where it is a terminal.
fn progress(total: usize) -> ProgressBar {
    if total <= LISTED {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left");
    ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX)).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(tries: &[(String, Try)], url: &Url, context: &Context) -> Result<(), Failure> {
    let taken = tries.iter().filter(|(_, tried)| tried.success).count();
    if context.json {
        let list: Vec<_> = tries.iter().map(|(what, tried)| json!({"what": what, "try": tried})).collect();
        context.print_json(&json!({"url": url, "sent": tries.len(), "success": taken, "answers": list}))?;
    } else if tries.len() <= LISTED {
        table(&["sent", "status", "answer", "ms", "taken"], tries.iter().map(row).collect(), "nothing was sent")?;
    } else {
        table(&["times", "status", "answer", "median ms", "slowest ms", "taken"], groups(tries), "nothing was sent")?;
    }
    if taken == tries.len() {
        return Ok(());
    }
    if !context.json {
        line(&format!("{} of {} were not taken as success by {url}", tries.len() - taken, tries.len()))?;
    }
    Err(Failure::Silent)
}

fn row((what, tried): &(String, Try)) -> Vec<String> {
    vec![what.clone(), status(tried), answer(tried), format!("{:.1}", tried.milliseconds), yes(tried.success)]
}

fn status(tried: &Try) -> String {
    tried.status.map_or_else(|| "none".to_owned(), |status| status.to_string())
}

/// What the far end sent is only shown cut, and without what could steer the terminal.
fn answer(tried: &Try) -> String {
    plain(&truncate(tried.told(), ANSWER_CHARACTERS))
}

fn yes(success: bool) -> String {
    if success { "yes" } else { "no" }.to_owned()
}

/// One row for each different answer, the most frequent first.
fn groups(tries: &[(String, Try)]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(String, String, bool), Vec<f64>> = BTreeMap::new();
    for (_, tried) in tries {
        groups.entry((status(tried), answer(tried), tried.success)).or_default().push(tried.milliseconds);
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, times)| std::cmp::Reverse(times.len()));
    let show = |((status, answer, success), mut times): ((String, String, bool), Vec<f64>)| {
        times.sort_by(f64::total_cmp);
        let at = |index: usize| format!("{:.1}", times.get(index).copied().unwrap_or_default());
        vec![times.len().to_string(), status, answer, at(times.len() / 2), at(times.len().saturating_sub(1)), yes(success)]
    };
    rows.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::connectors::Connectors;

    fn settings(text: &str) -> Settings {
        crate::config::parse(Path::new("test.toml"), text, &Connectors::default(), std::iter::empty()).unwrap()
    }

    fn target() -> TargetArgs {
        TargetArgs { source: None, url: None, key: None, unsigned: false, form: Form::Raw }
    }

    fn told(result: Result<(Url, Option<SigningKey>), Failure>) -> String {
        match result {
            Ok((url, key)) => format!("{url} {}", if key.is_some() { "signed" } else { "unsigned" }),
            Err(Failure::Usage(message) | Failure::Failed(message)) => message,
            Err(Failure::Silent | Failure::Unread) => String::new(),
        }
    }

    fn tried(status: u16, milliseconds: f64) -> (String, Try) {
        let success = status == 200;
        let answer = Some(format!("{{\"status\":\"{}\"}}", if success { "success" } else { "error" }));
        ("lead".to_owned(), Try { number: 1, success, status: Some(status), answer, error: None, milliseconds })
    }

    #[test]
    fn the_only_source_is_meant_when_none_is_named() {
        let one = settings("[sources.acme]\nsigning_keys = [\"k\"]\n");
        assert_eq!(told(target().look_up(&one, None)), "http://127.0.0.1:8080/hooks/acme signed");
        let two = settings("[sources.acme]\nsigning_keys = [\"k\"]\n[sources.beta]\nsigning_keys = [\"k\"]\n");
        assert!(told(target().look_up(&two, None)).contains("acme, beta"));
        let wrong = TargetArgs { source: Some("acne".to_owned()), ..target() };
        assert_eq!(told(wrong.look_up(&two, None)), "there is no source `acne`; did you mean `acme`?");
    }

    #[test]
    fn a_source_without_a_key_says_so_unless_nothing_is_to_be_signed() {
        let settings = settings("[server]\nlisten = \"0.0.0.0:9\"\n[sources.acme]\n");
        assert!(told(target().look_up(&settings, None)).contains("no signing key yet"));
        let unsigned = TargetArgs { unsigned: true, ..target() };
        assert_eq!(told(unsigned.look_up(&settings, None)), "http://127.0.0.1:9/hooks/acme unsigned");
        assert_eq!(told(target().look_up(&settings, Some(SigningKey::new("k")))), "http://127.0.0.1:9/hooks/acme signed");
    }

    #[test]
    fn a_port_that_only_the_bridge_knows_needs_a_url() {
        let hidden = settings("[server]\nlisten = \"127.0.0.1:0\"\n[sources.acme]\nsigning_keys = [\"k\"]\n");
        assert!(told(target().look_up(&hidden, None)).contains("--url"));
        let public =
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://leads.example.com/\"\n[sources.acme]\nsigning_keys = [\"k\"]\n";
        assert_eq!(told(target().look_up(&settings(public), None)), "https://leads.example.com/hooks/acme signed");
    }

    #[test]
    fn many_answers_are_summed_up_by_what_they_say() {
        let tries = [tried(503, 9.0), tried(200, 3.0), tried(200, 1.0), tried(200, 2.0)];
        let rows = groups(&tries);
        assert_eq!(rows[0], ["3", "200", "{\"status\":\"success\"}", "2.0", "3.0", "yes"]);
        assert_eq!(rows[1], ["1", "503", "{\"status\":\"error\"}", "9.0", "9.0", "no"]);
    }
}

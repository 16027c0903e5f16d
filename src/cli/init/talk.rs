//! The questions, for those who gave no flags.

use super::InitArgs;
use super::plan::{Plan, Wanted, keys_of, known_kind};
use crate::cli::{Context, Failure};
use crate::config::Settings;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Asks for everything.
///
/// # Errors
/// `Usage` when there is nobody to ask.
pub(super) fn ask(args: &InitArgs, known: Option<&Settings>, context: &Context) -> Result<Plan, Failure> {
    if !std::io::stdin().is_terminal() {
        let how = "there is nobody to ask; say it by flags, such as --source acme --destination archive=csv --set archive.directory=drop";
        return Err(Failure::Usage(how.to_owned()));
    }
    let mut plan =
        Plan { listen: Some(args.listen), public_url: args.public_url.clone(), country: args.country.clone(), ..Plan::default() };
    if known.is_none() && plan.public_url.is_none() {
        let url = question("How does the platform reach this machine (https://…; empty when that is not known yet)?")?;
        plan.public_url =
            if url.is_empty() { None } else { Some(url.parse().map_err(|_| Failure::Usage(format!("`{url}` is no web address")))?) };
    }
    while let Some(name) =
        one_of("A source: a name for the chatbot's webhook, such as acme (empty: no more)?", plan.sources.len(), known.is_none())?
    {
        let key = question(&format!("The Sign Key of {name} (empty when the platform has not shown it yet)?"))?;
        if !key.is_empty() {
            plan.keys.insert(name.clone(), key);
        }
        plan.sources.push(name);
    }
    let kinds = context.connectors.names().join(", ");
    while let Some(kind) = one_of(&format!("A destination: {kinds} (empty: no more)?"), plan.destinations.len(), known.is_none())? {
        known_kind(&kind, context)?;
        plan.destinations.push(destination(&kind, context)?);
    }
    Ok(plan)
}

fn destination(kind: &str, context: &Context) -> Result<Wanted, Failure> {
    let name = question(&format!("A name for it (empty: {kind})?"))?;
    let mut wanted = Wanted { name: if name.is_empty() { kind.to_owned() } else { name }, kind: kind.to_owned(), ..Wanted::default() };
    let schema = keys_of(kind, context);
    let required = schema["required"].as_array().into_iter().flatten().filter_map(|key| key.as_str());
    let token = schema["properties"].get("token").map(|_| "token");
    for key in required.chain(token.filter(|key| !schema["required"].to_string().contains(key))) {
        let about = schema["properties"][key]["description"].as_str().unwrap_or_default();
        let value = question(&format!("{key}: {about}"))?;
        if !value.is_empty() {
            wanted.settings.insert(key.to_owned(), value);
        }
    }
    Ok(wanted)
}

/// A further one. A new file needs at least one.
fn one_of(text: &str, count: usize, is_new: bool) -> Result<Option<String>, Failure> {
    loop {
        let answer = question(text)?;
        match answer.is_empty() {
            true if count == 0 && is_new => question("One is needed; press Enter to be asked again.").map(drop)?,
            true => return Ok(None),
            false => return Ok(Some(answer)),
        }
    }
}

fn question(text: &str) -> Result<String, Failure> {
    write!(std::io::stderr(), "{text} ").map_err(|_| Failure::Silent)?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).map_err(|_| Failure::Silent)?;
    // The end of the input is no answer, and is not asked again.
    if read == 0 {
        Err(Failure::Failed("nothing was written: the questions were not answered".to_owned()))
    } else {
        Ok(answer.trim().to_owned())
    }
}

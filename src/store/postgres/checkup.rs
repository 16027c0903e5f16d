//! Whether the server can do its work.

use super::connect::Target;
use super::{column, execute, query_opt, schema};
use crate::store::{Checkup, Error, Result};
use deadpool_postgres::Object;
use std::time::{Duration, Instant};

/// Commits that are timed.
const COMMITS: usize = 5;

pub(in crate::store) async fn check_up(url: &str) -> Checkup {
    let mut checkup = Checkup::new("postgres", super::name_of(url), schema::NEWEST);
    let client = match connect(url).await {
        Ok(client) => client,
        Err(error) => {
            checkup.schema = Err(error);
            return checkup;
        }
    };
    checkup.schema = read_schema(&client).await;
    checkup.waits_for_disk = waits_for_disk(&client).await.unwrap_or(true);
    if checkup.is_current() {
        let commits = time_commits(&client).await;
        checkup.writing = Some(commits.as_ref().map(drop).map_err(Clone::clone));
        checkup.syncs = commits.is_ok().then_some(commits);
    }
    checkup
}

async fn connect(url: &str) -> Result<Object> {
    let target = Target::parse(url)?;
    let pool = target.pool()?;
    pool.get().await.map_err(|error| target.explain(&error))
}

async fn read_schema(client: &Object) -> Result<Option<usize>> {
    let known = query_opt(client, "SELECT to_regclass('leadwire_schema') IS NOT NULL", &[]).await?;
    if !known.map_or(Ok(false), |row| column(&row, 0))? {
        return Ok(None);
    }
    let version = schema::read_version(client).await?;
    if version > schema::NEWEST {
        return Err(Error::Refused(format!(
            "the store has schema {version}, and this program knows up to {}; use the version of Leadwire that wrote it, or a later one",
            schema::NEWEST
        )));
    }
    Ok((version > 0).then_some(version))
}

async fn waits_for_disk(client: &Object) -> Result<bool> {
    let row = query_opt(client, "SELECT current_setting('fsync') = 'on'", &[]).await?;
    row.map_or(Ok(true), |row| column(&row, 0))
}

/// Commits that move nothing but a counter made for that.
async fn time_commits(client: &Object) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..COMMITS {
        let start = Instant::now();
        execute(client, "UPDATE pulse SET beats = beats + 1", &[]).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

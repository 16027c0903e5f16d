//! The contract of the store, told once and held by every engine: stories by subject, and generated sequences of operations that are
//! compared with a small model in memory (`generated.rs`; `LEADWIRE_TEST_CASES` is how many, `LEADWIRE_TEST_SEED` repeats a run).

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

#[path = "../support/postgres.rs"]
mod postgres;

/// Makes a test for each engine of each of these stories, which are `async fn story(stage: Stage)`.
macro_rules! on_every_engine {
    ($($story:ident),+ $(,)?) => {
        on_every_engine!(@ sqlite Sqlite $($story)+);
        on_every_engine!(@ postgres Postgres $($story)+);
    };
    (@ $module:ident $engine:ident $($story:ident)+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    super::$story(crate::stage::Stage::open(crate::stage::Engine::$engine).await).await;
                }
            )+
        }
    };
}

mod acts;
mod alerts;
mod backlog;
mod clock;
mod contention;
mod generated;
mod holds;
mod keeping;
mod leases;
mod logout;
mod million;
mod model;
mod moving;
mod order;
mod person;
mod plans;
mod quarantine;
mod receipts;
mod receiving;
mod search;
mod server;
mod stage;
mod tally;
mod text;
mod tokens;
mod words;

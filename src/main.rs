//! The `leadwire` binary. A binary with more connectors differs from this one by `.with(my_connector::KIND)`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    leadwire::cli::run(leadwire::connectors::builtin())
}

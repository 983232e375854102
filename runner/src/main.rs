//! Entry point; everything is in [`runner::cli`].

fn main() -> std::process::ExitCode {
    runner::cli::main()
}

//! Tries to leave its sandbox with what every component has. Says what it got in its outputs.

use runner_sdk::{Failure, Step, context, log, secrets};
use std::hint::black_box;
use std::net::ToSocketAddrs;

/// What to try.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// Name of the attack.
    attack: String,
    /// What it is aimed at.
    #[serde(default)]
    target: String,
}

/// What it got.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    got: String,
}

struct Hostile;

impl Step for Hostile {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Tries to leave its sandbox.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(Params { attack, target }: Params) -> Result<Outputs, Failure> {
        let got = match attack.as_str() {
            "loop" => loop {
                black_box(());
            },
            "sleep" => {
                context::sleep(u64::MAX)?;
                "woke up".to_owned()
            }
            "deaf-sleep" => {
                // WASI's own timer knows nothing of cancellation.
                std::thread::sleep(std::time::Duration::from_hours(1));
                "woke up".to_owned()
            }
            "memory" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(black_box(vec![1; 16 << 20]));
                }
            }
            "stack" => deeper(1).to_string(),
            "panic" => panic!("on purpose"),
            "outputs" => "x".repeat(2 << 20),
            "log" => {
                let line = "x".repeat(1 << 20);
                for _ in 0..400 {
                    log::output(line.as_bytes());
                }
                "flooded".to_owned()
            }
            "escape-codes" => {
                log::info("\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[1A✔ run 1 passed");
                "written".to_owned()
            }
            "read" => std::fs::read_to_string(&target).map_err(refused)?,
            "write" => std::fs::write(&target, "owned").map(|()| "written".to_owned()).map_err(refused)?,
            "list" => {
                let entries = std::fs::read_dir(&target).map_err(refused)?;
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            }
            "link" => {
                let (from, to) = target.split_once(' ').unwrap_or_default();
                std::fs::hard_link(from, to).map_err(refused)?;
                std::fs::read_to_string(to).map_err(refused)?
            }
            "environment" => std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(","),
            "env" => context::env(&target).unwrap_or_else(|| "nothing".to_owned()),
            "connect" => std::net::TcpStream::connect(&target).map(|_| "connected".to_owned()).map_err(refused)?,
            "listen" => std::net::TcpListener::bind(&target).map(|_| "listening".to_owned()).map_err(refused)?,
            "resolve" => {
                let mut addresses = (target.as_str(), 80).to_socket_addrs().map_err(refused)?;
                addresses.next().map(|address| address.to_string()).unwrap_or_default()
            }
            "secret" => secrets::open(&target)?.reveal()?,
            "print-secret" => {
                let secret = secrets::open(&target)?.reveal()?;
                let (first, second) = secret.split_at(secret.len() / 2);
                log::output(first.as_bytes());
                log::output(second.as_bytes());
                log::output(b"\n");
                "printed".to_owned()
            }
            "handles" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(secrets::open(&target)?);
                }
            }
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

#[expect(unconditional_recursion, reason = "this is the attack")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    deeper(depth + 1) + frame[usize::from(black_box(1u8))]
}

fn refused(error: std::io::Error) -> Failure {
    Failure::new(format!("refused: {error}"))
}

runner_sdk::export_step!(Hostile);

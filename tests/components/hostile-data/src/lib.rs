//! Abuses the run's meta-data and artifacts: keys, values, paths and files that are not its own, and secrets in them.

use runner_sdk::annotations::{self, Annotation, Style};
use runner_sdk::{Context, Failure, Step, artifacts, log, meta_data, secrets};
use std::io::Write;

/// What to try.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// Name of the verb.
    attack: String,
    /// Key or path.
    target: String,
    /// Bytes of the value or content.
    #[serde(default)]
    size: usize,
}

/// What it got.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    got: String,
}

struct Hostile;

impl Step for Hostile {
    const NAME: &'static str = "hostile-data";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Abuses meta-data, artifacts and annotations.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(Params { attack, target, size }: Params) -> Result<Outputs, Failure> {
        let got = match attack.as_str() {
            "set" => {
                meta_data::set(&target, &"x".repeat(size))?;
                meta_data::get(&target)?
            }
            "get" => meta_data::get(&target)?,
            "keys" => meta_data::keys()?.join(","),
            "store" => artifacts::store(&target, &vec![0; size])?.path,
            "upload" => artifacts::upload(&target)?.path,
            "fetch" => String::from_utf8_lossy(&artifacts::fetch(&target)?).into_owned(),
            "download" => {
                artifacts::store("a", b"x")?;
                artifacts::download("a", &target)?.path
            }
            "annotate" => {
                let body = "x".repeat(size);
                let annotation = Annotation { context: target, style: Style::Error, body, extras: Vec::new() };
                annotations::annotate(&annotation)?;
                "annotated".to_owned()
            }
            "annotations" => {
                for number in 0..size {
                    let context = format!("{target}{number}");
                    let annotation =
                        Annotation { context, style: Style::Info, body: String::new(), extras: Vec::new() };
                    annotations::annotate(&annotation)?;
                }
                "annotated".to_owned()
            }
            "leak" => leak(&secrets::open(&target)?.reveal()?)?,
            "leak-failure" => {
                let secret = secrets::open(&target)?.reveal()?;
                let failure = Failure::new(format!("cannot log in with {secret}"));
                return Err(failure.remedy(format!("Try {} again.", hex(&secret))));
            }
            "all" => artifacts::all()?.len().to_string(),
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

/// Writes a secret wherever something is kept; says what was refused.
fn leak(secret: &str) -> Result<String, Failure> {
    for piece in secret.as_bytes().chunks(3) {
        log::output(piece);
    }
    log::output(format!("\n{}\n", hex(secret)).as_bytes());
    log::info(&format!("in the middle: a{secret}z"));
    writeln!(std::io::stdout(), "{secret}").context("write to standard output")?;
    log::group(secret);
    meta_data::set("leak", &format!("value {secret} {}", hex(secret)))?;
    let (context, body) = (format!("leak {secret}"), format!("<b>{secret}</b> {}", hex(secret)));
    annotations::annotate(&Annotation { context, style: Style::Info, body, extras: Vec::new() })?;
    let refused = [
        meta_data::set(&format!("key-{secret}"), "x").err().map(|error| Failure::from(error).message),
        artifacts::store(&format!("a/{secret}"), b"x").err().map(|error| Failure::from(error).message),
    ];
    let refused: Vec<String> = refused.into_iter().flatten().collect();
    Ok(format!("{} refused, {secret}: {}", refused.len(), refused.join(", ")))
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

runner_sdk::export_step!(Hostile);

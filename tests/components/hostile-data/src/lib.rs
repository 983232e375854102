//! Abuses the run's meta-data and artifacts: keys, values, paths and files that are not its own.

use runner_sdk::annotations::{self, Annotation, Style};
use runner_sdk::{Failure, Step, artifacts, meta_data};

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
            "all" => artifacts::all()?.len().to_string(),
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

runner_sdk::export_step!(Hostile);

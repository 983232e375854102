//! Embeds the built-in step components with their digests. They are built by `make steps`, for another target, and
//! not from here: building inside a build makes every `cargo check` pay for it.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The built-in components; each is a crate of this name in `steps/`.
const BUILT_IN: [&str; 7] =
    ["artifacts", "command", "compose-test", "deploy", "docker-run", "docker-tag", "junit-annotate"];

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let steps = manifest.join("../steps/target/wasm32-wasip2/release");
    let mut table = String::from("&[\n");
    for name in BUILT_IN {
        let file = steps.join(format!("{}.wasm", name.replace('-', "_")));
        println!("cargo::rerun-if-changed={}", file.display());
        let Ok(wasm) = fs::read(&file) else {
            println!("cargo::error=the step component `{name}` is not built: run `make steps` first");
            return Ok(());
        };
        let digest = format!("sha256:{:x}", Sha256::digest(&wasm));
        let path = fs::canonicalize(&file)?.display().to_string();
        let version = version(&manifest.join("../steps/Cargo.toml"))?;
        let entry = format!(
            "    BuiltIn {{ name: {name:?}, version: {version:?}, digest: {digest:?}, wasm: include_bytes!({path:?}) }},"
        );
        writeln!(table, "{entry}").map_err(io::Error::other)?;
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("built_in.rs"), table)
}

/// The version all built-in components share: `workspace.package.version` of their workspace.
fn version(manifest: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", manifest.display());
    let text = fs::read_to_string(manifest)?;
    let line = text.lines().find_map(|line| line.strip_prefix("version = "));
    let version = line.map(|version| version.trim_matches('"').to_owned());
    version.ok_or_else(|| io::Error::other(format!("{} has no version", manifest.display())))
}

//! The components that come with the runner.

/// A component embedded in the binary.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Its semantic version.
    pub version: &'static str,
    /// `sha256:` and 64 hex digits of its bytes.
    pub digest: &'static str,
    /// The component itself.
    pub wasm: &'static [u8],
}

/// Every built-in component, by name.
#[must_use]
pub fn built_in() -> &'static [BuiltIn] {
    include!(concat!(env!("OUT_DIR"), "/built_in.rs"))
}

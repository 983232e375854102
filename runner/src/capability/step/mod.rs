//! Log, context, meta-data, artifacts and secrets.
/// A secret.
#[derive(Debug)]
pub struct Secret;

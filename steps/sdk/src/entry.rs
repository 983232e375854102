//! The typed side of the contract's exports.

use crate::bindings::exports::runner::step::entry::{Description, Guest};
use crate::bindings::runner::step::types;
use crate::{Failure, Needs};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// A step component.
pub trait Step {
    /// Lower-case letters, digits and `-`.
    const NAME: &'static str;
    /// Semantic version.
    const VERSION: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// What `with` holds in the pipeline. Its doc comments become the schema's descriptions.
    type Params: DeserializeOwned + JsonSchema;
    /// What later jobs read as `{{ steps.KEY.outputs.NAME }}`.
    type Outputs: Serialize + JsonSchema;

    /// The grants a run with these parameters will ask for. Asked with nothing granted, while planning and before
    /// the run; parameters listed in `unknown` hold the text that refers to another job's output.
    fn needs(_params: &Self::Params, _unknown: &Unknown) -> Result<Needs, Failure> {
        Ok(Needs::new())
    }

    /// Does the work.
    fn run(params: Self::Params) -> Result<Self::Outputs, Failure>;
}

/// Which parameters are not known yet, as JSON Pointers (RFC 6901).
#[derive(Debug, Clone, Default)]
pub struct Unknown(pub Vec<String>);

impl Unknown {
    /// Whether the parameter at this JSON Pointer, or a part of it, is not known yet.
    pub fn contains(&self, pointer: &str) -> bool {
        self.0.iter().any(|unknown| {
            unknown == pointer || unknown.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// Turns a [`Step`] into the contract's exports; used by [`export_step!`](crate::export_step).
#[doc(hidden)]
pub struct Adapter<S>(PhantomData<S>);

impl<S: Step> Guest for Adapter<S> {
    fn describe() -> Description {
        Description {
            name: S::NAME.to_owned(),
            version: S::VERSION.to_owned(),
            summary: S::SUMMARY.to_owned(),
            params_schema: schema_of::<S::Params>(),
            outputs_schema: schema_of::<S::Outputs>(),
            extras: Vec::new(),
        }
    }

    fn needs(params: String, unknown: Vec<String>) -> Result<String, types::Failure> {
        let unknown = Unknown(unknown);
        match parse::<S::Params>(&params) {
            Ok(params) => Ok(S::needs(&params, &unknown).map_err(Failure::into_guest)?.to_json()),
            // A parameter of another type than text cannot be read before it is known; it is asked again then.
            Err(_) if !unknown.0.is_empty() => Ok(Needs::new().to_json()),
            Err(failure) => Err(failure.into_guest()),
        }
    }

    fn run(params: String) -> Result<String, types::Failure> {
        let outputs = parse(&params).and_then(S::run).map_err(Failure::into_guest)?;
        serde_json::to_string(&outputs)
            .map_err(|error| Failure::new(format!("the outputs cannot be written as JSON: {error}")).into_guest())
    }
}

fn parse<P: DeserializeOwned>(params: &str) -> Result<P, Failure> {
    serde_json::from_str(params).map_err(|error| {
        Failure::new(format!("the parameters are not what this component expects: {error}"))
            .remedy("Compare `with` in the pipeline with the component's parameters.")
    })
}

fn schema_of<T: JsonSchema>() -> String {
    schemars::schema_for!(T).as_value().to_string()
}

/// Exports a [`Step`] as the component of this crate.
#[macro_export]
macro_rules! export_step {
    ($step:ty) => {
        $crate::bindings::export_bindings!(__RunnerStep with_types_in $crate::bindings);
        type __RunnerStep = $crate::Adapter<$step>;
    };
}

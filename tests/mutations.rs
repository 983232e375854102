//! Real pipelines, damaged at random: whatever comes in, the parser answers, and every place it names is in the text.

use crate::corpus::corpus;
use proptest::prelude::*;
use runner::pipeline::condition::{Condition, Context, Scope};
use runner::pipeline::lint::lint;
use runner::pipeline::{CommandStep, Diagnostic, Env, Parsed, Precedence, Source, Span, Step, StepKind, parse_all};
use std::path::Path;

/// What breaks parsers, in YAML and in the languages within it.
const TOKENS: [&str; 30] = [
    "*a",
    "&a ",
    "<<: *a",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "? ",
    "\n",
    "  ",
    "\t",
    "\"",
    "'",
    "|\n",
    ">\n",
    "${",
    "${A:-",
    "é",
    "\u{feff}",
    "~",
    "!!int ",
    "---\n",
    "{{matrix}}",
    "matrix:",
    "type: ",
    "if: ",
    "2020-01-01",
    "\u{85}",
];

/// One change to a text; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Damage {
    Insert { at: usize, token: usize },
    Remove { at: usize, length: usize },
    Repeat { at: usize, length: usize },
    Set { at: usize, byte: u8 },
}

fn damages() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
    prop_oneof![
        (place.clone(), 0..TOKENS.len()).prop_map(|(at, token)| Damage::Insert { at, token }),
        (place.clone(), 0usize..20).prop_map(|(at, length)| Damage::Remove { at, length }),
        (place.clone(), 0usize..40).prop_map(|(at, length)| Damage::Repeat { at, length }),
        (place, any::<u8>()).prop_map(|(at, byte)| Damage::Set { at, byte }),
    ]
}

impl Damage {
    fn apply(&self, text: &mut Vec<u8>) {
        let place = |at: usize, text: &[u8]| at % (text.len() + 1);
        match self {
            Self::Insert { at, token } => {
                let at = place(*at, text);
                text.splice(at..at, TOKENS[*token].bytes());
            }
            Self::Remove { at, length } => {
                let at = place(*at, text);
                text.drain(at..(at + length).min(text.len()));
            }
            Self::Repeat { at, length } => {
                let at = place(*at, text);
                let copy = text[at..(at + length).min(text.len())].to_vec();
                text.splice(at..at, copy);
            }
            Self::Set { at, byte } => {
                let at = place(*at, text);
                if let Some(place) = text.get_mut(at) {
                    *place = *byte;
                }
            }
        }
    }
}

/// Small real pipelines, and the hand-written edge cases.
fn seeds(corpus: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for directory in ["", "docs-examples", "pipeline-schema-valid-pipelines"] {
        for entry in std::fs::read_dir(corpus.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yml") {
                seeds.push(std::fs::read(path).unwrap());
            }
        }
    }
    seeds.retain(|seed| seed.len() < 6000);
    seeds.sort();
    let edges = std::fs::read_to_string(corpus.join("vectors/parser-edge.json")).unwrap();
    let edges: serde_json::Value = serde_json::from_str(&edges).unwrap();
    seeds.extend(edges["cases"].as_array().unwrap().iter().map(|case| case["yaml"].as_str().unwrap().into()));
    seeds
}

#[test]
fn damaged_pipelines() {
    let Some(corpus) = corpus() else { return };
    let seeds = seeds(&corpus);
    let config = ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (any::<prop::sample::Index>(), proptest::collection::vec(damages(), 1..7));
    let outcome = proptest::test_runner::TestRunner::new(config).run(&inputs, |(seed, damages)| {
        let mut text = seed.get(&seeds).clone();
        for damage in &damages {
            damage.apply(&mut text);
        }
        read_all_of_it(&text);
        Ok(())
    });
    outcome.unwrap();
}

/// Takes a text through every stage that needs nothing from outside.
fn read_all_of_it(text: &[u8]) {
    let Ok(source) = Source::from_bytes("pipeline.yml", text) else { return };
    let places = Places(&source);
    places.check(&lint(&source, &Env::default()).join(Vec::new()));
    let parsed = match parse_all(&source) {
        Ok(parsed) => parsed,
        Err(finding) => return places.check(&[finding]),
    };
    for Parsed { mut pipeline, warnings } in parsed {
        places.check(&warnings);
        assert!(pipeline.to_json().is_object());
        let mut env: Env = [("A", "é"), ("BUILDKITE_COMMIT", "1adf"), ("CI", "true")].into_iter().collect();
        if let Err(finding) = pipeline.interpolate(&mut env, Precedence::Pipeline) {
            places.check(&[finding]);
            continue;
        }
        places.check(&pipeline.attributes().err().unwrap_or_default());
        places.steps(&pipeline.steps);
        let planned = runner::plan::build(&pipeline, "pipeline.yml", &runner::plan::BuildContext::default());
        places.check(&planned.map_or_else(|errors| errors, |(_, warnings)| warnings));
    }
}

/// The text that findings have to point into.
struct Places<'a>(&'a Source);

impl Places<'_> {
    fn check(&self, findings: &[Diagnostic]) {
        findings.iter().filter_map(|finding| finding.span).for_each(|span| self.check_span(span));
    }

    fn check_span(&self, span: Span) {
        assert!(self.0.text.get(span.start..span.end).is_some(), "{span:?} is not in the text");
        assert!(self.0.position(span.start) <= self.0.position(span.end));
    }

    fn steps(&self, steps: &[Step]) {
        for step in steps {
            self.check_span(step.span);
            let findings = match &step.kind {
                StepKind::Command(command) => self.command(command),
                StepKind::Wait(wait) => wait.wait_attributes().err(),
                StepKind::Input(input) => input.input_attributes().err(),
                StepKind::Trigger(trigger) => trigger.trigger_attributes(step.span).err(),
                StepKind::Group(group) => {
                    self.steps(&group.steps);
                    group.attributes().err()
                }
                StepKind::Unknown(_) => None,
            };
            self.check(&findings.unwrap_or_default());
        }
    }

    fn command(&self, command: &CommandStep) -> Option<Vec<Diagnostic>> {
        if let Some(matrix) = &command.matrix {
            match matrix.permutations() {
                Ok(permutations) => {
                    for permutation in permutations {
                        self.check(&command.for_permutation(&permutation).err().into_iter().collect::<Vec<_>>());
                    }
                }
                Err(findings) => self.check(&findings),
            }
        }
        let attributes = match command.attributes() {
            Ok(attributes) => attributes,
            Err(findings) => return Some(findings),
        };
        if let Some(text) = &attributes.shared.condition {
            match Condition::parse(text, Scope::Build) {
                // What a condition says about no build at all does not matter, only that it says something.
                Ok(condition) => drop(condition.evaluate(&Context::default())),
                Err(error) => {
                    assert!(text.get(error.start..error.end).is_some());
                    self.check_span(text.locate(error.start, error.end));
                }
            }
        }
        None
    }
}

//! The matrix of a command step: its combinations, and the step of one combination.

use indexmap::IndexMap;

use super::attribute::SoftFail;
use super::decode::{texts, wrong};
use super::diagnostic::{Diagnostic, Span, Spanned};
use super::model::{CommandStep, Matrix, MatrixAdjustment};
use super::node::{Mapping, Node, NodeKind};
use super::transform::{self, Transform};

/// The most dimensions.
pub const MAX_DIMENSIONS: usize = 6;
/// The most values of one dimension.
pub const MAX_VALUES: usize = 25;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 128;
/// The most adjustments.
pub const MAX_ADJUSTMENTS: usize = 12;
/// The most jobs of one matrix.
pub const MAX_JOBS: usize = 50;
/// The most combinations before adjustments skip some of them: a bound on the work, above anything that could
/// come down to [`MAX_JOBS`].
const MAX_COMBINATIONS: usize = 1000;

/// Keys whose values never have tokens replaced, because they are about the step and not about one job.
const STEP_KEYS: [&str; 2] = ["depends_on", "concurrency_group"];

/// One combination of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permutation {
    /// Dimension to value; the one dimension of a plain list has the empty name.
    pub values: IndexMap<String, String>,
    /// What an adjustment says about soft failures instead of the step.
    pub soft_fail: Option<SoftFail>,
}

impl Matrix {
    /// All combinations without the skipped ones: the product of the dimensions, the last one changing fastest,
    /// then what adjustments add.
    ///
    /// # Errors
    /// A matrix beyond the limits, or adjustments that do not fit its dimensions.
    pub fn permutations(&self) -> Result<Vec<Permutation>, Vec<Diagnostic>> {
        let empty = IndexMap::new();
        let setup = self.setup.as_ref().unwrap_or(&empty);
        let mut findings = self.check(setup);
        let mut overrides = Vec::with_capacity(self.adjustments.len());
        for adjustment in &self.adjustments {
            match adjustment.rest.get("soft_fail").map(|entry| SoftFail::parse(&entry.value)).transpose() {
                Ok(soft_fail) => overrides.push(soft_fail),
                Err(mut wrong) => findings.append(&mut wrong),
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut permutations = product(setup);
        for (adjustment, soft_fail) in self.adjustments.iter().zip(overrides) {
            let mut matched = false;
            for candidate in
                permutations.iter_mut().filter(|candidate| adjustment.is_for(&candidate.permutation.values))
            {
                candidate.adjust(adjustment, soft_fail.as_ref());
                matched = true;
            }
            if matched {
                continue;
            }
            if adjustment.with.len() == setup.len() {
                let values =
                    setup.keys().filter_map(|name| Some((name.clone(), adjustment.with.get(name)?.value.clone())));
                let mut candidate = Candidate::new(values.collect());
                candidate.adjust(adjustment, soft_fail.as_ref());
                permutations.push(candidate);
            } else if !adjustment.is_skipped() {
                let finding = Diagnostic::error("the adjustment is for no combination of the matrix");
                findings.push(finding.at(adjustment.span).help("to add a combination, name every dimension"));
            }
        }
        permutations.retain(|candidate| !candidate.skipped);
        if permutations.len() > MAX_JOBS {
            findings.push(self.too_many(permutations.len()));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(permutations.into_iter().map(|candidate| candidate.permutation).collect())
    }

    fn too_many(&self, jobs: usize) -> Diagnostic {
        Diagnostic::error(format!("the matrix makes {jobs} jobs, expected at most {MAX_JOBS}")).at(self.span)
    }

    fn check(&self, setup: &Setup) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let mut limit = |count: usize, most: usize, what: &str, span: Span| {
            if count > most {
                findings.push(Diagnostic::error(format!("{what} {count}, expected at most {most}")).at(span));
            }
        };
        limit(setup.len(), MAX_DIMENSIONS, "the number of dimensions of the matrix is", self.span);
        limit(self.adjustments.len(), MAX_ADJUSTMENTS, "the number of adjustments of the matrix is", self.span);
        for (name, values) in setup {
            limit(values.len(), MAX_VALUES, &format!("the number of values of `{name}` is"), self.span);
            for value in values {
                limit(value.len(), MAX_VALUE_BYTES, "the length of the value is", value.span);
            }
        }
        for adjustment in &self.adjustments {
            if adjustment.with.is_empty() || !adjustment.with.keys().all(|name| setup.contains_key(name)) {
                let names: Vec<_> = setup.keys().map(|name| format!("`{name}`")).collect();
                let help = match names.as_slice() {
                    [name] if name == "``" => "write `with: VALUE`".to_owned(),
                    names => format!("the dimensions are {}", names.join(", ")),
                };
                let finding = Diagnostic::error("the adjustment does not name dimensions of the matrix");
                findings.push(finding.at(adjustment.span).help(help));
            }
        }
        let combinations = setup.values().fold(1_usize, |count, values| count.saturating_mul(values.len()));
        if combinations > MAX_COMBINATIONS {
            findings.push(self.too_many(combinations));
        }
        findings
    }
}

impl MatrixAdjustment {
    /// Whether it changes a combination. It may name some of the dimensions only.
    fn is_for(&self, values: &IndexMap<String, String>) -> bool {
        self.with.iter().all(|(name, with)| values.get(name).is_some_and(|value| *value == with.value))
    }

    /// Any reason skips, even an empty one; only `false` and null do not.
    fn is_skipped(&self) -> bool {
        !matches!(self.skip.as_ref().map(|skip| &skip.kind), None | Some(NodeKind::Null | NodeKind::Bool(false)))
    }
}

/// A combination while adjustments are applied.
struct Candidate {
    permutation: Permutation,
    skipped: bool,
}

impl Candidate {
    fn new(values: IndexMap<String, String>) -> Self {
        Self { permutation: Permutation { values, soft_fail: None }, skipped: false }
    }

    fn adjust(&mut self, adjustment: &MatrixAdjustment, soft_fail: Option<&SoftFail>) {
        self.skipped |= adjustment.is_skipped();
        if let Some(soft_fail) = soft_fail {
            self.permutation.soft_fail = Some(soft_fail.clone());
        }
    }
}

fn product(setup: &Setup) -> Vec<Candidate> {
    if setup.is_empty() {
        return Vec::new();
    }
    let mut combinations = vec![IndexMap::new()];
    for (name, values) in setup {
        let extended = combinations.iter().flat_map(|combination: &IndexMap<String, String>| {
            values.iter().map(move |value| {
                let mut longer = combination.clone();
                longer.insert(name.clone(), value.value.clone());
                longer
            })
        });
        combinations = extended.collect();
    }
    combinations.into_iter().map(Candidate::new).collect()
}

impl CommandStep {
    /// The step of one combination: no matrix, and every `{{matrix}}` and `{{matrix.NAME}}` replaced. Keys,
    /// dependencies, concurrency groups and the names of variables keep theirs.
    ///
    /// # Errors
    /// A token that names no dimension.
    pub fn for_permutation(&self, permutation: &Permutation) -> Result<Self, Diagnostic> {
        let mut step = Self { matrix: None, ..self.clone() };
        let mut tokens = Tokens { values: &permutation.values };
        let kept: Vec<_> = STEP_KEYS.iter().filter_map(|key| Some((*key, step.rest.get(*key)?.clone()))).collect();
        transform::command_step(&mut step, &mut tokens)?;
        transform::variable_values(&mut step.env, &mut tokens)?;
        for (key, entry) in kept {
            step.rest.insert(key.to_owned(), entry);
        }
        Ok(step)
    }
}

struct Tokens<'a> {
    values: &'a IndexMap<String, String>,
}

impl Transform for Tokens<'_> {
    fn changed(&mut self, text: &str, span: Span) -> Result<Option<String>, Diagnostic> {
        let mut out = String::new();
        let (mut copied, mut at) = (0, 0);
        while let Some(found) = text[at..].find("{{") {
            let start = at + found;
            let Some((name, end)) = token(text, start) else {
                at = start + 1;
                continue;
            };
            let Some(value) = self.values.get(name) else {
                let written = &text[start..end];
                let place = Spanned::new(text.to_owned(), span).locate(start, end);
                let names: Vec<_> = self.values.keys().map(|name| token_of(name)).collect();
                return Err(Diagnostic::error(format!("unknown matrix token `{written}`"))
                    .at(place)
                    .help(format!("this matrix has {}", names.join(", "))));
            };
            out.push_str(&text[copied..start]);
            out.push_str(value);
            (copied, at) = (end, end);
        }
        if copied == 0 {
            return Ok(None);
        }
        out.push_str(&text[copied..]);
        Ok(Some(out))
    }
}

fn token_of(name: &str) -> String {
    if name.is_empty() { "`{{matrix}}`".to_owned() } else { format!("`{{{{matrix.{name}}}}}`") }
}

/// The name and the end of the matrix token at `start`, if there is one.
fn token(text: &str, start: usize) -> Option<(&str, usize)> {
    let space = [' ', '\t', '\n', '\x0c', '\r'];
    let rest = text[start..].strip_prefix("{{")?.trim_start_matches(space).strip_prefix("matrix")?;
    let (name, rest) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let length = rest.find(|c| !legal(c)).unwrap_or(rest.len());
            if length == 0 {
                return None;
            }
            rest.split_at(length)
        }
    };
    let rest = rest.trim_start_matches(space).strip_prefix("}}")?;
    Some((name, text.len() - rest.len()))
}

type Setup = IndexMap<String, Vec<Spanned<String>>>;

/// Reads the value of `matrix`.
pub(super) fn decode(node: &Node) -> Result<Option<Matrix>, Diagnostic> {
    let mut matrix = Matrix { span: node.span, ..Matrix::default() };
    match &node.kind {
        NodeKind::Null => return Ok(None),
        NodeKind::Sequence(_) => matrix.setup = Some(anonymous(node)?),
        NodeKind::Mapping(mapping) => {
            for (key, entry) in mapping.iter() {
                match key.as_str() {
                    "setup" => matrix.setup = Some(setup(&entry.value)?),
                    "adjustments" => matrix.adjustments = adjustments(&entry.value)?,
                    _ => {
                        matrix.rest.insert(key.clone(), entry.clone());
                    }
                }
            }
        }
        _ => return Err(wrong(node, "a list of values or a mapping with `setup`")),
    }
    Ok(Some(matrix))
}

fn anonymous(node: &Node) -> Result<Setup, Diagnostic> {
    Ok(IndexMap::from_iter([(String::new(), texts(node)?)]))
}

fn setup(node: &Node) -> Result<Setup, Diagnostic> {
    match &node.kind {
        NodeKind::Sequence(_) => anonymous(node),
        NodeKind::Mapping(mapping) => {
            mapping.iter().map(|(name, entry)| Ok((name.clone(), texts(&entry.value)?))).collect()
        }
        _ => Err(wrong(node, "a list of values or a mapping of dimensions")),
    }
}

fn adjustments(node: &Node) -> Result<Vec<MatrixAdjustment>, Diagnostic> {
    match &node.kind {
        NodeKind::Null => Ok(Vec::new()),
        NodeKind::Sequence(items) => items.iter().map(adjustment).collect(),
        _ => Err(wrong(node, "a list of adjustments")),
    }
}

fn adjustment(node: &Node) -> Result<MatrixAdjustment, Diagnostic> {
    let Some(mapping) = node.as_mapping() else { return Err(wrong(node, "a mapping with `with`")) };
    let mut adjustment = MatrixAdjustment { with: IndexMap::new(), skip: None, rest: Mapping::new(), span: node.span };
    for (key, entry) in mapping {
        match key.as_str() {
            "with" => adjustment.with = with(&entry.value)?,
            "skip" => adjustment.skip = Some(entry.value.clone()),
            _ => {
                adjustment.rest.insert(key.clone(), entry.clone());
            }
        }
    }
    Ok(adjustment)
}

fn with(node: &Node) -> Result<IndexMap<String, Spanned<String>>, Diagnostic> {
    match &node.kind {
        NodeKind::Mapping(mapping) => {
            mapping.iter().map(|(name, entry)| Ok((name.clone(), element(&entry.value)?))).collect()
        }
        _ => Ok(IndexMap::from_iter([(String::new(), element(node)?)])),
    }
}

fn element(node: &Node) -> Result<Spanned<String>, Diagnostic> {
    match node.kind {
        NodeKind::Bool(_) | NodeKind::Int(_) | NodeKind::String(_) => node.to_spanned_text(),
        _ => Err(wrong(node, "a string, an integer or a boolean")),
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{CommandStep, Source, StepKind, parse};

    fn step(yaml: &str) -> CommandStep {
        let parsed = parse(&Source::new("p.yml", yaml)).unwrap();
        match parsed.pipeline.steps.into_iter().next().unwrap().kind {
            StepKind::Command(step) => *step,
            other => panic!("{other:?}"),
        }
    }

    fn commands(yaml: &str) -> Vec<String> {
        let step = step(yaml);
        let permutations = step.matrix.as_ref().unwrap().permutations().unwrap();
        permutations
            .iter()
            .map(|permutation| step.for_permutation(permutation).unwrap().command.unwrap().value)
            .collect()
    }

    #[test]
    fn combinations() {
        assert_eq!(commands("[{command: 'x {{ matrix }}', matrix: [a, 1]}]"), ["x a", "x 1"]);
        let dimensions = "
            - command: '{{matrix.os}}-{{matrix.v}}'
              matrix:
                setup: {os: [a, b], v: [1, 2]}
                adjustments:
                  - {with: {os: b, v: 1}, skip: true}
                  - {with: {os: c, v: 3}}";
        assert_eq!(commands(dimensions), ["a-1", "a-2", "b-2", "c-3"]);
        let partial = "
            - command: '{{matrix.a}}{{matrix.b}}'
              matrix:
                setup: {a: [1, 2], b: [none]}
                adjustments: [{with: {a: 1, b: x}}, {with: {b: none}, skip: true}]";
        assert_eq!(commands(partial), ["1x"]);
    }

    #[test]
    fn tokens_are_replaced_in_jobs_but_not_in_what_names_the_step() {
        let step = step(
            "[{command: x, key: 'k-{{matrix}}', matrix: [a], env: {'{{matrix}}': '{{matrix}}'}, depends_on: '{{matrix}}', agents: {q: '{{matrix}}'}}]",
        );
        let permutation = &step.matrix.as_ref().unwrap().permutations().unwrap()[0];
        let job = step.for_permutation(permutation).unwrap();
        assert_eq!(job.key.as_ref().unwrap().value, "k-{{matrix}}");
        assert_eq!(job.env["{{matrix}}"].value.value, "a");
        let attributes = job.attributes().unwrap();
        assert_eq!(attributes.shared.depends_on.unwrap().value[0].step.value, "{{matrix}}");
        assert_eq!(attributes.agents.unwrap()["q"], "a");
    }

    #[test]
    fn mistakes() {
        let unknown = step("[{command: '{{matrix.nope}}', matrix: [a]}]");
        let permutation = &unknown.matrix.as_ref().unwrap().permutations().unwrap()[0];
        assert!(unknown.for_permutation(permutation).unwrap_err().message.contains("matrix.nope"));
        let values = format!("[{}]", vec!["v"; 25].join(","));
        let huge =
            format!("[{{command: x, matrix: {{setup: {{a: {values}, b: {values}, c: {values}, d: {values}}}}}}}]");
        assert!(step(&huge).matrix.unwrap().permutations().unwrap_err()[0].message.contains("390625 jobs"));
        let wrong = step("[{command: x, matrix: {setup: [a], adjustments: [{with: {os: a}}]}}]");
        assert!(wrong.matrix.unwrap().permutations().is_err());
    }
}

//! `cache` with `inputs`: whether a step may have it, and what it says.

use super::Builder;
use crate::pipeline::attribute::{CacheFiles, CommandAttributes};
use crate::pipeline::glob::Glob;
use crate::pipeline::{Diagnostic, Spanned};
use crate::plan::cache::{Allowed, CacheRule, wrong_glob};
use crate::plan::job::StepJob;

impl Builder<'_> {
    /// Gives the job what its step's `cache` says, or finds why it cannot be.
    pub(super) fn cache(&mut self, work: &mut StepJob, attributes: &CommandAttributes<'_>) {
        let Some(CacheFiles { inputs, outputs, env, allow, span }) = &attributes.cache else { return };
        if inputs.is_empty() {
            let error =
                Diagnostic::error("`cache` needs `inputs`: without them nothing tells whether the step has to run")
                    .at(*span)
                    .help("name the files the result depends on, for instance inputs: [\"src/**\", Makefile]");
            self.complain(error);
            return;
        }
        let mut rule = CacheRule { env: env.iter().map(|name| name.value.clone()).collect(), ..CacheRule::default() };
        for (written, globs) in [(inputs, &mut rule.inputs), (outputs, &mut rule.outputs)] {
            for glob in written {
                let glob: &Spanned<String> = glob;
                let wrong = wrong_glob(&glob.value).map(str::to_owned).or_else(|| Glob::parse(&glob.value).err());
                if let Some(wrong) = wrong {
                    let message = format!("`{}` in `cache` {wrong}", glob.value);
                    let help = "write a path or a glob below the workspace, such as dist/** or reports";
                    self.complain(Diagnostic::error(message).at(glob.span).help(help));
                }
                globs.push(glob.value.clone());
            }
        }
        for word in allow {
            if let Some(allowed) = Allowed::ALL.into_iter().find(|one| one.word() == word.value) {
                rule.allow.push(allowed);
            } else {
                let words = Allowed::ALL.map(Allowed::word).join("`, `");
                let message = format!("`{}` cannot be allowed in `cache`", word.value);
                self.complain(Diagnostic::error(message).at(word.span).label(format!("expected one of `{words}`")));
            }
        }
        for objection in rule.objections(work) {
            let message = format!("the step {} when it is answered from the cache", objection.effect());
            let help =
                format!("remove `cache`; or, when this is what you want, add to it: allow: [{}]", objection.word());
            self.complain(Diagnostic::error(message).at(*span).help(help));
        }
        work.cache = Some(rule);
    }

    /// An error, once: the jobs of one step all have it.
    fn complain(&mut self, error: Diagnostic) {
        let recent = self.errors.len().saturating_sub(16);
        if !self.errors[recent..].contains(&error) {
            self.errors.push(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::Source;
    use crate::plan::{BuildContext, JobKind, Plan};

    fn plan(step: &str) -> Result<Plan, Vec<String>> {
        let source = Source::new("pipeline.yml", format!("steps:\n  - {step}"));
        let pipeline = crate::pipeline::parse(&source).unwrap().pipeline;
        let built = crate::plan::build(&pipeline, "pipeline.yml", &BuildContext::default());
        let (plan, warnings) =
            built.map_err(|errors| errors.into_iter().map(|error| format!("{error}")).collect::<Vec<_>>())?;
        assert_eq!(warnings, []);
        Ok(plan)
    }

    #[test]
    fn a_step_says_what_its_result_depends_on() {
        let plan = plan("{command: make, cache: {inputs: [src, '*.c'], outputs: out, env: CC}}").unwrap();
        let JobKind::Step(step) = &plan.jobs[0].kind else { panic!() };
        let rule = step.cache.as_ref().unwrap();
        assert_eq!(
            (rule.inputs.len(), rule.outputs.as_slice(), rule.env.as_slice()),
            (2, &["out".to_owned()][..], &["CC".to_owned()][..])
        );
    }

    #[test]
    fn what_cannot_be_cached_is_refused_once() {
        for (step, expected) in [
            ("{command: make, cache: {outputs: out}}", "needs `inputs`"),
            ("{command: make, cache: {inputs: [../x]}}", "leads upwards"),
            ("{command: make, cache: {inputs: ['[a']}}", "not closed"),
            ("{command: make, cache: {inputs: src, allow: all}}", "cannot be allowed"),
            ("{command: make, parallelism: 3, secrets: [TOKEN], cache: {inputs: src}}", "uses secrets"),
            ("{uses: x@1, grants: {docker: {push: [r.example/x]}}, cache: {inputs: src}}", "may push images"),
        ] {
            let errors = plan(step).unwrap_err();
            assert!(errors.len() == 1 && errors[0].contains(expected), "{step}: {errors:?}");
        }
        plan("{uses: x@1, grants: {docker: {push: [r.example/x]}}, cache: {inputs: src, allow: push}}").unwrap();
    }

    #[test]
    fn the_formats_own_cache_stays_without_effect() {
        let plan = plan("{command: make, cache: [node_modules]}").unwrap();
        let JobKind::Step(step) = &plan.jobs[0].kind else { panic!() };
        assert_eq!(step.cache, None);
    }
}

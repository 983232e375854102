//! `if_changed`: a step is left out when the build changes none of the files it is about.

use super::Builder;
use crate::pipeline::Diagnostic;
use crate::pipeline::attribute::{IfChanged, Shared};
use crate::pipeline::glob::Glob;

impl Builder<'_> {
    /// Why a step is left out for what the build does not change. Without knowing what it changes, nothing is.
    pub(super) fn unchanged(&mut self, shared: &Shared) -> Option<String> {
        let globs = shared.if_changed.as_ref()?;
        let files = self.context.changed_files.as_deref()?;
        let concerned = if let Some(known) = self.changed.get(&globs.value) {
            *known
        } else {
            let concerned = concerned(&globs.value, files).unwrap_or_else(|problem| {
                let message = format!("`if_changed` skips nothing here: {problem}");
                self.warnings.push(Diagnostic::warning(message).at(globs.span));
                true
            });
            self.changed.insert(globs.value.clone(), concerned);
            concerned
        };
        (!concerned).then(|| "no changed file matches `if_changed`".to_owned())
    }
}

/// Whether one of the files is included and not excluded.
///
/// # Errors
/// What is wrong with the globs.
fn concerned(globs: &IfChanged, files: &[String]) -> Result<bool, String> {
    let read = |globs: &[String]| -> Result<Vec<Glob>, String> {
        globs.iter().map(|glob| Glob::parse(glob).map_err(|problem| format!("in `{glob}`, {problem}"))).collect()
    };
    if globs.include.is_empty() {
        return Err("it includes no files; name some, or all of them as `**`".to_owned());
    }
    let (include, exclude) = (read(&globs.include)?, read(&globs.exclude)?);
    let any = |globs: &[Glob], file: &str| globs.iter().any(|glob| glob.matches(file));
    Ok(files.iter().any(|file| any(&include, file) && !any(&exclude, file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_included_unless_excluded() {
        let files = ["foo/a", "foo/baz", "docs/x.md"].map(str::to_owned);
        let concerned = |include: &[&str], exclude: &[&str]| {
            let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
            concerned(&IfChanged { include: owned(include), exclude: owned(exclude) }, &files)
        };
        for (include, exclude, expected) in [
            (&["foo/**"][..], &[][..], true),
            (&["bar/**"], &[], false),
            (&["bar/**", "**.md"], &[], true),
            (&["foo"], &[], false),
            (&["foo/**"], &["foo/baz"], true),
            (&["foo/**"], &["foo/{a,baz}"], false),
            (&["**"], &["**"], false),
        ] {
            assert_eq!(concerned(include, exclude), Ok(expected), "{include:?} {exclude:?}");
        }
        assert!(concerned(&[], &["foo"]).is_err());
        assert!(concerned(&["foo/{a"], &[]).unwrap_err().starts_with("in `foo/{a`"));
        assert!(concerned(&["foo"], &["[a"]).is_err());
    }
}

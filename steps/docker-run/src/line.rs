//! The command line of the container: what takes the place of the image's entrypoint, and of its command.

/// Runs the script in `$0` with bash where there is one. No `pipefail` and no `-u`, as Buildkite's agent has it.
const ANY_SHELL: &str =
    r#"if command -v bash >/dev/null 2>&1; then exec bash -e -c "$0"; else exec /bin/sh -e -c "$0"; fi"#;

/// Entrypoint and command; an empty one keeps the image's.
pub fn line(
    script: Option<&str>,
    args: &[String],
    shell: Option<&[String]>,
    entrypoint: Option<&[String]>,
) -> (Vec<String>, Vec<String>) {
    let (given, words) = match (script, shell) {
        (Some(script), None) => {
            let shell = ["/bin/sh", "-c", ANY_SHELL].map(str::to_owned).to_vec();
            (entrypoint.is_none().then_some(&[][..]).or(entrypoint), [shell, vec![script.to_owned()]].concat())
        }
        (Some(script), Some(shell)) => (entrypoint, [shell, &[script.to_owned()]].concat()),
        (None, _) => (entrypoint, args.to_vec()),
    };
    match given {
        None => (Vec::new(), words),
        // The engine cannot be told to use no entrypoint: the program takes its place.
        Some([]) => {
            let mut words = words.into_iter();
            (words.next().into_iter().collect(), words.collect())
        }
        Some(entrypoint) => (entrypoint.to_vec(), words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_script_takes_the_place_of_the_entrypoint_unless_a_shell_is_named() {
        let expected = (owned(&["/bin/sh"]), owned(&["-c", ANY_SHELL, "make"]));
        assert_eq!(line(Some("make"), &[], None, None), expected);
        assert_eq!(line(Some("make"), &[], None, Some(&[])), expected);
        let shell = owned(&["/bin/sh", "-e", "-c"]);
        let through = owned(&["/bin/sh", "-e", "-c", "make"]);
        assert_eq!(line(Some("make"), &[], Some(&shell), None), (vec![], through.clone()));
        assert_eq!(line(Some("make"), &[], Some(&shell), Some(&[])), (owned(&["/bin/sh"]), through[1..].to_vec()));
        assert_eq!(line(Some("make"), &[], Some(&shell), Some(&owned(&["tini"]))), (owned(&["tini"]), through));
    }

    #[test]
    fn arguments_stay_as_they_are() {
        let args = owned(&["go", "test"]);
        assert_eq!(line(None, &args, None, None), (vec![], args.clone()));
        assert_eq!(line(None, &args, None, Some(&[])), (owned(&["go"]), owned(&["test"])));
        assert_eq!(line(None, &args, None, Some(&owned(&["sh"]))), (owned(&["sh"]), args));
        assert_eq!(line(None, &[], None, None), (vec![], vec![]));
    }
}

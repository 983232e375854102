//! What is wrong with a file: where, why, and what to write instead.

use std::fmt;

/// A place in the file; line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The kind of a problem, stable so that it can be searched for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl fmt::Display for Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

codes! {
    /// A build context that is no directory of the workspace.
    BuildContext = "E_BUILD_CONTEXT",
    /// A Dockerfile that is not there.
    BuildFile = "E_BUILD_FILE",
    /// A network other than none for the instructions of a build.
    BuildNetwork = "E_BUILD_NETWORK",
    /// Another key of `build` that is not available.
    BuildOption = "E_BUILD_OPTION",
    /// Secrets in a build.
    BuildSecret = "E_BUILD_SECRET",
    /// Linux capabilities.
    Capability = "E_CAP",
    /// A parent control group.
    CgroupParent = "E_CGROUP_PARENT",
    /// An unknown service, a cycle, or a condition that can never hold.
    Dependency = "E_DEPENDENCY",
    /// Devices of the host.
    Device = "E_DEVICE",
    /// A variable without a value.
    Env = "E_ENV",
    /// Networks and volumes of other projects.
    External = "E_EXTERNAL",
    /// Containers of other projects.
    Foreign = "E_FOREIGN",
    /// A program on the host.
    HostExec = "E_HOST_EXEC",
    /// The host's own address.
    HostGateway = "E_HOST_GATEWAY",
    /// An image reference that cannot be one.
    ImageReference = "E_IMAGE_REF",
    /// Reserved labels.
    Label = "E_LABEL",
    /// Limits that are the step's grant to set, and too many services.
    Limit = "E_LIMIT",
    /// Where logs go.
    Logging = "E_LOGGING",
    /// Options of a mount.
    MountOption = "E_MOUNT_OPTION",
    /// A place in the container where nothing may be mounted.
    MountTarget = "E_MOUNT_TARGET",
    /// A name with other characters than allowed.
    Name = "E_NAME",
    /// Namespaces of the host or of other containers.
    Namespace = "E_NAMESPACE",
    /// A network driver.
    NetworkDriver = "E_NETWORK_DRIVER",
    /// A path outside the workspace, or one that is not there.
    Path = "E_PATH",
    /// A port on other addresses than loopback.
    Port = "E_PORT",
    /// All privileges.
    Privileged = "E_PRIVILEGED",
    /// Another container runtime.
    Runtime = "E_RUNTIME",
    /// Security options.
    SecurityOption = "E_SECURITY_OPT",
    /// The engine's socket.
    Socket = "E_SOCKET",
    /// Kernel parameters.
    Sysctl = "E_SYSCTL",
    /// A key Compose does not have.
    UnknownKey = "E_UNKNOWN_KEY",
    /// A key Compose has and a test has not.
    UnsupportedKey = "E_UNSUPPORTED_KEY",
    /// A value of another form than expected.
    Value = "E_VALUE",
    /// A volume driver or its options.
    VolumeDriver = "E_VOLUME_DRIVER",
    /// A volume that is not declared at the top level.
    VolumeUndeclared = "E_VOLUME_UNDECLARED",
    /// Not YAML, or more of it than can be meant.
    Yaml = "E_YAML",
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind.
    pub code: Code,
    /// Where.
    pub at: Mark,
    /// What was found and what was expected: a lower-case fragment.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

/// Everything found while reading a file.
#[derive(Debug, Default)]
pub struct Findings {
    /// Reasons to refuse it.
    pub problems: Vec<Problem>,
    /// What is read but means something else, or nothing, in a test.
    pub warnings: Vec<(Mark, String)>,
}

impl Findings {
    /// Adds a reason to refuse the file. A text without its variables is not judged any further.
    pub fn refuse(&mut self, code: Code, at: Mark, message: impl Into<String>, remedy: impl Into<String>) {
        if self.problems.iter().any(|earlier| earlier.code == Code::Env && earlier.at == at) {
            return;
        }
        self.problems.push(Problem { code, at, message: message.into(), remedy: remedy.into() });
    }

    /// Adds a notice that does not refuse it.
    pub fn warn(&mut self, at: Mark, message: impl Into<String>) {
        self.warnings.push((at, message.into()));
    }

    /// The problems in the order of the file, each with its place, the line it stands in, its code and its remedy;
    /// `None` when there are none. At most 20, the rest is counted: a file in a wrong format has one on each line.
    pub fn report(&self, file: &str, text: &str) -> Option<String> {
        const SHOWN: usize = 20;
        if self.problems.is_empty() {
            return None;
        }
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| problem.at);
        let mut parts: Vec<String> = problems.iter().take(SHOWN).map(|problem| problem.render(file, text)).collect();
        if problems.len() > SHOWN {
            parts.push(format!("and {} more", problems.len() - SHOWN));
        }
        Some(parts.join("\n"))
    }
}

impl Problem {
    fn render(&self, file: &str, text: &str) -> String {
        let Self { code, at: Mark { line, column }, message, remedy } = self;
        let mut rendered = format!("{file}:{line}:{column}: {message} ({code})");
        if let Some(source) = text.lines().nth(line - 1) {
            let source: String = source.chars().take(160).collect();
            let number = line.to_string();
            // A tab stays a tab, so that the caret stands where the reader's terminal puts the character.
            let indent: String = source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            rendered.push_str(&format!("\n  {number} | {source}\n  {} | {indent}^", " ".repeat(number.len())));
        }
        if !remedy.is_empty() {
            rendered.push_str(&format!("\n  help: {remedy}"));
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_place_line_code_and_remedy() {
        let mut findings = Findings::default();
        assert_eq!(findings.report("f.yml", ""), None);
        let at = Mark { line: 2, column: 3 };
        findings.refuse(Code::Privileged, at, "`privileged` is not available", "leave it out");
        let expected = "f.yml:2:3: `privileged` is not available (E_PRIVILEGED)\n  \
            2 |   privileged: true\n    |   ^\n  help: leave it out";
        assert_eq!(findings.report("f.yml", "a:\n  privileged: true\n").as_deref(), Some(expected));
    }
}

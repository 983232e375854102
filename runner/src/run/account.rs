//! Who runs this process, as the operating system says it.

/// An account on a machine. Unlike `$USER` nobody chooses it for themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name; `#` and its number when it has none.
    pub name: String,
    /// Name of the machine.
    pub host: String,
}

impl Account {
    /// That of this process.
    #[must_use]
    pub fn own() -> Self {
        let uid = uzers::get_current_uid();
        // An account that is not in the system's databases, as in many containers, still has a number.
        let named = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
        Self {
            name: named.unwrap_or_else(|| format!("#{uid}")),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

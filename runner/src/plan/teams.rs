//! The section `teams` of `runner.yml`: who may let runs go on past steps with `allowed_teams`.

use indexmap::IndexMap;
use serde::Deserialize;

/// Teams by name, each a list of accounts of the operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Teams(IndexMap<String, Vec<String>>);

impl Teams {
    /// Whether there is a team of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether an account is in one of the teams, or is named itself. Nobody is asked for when the list is empty.
    ///
    /// # Errors
    /// Who could, as the list says it.
    pub fn admit(&self, allowed: &[String], account: &str) -> Result<(), String> {
        let members = |entry: &String| self.0.get(entry).map_or_else(|| vec![entry.clone()], Clone::clone);
        if allowed.is_empty() || allowed.iter().flat_map(members).any(|member| member == account) {
            return Ok(());
        }
        let described = allowed.iter().map(|entry| match self.0.get(entry) {
            Some(members) if members.is_empty() => format!("team {entry} (nobody)"),
            Some(members) => format!("team {entry} ({})", members.join(", ")),
            None => entry.clone(),
        });
        Err(described.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_named_accounts_are_admitted_and_nobody_else() {
        let teams: Teams = serde_json::from_str(r#"{ "release": ["ana", "bob"], "empty": [] }"#).unwrap();
        let admit = |allowed: &[&str], account: &str| {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            teams.admit(&allowed, account)
        };
        assert_eq!(admit(&[], "eve"), Ok(()));
        assert_eq!(admit(&["release"], "bob"), Ok(()));
        assert_eq!(admit(&["release", "eve"], "eve"), Ok(()));
        // A team's name is nobody's account.
        assert_eq!(admit(&["release"], "release"), Err("team release (ana, bob)".to_owned()));
        assert_eq!(admit(&["empty", "cyd"], "eve"), Err("team empty (nobody), cyd".to_owned()));
    }
}

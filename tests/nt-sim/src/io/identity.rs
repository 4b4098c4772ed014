//! Who a process is.

use super::sddl::{SddlError, Sid};

/// The start of the SIDs of this machine's own accounts.
const MACHINE_ACCOUNTS: &str = "S-1-5-21-1004336348-1177238915-682003330";

/// The account that a process runs under, with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The operating system itself.
    System,
    /// A member of the Administrators group, elevated.
    Administrator,
    /// An ordinary interactive user.
    User,
    /// An ordinary user who is in further groups.
    Member(Vec<Sid>),
}

impl Identity {
    /// Returns an ordinary user who is a member of the group with this SID.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is no SID.
    pub fn member_of(group: &str) -> Result<Self, SddlError> {
        Ok(Self::Member(vec![Sid::parse(group)?]))
    }

    /// Returns all SIDs of the account: its own, and those of its groups.
    #[must_use]
    pub fn sids(&self) -> Vec<Sid> {
        let user = format!("{MACHINE_ACCOUNTS}-1001");
        let administrator = format!("{MACHINE_ACCOUNTS}-500");
        let (names, more): (Vec<&str>, &[Sid]) = match self {
            Self::System => (vec!["SY", "BA", "WD", "AU"], &[]),
            Self::Administrator => (vec![&administrator, "BA", "BU", "WD", "AU", "IU"], &[]),
            Self::User => (vec![&user, "BU", "WD", "AU", "IU"], &[]),
            Self::Member(groups) => (vec![&user, "BU", "WD", "AU", "IU"], groups),
        };
        // These names are all well-formed.
        names
            .into_iter()
            .filter_map(|name| Sid::parse(name).ok())
            .chain(more.iter().cloned())
            .collect()
    }
}

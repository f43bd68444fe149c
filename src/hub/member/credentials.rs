//! What is known of a member before it comes in: by its token, and by its connection.

use std::net::IpAddr;

/// What is vouched for; by default nothing is, and nothing forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The rooms that it may enter; a name that ends in `*` is the beginning of names. Absent: any.
    pub(crate) rooms: Option<Vec<String>>,
    /// Its name, as it was written; not all can be shown.
    pub(crate) name: Option<String>,
    /// Whether it moderates.
    pub(crate) moderator: bool,
    /// Where it comes from, as far as that is known.
    pub(crate) address: Option<IpAddr>,
}

impl Credentials {
    /// Whether a room may be entered, as far as they go.
    #[must_use]
    pub(crate) fn admits(&self, room: &str) -> bool {
        let fits = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => room.starts_with(beginning),
            None => room == allowed,
        };
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_by_name_and_by_beginning() {
        let only = |rooms: &[&str]| Credentials {
            rooms: Some(rooms.iter().map(|room| (*room).to_owned()).collect()),
            ..Credentials::default()
        };
        assert!(Credentials::default().admits("any"));
        assert!(only(&["a", "team-*"]).admits("a") && only(&["a", "team-*"]).admits("team-1"));
        assert!(!only(&["a", "team-*"]).admits("ab") && !only(&[]).admits("a") && only(&["*"]).admits("a"));
    }
}

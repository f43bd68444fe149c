//! What the cluster asks of a room on this gateway.

use std::fmt::Debug;

use super::entry::Fields;
use super::ledger::Show;

/// Who is in a room on other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Others {
    /// All of them.
    pub(in crate::hub) count: usize,
    /// Those whose names are told: member, name, gateway. No member twice.
    pub(in crate::hub) members: Vec<(String, String, String)>,
}

/// A room, as the cluster sees it. Called from the cluster's own thread; nothing here waits.
pub(in crate::hub) trait Hall: Debug + Send + Sync {
    /// What it is called.
    fn name(&self) -> &str;

    /// A message has an id here, behind all before it; `user` is the connection that waits for it, 0 if none does.
    fn show(&self, show: Show, user: u64);

    /// A message that was shown here under an id of this gateway's own has its place for all.
    fn placed(&self, shown: u64, place: u64);

    /// What was said before this gateway had the room, oldest first. From now on the room is as ready as it gets.
    fn restore(&self, shows: Vec<Show>);

    /// Whether it is apart from the other gateways; told once each time that this changes.
    fn part(&self, apart: bool);

    /// How many are here, and so many of them at most: member and name.
    fn people(&self, most: usize) -> (usize, Vec<(String, String)>);

    /// Who is here on other gateways.
    fn others(&self, others: Others);

    /// Another gateway has told the room something; whether it was sound.
    fn hear(&self, node: &str, fields: Fields) -> bool;

    /// By which it is told from another room of its name that was made later.
    fn number(&self) -> usize;

    /// Whether nobody will come back to it.
    fn is_over(&self) -> bool;
}

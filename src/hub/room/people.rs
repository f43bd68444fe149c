//! Who is in a room, and what they are called.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;

use super::{Guest, Room, State};
use crate::hub::fault::Fault;
use crate::hub::id::MemberId;
use crate::hub::language::v1::event::Event;
use crate::hub::mailbox::Word;
use crate::hub::name::Name;

/// The members of one room. Those of the plain language without a name of their own are a number each: there may be many.
#[derive(Debug, Default)]
pub(super) struct People {
    named: HashMap<MemberId, Person>,
    /// Rising.
    numbered: Vec<u64>,
    names: HashMap<Box<str>, Holders>,
}

#[derive(Debug)]
struct Person {
    name: Name,
    /// Its newest connection.
    user: u64,
}

/// Who has a name: one, or several whose tokens all say so.
#[derive(Debug)]
struct Holders {
    count: usize,
    vouched: bool,
}

/// What became of somebody who came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was not here.
    Newly,
    /// It was here by another connection, whose place it has now.
    Again,
}

impl People {
    pub(super) fn count(&self) -> usize {
        self.named.len() + self.numbered.len()
    }

    pub(super) fn has(&self, id: MemberId) -> bool {
        self.named.contains_key(&id)
    }

    /// Somebody with a name comes.
    ///
    /// # Errors
    /// Somebody else has the name.
    pub(super) fn come(&mut self, id: MemberId, user: u64, name: &Name) -> Result<Came, Fault> {
        let before = self.named.get(&id).map(|person| person.name.clone());
        match &before {
            Some(was) if was.key() == name.key() => {
                if let Some(holders) = self.names.get_mut(&name.key()) {
                    holders.vouched |= name.vouched;
                }
            }
            was => {
                self.take_name(name)?;
                if let Some(was) = was {
                    self.free_name(was);
                }
            }
        }
        self.named.insert(id, Person { name: name.clone(), user });
        Ok(if before.is_some() { Came::Again } else { Came::Newly })
    }

    /// Whoever has chosen a name that somebody else's token gives is a number again: who that is, and what it was called.
    pub(super) fn make_way(&mut self, id: MemberId, name: &Name) -> Option<(MemberId, u64, Name)> {
        let key = name.key();
        if self.names.get(&key).is_none_or(|holders| holders.vouched) {
            return None;
        }
        let holder = self.named.iter_mut().find(|(holder, person)| **holder != id && person.name.key() == key);
        let (holder, person) = holder.map(|(holder, person)| (*holder, person))?;
        let (user, number) = (person.user, Name::of_user(person.user));
        let was = std::mem::replace(&mut person.name, number.clone());
        self.free_name(&was);
        // Nobody else has its number.
        let _ = self.take_name(&number);
        Some((holder, user, was))
    }

    /// Somebody comes who is only a number.
    pub(super) fn come_numbered(&mut self, user: u64) {
        // Numbers rise, and are given shortly before: the place is at the end or near it.
        let at = self.numbered.partition_point(|other| *other < user);
        if self.numbered.len() == self.numbered.capacity() {
            // Little is left over: there may be thousands of rooms, and ten thousand members in one.
            self.numbered.reserve_exact(self.numbered.len() / 8 + 1);
        }
        self.numbered.insert(at, user);
    }

    /// A connection leaves; the name of whoever is not here any more.
    pub(super) fn go(&mut self, id: MemberId, user: u64) -> Option<Name> {
        if self.named.get(&id).is_some_and(|person| person.user == user) {
            let person = self.named.remove(&id)?;
            self.free_name(&person.name);
            return Some(person.name);
        }
        let at = self.numbered.binary_search(&user).ok()?;
        self.numbered.remove(at);
        if self.numbered.capacity() > 4 * self.numbered.len().max(16) {
            self.numbered.shrink_to_fit();
        }
        Some(Name::of_user(user))
    }

    /// Somebody wants to be called otherwise; what it was called. Nothing when it is not here.
    ///
    /// # Errors
    /// Somebody else has the name.
    pub(super) fn rename(&mut self, id: MemberId, name: &Name) -> Result<Option<Name>, Fault> {
        let Some(person) = self.named.get(&id) else { return Ok(None) };
        let was = person.name.clone();
        if was.key() != name.key() {
            self.take_name(name)?;
            self.free_name(&was);
        }
        if let Some(person) = self.named.get_mut(&id) {
            person.name = name.clone();
        }
        Ok(Some(was))
    }

    pub(super) fn name(&self, id: MemberId) -> Option<&Name> {
        self.named.get(&id).map(|person| &person.name)
    }

    /// Somebody who is only a number and has this id.
    pub(super) fn numbered(&self, id: MemberId, keys: &RandomState) -> Option<(MemberId, Arc<str>)> {
        let user = self.numbered.iter().find(|user| MemberId::without_session(keys, **user) == id)?;
        Some((id, Name::of_user(*user).text))
    }

    /// Those who are called so, by the name's key.
    pub(super) fn called(&self, key: &str, keys: &RandomState) -> Vec<(MemberId, Arc<str>)> {
        let people = self.named.iter().filter(|(_, person)| *person.name.key() == *key);
        let named = people.map(|(id, person)| (*id, Arc::clone(&person.name.text)));
        let mut called: Vec<_> = if self.names.contains_key(key) { named.collect() } else { Vec::new() };
        // Of those who are numbers, only one can be meant.
        let user: Option<u64> = key.rsplit_once('#').and_then(|(_, number)| number.parse().ok());
        if let Some(user) = user.filter(|user| self.numbered.binary_search(user).is_ok()) {
            let name = Name::of_user(user);
            called.extend((*name.key() == *key).then(|| (MemberId::without_session(keys, user), name.text)));
        }
        called
    }

    /// So many of them at most, those with names first.
    pub(super) fn list(&self, most: usize, keys: &RandomState) -> Vec<(MemberId, Arc<str>)> {
        let named = self.named.iter().map(|(id, person)| (*id, Arc::clone(&person.name.text)));
        let numbered = |user: &u64| (MemberId::without_session(keys, *user), Name::of_user(*user).text);
        named.chain(self.numbered.iter().map(numbered)).take(most).collect()
    }

    fn take_name(&mut self, name: &Name) -> Result<(), Fault> {
        let holders = self.names.entry(name.key()).or_insert(Holders { count: 0, vouched: name.vouched });
        if holders.count > 0 && !(holders.vouched && name.vouched) {
            return Err(Fault::NameTaken);
        }
        holders.count += 1;
        Ok(())
    }

    fn free_name(&mut self, name: &Name) {
        let key = name.key();
        if let Some(holders) = self.names.get_mut(&key) {
            holders.count -= 1;
            if holders.count == 0 {
                self.names.remove(&key);
            }
        }
    }
}

impl Room {
    /// A name that a token gives is its bearer's: whoever has chosen it is called otherwise from now on.
    pub(super) fn make_way(self: &Arc<Self>, state: &mut State, guest: &Guest<'_>) {
        if !guest.name.vouched {
            return;
        }
        let Some((id, user, was)) = state.people.make_way(guest.id, guest.name) else { return };
        let name = Name::of_user(user).text;
        let event = Event::Name { reference: None, id, name: &name, was: &was.text, room: Some(&self.name) };
        self.tell(state, &event, user);
        self.ground.tell(id, Word::Displaced(was.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: MemberId = MemberId(1);
    const BOB: MemberId = MemberId(2);

    fn name(text: &str) -> Name {
        Name::chosen(text, 32).expect("name")
    }

    #[test]
    fn a_name_is_one_members_until_it_goes_or_changes_it() {
        let mut people = People::default();
        assert_eq!(people.come(ANN, 1, &name("Ann")), Ok(Came::Newly));
        assert_eq!(people.come(BOB, 2, &name("ANN")), Err(Fault::NameTaken));
        assert_eq!(people.come(BOB, 2, &name("Bob")), Ok(Came::Newly));
        assert_eq!(people.rename(BOB, &name("ann")), Err(Fault::NameTaken));
        assert_eq!(people.rename(ANN, &name("aNN")), Ok(Some(name("Ann"))));
        assert_eq!(people.rename(ANN, &name("Anna")), Ok(Some(name("aNN"))));
        assert_eq!(people.rename(BOB, &name("Ann")), Ok(Some(name("Bob"))));
        assert_eq!((people.go(ANN, 1), people.count()), (Some(name("Anna")), 1));
        assert_eq!(people.names.len(), 1);
    }

    #[test]
    fn the_newer_connection_has_the_members_place() {
        let mut people = People::default();
        assert_eq!(people.come(ANN, 1, &name("Ann")), Ok(Came::Newly));
        assert_eq!(people.come(ANN, 2, &name("Anna")), Ok(Came::Again));
        assert_eq!((people.go(ANN, 1), people.count()), (None, 1));
        assert_eq!((people.go(ANN, 2), people.count(), people.names.len()), (Some(name("Anna")), 0, 0));
    }

    #[test]
    fn tokens_may_say_the_same_of_several() {
        let mut people = People::default();
        let vouched = Name::vouched("Ann", 32).expect("name");
        assert_eq!(people.come(ANN, 1, &vouched), Ok(Came::Newly));
        assert_eq!(people.come(BOB, 2, &vouched), Ok(Came::Newly));
        assert_eq!(people.called(&name("ANN").key(), &RandomState::new()).len(), 2);
        assert_eq!(people.come(MemberId(3), 3, &name("Ann")), Err(Fault::NameTaken));
        people.go(ANN, 1);
        assert_eq!(people.come(MemberId(3), 3, &name("Ann")), Err(Fault::NameTaken));
        people.go(BOB, 2);
        assert_eq!(people.come(MemberId(3), 3, &name("Ann")), Ok(Came::Newly));
    }

    #[test]
    fn who_has_chosen_a_name_makes_way_for_a_token() {
        let mut people = People::default();
        let vouched = Name::vouched("ANN", 32).expect("name");
        assert_eq!(people.make_way(BOB, &vouched), None);
        assert_eq!(people.come(ANN, 7, &name("Ann")), Ok(Came::Newly));
        assert_eq!(people.make_way(ANN, &vouched), None, "it is the same member");
        assert_eq!(people.make_way(BOB, &vouched), Some((ANN, 7, name("Ann"))));
        assert_eq!(people.come(BOB, 8, &vouched), Ok(Came::Newly));
        assert_eq!(people.make_way(MemberId(3), &vouched), None, "so says its token");
        assert_eq!(people.name(ANN), Some(&Name::of_user(7)));
        assert_eq!(people.rename(ANN, &name("ann")), Err(Fault::NameTaken));
        assert_eq!((people.go(ANN, 7), people.go(BOB, 8)), (Some(Name::of_user(7)), Some(vouched.clone())));
        assert_eq!(people.names.len(), 0);
        // One that had chosen its name comes back with a token.
        assert_eq!(people.come(ANN, 7, &name("Ann")), Ok(Came::Newly));
        assert_eq!(people.come(ANN, 9, &vouched), Ok(Came::Again));
        assert_eq!(people.come(BOB, 8, &vouched), Ok(Came::Newly));
    }

    #[test]
    fn numbers_come_and_go() {
        let (mut people, keys) = (People::default(), RandomState::new());
        [1, 3, 2].into_iter().for_each(|user| people.come_numbered(user));
        let names: Vec<_> = people.list(2, &keys).into_iter().map(|(_, name)| name.to_string()).collect();
        assert_eq!(names, ["User #1", "User #2"]);
        let id = MemberId::without_session(&keys, 2);
        let called = |key: &str| people.called(key, &keys).len();
        assert_eq!(["user #2", "user #4", "#2", "2", "ann #2"].map(called), [1, 0, 0, 0, 0]);
        assert_eq!(people.called("user #2", &keys), [(id, Name::of_user(2).text)]);
        assert_eq!(people.go(id, 2), Some(Name::of_user(2)));
        assert_eq!((people.go(id, 2), people.numbered.as_slice()), (None, &[1, 3][..]));
    }
}

//! `wsgate top`: the life of a running gateway in a terminal, or once as text, through its admin door.

mod arithmetic;
mod desk;
mod dialog;
mod door;
mod draw;
mod figures;
mod history;
mod metrics;
mod palette;
mod plain;
mod screen;
mod snapshot;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod watch;

use std::io::IsTerminal as _;

use self::door::Door;
use self::palette::Palette;
use self::state::State;
use self::table::Sort;
use self::watch::{News, Watch};
use crate::arguments::{Arguments, Top};
use crate::output::say;
use crate::serve::{Source, fail, tell_problems};

/// Looks until the operator leaves, or once; gives the exit code.
pub(crate) fn top(arguments: &Arguments, wishes: &Top) -> u8 {
    let door = match door(arguments, wishes) {
        Ok(door) => door,
        Err(code) => return code,
    };
    let state = State { about: (door.address(), format!("{:?}", wishes.every)), ..State::default() };
    let watch = Watch::new(door, wishes.every);
    if wishes.once || !std::io::stdout().is_terminal() {
        return once(watch, state, wishes);
    }
    match screen::show(watch, state, Palette::of_environment()) {
        Ok(()) => 0,
        Err(error) => fail(&format!("the terminal cannot be used: {error}")),
    }
}

/// The door that is named, else that of the configuration.
fn door(arguments: &Arguments, wishes: &Top) -> Result<Door, u8> {
    if let Some(place) = &wishes.admin {
        return Door::named(place, wishes.token_file.as_deref()).map_err(|wrong| fail(&wrong));
    }
    let config = Source::of(arguments).read().map_err(|problems| tell_problems(&problems))?;
    let admin = config.admin.ok_or_else(|| fail("the configuration has no [admin] listen; there is --admin, too"))?;
    Ok(Door::configured(admin.listen, admin.token.as_ref()))
}

/// Rates take two looks.
fn once(mut watch: Watch, mut state: State, wishes: &Top) -> u8 {
    state.sort = Sort::Bytes;
    for look in 0..2 {
        if look > 0 {
            std::thread::sleep(wishes.every);
        }
        match watch.look() {
            Ok(sample) => state.take(News::Sample(Box::new(sample))),
            Err(why) => return fail(&format!("the admin door does not answer: {}", plain::Plain::of(&why))),
        }
    }
    state.figures.as_ref().map_or(1, |figures| say(snapshot::text(&state, figures)))
}

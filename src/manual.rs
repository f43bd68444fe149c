//! `wsgate man` and `wsgate completions`: written from the same definition that the command line is read with.

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output::say;
use crate::serve::fail;

/// Prints the manual page, of the whole or of one command.
pub(crate) fn page(of: Option<&str>) -> u8 {
    let whole = whole();
    let command = match of {
        None => Some(&whole),
        Some(name) => whole.get_subcommands().find(|command| command.get_name() == name),
    };
    let Some(command) = command else {
        let names: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
        return fail(&format!("no such command: {}; there are {}", of.unwrap_or_default(), names.join(", ")));
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(command.clone()).render(&mut text) {
        Ok(()) => say(&text),
        Err(error) => fail(&format!("cannot write the manual: {error}")),
    }
}

/// Prints what makes this shell complete the command line.
pub(crate) fn completions(shell: Shell) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "wsgate", &mut text);
    say(&text)
}

/// The command line with what each command inherits. Nobody needs a page for `wsgate help`.
fn whole() -> Command {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

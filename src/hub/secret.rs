//! Secrets of rooms, read from where the owner keeps them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::room::Fixed;
use crate::config::{FixedRoom, Problem, Problems, RoomSecret, Secret};

/// Bytes of a secret at most.
const LONGEST: u64 = 256;

/// The fixed rooms with their secrets.
///
/// # Errors
/// Every file that cannot be read, or has no secret in it; their keys begin with `key`.
pub(super) fn read(wishes: &[FixedRoom], key: &str) -> Result<Vec<Fixed>, Problems> {
    let mut problems = Vec::new();
    let fixed = wishes.iter().enumerate().map(|(at, room)| {
        let secret = match &room.secret {
            None => None,
            Some(RoomSecret::Text(secret)) => Some(secret.clone()),
            Some(RoomSecret::File(path)) => read_file(path).map_or_else(
                |wrong| {
                    let key = format!("{key}.fixed[{at}].secret_file");
                    let problem = Problem::new(path.display().to_string(), key, wrong);
                    problems.push(problem.allowing("a file whose first line is a secret of 1 to 256 bytes"));
                    None
                },
                Some,
            ),
        };
        Fixed { wishes: room.clone(), secret }
    });
    let fixed = fixed.collect();
    if problems.is_empty() { Ok(fixed) } else { Err(Problems::new(problems)) }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 2).read_to_string(&mut text));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    // Editors end a file with a line end.
    match text.lines().next().unwrap_or_default() {
        "" => Err("there is no secret in it".to_owned()),
        line if line.len() as u64 > LONGEST => Err("the secret is too long".to_owned()),
        line => Ok(Secret::new(line)),
    }
}

//! What scripts leave in `PREFIX:in`: read by one gateway at a time, added to its room once, and then taken out. What a
//! gateway had read when it died is read again by another.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};

use super::chapter::Chapter;
use super::connect::{BLOCK, Line, Trouble, trouble};
use super::entry;
use super::facts::Facts;
use super::flight::{Gear, of_script};
use super::page::{Raw, sound};
use crate::lifecycle::clock;

/// Messages that are read at once.
const COUNT: usize = 64;
/// The group of consumers that all gateways of a hub are.
const GROUP: &str = "wsgate";

/// Reads what scripts leave, for as long as the connection lasts.
pub(super) struct Inlet {
    pub(super) chapter: Arc<Chapter>,
    pub(super) gear: Gear,
    /// Where it may take a while until something comes.
    pub(super) patient: Line,
    pub(super) facts: Arc<Facts>,
}

impl Inlet {
    /// Runs until Redis is gone; returns why. Where it may not read, it tries again at times: rooms do without.
    pub(super) async fn run(mut self) -> RedisError {
        loop {
            match self.read().await {
                Ok(()) => {}
                Err(error) if trouble(&error) == Trouble::Refused => {
                    tracing::warn!(stream = %self.chapter.inlet(), %error, "redis refuses what scripts leave");
                    clock::sleep(self.gear.expiry).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Until somebody takes the group away, as a Redis does that has forgotten everything.
    async fn read(&mut self) -> RedisResult<()> {
        let key = self.chapter.inlet();
        let mut command = cmd("XGROUP");
        command.arg("CREATE").arg(&key).arg(GROUP).arg("0").arg("MKSTREAM");
        match command.query_async::<()>(&mut self.gear.line).await {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
            _ => {}
        }
        while self.turn(&key).await? {}
        Ok(())
    }

    /// Reads once; whether the group is still there.
    async fn turn(&mut self, key: &str) -> RedisResult<bool> {
        let mut claim = cmd("XAUTOCLAIM");
        let idle = u64::try_from(self.gear.expiry.as_millis()).unwrap_or(u64::MAX);
        claim.arg(key).arg(GROUP).arg(&*self.gear.node).arg(idle).arg("0").arg("COUNT").arg(COUNT);
        let claimed: RedisResult<(String, Vec<Value>)> =
            match claim.query_async::<Vec<Value>>(&mut self.gear.line).await {
                Ok(answer) => read_claim(answer),
                Err(error) => Err(error),
            };
        let claimed = match claimed {
            Ok((_, entries)) => entries,
            Err(error) if error.code() == Some("NOGROUP") => return Ok(false),
            Err(error) => return Err(error),
        };
        self.take(key, sound(claimed)).await?;
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&*self.gear.node).arg("COUNT").arg(COUNT);
        command.arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1000)).arg("STREAMS").arg(key).arg(">");
        let read: RedisResult<Option<HashMap<String, Vec<Value>>>> = command.query_async(&mut self.patient).await;
        match read {
            Ok(streams) => {
                for (_, raw) in streams.unwrap_or_default() {
                    self.take(key, sound(raw)).await?;
                }
                Ok(true)
            }
            Err(error) if matches!(error.code(), Some("NOGROUP" | "UNBLOCKED")) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds each message once, whoever has read it before, and takes it out; also one for a room whose key is something
    /// else, which nobody could ever add.
    async fn take(&mut self, key: &str, raw: Raw) -> RedisResult<()> {
        for (name, mut fields) in raw {
            let room = fields.remove("room").filter(|room| self.chapter.allows(room));
            match (room, entry::of_script(fields, self.chapter.text())) {
                (Some(room), Ok(said)) => {
                    let ask = of_script(format!("in/{name}"), &self.gear.node, said);
                    match self.gear.add(&self.chapter, &room, &ask).await {
                        Ok(_) => self.facts.published.add(1),
                        Err(error) if trouble(&error) == Trouble::Refused => {
                            tracing::warn!(%room, %error, "redis refuses what a script has said");
                            self.facts.bad.add(1);
                        }
                        Err(error) => return Err(error),
                    }
                }
                _ => self.facts.bad.add(1),
            }
            let _: i64 = cmd("XACK").arg(key).arg(GROUP).arg(&name).query_async(&mut self.gear.line).await?;
            let _: i64 = cmd("XDEL").arg(key).arg(&name).query_async(&mut self.gear.line).await?;
        }
        Ok(())
    }
}

/// Where to go on, and the entries: newer servers say more.
fn read_claim(mut answer: Vec<Value>) -> RedisResult<(String, Vec<Value>)> {
    if answer.len() < 2 {
        return Err(RedisError::from((ErrorKind::UnexpectedReturnType, "not what XAUTOCLAIM answers")));
    }
    let entries = answer.swap_remove(1);
    let next = answer.swap_remove(0);
    Ok((FromRedisValue::from_redis_value(next)?, FromRedisValue::from_redis_value(entries)?))
}

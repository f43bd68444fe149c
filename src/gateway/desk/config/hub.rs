//! A hub as its table would write it: its rooms' secrets are not shown.

use serde_json::{Value, json};

use super::{HIDDEN, or_none, path, rate, time, url};
use crate::config::{Filter, FixedRoom, HistoryStore, Hub, RoomSecret, SayRate, Unfiltered};

pub(super) fn told(hub: &Hub) -> Value {
    let Hub {
        history,
        history_size,
        page,
        to_sender,
        escape,
        rooms,
        room,
        room_names,
        create,
        members,
        rooms_per_member,
        presence,
        name_length,
        text,
        say,
        forget_empty,
        mailbox,
        mailbox_size,
        bans,
        mutes,
        rooms_claim,
        name_claim,
        moderator_claim,
        history_age,
        history_store,
        filter,
        fixed,
        shared,
    } = hub;
    let SayRate { rate: often, burst } = say;
    let (store, file) = match history_store {
        HistoryStore::Memory => ("memory", None),
        HistoryStore::File(file) => ("file", Some(path(file))),
    };
    let mut told = json!({
        "history": history, "history_size": history_size, "page": page, "to_sender": to_sender, "escape": escape,
        "rooms": rooms, "room": room, "room_names": room_names.text(), "create": create, "members": members,
        "rooms_per_member": rooms_per_member, "presence": presence, "name_length": name_length, "text": text,
        "say": { "rate": rate(*often), "burst": burst },
        "forget_empty": time(*forget_empty)
    });
    told["mailbox"] = (*mailbox).into();
    told["mailbox_size"] = (*mailbox_size).into();
    told["bans"] = (*bans).into();
    told["mutes"] = (*mutes).into();
    told["rooms_claim"] = rooms_claim.as_str().into();
    told["name_claim"] = name_claim.as_str().into();
    told["moderator_claim"] = moderator_claim.as_str().into();
    told["history_age"] = or_none(*history_age);
    told["history_store"] = store.into();
    told["history_file"] = file.into();
    told["filter"] = filter.as_deref().map_or(Value::Null, of_filter);
    told["fixed"] = fixed.iter().map(of_room).collect();
    told["cluster"] = shared.as_deref().into();
    told
}

fn of_filter(filter: &Filter) -> Value {
    // Transport, host and target are what the URL says.
    let Filter { url: written, transport: _, host: _, target: _, ca, timeout, at_once, idle_connections, on_error } =
        filter;
    json!({
        "url": url(written),
        "ca": ca.as_deref().map(path),
        "timeout": time(*timeout),
        "at_once": at_once,
        "idle_connections": idle_connections,
        "on_error": match on_error {
            Unfiltered::Pass => "pass",
            Unfiltered::Refuse => "refuse",
        }
    })
}

fn of_room(room: &FixedRoom) -> Value {
    let FixedRoom { name, history, members, secret, read_only, slow } = room;
    let (secret, file) = match secret {
        None => (None, None),
        Some(RoomSecret::Text(_)) => (Some(HIDDEN), None),
        Some(RoomSecret::File(file)) => (None, Some(path(file))),
    };
    json!({
        "name": name,
        "history": history,
        "members": members,
        "secret": secret,
        "secret_file": file,
        "read_only": read_only,
        "slow": time(*slow)
    })
}

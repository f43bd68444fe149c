//! A route as its table would write it.

use serde_json::{Map, Value, json};

use super::{hub, of_address, or_none, path, rate, time, url, word};
use crate::config::auth::{Algorithm, Auth, AuthRequest, Jwt, Keys, OnError, TokenPlace};
use crate::config::{
    BINARY, BackendHead, BadText, Hold, Legacy, Origins, Pages, Profile, Proxy, Refuse, Route, SessionLimits,
    SlowClient, Subprotocol, Target, TraceParent,
};

pub(super) fn told(route: &Route) -> Value {
    let Route {
        path,
        host,
        origins,
        require_origin,
        refuse,
        connections,
        address,
        auth,
        limits,
        client_certificate,
        target,
        pages,
    } = route;
    let (refuse, code) = match refuse {
        Refuse::Http => ("http", None),
        Refuse::Close(code) => ("close", code.map(crate::wire::close::Code::get)),
    };
    let mut told = json!({
        "path": path,
        "host": host,
        "origins": match origins {
            Origins::SameHost => Value::Null,
            Origins::Any => json!(["*"]),
            Origins::List(rules) => rules.iter().map(|rule| Value::from(rule.to_string())).collect(),
        },
        "require_origin": require_origin,
        "refuse": refuse,
        "refuse_code": code,
        "client_certificate": client_certificate,
        "limits": of_limits(limits),
        "auth": auth.as_ref().map(of_auth),
        "http": pages.as_ref().map(of_pages)
    });
    told["limits"]["connections"] = (*connections).into();
    told["limits"]["address"] = address.as_ref().map_or(Value::Null, of_address);
    match target {
        Target::Hub(wishes) => told["hub"] = hub::told(wishes),
        Target::Echo => told["echo"] = json!({}),
        Target::Proxy(proxy) => told["proxy"] = of_proxy(proxy),
        Target::Redirect(to) => told["redirect"] = url(to),
        Target::Pages => {}
    }
    told
}

fn of_limits(limits: &SessionLimits) -> Value {
    let SessionLimits {
        message_size,
        messages,
        idle_timeout,
        ping_interval,
        max_lifetime,
        close_timeout,
        send_queue,
        slow_client,
        utf8,
        // Never configured.
        credentials: _,
    } = limits;
    json!({
        "message_size": message_size,
        "messages_per_connection": rate(*messages),
        "idle_timeout": or_none(*idle_timeout),
        "ping_interval": or_none(*ping_interval),
        "max_lifetime": or_none(*max_lifetime),
        "close_timeout": time(*close_timeout),
        "send_queue": send_queue,
        "slow_client": match slow_client {
            SlowClient::Close => "close",
            SlowClient::DropOldest => "drop_oldest",
            SlowClient::Latest => "latest",
        },
        "utf8": utf8
    })
}

fn of_auth(auth: &Auth) -> Value {
    match auth {
        Auth::Jwt(jwt) => of_jwt(jwt),
        Auth::Request(request) => of_request(request),
    }
}

fn of_jwt(jwt: &Jwt) -> Value {
    let Jwt { algorithms, keys, issuer, audience, leeway, require, token, strip, claims } = jwt;
    // Where they are, and not what they are.
    let (kind, file) = match keys {
        Keys::Secret(file) => ("secret", file),
        Keys::Public(file) => ("public", file),
        Keys::Set(file) => ("set", file),
    };
    let place = |place: &TokenPlace| match place {
        TokenPlace::Header => "header".to_owned(),
        TokenPlace::Cookie(name) => format!("cookie:{name}"),
        TokenPlace::Query(name) => format!("query:{name}"),
        TokenPlace::Subprotocol => "subprotocol".to_owned(),
    };
    json!({
        "kind": "jwt",
        "algorithms": algorithms.iter().map(|one| word(&Algorithm::ALL, one)).collect::<Vec<_>>(),
        "keys": { "kind": kind, "file": path(file) },
        "issuer": issuer,
        "audience": audience,
        "leeway": time(*leeway),
        "require": require,
        "token": token.iter().map(place).collect::<Vec<_>>(),
        "strip": strip,
        "claims": claims.iter().map(|(header, claim)| (header.clone(), Value::from(&**claim))).collect::<Map<_, _>>()
    })
}

fn of_request(request: &AuthRequest) -> Value {
    let AuthRequest {
        url: written,
        // What the URL says.
        transport: _,
        host: _,
        target: _,
        ca,
        timeout,
        headers,
        cache,
        cache_entries,
        cache_refusals,
        at_once,
        idle_connections,
        on_error,
    } = request;
    json!({
        "kind": "request",
        "url": url(written),
        "ca": ca.as_deref().map(path),
        "timeout": time(*timeout),
        "headers": headers,
        "cache": or_none(*cache),
        "cache_entries": cache_entries,
        "cache_refusals": cache_refusals,
        "at_once": at_once,
        "idle_connections": idle_connections,
        "on_error": match on_error {
            OnError::Refuse => "refuse",
            OnError::Allow => "allow",
        }
    })
}

fn of_proxy(proxy: &Proxy) -> Value {
    let Proxy { pool, profile, legacy, head, hold } = proxy;
    let mut told = of_head(head);
    told["pool"] = pool.as_str().into();
    told["profile"] = word(&Profile::ALL, profile).into();
    told["legacy"] = legacy.as_ref().map_or(Value::Null, of_legacy);
    told["hold"] = hold.as_ref().map_or(Value::Null, of_hold);
    told
}

fn of_head(head: &BackendHead) -> Value {
    let BackendHead { budget, cookies, pass_headers, strip_prefix, subprotocol, subprotocols, traceparent } = head;
    json!({
        "head_budget": budget,
        "cookies": cookies,
        "pass_headers": pass_headers,
        "strip_prefix": strip_prefix,
        "subprotocol": word(&Subprotocol::ALL, subprotocol),
        "subprotocols": subprotocols,
        "traceparent": word(&TraceParent::ALL, traceparent)
    })
}

fn of_legacy(legacy: &Legacy) -> Value {
    let Legacy { one_frame_per_read, pace_reply, message_size, binary, bad_text, quickack } = legacy;
    json!({
        "one_frame_per_read": one_frame_per_read,
        "pace_reply": time(*pace_reply),
        "message_size": message_size,
        "binary": word(&BINARY, binary),
        "bad_text": match bad_text {
            BadText::Drop => "drop",
            BadText::Replace => "replace",
            BadText::Close => "close",
        },
        "quickack": quickack
    })
}

fn of_hold(hold: &Hold) -> Value {
    let Hold { time: length, replay_messages, replay_size, queue, any_end } = hold;
    json!({
        "time": time(*length),
        "replay_messages": replay_messages,
        "replay_size": replay_size,
        "queue": queue,
        "any_end": any_end
    })
}

fn of_pages(pages: &Pages) -> Value {
    let Pages { pool, strip_prefix, at_once, body, body_timeout, answer_timeout, answer_head, idle_connections } =
        pages;
    json!({
        "pool": pool,
        "strip_prefix": strip_prefix,
        "at_once": at_once,
        "body": body,
        "body_timeout": time(*body_timeout),
        "answer_timeout": time(*answer_timeout),
        "answer_head": answer_head,
        "idle_connections": idle_connections
    })
}

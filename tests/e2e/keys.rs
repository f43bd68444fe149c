//! Every setting has an effect that somebody has seen: one test for each key of `config/gateway.toml`.
//!
//! [`SEEN`] names them all; a key that is in no test, or whose test is gone, fails the first one below.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wsgate::Config;

use crate::support::backend::Backend;
use crate::support::frames::{self, BINARY, PING, PONG, TEXT};
use crate::support::peer::Peer;
use crate::support::process::Program;
use crate::support::{Running, gateway, trust, within};

/// Key by key, the test that sees what it does.
const SEEN: &[(&str, &str)] = &[
    ("listen", "keys::listen_takes_several_and_unix"),
    ("workers", "keys::workers_are_threads"),
    ("trusted_proxies", "keys::trusted_proxies_name_the_client"),
    ("handshake_timeout", "keys::handshake_timeout_ends_who_is_slow"),
    ("drain_timeout", "life::a_client_that_ignores_its_close_is_cut_at_the_drain_timeout_and_the_exit_is_2"),
    ("drain_pace", "life::a_drain_sends_the_idle_home_first_and_few_at_a_time"),
    ("upgrade_timeout", "upgrade::a_program_that_cannot_take_over_is_told_and_the_old_one_goes_on"),
    ("plaintext", "keys::plaintext_lets_ws_out_of_this_machine"),
    ("tls.certificates", "keys::certificates_are_shown_by_name"),
    ("tls.certificates.chain", "keys::certificates_are_shown_by_name"),
    ("tls.certificates.key", "keys::certificates_are_shown_by_name"),
    ("tls.self_signed", "keys::self_signed_has_the_names"),
    ("tls.hsts", "plain::answers_over_tls_say_for_how_long_it_is_to_be_https"),
    ("tls.client_ca", "mtls::only_clients_with_a_certificate_get_a_connection"),
    ("tls.client_certificate", "mtls::a_route_may_ask_for_what_others_do_not_need"),
    ("tls.client_crl", "mtls::a_certificate_that_is_revoked_is_refused"),
    ("route.client_certificate", "mtls::a_route_may_ask_for_what_others_do_not_need"),
    ("to_https.listen", "plain::everybody_is_sent_to_the_same_place_on_https"),
    ("to_https.port", "plain::everybody_is_sent_to_the_same_place_on_https"),
    ("to_https.acme_webroot", "plain::questions_of_acme_are_answered_from_a_folder"),
    ("tls.min_version", "keys::min_version_shuts_out_older_ones"),
    ("admin.listen", "keys::admin_listens_apart"),
    ("admin.token_file", "desk::a_token_opens_the_desk"),
    ("admin.token_env", "desk::a_token_may_be_in_the_environment"),
    ("admin.body", "desk::what_is_asked_wrongly_is_told"),
    ("log.format", "keys::log_format_and_level"),
    ("log.level", "keys::log_format_and_level"),
    ("log.buffer", "log::a_log_that_nobody_reads_stops_nobody_and_says_what_is_missing"),
    ("cluster.redis", "cluster::members_of_two_gateways_see_one_order_and_the_same_ids"),
    ("cluster.username", "cluster::a_redis_with_users_and_passwords_lets_in_who_knows_them"),
    ("cluster.password_file", "cluster::a_redis_with_users_and_passwords_lets_in_who_knows_them"),
    ("cluster.sentinel_username", "cluster::sentinels_have_users_and_passwords_of_their_own"),
    ("cluster.sentinel_password_file", "cluster::sentinels_have_users_and_passwords_of_their_own"),
    ("cluster.ca", "cluster::tls_to_redis_is_checked_against_its_ca"),
    ("cluster.prefix", "cluster::prefixes_keep_rooms_apart"),
    ("cluster.node", "cluster::members_of_a_gateway_that_dies_are_gone_within_the_expiry"),
    ("cluster.timeout", "cluster::a_redis_that_does_not_answer_in_time_is_gone"),
    ("cluster.reconnect", "cluster::redis_is_tried_again_as_often_as_is_wished"),
    ("cluster.presence_expiry", "cluster::members_of_a_gateway_that_dies_are_gone_within_the_expiry"),
    ("cluster.queue", "cluster::what_redis_does_not_take_is_not_read_and_comes_in_its_order_later"),
    ("route.hub.cluster", "cluster::prefixes_keep_rooms_apart"),
    ("limits.connections", "keys::connections_are_counted_in_all"),
    ("limits.pending", "keys::pending_connections_are_counted"),
    ("limits.pending_per_address", "keys::pending_connections_are_counted"),
    ("limits.request_head", "keys::request_head_is_bounded"),
    ("limits.connections_per_address", "keys::connections_are_counted_by_address"),
    ("limits.handshakes_per_address", "keys::handshakes_are_counted_by_address"),
    ("limits.message_size", "keys::message_size_is_bounded"),
    ("limits.messages_per_connection", "keys::messages_are_counted"),
    ("limits.idle_timeout", "keys::idle_sessions_end"),
    ("limits.ping_interval", "keys::pings_are_sent_and_must_be_answered"),
    ("limits.max_lifetime", "keys::old_sessions_end"),
    ("limits.close_timeout", "keys::a_close_is_not_waited_for_forever"),
    ("limits.send_queue", "keys::a_slow_member_is_cut"),
    ("limits.slow_client", "keys::what_a_slow_member_misses_can_be_chosen"),
    ("limits.utf8", "keys::text_is_checked_unless_told_otherwise"),
    ("route.path", "keys::path_and_redirect"),
    ("route.redirect", "keys::path_and_redirect"),
    ("route.host", "keys::host_chooses_the_route"),
    ("route.origins", "keys::origins_are_let_in"),
    ("route.require_origin", "keys::origin_can_be_required"),
    ("route.refuse", "refuse::an_origin_that_is_not_allowed"),
    ("route.auth", "auth::a_token_opens_the_door_and_does_not_go_through_it"),
    ("route.auth.kind", "auth::a_server_is_asked_before_the_backend_is"),
    ("route.auth.algorithms", "auth::keys_are_read_anew_at_a_reload"),
    ("route.auth.secret_file", "auth::a_token_opens_the_door_and_does_not_go_through_it"),
    ("route.auth.key_file", "auth::keys_are_read_anew_at_a_reload"),
    ("route.auth.jwks_file", "auth::keys_are_read_anew_at_a_reload"),
    ("route.auth.issuer", "auth::a_refusal_says_what_is_wrong_and_reaches_no_backend"),
    ("route.auth.audience", "auth::a_refusal_says_what_is_wrong_and_reaches_no_backend"),
    ("route.auth.leeway", "auth::the_leeway_lets_a_late_token_in_and_stay"),
    ("route.auth.require", "auth::a_refusal_says_what_is_wrong_and_reaches_no_backend"),
    ("route.auth.token", "auth::a_token_opens_the_door_and_does_not_go_through_it"),
    ("route.auth.strip", "auth::a_token_goes_through_where_the_owner_wants_it"),
    ("route.auth.claims", "auth::a_token_opens_the_door_and_does_not_go_through_it"),
    ("route.auth.url", "auth::a_server_is_asked_before_the_backend_is"),
    ("route.auth.ca", "auth::a_servers_certificate_is_checked_against_its_ca"),
    ("route.auth.timeout", "auth::a_late_answer_is_none"),
    ("route.auth.headers", "auth::a_server_is_asked_before_the_backend_is"),
    ("route.auth.cache", "auth::an_answer_is_remembered_for_the_same_question"),
    ("route.auth.cache_entries", "auth::no_more_answers_are_remembered_than_there_may_be"),
    ("route.auth.cache_refusals", "auth::an_answer_is_remembered_for_the_same_question"),
    ("route.auth.at_once", "auth::questions_at_once_are_bounded_and_asked_in_turn"),
    ("route.auth.idle_connections", "auth::as_many_connections_are_kept_as_the_owner_says"),
    ("route.auth.on_error", "auth::everybody_comes_in_unvouched_for_where_the_owner_wants_it"),
    ("route.limits", "keys::a_route_has_limits_of_its_own"),
    ("route.limits.connections", "keys::a_route_has_limits_of_its_own"),
    ("route.limits.connections_per_address", "keys::a_route_has_limits_of_its_own"),
    ("route.limits.handshakes_per_address", "keys::a_route_has_limits_of_its_own"),
    ("route.limits.message_size", "keys::a_route_has_limits_of_its_own"),
    ("route.hub.history", "keys::history_is_shown_to_newcomers"),
    ("route.hub.history_size", "keys::history_is_bounded_in_bytes"),
    ("route.hub.history_age", "histories::what_is_too_old_is_gone"),
    ("route.hub.history_store", "histories::newcomers_see_it_and_members_resume_over_a_restart"),
    ("route.hub.history_file", "histories::a_file_that_cannot_be_used_is_told_at_the_start_and_by_check"),
    ("route.hub.page", "keys::the_page_is_shown_unless_told_otherwise"),
    ("route.hub.to_sender", "keys::what_one_says_comes_back_unless_told_otherwise"),
    ("route.hub.escape", "keys::markup_is_escaped_unless_told_otherwise"),
    ("route.hub.rooms", "keys::rooms_are_counted"),
    ("route.hub.room", "chat_keys::the_hubs_own_path_is_a_room"),
    ("route.hub.room_names", "chat_keys::rooms_may_be_called_so_and_not_otherwise"),
    ("route.hub.create", "chat_keys::no_room_is_made_where_the_owner_makes_them"),
    ("route.hub.members", "chat_keys::a_room_has_so_many_members"),
    ("route.hub.rooms_per_member", "chat_keys::a_member_is_in_so_many_rooms"),
    ("route.hub.presence", "chat::a_large_room_is_not_told_who_comes"),
    ("route.hub.name_length", "chat_keys::names_are_so_long"),
    ("route.hub.text", "chat_keys::what_is_said_is_so_long"),
    ("route.hub.say", "chat_keys::who_says_too_much_is_told_and_sent_away"),
    ("route.hub.say.rate", "chat_keys::who_says_too_much_is_told_and_sent_away"),
    ("route.hub.say.burst", "chat_keys::who_says_too_much_is_told_and_sent_away"),
    ("route.hub.forget_empty", "chat_keys::an_empty_room_is_forgotten_in_time"),
    ("route.hub.mailbox", "hub_tests::mailboxes_are_as_large_as_the_owner_wishes"),
    ("route.hub.mailbox_size", "hub_tests::mailboxes_are_as_large_as_the_owner_wishes"),
    ("route.hub.bans", "moderation::bans_and_mutes_are_bounded"),
    ("route.hub.mutes", "moderation::bans_and_mutes_are_bounded"),
    ("route.hub.rooms_claim", "chat_keys::a_token_says_where_one_may_go_and_who_one_is"),
    ("route.hub.name_claim", "chat_keys::a_token_says_where_one_may_go_and_who_one_is"),
    ("route.hub.moderator_claim", "chat_keys::a_token_says_where_one_may_go_and_who_one_is"),
    ("route.hub.filter", "filter::a_message_passes_is_changed_or_refused"),
    ("route.hub.filter.url", "filter::a_message_passes_is_changed_or_refused"),
    ("route.hub.filter.ca", "filter::a_services_certificate_is_checked_against_its_ca"),
    ("route.hub.filter.timeout", "filter::a_late_answer_is_none"),
    ("route.hub.filter.at_once", "filter::questions_at_once_are_bounded_and_the_next_wait"),
    ("route.hub.filter.idle_connections", "filter::as_many_connections_are_kept_as_the_owner_says"),
    ("route.hub.filter.on_error", "filter::without_an_answer_it_is_said_or_not"),
    ("route.hub.fixed", "chat_keys::no_room_is_made_where_the_owner_makes_them"),
    ("route.hub.fixed.name", "chat_keys::no_room_is_made_where_the_owner_makes_them"),
    ("route.hub.fixed.history", "chat_keys::a_fixed_room_has_its_own_bounds"),
    ("route.hub.fixed.members", "chat_keys::a_fixed_room_has_its_own_bounds"),
    ("route.hub.fixed.secret", "chat_keys::a_secret_opens_a_room"),
    ("route.hub.fixed.secret_file", "chat_keys::a_secret_opens_a_room"),
    ("route.hub.fixed.read_only", "chat_keys::a_room_is_for_reading_or_slow"),
    ("route.hub.fixed.slow", "chat_keys::a_room_is_for_reading_or_slow"),
    ("route.echo", "keys::path_and_redirect"),
    ("route.proxy", "keys::a_route_leads_to_its_pool"),
    ("route.proxy.pool", "keys::a_route_leads_to_its_pool"),
    ("route.proxy.profile", "keys::profile_legacy_answers_pings_itself"),
    ("route.proxy.legacy.one_frame_per_read", "keys::one_frame_for_one_read_unless_told_otherwise"),
    ("route.proxy.legacy.pace_reply", "shield::a_backend_that_says_nothing_gets_the_next_frame_after_pace_reply"),
    ("route.proxy.legacy.quickack", "keys::a_backend_that_writes_in_parts_is_acknowledged_at_once"),
    ("route.proxy.legacy.message_size", "keys::message_size_of_a_legacy_backend_is_bounded"),
    ("route.proxy.legacy.binary", "keys::binary_can_be_rejected"),
    ("route.proxy.legacy.bad_text", "keys::bad_text_of_a_backend_is_dropped_replaced_or_the_end"),
    ("route.proxy.legacy.hold", "hold::a_client_whose_backend_restarts_notices_a_pause"),
    ("route.proxy.legacy.hold_queue", "hold::who_says_more_than_may_wait_gets_1012"),
    ("route.proxy.legacy.hold_any_end", "hold::a_backend_that_hangs_up_and_lives_on_is_believed_unless_told_otherwise"),
    ("route.proxy.legacy.replay_messages", "hold::its_first_messages_are_said_again_and_then_what_has_waited"),
    ("route.proxy.legacy.replay_size", "hold::first_messages_that_are_too_large_to_keep_are_no_way_back"),
    ("route.proxy.strip_prefix", "head::a_prefix_is_taken_off_the_path"),
    ("route.proxy.pass_headers", "head::more_headers_pass_when_they_are_named"),
    ("route.proxy.legacy.head_budget", "head::what_does_not_fit_into_the_budget_is_left_out"),
    ("route.proxy.legacy.cookies", "head::cookies_that_are_named_are_never_left_out"),
    ("route.proxy.legacy.subprotocol", "head::an_offer_of_subprotocols_is_answered_passed_or_stripped"),
    ("route.proxy.legacy.subprotocols", "head::the_edge_names_only_subprotocols_of_its_list"),
    ("route.http.pool", "pages::a_request_goes_on_without_what_means_one_hop_and_with_what_is_known_of_the_client"),
    ("route.http.strip_prefix", "pages::a_prefix_is_taken_off_where_the_owner_wishes"),
    ("route.http.at_once", "pages::requests_at_once_are_bounded"),
    ("route.http.body", "pages::a_body_over_its_bound_is_413"),
    ("route.http.body_timeout", "pages::a_body_that_stands_still_is_408_and_an_answer_is_cut"),
    ("route.http.answer_timeout", "pages::an_answer_that_does_not_come_is_504"),
    ("route.http.answer_head", "pages::what_a_backend_says_unsoundly_is_no_answer"),
    ("route.http.idle_connections", "pages::as_many_connections_are_kept_as_the_owner_says"),
    ("pool.backends", "keys::a_route_leads_to_its_pool"),
    ("pool.backends.url", "pool::weights_share_the_turns_and_backups_wait_for_theirs"),
    ("pool.backends.weight", "pool::weights_share_the_turns_and_backups_wait_for_theirs"),
    ("pool.backends.backup", "pool::weights_share_the_turns_and_backups_wait_for_theirs"),
    ("pool.balance", "keys::balance_round_robin_takes_turns"),
    ("pool.hash", "pool::hash_keeps_clients_where_they_are_when_others_go_and_come_back"),
    ("pool.queue", "pool::who_waits_gets_a_place_in_the_order_of_arrival"),
    ("pool.queue_timeout", "pool::who_waits_for_too_long_gets_503_and_its_own_reason"),
    ("pool.handshakes_at_once", "pool::handshakes_with_one_backend_take_turns"),
    ("pool.source_address", "pool::each_client_has_a_source_address_of_its_own"),
    ("pool.proxy_protocol", "pool::a_backend_is_told_of_the_client_by_the_proxy_protocol"),
    ("pool.retries", "pool::a_backend_that_ends_without_a_word_gives_way_to_the_next"),
    ("pool.retry_budget", "pool::a_backend_that_ends_without_a_word_gives_way_to_the_next"),
    ("pool.eject_after", "pool::a_backend_that_keeps_failing_is_left_alone"),
    ("pool.eject_time", "pool::a_backend_comes_back_and_is_out_for_longer_when_it_fails_again"),
    ("pool.eject_max", "pool::the_time_for_which_one_is_left_alone_has_an_end_to_its_growth"),
    ("pool.eject_last", "pool::the_last_one_is_not_left_alone_unless_told"),
    ("pool.slow_start", "pool::who_has_come_back_starts_slowly"),
    ("pool.health", "health::tcp_is_a_connection_and_nothing_else"),
    ("pool.health_interval", "health::who_accepts_and_never_answers_is_taken_out_and_comes_back_when_it_does"),
    ("pool.health_timeout", "health::who_accepts_and_never_answers_is_taken_out_and_comes_back_when_it_does"),
    ("pool.health_rise", "health::what_is_no_sign_of_life_and_what_is"),
    ("pool.health_fall", "health::what_is_no_sign_of_life_and_what_is"),
    ("pool.health_path", "health::a_handshake_is_a_whole_websocket_to_the_letter"),
    ("pool.health_ping", "health::a_ping_may_be_asked_for_or_left_out"),
    ("pool.connections_per_backend", "keys::connections_of_a_backend_are_counted"),
    ("pool.connect_timeout", "keys::a_backend_that_does_not_connect_is_504"),
    ("pool.answer_timeout", "keys::a_backend_that_does_not_answer_is_504"),
    ("pool.ca", "keys::a_backends_certificate_is_checked_against_its_ca"),
];

/// The modules whose tests may stand in [`SEEN`].
const MODULES: [(&str, &str); 22] = [
    ("chat", include_str!("chat.rs")),
    ("chat_keys", include_str!("chat_keys.rs")),
    // What waits inside is seen only there.
    ("hub_tests", include_str!("../../src/hub/tests.rs")),
    ("auth", include_str!("auth.rs")),
    ("cluster", include_str!("cluster.rs")),
    ("desk", include_str!("desk.rs")),
    ("filter", include_str!("filter.rs")),
    ("head", include_str!("head.rs")),
    ("health", include_str!("health.rs")),
    ("histories", include_str!("histories.rs")),
    ("hold", include_str!("hold.rs")),
    ("keys", include_str!("keys.rs")),
    ("life", include_str!("life.rs")),
    ("log", include_str!("log.rs")),
    ("moderation", include_str!("moderation.rs")),
    ("mtls", include_str!("mtls.rs")),
    ("pages", include_str!("pages.rs")),
    ("plain", include_str!("plain.rs")),
    ("pool", include_str!("pool.rs")),
    ("refuse", include_str!("refuse.rs")),
    ("shield", include_str!("shield.rs")),
    ("upgrade", include_str!("upgrade.rs")),
];

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// The keys of the file in which all of them stand, with those that are absent by default and those in inline tables.
fn keys_of(text: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in text.lines() {
        // "#" and no space is a setting that is absent by default.
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_matches(['[', ']']);
            section = if name.starts_with("pool.") { "pool.".to_owned() } else { format!("{name}.") };
        } else if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| is_name(key)) {
            keys.insert(format!("{section}{key}"));
            let inline = value.split(['{', ',', '}']).filter_map(|part| part.trim().split_once(" = "));
            let inline = inline.filter(|(inner, _)| is_name(inner));
            keys.extend(inline.map(|(inner, _)| format!("{section}{key}.{inner}")));
        }
    }
    keys
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
}

#[test]
fn every_key_has_a_test_that_sees_its_effect() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.toml")).expect("read");
    let mut there = keys_of(&file);
    // One of two that cannot stand beside each other.
    assert!(file.contains("token_env = ") && there.insert("admin.token_env".to_owned()));
    let seen: BTreeSet<String> = SEEN.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(there, seen, "left: the keys of config/gateway.toml; right: those that a test sees");
    assert_eq!(seen.len(), SEEN.len(), "a key stands twice");
    for (key, test) in SEEN {
        let (module, name) = test.split_once("::").expect("module::test");
        let (_, text) = MODULES.iter().find(|(have, _)| *have == module).expect("module");
        assert!(text.contains(&format!("fn {name}(")), "{key}: there is no {test}");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

fn limits(limits: &str, routes: &str) -> Running {
    gateway(&format!("limits = {{ {limits} }}\n{ADMIN}{routes}"))
}

fn relay(pool: &str) -> Running {
    gateway(&format!("{ADMIN}[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"p\" }}\n[pool.p]\n{pool}\n"))
}

async fn status(gateway: &Running, path: &str, more: &[&str]) -> u16 {
    gateway.connect().await.upgrade(path, more).await.status
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

async fn get(gateway: &Running, path: &str) -> crate::support::Answer {
    gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await
}

/// The close that ends a session, which is then agreed with.
async fn closed(peer: &mut Peer) -> (u16, String) {
    let close = peer.message().await;
    let told = (close.code(), close.reason());
    peer.agree(&close).await;
    told
}

// The gateway as a whole

#[tokio::test]
async fn listen_takes_several_and_unix() {
    let folder = folder();
    let socket = folder.path().join("s");
    let listen = format!("listen = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{}\"]\n", socket.display());
    let gateway = gateway(&format!("{listen}{ECHO}"));
    assert_eq!(gateway.addresses.len(), 3);
    echoes(&mut gateway.open("/echo").await, "one").await;
    let second = gateway.addresses[1].strip_prefix("ws://").expect("address");
    let mut peer = Peer::connect(second).await;
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "two").await;
    let mut peer = Peer::new(tokio::net::UnixStream::connect(&socket).await.expect("connect"));
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "three").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn workers_are_threads() {
    let folder = folder();
    let program = Program::configured(folder.path(), &format!("workers = 3\n{ECHO}")).await;
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).expect("tasks");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let names: Vec<_> = tasks.map(|task| name(task.expect("task")).trim().to_owned()).collect();
    let mut workers: Vec<_> = names
        .iter()
        .filter(|name| name.strip_prefix("wsgate-").is_some_and(|rest| rest.parse::<usize>().is_ok()))
        .collect();
    workers.sort();
    assert_eq!(workers, ["wsgate-0", "wsgate-1", "wsgate-2"], "{names:?}");
}

#[tokio::test]
async fn trusted_proxies_name_the_client() {
    for (trusted, expected) in [("[]", 429), ("[\"loopback\"]", 101)] {
        let top = format!("trusted_proxies = {trusted}\nlimits = {{ connections_per_address = 1 }}\n");
        let gateway = gateway(&format!("{top}{ECHO}"));
        let mut first = gateway.connect().await;
        assert_eq!(first.upgrade("/echo", &["X-Forwarded-For: 192.0.2.1"]).await.status, 101);
        assert_eq!(status(&gateway, "/echo", &["X-Forwarded-For: 192.0.2.2"]).await, expected, "{trusted}");
        assert_eq!(status(&gateway, "/echo", &["X-Forwarded-For: 192.0.2.1"]).await, 429, "{trusted}");
    }
}

#[tokio::test]
async fn handshake_timeout_ends_who_is_slow() {
    let started = Instant::now();
    let plain = gateway(&format!("handshake_timeout = \"1500ms\"\n{ECHO}"));
    let secure = gateway(&format!("handshake_timeout = \"1500ms\"\n[tls]\nself_signed = [\"localhost\"]\n{ECHO}"));
    let (mut silent, mut shaking, mut slow) = (plain.connect().await, secure.connect().await, plain.connect().await);
    slow.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n").await;
    shaking.send(&[0x16, 3, 1, 2, 0, 1]).await;
    assert_eq!(slow.answer().await.status, 408);
    silent.end().await;
    shaking.end().await;
    // The default is 10 s.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn plaintext_lets_ws_out_of_this_machine() {
    let config = format!("listen = [\"0.0.0.0:0\"]\n{ECHO}");
    let refused = Config::parse(&config, "t", Path::new("")).expect_err("refused").to_string();
    assert!(refused.contains("plain ws beyond this machine"), "{refused}");
    let gateway = gateway(&format!("plaintext = true\n{config}"));
    let port = gateway.addresses[0].rsplit(':').next().expect("port");
    let mut peer = Peer::connect(&format!("127.0.0.1:{port}")).await;
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "out").await;
}

#[tokio::test]
async fn certificates_are_shown_by_name() {
    let folder = folder();
    let made = ["a.example", "b.example"].map(|name| wsgate::make_certificate(folder.path(), &[name.to_owned()]));
    let [a, b] = made.map(|made| made.expect("certificate"));
    let entry = |made: &wsgate::Made| format!("{{ chain = {:?}, key = {:?} }}", made.chain, made.key);
    let gateway = gateway(&format!("[tls]\ncertificates = [{}, {}]\n{ECHO}", entry(&a), entry(&b)));
    let client = trust::only(&a.authority);
    for name in ["a.example", "b.example"] {
        assert!(Peer::connect_tls(&gateway.address(), name, client.clone()).await.is_ok(), "{name}");
    }
    assert!(Peer::connect_tls(&gateway.address(), "c.example", client).await.is_err());
}

#[tokio::test]
async fn self_signed_has_the_names() {
    let gateway = gateway(&format!("[tls]\nself_signed = [\"made.example\"]\n{ECHO}"));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&shown);
    let client = trust::anybody(trust::ANY, move |certificate| *keep.lock().expect("shown") = certificate.to_vec());
    assert!(Peer::connect_tls(&gateway.address(), "made.example", client).await.is_ok());
    let shown = shown.lock().expect("shown");
    assert!(shown.windows(12).any(|bytes| bytes == b"made.example"), "the name is in the certificate");
}

#[tokio::test]
async fn min_version_shuts_out_older_ones() {
    for (least, old_is_served) in [("1.2", true), ("1.3", false)] {
        let gateway = gateway(&format!("[tls]\nself_signed = [\"localhost\"]\nmin_version = \"{least}\"\n{ECHO}"));
        let with = async |versions| {
            let client = trust::anybody(versions, |_| ());
            Peer::connect_tls(&gateway.address(), "localhost", client).await.is_ok()
        };
        assert_eq!((with(trust::TLS12).await, with(trust::ANY).await), (old_is_served, true), "{least}");
    }
}

#[tokio::test]
async fn admin_listens_apart() {
    let gateway = gateway(&format!("{ADMIN}{ECHO}"));
    let door = gateway.admin.as_ref().expect("admin").strip_prefix("http://").expect("address").to_owned();
    let mut peer = Peer::connect(&door).await;
    peer.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((peer.answer().await.status, get(&gateway, "/healthz").await.status), (200, 404));
}

#[tokio::test]
async fn log_format_and_level() {
    for (format, level, is_object, has_connection) in [
        ("json", "info", true, true),
        ("text", "info", false, true),
        ("json", "warn,wsgate=info", true, true),
        ("text", "warn", false, false),
    ] {
        let folder = folder();
        let config = format!("[log]\nformat = \"{format}\"\nlevel = \"{level}\"\n{ECHO}");
        let program = Program::configured(folder.path(), &config).await;
        drop(program.open("/echo").await);
        let log = program.stop().await.err;
        assert_eq!(log.contains("websocket ended"), has_connection, "{level}: {log}");
        assert!(log.lines().all(|line| line.starts_with('{') == is_object), "{format}: {log}");
    }
}

// Limits

#[tokio::test]
async fn connections_are_counted_in_all() {
    let gateway = limits("connections = 1", ECHO);
    let first = gateway.open("/echo").await;
    let refused = gateway.connect().await.upgrade("/echo", &[]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    drop(first);
    gateway.until_metric("wsgate_websockets_open{route=\"/echo\"}", 0.0).await;
    gateway.open("/echo").await;
}

#[tokio::test]
async fn pending_connections_are_counted() {
    for (limit, reason) in [("pending = 2", "door_full"), ("pending_per_address = 2", "door_address")] {
        let gateway = limits(limit, ECHO);
        let mut waiting = [gateway.connect().await, gateway.connect().await];
        gateway.until_metric("wsgate_tcp_connections_pending", 2.0).await;
        gateway.connect().await.end().await;
        gateway.until_metric(&format!("wsgate_door_closed_total{{reason=\"{reason}\"}}"), 1.0).await;
        // An open WebSocket stands at the door no more.
        for peer in &mut waiting {
            assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
        }
        gateway.open("/echo").await;
    }
}

#[tokio::test]
async fn request_head_is_bounded() {
    let large = format!("X-Large: {}", "x".repeat(9 * 1024));
    for (limit, expected) in [("8KiB", 431), ("16KiB", 101)] {
        let gateway = limits(&format!("request_head = \"{limit}\""), ECHO);
        assert_eq!(status(&gateway, "/echo", &[&large]).await, expected, "{limit}");
    }
}

#[tokio::test]
async fn connections_are_counted_by_address() {
    let gateway = limits("connections_per_address = 1", ECHO);
    let _first = gateway.open("/echo").await;
    let refused = gateway.connect().await.upgrade("/echo", &[]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn handshakes_are_counted_by_address() {
    let gateway = limits("handshakes_per_address = \"2/h\"", ECHO);
    assert_eq!(status(&gateway, "/echo", &[]).await, 101);
    assert_eq!(status(&gateway, "/echo", &[]).await, 101);
    assert_eq!(status(&gateway, "/echo", &[]).await, 429);
}

#[tokio::test]
async fn message_size_is_bounded() {
    let gateway = limits("message_size = \"1KiB\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    echoes(&mut peer, &"x".repeat(1024)).await;
    peer.say(&"x".repeat(1025)).await;
    assert_eq!(peer.message().await.code(), 1009);
}

#[tokio::test]
async fn messages_are_counted() {
    let gateway = limits("messages_per_connection = \"2/h\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    echoes(&mut peer, "one").await;
    echoes(&mut peer, "two").await;
    peer.say("three").await;
    assert_eq!(peer.message().await.code(), 1008);
}

#[tokio::test]
async fn idle_sessions_end() {
    let gateway = limits("idle_timeout = \"1500ms\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    echoes(&mut peer, "x").await;
    assert_eq!(closed(&mut peer).await, (1001, "idle for too long".to_owned()));
}

#[tokio::test]
async fn pings_are_sent_and_must_be_answered() {
    let gateway = limits("ping_interval = \"500ms\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    for _ in 0..3 {
        let ping = peer.frame().await;
        assert_eq!(ping.opcode, PING);
        peer.send(&frames::client(PONG, &ping.payload)).await;
    }
    // From now on it says nothing, and is gone after two intervals.
    let dead = "wsgate_websockets_ended_total{by=\"client\",code=\"1006\"}";
    gateway.until_metric(dead, 1.0).await;
}

#[tokio::test]
async fn old_sessions_end() {
    let gateway = limits("max_lifetime = \"200ms\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    assert_eq!(closed(&mut peer).await, (1001, "open for too long".to_owned()));
}

#[tokio::test]
async fn a_close_is_not_waited_for_forever() {
    let gateway = limits("max_lifetime = \"50ms\", close_timeout = \"100ms\"", ECHO);
    let mut peer = gateway.open("/echo").await;
    assert_eq!(peer.message().await.code(), 1001);
    let told = Instant::now();
    peer.end().await;
    // The default is 5 s.
    assert!(told.elapsed() < Duration::from_secs(4), "{:?}", told.elapsed());
}

#[tokio::test]
async fn a_slow_member_is_cut() {
    let hub = "[[route]]\npath = \"/chat\"\nhub = { history = 0, to_sender = false, say = { rate = \"0/s\" }, text = \"1MiB\" }\n";
    let gateway = limits("send_queue = \"32KiB\", close_timeout = \"100ms\"", hub);
    let _asleep = gateway.enter("/chat").await;
    let mut awake = gateway.enter("/chat").await;
    let mut talker = gateway.enter("/chat").await;
    let text = "x".repeat(16 * 1024);
    let cut = "wsgate_websockets_ended_total{by=\"gateway\",code=\"1013\"}";
    // What the kernel holds comes before what the gateway may hold; who reads gets everything.
    within("the slow member to be cut", async {
        while gateway.metric(cut).await < 1.0 {
            for _ in 0..16 {
                talker.say(&text).await;
                assert_eq!(awake.message().await.payload.len(), text.len() + "User #3: ".len());
            }
        }
    })
    .await;
    assert!((gateway.metric("wsgate_websockets_open{route=\"/chat\"}").await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn what_a_slow_member_misses_can_be_chosen() {
    for slow in ["drop_oldest", "latest"] {
        let hub = "[[route]]\npath = \"/chat\"\nhub = { history = 0, to_sender = false, say = { rate = \"0/s\" }, text = \"1MiB\" }\n";
        let gateway = limits(&format!("send_queue = \"32KiB\", slow_client = \"{slow}\""), hub);
        let mut asleep = gateway.enter("/chat").await;
        let mut awake = gateway.enter("/chat").await;
        let mut talker = gateway.enter("/chat").await;
        // 32 KiB hold seven messages behind what has begun to leave, or the latest. Now and then the kernel takes a
        // little more, also of the last ones: of a few nights one is quiet to its end.
        let held = if slow == "latest" { 1 } else { 7 };
        let mut ends = Vec::new();
        for _night in 0..5 {
            for number in 0..4000 {
                talker.say(&format!("{number:<4000}")).await;
                awake.message().await;
            }
            let got = numbers(&mut asleep, 3999).await;
            assert!(got.is_sorted() && got.len() < 4000, "{slow}: {}", got.len());
            assert!(got.ends_with(&(4000 - held..4000).collect::<Vec<i32>>()), "{slow}");
            ends.push(got[got.len() - 2]);
            if held > 1 || got[got.len() - 2] < 3990 {
                break;
            }
        }
        assert!(held > 1 || ends.iter().any(|end| *end < 3990), "{slow}: {ends:?}");
    }
}

/// The numbers that the third member's messages are, up to this one.
async fn numbers(peer: &mut Peer, last: i32) -> Vec<i32> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let message = peer.message().await;
        let number = message.text().strip_prefix("User #3: ").expect("a whole message");
        numbers.push(number.trim_end().parse().expect("a number"));
    }
    numbers
}

/// A message that no member's queue could hold is its sender's fault, not that of all who would get it.
#[tokio::test]
async fn a_message_over_the_send_queue_ends_its_sender_alone() {
    let hub = "[[route]]\npath = \"/chat\"\nhub = { escape = false }\n";
    let gateway = limits("send_queue = \"32KiB\", message_size = \"1MiB\"", hub);
    let mut other = gateway.open("/chat").await;
    let mut talker = gateway.open("/chat").await;
    talker.say(&"x".repeat(64 * 1024)).await;
    assert_eq!(talker.message().await.code(), 1009);
    other.say("still here").await;
    assert!(other.message().await.text().ends_with(": still here"));
}

#[tokio::test]
async fn text_is_checked_unless_told_otherwise() {
    let bad = frames::client(TEXT, b"\xff");
    let gateway = limits("utf8 = true", ECHO);
    let mut checked = gateway.open("/echo").await;
    checked.send(&bad).await;
    assert_eq!(checked.message().await.code(), 1007);
    let gateway = limits("utf8 = false", ECHO);
    let mut passed = gateway.open("/echo").await;
    passed.send(&bad).await;
    assert_eq!(passed.message().await.payload, b"\xff");
}

// Routes

#[tokio::test]
async fn path_and_redirect() {
    let gateway = gateway(&format!("{ECHO}[[route]]\npath = \"/\"\nredirect = \"/echo\"\n"));
    echoes(&mut gateway.open("/echo").await, "x").await;
    echoes(&mut gateway.open("/echo/below").await, "x").await;
    assert_eq!(status(&gateway, "/echoes", &[]).await, 404);
    let redirect = get(&gateway, "/").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("/echo")));
}

#[tokio::test]
async fn host_chooses_the_route() {
    let host = "[[route]]\nhost = \"Here.example\"\npath = \"/\"\nredirect = \"/for-here\"\n";
    let any = "[[route]]\npath = \"/\"\nredirect = \"/for-all\"\n";
    let gateway = gateway(&format!("{any}{host}"));
    for (host, to) in
        [("here.example", "/for-here"), ("HERE.example:8443", "/for-here"), ("x.here.example", "/for-all")]
    {
        let answer = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.header("location"), Some(to), "{host}");
    }
}

#[tokio::test]
async fn origins_are_let_in() {
    let route = |origins: &str| format!("[[route]]\npath = \"/echo\"\necho = {{}}\n{origins}");
    let cases = [
        ("", [("http://test.example", 101), ("https://a.example", 403), ("null", 403)]),
        (
            "origins = [\"https://a.example\", \"https://*.b.example\"]\n",
            [("https://a.example", 101), ("https://x.b.example", 101), ("http://test.example", 403)],
        ),
        ("origins = [\"null\"]\n", [("null", 101), ("https://a.example", 403), ("https://a.example.null", 403)]),
        (
            "origins = \"*\"\n",
            [("https://a.example", 101), ("http://test.example", 101), ("https://b.example:444", 101)],
        ),
    ];
    for (origins, requests) in cases {
        let gateway = gateway(&route(origins));
        for (origin, expected) in requests {
            assert_eq!(
                status(&gateway, "/echo", &[&format!("Origin: {origin}")]).await,
                expected,
                "{origins} {origin}"
            );
        }
        assert_eq!(status(&gateway, "/echo", &[]).await, 101, "no browser");
    }
}

#[tokio::test]
async fn origin_can_be_required() {
    let gateway = gateway("[[route]]\npath = \"/echo\"\necho = {}\nrequire_origin = true\n");
    assert_eq!(status(&gateway, "/echo", &[]).await, 403);
    assert_eq!(status(&gateway, "/echo", &["Origin: http://test.example"]).await, 101);
}

#[tokio::test]
async fn a_route_has_limits_of_its_own() {
    let with = |own: &str| gateway(&format!("{ECHO}limits = {{ {own} }}\n[[route]]\npath = \"/other\"\necho = {{}}\n"));
    for (own, expected) in
        [("connections = 1", 503), ("connections_per_address = 1", 429), ("handshakes_per_address = \"1/h\"", 429)]
    {
        let gateway = with(own);
        let _first = gateway.open("/echo").await;
        assert_eq!(status(&gateway, "/echo", &[]).await, expected, "{own}");
        assert_eq!(status(&gateway, "/other", &[]).await, 101, "{own}");
    }
    let gateway = with("message_size = \"1KiB\"");
    let large = "x".repeat(1025);
    echoes(&mut gateway.open("/other").await, &large).await;
    let mut peer = gateway.open("/echo").await;
    peer.say(&large).await;
    assert_eq!(peer.message().await.code(), 1009);
}

// The hub

fn hub(settings: &str) -> Running {
    gateway(&format!("{ADMIN}[[route]]\npath = \"/chat\"\nhub = {{ {settings} }}\n"))
}

#[tokio::test]
async fn history_is_shown_to_newcomers() {
    for (settings, shown) in [("history = 2", ["two", "three"].as_slice()), ("history = 0", &[])] {
        let gateway = hub(settings);
        let mut anna = gateway.open("/chat").await;
        for text in ["one", "two", "three"] {
            anna.say(text).await;
            anna.message().await;
        }
        let mut bert = gateway.open("/chat").await;
        bert.say("here").await;
        for text in shown {
            assert_eq!(bert.message().await.text(), format!("User #1: {text}"));
        }
        assert_eq!(bert.message().await.text(), "User #2: here");
    }
}

#[tokio::test]
async fn history_is_bounded_in_bytes() {
    let gateway = hub("history = 10, history_size = \"1KiB\"");
    let mut anna = gateway.open("/chat").await;
    for fill in ["a", "b", "c"] {
        anna.say(&fill.repeat(450)).await;
        anna.message().await;
    }
    let mut bert = gateway.open("/chat").await;
    for fill in ["b", "c"] {
        assert_eq!(bert.message().await.text(), format!("User #1: {}", fill.repeat(450)));
    }
}

#[tokio::test]
async fn the_page_is_shown_unless_told_otherwise() {
    let shown = get(&hub("page = true"), "/chat").await;
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let hidden = get(&hub("page = false"), "/chat").await;
    assert_eq!((hidden.status, hidden.header("upgrade")), (426, Some("websocket")));
}

#[tokio::test]
async fn what_one_says_comes_back_unless_told_otherwise() {
    for (settings, first) in [("to_sender = true", ": mine"), ("to_sender = false", ": yours")] {
        let gateway = hub(settings);
        let (mut anna, mut bert) = (gateway.open("/chat").await, gateway.open("/chat").await);
        anna.say("mine").await;
        assert!(bert.message().await.text().ends_with(": mine"));
        bert.say("yours").await;
        assert!(anna.message().await.text().ends_with(first), "{settings}");
    }
}

#[tokio::test]
async fn markup_is_escaped_unless_told_otherwise() {
    for (settings, shown) in [("escape = true", "User #1: &lt;b&gt;"), ("escape = false", "User #1: <b>")] {
        let gateway = hub(settings);
        let mut peer = gateway.open("/chat").await;
        peer.say("<b>").await;
        assert_eq!(peer.message().await.text(), shown);
    }
}

#[tokio::test]
async fn rooms_are_counted() {
    let gateway = hub("rooms = 1");
    let _first = gateway.open("/chat/a").await;
    assert_eq!(status(&gateway, "/chat/b", &[]).await, 503);
    assert_eq!(status(&gateway, "/chat/a", &[]).await, 101);
}

// Backends

#[tokio::test]
async fn a_route_leads_to_its_pool() {
    let (one, two) = (Backend::bind().await, Backend::bind().await);
    let route = |path: &str, pool: &str| format!("[[route]]\npath = \"{path}\"\nproxy = {{ pool = \"{pool}\" }}\n");
    let pool = |name: &str, url: String| format!("[pool.{name}]\nbackends = [\"{url}\"]\n");
    let routes = format!("{}{}", route("/one", "one"), route("/two", "two"));
    let gateway = gateway(&format!("{routes}{}{}", pool("one", one.url()), pool("two", two.url())));
    for (path, backend) in [("/two/x", &two), ("/one", &one)] {
        let (_peer, (_behind, head)) = tokio::join!(gateway.open(path), backend.upgrade(&[]));
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
    }
}

#[tokio::test]
async fn profile_legacy_answers_pings_itself() {
    for (profile, is_relayed) in [("transparent", true), ("legacy", false)] {
        let backend = Backend::bind().await;
        let proxy = format!("proxy = {{ pool = \"p\", profile = \"{profile}\" }}\n");
        let pool = format!("[pool.p]\nbackends = [\"{}\"]\n", backend.url());
        let gateway = gateway(&format!("[[route]]\npath = \"/ws\"\n{proxy}{pool}"));
        let (mut peer, (mut behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        peer.send(&[frames::client(PING, b"?"), frames::client(BINARY, b"!")].concat()).await;
        if is_relayed {
            assert_eq!(behind.frame().await.opcode, PING);
        } else {
            assert_eq!(peer.frame().await.opcode, PONG);
        }
        assert_eq!(behind.frame().await.payload, b"!");
    }
}

/// A client and its backend, with these parts of the profile `legacy`.
async fn legacy(parts: &str) -> (Running, Peer, Peer) {
    let backend = Backend::bind().await;
    let proxy = format!("proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ {parts} }} }}\n");
    let pool = format!("[pool.p]\nbackends = [\"{}\"]\n", backend.url());
    let gateway = gateway(&format!("{ADMIN}[[route]]\npath = \"/ws\"\n{proxy}{pool}"));
    let (peer, (behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    (gateway, peer, behind)
}

#[tokio::test]
async fn one_frame_for_one_read_unless_told_otherwise() {
    for (parts, reads) in [("", 2), ("one_frame_per_read = true", 2), ("one_frame_per_read = false", 1)] {
        let backend = Backend::bind().await;
        let proxy = format!("proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ {parts} }} }}\n");
        let pool = format!("[pool.p]\nbackends = [\"{}\"]\n", backend.url());
        let gateway = gateway(&format!("workers = 1\n{ECHO}[[route]]\npath = \"/ws\"\n{proxy}{pool}"));
        let (mut peer, (mut behind, _)) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
        let mut other = gateway.open("/echo").await;
        let frame = frames::client(TEXT, b"x");
        peer.send(&frame.repeat(2)).await;
        // The only worker has had its turns.
        for _ in 0..10 {
            echoes(&mut other, "turn").await;
        }
        let mut got = vec![behind.some(4096).await];
        if got[0].len() < 2 * frame.len() {
            got.push(behind.some(4096).await);
        }
        assert_eq!((got.len(), got.concat().len()), (reads, 2 * frame.len()), "{parts}");
    }
}

#[tokio::test]
async fn a_backend_that_writes_in_parts_is_acknowledged_at_once() {
    // Each second part waits for an acknowledgement of the first one: 40 ms, when it is delayed. Nothing but time tells;
    // of a few tries one is undisturbed.
    for _ in 0..10 {
        let (at_once, delayed) = (in_parts("quickack = true").await, in_parts("quickack = false").await);
        if at_once < delayed / 2 {
            return;
        }
    }
    panic!("acknowledgements come late");
}

/// The time that messages in two parts take, by a backend that leaves Nagle's algorithm on.
async fn in_parts(parts: &str) -> Duration {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let proxy = format!("proxy = {{ pool = \"p\", profile = \"legacy\", legacy = {{ {parts} }} }}\n");
    let pool = format!("[pool.p]\nbackends = [\"ws://{}\"]\n", listener.local_addr().expect("address"));
    let gateway = gateway(&format!("[[route]]\npath = \"/ws\"\n{proxy}{pool}"));
    let behind = async {
        let (stream, _) = listener.accept().await.expect("accept");
        let mut behind = Peer::new(stream);
        let head = behind.head().await;
        behind.send(&crate::support::backend::switch(&head, &[])).await;
        behind
    };
    let (mut peer, mut behind) = tokio::join!(gateway.open("/ws"), behind);
    let message = frames::server(TEXT, &[b'x'; 2000]);
    let started = Instant::now();
    for _ in 0..30 {
        peer.say("?").await;
        assert_eq!(behind.frame().await.text(), "?");
        behind.send(&message[..1024]).await;
        behind.send(&message[1024..]).await;
        assert_eq!(peer.message().await.payload.len(), 2000);
    }
    started.elapsed()
}

#[tokio::test]
async fn message_size_of_a_legacy_backend_is_bounded() {
    for (parts, size) in [("", 992), ("message_size = 10", 10), ("message_size = \"2MiB\"", 1 << 20)] {
        let (_gateway, mut peer, mut behind) = legacy(parts).await;
        let large = "x".repeat(size);
        let (_, heard) = tokio::join!(peer.say(&large), behind.frame());
        assert!(heard.text() == large, "{parts}");
        // In pieces, so that no frame alone is too large.
        let over = [frames::masked(TEXT, large.as_bytes()), frames::masked(0x80, b"x")].concat();
        let (_, seen) = tokio::join!(peer.send(&over), behind.rest());
        assert!(seen.is_empty(), "{parts}: the backend sees of it");
        assert_eq!(peer.message().await.code(), 1009, "{parts}");
    }
}

#[tokio::test]
async fn binary_can_be_rejected() {
    for (parts, passes) in [("", true), ("binary = \"pass\"", true), ("binary = \"reject\"", false)] {
        let (_gateway, mut peer, mut behind) = legacy(parts).await;
        peer.say("text").await;
        peer.send(&frames::client(BINARY, b"bin")).await;
        assert_eq!(behind.frame().await.text(), "text");
        if passes {
            assert_eq!(behind.frame().await.opcode, BINARY, "{parts}");
        } else {
            assert_eq!(peer.message().await.code(), 1003, "{parts}");
            behind.end().await;
        }
    }
}

#[tokio::test]
async fn bad_text_of_a_backend_is_dropped_replaced_or_the_end() {
    for (parts, got) in [
        ("", None),
        ("bad_text = \"drop\"", None),
        ("bad_text = \"replace\"", Some("b\u{fffd}d")),
        ("bad_text = \"close\"", Some("")),
    ] {
        let (gateway, mut peer, mut behind) = legacy(parts).await;
        behind.send(&[frames::server(TEXT, b"b\xffd"), frames::server(TEXT, b"good")].concat()).await;
        let counted = "wsgate_backend_bad_texts_total{pool=\"p\"}";
        match got {
            Some("") => {
                assert_eq!(peer.message().await.code(), 1011);
                assert!(gateway.metric(counted).await < 1.0);
                continue;
            }
            Some(text) => assert_eq!(peer.message().await.text(), text),
            None => {}
        }
        assert_eq!(peer.message().await.text(), "good", "{parts}");
        drop(peer);
        gateway.until_metric(counted, 1.0).await;
    }
}

#[tokio::test]
async fn balance_round_robin_takes_turns() {
    for (balance, third) in [("round_robin", "busy"), ("least_connections", "free")] {
        let backends = [Backend::bind().await, Backend::bind().await];
        let urls = backends.each_ref().map(Backend::url);
        let gateway = relay(&format!("backends = {urls:?}\nbalance = \"{balance}\""));
        let open = async || {
            let accept = async {
                tokio::select! {
                    (peer, _) = backends[0].upgrade(&[]) => (peer, 0),
                    (peer, _) = backends[1].upgrade(&[]) => (peer, 1),
                }
            };
            tokio::join!(gateway.open("/ws"), accept)
        };
        let (_peer, (_behind, busy)) = open().await;
        let (peer, (behind, free)) = open().await;
        assert_ne!(busy, free);
        // A session is counted after its 101: before it was, one is open as well.
        gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 2.0).await;
        drop((peer, behind));
        gateway.until_metric("wsgate_websockets_open{route=\"/ws\"}", 1.0).await;
        let (_, (_, chosen)) = open().await;
        assert_eq!(if chosen == busy { "busy" } else { "free" }, third, "{balance}");
    }
}

#[tokio::test]
async fn connections_of_a_backend_are_counted() {
    let backend = Backend::bind().await;
    let gateway = relay(&format!("backends = [\"{}\"]\nconnections_per_backend = 1", backend.url()));
    let (_peer, _behind) = tokio::join!(gateway.open("/ws"), backend.upgrade(&[]));
    assert_eq!(status(&gateway, "/ws", &[]).await, 503);
}

#[tokio::test]
async fn a_backend_that_does_not_connect_is_504() {
    // It takes the TCP connection, but never shakes hands in TLS, which is part of connecting.
    let backend = Backend::bind().await;
    let started = Instant::now();
    let gateway = relay(&format!("backends = [\"wss://{}\"]\nconnect_timeout = \"100ms\"", backend.address));
    assert_eq!(status(&gateway, "/ws", &[]).await, 504);
    assert!(started.elapsed() < Duration::from_millis(2500), "the default is 3 s: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_504() {
    let backend = Backend::bind().await;
    let started = Instant::now();
    let gateway = relay(&format!("backends = [\"{}\"]\nanswer_timeout = \"100ms\"", backend.url()));
    let (status, mut behind) = tokio::join!(status(&gateway, "/ws", &[]), backend.accept());
    assert_eq!(status, 504);
    behind.head().await;
    behind.end().await;
    assert!(started.elapsed() < Duration::from_secs(8), "the default is 10 s: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_backends_certificate_is_checked_against_its_ca() {
    let folder = folder();
    let made = wsgate::make_certificate(folder.path(), &["127.0.0.1".to_owned()]).expect("certificate");
    let certificates = format!("certificates = [{{ chain = {:?}, key = {:?} }}]", made.chain, made.key);
    let behind = gateway(&format!("[tls]\n{certificates}\n[[route]]\npath = \"/ws\"\necho = {{}}\n"));
    let backends = format!("backends = [\"{}\"]\n", behind.addresses[0]);
    assert_eq!(status(&relay(&backends), "/ws", &[]).await, 502);
    let gateway = relay(&format!("{backends}ca = {:?}", made.authority));
    echoes(&mut gateway.open("/ws").await, "trusted").await;
}

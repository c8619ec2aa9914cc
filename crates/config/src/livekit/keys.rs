// SPDX-License-Identifier: EUPL-1.2
//! The table: a line for each key of theirs, and what becomes of it.

use super::draft::{self, Draft, Place};
use super::form::Form::{self, Limit, Seconds, Switch, Text, Texts};
use super::rooms;
use super::turn;
use crate::Wrong;
use crate::yaml::Node;

type Read = fn(&mut Draft, &Node, &Place) -> Result<(), String>;

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// This key of ours has it.
    As(&'static str, Form),
    /// It is read on its own: several of their keys are one of ours, or the other way round.
    Own(Read),
    /// The same, for one that is true or false.
    OwnSwitch(Read),
    /// It has no meaning here, for this reason.
    Moot(&'static str),
    /// It has none, and somebody misses it: who, and what to set instead.
    Missed(&'static str),
}

use Take::{As, Missed, Moot, Own, OwnSwitch};

const ONE_PROCESS: &str = "not needed: there is one process, and it shares nothing with others";
const OWN_ENGINE: &str = "without effect: it tunes the engine of another server";
const ALONE: &str = "this server shares nothing with others: LiveKit's services for egress, ingress and SIP wait there \
                     for jobs and get none, and several servers behind one name hold meetings apart; run one, and \
                     record with [recording] in parvis.toml";
const ALL_ADDRESSES: &str = "without rtc.node_ip clients are offered every address of this machine, inner ones too; \
                             name those that they reach there, or with media.addresses in parvis.toml";
const NO_QUESTIONS: &str = "without effect: this server asks nobody on the network for anything";

/// All keys that are known. A line for `a` also stands for everything below `a`.
const KEYS: &[(&str, Take)] = &[
    ("port", Own(draft::port)),
    ("bind_addresses", Own(draft::bind_addresses)),
    ("rtc.port_range_start", Own(draft::port_range_start)),
    ("rtc.port_range_end", Own(draft::port_range_end)),
    ("rtc.udp_port", Own(draft::udp_port)),
    ("rtc.tcp_port", Own(draft::tcp_port)),
    ("rtc.use_external_ip", OwnSwitch(draft::use_external_ip)),
    ("rtc.node_ip", Own(draft::node_ip)),
    (
        "rtc.advertise_internal_ip",
        Moot("without effect: name each address that is to be offered with media.node_ip in parvis.toml"),
    ),
    ("rtc.external_ip_only", Moot("not needed: with rtc.node_ip clients are offered no other address")),
    ("rtc.node_ip_auto_generated", Moot(NO_QUESTIONS)),
    ("rtc.use_ice_lite", OwnSwitch(draft::use_ice_lite)),
    (
        "rtc.stun_servers",
        Moot("not needed: clients reach this server's addresses without being told their own"),
    ),
    (
        "rtc.turn_servers",
        Missed(
            "clients are told of no relay of others, and who gets through by that alone is not connected; set \
             turn.enabled and turn.domain for our own",
        ),
    ),
    ("rtc.interfaces", Missed(ALL_ADDRESSES)),
    ("rtc.ips", Missed(ALL_ADDRESSES)),
    ("rtc.congestion_control", Moot(OWN_ENGINE)),
    ("rtc.allow_tcp_fallback", Moot("not needed: clients choose the best path that works, at any time")),
    ("rtc.force_tcp", Moot("without effect: clients choose the best path that works")),
    ("rtc.pli_throttle", Moot(OWN_ENGINE)),
    ("rtc.packet_buffer_size", Moot(OWN_ENGINE)),
    ("rtc.packet_buffer_size_video", Moot(OWN_ENGINE)),
    ("rtc.packet_buffer_size_audio", Moot(OWN_ENGINE)),
    ("rtc.batch_io", Moot("not needed: packets are always sent in batches (media.gso, media.gro)")),
    (
        "rtc.enable_loopback_candidate",
        Moot("without effect: name 127.0.0.1 in media.addresses in parvis.toml"),
    ),
    ("rtc.use_mdns", Moot("not needed: this server hides no address of its own")),
    ("rtc.strict_acks", Moot(OWN_ENGINE)),
    ("rtc.reconnect_on_publication_error", Moot(OWN_ENGINE)),
    ("rtc.reconnect_on_subscription_error", Moot(OWN_ENGINE)),
    ("rtc.reconnect_on_data_channel_error", Moot(OWN_ENGINE)),
    ("rtc.data_channel_max_buffered_amount", Moot(OWN_ENGINE)),
    ("rtc.datachannel_slow_threshold", Moot(OWN_ENGINE)),
    ("rtc.datachannel_lossy_target_latency", Moot(OWN_ENGINE)),
    ("rtc.forward_stats", Moot(OWN_ENGINE)),
    ("redis", Missed(ALONE)),
    ("keys", Own(draft::keys)),
    ("key_file", Own(draft::key_file)),
    ("room.auto_create", As("rooms.auto_create", Switch)),
    ("room.empty_timeout", As("rooms.empty_timeout", Seconds)),
    ("room.departure_timeout", As("rooms.departure_timeout", Seconds)),
    ("room.max_participants", As("rooms.max_participants", Limit)),
    ("room.enabled_codecs", Own(draft::enabled_codecs)),
    ("room.enable_remote_unmute", As("rooms.remote_unmute", Switch)),
    ("room.playout_delay.enabled", OwnSwitch(rooms::delay_enabled)),
    ("room.playout_delay.min", Own(rooms::delay_least)),
    ("room.playout_delay.max", Own(rooms::delay_most)),
    ("room.sync_streams", As("rooms.sync_streams", Switch)),
    ("room.room_configurations", Own(rooms::configurations)),
    ("room.max_metadata_size", As("rooms.max_metadata_bytes", Limit)),
    ("room.participant_disconnect_timeout", As("sessions.resume_timeout", Seconds)),
    ("room.create_room_timeout", Moot(ONE_PROCESS)),
    ("room.create_room_attempts", Moot(ONE_PROCESS)),
    ("room.update_room_metadata_timeout", Moot(ONE_PROCESS)),
    ("webhook.api_key", As("webhooks.api_key", Text)),
    ("webhook.urls", Own(draft::webhook_urls)),
    ("webhook.filter_params.include_events", As("webhooks.include_events", Texts)),
    ("webhook.filter_params.exclude_events", As("webhooks.exclude_events", Texts)),
    ("turn.enabled", OwnSwitch(turn::enabled)),
    ("turn.domain", As("turn.host", Text)),
    ("turn.udp_port", Own(turn::udp_port)),
    ("turn.tls_port", Own(turn::tls_port)),
    ("turn.cert_file", Own(turn::certificate)),
    ("turn.key_file", Own(turn::key)),
    ("turn.external_tls", OwnSwitch(turn::external_tls)),
    ("turn.relay_range_start", Moot("not needed: what is relayed goes to this server alone")),
    ("turn.relay_range_end", Moot("not needed: what is relayed goes to this server alone")),
    ("turn.ttl_seconds", Own(turn::ttl)),
    ("turn.allow_restricted_peer_cidrs", Moot("without effect: the relay reaches this server's media alone")),
    ("turn.deny_peer_cidrs", Moot("not needed: the relay reaches this server's media alone")),
    ("audio", Moot("without effect: who is heard and shown as speaking is told by [media] in parvis.toml")),
    ("video", Moot(OWN_ENGINE)),
    (
        "limit.num_tracks",
        Moot("without effect: media.max_peers_per_shard in parvis.toml bounds a thread's load"),
    ),
    (
        "limit.bytes_per_sec",
        Moot("without effect: media.max_peers_per_shard in parvis.toml bounds a thread's load"),
    ),
    ("limit.subscription_limit_video", As("media.max_subscriptions_per_peer", Limit)),
    (
        "limit.subscription_limit_audio",
        Moot("without effect: media.max_subscriptions_per_peer counts all tracks"),
    ),
    ("limit.max_metadata_size", As("rooms.max_metadata_bytes", Limit)),
    ("limit.max_attributes_size", As("rooms.max_attributes_bytes", Limit)),
    ("limit.max_room_name_length", Moot("without effect: names of rooms have at most 256 characters")),
    ("limit.max_participant_identity_length", Moot("without effect: identities have at most 256 characters")),
    ("limit.max_participant_name_length", As("rooms.max_name_chars", Limit)),
    ("logging.level", Own(draft::log_level)),
    ("logging.json", As("log.json", Switch)),
    ("logging.pion_level", Moot(OWN_ENGINE)),
    ("logging.sample", Moot("without effect: nothing is left out of the log")),
    ("logging.sample_initial", Moot("without effect: nothing is left out of the log")),
    ("logging.sample_interval", Moot("without effect: nothing is left out of the log")),
    ("logging.item_sample_seconds", Moot("without effect: nothing is left out of the log")),
    ("logging.item_sample_initial", Moot("without effect: nothing is left out of the log")),
    ("logging.item_sample_interval", Moot("without effect: nothing is left out of the log")),
    ("logging.component_levels", Moot("without effect: log.level in parvis.toml takes levels of components")),
    ("log_level", Own(draft::log_level)),
    ("prometheus.port", Own(draft::prometheus_port)),
    ("prometheus.username", Own(draft::prometheus_login)),
    ("prometheus.password", Own(draft::prometheus_login)),
    ("prometheus_port", Own(draft::prometheus_port)),
    (
        "ingress",
        Missed(
            "streams come in by WHIP alone, by RTMP none does; have them sent to /whip/v1 of this server's own address",
        ),
    ),
    ("node_selector", Moot(ONE_PROCESS)),
    ("signal_relay", Moot(ONE_PROCESS)),
    ("psrpc", Moot(ONE_PROCESS)),
    ("region", Moot(ONE_PROCESS)),
    ("environment", Moot("without effect")),
    ("enable_data_tracks", Moot("not needed: data tracks are always there for whoever may publish data")),
    ("enable_participant_data_blob", OwnSwitch(draft::data_blobs)),
    ("development", OwnSwitch(draft::development)),
    ("agents", Moot("without effect: agents connect by /agent and are sent where dispatches say")),
    ("api", Moot(ONE_PROCESS)),
    (
        "sip",
        Missed(
            "there is no telephony: calls are refused, in both directions; tell no number to anyone, and take it out",
        ),
    ),
    (
        "metric",
        Moot("without effect: this server tells nobody what it measures but whoever reads its metrics"),
    ),
    ("trace", Moot("without effect: this server sends no traces")),
    ("node_stats", Moot(ONE_PROCESS)),
];

impl Take {
    /// Whether its flag needs no value.
    pub(super) fn is_switch(&self) -> bool {
        match self {
            As(_, form) => *form == Switch,
            OwnSwitch(_) => true,
            Own(_) | Moot(_) | Missed(_) => false,
        }
    }

    pub(super) fn apply(&self, draft: &mut Draft, node: &Node, place: &Place) -> Result<(), Wrong> {
        match self {
            As(key, form) => {
                if let Some(value) = form.read(node).map_err(|problem| place.wrong(&problem))? {
                    draft.set(key, value, place);
                }
            }
            Own(read) | OwnSwitch(read) => {
                read(draft, node, place).map_err(|problem| place.wrong(&problem))?
            }
            Moot(why) => draft.note(place, why),
            Missed(_) if node.holds_nothing() => draft.note(place, "not needed: nothing stands in it"),
            Missed(what) => draft.warn(place, what),
        }
        Ok(())
    }
}

/// What becomes of a key: by its own line, or by one above it that stands for all below.
pub(super) fn find(key: &str) -> Option<&'static Take> {
    let exactly = |key: &str| KEYS.iter().find(|(known, _)| *known == key).map(|(_, take)| take);
    let above = key.rmatch_indices('.').map(|(end, _)| &key[..end]);
    std::iter::once(key).chain(above).find_map(exactly)
}

/// Whether there are keys below this one.
pub(super) fn has_below(key: &str) -> bool {
    KEYS.iter().any(|(known, _)| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// Our keys that the table names.
pub(super) fn ours() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|(_, take)| match take {
        As(key, _) => Some(*key),
        _ => None,
    })
}

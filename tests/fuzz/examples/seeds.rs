// SPDX-License-Identifier: EUPL-1.2
//! Writes `corpus/`: a few small inputs for each target that reach what random bytes would be long in finding.
//!
//! `cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds`

use flate2::{Compression, write::GzEncoder};
use livekit_protocol as proto;
use parvis_dtls::{Certificate, Config, Context, Factory, Role};
use parvis_jobs::frame::encode;
use parvis_jobs::{
    Codec, Hello, Kind, Origin, Profile, Source, SrtpKey, StopReason, ToServer, ToWorker, UnixMicros,
};
use parvis_media::mkv::{ClusterWriter, TrackHead};
use parvis_rtp::rtcp::{Dlrr, FirEntry, ReportBlock, SenderInfo, Writer};
use parvis_rtp::{
    AudioLevel, Extension, ExtensionMap, Extensions, HeaderFields, Mid, Rid, flexfec, red, write_packet,
};
use prost::Message;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

fn main() {
    media();
    rtcp();
    transport();
    sctp();
    sdp();
    signal();
    config();
    jobs();
    capture();
    meeting();
}

fn seed(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), bytes).expect("a file");
}

/// Pieces with their lengths before them, as `parvis_fuzz::pieces` takes them.
fn pieces<T: AsRef<[u8]>>(all: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in all.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes
}

fn media() {
    let mut map = ExtensionMap::default();
    for (id, extension) in [
        (1, Extension::AudioLevel),
        (2, Extension::Mid),
        (3, Extension::Rid),
        (5, Extension::TransportSequence),
        (6, Extension::AbsSendTime),
    ] {
        map.insert(id, extension);
    }
    let fields = HeaderFields {
        marker: true,
        payload_type: 96,
        sequence: 7,
        timestamp: 90_000,
        ssrc: 1,
        ..Default::default()
    };
    let short = Extensions {
        audio_level: Some(AudioLevel { voice: true, level: 30 }),
        mid: Mid::new("0"),
        rid: Rid::new("q"),
        transport_sequence: Some(99),
        abs_send_time: Some(0x12_3456),
        ..Default::default()
    };
    // A long value needs the two-byte form.
    let long = Extensions { mid: Mid::new("a-mid-of-more-than-sixteen"), ..short };
    for (name, extensions) in [("one-byte", &short), ("two-byte", &long), ("bare", &Extensions::default())] {
        let mut buffer = [0; 200];
        let len = write_packet(&mut buffer, &fields, &map, extensions, b"payload").expect("there is room");
        seed("rtp_packet", name, &buffer[..len]);
    }
    seed("srtp_unprotect", "gcm", [&[0, 0x80, 96, 0, 1][..], &[0; 40]].concat());
    seed("srtp_unprotect", "rtcp", [&[2, 0x80, 200, 0, 6][..], &[0; 40]].concat());

    // A key frame with two temporal layers and one chain, then two frames that refer to it.
    let key = bits(
        "1 1 000101 0000000000000111 1 0 0 0 0 000101 00001 00 01 11 10 10 00 11 00 01 0 1 0001 0 1 0000 0 10 \
         0000 0010 0001 1 0000001001111111 0000000101100111",
    );
    let upper = bits("1 0 000111 0000000000001000");
    let own = bits(
        "0 1 000110 1111111111111111 0 1 1 1 1 01 11 00 01 0011 10 00010000 11 111111111111 00 11111111",
    );
    seed("dependency_descriptor", "two-temporal-layers", pieces(&[key, upper, own]));

    seed(
        "vp8",
        "key-frame",
        [0x90, 0xf0, 0x92, 0x67, 12, 0x23, 0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 9],
    );
    seed("vp8", "short", [0x80, 0x80, 0x01, 0xaa]);
    let structure = [0b0101_1000, 0x01, 0x40, 0, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0, 0x02, 0xd0];
    seed("vp9", "scalability", [&[0b1011_1010, 0x80, 0x07, 0][..], &structure].concat());
    seed("vp9", "flexible", [0b1101_1000, 0x92, 0x34, 0b0010_0000, 3, 5, 1]);
    seed("av1", "sequence-header", [0b0000_1000, 2, 0x0a, 0x01, 3, 0x34, 0b0010_1000, 0xff]);
    seed("av1", "fragment", [0b1010_0000, 1, 0xff, 0x32, 9, 9]);
    let sps = [0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00];
    seed("h264", "sps", sps);
    seed("h264", "stap-a", [&[0x78, 0, 12][..], &sps, &[0, 4, 0x65, 0x88, 0x84, 0]].concat());
    seed("h264", "fu-a", [0x7c, 0x85, 0x88, 0x84]);
    let mut buffer = [0; 64];
    let block = red::Block { payload_type: 111, timestamp_offset: 960, payload: b"before" };
    let len = red::write(&mut buffer, &[block, block], 111, b"now").expect("there is room");
    seed("red", "two", &buffer[..len]);

    // Three packets of one stream, and what makes the first again from the others.
    let protected: Vec<Vec<u8>> = (7..10u16)
        .map(|sequence| {
            let fields = HeaderFields { payload_type: 96, sequence, ssrc: 9, ..HeaderFields::default() };
            let mut buffer = [0; 100];
            let (map, extensions) = (ExtensionMap::default(), Extensions::default());
            let len =
                write_packet(&mut buffer, &fields, &map, &extensions, b"payload").expect("there is room");
            buffer[..len].to_vec()
        })
        .collect();
    let mut builder = flexfec::Builder::new();
    assert!(protected.iter().all(|packet| builder.add(packet)));
    let len = builder.write(&mut buffer).expect("there is room");
    let wide = [
        &[0, 0x60, 0, 7, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 0, 7, 0x40, 1, 0x40, 0, 0, 0, 0x80][..],
        &[1; 14],
    ];
    let all = [&[buffer[..len].to_vec()][..], &protected[1..]].concat();
    seed("flexfec", "one-of-three", pieces(&all));
    seed("flexfec", "wide-mask", pieces(&[wide.concat()]));
}

fn rtcp() {
    let block = ReportBlock {
        ssrc: 5,
        fraction_lost: 3,
        cumulative_lost: -1,
        extended_highest_sequence: 70_000,
        jitter: 9,
        last_sr: 1,
        delay_since_last_sr: 2,
    };
    let mut buffer = [0; 1200];
    let mut writer = Writer::new(&mut buffer);
    writer
        .sender_report(1, &SenderInfo { ntp: 1 << 40, rtp_timestamp: 2, packets: 3, octets: 4 }, &[block])
        .expect("room");
    writer.receiver_report(1, &[block, block]).expect("room");
    writer.cname(1, b"parvis").expect("room");
    writer.nack(1, 2, [5, 6, 9, 30, 65_535]).expect("room");
    writer.pli(1, 2).expect("room");
    writer.fir(1, &[FirEntry { ssrc: 2, sequence: 3 }]).expect("room");
    writer.remb(1, 1_500_000, &[2, 3]).expect("room");
    writer.receiver_reference_time(1, 7).expect("room");
    writer.dlrr(1, &[Dlrr { ssrc: 1, last_rr: 2, delay_since_last_rr: 3 }]).expect("room");
    writer.bye(&[1, 2]).expect("room");
    let before = writer.len();
    let arrivals: Vec<_> = (0..60).map(|at| (at % 7 != 3).then_some(at * 40)).collect();
    writer.transport_feedback(1, 2, 0, 65_530, &arrivals).expect("room");
    let len = writer.len();
    seed("rtcp", "everything", &buffer[..len]);
    seed("transport_feedback", "mixed", &buffer[before + 4..len]);
}

fn transport() {
    // Priority, the role of the controlling, and a nomination.
    let controlling = [0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let nominating = [&[0, 1, 0, 0x24, 0, 4, 0x6e, 0, 1, 0xff][..], &controlling, &[0, 0x25, 0, 0]].concat();
    let conflict = [0, 1, 0x80, 0x29, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let unknown = [0, 1, 0x7f, 0xff, 0, 4, 0, 0, 0, 0];
    seed("stun", "nominate", pieces(&[&nominating[..], &conflict, &unknown]));
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend_from_slice(&[9; 12]);
    seed(
        "datagram",
        "request",
        pieces(&[&request[..], &[22, 254, 253], &[0x80, 200, 0, 0], &[0x80, 96, 0, 0]]),
    );

    let certificate = Certificate::generate().expect("a certificate");
    let context = Context::new(&certificate, Config::default()).expect("a context");
    let mut client = context.endpoint(Role::Client, [1; 32], [2; 32], Instant::now()).expect("an endpoint");
    let flight: Vec<Vec<u8>> = std::iter::from_fn(|| client.poll_transmit()).collect();
    seed("dtls_first_flight", "hello", pieces(&flight));
    seed("stun", "then-dtls", pieces(&[&nominating[..], &flight[0]]));

    seed(
        "ice_candidate",
        "udp",
        "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host generation 0 ufrag abcd",
    );
    seed("ice_candidate", "tcp", "candidate:2 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active");
    seed(
        "ice_candidate",
        "relayed",
        "candidate:3 1 udp 41885439 203.0.113.5 3478 typ relay raddr 192.0.2.7 rport 50000",
    );
    seed(
        "ice_candidate",
        "mdns",
        "candidate:4 1 udp 2113937151 0e9a8e5c-0000-4000-8000-000000000000.local 50000 typ host",
    );
    seed("deframer", "two", [&[90, 3, 0, 5][..], b"first", &[0, 0, 0, 6], b"second"].concat());
}

fn sctp() {
    // DATA on stream 0: ordered, in two fragments, then unordered; SACK; FORWARD TSN; a reset; an INIT.
    let data = |number: u8, flags, stream, ssn, ppid, payload: &[u8]| {
        let head = [0, 0, 0, number, 0, stream, 0, ssn, 0, 0, 0, ppid];
        [&[0, flags, 12 + payload.len() as u8][..], &head, payload].concat()
    };
    let open = |kind: u8| [&[3, kind, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0][..], b"chat"].concat();
    let chunk = |kind: u8, value: &[u8]| [&[kind, 0, value.len() as u8][..], value].concat();
    let packet = |what: u8, chunks: &[Vec<u8>]| [&[what, 1][..], &chunks.concat()].concat();
    let talk = pieces(&[
        packet(0, &[data(0, 3, 0, 0, 50, &open(0))]),
        packet(4, &[data(1, 2, 0, 1, 51, b"first half, "), data(2, 1, 0, 1, 51, b"second")]),
        packet(6, &[data(4, 7, 0, 0, 53, b"unordered")]),
        packet(2, &[chunk(0x40, &[0, 13, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0])]),
        packet(0, &[chunk(0x41, &[0, 0, 0, 3, 0, 0, 0, 2])]),
        packet(2, &[chunk(3, &[0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 3])]),
        packet(8, &[chunk(4, b"heartbeat"), chunk(7, &[0; 4])]),
    ]);
    seed("sctp", "talk", [&[1][..], &talk].concat());
    seed(
        "sctp",
        "from-nothing",
        [
            &[0][..],
            &pieces(&[[&[0, 0][..], &chunk(1, &[0, 0, 0, 9, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1])].concat()]),
        ]
        .concat(),
    );
    for (name, kind) in [("reliable", 0), ("lossy", 0x81), ("timed", 0x82)] {
        seed("dcep", name, pieces(&[open(kind), vec![2]]));
    }
}

fn sdp() {
    let offer = parvis_fuzz::session::our_offer();
    seed("sdp_offer", "ours", &offer);
    let answer = offer
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=ice-lite\r\n", "")
        .replace("a=sendrecv", "a=recvonly")
        .replace("a=sendonly", "a=recvonly");
    seed("sdp_answer", "to-ours", &answer);
    seed("sdp_answer", "twice", [answer.as_str(), answer.as_str()].join("\0"));
    let simulcast = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
        00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\na=setup:actpass\r\na=mid:0\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=sendonly\r\na=msid:- track\r\na=rtcp-mux\r\n\
        a=rtcp-rsize\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
        a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n\
        a=max-message-size:262144\r\n";
    seed("sdp_offer", "simulcast", simulcast);
    seed("sdp_offer", "renegotiated", [simulcast, &simulcast.replace("m=video 9", "m=video 0")].join("\0"));
}

fn config() {
    let file = "port: 7880\nbind_addresses: [\"0.0.0.0\"]\nrtc:\n  udp_port: 7882-7889\n  use_external_ip: true\n\
        keys: &keys\n  one: first\nroom:\n  enabled_codecs:\n    - mime: video/vp8\nredis: *keys\nrooom: ~\n";
    seed("livekit_config", "file", file);
    seed("livekit_config", "all", [file, "two: second\n", "room.auto_create=false"].join("\0"));
}

fn signal() {
    use proto::signal_request::Message as Request;
    let requests = [
        (
            "offer",
            Request::Offer(proto::SessionDescription {
                r#type: "offer".into(),
                sdp: "v=0\r\n".into(),
                ..Default::default()
            }),
        ),
        (
            "trickle",
            Request::Trickle(proto::TrickleRequest {
                candidate_init: r#"{"candidate":""}"#.into(),
                ..Default::default()
            }),
        ),
        (
            "add-track",
            Request::AddTrack(proto::AddTrackRequest {
                cid: "cid".into(),
                name: "camera".into(),
                r#type: proto::TrackType::Video.into(),
                source: proto::TrackSource::Camera.into(),
                layers: vec![proto::VideoLayer { width: 640, height: 360, ..Default::default() }],
                ..Default::default()
            }),
        ),
        ("mute", Request::Mute(proto::MuteTrackRequest { sid: "TR_x".into(), muted: true })),
        ("ping", Request::PingReq(proto::Ping { timestamp: 1, rtt: 2 })),
    ];
    for (name, message) in requests {
        let request = proto::SignalRequest { message: Some(message) };
        seed("signal_request", name, request.encode_to_vec());
    }
    seed("signal_request_json", "ping", r#"{"pingReq":{"timestamp":"1","rtt":"2"}}"#);
    seed("signal_request_json", "mute", r#"{"mute":{"sid":"TR_x","muted":true}}"#);
    let user =
        proto::UserPacket { payload: b"hello".to_vec(), topic: Some("chat".into()), ..Default::default() };
    let value = Some(proto::data_packet::Value::User(user));
    seed(
        "signal_data",
        "user",
        proto::DataPacket { value, destination_identities: vec!["ada".into()], ..Default::default() }
            .encode_to_vec(),
    );

    let join = proto::JoinRequest {
        client_info: Some(proto::ClientInfo { protocol: 16, version: "2.0.0".into(), ..Default::default() }),
        connection_settings: Some(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() }),
        metadata: "about me".into(),
        ..Default::default()
    };
    let plain = join.encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&plain).expect("memory");
    let wrap = |compression: proto::wrapped_join_request::Compression, join_request| {
        proto::WrappedJoinRequest { compression: compression.into(), join_request }.encode_to_vec()
    };
    use proto::wrapped_join_request::Compression as Wrapped;
    seed("join_request", "plain", wrap(Wrapped::None, plain));
    seed("join_request", "gzip", wrap(Wrapped::Gzip, gzip.finish().expect("memory")));
    seed(
        "join_query",
        "dual",
        "protocol=16&sdk=js&version=2.0.0&auto_subscribe=1&adaptive_stream=1&reconnect=1&sid=PA_x&attributes=e30%3D",
    );
    seed("join_query", "single", "access_token=x&join_request=CAASAA%3D%3D");
    seed(
        "token",
        "claims",
        r#"{"alg":"HS256","typ":"JWT"}.{"iss":"fuzz","sub":"ada","exp":2000000000,"video":{"roomJoin":true,"room":"r"}}"#,
    );
    seed("token", "none", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJmdXp6In0.");
}

/// Bits as text, the last byte filled with zeros.
fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|bit| matches!(bit, b'0' | b'1')).map(|bit| bit - b'0').collect();
    bits.chunks(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit) << (8 - byte.len()))
        .collect()
}

fn jobs() {
    let limits = parvis_jobs::Limits::default();
    let mut down = Vec::new();
    let at = UnixMicros(1_800_000_000_000_000);
    let source = Source {
        track: "TR_1".to_owned(),
        name: "camera".to_owned(),
        participant: "PA_1".to_owned(),
        kind: Kind::Video,
        origin: Origin::Camera,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        channels: 1,
        payload_type: 96,
        red_payload_type: None,
        ssrc: 1,
        rtx: Some((2, 97)),
        profile: Profile::Aead128Gcm,
        key: SrtpKey::new(vec![7; 28]),
        muted: false,
        at,
    };
    for message in [
        ToWorker::Hello(Hello::ours("parvis 0.1.0")),
        ToWorker::Source(Box::new(source)),
        ToWorker::SenderReport { track: "TR_1".to_owned(), rtp_timestamp: 90_000, at },
        ToWorker::Stop { reason: StopReason::Requested },
    ] {
        encode(&message, limits, &mut down).expect("a message");
    }
    seed("job_message", "down", down);
    let mut up = Vec::new();
    for message in [
        ToServer::Started,
        ToServer::Nack { track: "TR_1".to_owned(), sequences: vec![1, 2, 65_535] },
        ToServer::Stopped { reason: StopReason::DiskFull, files: Vec::new() },
    ] {
        encode(&message, limits, &mut up).expect("a message");
    }
    seed("job_message", "up", up);
}

fn capture() {
    // A key frame of each codec in one packet: flags, then the payload (`parvis_fuzz::capture::depacketise`).
    let vp8 = [&[0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0][..], &[5; 20]].concat();
    let vp9 = [&[0x8c, 1, 0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30][..], &[5; 20]].concat();
    let av1 = [&[0x18, 0x08, 0, 0, 0, 0x42, 0x62, 0x4f, 0xf6, 0x7c, 0x0c, 0x84][..], &[0x30, 1, 2]].concat();
    let sets =
        [&[0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 0, 3, 0x68, 0xcb, 0x83][..], &[0, 3, 0x65, 0x88, 1]].concat();
    let fragment = vec![0x7c, 0x85, 0x88, 1, 2];
    let opus = vec![0x78, 1, 2, 3];
    let payloads = [vp8, vp9, av1, sets, fragment, opus];
    let flagged: Vec<Vec<u8>> = payloads.iter().map(|payload| [&[1][..], payload].concat()).collect();
    seed("depacketise", "key_frames", pieces(&flagged));
    let sent = payloads.iter().enumerate().map(|(place, payload)| {
        // Kind, stream, number, timestamp, time; then the payload (`parvis_fuzz::capture::trunk`).
        [&[1, [1, 2, 3, 4, 4, 0][place], 0, place as u8, place as u8, 5][..], payload].concat()
    });
    seed("trunk", "key_frames", pieces(&sent.collect::<Vec<_>>()));
    let manifest = r#"{"format":"parvis-recording","version":1,"job":"EG_1","room_id":"RM_1","tenant":"","started_at":1,
        "ended":2,"reason":"requested","recipients":[],"runs":[{"from":0,"software":"x"}],"lines_left_out":0,
        "timelines":[{"name":"timeline-000.jsonl","bytes":1,"sha256":"00"}],"tracks":[{"track":"TR_1",
        "participant":"PA_1","kind":"video","origin":"camera","codec":"vp8","from":0,"to":null,"parts":[{
        "name":"TR_1-000.mkv","bytes":null,"sha256":null,"first":0,"last":0,"frames":1,"sizes":[]}],"packets":1,
        "lost":0,"dropped_frames":0,"losses":[{"at":1,"packets":1}],"syncs":[{"at":1,"moved":-1}]}]}"#;
    seed("recording_manifest", "one_track", manifest);
    let track = TrackHead {
        codec: Codec::Opus,
        private: Vec::new(),
        visible: None,
        channels: 2,
        uid: 1,
        zero: UnixMicros(1_800_000_000_000_000),
    };
    let mut file = parvis_media::mkv::head(&track);
    let mut cluster = ClusterWriter::default();
    for timestamp in [0, 20, 40] {
        assert!(cluster.push(timestamp, true, b"sound"));
    }
    cluster.take(&mut file);
    seed("recording_file", "sound", file);
    seed("recording_file", "sealed", base64_of_a_sealed_line());
}

/// Made by age 1.1.1 for the key in `parvis_fuzz::capture::file`.
fn base64_of_a_sealed_line() -> Vec<u8> {
    use base64::Engine;
    let text = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA1SnVQUGxDUDNyTVc4S0RGdmpoSUpFWjhxQUVUNGVwcEwxSFlLSkNuVldjCnhw\
                bE1DeXVlUS9sTDF5RzN2eVRvR0xUZlJ4NzZua0dtekdaUU85a1dCUGsKLS0tIHZndm1acy9vRWc0NHpaRFVCemhSYlY1bTR3UWZvNGhs\
                b0hEaHhiZ1kzZ0UKXrBKl6A4zRNpch7/MmCzMMFkXOd+WSM4vYjOHDxtSThXhMrpwFa9tXL2SEP+wHFyJ306tz5OgQ==";
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

/// Commands that follow from one another, each behind a byte: who (0 to 3), and four times how long after the one before.
fn meeting() {
    let from = |who: u8, command: &str| [&[who | 5 << 2], command.as_bytes()].concat();
    let (ada, cem) = (|command: &str| from(0, command), |command: &str| from(2, command));
    let chat = [
        cem(r#"{"id":1,"do":"chat.send","text":"Good morning"}"#),
        ada(r#"{"id":1,"do":"chat.send","text":"Yes?","to":"cem","reply_to":1}"#),
        ada(r#"{"id":2,"do":"chat.retract","message":1}"#),
        ada(r#"{"id":3,"do":"policy.set","policy":{"chat":"off","private_chat":false,"lobby":true}}"#),
    ];
    let floor = [
        cem(r#"{"id":1,"do":"hand.raise"}"#),
        ada(r#"{"id":1,"do":"hand.call","identity":"cem"}"#),
        ada(r#"{"id":2,"do":"role.set","identity":"dora","role":"speaker"}"#),
        ada(r#"{"id":3,"do":"rights.set","identity":"dora","rights":{"unmute":false}}"#),
        ada(r#"{"id":4,"do":"mute","everyone":true,"source":"microphone"}"#),
        cem(r#"{"id":2,"do":"reaction.send","emoji":"👍"}"#),
        ada(r#"{"id":5,"do":"remove","identity":"cem","ban":true}"#),
        ada(r#"{"id":6,"do":"attendance.get"}"#),
    ];
    let poll = [
        ada(r#"{"id":1,"do":"poll.open","question":"?","options":["a","b"],"secret":true,"multiple":false}"#),
        cem(r#"{"id":1,"do":"poll.vote","poll":1,"options":[1]}"#),
        ada(r#"{"id":2,"do":"poll.close","poll":1}"#),
        ada(r#"{"id":3,"do":"poll.remove","poll":1}"#),
    ];
    let breakouts = [
        ada(r#"{"id":1,"do":"breakout.open","rooms":[{"name":"a","members":["cem"]}],"minutes":1}"#),
        cem(r#"{"id":1,"do":"breakout.help"}"#),
        ada(r#"{"id":2,"do":"breakout.move","identity":"cem","room":null}"#),
        ada(r#"{"id":3,"do":"breakout.broadcast","text":"Two minutes"}"#),
        ada(r#"{"id":4,"do":"breakout.close"}"#),
        ada(r#"{"id":5,"do":"end"}"#),
    ];
    seed("meeting_command", "chat", pieces(&chat));
    seed("meeting_command", "floor", pieces(&floor));
    seed("meeting_command", "poll", pieces(&poll));
    seed("meeting_command", "breakouts", pieces(&breakouts));
}

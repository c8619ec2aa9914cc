// SPDX-License-Identifier: EUPL-1.2
//! The other side: a peer connection of the `webrtc` crate.

use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability,
    RtpCodecKind,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    register_default_interceptors,
};
use webrtc::runtime::TokioRuntime;

/// What happened at the client.
pub enum Seen {
    Gathered,
    State(RTCPeerConnectionState),
    Channel(Arc<dyn DataChannel>),
    /// A channel's label, and what came.
    Opened(String),
    Message {
        text: bool,
        payload: Vec<u8>,
    },
    Rtp(rtc::rtp::Packet),
}

pub struct Client {
    pub pc: Arc<dyn PeerConnection>,
    tell: mpsc::UnboundedSender<Seen>,
    seen: mpsc::UnboundedReceiver<Seen>,
    backlog: Vec<Seen>,
    pub is_dtls_server: bool,
}

/// What it is when it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    Client,
    Server,
}

pub enum Network {
    Udp,
    TcpOnly,
}

impl Client {
    pub async fn new(network: Network, role: DtlsRole) -> Self {
        let (tell, seen) = mpsc::unbounded_channel();
        let mut media = MediaEngine::default();
        media.register_default_codecs().unwrap();
        for uri in [MID, RID, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"] {
            let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
            media.register_header_extension(extension, RtpCodecKind::Video, None).unwrap();
        }
        let registry = register_default_interceptors(Registry::new(), &mut media).unwrap();
        let settings = SettingEngineBuilder::new()
            .with_answering_dtls_role(match role {
                DtlsRole::Client => RTCDtlsRole::Client,
                DtlsRole::Server => RTCDtlsRole::Server,
            })
            .build();
        let (udp, tcp) = match network {
            Network::Udp => (vec!["127.0.0.1:0"], vec![]),
            Network::TcpOnly => (vec![], vec!["127.0.0.1:0"]),
        };
        let pc = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_runtime(Arc::new(TokioRuntime))
            .with_handler(Arc::new(Handler(tell.clone())))
            .with_udp_addrs(udp)
            .with_tcp_addrs(tcp)
            .build()
            .await
            .unwrap();
        Client { pc: Arc::new(pc), tell, seen, backlog: Vec::new(), is_dtls_server: role == DtlsRole::Server }
    }

    /// Waits until something was seen that `pick` wants. What it doesn't want is kept for later.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Seen) -> Option<T>) -> T {
        for at in 0..self.backlog.len() {
            if let Some(picked) = pick(&self.backlog[at]) {
                self.backlog.remove(at);
                return picked;
            }
        }
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, self.seen.recv()).await;
            let Ok(Some(seen)) = next else { panic!("the client did not see {what}") };
            if let Some(picked) = pick(&seen) {
                return picked;
            }
            self.backlog.push(seen);
        }
    }

    pub async fn connected(&mut self) {
        let state =
            |seen: &Seen| matches!(seen, Seen::State(RTCPeerConnectionState::Connected)).then_some(());
        self.wait("the state connected", state).await;
    }

    /// An offer with its candidates in it.
    pub async fn offer(&mut self) -> String {
        let offer = self.pc.create_offer(None).await.unwrap();
        self.pc.set_local_description(offer).await.unwrap();
        self.gathered().await
    }

    pub async fn answer(&mut self, offer: String) -> String {
        self.pc.set_remote_description(RTCSessionDescription::offer(offer).unwrap()).await.unwrap();
        let answer = self.pc.create_answer(None).await.unwrap();
        self.pc.set_local_description(answer).await.unwrap();
        self.gathered().await
    }

    pub async fn accept(&self, answer: String) {
        self.pc.set_remote_description(RTCSessionDescription::answer(answer).unwrap()).await.unwrap();
    }

    /// Lets a channel's events be seen.
    pub fn watch(&self, channel: Arc<dyn DataChannel>) {
        tokio::spawn(watch(channel, self.tell.clone()));
    }

    async fn gathered(&mut self) -> String {
        let state = self.pc.local_description().await.unwrap();
        if state.sdp.contains("a=candidate") {
            return state.sdp;
        }
        self.wait("the end of gathering", |seen| matches!(seen, Seen::Gathered).then_some(())).await;
        self.pc.local_description().await.unwrap().sdp
    }
}

async fn watch(channel: Arc<dyn DataChannel>, tell: mpsc::UnboundedSender<Seen>) {
    let label = channel.label().await.unwrap();
    while let Some(event) = channel.poll().await {
        let seen = match event {
            DataChannelEvent::OnOpen => Seen::Opened(label.clone()),
            DataChannelEvent::OnMessage(message) => {
                Seen::Message { text: message.is_string, payload: message.data.to_vec() }
            }
            _ => continue,
        };
        if tell.send(seen).is_err() {
            return;
        }
    }
}

struct Handler(mpsc::UnboundedSender<Seen>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(Seen::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.0.send(Seen::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.0.send(Seen::Channel(Arc::clone(&channel)));
        tokio::spawn(watch(channel, self.0.clone()));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let tell = self.0.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && tell.send(Seen::Rtp(packet)).is_err()
                {
                    return;
                }
            }
        });
    }
}

/// A track with one encoding for each (RID, SSRC); a single one may have no RID.
pub fn track(name: &str, kind: RtpCodecKind, encodings: &[(&str, u32)]) -> Arc<TrackLocalStaticRTP> {
    let codec = match kind {
        RtpCodecKind::Audio => codec("audio/opus", 48_000, 2),
        _ => codec("video/VP8", 90_000, 0),
    };
    let encoding = |(rid, ssrc): &(&str, u32)| RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: (*rid).to_owned(),
            ssrc: Some(*ssrc),
            ..Default::default()
        },
        codec: codec.clone(),
        ..Default::default()
    };
    let encodings = encodings.iter().map(encoding).collect();
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        format!("stream-{name}"),
        name.to_owned(),
        name.to_owned(),
        kind,
        encodings,
    )))
}

fn codec(mime: &str, clock_rate: u32, channels: u16) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![],
    }
}

pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

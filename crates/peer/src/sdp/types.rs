// SPDX-License-Identifier: EUPL-1.2
//! What a negotiation settles, in the words that `sfu` reads.

use parvis_rtp::{ExtensionMap, Mid, Rid};

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures, a camera's or a screen's.
    Video,
}

/// A codec that we can forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecKind {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant audio over Opus (RFC 2198).
    Red,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (AOM's RTP payload format).
    Av1,
    /// H.264 (RFC 6184).
    H264,
}

/// Which RTCP feedback a codec's payload type was negotiated with (`a=rtcp-fb`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Generic NACK (RFC 4585).
    pub nack: bool,
    /// Picture loss indication (RFC 4585).
    pub pli: bool,
    /// Full intra request (RFC 5104).
    pub fir: bool,
    /// Transport-wide congestion control.
    pub transport_cc: bool,
    /// Receiver estimated maximum bitrate.
    pub remb: bool,
}

/// One negotiated payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// The payload type, as the peer numbers it.
    pub payload_type: u8,
    /// What it carries.
    pub kind: CodecKind,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Audio channels; 0 for video.
    pub channels: u8,
    /// Format parameters as negotiated (`a=fmtp`), without the payload type.
    pub fmtp: String,
    /// Payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Its feedback.
    pub feedback: Feedback,
}

/// Which way media flows through a section, as we see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// We send only.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Both.
    SendRecv,
    /// Neither, for now.
    Inactive,
}

impl Direction {
    /// Whether we send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendOnly | Direction::SendRecv)
    }

    /// Whether we receive.
    pub fn receives(self) -> bool {
        matches!(self, Direction::RecvOnly | Direction::SendRecv)
    }
}

/// A stream that the peer announced by SSRC (`a=ssrc`, `a=ssrc-group:FID`, `a=ssrc-group:FEC-FR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteStream {
    /// Its media SSRC.
    pub ssrc: u32,
    /// The SSRC of its retransmissions.
    pub rtx: Option<u32>,
    /// The SSRC of its repair packets (`a=ssrc-group:FEC-FR`, RFC 5956 section 4.3).
    pub fec: Option<u32>,
}

/// `a=msid` (RFC 8830): a media stream's id and a track's id, as the peer or as we name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// The stream's id; `-` when there is none.
    pub stream: String,
    /// The track's id.
    pub track: String,
}

/// Names one of our outgoing tracks on a peer connection; chosen by the caller, never reused within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId(pub u64);

/// An outgoing track that wants a media section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderSpec {
    /// Its name.
    pub id: SenderId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The codecs in which it may be sent, best first. Negotiation keeps the section's codecs to these
    /// (with their RTX, and Opus beneath RED).
    pub codecs: Vec<CodecKind>,
    /// What the peer sees as stream and track id.
    pub msid: Msid,
    /// The SSRC that we send from.
    pub ssrc: u32,
    /// The SSRC that we send retransmissions from; video only.
    pub rtx_ssrc: Option<u32>,
    /// The SSRC that we send repair packets from, where the peer takes them; video only.
    pub fec_ssrc: Option<u32>,
}

/// One m-line as both sides have agreed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// Its place in the SDP, from 0.
    pub index: usize,
    /// Its name.
    pub mid: Mid,
    /// Audio or video.
    pub kind: MediaKind,
    /// Which way media flows, as we see it.
    pub direction: Direction,
    /// Its payload types, in the answerer's order of preference.
    pub codecs: Vec<Codec>,
    /// The payload type of its repair packets (FlexFEC), if both sides have them.
    pub fec: Option<u8>,
    /// Its header extensions. The ids hold for the whole BUNDLE group.
    pub extensions: ExtensionMap,
    /// The simulcast layers that the peer sends us, lowest first as far as the SDP tells; empty without simulcast.
    pub rids: Vec<Rid>,
    /// Streams that the peer announced by SSRC; usually empty with RIDs.
    pub remote_streams: Vec<RemoteStream>,
    /// The peer's own ids for the track that it sends.
    pub remote_msid: Option<Msid>,
    /// Our track in this section.
    pub sender: Option<SenderId>,
}

/// What the peer's description says of its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTransport {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// SHA-256 of the peer's certificate (RFC 8122).
    pub fingerprint: [u8; 32],
    /// The largest SCTP message that the peer takes, in bytes (RFC 8841; 65,536 when it doesn't say).
    pub max_message_size: u32,
    /// Whether an application section (data channels) is agreed.
    pub data_channels: bool,
    /// Whether ufrag or password differ from the last description: an ICE restart (RFC 8445 section 9).
    pub ice_restarted: bool,
    /// Which end of DTLS is ours; settled by the first exchange and kept from then on.
    pub dtls_role: DtlsRole,
}

/// Which end of the DTLS handshake is ours (RFC 8842: `a=setup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We wait for the peer's ClientHello: what we ask for whenever the peer leaves us the choice.
    Server,
    /// We begin, because the peer insists on waiting.
    Client,
}

/// Where a session stands in the exchange of offer and answer (RFC 8829 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalingState {
    /// Nothing is under way.
    Stable,
    /// Our offer is out.
    HaveLocalOffer,
    /// The peer's offer waits for our answer.
    HaveRemoteOffer,
}

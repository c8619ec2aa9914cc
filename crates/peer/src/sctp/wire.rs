// SPDX-License-Identifier: EUPL-1.2
//! SCTP on the wire (RFC 9260 section 3, RFC 3758 section 3, RFC 6525 section 3): bytes to chunks and back.

/// The largest packet that we send: with DTLS 1.2's 37 bytes, UDP's 8 and IPv6's 40 it stays below IPv6's
/// least MTU of 1,280 (RFC 8831 section 5 asks for no path MTU discovery from those who have none).
pub(crate) const MAX_PACKET_BYTES: usize = 1180;
pub(crate) const COMMON_HEADER_BYTES: usize = 12;
pub(crate) const DATA_HEADER_BYTES: usize = 16;
/// An acknowledgement, and with it a message of a hundred bytes or two.
const SHORT_PACKET_BYTES: usize = 256;
/// What one DATA chunk carries.
pub(crate) const MAX_FRAGMENT_BYTES: usize = MAX_PACKET_BYTES - COMMON_HEADER_BYTES - DATA_HEADER_BYTES;

/// A packet that breaks the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The common header without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tag: u32,
}

/// A chunk, as far as data channels need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk<'a> {
    Data(Data<'a>),
    Init(Init<'a>),
    InitAck(Init<'a>),
    Sack(Sack<'a>),
    Heartbeat(&'a [u8]),
    /// `reflected`: the T bit, its tag is our own peer's (RFC 9260 section 8.5.1).
    Abort {
        reflected: bool,
        causes: &'a [u8],
    },
    Shutdown,
    ShutdownAck,
    ShutdownComplete {
        reflected: bool,
    },
    CookieEcho(&'a [u8]),
    CookieAck,
    ForwardTsn {
        cumulative: u32,
        streams: &'a [u8],
    },
    Reconfig(&'a [u8]),
    /// Known and of no use to us, or unknown with the "skip" bit (RFC 9260 section 3.2).
    Skipped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) immediate: bool,
    pub(crate) unordered: bool,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) ppid: u32,
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Init<'a> {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) tsn: u32,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) forward_tsn: bool,
    pub(crate) reconfig: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative: u32,
    pub(crate) window: u32,
    gaps: &'a [u8],
}

impl Sack<'_> {
    /// First and last of each block, as offsets from `cumulative`.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u16, u16)> {
        self.gaps.chunks_exact(4).map(|block| (be16(block, 0), be16(block, 2)))
    }
}

/// Reads a whole packet, or nothing of it. The checksum is checked first.
pub(crate) fn parse(packet: &[u8]) -> Result<(Header, Vec<Chunk<'_>>), Malformed> {
    if packet.len() < COMMON_HEADER_BYTES + 4 {
        return Err(Malformed);
    }
    if packet.get(8..12) != Some(&checksum(packet)) {
        return Err(Malformed);
    }
    let header =
        Header { source_port: be16(packet, 0), destination_port: be16(packet, 2), tag: be32(packet, 4) };
    let mut chunks = Vec::new();
    let mut rest = packet.get(COMMON_HEADER_BYTES..).unwrap_or_default();
    while !rest.is_empty() {
        let (raw, later) = split_chunk(rest)?;
        rest = later;
        match chunk(&raw)? {
            Some(chunk) => chunks.push(chunk),
            // Unknown without the "skip" bit: the rest of the packet is not looked at.
            None => break,
        }
    }
    Ok((header, chunks))
}

/// A chunk that nobody has looked into.
struct RawChunk<'a> {
    kind: u8,
    flags: u8,
    value: &'a [u8],
}

/// The first chunk, and what follows it.
fn split_chunk(rest: &[u8]) -> Result<(RawChunk<'_>, &[u8]), Malformed> {
    let &[kind, flags, high, low] = rest.first_chunk().ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let value = rest.get(4..length).ok_or(Malformed)?;
    // Forgiving: the last chunk's padding may be missing.
    Ok((RawChunk { kind, flags, value }, rest.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn chunk<'a>(raw: &RawChunk<'a>) -> Result<Option<Chunk<'a>>, Malformed> {
    let RawChunk { kind, flags, value } = *raw;
    let reflected = flags & 1 != 0;
    Ok(Some(match kind {
        DATA => Chunk::Data(data(flags, value)?),
        INIT => Chunk::Init(init(value)?),
        INIT_ACK => Chunk::InitAck(init(value)?),
        SACK => Chunk::Sack(sack(value)?),
        HEARTBEAT => Chunk::Heartbeat(value),
        ABORT => Chunk::Abort { reflected, causes: value },
        SHUTDOWN => Chunk::Shutdown,
        SHUTDOWN_ACK => Chunk::ShutdownAck,
        SHUTDOWN_COMPLETE => Chunk::ShutdownComplete { reflected },
        COOKIE_ECHO => Chunk::CookieEcho(value),
        COOKIE_ACK => Chunk::CookieAck,
        FORWARD_TSN => {
            let (cumulative, streams) = value.split_first_chunk().ok_or(Malformed)?;
            Chunk::ForwardTsn { cumulative: u32::from_be_bytes(*cumulative), streams }
        }
        RECONFIG => Chunk::Reconfig(value),
        HEARTBEAT_ACK | ERROR => Chunk::Skipped,
        _ if kind & 0x80 != 0 => Chunk::Skipped,
        _ => return Ok(None),
    }))
}

fn data(flags: u8, value: &[u8]) -> Result<Data<'_>, Malformed> {
    let (head, payload) = value.split_at_checked(DATA_HEADER_BYTES - 4).ok_or(Malformed)?;
    Ok(Data {
        immediate: flags & 8 != 0,
        unordered: flags & 4 != 0,
        begins: flags & 2 != 0,
        ends: flags & 1 != 0,
        tsn: be32(head, 0),
        stream: be16(head, 4),
        ssn: be16(head, 6),
        ppid: be32(head, 8),
        payload,
    })
}

fn init(value: &[u8]) -> Result<Init<'_>, Malformed> {
    let (head, params) = value.split_at_checked(16).ok_or(Malformed)?;
    let mut init = Init {
        tag: be32(head, 0),
        window: be32(head, 4),
        outbound_streams: be16(head, 8),
        inbound_streams: be16(head, 10),
        tsn: be32(head, 12),
        cookie: None,
        forward_tsn: false,
        reconfig: false,
    };
    // RFC 9260 section 3.3.2: none of these may be zero.
    if init.tag == 0 || init.outbound_streams == 0 || init.inbound_streams == 0 {
        return Err(Malformed);
    }
    for parameter in parameters(params) {
        let (kind, value) = parameter?;
        match kind {
            PARAM_COOKIE => init.cookie = Some(value),
            PARAM_FORWARD_TSN => init.forward_tsn = true,
            PARAM_EXTENSIONS => {
                init.forward_tsn |= value.contains(&FORWARD_TSN);
                init.reconfig |= value.contains(&RECONFIG);
            }
            _ => {}
        }
    }
    Ok(init)
}

/// Type and value of each parameter (RFC 9260 section 3.2.1).
pub(crate) fn parameters(mut rest: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = usize::from(if rest.len() < 4 { 0 } else { be16(rest, 2) });
        let Some(value) = rest.get(4..length) else {
            rest = &[];
            return Some(Err(Malformed));
        };
        let kind = be16(rest, 0);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((kind, value)))
    })
}

fn sack(value: &[u8]) -> Result<Sack<'_>, Malformed> {
    let (head, rest) = value.split_at_checked(12).ok_or(Malformed)?;
    let gaps = rest.get(..usize::from(be16(head, 8)) * 4).ok_or(Malformed)?;
    Ok(Sack { cumulative: be32(head, 0), window: be32(head, 4), gaps })
}

/// Starts a packet; [`finish`] ends it. Most are short: [`put_data`] makes room for a long one.
pub(crate) fn start(header: Header) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SHORT_PACKET_BYTES);
    packet.extend_from_slice(&header.source_port.to_be_bytes());
    packet.extend_from_slice(&header.destination_port.to_be_bytes());
    packet.extend_from_slice(&header.tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet
}

/// Writes the checksum.
pub(crate) fn finish(mut packet: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&packet);
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&sum);
    }
    packet
}

/// Appends one chunk with its padding. `value` is at most a packet long.
pub(crate) fn put_chunk(packet: &mut Vec<u8>, kind: u8, flags: u8, value: &[&[u8]]) {
    let length = 4 + value.iter().map(|part| part.len()).sum::<usize>();
    packet.extend_from_slice(&[kind, flags]);
    packet.extend_from_slice(&(length as u16).to_be_bytes());
    for part in value {
        packet.extend_from_slice(part);
    }
    packet.resize(packet.len() + length.next_multiple_of(4) - length, 0);
}

/// A chunk by itself.
pub(crate) fn chunk_bytes(kind: u8, flags: u8, value: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_chunk(&mut bytes, kind, flags, value);
    bytes
}

pub(crate) fn put_data(packet: &mut Vec<u8>, data: &Data<'_>) {
    let flags = u8::from(data.immediate) << 3
        | u8::from(data.unordered) << 2
        | u8::from(data.begins) << 1
        | u8::from(data.ends);
    let (tsn, stream) = (data.tsn.to_be_bytes(), data.stream.to_be_bytes());
    let (ssn, ppid) = (data.ssn.to_be_bytes(), data.ppid.to_be_bytes());
    if packet.capacity() < packet.len() + DATA_HEADER_BYTES + data.payload.len().next_multiple_of(4) {
        packet.reserve_exact(MAX_PACKET_BYTES.saturating_sub(packet.len()));
    }
    put_chunk(packet, DATA, flags, &[&tsn, &stream, &ssn, &ppid, data.payload]);
}

/// Appends INIT or INIT ACK; both announce partial reliability and stream reset.
pub(crate) fn put_init(packet: &mut Vec<u8>, kind: u8, init: &Init<'_>) {
    let mut value = Vec::with_capacity(64);
    value.extend_from_slice(&init.tag.to_be_bytes());
    value.extend_from_slice(&init.window.to_be_bytes());
    value.extend_from_slice(&init.outbound_streams.to_be_bytes());
    value.extend_from_slice(&init.inbound_streams.to_be_bytes());
    value.extend_from_slice(&init.tsn.to_be_bytes());
    put_parameter(&mut value, PARAM_FORWARD_TSN, &[]);
    // Not the empty one last: rtc-sctp 0.21 refuses an INIT that ends in it.
    put_parameter(&mut value, PARAM_EXTENSIONS, &[RECONFIG, FORWARD_TSN]);
    match init.cookie {
        Some(cookie) => put_parameter(&mut value, PARAM_COOKIE, cookie),
        // The last parameter's padding doesn't count (RFC 9260 section 3.2).
        None => value.truncate(value.len() - 2),
    }
    put_chunk(packet, kind, 0, &[&value]);
}

/// Appends one parameter with its padding.
pub(crate) fn put_parameter(value: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let length = 4 + body.len();
    value.extend_from_slice(&kind.to_be_bytes());
    value.extend_from_slice(&(length as u16).to_be_bytes());
    value.extend_from_slice(body);
    value.resize(value.len() + length.next_multiple_of(4) - length, 0);
}

/// Two bytes at `at`; zero beyond the end.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_be_bytes(*field))
}

/// Four bytes at `at`; zero beyond the end.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_be_bytes(*field))
}

/// The 64-bit number nearest to `near` that ends in `short`: serial numbers (RFC 1982) without their wrap.
/// Numbers start above 2^32, so that there is always something before them.
pub(crate) fn expand(short: u32, near: u64) -> u64 {
    near.wrapping_add_signed(i64::from(short.wrapping_sub(near as u32) as i32))
}

/// CRC32c with the checksum field taken as zero, in the order of bytes that goes on the wire (RFC 9260 appendix A).
fn checksum(packet: &[u8]) -> [u8; 4] {
    let (head, rest) = packet.split_at(8.min(packet.len()));
    let mut crc = crc32c(u32::MAX, head);
    crc = crc32c(crc, &[0; 4]);
    crc = crc32c(crc, rest.get(4..).unwrap_or_default());
    (!crc).to_le_bytes()
}

/// Eight bytes at a time, each by the table of how many follow it: one look-up doesn't wait for the one before.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = *word;
        for (byte, of_crc) in word.iter_mut().zip(crc.to_le_bytes()) {
            *byte ^= of_crc;
        }
        let tables = CRC_TABLES.iter().rev();
        crc = word.iter().zip(tables).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for &byte in rest {
        crc = (crc >> 8) ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// What a byte adds to the sum when so many bytes follow it.
static CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut following = 1;
    while following < 8 {
        let mut index = 0;
        while index < 256 {
            let before = tables[following - 1][index];
            tables[following][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        following += 1;
    }
    tables
};

pub(crate) const DATA: u8 = 0;
pub(crate) const INIT: u8 = 1;
pub(crate) const INIT_ACK: u8 = 2;
pub(crate) const SACK: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 4;
pub(crate) const HEARTBEAT_ACK: u8 = 5;
pub(crate) const ABORT: u8 = 6;
pub(crate) const SHUTDOWN: u8 = 7;
pub(crate) const SHUTDOWN_ACK: u8 = 8;
pub(crate) const ERROR: u8 = 9;
pub(crate) const COOKIE_ECHO: u8 = 10;
pub(crate) const COOKIE_ACK: u8 = 11;
pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
pub(crate) const RECONFIG: u8 = 130;
pub(crate) const FORWARD_TSN: u8 = 192;

const PARAM_COOKIE: u16 = 7;
const PARAM_EXTENSIONS: u16 = 0x8008;
const PARAM_FORWARD_TSN: u16 = 0xc000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_castagnoli_crc_of_rfc_3720() {
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xe306_9283);
        assert_eq!((!crc32c(u32::MAX, &[0; 32])).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn the_checksum_of_many_bytes_is_that_of_one_after_the_other() {
        let bytes: Vec<u8> = (0..100_u32).map(|at| (at * at + 7 * at) as u8).collect();
        for len in 0..bytes.len() {
            let singly = bytes[..len].chunks(1).fold(u32::MAX, crc32c);
            assert_eq!(crc32c(u32::MAX, &bytes[..len]), singly, "{len} bytes");
        }
    }

    #[test]
    fn a_data_chunk_reads_as_it_was_written_and_a_flipped_bit_is_refused() {
        let header = Header { source_port: 5000, destination_port: 5001, tag: 0x0102_0304 };
        let data = Data {
            immediate: true,
            unordered: false,
            begins: true,
            ends: false,
            tsn: 0xffff_fffe,
            stream: 3,
            ssn: 0x8001,
            ppid: 53,
            payload: b"seven b",
        };
        let mut packet = start(header);
        put_data(&mut packet, &data);
        let packet = finish(packet);
        assert_eq!(packet.len(), 12 + 16 + 8);
        assert_eq!(parse(&packet), Ok((header, vec![Chunk::Data(data)])));
        for bit in 0..packet.len() * 8 {
            let mut wrong = packet.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&wrong), Err(Malformed), "bit {bit}");
        }
    }

    #[test]
    fn an_init_ack_carries_its_cookie_and_what_we_can_do() {
        let init = Init {
            tag: 7,
            window: 1 << 20,
            outbound_streams: 65_535,
            inbound_streams: 1024,
            tsn: 9,
            cookie: Some(b"biscuits"),
            forward_tsn: true,
            reconfig: true,
        };
        let mut packet = start(Header { source_port: 1, destination_port: 2, tag: 3 });
        put_init(&mut packet, INIT_ACK, &init);
        let packet = finish(packet);
        assert_eq!(parse(&packet).unwrap().1, [Chunk::InitAck(init)]);
    }

    #[test]
    fn serial_numbers_expand_to_the_nearest_around_the_wrap() {
        let near = (3 << 32) - 5;
        assert_eq!(expand(near as u32, near), near);
        assert_eq!(expand(2, near), (3 << 32) + 2);
        assert_eq!(expand(0xffff_fff0, 3 << 32), (3 << 32) - 16);
    }
}

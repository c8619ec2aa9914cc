// SPDX-License-Identifier: EUPL-1.2
//! DTLS over BoringSSL: datagrams in, datagrams out, keys for SRTP; no I/O

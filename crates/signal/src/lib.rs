// SPDX-License-Identifier: EUPL-1.2
//! A client's session in the LiveKit signalling protocol: messages in, messages out, resume; no I/O

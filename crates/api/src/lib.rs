// SPDX-License-Identifier: EUPL-1.2
//! HTTP and WebSocket: the participants' plane

// SPDX-License-Identifier: EUPL-1.2
//! Forwarding threads: UDP and TCP sockets, buffers, batching, segmentation offload

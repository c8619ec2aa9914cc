// SPDX-License-Identifier: EUPL-1.2
//! What a meeting is: rooms, people, roles and rights; no I/O

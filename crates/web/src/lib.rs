// SPDX-License-Identifier: EUPL-1.2
//! The web client's built files, embedded

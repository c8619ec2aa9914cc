// SPDX-License-Identifier: EUPL-1.2
//! The simulated network, clock and clients with which the core is tested

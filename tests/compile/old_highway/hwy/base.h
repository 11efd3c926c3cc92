// SPDX-License-Identifier: MIT
// Empty; see highway.h.

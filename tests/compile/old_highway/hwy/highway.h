// SPDX-License-Identifier: MIT
// Stands in for a Highway that is too old: what the version is read from.
#define HWY_MAJOR 1
#define HWY_MINOR 1

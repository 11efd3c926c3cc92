// SPDX-License-Identifier: MIT
// Tessera: matrix products for language models on CPUs. The whole C++ API, without any SIMD header:
// include it wherever you call the library. The bodies come from tessera/impl.h, which one .cc file
// of the program includes (or link tessera::impl), together with Highway's library (hwy::hwy).
#ifndef TESSERA_TESSERA_H_
#define TESSERA_TESSERA_H_

#include "tessera/base/config.h"
#include "tessera/base/half.h"
#include "tessera/base/status.h"
#include "tessera/blas.h"
#include "tessera/core/dtype.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/executor.h"
#include "tessera/core/partition.h"
#include "tessera/core/shared_parts.h"
#include "tessera/core/view.h"
#include "tessera/format/list.h"
#include "tessera/plan/batch.h"
#include "tessera/plan/gated.h"
#include "tessera/plan/gated_group.h"
#include "tessera/plan/group.h"
#include "tessera/plan/matmul.h"
#include "tessera/plan/packed_weights.h"
#include "tessera/plan/panel_file.h"
#include "tessera/plan/quantize.h"
#include "tessera/plan/targets.h"

#endif  // TESSERA_TESSERA_H_

// What attention to a cache does, as one struct from the public function to the kernels.
#pragma once
#include "hearth/base/fields.h"
#include "hearth/ops/packing.h"

namespace hearth::fast {

/// Rotary embedding of the first `dims` elements: even, at most all; in attention 0 means none.
struct Rotation {
  int dims = 0;
  bool traditional = false;  // pairs are neighbours, else (i, i + dims / 2)
  bool has_freqs = false;    // set by the functions: freqs are given, and base is unused
  float base = 10000;
  float scale = 1;      // of positions
  float amplitude = 1;  // of cosines and sines (YaRN, LongRoPE)
  HEARTH_FIELDS(dims, traditional, has_freqs, base, scale, amplitude)
};

/// Query i of a row at position p sees the keys at positions up to p, or the last `window` of them.
struct AttentionForm {
  float scale = 1;     // of q k^T, commonly 1 / sqrt(D)
  float softcap = 0;   // scores become softcap tanh(score / softcap); 0: they stay
  int window = 0;      // positions that a query sees, its own among them; 0: all
  bool ring = false;   // position p lies in row p % capacity of the caches
  bool writes = true;  // k and v go into the caches first; else there are none
  /// Above 0, values are the last `latent` elements of each key: there is no v and no cache of
  /// values (multi-head latent attention, its weights absorbed).
  int latent = 0;
  bool has_sinks = false;  // set by the functions: a logit a head takes a share, without a value
  Rotation rotation = {};  // of q and k
  /// Not dense: caches hold rows of that packing, uint8 (B, Hkv, capacity, state_row), of keys and
  /// of values as long as they (ops/state_packing.h).
  Packing state = Packing::dense;
  HEARTH_FIELDS(scale, softcap, window, ring, writes, latent, has_sinks, rotation, state)
};

}  // namespace hearth::fast

// The sizes of AMX's tiles, as LDTILECFG reads them (Intel's manual, volume 1, 18.3).
#pragma once
#include <cstdint>

namespace hearth::cpu {

/// Palette 1: eight tiles of at most 16 rows of 64 bytes. Loading it fills all with zeros.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  /// 0 rows: the tile is not used.
  void set(int tile, int64_t tile_rows) {
    row_bytes[tile] = tile_rows ? 64 : 0;
    rows[tile] = uint8_t(tile_rows);
  }
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace hearth::cpu

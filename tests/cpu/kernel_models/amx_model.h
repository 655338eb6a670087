#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cpu/kernel_models/bf16_model.h"

// The tiles of AMX, with the faults of the instructions as aborts.

namespace lattice::cpu {
namespace {

struct TileModel {
  int rows, row_bytes;
  uint8_t bytes[16][64];
};

inline TileModel tile_models[8];

inline void tile_fault_unless(bool condition) {
  if (!condition) std::abort();
}

inline TileModel& configured_tile(int tile) {
  tile_fault_unless(tile_models[tile].rows > 0 && tile_models[tile].row_bytes > 0);
  return tile_models[tile];
}

inline void _tile_release() {
  for (TileModel& tile : tile_models) tile = {};
}

/// Not a fault of the instruction but one of a kernel: to leave tiles in use.
inline void _tile_loadconfig(const void* memory) {
  for (const TileModel& tile : tile_models) tile_fault_unless(tile.rows == 0);
  uint8_t config[64];
  std::memcpy(config, memory, sizeof(config));
  tile_fault_unless(config[0] == 1 && config[1] == 0);
  for (int i = 2; i < 16; ++i) tile_fault_unless(config[i] == 0);
  for (int i = 0; i < 8; ++i) {
    tile_models[i] = {};
    tile_models[i].row_bytes = config[16 + 2 * i] + 256 * config[17 + 2 * i];
    tile_models[i].rows = config[48 + i];
    tile_fault_unless(tile_models[i].row_bytes <= 64 && tile_models[i].rows <= 16);
  }
}

inline void _tile_zero(int tile) {
  std::memset(configured_tile(tile).bytes, 0, sizeof(TileModel::bytes));
}

inline void _tile_loadd(int tile, const void* from, int64_t stride) {
  TileModel& to = configured_tile(tile);
  for (int row = 0; row < to.rows; ++row) {
    std::memcpy(to.bytes[row], static_cast<const char*>(from) + row * stride, static_cast<size_t>(to.row_bytes));
  }
}

inline void _tile_stored(int tile, void* to, int64_t stride) {
  const TileModel& from = configured_tile(tile);
  for (int row = 0; row < from.rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, from.bytes[row], static_cast<size_t>(from.row_bytes));
  }
}

/// sum = product(sum, row of a, b, column) for every sum of a tile, of 4 bytes each.
template <typename Sum, typename Product>
void tile_product(int sums, int left, int right, const Product& product) {
  TileModel& c = configured_tile(sums);
  const TileModel& a = configured_tile(left);
  const TileModel& b = configured_tile(right);
  tile_fault_unless(sums != left && sums != right && left != right);
  tile_fault_unless(c.rows == a.rows && a.row_bytes == 4 * b.rows && c.row_bytes == b.row_bytes);
  for (int row = 0; row < c.rows; ++row) {
    for (int column = 0; column < c.row_bytes / 4; ++column) {
      Sum sum;
      std::memcpy(&sum, c.bytes[row] + 4 * column, 4);
      sum = product(sum, a.bytes[row], b, column);
      std::memcpy(c.bytes[row] + 4 * column, &sum, 4);
    }
  }
}

/// sums += a @ b, where a's bytes have a sign and b's, in quads of rows, have none.
inline void _tile_dpbsud(int sums, int left, int right) {
  tile_product<uint32_t>(sums, left, right, [](uint32_t sum, const uint8_t* a, const TileModel& b, int column) {
    for (int k = 0; k < 4 * b.rows; ++k) {
      sum += static_cast<uint32_t>(static_cast<int8_t>(a[k]) * b.bytes[k / 4][4 * column + k % 4]);
    }
    return sum;
  });
}

/// sums += a @ b of pairs of bfloat16: even and odd channels are summed apart, then both, then added.
inline void _tile_dpbf16ps(int sums, int left, int right) {
  tile_product<float>(sums, left, right, [](float sum, const uint8_t* a, const TileModel& b, int column) {
    float parts[2] = {};
    for (int k = 0; k < b.rows; ++k) {
      for (int odd = 0; odd < 2; ++odd) {
        const float value = bf16_model_at(a + 4 * k + 2 * odd);
        const float weight = bf16_model_at(b.bytes[k] + 4 * column + 2 * odd);
        parts[odd] = flushed(std::fma(value, weight, parts[odd]));
      }
    }
    return flushed(flushed(sum) + flushed(parts[0] + parts[1]));
  });
}

}  // namespace
}  // namespace lattice::cpu

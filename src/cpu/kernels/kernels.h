#pragma once

#include <cstdint>

// What a kernel is given: raw pointers in one struct. A kernel allocates nothing, throws nothing, and touches no
// container, so that no inline function compiled for a newer instruction set can be linked in for everyone.

namespace lattice::cpu {

/// The edges of one tap in one tile, and the sums that they add to.
///
/// `sums` has `sums_stride` floats a row, of which `width` are added to. `width` is a multiple of the kernel's lanes,
/// at most its panel_width; of these, `outputs` are wanted, and behind them the weights are zero. No slot occurs twice.
///
/// The rest is what a kernel may fetch meanwhile: behind the inputs of these edges stand `following` ones of the
/// products to come, and the next of these reads `next_bytes` of weights at `next`.
struct TapEdges {
  const int32_t* input;
  const uint16_t* slot;
  int64_t count;
  int64_t width;
  int64_t outputs;
  float* sums;
  int64_t sums_stride;
  int64_t following = 0;
  const void* next = nullptr;
  int64_t next_bytes = 0;
};

/// Edges of one tap within a tile; no slot occurs twice.
struct TapRun {
  int32_t tap;
  int32_t count;
};

/// sums[slot[e]] += x[input[e]] @ panel, summed in float32.
///
/// `x` is row-major with `channels` used of `x_stride` a row; `panel` is (channels, width). Both are float32, or both
/// bfloat16: then channels are taken in pairs, `channels` and `x_stride` are even, and `panel` is (channels / 2, width,
/// 2).
struct FloatProduct {
  TapEdges edges;
  const void* x;
  int64_t x_stride;
  const void* panel;
  int64_t channels;
};

/// The most channels of a group of packed weights.
inline constexpr int64_t kLargestGroup = 128;

/// What a group of a row's activations is in float32: scale * x, with the sum of x. bfloat16 ones have scale 1.
struct GroupFactors {
  float scale, sum;
};

/// Rows and the packed weights of a panel, whose product is, for each row and output, the sum over groups of row.scale
/// * (scale * (x . code) + bias * row.sum): that of integers exact, that of bfloat16 summed in float32. Where `biases`
/// is null, they are in the codes.
///
/// `x` holds groups * group_size activations a row, integers as quantize wrote them or bfloat16, and `codes` the panel
/// as decode wrote it; `rows` is (rows, groups), `scales` and `biases` (groups, width). Activations from `channels` on
/// are zero, and may be left out.
struct CodeOperands {
  const void* x;
  const GroupFactors* rows;
  const void* codes;
  const float* scales;
  const float* biases;
  int64_t groups;
  int64_t group_size;
  int64_t channels;
};

/// sums[slot[e]] += row input[e] of the operands' product.
struct PackedProduct : CodeOperands {
  TapEdges edges;
};

/// What a tap's edges are multiplied with: panels one behind the other as decode made them. Scales are (panels, groups,
/// width).
struct SplitWeights {
  const uint32_t* panels;
  const float* scales;
};

/// sums[slot[e]] += x[input[e]] @ weights for the edges of a tile, run after run, x being float32 rows of groups *
/// group_size channels, which the kernel splits into sums of two bfloat16.
///
/// There is one panel, or two of kernels.panel_width with centred codes, side by side in the sums. `weights` is called
/// once for each run, in their order, and what it gives is read until the next call; scales until the end. Centred
/// codes meet their scales behind the product, other weights are decoded with theirs. A row with a value that is not
/// finite, or that overflows in between, leaves sums that are not finite.
struct SplitProduct {
  const TapRun* runs;
  int64_t run_count;
  const int32_t* input;
  const uint16_t* slot;
  int64_t edges;
  const float* x;
  int64_t groups;
  int64_t group_size;
  SplitWeights (*weights)(const void* weights_of, int64_t run);
  const void* weights_of;
  bool is_centred;
  int64_t panel_count;
  int64_t width;
  float* sums;
  int64_t sums_stride;
};

/// Packed weights of one panel: `words` is (groups * group_size * bits / 32, width). The code of channel i of a word
/// starts at bit code_shift(i), an order in which pairs of channels come out by one shift and one mask, and quads too,
/// but for the middle two, which are swapped.
struct PanelCodes {
  const uint32_t* words;
  const float* scales;  // (groups, width), as biases
  const float* biases;
  int64_t groups;
  int64_t group_size;
  int64_t bits;
  int64_t width;
  /// Whether each bias is the scale times an integer, to float32's precision, and no code plus that integer is beyond
  /// 256: then bfloat16 holds them exactly.
  bool is_centred = false;
};

constexpr int code_shift(int64_t i) {
  return static_cast<int>(16 * (i & 1) + 8 * (i >> 1 & 1) + 4 * (i >> 2));
}

/// Added to a number below 2^22, leaves its nearest integer in the low bits.
inline constexpr float kRounder = 0x1.8p23F;

/// q = rint(x / s) for each row and group, with s = max |x_group| / limit.
///
/// `x` is row-major (rows, channels); channels beyond, up to groups * group_size, count as zero. A row that cannot be
/// represented so, since it holds a value that is not finite or a group whose scale is no normal number, sets `exact`
/// to 1 (else 0) and has zeros for q and factors.
struct RowQuantization {
  const float* x;
  int64_t rows;
  int64_t channels;
  int64_t groups;
  int64_t group_size;
  int32_t limit;
  void* q;
  GroupFactors* factors;  // (rows, groups)
  uint8_t* exact;
};

/// The sum of each row and group of `x`, bfloat16 (rows, groups * group_size).
///
/// A row with a value whose products with codes could overflow, or be so small that an instruction may flush their
/// sums to zero, sets `exact` to 1, else 0. Other values are zero or in [2^-119, 2^112): multiples of 2^-126, as are
/// all sums of them times codes, and those of 128 stay below 2^127.
struct GroupSums {
  const uint16_t* x;
  int64_t rows;
  int64_t groups;
  int64_t group_size;
  GroupFactors* factors;  // (rows, groups)
  uint8_t* exact;
};

/// What a finish does to a negative value.
enum class Negative : uint8_t { kept, zeroed, sloped };

/// y[order[r]] = activation((sums[r] + bias) * scale + shift + residual[order[r]]), for `channels` channels.
///
/// `bias`, `scale` and `shift` are all there or all null, and `residual` may be null. `y` has `stride` floats a row,
/// and `residual` its own number.
struct RowFinish {
  const float* sums = nullptr;
  int64_t sums_stride = 0;
  const int32_t* order = nullptr;
  int64_t rows = 0;
  int64_t channels = 0;
  const float* bias = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  const float* residual = nullptr;
  int64_t residual_stride = 0;
  Negative negative = Negative::kept;
  float slope = 0;
  float* y = nullptr;
  int64_t stride = 0;
  /// Rows are stored past the caches, which they would fill before anybody reads them; they consist of whole lines.
  bool streams = false;
};

/// The most channels of DenseRows: a panel of so many, 64 KiB, comes from the second-level cache in time.
inline constexpr int64_t kMostDenseChannels = 256;

/// y[r] = activation((x[r] @ panel + bias) * scale + shift + residual[r]), for rows one behind the other. Where `input`
/// is there, of edges instead: edge e takes x[input[e]] to y[finish.order[slot[e]]].
///
/// `x` has `channels` a row, at most kMostDenseChannels, and `panel` is (channels, width). `finish.channels` are the
/// outputs: all of the panel's vectors, the last one maybe in part. It has neither sums nor slope, and its rows are
/// counted along x or the edges.
struct DenseRows {
  const float* x;
  int64_t channels;
  const float* panel;
  int64_t width;
  const int32_t* input = nullptr;
  const uint16_t* slot = nullptr;
  RowFinish finish;
};

/// The same of integers, row by row: x[r] @ panel is row r of the operands' product.
struct DenseCodes : CodeOperands {
  int64_t width;
  RowFinish finish;
};

/// 16-bit floats to float32, `count` of them.
struct Widening {
  const uint16_t* from;
  float* to;
  int64_t count;
};

/// A panel of bfloat16, (pairs, width, 2), to float32, (2 * pairs, width).
struct PanelWidening {
  const uint32_t* from;
  int64_t pairs;
  int64_t width;
  float* to;
};

/// The voxel of each point: floor((point - origin) / voxel_size) on each axis, in float32.
///
/// `points` is (count, 3), `batches` their batches, null where all are 0. `voxels` is (count, 4): batch, x, y, z. Where
/// a point has none its batch is -1: where it is not finite or its voxel leaves int32, or, if there is a range, where
/// the voxel does not lie in 0 .. last.
struct VoxelSearch {
  const float* points;
  int64_t count;
  float origin[3];
  float voxel_size[3];
  const int32_t* batches;
  bool has_range;
  int32_t last[3];
  int32_t* voxels;
};

/// How many points have no voxel.
struct FoundVoxels {
  int64_t dropped, out_of_range;
};

/// Where the taps of an output fall that has a certain cell of its block, as far as they lie in two blocks on x and on
/// y: four columns of the box, of up to four blocks each.
struct CornerPattern {
  uint32_t corner;      ///< the first column's place in a box of 4x4x4 blocks, 0 to 2 on x and on y
  uint32_t only_block;  ///< the place of the one block that is read, where EdgeSearch::one_block
  uint32_t first;       ///< where its taps stand in EdgeSearch::taps
  uint32_t vectors;     ///< of 16 taps, one or more
  uint32_t last_lanes;  ///< one bit for each lane of the last vector that is a tap
};

/// A tap, its number and the place that it reads in one of the corner's blocks, (x * 2 + y) * 4 + z; an edge has a slot
/// beside it.
struct CornerTap {
  static constexpr int kBlockBit = 6, kTapBit = 10, kSlotBit = 19;  // below: the cell

  static constexpr uint32_t of(int cell, int block, int tap) {
    return static_cast<uint32_t>(cell | block << kBlockBit | tap << kTapBit);
  }
  static constexpr int cell(uint32_t edge) { return static_cast<int>(edge & ((1U << kBlockBit) - 1)); }
  static constexpr uint32_t tap(uint32_t edge) { return edge >> kTapBit & ((1U << (kSlotBit - kTapBit)) - 1); }
  static constexpr uint16_t slot(uint32_t edge) { return static_cast<uint16_t>(edge >> kSlotBit); }
};

/// The columns of a box, by x * 4 + y: the numbers of the blocks from height z on stand from max(low, min(high, z)) +
/// zero on in EdgeSearch::blocks_by_height, four of them.
struct BoxColumns {
  alignas(64) int32_t low[16];
  alignas(64) int32_t high[16];
  alignas(64) int32_t zero[16];
};

/// Outputs of one block, and the box that they read: scratch for its blocks' numbers and cells, where there are such.
struct CornerOutputs {
  alignas(64) int32_t box[64];
  alignas(64) uint64_t box_cells[64];
  const BoxColumns* columns;
  const CornerPattern* patterns;  ///< by cell
  int64_t count;
  int32_t height;  ///< the box's lowest
};

/// Appends the edges of outputs to the lists of their taps: the rank of what an edge reads, and its slot.
struct EdgeSearch {
  static constexpr int64_t kMostOutputs = 256;

  const int32_t* blocks_by_height;
  const uint64_t* cells_by_height;  ///< of the same blocks
  const uint64_t* source_cells;     ///< by block, one bit a cell
  const int32_t* source_first;      ///< by block, the rank of its first place
  const uint32_t* taps;             ///< as CornerTap has them, by vectors of 16
  int64_t box_x, box_y;             ///< blocks of the box on x and y
  bool one_block;                   ///< each pattern reads one block
  CornerOutputs* blocks_of_outputs;
  int64_t block_count;       ///< at most kMostOutputs
  const uint8_t* cells;      ///< of the outputs of all blocks, at most kMostOutputs, one behind the other
  int64_t slot;              ///< of the first; those of the others follow
  uint32_t *blocks, *edges;  ///< scratch for 16 values more than there are edges
  uint32_t* next;            ///< by tap: where its next edge goes
  int32_t* ranks;
  uint16_t* slots;
};

/// Where the edges of a tile go.
struct TileLists {
  int32_t* input;
  uint16_t* slot;
};

/// Edges of one tap in one tile, each to be turned round: what it reads becomes an output that reads what its own slot
/// stands for. The output at position p has slot p % 2^tile_bits in tile p >> tile_bits.
struct TurnedEdges {
  const int32_t* positions;  ///< that the edges read
  const uint16_t* slots;
  int64_t count;
  int tile_bits;
  const int32_t* rows;  ///< by slot: the row that it stands for
  uint32_t* next;       ///< by tile, each `stride` from the one before: where its next edge goes
  int64_t stride;
  const TileLists* lists;  ///< by tile
};

/// A way to multiply codes, in a form of its own.
struct CodeKernels {
  int64_t code_bytes = 0;
  /// Whether centred codes are decoded with their integers, so that they need no biases.
  bool centres = false;
  /// Where the codes stand: in `codes`, or in the panel, if it has them so.
  const void* (*decode)(const PanelCodes&, void* codes) = nullptr;
  void (*product)(const PackedProduct&) = nullptr;
  void (*dense_rows)(const DenseCodes&) = nullptr;  ///< of integers; null where there is no such kernel
};

// The routes are all null where a set has none of its own (see Kernels::base).

/// A way to multiply packed weights with activations that are rounded to integers, in a form of its own as well.
struct IntegerRoute {
  int64_t activation_bytes = 0;  ///< a channel
  void (*quantize)(const RowQuantization&) = nullptr;
  CodeKernels codes = {};

  bool exists() const { return quantize != nullptr; }
};

/// A way to multiply bfloat16 activations as they are, which few instruction sets have.
struct Bf16Route {
  void (*float_product)(const FloatProduct&) = nullptr;
  void (*widen_panel)(const PanelWidening&) = nullptr;  ///< for activations of other types
  void (*sum_groups)(const GroupSums&) = nullptr;
  CodeKernels codes = {};

  bool exists() const { return float_product != nullptr; }
};

/// A way to multiply packed weights with float32 activations as sums of two bfloat16, where such products are cheap.
struct SplitRoute {
  /// Pairs of bfloat16, in a form of the kernels' own. Returns how many there are: a centred panel has one for two
  /// codes, another one for each.
  int64_t (*decode)(const PanelCodes&, uint32_t* pairs) = nullptr;
  void (*product)(const SplitProduct&) = nullptr;
  /// May take finite ones for some that are not, where their sum is not finite; never the other way round.
  bool (*all_finite)(const float* values, int64_t count) = nullptr;

  bool exists() const { return decode != nullptr; }
};

/// Edges of relations; by vectors where the instruction set has a way to leave out lanes.
struct EdgeRoute {
  void (*find)(const EdgeSearch&) = nullptr;           ///< null where the instruction set has no such way
  void (*count_turned)(const TurnedEdges&) = nullptr;  ///< adds the edges of each tile to `next`
  void (*place_turned)(const TurnedEdges&) = nullptr;

  bool finds() const { return find != nullptr; }
};

/// The kernels of one instruction set.
struct Kernels {
  const char* isa = nullptr;
  /// A set whose instructions this one has as well, and whose kernels it takes: all but the routes of its own, which
  /// are all that its table holds (see completed in select.h).
  const Kernels* base = nullptr;
  int64_t lanes = 0;        ///< floats a vector
  int64_t panel_width = 0;  ///< output channels that a panel covers, but for the last one
  void (*float_product)(const FloatProduct&) = nullptr;
  /// scale * code + bias, (groups * group_size, width).
  void (*decode_floats)(const PanelCodes&, float* panel) = nullptr;
  IntegerRoute wide = {};    ///< activations of 16 bits
  IntegerRoute narrow = {};  ///< of 8 bits
  Bf16Route bf16 = {};
  SplitRoute split = {};  ///< where it exists, it takes the place of the wide integer route
  void (*finish)(const RowFinish&) = nullptr;
  void (*dense_rows)(const DenseRows&) = nullptr;
  void (*widen_f16)(const Widening&) = nullptr;
  void (*widen_bf16)(const Widening&) = nullptr;
  FoundVoxels (*find_voxels)(const VoxelSearch&) = nullptr;
  EdgeRoute edges = {};
};

}  // namespace lattice::cpu

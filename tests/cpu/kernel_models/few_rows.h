#pragma once

namespace lattice::cpu {
namespace {

/// A set in blocks of at most two rows, which compiles sooner: for those that have the blocks of another set that is
/// tested in full.
template <typename Set>
struct FewRows : Set {
  static constexpr int rows(int) { return 2; }
};

}  // namespace
}  // namespace lattice::cpu

#include "progress.h"

#include <unistd.h>

#include <cstdio>

namespace lattice::cli {
namespace {

constexpr const char* kWipeLine = "\r\033[K";

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  clear();
}

void Progress::show(const std::string& text) {
  if (!terminal_) return;
  std::fprintf(stderr, "%s%s ...", kWipeLine, text.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (!shown_) return;
  std::fputs(kWipeLine, stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace lattice::cli

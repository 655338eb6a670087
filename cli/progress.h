#pragma once

#include <string>

namespace lattice::cli {

/// A line on stderr that tells what runs now; it is replaced by the next and wiped at the end. Silent where stderr is
/// not a terminal, so that logs and error messages stay one line.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const std::string& text);
  /// Wipes the line, so that stdout may be written to.
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
};

}  // namespace lattice::cli

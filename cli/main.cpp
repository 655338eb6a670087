#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "commands.h"
#include "lattice/error.h"

namespace lattice::cli {
namespace {

struct Subcommand {
  const char* group;  ///< the word before the name, as in `bench conv`, or null
  const char* name;
  const char* description;
  Action (*add)(CLI::App& app);
};

constexpr std::array kSubcommands = {
    Subcommand{nullptr, "info", "Show version, processor and instruction sets", add_info},
    Subcommand{nullptr, "network", "Run MinkUNet18 on a scan; show its speed, size and error", add_network},
    Subcommand{nullptr, "detect", "Run VoxelNeXt on a scan: boxes as a list and seen from above", add_detect},
    Subcommand{nullptr, "voxelize", "Turn a scan into voxels", add_voxelize},
    Subcommand{nullptr, "quantize", "Pack the weights of a safetensors file to 4 or 8 bits", add_quantize},
    Subcommand{nullptr, "run", "Run a model on tensors, or on many scans", add_run},
    Subcommand{nullptr, "inspect", "Show what a model holds, how it is planned and what it costs", add_inspect},
    Subcommand{nullptr, "compare", "Compare two models, or two runs of one, on the same input", add_compare},
    Subcommand{nullptr, "street", "Write the generated LiDAR scan of a street", add_street},
    Subcommand{"bench", "conv", "Time one convolution on a scan", add_bench_conv},
};

constexpr int kUsage = 2, kInternal = 1, kNoMemory = 6, kScansFailed = 7;

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return kUsage;
    case ErrorCode::io:
      return 3;
    case ErrorCode::corrupt_file:
      return 4;
    case ErrorCode::unsupported:
      return 5;
    case ErrorCode::out_of_range:
      return 6;
  }
  return kInternal;
}

/// One line, whatever the message holds.
int report(int code, std::string message) {
  const auto is_control = [](char letter) { return static_cast<unsigned char>(letter) < ' ' || letter == 0x7f; };
  std::replace_if(message.begin(), message.end(), is_control, ' ');
  std::fprintf(stderr, "lattice: %s\n", message.c_str());
  return code;
}

CLI::App& group_named(CLI::App& app, const char* name) {
  const auto groups = app.get_subcommands([&](const CLI::App* made) { return made->get_name() == name; });
  if (!groups.empty()) return *groups.front();
  CLI::App* group = app.add_subcommand(name, "Time one operation");
  group->require_subcommand(1);
  return *group;
}

/// Why a word is no whole number of the type's, or nothing. Digits alone: CLI11 would take 010 for 8.
template <typename Number>
std::string check_whole_number(const std::string& word) {
  Number number{};
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, number);
  if (error == std::errc::result_out_of_range) return fmt::format("{} is beyond 64 bits", word);
  const bool whole = error == std::errc() && rest == end && std::to_string(number) == word;
  if (whole) return {};
  const char* const kind = std::is_signed_v<Number> ? "whole number" : "whole number of at least 0";
  return fmt::format("'{}' is no {} in decimal digits", word, kind);
}

std::string check_real_number(const std::string& word) {
  float number{};
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, number);
  if (error == std::errc() && rest == end && std::isfinite(number)) return {};
  return fmt::format("'{}' is no finite number of float32", word);
}

/// CLI11 itself takes an empty word for 0, and for a number beyond 64 bits the largest.
void demand_numbers(CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type.starts_with("INT")) option.check(check_whole_number<int64_t>);
  if (type.starts_with("UINT")) option.check(check_whole_number<uint64_t>);
  if (type.starts_with("FLOAT")) option.check(check_real_number);
}

void add_subcommands(CLI::App& app, Action& chosen) {
  for (const Subcommand& row : kSubcommands) {
    CLI::App& parent = row.group == nullptr ? app : group_named(app, row.group);
    CLI::App& command = *parent.add_subcommand(row.name, row.description);
    command.callback([&chosen, action = row.add(command)] { chosen = action; });
    for (CLI::Option* option : command.get_options()) demand_numbers(*option);
  }
}

/// Whether the first word is a subcommand's, but of none: CLI11 would only say that a subcommand is missing.
bool names_no_subcommand(const CLI::App& app, int argc, const char* const* argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  return app.get_subcommands([&](const CLI::App* made) { return made->get_name() == argv[1]; }).empty();
}

void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw Error(ErrorCode::io, std::string("stdout: cannot write: ") + std::strerror(errno));
  }
}

int run(int argc, const char* const* argv) {
  CLI::App app("Sparse 3D networks with packed int4 and int8 weights.", "lattice");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 2 usage or invalid argument; 3 input or output; 4 corrupt file; 5 unsupported;\n"
      "6 out of range or memory; 7 some scans failed. LATTICE_ISA=scalar, avx2, ... forces an instruction set.");
  Action chosen;
  add_subcommands(app, chosen);
  if (names_no_subcommand(app, argc, argv)) {
    return report(kUsage, std::string("no subcommand is named ") + argv[1] + " (see --help)");
  }
  try {
    try {
      app.parse(argc, argv);
      chosen();
    } catch (const CLI::Success& help) {
      app.exit(help);  // prints it
    }
    flush_output();
    return 0;
  } catch (const CLI::ParseError& error) {
    return report(kUsage, std::string(error.what()) + " (see --help)");
  } catch (const Error& error) {
    return report(exit_code(error.code()), error.what());
  } catch (const ScansFailed& error) {
    return report(kScansFailed, error.what());
  } catch (const std::bad_alloc&) {
    return report(kNoMemory, "out of memory");
  } catch (const std::system_error& error) {  // files, standard output, threads
    const bool lacks_threads = error.code() == std::errc::resource_unavailable_try_again;
    return report(lacks_threads ? kNoMemory : exit_code(ErrorCode::io), error.what());
  } catch (const std::exception& error) {
    return report(kInternal, std::string("internal error: ") + error.what());
  }
}

}  // namespace
}  // namespace lattice::cli

int main(int argc, char** argv) {
  return lattice::cli::run(argc, argv);
}

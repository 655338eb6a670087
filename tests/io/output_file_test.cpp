#include "io/output_file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "io/file_bytes.h"
#include "io/mapped_file.h"

namespace lattice {
namespace {

using testing::HasSubstr;

// Writes beyond `bytes` fail with EFBIG, as on a full disk, while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_ = {};
};

TEST(OutputFile, ReplacesOnlyAtCommit) {
  const TempFolder folder;
  const auto path = folder.write("target", "old");
  OutputFile file(path, "save");
  file.write("ne");
  file.write("w");
  EXPECT_EQ(file_bytes(path), "old");
  EXPECT_EQ(folder.files(), 2u);
  file.commit();
  EXPECT_EQ(file_bytes(path), "new");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(OutputFile, IsRemovedWithoutCommit) {
  const TempFolder folder;
  const auto path = folder.write("target", "old");
  {
    OutputFile file(path, "save");
    file.write("new");
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      EXPECT_TRUE(entry.path() == path || entry.path().extension() == ".partial");
    }
  }
  EXPECT_EQ(file_bytes(path), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(OutputFile, KeepsOrderAcrossItsBuffer) {
  const TempFolder folder;
  std::string expected;
  OutputFile file(folder / "target", "save");
  for (const size_t size : {1u, 300000u, 7u, 262144u, 262145u, 100000u, 200000u}) {
    const std::string part(size, static_cast<char>('a' + expected.size() % 26));
    file.write(part);
    expected += part;
  }
  file.commit();
  EXPECT_EQ(file_bytes(folder / "target"), expected);
}

TEST(OutputFile, FullDiskLeavesTheOldFile) {
  const TempFolder folder;
  const auto path = folder.write("target", "old");
  for (const size_t size : {size_t{5000}, size_t{1} << 20}) {  // found out by commit, and by write
    const FileSizeLimit limit(4096);
    const std::string message = error_of(ErrorCode::io, [&] {
      OutputFile file(path, "save");
      file.write(std::string(size, 'n'));
      file.commit();
    });
    EXPECT_THAT(message, HasSubstr(path.string()));
    EXPECT_THAT(message, HasSubstr("File too large"));
  }
  EXPECT_EQ(file_bytes(path), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(OutputFile, NamesTheFolderThatIsNotThere) {
  const TempFolder folder;
  const std::string message = error_of(ErrorCode::io, [&] { OutputFile(folder / "absent/target", "save"); });
  EXPECT_THAT(message, HasSubstr("absent/target"));
  EXPECT_THAT(message, HasSubstr("No such file or directory"));
}

TEST(OutputFile, RefusesAFolderWithoutPermission) {
  const TempFolder folder;
  ::chmod(folder.path().c_str(), 0555);
  // Permissions do not bind root, who becomes nobody for the attempt.
  constexpr uid_t kNobody = 65534;
  const uid_t user = ::geteuid();
  ASSERT_TRUE(user != 0 || ::seteuid(kNobody) == 0);
  EXPECT_THAT(error_of(ErrorCode::io, [&] { OutputFile(folder / "target", "save"); }), HasSubstr("Permission denied"));
  ASSERT_TRUE(user != 0 || ::seteuid(user) == 0);
  ::chmod(folder.path().c_str(), 0755);
  EXPECT_EQ(folder.files(), 0u);
}

TEST(OutputFile, NeverReplacesADeviceOrAFolder) {
  const TempFolder folder;
  EXPECT_THAT(error_of(ErrorCode::io, [&] { OutputFile(folder.path(), "save"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { OutputFile("/dev/full", "save"); }), HasSubstr("not a regular file"));
  EXPECT_EQ(folder.files(), 0u);
}

TEST(OutputFile, WritesThroughALink) {
  const TempFolder folder;
  const auto path = folder.write("target", "old");
  std::filesystem::create_symlink(path, folder / "link");
  OutputFile file(folder / "link", "save");
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(file_bytes(path), "new");
}

TEST(OutputFile, LongNamesFit) {
  const TempFolder folder;
  const auto path = folder / std::string(250, 'n');
  OutputFile file(path, "save");
  file.write("new");
  file.commit();
  EXPECT_EQ(file_bytes(path), "new");
}

TEST(MappedFile, MapsWhatIsThere) {
  const TempFolder folder;
  const auto file = MappedFile::open(folder.write("a", "abc"), "read");
  ASSERT_EQ(file->bytes().size(), 3u);
  EXPECT_EQ(file->bytes()[2], std::byte{'c'});
  EXPECT_TRUE(MappedFile::open(folder.write("empty", ""), "read")->bytes().empty());
}

TEST(MappedFile, NamesWhatItCannotOpen) {
  const TempFolder folder;
  const std::string absent = error_of(ErrorCode::io, [&] { MappedFile::open(folder / "absent", "read"); });
  EXPECT_THAT(absent, HasSubstr("read: cannot open"));
  EXPECT_THAT(absent, HasSubstr("No such file or directory"));
  EXPECT_THAT(error_of(ErrorCode::io, [&] { MappedFile::open(folder.path(), "read"); }),
              HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of(ErrorCode::io, [&] { MappedFile::open(folder / "pipe", "read"); }),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace lattice

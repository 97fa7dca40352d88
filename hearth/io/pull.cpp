#include "hearth/io/pull.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <system_error>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/io/file_hash.h"
#include "hearth/io/hub.h"
#include "hearth/io/hub_listing.h"
#include "hearth/io/json.h"
#include "hearth/io/output_file.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  ensure(!error, folder.string(), ": cannot be made: ", error.message());
}

/// The lock that huggingface_hub takes (filelock: flock) while it fetches the same blob.
class BlobLock {
 public:
  BlobLock(const fs::path& file, HubClient& client, std::string_view name)
      : file_((make_folders(file.parent_path()),
               ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666))) {
    ensure(file_.fd >= 0, file.string(), ": cannot be opened: ", reason(errno));
    const std::string waiting = concat("another program, which fetches ", name);
    while (::flock(file_.fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return;  // no locks here; the hash will tell
      client.wait(0.2, waiting);
    }
  }

 private:
  Descriptor file_;
};

/// A blob's bytes as far as they are there: its .incomplete file, and the hash of what it holds.
class PartialBlob {
 public:
  PartialBlob(fs::path path, std::string digits, uint64_t size, HubClient& client)
      : path_(std::move(path)),
        digits_(std::move(digits)),
        size_(size),
        file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)),
        hash_(FileHash::like(digits_, size)) {
    ensure(file_.fd >= 0, path_.string(), ": cannot be written: ", reason(errno));
    struct stat info {};
    ensure(::fstat(file_.fd, &info) == 0 && S_ISREG(info.st_mode), path_.string(),
           ": is no regular file");
    const uint64_t left = uint64_t(info.st_size) > size_ ? 0 : uint64_t(info.st_size);
    if (left == 0) start_anew();
    std::string piece(left ? 1 << 20 : 0, '\0');
    while (have_ < left) {
      client.check_going();
      const ssize_t n = ::pread(file_.fd, piece.data(), piece.size(), off_t(have_));
      if (n < 0 && errno == EINTR) continue;
      ensure(n >= 0, path_.string(), ": cannot be read: ", reason(errno));
      if (n == 0) break;
      hash_.add({piece.data(), size_t(n)});
      have_ += uint64_t(n);
    }
    left_off_ = have_;
  }

  uint64_t have() const { return have_; }
  /// How much an earlier program left.
  uint64_t left_off() const { return left_off_; }

  void start_anew() {
    ensure(::ftruncate(file_.fd, 0) == 0, path_.string(), ": cannot be cut: ", reason(errno));
    have_ = left_off_ = 0;
    hash_ = FileHash::like(digits_, size_);
  }

  /// At most to the size that the file is to have.
  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_.fd, bytes.data(), bytes.size(), off_t(have_));
      if (n < 0 && errno == EINTR) continue;
      ensure(n > 0, path_.string(), ": cannot be written: ", reason(errno),
             ". What came is kept: the same command goes on there");
      hash_.add(bytes.substr(0, size_t(n)));
      have_ += uint64_t(n);
      bytes.remove_prefix(size_t(n));
    }
  }

  /// Puts the file in its place where its hash is right; else gives the hash.
  std::string commit(const fs::path& to) {
    std::string found = hash_.digits();
    if (found != digits_) return found;
    ensure(::fsync(file_.fd) == 0 && ::rename(path_.c_str(), to.c_str()) == 0, to.string(),
           ": cannot be written: ", reason(errno));
    return "";
  }
  void remove() { ::unlink(path_.c_str()); }

 private:
  fs::path path_;
  std::string digits_;
  uint64_t size_, have_ = 0, left_off_ = 0;
  Descriptor file_;
  FileHash hash_;
};

/// "bytes 5-9/10": where it begins, and the size of the whole (nothing for "*").
struct ContentRange {
  std::optional<uint64_t> begin, size;
};
std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}
ContentRange content_range(const HttpAnswer& answer) {
  const std::string text = answer.header("content-range");
  const auto dash = text.find('-'), slash = text.find('/');
  if (!text.starts_with("bytes ") || dash == text.npos || slash == text.npos) return {};
  return {number(text.substr(6, dash - 6)), number(text.substr(slash + 1))};
}

bool offline() {
  const char* set = setting("HF_HUB_OFFLINE");
  return set &&
         std::set<std::string>{"1", "ON", "on", "YES", "yes", "TRUE", "true", "True"}.contains(set);
}

class Pull {
 public:
  Pull(std::string_view name, const PullOptions& options,
       const std::function<bool(const PullProgress&)>& go_on)
      : options_(options),
        client_(hub_endpoint(), hub_token(), options.retries, [this, &go_on](std::string_view why) {
          progress_.waiting_for = why;
          return !go_on || go_on(progress_);
        }) {
    ensure(!offline(), "HF_HUB_OFFLINE is set: nothing is fetched");
    const HubName parsed = parse_hub_name(name);
    pulled_.id = parsed.id;
    pulled_.revision = parsed.revision;
    type_ = parsed.type;
    check(type_.empty() || (options.include.empty() && options.exclude.empty()), name,
          ": names its file by its type; leave --include and --exclude out");
    model_ = hub_cache() / hub_entry(parsed.id);
  }

  Pulled run() {
    try {
      list();
      if (!options_.only_list) {
        check_space();
        for (const size_t i : order_) {
          fetch(i);
          if (options_.there) options_.there(files_[i].name, place(files_[i]));
        }
        put_together();
        pulled_.whole = true;
      }
    } catch (const PullStopped&) {
    }
    return pulled_;
  }

 private:
  fs::path blob(const HubFile& file) const { return model_ / "blobs" / file.hash; }
  fs::path incomplete(const HubFile& file) const {
    return model_ / "blobs" / (file.hash + ".incomplete");
  }
  fs::path pointer(const HubFile& file) const { return pulled_.folder / file.name; }

  /// Where the file is, or may be: a blob, or, where no links can be, its place.
  fs::path place(const HubFile& file) const {
    std::error_code none;
    const bool own = !fs::exists(blob(file), none) && !fs::is_symlink(pointer(file), none) &&
                     fs::exists(pointer(file), none);
    return own ? pointer(file) : blob(file);
  }
  bool there(const HubFile& file) const {
    std::error_code none;
    const fs::path path = place(file);
    return fs::is_regular_file(path, none) && fs::file_size(path, none) == *file.bytes;
  }

  void list() {
    HubListing listing = list_hub_model(client_, pulled_.id, pulled_.revision);
    pulled_.commit = listing.commit;
    pulled_.folder = model_ / "snapshots" / listing.commit;
    files_ = type_.empty() ? choose_files(listing.files, options_.include, options_.exclude)
                           : choose_gguf(listing.files, type_, pulled_.id);
    std::set<std::string> hashes;
    for (HubFile& file : files_) {
      complete(client_, pulled_.id, listing.commit, file);
      pulled_.files.push_back({file.name, *file.bytes, false});
      if (!there(file) && hashes.insert(file.hash).second) progress_.total += *file.bytes;
    }
    // The small files first: they say what the large ones are.
    for (size_t i = 0; i < files_.size(); ++i) order_.push_back(i);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return *files_[a].bytes < *files_[b].bytes; });
  }

  void check_space() {
    make_folders(model_ / "blobs");
    uint64_t wanted = progress_.total;
    std::error_code none;
    for (const HubFile& file : files_)
      if (const auto size = fs::file_size(incomplete(file), none); !none && !there(file))
        wanted -= std::min<uint64_t>(size, *file.bytes);
    const fs::space_info space = fs::space(model_, none);
    ensure(none || wanted <= space.available, pulled_.id, ": ", megabytes(wanted),
           " are still to be fetched, and ", megabytes(space.available), " are free in ",
           hub_cache().string(), ". Make room, or name another folder: HF_HUB_CACHE");
  }
  static std::string megabytes(uint64_t bytes) {
    return concat((bytes + 999'999) / 1'000'000, " MB");
  }

  void fetch(size_t i) {
    const HubFile& file = files_[i];
    progress_.file = file.name;
    if (there(file)) return;
    const BlobLock lock(hub_cache() / ".locks" / hub_entry(pulled_.id) / (file.hash + ".lock"),
                        client_, file.name);
    if (!there(file)) {
      PartialBlob partial(incomplete(file), file.hash, *file.bytes, client_);
      std::string wrong = fetch_into(partial, file);
      if (!wrong.empty() &&
          partial.left_off() > 0) {  // what was left may have been of another file
        partial.start_anew();
        wrong = fetch_into(partial, file);
      }
      if (!wrong.empty()) partial.remove();
      ensure(wrong.empty(), pulled_.id, ": ", file.name,
             ": what came is not what the Hub lists: its ",
             file.hash.size() == 64 ? "SHA-256" : "hash as a Git blob", " is ", wrong, ", wanted ",
             file.hash, ". It was thrown away; try again");
      pulled_.files[i].fetched = true;
    }
    done_ += *file.bytes;
    progress_.done = done_;
  }

  /// Gives the hash, where it is a wrong one.
  std::string fetch_into(PartialBlob& partial, const HubFile& file) {
    const std::string what = concat(pulled_.id, ": ", file.name);
    progress_.done = done_ + partial.have();
    if (partial.have() < *file.bytes)
      client_.persist(what, [&] { return attempt(what, partial, file); });
    return partial.commit(blob(file));
  }

  HubClient::Attempt attempt(const std::string& what, PartialBlob& partial, const HubFile& file) {
    const uint64_t before = partial.have(), size = *file.bytes;
    HttpRequest request;
    request.url = hub_file_url(client_, pulled_.id, pulled_.commit, file.name);
    request.headers.emplace_back("Accept-Encoding: identity");
    if (before > 0) request.headers.push_back(concat("Range: bytes=", before, "-"));
    std::string refusal;
    bool begun = false, another_part = false;
    const HttpAnswer answer =
        client_.send(request, [&](const HttpAnswer& so_far, std::string_view bytes) {
          if (so_far.status != 200 && so_far.status != 206) {
            refusal += bytes.substr(0, 4096 - std::min<size_t>(refusal.size(), 4096));
            return refusal.size() < 4096;
          }
          if (!begun) {
            begun = true;
            const ContentRange range = content_range(so_far);
            const auto whole =
                so_far.status == 200 ? number(so_far.header("content-length")) : range.size;
            ensure(whole.value_or(size) == size, what, ": the server has ", whole.value_or(0),
                   " bytes of it, the listing says ", size);
            if (so_far.status == 206 && range.begin != before) {
              another_part = true;
              return false;
            }
            if (so_far.status == 200 && before > 0) partial.start_anew();  // it gives no ranges
          }
          ensure(bytes.size() <= size - partial.have(), what, ": the server sends more than the ",
                 size, " bytes that the listing says");
          partial.append(bytes);
          progress_.done = done_ + partial.have();
          client_.check_going();
          return true;
        });
    if (partial.have() == size) return {.done = true};
    if (another_part || answer.status == 416) {
      partial.start_anew();
      return {.fault = concat("the server does not give the bytes from ", before, " on")};
    }
    if (answer.status == 200 || answer.status == 206)
      return {.progressed = partial.have() > before,
              .fault = concat("the connection ended after ", partial.have(), " of ", size, " bytes",
                              answer.fault.empty() ? "" : concat(" (", answer.fault, ")"))};
    return client_.refused(what, answer, refusal);
  }

  /// The snapshot: links to the blobs, config.json last, since by it a folder counts as a model;
  /// then the revision.
  void put_together() {
    for (const bool last : {false, true})
      for (const HubFile& file : files_)
        if ((file.name == "config.json") == last) link(file);
    if (pulled_.revision == pulled_.commit) return;
    const fs::path ref = model_ / "refs" / pulled_.revision;
    make_folders(ref.parent_path());
    OutputFile out(ref);
    out.write(pulled_.commit);
    out.commit();
  }

  void link(const HubFile& file) {
    const fs::path to = pointer(file);
    make_folders(to.parent_path());
    std::error_code none;
    if (place(file) == to) return;
    fs::path target = "../../blobs";  // seen from snapshots/COMMIT
    for (const char c : file.name)
      if (c == '/') target = ".." / target;
    target /= file.hash;
    if (fs::read_symlink(to, none) == target) return;
    const fs::path beside = to.string() + concat(".", ::getpid(), ".partial");
    ::unlink(beside.c_str());
    if (::symlink(target.c_str(), beside.c_str()) == 0) {
      const bool placed = ::rename(beside.c_str(), to.c_str()) == 0;
      const int error = errno;
      if (!placed) ::unlink(beside.c_str());
      ensure(placed, to.string(), ": cannot be written: ", reason(error));
      return;
    }
    // A disk without links: the file itself, as huggingface_hub does.
    const int error = errno;
    ensure((error == EPERM || error == ENOTSUP || error == ENOSYS) &&
               ::rename(blob(file).c_str(), to.c_str()) == 0,
           to.string(), ": cannot be linked: ", reason(error));
  }

  const PullOptions& options_;
  PullProgress progress_;
  HubClient client_;
  Pulled pulled_;
  fs::path model_;
  std::string type_;  // of a GGUF file
  std::vector<HubFile> files_;
  std::vector<size_t> order_;
  uint64_t done_ = 0;
};

}  // namespace

Pulled pull_model(std::string_view name, const PullOptions& options,
                  const std::function<bool(const PullProgress&)>& go_on) {
  return Pull(name, options, go_on).run();
}

}  // namespace hearth

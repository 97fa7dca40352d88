#include "hearth/io/idx.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "hearth/io/foreign.h"
#include "hearth/io/mapped_file.h"

namespace hearth {
namespace {

/// The content of a file from its start to its end: its bytes, or what they are compressed of.
class Content {
 public:
  Content(std::span<const std::byte> file, const std::string& name)
      : file_(file), size_(file.size()), name_(name) {
    gzip_ = file.size() >= 2 && file[0] == std::byte{0x1f} && file[1] == std::byte{0x8b};
    if (!gzip_) return;
    constexpr int kGzip = 16;  // zlib's word for: with gzip's header
    ensure(inflateInit2(&stream_, MAX_WBITS + kGzip) == Z_OK, name_, ": zlib cannot be started");
  }
  ~Content() {
    if (gzip_) inflateEnd(&stream_);
  }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  bool compressed() const { return gzip_; }
  /// Of what is not compressed: the bytes not yet read.
  std::span<const std::byte> rest() const { return file_; }
  /// More values than this cannot follow: deflate makes at most 1032 bytes of one.
  size_t most() const { return gzip_ ? size_ * 1032 : file_.size(); }

  /// Up to n bytes; fewer only at the end.
  size_t read(std::byte* to, size_t n) {
    if (!gzip_) {
      n = std::min(n, file_.size());
      if (n > 0) std::memcpy(to, file_.data(), n);
      file_ = file_.subspan(n);
      return n;
    }
    size_t done = 0;
    while (done < n && !ended_) {
      constexpr size_t kPiece = 1 << 30;  // zlib counts in 32 bits
      const size_t in = std::min(file_.size(), kPiece), out = std::min(n - done, kPiece);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(file_.data()));
      stream_.avail_in = uInt(in);
      stream_.next_out = reinterpret_cast<Bytef*>(to + done);
      stream_.avail_out = uInt(out);
      const int code = inflate(&stream_, Z_NO_FLUSH);
      const bool fine = code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
      ensure(fine, name_,
             ": damaged: ", stream_.msg ? stream_.msg : "zlib cannot read what it holds");
      const size_t used = in - stream_.avail_in, made = out - stream_.avail_out;
      ended_ = code == Z_STREAM_END;
      ensure(ended_ || used + made > 0, name_, ": the compressed data are cut short");
      file_ = file_.subspan(used);
      done += made;
    }
    return done;
  }
  /// Nothing follows; if it is compressed, the checksum was right.
  bool at_end() {
    std::byte more;
    return read(&more, 1) == 0 && file_.empty();
  }

 private:
  std::span<const std::byte> file_;  // not yet read
  size_t size_;                      // of all of it
  const std::string& name_;
  bool gzip_, ended_ = false;
  z_stream stream_{};
};

std::optional<Dtype> dtype_of_idx(std::byte type) {
  switch (int(type)) {
    case 0x08: return uint8;
    case 0x09: return int8;
    case 0x0b: return int16;
    case 0x0c: return int32;
    case 0x0d: return float32;
    case 0x0e: return float64;
  }
  return std::nullopt;
}

}  // namespace

array load_idx(const std::string& file) {
  const auto mapped = MappedFile::open(file);
  Content content(mapped->bytes(), file);
  // Two zeros, a type, the number of axes; the size of each, and the values, the high bytes first.
  std::byte magic[4];
  const bool idx = content.read(magic, 4) == 4 && magic[0] == std::byte{0} && magic[1] == magic[0];
  ensure(idx, file, ": no idx file: wanted two zeros, a type and a number of axes at its start");
  const auto dtype = dtype_of_idx(magic[2]);
  ensure(dtype.has_value(), file, ": no idx file: its type is ", int(magic[2]),
         ", wanted 8, 9, 11, 12, 13 or 14");
  const int axes = int(magic[3]);
  std::vector<int64_t> shape;
  uint64_t bytes = size_of(*dtype);
  bool too_large = false;
  for (int i = 0; i < axes; ++i) {
    std::byte size[4];
    ensure(content.read(size, 4) == 4, file, ": cut short: it ends before the sizes of its ", axes,
           " axes");
    uint32_t n = 0;
    for (const std::byte b : size) n = n << 8 | uint32_t(b);
    ensure(n <= INT32_MAX, file, ": axis ", i, " has ", n, " elements, at most ", INT32_MAX,
           " are possible");
    shape.push_back(n);
    too_large = __builtin_mul_overflow(bytes, uint64_t(n), &bytes) || too_large;
  }
  const Shape shown(shape.begin(), shape.end());
  ensure(!too_large && bytes <= content.most(), file, ": its header says ", *dtype, " ", shown,
         ", more than the ", mapped->size(), " bytes of the file can hold");
  const auto check_end = [&](bool whole) {
    ensure(whole, file, ": longer than the ", bytes, " bytes of ", *dtype, " ", shown,
           " that its header says");
  };
  const size_t item = size_of(*dtype);
  if (item == 1 && !content.compressed()) {
    check_end(content.rest().size() == bytes);
    return foreign_array(mapped, content.rest().data(), shape, *dtype, file);
  }
  auto values = host_bytes(bytes);
  const size_t got = content.read(values.get(), bytes);
  ensure(got == bytes, file, ": cut short: ", got, " bytes of values, its header says ", *dtype,
         " ", shown, ", which are ", bytes);
  check_end(content.at_end());
  for (size_t i = 0; item > 1 && i < bytes; i += item)
    std::reverse(values.get() + i, values.get() + i + item);
  const std::byte* data = values.get();
  return foreign_array(std::move(values), data, shape, *dtype, file);
}

}  // namespace hearth

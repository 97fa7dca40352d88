#include "hearth/io/npy.h"

#include <zip.h>

#include <algorithm>
#include <map>

#include "hearth/core/eval.h"
#include "hearth/io/foreign.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/npy_header.h"
#include "hearth/io/output_file.h"
#include "hearth/ops/movement.h"

namespace hearth {

namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The array of a whole .npy file in memory that `keeper` holds.
array npy_array(std::shared_ptr<const void> keeper, std::span<const std::byte> file,
                std::string_view name, StreamOrDevice s) {
  NpyHeader header = parse_npy_header(file, name);
  const std::byte* data = file.data() + header.offset;
  if (header.swapped) {
    const size_t item = is_complex(header.dtype) ? 4 : size_of(header.dtype);
    auto turned = host_bytes(header.bytes);
    for (size_t i = 0; i < header.bytes; i += item)
      std::reverse_copy(data + i, data + i + item, turned.get() + i);
    data = turned.get();
    keeper = std::move(turned);
  }
  if (!header.fortran)
    return foreign_array(std::move(keeper), data, header.shape, header.dtype, name);
  std::reverse(header.shape.begin(), header.shape.end());
  return transpose(foreign_array(std::move(keeper), data, header.shape, header.dtype, name), s);
}

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

/// One entry, whole. `left`: bytes of the file that no entry before has claimed.
std::pair<std::shared_ptr<std::byte>, size_t> read_entry(zip_t* archive, zip_uint64_t i,
                                                         const std::string& who, size_t& left) {
  // Deflate makes at most 1032 bytes of one: a size beyond that is a lie, not worth the memory.
  constexpr size_t kMostDeflated = 1032;
  zip_stat_t stat;
  ensure(zip_stat_index(archive, i, 0, &stat) == 0, who, ": ", zip_strerror(archive));
  ensure(stat.encryption_method == ZIP_EM_NONE, who, ": it is encrypted");
  ensure(stat.comp_method == ZIP_CM_STORE || stat.comp_method == ZIP_CM_DEFLATE, who,
         ": compression method ", stat.comp_method, ", wanted stored or deflated as NumPy writes");
  ensure(stat.comp_size <= left, who, ": entries overlap or are cut short");
  left -= stat.comp_size;
  ensure(stat.size / kMostDeflated <= stat.comp_size, who, ": claims ", stat.size, " bytes, which ",
         stat.comp_size, " compressed ones cannot hold");
  auto bytes = host_bytes(stat.size);
  const std::unique_ptr<zip_file_t, Discard> entry(zip_fopen_index(archive, i, 0));
  ensure(entry != nullptr, who, ": ", zip_strerror(archive));
  const auto got = zip_fread(entry.get(), bytes.get(), stat.size);
  ensure(got >= 0, who, ": ", zip_file_strerror(entry.get()));
  char more;  // reading to the end makes libzip compare the checksum
  const bool whole = size_t(got) == stat.size && zip_fread(entry.get(), &more, 1) == 0;
  ensure(whole, who, ": damaged: ", zip_file_strerror(entry.get()));
  return {std::move(bytes), stat.size};
}

}  // namespace

array load(const std::string& file, StreamOrDevice s) {
  const auto mapped = MappedFile::open(file);
  ensure(!text_of(mapped->bytes()).starts_with("PK\3\4"), file,
         ": a .npz file, which holds several arrays: use load_npz");
  return npy_array(mapped, mapped->bytes(), file, s);
}

array load(std::shared_ptr<io::Reader> in_stream, StreamOrDevice s) {
  check(in_stream != nullptr, "load: the reader is null");
  const io::Bytes all = io::rest_of(*in_stream);
  return npy_array(all.keeper, all.bytes, in_stream->label(), s);
}

void save(std::shared_ptr<io::Writer> out_stream, array a) {
  check(out_stream != nullptr, "save: the writer is null");
  const std::string header = make_npy_header(a.dtype(), a.shape());
  const array values = row_major(a);
  out_stream->open();
  io::write(*out_stream, std::as_bytes(std::span(header)));
  io::write(*out_stream, bytes_of(values));
}

void save(std::string file, const array& a) {
  if (!file.ends_with(".npy")) file += ".npy";
  write_npy(file, a);
}

void write_npy(const std::filesystem::path& file, const array& a) {
  const std::string header = make_npy_header(a.dtype(), a.shape());
  const array values = row_major(a);
  OutputFile out(file);
  out.write(header);
  out.write(bytes_of(values));
  out.commit();
}

Tensors load_npz(const std::string& file, StreamOrDevice s) {
  const auto mapped = MappedFile::open(file);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source =
      zip_source_buffer_create(mapped->bytes().data(), mapped->size(), 0, &error);
  const Archive archive(source ? zip_open_from_source(source, ZIP_RDONLY, &error) : nullptr);
  if (!archive && source) zip_source_free(source);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  ensure(archive != nullptr, file, ": not a .npz file: ", reason);

  Tensors arrays;
  size_t left = mapped->size();
  for (zip_int64_t i = 0; i < zip_get_num_entries(archive.get(), 0); ++i) {
    const char* entry_name = zip_get_name(archive.get(), zip_uint64_t(i), 0);
    std::string name = entry_name ? entry_name : "";
    const std::string who = concat(file, ": ", in_quotes(name));
    const auto [bytes, size] = read_entry(archive.get(), zip_uint64_t(i), who, left);
    // What is named otherwise may be anything: NumPy gives its bytes, which are no array.
    const bool named = name.ends_with(".npy");
    if (!named && !text_of({bytes.get(), size}).starts_with("\x93NUMPY")) continue;
    if (named) name.resize(name.size() - 4);
    array a = npy_array(bytes, {bytes.get(), size}, who, s);
    ensure(arrays.emplace(name, std::move(a)).second, who, " is there twice");
  }
  return arrays;
}

void save_npz(std::string file, const Tensors& arrays, bool compressed) {
  if (!file.ends_with(".npz")) file += ".npz";
  if (arrays.empty()) {  // libzip would write no file
    OutputFile out(file);
    std::string end = "PK\5\6";
    end.resize(22);
    out.write(end);
    return out.commit();
  }
  const std::map<std::string, array> sorted(arrays.begin(), arrays.end());
  // libzip reads headers and values only when it closes: both stay here until then.
  std::vector<std::string> headers;
  Arrays values;
  for (const auto& [name, a] : sorted) {
    headers.push_back(make_npy_header(a.dtype(), a.shape()));
    values.push_back(row_major(a));
  }
  ensure(!std::filesystem::is_directory(file), file, ": is a folder, wanted a file name");
  int code = 0;
  Archive archive(zip_open(file.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code));
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  ensure(archive != nullptr, file, ": cannot be written: ", reason);
  size_t i = 0;
  for (const auto& [name, a] : sorted) {
    const auto bytes = bytes_of(values[i]);
    zip_buffer_fragment_t parts[] = {
        {reinterpret_cast<zip_uint8_t*>(headers[i].data()), headers[i].size()},
        {reinterpret_cast<zip_uint8_t*>(const_cast<std::byte*>(bytes.data())), bytes.size()}};
    ++i;
    zip_source_t* source = zip_source_buffer_fragment(archive.get(), parts, 2, 0);
    ensure(source != nullptr, file, ": ", zip_strerror(archive.get()));
    const auto index = zip_file_add(archive.get(), (name + ".npy").c_str(), source,
                                    ZIP_FL_OVERWRITE | ZIP_FL_ENC_UTF_8);
    if (index < 0) zip_source_free(source);
    ensure(index >= 0, file, ": ", in_quotes(name), ": ", zip_strerror(archive.get()));
    zip_set_file_compression(archive.get(), zip_uint64_t(index),
                             compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
    zip_file_set_dostime(archive.get(), zip_uint64_t(index), 0, 33, 0);  // 1980-01-01, as NumPy
  }
  ensure(zip_close(archive.get()) == 0, file, ": cannot be written: ", zip_strerror(archive.get()));
  archive.release();  // closing freed it
}

}  // namespace hearth

// Convolutions over one or two axes, without the matrix of all that the kernel sees, which is as
// many times the input as the kernel has elements. A task takes some rows of places, or some images
// of few places. What its places see is a slab: the input itself where that has no padding, else a
// copy that fits in the second level of the cache, in f32, with zeros around and between. In a slab
// the element that a tap sees at a place lies at the sum of two numbers.
#include <algorithm>
#include <vector>

#include "hearth/backend/cpu/convolution/kernels.h"
#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/products/jobs.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth::cpu {
namespace {

constexpr int64_t kPlaces = 512;     // of a task, about
constexpr int64_t kSlab = 96 << 10;  // elements of a slab, about
constexpr int64_t kLeastTasks = 32;  // if there are so many images or rows

/// A row-major array in memory, from where floats can be read.
struct Operand {
  const std::byte* data;
  std::unique_ptr<std::byte[]> copy;  // of one that does not lie so
  explicit Operand(const array& a) : data(ptr<std::byte>(a)) {
    const bool aligned = reinterpret_cast<uintptr_t>(data) % alignof(float) == 0;
    if (aligned && row_contiguous(a.shape(), a.node().strides)) return;
    copy.reset(new std::byte[a.nbytes()]);
    gather(a.node().view(), a.node().data(), a.itemsize(), copy.get());
    data = copy.get();
  }
};

/// n elements as floats: themselves, or widened to `to`.
const float* floats(Dtype dtype, const std::byte* from, int64_t n, Scratch& to) {
  if (dtype == float32) return reinterpret_cast<const float*>(from);
  auto* const wide = to.get<float>(size_t(n));
  kernels::widen(dtype, from, n, reinterpret_cast<std::byte*>(wide));
  return wide;
}

/// What an element of a slab is: a float; or where bf16 is multiplied in pairs, two channels, or a
/// place's element and that of the next place.
enum class Elements { floats, channel_pairs, place_pairs };

/// What a kernel does over (N, H, W, C); of one axis, H is 1.
struct Plan {
  Dtype dtype;
  Elements elements;
  int64_t images, height, width, channels;
  int64_t out_height, out_width, outputs;
  int64_t kernel_height, kernel_width;
  Sweep down, across;
  // Of a task: so many images, or so many rows of places of one image.
  int64_t task_images = 1, task_rows = 1;
  bool direct;  // the slab is the input

  Plan(const array& x, const Shape& y, const Shape& w, const std::vector<Sweep>& axes,
       Elements elements)
      : dtype(x.dtype()),
        elements(elements),
        images(x.shape(0)),
        channels(x.shape(-1)),
        outputs(y.back()) {
    if (elements == Elements::channel_pairs) dtype = float32, channels /= 2;  // as they are moved
    const bool two = axes.size() == 2;
    height = two ? x.shape(1) : 1, width = x.shape(-2);
    out_height = two ? y[1] : 1, out_width = y[y.size() - 2];
    kernel_height = two ? w[1] : 1, kernel_width = w[w.size() - 2];
    if (two) down = axes[0];
    across = axes.back();
    const auto plain = [](const Sweep& s) {
      return s.low == 0 && s.high <= 0 && s.input_dilation == 1;
    };
    direct = dtype == float32 && plain(down) && plain(across);
    const int64_t places = out_height * out_width;
    const auto fits = [&](int64_t rows) {
      return rows * out_width <= kPlaces && slab_rows(rows) * slab_width() * channels <= kSlab;
    };
    if (places == 0 || images == 0) return;
    if (fits(out_height)) {
      task_rows = out_height;
      task_images = std::min(kPlaces / places, kSlab / std::max<int64_t>(1, slab_size(out_height)));
      task_images = std::clamp(task_images, int64_t{1}, std::max<int64_t>(1, images / kLeastTasks));
    } else {
      while (task_rows < out_height && fits(task_rows + 1)) ++task_rows;
      task_rows = ceil_div(out_height, ceil_div(out_height, task_rows));
    }
  }

  int64_t slab_rows(int64_t rows) const {
    return (rows - 1) * down.stride + (kernel_height - 1) * down.kernel_dilation + 1;
  }
  int64_t slab_width() const {
    return (out_width - 1) * across.stride + (kernel_width - 1) * across.kernel_dilation + 1;
  }
  int64_t slab_size(int64_t rows) const { return slab_rows(rows) * slab_width() * channels; }
  int64_t row_step() const { return (direct ? width : slab_width()) * channels; }
  int64_t tasks() const { return ceil_div(images, task_images) * ceil_div(out_height, task_rows); }

  /// Where each tap of the kernel lies from the first.
  std::vector<int64_t> taps() const {
    std::vector<int64_t> at;
    for (int64_t i = 0; i < kernel_height; ++i)
      for (int64_t j = 0; j < kernel_width; ++j)
        at.push_back(i * down.kernel_dilation * row_step() + j * across.kernel_dilation * channels);
    return at;
  }
};

/// One task: which places, and the slab.
struct Task {
  int64_t image, image_count, row, row_count;
  int64_t first, count;  // places in the output
  const float* x;

  Task(const Plan& plan, const std::byte* input, int64_t i, Scratch& scratch) {
    const int64_t down = ceil_div(plan.out_height, plan.task_rows);
    image = i / down * plan.task_images, row = i % down * plan.task_rows;
    image_count = std::min(plan.task_images, plan.images - image);
    row_count = std::min(plan.task_rows, plan.out_height - row);
    first = (image * plan.out_height + row) * plan.out_width;
    count = image_count * row_count * plan.out_width;
    if (plan.direct) {
      x = reinterpret_cast<const float*>(input) +
          (image * plan.height + row * plan.down.stride) * plan.width * plan.channels;
      return;
    }
    auto* const slab = scratch.get<float>(size_t(image_count * plan.slab_size(row_count)));
    float* to = slab;
    for (int64_t n = 0; n < image_count; ++n)
      for (int64_t i = 0; i < plan.slab_rows(row_count); ++i, to += plan.row_step())
        fill_row(plan, input, n, i, to);
    x = slab;
  }

  /// Where the first tap of each place lies, `rows` at a time: those that are no places lie at 0.
  int64_t places(const Plan& plan, int rows, std::vector<int64_t>& to) const {
    to.assign(size_t(round_up(count, rows)), 0);
    const int64_t image_step =
        plan.direct ? plan.height * plan.row_step() : plan.slab_size(row_count);
    int64_t* at = to.data();
    for (int64_t n = 0; n < image_count; ++n)
      for (int64_t i = 0; i < row_count; ++i)
        for (int64_t j = 0; j < plan.out_width; ++j)
          *at++ = n * image_step + i * plan.down.stride * plan.row_step() +
                  j * plan.across.stride * plan.channels;
    return int64_t(to.size()) / rows;
  }

 private:
  void fill_row(const Plan& plan, const std::byte* input, int64_t n, int64_t i, float* to) const {
    if (plan.elements != Elements::place_pairs) {
      const auto copy = [&](const std::byte* from, int64_t count, float* out) {
        if (plan.dtype == float32)
          std::memcpy(out, from, size_t(count) * 4);
        else
          kernels::widen(plan.dtype, from, count, bytes(out));
      };
      return fill_line(plan, input, n, i, to, copy);
    }
    const int64_t size = plan.slab_width() * plan.channels;
    const int64_t next = plan.across.stride * plan.channels;
    thread_local Scratch scratch;
    auto* const line = scratch.get<uint16_t>(size_t(size + next));
    fill_line(plan, input, n, i, line, [](const std::byte* from, int64_t count, uint16_t* out) {
      std::memcpy(out, from, size_t(count) * 2);
    });
    std::fill_n(line + size, next, uint16_t{0});
    std::byte* const pairs = bytes(to);
    for (int64_t e = 0; e < size; ++e) {
      const uint32_t pair = line[e] | uint32_t(line[e + next]) << 16;
      std::memcpy(pairs + e * 4, &pair, 4);
    }
  }

  // Row i of the slab of an image; copy(from, count, to) copies elements of the input.
  template <class T, class Copy>
  void fill_line(const Plan& plan, const std::byte* input, int64_t n, int64_t i, T* to,
                 const Copy& copy) const {
    const int64_t c = plan.channels, width = plan.slab_width(), apart = plan.across.input_dilation;
    const int64_t from_row = row * plan.down.stride + i - plan.down.low;
    const bool outside = from_row < 0 || from_row % plan.down.input_dilation != 0 ||
                         from_row / plan.down.input_dilation >= plan.height;
    if (outside) return void(std::fill_n(to, width * c, T{0}));
    const int64_t pixel = c * int64_t(size_of(plan.dtype));
    const int64_t line_at = (image + n) * plan.height + from_row / plan.down.input_dilation;
    const std::byte* const line = input + line_at * plan.width * pixel;
    // Elements [begin, end) of the line lie in the slab, the first at `first`.
    const int64_t begin = std::max<int64_t>(0, ceil_div(-int64_t(plan.across.low), apart));
    const int64_t first = begin * apart + plan.across.low;
    const int64_t end = std::min(ceil_div(width - plan.across.low, apart), plan.width);
    if (apart > 1 || end <= begin) {
      std::fill_n(to, width * c, T{0});
      for (int64_t j = begin; j < end; ++j)
        copy(line + j * pixel, c, to + (j * apart + plan.across.low) * c);
      return;
    }
    std::fill_n(to, first * c, T{0});
    copy(line + begin * pixel, (end - begin) * c, to + first * c);
    std::fill(to + (first + end - begin) * c, to + width * c, T{0});
  }
};

// What no cache holds is better padded as a whole.
bool is_taken(const Plan& plan, int groups) {
  return plan.dtype != float64 && groups == 1 &&
         (plan.images == 0 || plan.slab_size(1) <= 64 * kSlab);
}

}  // namespace

bool convolution_fits(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const Convolution&>(p);
  if (op.axes.size() > 2) return false;
  const Shape out = op.infer(in)[0].shape;
  return is_taken(Plan(in[0], out, in[1].shape(), op.axes, Elements::floats), op.groups);
}

void convolution(const Convolution& op, const Args& args, CpuQueue&) {
  const array &x = args.in[0], &w = args.in[1], &y = args.out[0];
  if (y.size() == 0) return;
  const bool pairs = kernels::convolves_pairs(x.dtype()) && x.shape(-1) % 2 == 0;
  const Plan plan(x, y.shape(), w.shape(), op.axes,
                  pairs ? Elements::channel_pairs : Elements::floats);
  const Operand input(x), weight(w);
  const auto [rows, columns] = kernels::convolution_tile(pairs);
  const std::vector<int64_t> taps = plan.taps();
  const int64_t k = int64_t(taps.size()) * plan.channels, outputs = plan.outputs;
  const int64_t panels = ceil_div(outputs, columns), padded = panels * columns;
  thread_local Scratch wide, packed;
  const float* const dense = floats(plan.dtype, weight.data, outputs * k, wide);
  float* const w_panels = packed.get<float>(size_t(padded * k));
  parallel_for(panels, [&, columns = columns](int64_t j) {
    kernels::blocked_kernels(float32).pack_b(bytes(dense + j * columns * k), k * 4, 4,
                                             std::min<int64_t>(columns, outputs - j * columns), k,
                                             columns, bytes(w_panels + j * columns * k));
  });
  const int64_t size = int64_t(y.itemsize());
  parallel_for(plan.tasks(), [&, rows = rows, columns = columns](int64_t i) {
    thread_local Scratch slab, sum_scratch;
    thread_local std::vector<int64_t> places;
    const Task task(plan, input.data, i, slab);
    const int64_t tiles = task.places(plan, rows, places);
    float* const sums = sum_scratch.get<float>(size_t(tiles * rows * padded));
    for (int64_t j = 0; j < panels; ++j)
      kernels::convolve({pairs, tiles, task.x, places.data(), taps.data(), int64_t(taps.size()),
                         plan.channels, w_panels + j * columns * k, sums + j * columns, padded});
    std::byte* to = ptr<std::byte>(y) + task.first * outputs * size;
    for (int64_t p = 0; p < task.count; ++p, to += outputs * size)
      kernels::finish_row(y.dtype(), {outputs, sums + p * padded, nullptr, Activation::none,
                                      nullptr, nullptr, nullptr, to});
  });
}

bool convolution_weight_fits(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const ConvolutionWeight&>(p);
  if (op.axes.size() > 2) return false;
  const Shape out = op.infer(in)[0].shape;
  return is_taken(Plan(in[0], in[1].shape(), out, op.axes, Elements::floats), op.groups);
}

// Tasks are dealt to a few sums, as many whatever the number of threads; those are added up in
// order at the end.
void convolution_weight(const ConvolutionWeight& op, const Args& args, CpuQueue&) {
  const array &x = args.in[0], &d = args.in[1], &dw = args.out[0];
  if (dw.size() == 0) return;
  const bool pairs = kernels::convolves_pairs(x.dtype()) && d.shape(-2) % 2 == 0;
  const Plan plan(x, d.shape(), dw.shape(), op.axes,
                  pairs ? Elements::place_pairs : Elements::floats);
  const Operand input(x), slope(d);
  const auto [rows, columns] = kernels::convolution_tile(pairs);
  const int64_t outputs = plan.outputs, panels = ceil_div(outputs, columns);
  std::vector<int64_t> elements;
  for (const int64_t tap : plan.taps())
    for (int64_t c = 0; c < plan.channels; ++c) elements.push_back(tap + c);
  const auto k = int64_t(elements.size());
  const int64_t tiles = ceil_div(k, rows), panel_size = tiles * rows * columns;
  elements.resize(size_t(tiles * rows), 0);
  const int64_t tasks = d.size() == 0 ? 0 : plan.tasks();
  const int64_t parts = std::min(tasks, std::max<int64_t>(2, kLeastTasks / panels));
  const int64_t size = int64_t(size_of(plan.dtype));
  thread_local Scratch all;
  float* const partial = all.get<float>(size_t(parts * panels * panel_size));
  parallel_for(parts * panels, [&, columns = columns](int64_t i) {
    thread_local Scratch slab, d_scratch;
    thread_local std::vector<int64_t> places;
    const int64_t part = i / panels, panel = i % panels, first = panel * columns;
    const int64_t width = std::min<int64_t>(columns, outputs - first);
    float* const sums = partial + i * panel_size;
    std::fill_n(sums, panel_size, 0.0f);
    for (int64_t t = tasks * part / parts; t < tasks * (part + 1) / parts; ++t) {
      const Task task(plan, input.data, t, slab);
      task.places(plan, 1, places);
      const std::byte* const from = slope.data + (task.first * outputs + first) * size;
      const float* d_rows = reinterpret_cast<const float*>(from);
      int64_t d_stride = outputs, count = task.count;
      if (pairs) {  // of one row, since rows have a whole number
        count /= 2, d_stride = columns;
        float* const packed = d_scratch.get<float>(size_t(count * columns));
        kernels::pack_pairs(from, size, outputs * size, width, task.count, columns, bytes(packed));
        d_rows = packed;
        for (int64_t p = 0; p < count; ++p) places[size_t(p)] = places[size_t(2 * p)];
      } else if (plan.dtype != float32 || width < columns) {
        float* const copy = d_scratch.get<float>(size_t(task.count * columns));
        std::fill_n(copy, width < columns ? task.count * columns : 0, 0.0f);
        for (int64_t p = 0; p < task.count; ++p) {
          const std::byte* const row = from + p * outputs * size;
          if (plan.dtype == float32)
            std::memcpy(copy + p * columns, row, size_t(width * size));
          else
            kernels::widen(plan.dtype, row, width, bytes(copy + p * columns));
        }
        d_rows = copy, d_stride = columns;
      }
      kernels::convolve_weight(
          {pairs, tiles, count, task.x, elements.data(), places.data(), d_rows, d_stride, sums});
    }
  });
  // (parts, panels, k, columns) -> (outputs, k), some elements of k at a time
  constexpr int64_t kElements = 64;
  const int64_t pieces = ceil_div(k, kElements);
  parallel_for(panels * pieces, [&, columns = columns](int64_t i) {
    thread_local Scratch scratch;
    const int64_t panel = i / pieces, at = i % pieces * kElements, n = std::min(kElements, k - at);
    float* const sums = scratch.get<float>(size_t(n * columns + n));
    float* const line = sums + n * columns;
    std::fill_n(sums, n * columns, 0.0f);
    for (int64_t part = 0; part < parts; ++part) {
      const float* const from = partial + (part * panels + panel) * panel_size + at * columns;
      for (int64_t e = 0; e < n * columns; ++e) sums[e] += from[e];
    }
    for (int64_t o = panel * columns; o < std::min(outputs, (panel + 1) * columns); ++o) {
      for (int64_t e = 0; e < n; ++e) line[e] = sums[e * columns + o % columns];
      kernels::finish_row(plan.dtype, {n, line, nullptr, Activation::none, nullptr, nullptr,
                                       nullptr, ptr<std::byte>(dw) + (o * k + at) * size});
    }
  });
}

}  // namespace hearth::cpu

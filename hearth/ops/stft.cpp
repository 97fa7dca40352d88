// Short-time Fourier transforms, composed of transforms of frames.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/fft.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"

namespace hearth::fft {

namespace {

struct Frames {
  int n, hop;
  array window;  // (n)
};
Frames frames_of(int n, const std::optional<int>& hop, const std::optional<int>& win_length,
                 const std::optional<array>& window, std::string_view who) {
  check(n >= 1, who, ": frames of ", n, " samples; wanted 1 or more");
  const int step = hop.value_or(std::max(1, n / 4));
  check(step >= 1, who, ": a hop_length of ", step, "; wanted 1 or more");
  const int size = win_length.value_or(window ? int(window->size()) : n);
  check(size >= 1 && size <= n, who, ": a window of ", size, " samples for frames of ", n);
  const array w = window ? astype(*window, float32) : ones({size});
  check(w.shape() == Shape{size}, who, ": a window of shape ", w.shape(), ", wanted (", size, ")");
  const int left = (n - size) / 2;
  return {n, step, pad(w, {{left, n - size - left}})};
}
// Where each sample of each frame lies in the signal: (frames, n).
array places(int count, const Frames& f) {
  return reshape(arange(count) * f.hop, {count, 1}) + arange(f.n);
}
// (..., frames, n) added up where they overlap.
array added_up(const array& frames, const Frames& f) {
  const int count = frames.shape(-2);
  const int length = axis_size(int64_t(f.hop) * (count - 1) + f.n, "fft::istft");
  Shape shape(frames.shape().begin(), frames.shape().end() - 2);
  shape.push_back(length);
  return scatter_add_axis(zeros(shape, frames.dtype()),
                          broadcast_to(flatten(places(count, f)),
                                       [&] {
                                         Shape all = shape;
                                         all.back() = count * f.n;
                                         return all;
                                       }()),
                          flatten(frames, -2, -1), -1);
}

}  // namespace

array stft(const array& x, int n_fft, const std::optional<int>& hop_length,
           const std::optional<int>& win_length, const std::optional<array>& window, bool center,
           const std::string& pad_mode, FFTNorm norm, const std::optional<bool>& onesided,
           StreamOrDevice s) {
  StreamScope scope(s);
  check(x.ndim() >= 1, "fft::stft: wanted a signal, got a scalar");
  const Frames f = frames_of(n_fft, hop_length, win_length, window, "fft::stft");
  const bool complex = is_complex(x.dtype()), half = onesided.value_or(!complex);
  check(!half || !complex, "fft::stft: one side says it all of real signals only, got complex64");
  array signal = astype(x, complex ? complex64 : float32);
  if (center)
    signal =
        pad(signal, std::vector<int>{-1}, Shape{n_fft / 2}, Shape{n_fft / 2}, array(0), pad_mode);
  const int length = signal.shape(-1);
  check(length >= n_fft, "fft::stft: ", length, " samples are less than a frame of ", n_fft);
  const int count = (length - n_fft) / f.hop + 1;
  const array frames = take(signal, places(count, f), -1) * f.window;
  return swapaxes(half ? rfft(frames, -1, norm) : fft(frames, -1, norm), -1, -2);
}

array istft(const array& stft_matrix, const std::optional<int>& n_fft,
            const std::optional<int>& hop_length, const std::optional<int>& win_length,
            const std::optional<array>& window, bool center, FFTNorm norm,
            const std::optional<bool>& onesided, const std::optional<int>& length,
            StreamOrDevice s) {
  StreamScope scope(s);
  const array& m = stft_matrix;
  check(m.ndim() >= 2 && m.shape(-1) > 0, "fft::istft: wanted (..., frequencies, frames), got ",
        m.shape());
  const bool half = onesided.value_or(true);
  const int n = n_fft.value_or(half ? 2 * (m.shape(-2) - 1) : m.shape(-2));
  const Frames f = frames_of(n, hop_length, win_length, window, "fft::istft");
  check(m.shape(-2) == (half ? n / 2 + 1 : n), "fft::istft: ", m.shape(-2),
        " frequencies for frames of ", n, half ? " real samples" : " samples");
  const array spectra = swapaxes(m, -1, -2);
  const array frames = half ? irfft(spectra, n, -1, norm) : real(ifft(spectra, -1, norm));
  const array weight = added_up(broadcast_to(square(f.window), {m.shape(-1), n}), f);
  array signal = added_up(frames * f.window, f) / where(weight > 1e-11f, weight, 1.0f);
  if (center) {
    Shape start(size_t(signal.ndim()), 0), stop = signal.shape();
    start.back() = n / 2;
    stop.back() = length ? stop.back() : std::max(n / 2, stop.back() - n / 2);
    signal = slice(signal, start, stop);
  }
  if (!length) return signal;
  check(*length >= 0, "fft::istft: a length of ", *length);
  const int have = signal.shape(-1);
  if (have < *length) return pad(signal, std::vector<int>{-1}, Shape{0}, Shape{*length - have});
  Shape stop = signal.shape();
  stop.back() = *length;
  return slice(signal, Shape(stop.size(), 0), stop);
}

}  // namespace hearth::fft

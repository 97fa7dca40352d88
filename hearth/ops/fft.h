// Discrete Fourier transforms of any size: MLX's names, arguments and results. Everything is
// computed in complex64: other dtypes become it first (float32 for the transforms of real numbers).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::fft {

/// Where the factor 1 / N stands: in the inverse, its root in both, in the forward transform.
enum class FFTNorm { Backward, Ortho, Forward };

/// sum over j of a[j] exp(-2 pi i j k / n) along each of the axes, by default all. Axes become n
/// long first: cut off, or filled with zeros.
array fftn(const array& a, const Shape& n, const std::vector<int>& axes,
           FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
array fftn(const array& a, const std::vector<int>& axes, FFTNorm norm = FFTNorm::Backward,
           StreamOrDevice s = {});
array fftn(const array& a, FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
/// Its inverse.
array ifftn(const array& a, const Shape& n, const std::vector<int>& axes,
            FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
array ifftn(const array& a, const std::vector<int>& axes, FFTNorm norm = FFTNorm::Backward,
            StreamOrDevice s = {});
array ifftn(const array& a, FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
/// Of real numbers: of the last of the axes only the n / 2 + 1 first results, the others are their
/// conjugates.
array rfftn(const array& a, const Shape& n, const std::vector<int>& axes,
            FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
array rfftn(const array& a, const std::vector<int>& axes, FFTNorm norm = FFTNorm::Backward,
            StreamOrDevice s = {});
array rfftn(const array& a, FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
/// Its inverse; without n the last axis becomes 2 (size - 1) long.
array irfftn(const array& a, const Shape& n, const std::vector<int>& axes,
             FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});
array irfftn(const array& a, const std::vector<int>& axes, FFTNorm norm = FFTNorm::Backward,
             StreamOrDevice s = {});
array irfftn(const array& a, FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {});

// The same along one axis, and along two.
#define HEARTH_FFT(name)                                                               \
  inline array name(const array& a, int n, int axis, FFTNorm norm = FFTNorm::Backward, \
                    StreamOrDevice s = {}) {                                           \
    return name##n(a, Shape{n}, std::vector<int>{axis}, norm, s);                      \
  }                                                                                    \
  inline array name(const array& a, int axis = -1, FFTNorm norm = FFTNorm::Backward,   \
                    StreamOrDevice s = {}) {                                           \
    return name##n(a, std::vector<int>{axis}, norm, s);                                \
  }                                                                                    \
  inline array name##2(const array& a, const Shape& n, const std::vector<int>& axes,   \
                       FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {}) {      \
    return name##n(a, n, axes, norm, s);                                               \
  }                                                                                    \
  inline array name##2(const array& a, const std::vector<int>& axes = {-2, -1},        \
                       FFTNorm norm = FFTNorm::Backward, StreamOrDevice s = {}) {      \
    return name##n(a, axes, norm, s);                                                  \
  }
HEARTH_FFT(fft)
HEARTH_FFT(ifft)
HEARTH_FFT(rfft)
HEARTH_FFT(irfft)
#undef HEARTH_FFT

/// The frequencies that fft (rfft) of n samples, d apart, gives: 0, 1 / (n d), ..., the negative
/// ones behind.
array fftfreq(int n, double d = 1.0, StreamOrDevice s = {});
array rfftfreq(int n, double d = 1.0, StreamOrDevice s = {});
/// Frequency 0 in the middle of the axes, by default all; and back.
array fftshift(const array& a, StreamOrDevice s = {});
array fftshift(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});
array ifftshift(const array& a, StreamOrDevice s = {});
array ifftshift(const array& a, const std::vector<int>& axes, StreamOrDevice s = {});

/// The transforms of the frames of n_fft samples that begin hop_length (n_fft / 4) apart along the
/// last axis, times the window (win_length ones, by default n_fft of them; zeros around it): (...,
/// frequencies, frames). If `center` the signal is padded by n_fft / 2 at both ends first.
/// `onesided`: without the conjugates, by default of real signals.
array stft(const array& x, int n_fft = 2048, const std::optional<int>& hop_length = std::nullopt,
           const std::optional<int>& win_length = std::nullopt,
           const std::optional<array>& window = std::nullopt, bool center = true,
           const std::string& pad_mode = "reflect", FFTNorm norm = FFTNorm::Backward,
           const std::optional<bool>& onesided = std::nullopt, StreamOrDevice s = {});
/// The signal again, its real part: windowed frames added up, over the sum of the windows' squares.
/// `onesided` is the default; `length` cuts it, or fills it with zeros.
array istft(const array& stft_matrix, const std::optional<int>& n_fft = std::nullopt,
            const std::optional<int>& hop_length = std::nullopt,
            const std::optional<int>& win_length = std::nullopt,
            const std::optional<array>& window = std::nullopt, bool center = true,
            FFTNorm norm = FFTNorm::Backward, const std::optional<bool>& onesided = std::nullopt,
            const std::optional<int>& length = std::nullopt, StreamOrDevice s = {});

}  // namespace hearth::fft

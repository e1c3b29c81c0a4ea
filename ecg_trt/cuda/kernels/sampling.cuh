// Reading an (H, W, 3) uint8 image between its pixels. Pixel centres lie at integers.
#pragma once

typedef unsigned char u8;

// A kernel of interpolation: how many taps on an axis, their weights at x, and the pixel of the first.
struct Nearest {
    static constexpr int taps = 1;
    static __device__ int split(float x, float* weight) {
        weight[0] = 1.0f;
        return static_cast<int>(rintf(x));
    }
};

struct Linear {
    static constexpr int taps = 2;
    static __device__ int split(float x, float* weight) {
        const float whole = floorf(x);
        weight[1] = x - whole;
        weight[0] = 1.0f - weight[1];
        return static_cast<int>(whole);
    }
};

// Keys (1981) with a = -3/4, as OpenCV has it.
struct Cubic {
    static constexpr int taps = 4;
    static __device__ float near(float t) { return (1.25f * t - 2.25f) * t * t + 1.0f; }
    static __device__ int split(float x, float* weight) {
        const float whole = floorf(x);
        const float t = x - whole;
        weight[0] = -0.75f * t * (1.0f - t) * (1.0f - t);
        weight[1] = near(t);
        weight[2] = near(1.0f - t);
        weight[3] = 1.0f - weight[0] - weight[1] - weight[2];
        return static_cast<int>(whole) - 1;
    }
};

// sinc(d) sinc(d / 4), scaled so that the weights add up to 1. sin(pi d) is the same for all taps but for its sign.
struct Lanczos {
    static constexpr int taps = 8;
    static __device__ int split(float x, float* weight) {
        const float whole = floorf(x);
        float total = 0.0f;
        for (int k = 0; k < taps; ++k) {
            const float d = x - whole + static_cast<float>(3 - k);
            // On a pixel, that pixel's weight outgrows all others, whose common factor vanishes.
            weight[k] = fabsf(d) < 1e-6f ? 1e30f : sinpif(0.25f * d) / (d * d) * (k % 2 ? 1.0f : -1.0f);
            total += weight[k];
        }
        for (int k = 0; k < taps; ++k) weight[k] /= total;
        return static_cast<int>(whole) - 3;
    }
};

static __device__ u8 rounded(float value) {
    return static_cast<u8>(fminf(fmaxf(rintf(value), 0.0f), 255.0f));
}

static __device__ int clamped(int k, int n) { return k < 0 ? 0 : (k < n ? k : n - 1); }

// Writes the pixel seen at (x, y), which must be finite and not far outside. A tap outside the image reads the rim's
// pixel, or `fill` where `replicate` is false.
template <class Taps, bool replicate>
static __device__ void sample(
    const u8* __restrict__ image, int height, int width, float x, float y, float fill, u8* __restrict__ out) {
    float wx[Taps::taps], wy[Taps::taps];
    const int left = Taps::split(x, wx), top = Taps::split(y, wy);
    float sum[3] = {0.0f, 0.0f, 0.0f};
#pragma unroll(Taps::taps > 4 ? 1 : Taps::taps)
    for (int j = 0; j < Taps::taps; ++j) {
        const int row = clamped(top + j, height);
        const u8* line = image + static_cast<size_t>(row) * width * 3;
        for (int i = 0; i < Taps::taps; ++i) {
            const int column = clamped(left + i, width);
            const bool inside = replicate || (row == top + j && column == left + i);
            const float weight = wx[i] * wy[j];
            for (int c = 0; c < 3; ++c) sum[c] += weight * (inside ? static_cast<float>(line[column * 3 + c]) : fill);
        }
    }
    for (int c = 0; c < 3; ++c) out[c] = rounded(sum[c]);
}

// A photo as it is, or averaged over factor x factor px, and where the whole photo's pixels lie in it.
struct Source {
    const u8* image;
    int height, width;            // of `image`
    int full_height, full_width;  // of the photo
    float scale, shift;           // image px = scale * photo px + shift
};

// One output pixel of a remap from photo px (x, y), NaN = nowhere; borders are replicated.
template <class Taps>
static __device__ void put(const Source& from, float x, float y, int fill, u8* __restrict__ out, u8* __restrict__ seen) {
    const bool inside = x >= -0.5f && y >= -0.5f && x <= from.full_width - 0.5f && y <= from.full_height - 0.5f;
    *seen = inside;
    if (inside) {
        sample<Taps, true>(from.image, from.height, from.width, x * from.scale + from.shift,
                           y * from.scale + from.shift, 0.0f, out);
    } else {
        for (int c = 0; c < 3; ++c) out[c] = static_cast<u8>(fill);
    }
}

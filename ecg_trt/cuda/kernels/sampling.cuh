// Reading an (H, W, 3) uint8 image between its pixels. Pixel centres lie at integers.
#pragma once

typedef unsigned char u8;

// A kernel of interpolation: how many taps on an axis, their weights at x, and the pixel of the first.
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
#pragma unroll
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

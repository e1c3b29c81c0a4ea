// How ruled paper is ruled: what geometry.lines.line_angle sums up, of a view (H, W) in grey.
#include "border.cuh"
#include "view.cuh"

// A symmetric blur's weights, from the middle outwards.
struct Blur {
    float weight[6];

    // Along one axis of n pixels, `stride` apart, at its pixel k; only beside the rim does a tap cost a look for it.
    template <class T>
    __device__ float at(const T* line, int k, int n, int stride) const {
        const auto pixel = [&](int i) { return static_cast<float>(line[static_cast<size_t>(i) * stride]); };
        if (k >= 5 && k + 5 < n) return sum(k, pixel);
        return sum(k, [&](int i) { return pixel(mirrored(i, n)); });
    }

    template <class Pixel>
    __device__ float sum(int k, const Pixel& pixel) const {
        float total = weight[0] * pixel(k);
        for (int d = 1; d < 6; ++d) total += weight[d] * (pixel(k - d) + pixel(k + d));
        return total;
    }
};

// Blurs along rows: (H, W) uint8 to float32.
extern "C" __global__ void ruling_rows(
    const unsigned char* __restrict__ image, int height, int width, float w0, float w1, float w2, float w3, float w4,
    float w5, float* __restrict__ out) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const size_t start = static_cast<size_t>(y) * width;
    out[start + x] = Blur{{w0, w1, w2, w3, w4, w5}}.at(image + start, x, width, 1);
}

// And down columns.
extern "C" __global__ void ruling_columns(
    const float* __restrict__ image, int height, int width, float w0, float w1, float w2, float w3, float w4, float w5,
    float* __restrict__ out) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    out[static_cast<size_t>(y) * width + x] = Blur{{w0, w1, w2, w3, w4, w5}}.at(image + x, y, height, width);
}

// A blurred view, and the photo's size.
struct Ruling {
    const float* smooth;
    int height, width;
    View view;
    int photo_height, photo_width, reach;

    // With a thousandth of a pixel to spare: float32 must not decide over the photo's first row.
    __device__ bool shown(int x, int y) const {
        float px, py;
        view.source(x, y, &px, &py);
        return px >= -1e-3f && py >= -1e-3f && px <= photo_width - 0.999f && py <= photo_height - 0.999f;
    }

    // Whether the photo shows all pixels around: it is convex in the view, so that the corners tell.
    __device__ bool inside(int x, int y) const {
        return x >= reach && y >= reach && x + reach < width && y + reach < height && shown(x - reach, y - reach) &&
               shown(x + reach, y - reach) && shown(x - reach, y + reach) && shown(x + reach, y + reach);
    }

    // Scharr's gradient of a pixel that does not lie on the rim.
    __device__ void gradient(int x, int y, float* gx, float* gy) const {
        const float* above = smooth + static_cast<size_t>(y - 1) * width + x;
        const float* here = above + width;
        const float* below = here + width;
        *gx = 3.0f * (above[1] - above[-1] + below[1] - below[-1]) + 10.0f * (here[1] - here[-1]);
        *gy = 3.0f * (below[-1] - above[-1] + below[1] - above[1]) + 10.0f * (below[0] - above[0]);
    }
};

// How many pixels there are of each power (squared gradient). A bin is a float's first bits: 256 bins from one power of
// two to the next. What is 0 is not counted; `reach` is at least 1.
extern "C" __global__ void ruling_powers(
    const float* __restrict__ smooth, int height, int width, float cu, float cv, float x, float y, float xu, float xv,
    float yu, float yv, float du, float dv, int photo_height, int photo_width, int reach, int first_bin, int bins,
    int* __restrict__ count) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width || row >= height) return;
    const Ruling ruling{smooth, height, width, View{cu, cv, x, y, xu, xv, yu, yv, du, dv}, photo_height, photo_width,
                        reach};
    if (!ruling.inside(column, row)) return;
    float gx, gy;
    ruling.gradient(column, row, &gx, &gy);
    const float power = gx * gx + gy * gy;
    if (!(power > 0.0f)) return;
    const int bin = static_cast<int>(__float_as_uint(power) >> 15) - first_bin;
    atomicAdd(count + min(max(bin, 0), bins - 1), 1);
}

// (3, chunks, W): sums over `chunk_rows` rows of a column, of the weights, and of what they weigh: the cosine and the
// sine of four times the gradient's angle.
extern "C" __global__ void ruling_chunks(
    const float* __restrict__ smooth, int height, int width, float cu, float cv, float x, float y, float xu, float xv,
    float yu, float yv, float du, float dv, int photo_height, int photo_width, int reach, float limit, int chunk_rows,
    float* __restrict__ out) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, chunk = blockIdx.y;
    if (column >= width) return;
    const Ruling ruling{smooth, height, width, View{cu, cv, x, y, xu, xv, yu, yv, du, dv}, photo_height, photo_width,
                        reach};
    float weights = 0.0f, cosine = 0.0f, sine = 0.0f;
    const int end = min((chunk + 1) * chunk_rows, height);
    for (int row = chunk * chunk_rows; row < end; ++row) {
        if (!ruling.inside(column, row)) continue;
        float gx, gy;
        ruling.gradient(column, row, &gx, &gy);
        const float power = gx * gx + gy * gy;
        if (!(power > 0.0f)) continue;
        const float twice_x = (gx * gx - gy * gy) / power, twice_y = 2.0f * gx * gy / power;
        const float weight = fminf(power, limit);
        weights += weight;
        cosine += weight * (twice_x * twice_x - twice_y * twice_y);
        sine += weight * (2.0f * twice_x * twice_y);
    }
    const size_t area = static_cast<size_t>(gridDim.y) * width, at = static_cast<size_t>(chunk) * width + column;
    out[at] = weights;
    out[area + at] = cosine;
    out[2 * area + at] = sine;
}

// (3, W): the chunks of a column brought together.
extern "C" __global__ void ruling_sums(
    const float* __restrict__ part, int chunks, int width, float* __restrict__ out) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, which = blockIdx.y;
    if (column >= width) return;
    float sum = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk) {
        sum += part[(static_cast<size_t>(which) * chunks + chunk) * width + column];
    }
    out[which * width + column] = sum;
}

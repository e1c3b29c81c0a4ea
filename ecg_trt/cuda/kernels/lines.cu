// How far printed lines lie from where they should, on the flat page: geometry.offsets.line_offsets in several passes.
// A page has less than 2^31 pixels, so that the loops count in 32 bits.
#include "border.cuh"
#include "colour.cuh"

// (2, H, W) uint8 of a page (H, W, 3): its grey, and the brightest of its channels.
extern "C" __global__ void page_planes(
    const unsigned char* __restrict__ page, int pixels, unsigned char* __restrict__ planes) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= pixels) return;
    const unsigned char* rgb = page + 3 * static_cast<size_t>(at);
    planes[at] = grey_of(rgb);
    planes[static_cast<size_t>(pixels) + at] = brightest_of(rgb);
}

// (2, H, W) sums of 2 * reach + 1 pixels of a column; they must stay below 2^16.
extern "C" __global__ void paper_columns(
    const unsigned char* __restrict__ planes, int height, int width, int reach, unsigned short* __restrict__ sums) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const size_t start = static_cast<size_t>(blockIdx.z) * height * width + x;
    const unsigned char* column = planes + start;
    int sum = 0;
    around(y, reach, height, [&](int row) { sum += column[row * width]; });
    sums[start + static_cast<size_t>(y) * width] = static_cast<unsigned short>(sum);
}

// (2, H, W) how much darker each pixel is than the paper around, whose brightness is the mean of such sums over
// 2 * reach + 1 columns, `area` pixels in all.
extern "C" __global__ void paper_darkness(
    const unsigned char* __restrict__ planes, const unsigned short* __restrict__ sums, int height, int width, int reach,
    int area, float* __restrict__ out) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const size_t start = (static_cast<size_t>(blockIdx.z) * height + y) * width;
    const unsigned short* line = sums + start;
    int sum = 0;
    around(x, reach, width, [&](int column) { sum += line[column]; });
    const float paper = fmaxf(static_cast<float>(sum) / static_cast<float>(area), 1.0f);
    out[start + x] = 1.0f - static_cast<float>(planes[start + x]) / paper;
}

// Darkness from -1 to 1, in 16 bits.
static __device__ short sampled(float dark, float steps) {
    return static_cast<short>(rintf(fminf(fmaxf(dark, -1.0f), 1.0f) * steps));
}

// Every `step`-th pixel of every `step`-th row.
extern "C" __global__ void every_pixel(
    const float* __restrict__ plane, int width, int step, float steps, short* __restrict__ out, int out_height,
    int out_width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= out_width || y >= out_height) return;
    out[y * out_width + x] = sampled(plane[static_cast<size_t>(y) * step * width + x * step], steps);
}

// (h, n): the greatest value near each of n columns, in every `step`-th row.
extern "C" __global__ void every_line(
    const float* __restrict__ plane, int width, int step, const int* __restrict__ columns, int n, int reach,
    float steps, short* __restrict__ out, int out_height) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (k >= n || y >= out_height) return;
    const float* line = plane + static_cast<size_t>(y) * step * width;
    float most = line[columns[k]];
    for (int x = max(columns[k] - reach, 0); x <= min(columns[k] + reach, width - 1); ++x) most = fmaxf(most, line[x]);
    out[y * n + k] = sampled(most, steps);
}

// Whether a pixel beside this one, in its row, is surely a pen's.
extern "C" __global__ void pen_rows(
    const float* __restrict__ colourless, int height, int width, float strong, int reach,
    unsigned char* __restrict__ near) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const float* line = colourless + static_cast<size_t>(y) * width;
    bool found = false;
    for (int k = max(x - reach, 0); k <= min(x + reach, width - 1); ++k) found |= line[k] > strong;
    near[static_cast<size_t>(y) * width + x] = found;
}

// The pen: what may be a pen's, and has one surely near.
extern "C" __global__ void pen_columns(
    const float* __restrict__ colourless, const unsigned char* __restrict__ near, int height, int width, float weak,
    int reach, unsigned char* __restrict__ pen) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const size_t at = static_cast<size_t>(y) * width + x;
    bool found = false;
    for (int k = max(y - reach, 0); k <= min(y + reach, height - 1); ++k) {
        found |= near[static_cast<size_t>(k) * width + x] != 0;
    }
    pen[at] = found && colourless[at] > weak;
}

// 1 where neither the pen nor its blurred rim is.
extern "C" __global__ void pen_halo(
    const unsigned char* __restrict__ pen, int height, int width, int reach,
    unsigned char* __restrict__ bare) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    bool found = false;
    for (int row = max(y - reach, 0); row <= min(y + reach, height - 1); ++row) {
        for (int column = max(x - reach, 0); column <= min(x + reach, width - 1); ++column) {
            found |= pen[static_cast<size_t>(row) * width + column] != 0;
        }
    }
    bare[static_cast<size_t>(y) * width + x] = !found;
}

// (m, n, 2 * reach + 1) across each of n lines at each of m places: the mean darkness of what is bare in a window of
// 2 * half + 1 pixels along the line, and how much of it is bare. A plane's pixel lies at along * along_stride +
// across * across_stride, so that lines may run either way. A warp walks across lines.
extern "C" __global__ void line_profiles(
    const float* __restrict__ dark, const unsigned char* __restrict__ bare, int along_size, int across_size,
    int along_stride, int across_stride, float least, float most, const int* __restrict__ line,
    const int* __restrict__ place, int n, int reach, int half, float least_share, float* __restrict__ mean,
    float* __restrict__ share) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y, length = 2 * reach + 1;
    if (k >= n * length) return;
    const int across = min(max(line[k / length] + k % length - reach, 0), across_size - 1);
    const int along = min(max(place[j], 0), along_size - 1);
    const int start = across * across_stride;
    float sum = 0.0f;
    int clear = 0;
    around(along, half, along_size, [&](int pixel) {
        const int at = start + pixel * along_stride;
        if (!bare[at]) return;
        sum += fminf(fmaxf(dark[at], least), most);
        ++clear;
    });
    const float count = static_cast<float>(2 * half + 1), part = static_cast<float>(clear) / count;
    const size_t to = static_cast<size_t>(j) * n * length + k;
    mean[to] = sum / count / fmaxf(part, least_share);
    share[to] = part;
}

// The median of an odd number of values |value - centre| (of the values themselves where `centre` is null), by counting
// how many are smaller: no thread has room for a list.
static __device__ float middle_of(const float* value, int length, const float* centre) {
    for (int i = 0; i < length; ++i) {
        const float here = centre ? fabsf(value[i] - *centre) : value[i];
        int below = 0, level = 0;
        for (int j = 0; j < length; ++j) {
            const float other = centre ? fabsf(value[j] - *centre) : value[j];
            below += other < here;
            level += other == here;
        }
        if (below <= length / 2 && below + level > length / 2) return here;
    }
    return value[0];
}

// (2, m, n): the peak of each profile between `first` and `end`, px from its middle; and its prominence, 0 where some of
// the profile lies outside the page or under the pen.
extern "C" __global__ void line_peaks(
    const float* __restrict__ mean, const float* __restrict__ share, int along_size, int across_size,
    const int* __restrict__ line, const int* __restrict__ place, int n, int m, int reach, int first, int end,
    float least_bare, float least_spread, float* __restrict__ out) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y, length = 2 * reach + 1;
    if (k >= n) return;
    const size_t at = static_cast<size_t>(j) * n + k;
    const float* profile = mean + at * length;
    int peak = first;
    float clear = 1.0f;
    for (int t = first; t < end; ++t) {
        if (profile[t] > profile[peak]) peak = t;
    }
    for (int t = 0; t < length; ++t) clear = fminf(clear, share[at * length + t]);
    peak = min(max(peak, 1), length - 2);
    const float left = profile[peak - 1], top = profile[peak], right = profile[peak + 1];
    const float bend = fminf(left - 2.0f * top + right, -1e-9f);
    const float usual = middle_of(profile, length, nullptr);
    const float spread = middle_of(profile, length, &usual) + least_spread;
    const bool inside = place[j] >= 0 && place[j] < along_size && line[k] >= reach && line[k] + reach < across_size;
    out[at] = static_cast<float>(peak - reach) + fminf(fmaxf(0.5f * (left - right) / bend, -0.5f), 0.5f);
    out[static_cast<size_t>(m) * n + at] = inside && clear > least_bare ? (top - usual) / spread : 0.0f;
}

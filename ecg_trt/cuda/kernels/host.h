// The CUDA names that the kernels use, for a C++ compiler: the same source then runs on the CPU, one thread at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__

using std::max;
using std::min;

struct Position {
    unsigned x, y, z;
};
static Position threadIdx, blockIdx, blockDim, gridDim;

struct uchar4 {
    unsigned char x, y, z, w;
};
inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return {x, y, z, w}; }

inline float __int_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __saturatef(float x) { return min(max(x, 0.0f), 1.0f); }

inline int atomicAdd(int* at, int value) {
    const int before = *at;
    *at += value;
    return before;
}

// Calls a kernel for every thread of a grid; `arguments` points to one value a parameter, as for cuLaunchKernel.
template <class... Parameters, std::size_t... k>
void launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* block, void** arguments,
            std::index_sequence<k...>) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < block[2]; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x)
                            kernel(*static_cast<std::remove_const_t<Parameters>*>(arguments[k])...);
}

template <class... Parameters>
void launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* block, void** arguments) {
    launch(kernel, grid, block, arguments, std::index_sequence_for<Parameters...>{});
}

// Finds the values in a buffer that holds them one behind the other, as CUDA's other way of launching has them.
template <class... Parameters>
void unpack(void (*)(Parameters...), char* buffer, void** arguments) {
    std::size_t at = 0;
    ((at = (at + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters), *arguments++ = buffer + at,
      at += sizeof(Parameters)),
     ...);
}

#define HOST_KERNEL(name)                                                                          \
    extern "C" void launch_##name(const unsigned* grid, const unsigned* block, void** arguments) { \
        launch(name, grid, block, arguments);                                                      \
    }                                                                                              \
    extern "C" void unpack_##name(char* buffer, void** arguments) { unpack(name, buffer, arguments); }

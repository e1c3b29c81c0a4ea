// (H, W, 3) uint8 RGB to one channel.
#pragma once

// With the integer weights of OpenCV.
static __device__ unsigned char grey_of(const unsigned char* rgb) {
    return static_cast<unsigned char>((9798 * rgb[0] + 19235 * rgb[1] + 3735 * rgb[2] + (1 << 14)) >> 15);
}

static __device__ unsigned char brightest_of(const unsigned char* rgb) { return max(max(rgb[0], rgb[1]), rgb[2]); }

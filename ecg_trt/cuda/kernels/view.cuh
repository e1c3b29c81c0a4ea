// An image seen through a homography.
#pragma once

// The source of the output pixel (u, v), counted from an output pixel (cu, cv) whose source is (x, y), is
// (x + (xu u + xv v) / d, y + (yu u + yv v) / d) with d = 1 + du u + dv v. Only distances pass through float32.
struct View {
    float cu, cv, x, y, xu, xv, yu, yv, du, dv;

    __device__ void source(int column, int row, float* sx, float* sy) const {
        const float u = column - cu, v = row - cv;
        const float depth = 1.0f + du * u + dv * v;
        *sx = x + (xu * u + xv * v) / depth;
        *sy = y + (yu * u + yv * v) / depth;
    }
};

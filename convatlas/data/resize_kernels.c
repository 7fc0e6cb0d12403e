/* An antialiased bilinear resize of bytes, channels last, whose rows may lie apart: a crop needs no copy.
 *
 * Downwards first: a sum of rows is a loop over values side by side, for vectors of any width. Then across, a pixel's
 * three channels at a time. Rounded once, at the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What one axis is made of: output i is the sum of `taps` inputs from first[i] on, with weights from taps * i on. */
typedef struct {
    long taps, *first;
    float *weights;
} axis;

/* Where the inputs of output i begin and end, in a triangle as wide as what one output stands for, one input at least. */
static inline void reach(long i, long before, double scale, double wide, long *start, long *stop) {
    double center = (i + 0.5) * scale;
    *start = center > wide ? (long)(center - wide + 0.5) : 0;
    *stop = (long)(center + wide + 0.5);
    if (*stop > before) *stop = before;
}

/* the most inputs that one output is made of */
static long most_taps(long before, long after) {
    double scale = (double)before / after, wide = scale > 1 ? scale : 1;
    long most = 1, start, stop;
    for (long i = 0; i < after; i++) {
        reach(i, before, scale, wide, &start, &stop);
        if (stop - start > most) most = stop - start;
    }
    return most;
}

/* The weights, which add up to 1. All taps lie within the input: those that are not needed weigh nothing. */
static void triangle(axis a, long before, long after) {
    double scale = (double)before / after, wide = scale > 1 ? scale : 1;
    float narrow = (float)(1 / wide), *restrict w = a.weights;
    for (long i = 0; i < after; i++, w += a.taps) {
        long start, stop;
        reach(i, before, scale, wide, &start, &stop);
        long from = start + a.taps <= before ? start : before - a.taps;
        float total = 0, offset = (float)(from + 0.5 - (i + 0.5) * scale) * narrow;
        for (long k = 0; k < a.taps; k++) {
            float at = offset + k * narrow, weight = 1 - (at < 0 ? -at : at);
            w[k] = from + k >= start && from + k < stop && weight > 0 ? weight : 0;
            total += w[k];
        }
        for (long k = 0; k < a.taps; k++) w[k] /= total;
        a.first[i] = from;
    }
}

#define INLINE static inline __attribute__((always_inline))

typedef float four __attribute__((vector_size(16), aligned(4)));
typedef int32_t four_whole __attribute__((vector_size(16)));
typedef uint8_t four_bytes __attribute__((vector_size(4)));

/* A line of RGB floats to `count` pixels. A fourth lane is the next pixel's, and is written over by it. */
INLINE void across(const float *restrict line, uint8_t *restrict to, long count, long used, axis a) {
    /* by value: a store of bytes could change what is pointed to */
    const long *restrict first = a.first;
    const float *restrict w = a.weights;
    for (long x = 0; x < count; x++, w += a.taps) {
        const float *from = line + 3 * first[x];
        four sum = {0.5f, 0.5f, 0.5f, 0.5f};
        for (long k = 0; k < used; k++) sum += w[k] * *(const four *)(from + 3 * k);
        four_bytes pixel = __builtin_convertvector(__builtin_convertvector(sum, four_whole), four_bytes);
        memcpy(to + 3 * x, &pixel, 4);
    }
}

/* sums = the weighted sum of rows */
INLINE void down(const uint8_t *restrict from, long stride, long line, long used, const float *restrict w,
                 float *restrict sums) {
    for (long i = 0; i < line; i++) {
        float sum = 0;
        for (long k = 0; k < used; k++) sum += w[k] * from[k * stride + i];
        sums[i] = sum;
    }
}

/* CALL(n) with a number that the compiler knows, where it is a usual one */
#define USUAL(NUMBER, CALL)       \
    switch (NUMBER) {             \
        case 1: CALL(1); break;   \
        case 2: CALL(2); break;   \
        case 3: CALL(3); break;   \
        case 4: CALL(4); break;   \
        default: CALL(NUMBER);    \
    }

/* from: rows of `stride` bytes, of which (height, width, channels) are resized to (rows, columns, channels) without
 * gaps. Downwards first: a sum of rows is a loop over bytes side by side. 0, or 1 where memory ran out. */
int resize(const uint8_t *from, long stride, long height, long width, uint8_t *to, long rows, long columns,
           long channels) {
    axis vertical = {.taps = most_taps(height, rows)}, horizontal = {.taps = most_taps(width, columns)};
    long line = width * channels, out_line = columns * channels;
    size_t floats = line + 8 + vertical.taps * rows + horizontal.taps * columns;
    float *sums = malloc(floats * sizeof(float));
    vertical.first = malloc((rows + columns) * sizeof(long));
    uint8_t *last = malloc(out_line + 8);
    if (!sums || !vertical.first || !last) {
        free(sums), free(vertical.first), free(last);
        return 1;
    }
    vertical.weights = sums + line + 8;
    horizontal.weights = vertical.weights + vertical.taps * rows;
    horizontal.first = vertical.first + rows;
    triangle(vertical, height, rows);
    triangle(horizontal, width, columns);
    memset(sums + line, 0, 8 * sizeof(float));
    for (long y = 0; y < rows; y++) {
        const uint8_t *row = from + vertical.first[y] * stride;
        const float *w = vertical.weights + y * vertical.taps;
#define DOWN(N) down(row, stride, line, N, w, sums)
        if (vertical.taps <= 4) {
            USUAL(vertical.taps, DOWN)
        } else { /* row by row: so many at once would be read from memory all over */
            memset(sums, 0, line * sizeof(float));
            for (long k = 0; k < vertical.taps; k++, row += stride)
                if (w[k] != 0)
                    for (long i = 0; i < line; i++) sums[i] += w[k] * row[i];
        }
        uint8_t *out = to + y * out_line;
        if (channels == 3) {
            /* the last line's last pixel has no room for a fourth byte behind it */
            uint8_t *there = y + 1 < rows ? out : last;
#define ACROSS(N) across(sums, there, columns, N, horizontal)
            USUAL(horizontal.taps, ACROSS)
            continue;
        }
        for (long x = 0; x < columns; x++)
            for (long c = 0; c < channels; c++) {
                const float *at = sums + horizontal.first[x] * channels + c;
                float sum = 0.5f;
                for (long k = 0; k < horizontal.taps; k++)
                    sum += horizontal.weights[x * horizontal.taps + k] * at[k * channels];
                out[x * channels + c] = (uint8_t)(int)sum;
            }
    }
    if (channels == 3) memcpy(to + (rows - 1) * out_line, last, out_line);
    free(sums), free(vertical.first), free(last);
    return 0;
}

/* Batch norm with what follows it, forward and backward, on channels-last values (rows, channels) in one call each.
 *
 * torch goes over a layer's values once for each: mean, variance, normalizing, addition, ReLU, and their gradients.
 * In a training step they come from memory, and memory is what such a step waits for. Here they are read twice and
 * written once, in either direction. Sums are in float over short blocks and in double over those. The file includes
 * itself for each type: float, and bfloat16, the upper half of a float.
 *
 * y = clamp(weight * (x - mean) / sqrt(variance + eps) + bias [+ residual], 0, top), statistics over the rows.
 * kind: 0 no clamp, 1 ReLU, 2 ReLU with a top. A NaN stays a NaN.
 */
#ifndef VALUE
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#endif

/* values that the inner loops run over, about: rows of few channels are taken several at a time */
#define SPAN 256
/* groups of rows that are summed in float before they are added up in double */
#define BLOCK 32

typedef uint16_t bf16;

static inline float from_f32(float v) { return v; }
static inline float to_f32(float v) { return v; }
static inline float from_bf16(bf16 v) {
    uint32_t bits = (uint32_t)v << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static inline bf16 to_bf16(float v) { /* to nearest, ties to even */
    uint32_t bits;
    memcpy(&bits, &v, 4);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bf16)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}

static inline float clamped(float v, int kind, float top) {
    if (kind) v = v < 0.0f ? 0.0f : v;
    if (kind == 2) v = v > top ? top : v;
    return v;
}

/* the rows [from, to) of a thread, whole groups of `per` rows but for the last */
static void share(long rows, long per, long *from, long *to) {
    long groups = (rows + per - 1) / per, n = omp_get_num_threads(), t = omp_get_thread_num();
    *from = groups * t / n * per;
    *to = groups * (t + 1) / n * per;
    if (*to > rows) *to = rows;
}

/* add the two lanes of a block, one behind the other, to the channels' two sums, and begin anew */
static void flush(float *lanes, long span, double *sums, long channels) {
    for (int which = 0; which < 2; which++)
        for (long i = 0; i < span; i += channels)
            for (long c = 0; c < channels; c++) sums[which * channels + c] += lanes[which * span + i + c];
    memset(lanes, 0, 2 * span * sizeof(float));
}

/* add the two sums of all threads to those of the first, in the threads' order: the same bits each time */
static void join(double *sums, long channels) {
    for (long t = 1; t < omp_get_num_threads(); t++)
        for (long i = 0; i < 2 * channels; i++) sums[i] += sums[2 * t * channels + i];
}

/* a value a channel, repeated over the span */
static void spread(const float *values, float *lanes, long channels, long span) {
    for (long i = 0; i < span; i += channels) memcpy(lanes + i, values, channels * sizeof(float));
}

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, KIND)
#define LOAD JOIN(from, KIND)
#define STORE JOIN(to, KIND)

#define VALUE float
#define KIND f32
#include "norm_kernels.c"
#undef VALUE
#undef KIND
#define VALUE bf16
#define KIND bf16
#include "norm_kernels.c"

#else

/* One loop a kind, so that each is without branches. */
static void NAME(apply)(const VALUE *restrict x, const VALUE *restrict residual, VALUE *restrict y, long n,
                        const float *restrict center, const float *restrict scale, const float *restrict shift,
                        int kind, float top) {
#define LOOP(K, R)                                                                         \
    for (long i = 0; i < n; i++)                                                           \
        y[i] = STORE(clamped((LOAD(x[i]) - center[i]) * scale[i] + shift[i] + R, K, top));
    if (residual) {
        if (kind == 0) LOOP(0, LOAD(residual[i]))
        else if (kind == 1) LOOP(1, LOAD(residual[i]))
        else LOOP(2, LOAD(residual[i]))
    } else {
        if (kind == 0) LOOP(0, 0.0f)
        else if (kind == 1) LOOP(1, 0.0f)
        else LOOP(2, 0.0f)
    }
#undef LOOP
}

/* Whether the clamp gave its input out as it was. What is no number is nowhere clamped, as in torch. */
#ifndef PASSES
#define PASSES(V, CLAMP) (!(LOAD(V) <= 0.0f) && (CLAMP == 1 || !(LOAD(V) >= top)))
#endif

/* The gradient before the clamp, from one or two gradients of y. */
static void NAME(sums)(const VALUE *restrict dy, const VALUE *restrict other, const VALUE *restrict y,
                       const VALUE *restrict x, VALUE *restrict kept, long n, const float *restrict center,
                       float *restrict first, float *restrict second, int kind, float top) {
#define LOOP(DY, CLAMP, KEEP)                                                      \
    for (long i = 0; i < n; i++) {                                                 \
        float g = DY;                                                              \
        if (CLAMP) g = PASSES(y[i], CLAMP) ? g : 0.0f;                             \
        first[i] += g;                                                             \
        second[i] += g * (LOAD(x[i]) - center[i]);                                 \
        KEEP;                                                                      \
    }
#define CLAMPS(DY, KEEP)                \
    if (kind == 0) { LOOP(DY, 0, KEEP) }   \
    else if (kind == 1) { LOOP(DY, 1, KEEP) } \
    else { LOOP(DY, 2, KEEP) }
    if (other) { CLAMPS(LOAD(dy[i]) + LOAD(other[i]), kept[i] = STORE(g)) }
    else if (kept) { CLAMPS(LOAD(dy[i]), kept[i] = STORE(g)) }
    else { CLAMPS(LOAD(dy[i]), ) }
#undef CLAMPS
#undef LOOP
}

/* dx from the gradient before the clamp: `kept` (which may be dx), or dy where that is NULL. */
static void NAME(gradients)(const VALUE *restrict dy, const VALUE *restrict y, const VALUE *restrict x,
                            const VALUE *kept, VALUE *dx, long n, const float *restrict center,
                            const float *restrict scale, const float *restrict slope, const float *restrict shift,
                            int kind, float top) {
#define LOOP(DY, CLAMP)                                                                    \
    _Pragma("GCC ivdep")                                                                   \
    for (long i = 0; i < n; i++) {                                                         \
        float g = DY;                                                                      \
        if (CLAMP) g = PASSES(y[i], CLAMP) ? g : 0.0f;                                     \
        dx[i] = STORE(g * scale[i] + (LOAD(x[i]) - center[i]) * slope[i] + shift[i]);      \
    }
    if (kept) { LOOP(LOAD(kept[i]), 0) }
    else if (kind == 0) { LOOP(LOAD(dy[i]), 0) }
    else if (kind == 1) { LOOP(LOAD(dy[i]), 1) }
    else { LOOP(LOAD(dy[i]), 2) }
#undef LOOP
}

/* 0, or 1 where memory ran out. mean, inverse (1 / deviation): (channels,), written. running_mean, running_variance
 * (or NULL): moved towards the batch's by `momentum`. x, residual (or NULL), y: (rows, channels). */
int NAME(norm_forward)(const VALUE *x, const VALUE *residual, VALUE *y, long rows, long channels, const float *weight,
                       const float *bias, float eps, int kind, float top, float *mean, float *inverse,
                       float *running_mean, float *running_variance, float momentum, int threads) {
    long per = channels < SPAN ? SPAN / channels : 1, span = per * channels;
    double *sums = calloc((size_t)threads * 2 * channels, sizeof(double));
    float *lanes = malloc(((size_t)threads * 2 + 3) * span * sizeof(float));
    float *own = calloc(2 * (size_t)channels, sizeof(float));
    if (!sums || !lanes || !own) {
        free(sums), free(lanes), free(own);
        return 1;
    }
    float *center = lanes, *scale = lanes + span, *shift = lanes + 2 * span;
    /* deviations from some value of the channel: squares of a large mean would swallow a small variance */
    for (long i = 0; i < span; i++) center[i] = LOAD(x[i % channels]);
    memset(lanes + 3 * span, 0, (size_t)threads * 2 * span * sizeof(float));
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int t = omp_get_thread_num();
        float *first = lanes + (3 + 2 * t) * span, *second = first + span;
        double *total = sums + 2 * (size_t)t * channels;
        long from, to, count = 0;
        share(rows, per, &from, &to);
        for (long row = from; row < to; row += per) {
            long n = (to - row < per ? to - row : per) * channels;
            const VALUE *at = x + row * channels;
            for (long i = 0; i < n; i++) {
                float d = LOAD(at[i]) - center[i];
                first[i] += d;
                second[i] += d * d;
            }
            if (++count % BLOCK == 0) flush(first, span, total, channels);
        }
        flush(first, span, total, channels);
#pragma omp barrier
#pragma omp single
        {
            join(sums, channels);
            for (long c = 0; c < channels; c++) {
                double s = sums[c], q = sums[channels + c];
                double m = s / rows, v = q / rows - m * m;
                if (v < 0) v = 0;
                mean[c] = (float)(m + center[c]);
                inverse[c] = (float)(1.0 / sqrt(v + eps));
                if (running_mean) {
                    double unbiased = v * rows / (rows > 1 ? rows - 1 : 1);
                    running_mean[c] += momentum * (float)(m + center[c] - running_mean[c]);
                    running_variance[c] += momentum * (float)(unbiased - running_variance[c]);
                }
                own[c] = weight[c] * inverse[c];
                own[channels + c] = (float)(bias[c] - m * own[c]);
            }
            spread(own, scale, channels, span);
            spread(own + channels, shift, channels, span);
        }
        for (long row = from; row < to; row += per) {
            long n = (to - row < per ? to - row : per) * channels, at = row * channels;
            NAME(apply)(x + at, residual ? residual + at : NULL, y + at, n, center, scale, shift, kind, top);
        }
    }
    free(sums), free(lanes), free(own);
    return 0;
}

/* 0, or 1 where memory ran out. dx, dresidual (or NULL): (rows, channels); dweight, dbias: (channels,), written.
 * dy and other (or NULL) are two gradients of y, to be added up; y: what forward gave, read where kind is not 0;
 * mean, inverse: forward's. */
int NAME(norm_backward)(const VALUE *dy, const VALUE *other, const VALUE *y, const VALUE *x, long rows, long channels,
                        const float *weight, const float *mean, const float *inverse, int kind, float top, VALUE *dx,
                        VALUE *dresidual, float *dweight, float *dbias, int threads) {
    VALUE *kept = dresidual ? dresidual : other ? dx : NULL;
    long per = channels < SPAN ? SPAN / channels : 1, span = per * channels;
    double *sums = calloc((size_t)threads * 2 * channels, sizeof(double));
    float *lanes = malloc(((size_t)threads * 2 + 4) * span * sizeof(float));
    float *own = calloc(3 * (size_t)channels, sizeof(float));
    if (!sums || !lanes || !own) {
        free(sums), free(lanes), free(own);
        return 1;
    }
    float *center = lanes, *scale = lanes + span, *slope = lanes + 2 * span, *shift = lanes + 3 * span;
    spread(mean, center, channels, span);
    memset(lanes + 4 * span, 0, (size_t)threads * 2 * span * sizeof(float));
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int t = omp_get_thread_num();
        float *first = lanes + (4 + 2 * t) * span, *second = first + span;
        double *total = sums + 2 * (size_t)t * channels;
        long from, to, count = 0;
        share(rows, per, &from, &to);
        for (long row = from; row < to; row += per) {
            long n = (to - row < per ? to - row : per) * channels, at = row * channels;
            NAME(sums)(dy + at, other ? other + at : NULL, y + at, x + at, kept ? kept + at : NULL, n, center, first,
                       second, kind, top);
            if (++count % BLOCK == 0) flush(first, span, total, channels);
        }
        flush(first, span, total, channels);
#pragma omp barrier
#pragma omp single
        {
            join(sums, channels);
            for (long c = 0; c < channels; c++) {
                double s = sums[c], q = sums[channels + c];
                double k = (double)weight[c] * inverse[c];
                dbias[c] = (float)s;
                dweight[c] = (float)(q * inverse[c]);
                own[c] = (float)k;
                own[channels + c] = (float)(-k * inverse[c] * inverse[c] * q / rows);
                own[2 * channels + c] = (float)(-k * s / rows);
            }
            spread(own, scale, channels, span);
            spread(own + channels, slope, channels, span);
            spread(own + 2 * channels, shift, channels, span);
        }
        for (long row = from; row < to; row += per) {
            long n = (to - row < per ? to - row : per) * channels, at = row * channels;
            NAME(gradients)(dy + at, y + at, x + at, kept ? kept + at : NULL, dx + at, n, center, scale, slope, shift,
                            kind, top);
        }
    }
    free(sums), free(lanes), free(own);
    return 0;
}

/* y = clamp(x * scale + shift), by channel. From one row of x to the next are `stride` values; y is without gaps. */
void NAME(affine)(const VALUE *x, long stride, VALUE *y, long rows, long channels, const float *restrict scale,
                  const float *restrict shift, int kind, float top, int threads) {
    (void)threads; /* without OpenMP there is one */
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long row = 0; row < rows; row++) {
        const VALUE *restrict from = x + row * stride;
        VALUE *restrict to = y + row * channels;
#define LOOP(K) \
    for (long c = 0; c < channels; c++) to[c] = STORE(clamped(LOAD(from[c]) * scale[c] + shift[c], K, top));
        if (kind == 0) LOOP(0)
        else if (kind == 1) LOOP(1)
        else LOOP(2)
#undef LOOP
    }
}

#endif

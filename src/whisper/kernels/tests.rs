//! Every tier against plain f64 arithmetic, on random shapes.

use super::simd::{Kernel, Simd};
use super::*;

/// Those of this processor; printed, so that a tier that was not tested is seen.
fn tiers() -> Vec<Tier> {
    let all = [Tier::Avx512, Tier::Avx2, Tier::Portable];
    let found: Vec<Tier> = all.into_iter().filter(|t| t.available()).collect();
    println!("tiers: {found:?}");
    found
}

/// A repeatable noise source (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> usize {
        (self.next() % n) as usize
    }

    /// Values in -scale..scale.
    fn values(&mut self, len: usize, scale: f32) -> Vec<f32> {
        let value = |x: u64| ((x >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale;
        (0..len).map(|_| value(self.next())).collect()
    }
}

#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * b.abs().max(1.0);
        assert!(
            (f64::from(a) - b).abs() <= allowed,
            "{what}[{i}]: {a} for {b}"
        );
    }
}

struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for x in self.0.chunks_exact_mut(S::LANES) {
            unsafe { math::exp(S::load(x.as_ptr())).store(x.as_mut_ptr()) };
        }
    }
}

#[test]
fn exp_is_within_two_units_in_the_last_place() {
    let points: Vec<f32> = (0..16 * 10_000)
        .map(|i| -87.0 + i as f32 * 1.09e-3)
        .collect();
    for tier in tiers() {
        let mut found = points.clone();
        dispatch_on(tier, Exp(&mut found));
        for (x, y) in points.iter().zip(&found) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(*y) - exact).abs() / exact;
            assert!(error < 2.4e-7, "{tier:?} exp({x}) = {y}, off by {error:e}");
        }
    }
}

/// erf by its series, and by its continued fraction where that converges.
fn exact_gelu(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let erfc = if z < 3.0 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-17 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        1.0 - sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let tail = (1..60)
            .rev()
            .fold(0.0, |tail, k| f64::from(k) / 2.0 / (z + tail));
        (-z * z).exp() / (z + tail) / std::f64::consts::PI.sqrt()
    };
    x.max(0.0) - 0.5 * x.abs() * erfc
}

#[test]
fn gelu_is_the_exact_one_to_a_millionth() {
    let mut noise = Noise(11);
    for width in [1, 5, 16, 192, 193] {
        let bias = noise.values(width, 1.0);
        let rows = noise.values(width * 40, 12.0);
        let pairs = rows.iter().zip(bias.iter().cycle());
        let expected: Vec<f64> = pairs.map(|(x, b)| exact_gelu(f64::from(x + b))).collect();
        for tier in tiers() {
            let mut found = rows.clone();
            let rows = &mut found[..];
            dispatch_on(tier, BiasGelu { rows, bias: &bias });
            for (a, b) in found.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{tier:?}: {a} for {b}");
            }
        }
    }
}

#[test]
fn layer_norm_is_right_for_any_width() {
    let mut noise = Noise(5);
    for width in [1, 7, 16, 64, 192, 200, 384] {
        let (weight, bias) = (noise.values(width, 2.0), noise.values(width, 1.0));
        let mut rows = noise.values(width * 9, 5.0);
        rows[..width].fill(0.0);
        let expected = rows.chunks(width).flat_map(|row| {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
            let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2));
            let scale = (squares.sum::<f64>() / width as f64 + 1e-5).sqrt();
            let affine = row.iter().zip(&weight).zip(&bias);
            affine
                .map(|((x, w), b)| (f64::from(*x) - mean) / scale * f64::from(*w) + f64::from(*b))
                .collect::<Vec<_>>()
        });
        let expected: Vec<f64> = expected.collect();
        for tier in tiers() {
            let mut found = vec![f32::NAN; rows.len()];
            let kernel = LayerNorm {
                rows: &rows,
                to: &mut found,
                weight: &weight,
                bias: &bias,
                epsilon: 1e-5,
            };
            dispatch_on(tier, kernel);
            close(&format!("{tier:?} {width}"), &found, &expected, 1e-5);
        }
    }
}

#[test]
fn a_linear_layer_of_few_rows_is_right_in_any_shape() {
    let mut noise = Noise(3);
    for round in 0..60 {
        let (rows, n) = (1 + noise.below(20), 1 + noise.below(300));
        let k = match round % 3 {
            0 => 16 * (1 + noise.below(40)),
            _ => 1 + noise.below(500),
        };
        let (x, w) = (noise.values(rows * k, 1.0), noise.values(n * k, 1.0));
        let bias = if round % 2 == 0 {
            noise.values(n, 1.0)
        } else {
            Vec::new()
        };
        let mut expected = Vec::new();
        for x in x.chunks(k) {
            for (i, w) in w.chunks(k).enumerate() {
                let products = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let bias = bias.get(i).copied().unwrap_or(0.0);
                expected.push(products.sum::<f64>() + f64::from(bias));
            }
        }
        for tier in tiers() {
            let found = linear_on(tier, &x, &w, k, &bias);
            close(&format!("{tier:?} {rows}x{k}x{n}"), &found, &expected, 2e-5);
        }
    }
}

#[test]
fn a_packed_product_is_right_in_any_shape() {
    let mut noise = Noise(29);
    for round in 0..40 {
        let rows = [1, 2, 6, 7, 48, 49, 97, 200][noise.below(8)] + round % 2;
        let (k, n) = (1 + noise.below(600), 1 + noise.below(300));
        let (x, w) = (noise.values(rows * k, 1.0), noise.values(n * k, 1.0));
        let dot = |x: &[f32], w: &[f32]| {
            let products = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
            products.sum::<f64>()
        };
        let expected = x.chunks(k).flat_map(|x| w.chunks(k).map(|w| dot(x, w)));
        let expected: Vec<f64> = expected.collect();
        let packed = Packed::new(&w, k, Vec::new());
        for tier in tiers() {
            let found = packed.product_on(tier, &x);
            close(&format!("{tier:?} {rows}x{k}x{n}"), &found, &expected, 2e-5);
        }
        // A row has the same bits whatever stands beside it.
        let alone = packed.product(&x[..k]);
        assert!(alone[..] == packed.product(&x)[..n], "{rows}x{k}x{n}");
    }
}

/// Attention as it is written in the books; returns values and weights of every head.
fn plain_attention(
    (q, k, v): (&[f32], &[f32], &[f32]),
    (heads, width): (usize, usize),
    causal: bool,
) -> (Vec<f64>, Vec<f64>) {
    let d = heads * width;
    let (rows, keys) = (q.len() / d, k.len() / d);
    let mut values = vec![0f64; rows * d];
    let mut weights = vec![0f64; heads * rows * keys];
    for head in 0..heads {
        for row in 0..rows {
            let seen = if causal { keys - rows + row + 1 } else { keys };
            let score = |key: usize| {
                let at = |x: &[f32], row: usize, i: usize| f64::from(x[row * d + head * width + i]);
                (0..width)
                    .map(|i| at(q, row, i) * at(k, key, i))
                    .sum::<f64>()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let max = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            for (key, score) in scores.iter().enumerate() {
                let weight = (score - max).exp() / sum;
                weights[(head * rows + row) * keys + key] = weight;
                for i in 0..width {
                    let at = head * width + i;
                    values[row * d + at] += weight * f64::from(v[key * d + at]);
                }
            }
        }
    }
    (values, weights)
}

#[test]
fn attention_is_right_in_any_shape_and_grown_in_any_steps() {
    let mut noise = Noise(17);
    for round in 0..40 {
        let heads = 1 + noise.below(4);
        let width = [16, 32, 64, 64, 80, 5][noise.below(6)];
        let keys = 1 + noise.below(400);
        let causal = round % 2 == 0;
        let rows = 1 + noise.below(keys.min(90) as u64);
        let d = heads * width;
        // Scores up to some tens: sharp rows as well as flat ones.
        let scale = [0.1, 1.0, 3.0][noise.below(3)];
        let (q, k) = (noise.values(rows * d, scale), noise.values(keys * d, scale));
        let v = noise.values(keys * d, 1.0);
        let (values, weights) = plain_attention((&q, &k, &v), (heads, width), causal);
        let want: Vec<usize> = (0..heads).rev().collect();
        let of = |head: usize| &weights[head * rows * keys..(head + 1) * rows * keys];
        let wanted: Vec<f64> = want.iter().flat_map(|&head| of(head)).copied().collect();

        let mut kv = KeyValues::new(keys + noise.below(100), heads, width);
        let mut at = 0;
        while at < keys {
            let step = (1 + noise.below(150)).min(keys - at);
            kv.push(&k[at * d..(at + step) * d], &v[at * d..(at + step) * d]);
            at += step;
        }
        for tier in tiers() {
            let what = format!("{tier:?} {heads}x{width}, {rows} of {keys}, causal {causal}");
            let found = attend::attend_on(tier, &q, &kv, causal, &want);
            close(&what, &found.values, &values, 2e-5);
            close(&what, &found.weights, &wanted, 2e-5);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut noise = Noise(23);
    let (heads, width, keys, rows) = (3, 64, 700, 200);
    let d = heads * width;
    let (q, k) = (noise.values(rows * d, 1.0), noise.values(keys * d, 1.0));
    let w = noise.values(1000 * d, 1.0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let mut kv = KeyValues::new(keys, heads, width);
            kv.push(&k, &k);
            let found = attend(&q, &kv, false, &[1]);
            let packed = Packed::new(&w, d, Vec::new());
            let products = [packed.product(&q), packed.product(&q[..7 * d])];
            (
                found.values,
                found.weights,
                linear(&q[..3 * d], &w, d, &[]),
                products,
            )
        })
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        assert!(run(threads) == one, "{threads} threads give other bits");
    }
}

#[test]
fn extreme_scores_give_no_nan() {
    let (heads, width, keys) = (1, 16, 70);
    for scale in [0.0, 1e-30, 1e4, 1e15] {
        let k = Noise(9).values(keys * width, scale);
        let q = Noise(2).values(width, 1e3);
        let mut kv = KeyValues::new(keys, heads, width);
        kv.push(&k, &k);
        for tier in tiers() {
            let found = attend::attend_on(tier, &q, &kv, true, &[0]);
            assert!(
                found
                    .values
                    .iter()
                    .chain(&found.weights)
                    .all(|x| x.is_finite())
            );
            let sum: f32 = found.weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{tier:?} {scale}: {sum}");
        }
    }
}

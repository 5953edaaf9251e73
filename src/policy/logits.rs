//! Greedy choice over a row of logits.

/// A fast membership test over token ids.
#[derive(Clone, Debug)]
pub struct Suppressed(Vec<bool>);

impl Suppressed {
    pub fn new(vocab: usize, tokens: impl IntoIterator<Item = u32>) -> Suppressed {
        let mut flags = vec![false; vocab];
        for token in tokens {
            if let Some(flag) = flags.get_mut(token as usize) {
                *flag = true;
            }
        }
        Suppressed(flags)
    }

    pub fn contains(&self, token: usize) -> bool {
        self.0.get(token).copied().unwrap_or(true)
    }
}

/// The chosen token, its log-probability among the tokens allowed, and how far the runner-up lies behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub token: u32,
    pub logprob: f32,
    pub gap: f32,
}

/// The best token that is neither in `suppressed` nor in `also`; the first of equals.
pub fn choose(logits: &[f32], suppressed: &Suppressed, also: &[u32]) -> Choice {
    let allowed = |id: usize| !suppressed.contains(id) && !also.contains(&(id as u32));
    let (mut best, mut top, mut second) = (0u32, f32::NEG_INFINITY, f32::NEG_INFINITY);
    for (id, &x) in logits.iter().enumerate() {
        if x > second && allowed(id) {
            if x > top {
                (second, top, best) = (top, x, id as u32);
            } else {
                second = x;
            }
        }
    }
    let sum: f32 = logits
        .iter()
        .enumerate()
        .filter(|&(id, _)| !suppressed.contains(id))
        .map(|(_, &x)| (x - top).exp())
        .sum();
    Choice {
        token: best,
        logprob: -sum.max(1.0).ln(),
        gap: top - second,
    }
}

/// The `count` likeliest tokens that are neither in `suppressed` nor in `also`, with their log-probabilities among these.
pub fn best(
    logits: &[f32],
    suppressed: &Suppressed,
    also: &[u32],
    count: usize,
) -> Vec<(u32, f32)> {
    let allowed = |id: usize| !suppressed.contains(id) && !also.contains(&(id as u32));
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (id, &x) in logits.iter().enumerate() {
        let full = best.len() == count;
        if full && best.last().is_none_or(|&(_, least)| x <= least) || !allowed(id) {
            continue;
        }
        let place = best.partition_point(|&(_, other)| other >= x);
        best.insert(place, (id as u32, x));
        best.truncate(count);
    }
    let top = best.first().map_or(0.0, |&(_, x)| x);
    let sum: f32 = logits
        .iter()
        .enumerate()
        .filter(|&(id, _)| allowed(id))
        .map(|(_, &x)| (x - top).exp())
        .sum();
    let all = top + sum.max(1.0).ln();
    best.into_iter().map(|(id, x)| (id, x - all)).collect()
}

/// A token drawn from those allowed, at a temperature; `chance` (0 to 1) says which. Its log-probability is that of
/// temperature 1, so that attempts can be compared.
pub fn sample(
    logits: &[f32],
    suppressed: &Suppressed,
    also: &[u32],
    temperature: f32,
    chance: f64,
) -> Choice {
    let greedy = choose(logits, suppressed, also);
    let Some(&top) = logits.get(greedy.token as usize) else {
        return greedy;
    };
    let weight = |x: f32| f64::from((x - top) / temperature).exp();
    let allowed = || {
        let all = logits.iter().enumerate();
        all.filter(|&(id, _)| !suppressed.contains(id) && !also.contains(&(id as u32)))
    };
    let mut left = chance * allowed().map(|(_, &x)| weight(x)).sum::<f64>();
    let drawn = allowed().find(|&(_, &x)| {
        left -= weight(x);
        left < 0.0
    });
    drawn.map_or(greedy, |(id, &x)| Choice {
        token: id as u32,
        logprob: greedy.logprob + x - top,
        gap: greedy.gap,
    })
}

/// Probability of `token` in the whole row.
pub fn probability(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|&x| (x - top).exp()).sum();
    logits
        .get(token as usize)
        .map_or(0.0, |&x| (x - top).exp() / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_allowed_token_wins() {
        let suppressed = Suppressed::new(4, [1]);
        let choice = choose(&[1.0, 9.0, 3.0, 2.5], &suppressed, &[2]);
        assert_eq!(choice.token, 3);
        assert!((choice.gap - 1.5).abs() < 1e-6 && choice.logprob < 0.0);
    }

    #[test]
    fn probabilities_sum_to_one() {
        let logits = [0.5, -1.0, 2.0];
        let sum: f32 = (0..3).map(|t| probability(&logits, t)).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(probability(&logits, 9), 0.0);
    }
}

//! Two lists of words, side by side.

/// Levenshtein distance and the pairs of equal words on one best path.
pub fn align<T: PartialEq>(truth: &[T], said: &[T]) -> (usize, Vec<(usize, usize)>) {
    let (n, m) = (truth.len(), said.len());
    let mut d = vec![vec![0usize; m + 1]; n + 1];
    for (i, row) in d.iter_mut().enumerate() {
        row[0] = i;
    }
    d[0] = (0..=m).collect();
    for i in 1..=n {
        for j in 1..=m {
            let change = usize::from(truth[i - 1] != said[j - 1]);
            d[i][j] = (d[i - 1][j] + 1)
                .min(d[i][j - 1] + 1)
                .min(d[i - 1][j - 1] + change);
        }
    }
    let (mut i, mut j, mut pairs) = (n, m, Vec::new());
    while i > 0 && j > 0 {
        let equal = truth[i - 1] == said[j - 1];
        if d[i][j] == d[i - 1][j - 1] + usize::from(!equal) {
            if equal {
                pairs.push((i - 1, j - 1));
            }
            (i, j) = (i - 1, j - 1);
        } else if d[i][j] == d[i - 1][j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    (d[n][m], pairs)
}

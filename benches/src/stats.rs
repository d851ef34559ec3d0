//! Medians and quartiles.

/// The middle of many measurements, and between what half of them lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// A quarter is below.
    pub low: f64,
    /// Half is below.
    pub median: f64,
    /// A quarter is above.
    pub high: f64,
    /// How many there were.
    pub count: usize,
}

impl Spread {
    /// Of these values.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "there is no median of nothing");
        values.sort_by(f64::total_cmp);
        let at = |part: f64| quantile(&values, part);
        Self { low: at(0.25), median: at(0.5), high: at(0.75), count: values.len() }
    }
}

/// Values below which these parts of all measurements are.
///
/// # Panics
/// If there are none.
pub fn quantiles<const N: usize>(mut values: Vec<f64>, parts: [f64; N]) -> [f64; N] {
    assert!(!values.is_empty(), "there is no part of nothing");
    values.sort_by(f64::total_cmp);
    parts.map(|part| quantile(&values, part))
}

/// Between neighbours in proportion.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the values")]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25, count: 4 });
        assert_eq!(quantiles(vec![3.0, 1.0, 2.0], [0.5, 1.0]), [2.0, 3.0]);
        assert_eq!(Spread::of([7.0]), Spread { low: 7.0, median: 7.0, high: 7.0, count: 1 });
    }
}

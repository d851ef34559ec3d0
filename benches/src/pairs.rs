//! Two things measured in turn, so that whatever else the machine does falls on both.

use crate::run::Failed;
use crate::stats::Spread;

/// What pairs of measurements give.
pub struct Pairs {
    /// Of the first ones.
    pub ours: Spread,
    /// Of the second ones.
    pub theirs: Spread,
    /// Of first by second, pair by pair.
    pub ratio: Spread,
    /// Of first minus second, pair by pair.
    pub difference: Spread,
}

/// Runs both so often, in turns that alternate, after one round that does not count.
///
/// # Errors
/// The first of either.
pub fn paired(
    count: usize,
    mut ours: impl FnMut() -> Result<f64, Failed>,
    mut theirs: impl FnMut() -> Result<f64, Failed>,
) -> Result<Pairs, Failed> {
    let mut both = Vec::with_capacity(count);
    for round in 0..=count {
        let pair = if round % 2 == 0 {
            let first = ours()?;
            (first, theirs()?)
        } else {
            let second = theirs()?;
            (ours()?, second)
        };
        if round > 0 {
            both.push(pair);
        }
    }
    Ok(Pairs {
        ours: Spread::of(both.iter().map(|pair| pair.0)),
        theirs: Spread::of(both.iter().map(|pair| pair.1)),
        ratio: Spread::of(both.iter().map(|pair| pair.0 / pair.1)),
        difference: Spread::of(both.iter().map(|pair| pair.0 - pair.1)),
    })
}

/// Runs one thing so often, after one run that does not count.
///
/// # Errors
/// The first.
pub fn repeated(count: usize, mut measure: impl FnMut() -> Result<f64, Failed>) -> Result<Spread, Failed> {
    measure()?;
    Ok(Spread::of((0..count).map(|_| measure()).collect::<Result<Vec<_>, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_does_not_count_and_turns_alternate() {
        let order = std::cell::RefCell::new(String::new());
        let step = |letter, value: f64| {
            order.borrow_mut().push(letter);
            Ok(value)
        };
        let pairs = paired(2, || step('a', 6.0), || step('b', 2.0)).unwrap();
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!((pairs.ratio.median, pairs.difference.median, pairs.ratio.count), (3.0, 4.0, 2));
    }
}

//! Numbers drawn from a seed, the same count for each step of a walk whatever is done with them: so that the same seed gives
//! the same decisions, also where the answers of servers come in another order.

/// Numbers for one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice([u64; 8]);

impl Dice {
    /// Draws.
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Self {
        Self(std::array::from_fn(|_| random.u64(..)))
    }

    /// The die of this place, from 0 to below `sides`.
    pub(crate) fn of(&self, sides: u64, place: usize) -> u64 {
        self.0[place % self.0.len()] % sides.max(1)
    }

    /// The same as an index.
    pub(crate) fn index(&self, length: usize, place: usize) -> usize {
        usize::try_from(self.of(length as u64, place)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let draw = |seed| Dice::draw(&mut fastrand::Rng::with_seed(seed)).0;
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

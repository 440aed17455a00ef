//! Amounts, as Waldur, the cluster and the configuration write them: what is read is written so that it is read as the same.

use agent::settings::ExactDecimal;
use planner::amount::{Amount, Notation};

/// Two texts, one a line.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, "1"));
    let (first, second) = (first.parse::<Amount>().ok(), second.parse::<Amount>().ok());
    for amount in [first, second].into_iter().flatten() {
        for written in
            [amount.to_string(), amount.quantity(Notation::Decimal), amount.quantity(Notation::Binary)]
        {
            assert_eq!(written.parse(), Ok(amount), "{amount:?} is written as {written}");
        }
    }
    if let (Some(first), Some(second)) = (first, second) {
        arithmetic(first, second);
    }
    if let Some(decimal) = ExactDecimal::parse(text) {
        let written = decimal.to_string();
        assert_eq!(ExactDecimal::parse(&written), Some(decimal), "{written}");
    }
}

/// What is done can be undone, but for a product that had to be rounded: with a whole factor none has to be.
fn arithmetic(first: Amount, second: Amount) {
    if let Some(sum) = first.plus(second) {
        assert_eq!(sum.minus(second), Some(first));
    }
    if let Some(quotient) = first.over(second) {
        assert_eq!(quotient.times(second), Some(first));
    }
    if let Some(product) = first.times(second).filter(|_| second.as_whole().is_some_and(|factor| factor != 0))
    {
        assert_eq!(product.over(second), Some(first));
    }
}

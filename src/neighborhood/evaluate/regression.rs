//! Poisson regression with a logarithmic link, by iteratively reweighted least squares (Nelder and Wedderburn 1972).
//!
//! Columns are standardised and coefficients drawn to 0 by a ridge, so that terms that say nearly the same share what
//! they have to say. Invariant: a step never makes the penalised likelihood worse, and the result is finite.

/// One observation.
#[derive(Clone, Debug)]
pub struct Sample<const N: usize> {
    /// The terms; a term that is 1 everywhere is an intercept, and is not drawn to 0.
    pub terms: [f32; N],
    /// What was counted.
    pub label: f32,
    /// For how many equal observations it stands.
    pub weight: f32,
    /// The logarithm of what the expectation is a multiple of.
    pub offset: f32,
}

/// Fits coefficients.
pub fn fit<const N: usize>(samples: &[Sample<N>], ridge: f64) -> [f64; N] {
    let scales = Scales::of(samples);
    let all: f64 = samples.iter().map(|sample| f64::from(sample.weight)).sum();
    let counted: f64 = samples.iter().map(|sample| f64::from(sample.weight * sample.label)).sum();
    let expected: f64 = samples.iter().map(|sample| f64::from(sample.weight) * f64::from(sample.offset).exp()).sum();
    let mut coefficients = [0.0; N];
    if let (Some(intercept), true) = (scales.intercept, counted > 0.0 && all > 0.0) {
        coefficients[intercept] = (counted / expected).ln();
    }
    let mut step = System::of(samples, &scales, &coefficients, ridge);
    for _ in 0..MOST_STEPS {
        let Some(direction) = step.solve() else { break };
        let mut part = 1.0;
        let better = loop {
            let tried: [f64; N] = std::array::from_fn(|index| coefficients[index] + part * direction[index]);
            let next = System::of(samples, &scales, &tried, ridge);
            if next.likelihood >= step.likelihood {
                break Some((tried, next));
            }
            part /= 2.0;
            if part < LEAST_PART {
                break None;
            }
        };
        let Some((tried, next)) = better else { break };
        let gain = next.likelihood - step.likelihood;
        (coefficients, step) = (tried, next);
        if gain < LEAST_GAIN {
            break;
        }
    }
    scales.undo(coefficients)
}

/// How the columns are standardised.
struct Scales<const N: usize> {
    means: [f64; N],
    deviations: [f64; N],
    intercept: Option<usize>,
}

impl<const N: usize> Scales<N> {
    fn of(samples: &[Sample<N>]) -> Self {
        let (mut sums, mut squares, mut all) = ([0.0; N], [0.0; N], 0.0);
        for sample in samples {
            let weight = f64::from(sample.weight);
            all += weight;
            for index in 0..N {
                let term = f64::from(sample.terms[index]);
                sums[index] += weight * term;
                squares[index] += weight * term * term;
            }
        }
        let is_one = |index: usize| samples.iter().all(|sample| sample.terms[index] == 1.0);
        let intercept = (0..N).find(|&index| is_one(index));
        let mut means: [f64; N] = std::array::from_fn(|index| sums[index] / f64::max(all, 1.0));
        let mut deviations: [f64; N] =
            std::array::from_fn(|index| (squares[index] / f64::max(all, 1.0) - means[index].powi(2)).max(0.0).sqrt());
        // without an intercept a mean could not be made good for
        for index in 0..N {
            if intercept.is_none() || intercept == Some(index) {
                means[index] = 0.0;
            }
            if deviations[index] < LEAST_DEVIATION {
                deviations[index] = 1.0;
            }
        }
        Self { means, deviations, intercept }
    }

    fn standardised(&self, terms: &[f32; N]) -> [f64; N] {
        std::array::from_fn(|index| (f64::from(terms[index]) - self.means[index]) / self.deviations[index])
    }

    /// The coefficients of the columns as they were.
    fn undo(&self, coefficients: [f64; N]) -> [f64; N] {
        let mut plain: [f64; N] = std::array::from_fn(|index| coefficients[index] / self.deviations[index]);
        if let Some(intercept) = self.intercept {
            plain[intercept] -= (0..N).map(|index| plain[index] * self.means[index]).sum::<f64>();
        }
        plain
    }
}

/// The normal equations at some coefficients.
struct System<const N: usize> {
    likelihood: f64,
    gradient: [f64; N],
    information: [[f64; N]; N],
}

impl<const N: usize> System<N> {
    fn of(samples: &[Sample<N>], scales: &Scales<N>, coefficients: &[f64; N], ridge: f64) -> Self {
        let mut system = Self { likelihood: 0.0, gradient: [0.0; N], information: [[0.0; N]; N] };
        for sample in samples {
            let terms = scales.standardised(&sample.terms);
            let sum: f64 = terms.iter().zip(coefficients).map(|(term, coefficient)| term * coefficient).sum();
            let logarithm = (sum + f64::from(sample.offset)).clamp(LOG_LEAST, LOG_MOST);
            let (mean, weight, label) = (logarithm.exp(), f64::from(sample.weight), f64::from(sample.label));
            system.likelihood += weight * (label * logarithm - mean);
            for i in 0..N {
                system.gradient[i] += weight * (label - mean) * terms[i];
                let row = weight * mean * terms[i];
                for (sum, term) in system.information[i][i..].iter_mut().zip(&terms[i..]) {
                    *sum += row * term;
                }
            }
        }
        for (i, coefficient) in coefficients.iter().enumerate() {
            if scales.intercept != Some(i) {
                system.likelihood -= ridge / 2.0 * coefficient * coefficient;
                system.gradient[i] -= ridge * coefficient;
                system.information[i][i] += ridge;
            }
            for j in 0..i {
                system.information[i][j] = system.information[j][i];
            }
        }
        system
    }

    /// The Newton step, by Gaussian elimination; none if the equations do not determine one.
    fn solve(&self) -> Option<[f64; N]> {
        let (mut matrix, mut right) = (self.information, self.gradient);
        for column in 0..N {
            let pivot = (column..N).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
            if matrix[pivot][column].abs() < LEAST_PIVOT {
                return None;
            }
            matrix.swap(column, pivot);
            right.swap(column, pivot);
            let upper = matrix[column];
            for row in column + 1..N {
                let factor = matrix[row][column] / upper[column];
                for (value, above) in matrix[row][column..].iter_mut().zip(&upper[column..]) {
                    *value -= factor * above;
                }
                right[row] -= factor * right[column];
            }
        }
        let mut solution = [0.0; N];
        for row in (0..N).rev() {
            let known: f64 = (row + 1..N).map(|column| matrix[row][column] * solution[column]).sum();
            solution[row] = (right[row] - known) / matrix[row][row];
        }
        solution.iter().all(|value: &f64| value.is_finite()).then_some(solution)
    }
}

/// Steps after which the fit is as good as it gets.
const MOST_STEPS: usize = 25;
/// A gain of the logarithm of the likelihood below this is none.
const LEAST_GAIN: f64 = 0.01;
/// A step is halved down to this part of it.
const LEAST_PART: f64 = 1e-4;
/// A column that varies less is left as it is.
const LEAST_DEVIATION: f64 = 1e-9;
/// A pivot below this is 0.
const LEAST_PIVOT: f64 = 1e-12;
/// The bounds of a rate's logarithm.
const LOG_LEAST: f64 = -25.0;
/// See [`LOG_LEAST`].
const LOG_MOST: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that are exactly what the coefficients expect, so that these are the best fit there is.
    fn exact(coefficients: [f64; 3], offset: f32) -> Vec<Sample<3>> {
        let grid = (0..20).flat_map(|a| (0..20).map(move |b| (a as f32 / 10.0, (a * b % 7) as f32 / 3.0)));
        grid.map(|(a, b)| {
            let sum = f64::from(a) * coefficients[0] + f64::from(b) * coefficients[1] + coefficients[2];
            let label = (sum + f64::from(offset)).exp() as f32;
            Sample { terms: [a, b, 1.0], label, weight: 1.0 + b, offset }
        })
        .collect()
    }

    #[test]
    fn what_the_counts_were_made_by_is_found() {
        let made_by = [0.7, -1.3, 0.4];
        for offset in [0.0, -2.0] {
            let found = fit(&exact(made_by, offset), 0.0);
            for (found, made_by) in found.iter().zip(made_by) {
                assert!((found - made_by).abs() < 1e-3, "{found} for {made_by}");
            }
        }
    }

    #[test]
    fn a_ridge_draws_to_nothing_and_spares_the_intercept() {
        let samples = exact([0.7, -1.3, 0.4], 0.0);
        let found = fit(&samples, 1e12);
        assert!(found[0].abs() < 1e-3 && found[1].abs() < 1e-3);
        let weight: f64 = samples.iter().map(|sample| f64::from(sample.weight)).sum();
        let counted: f64 = samples.iter().map(|sample| f64::from(sample.weight * sample.label)).sum();
        assert!((found[2] - (counted / weight).ln()).abs() < 1e-3);
    }

    #[test]
    fn columns_that_say_the_same_do_not_break_it() {
        let samples: Vec<Sample<3>> = (0..50)
            .map(|i| Sample { terms: [i as f32, i as f32, 1.0], label: (i % 3) as f32, weight: 1.0, offset: 0.0 })
            .collect();
        assert!(fit(&samples, 1.0).iter().all(|value| value.is_finite()));
        assert!(fit::<3>(&[], 1.0).iter().all(|value| value.is_finite()));
    }
}

//! The numbers of the method: coefficients, strengths of shrinkage, thresholds.
//!
//! The coefficients were fitted on weekly windows of open data; `evaluate --tune` fits others. Everything here can be
//! set in `[neighborhood]`. Invariant of the fit that is held by a test: one more new bad address never lowers the
//! rate of its /24.

use serde::{Deserialize, Serialize};

/// The terms of the rate of a /24 with history, in the order of their coefficients; the intercept comes last.
pub const TOUCHED_TERMS: [&str; 12] =
    ["log24_120", "trend", "laddr", "newsh7", "b20_60", "lwk", "b20_14", "is24", "logA_60", "logA_1", "logP_14", "lpc"];
/// The terms of the rate of a /24 without history, likewise.
pub const UNTOUCHED_TERMS: [&str; 8] =
    ["s_actsh", "logA_60", "logA_1", "logP_14", "b22_act", "b20_act", "plen", "p_ent"];
/// The terms of a /28's share in its /24.
pub const LEAF_TERMS: [&str; 7] = ["one", "la", "room", "dens", "s60", "s14", "rsp"];

/// The terms of the rate of an address that may come back; the intercept comes last.
pub const RETURNING_TERMS: [&str; 6] = ["arrivals", "returns", "absent", "age", "others", "rate24"];

/// A term for each coefficient, and 1 for the intercept, which comes last.
pub type TouchedTerms = [f64; TOUCHED_TERMS.len() + 1];
/// As [`TouchedTerms`].
pub type UntouchedTerms = [f64; UNTOUCHED_TERMS.len() + 1];
/// As [`TouchedTerms`].
pub type ReturningTerms = [f64; RETURNING_TERMS.len() + 1];
/// A term for each coefficient; there is no intercept, as shares sum to one.
pub type LeafTerms = [f64; LEAF_TERMS.len()];

/// The coefficients of the additive model: logarithms of rates are sums of terms times these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficients {
    /// For /24s with history.
    pub touched: TouchedTerms,
    /// For /24s without.
    pub untouched: UntouchedTerms,
    /// For a /28's share in its /24.
    pub leaf: LeafTerms,
    /// For an address that may come back.
    pub returning: ReturningTerms,
}

impl Default for Coefficients {
    fn default() -> Self {
        Self {
            touched: [
                1.466_306_120_250_344_7,
                0.767_376_714_488_685_4,
                -0.761_862_200_298_156_5,
                0.638_594_762_334_679_4,
                -0.543_066_206_306_961_3,
                0.518_945_866_452_811_2,
                0.510_964_489_578_755_6,
                0.329_449_716_442_987_15,
                -0.276_307_336_980_108,
                0.246_947_582_484_916_08,
                0.096_498_684_100_873_62,
                0.088_524_211_558_101_17,
                -0.773_214_619_152_191_6,
            ],
            untouched: [
                0.916_738_771_319_298_8,
                -0.833_048_369_607_714_1,
                0.342_910_154_562_840_7,
                0.327_616_983_945_893_34,
                0.688_346_659_820_204,
                0.553_658_105_640_390_5,
                0.243_283_067_701_239_7,
                0.155_159_960_661_821_74,
                -2.486_727_913_988_545,
            ],
            leaf: [
                1.572_268_145_057_897_7,
                2.112_300_586_777_053,
                1.230_692_980_550_697,
                -0.955_187_631_391_416_8,
                -0.871_592_033_762_612_6,
                0.271_911_676_589_919_3,
                0.215_395_589_836_500_28,
            ],
            returning: [
                1.028_095_605_105_481,
                0.167_680_968_550_651_73,
                -0.359_076_260_258_169_63,
                0.259_500_672_252_992_8,
                -0.226_852_158_625_309_64,
                0.678_863_334_151_878_6,
                -3.632_454_344_882_887_7,
            ],
        }
    }
}

/// How strongly a rate is drawn to that of the node above: /24s of the parent's rate that are added to a node's own.
///
/// With so few bad addresses a node's own rate is mostly chance; this is the mean of a gamma posterior whose prior has
/// the parent's rate as its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrinkage {
    /// Of an ASN to everything.
    pub asn: f64,
    /// Of an announced prefix to its ASN.
    pub prefix: f64,
    /// Of a /24 to its prefix.
    pub block: f64,
    /// Of a prefix without one of its /24s to its ASN.
    pub siblings: f64,
}

impl Default for Shrinkage {
    fn default() -> Self {
        Self { asn: 195.0, prefix: 0.8, block: 1.2, siblings: 4.0 }
    }
}

/// What a generalised state takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// The lift of `watch`, with 2 addresses, or none where a block has no history.
    pub watch: f64,
    /// The lift of `suspicious`, with 3 addresses on 2 days from 2 groups.
    pub suspicious: f64,
    /// The lift of `bad`, with the same evidence.
    pub bad: f64,
    /// At which part of its threshold a state is left.
    pub leave: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { watch: 50.0, suspicious: 250.0, bad: 750.0, leave: 0.4 }
    }
}

/// How far verdicts reach into clouds, whose tenants change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InClouds {
    /// Not at all.
    Off,
    /// `watch` at most.
    #[default]
    Watch,
    /// As anywhere else. Clouds hold about a quarter of the new bad addresses that a large list finds.
    Full,
}

/// All numbers of the method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// See [`Coefficients`].
    pub coefficients: Coefficients,
    /// See [`Shrinkage`].
    pub shrinkage: Shrinkage,
    /// See [`Thresholds`].
    pub thresholds: Thresholds,
    /// See [`InClouds`].
    pub in_clouds: InClouds,
}

/// Days of history that rates are made of. Two months would do nearly as well, and what the fit saw was up to four.
pub const HISTORY_DAYS: u32 = 120;
/// Days that a state's minimum evidence is counted over.
pub const COUNT_DAYS: u32 = 45;
/// Days of history in which an address's comings and goings are counted.
pub const RETURN_DAYS: u32 = 365;
/// The most new bad addresses that a /24 is expected to have for its surroundings alone. Those that promise more do not
/// keep it, and as a first report must not lower a rate, they would stand above blocks whose own record is as bad.
pub const MOST_UNTOUCHED: f64 = 0.05;
/// Days of absence after which an address that comes back is new.
pub const NEW_AFTER_DAYS: u32 = 30;
/// Days that a rate looks ahead.
pub const HORIZON_DAYS: u32 = 7;
/// Days until a group's word weighs half beside a later one of another group.
pub(super) const AGREEMENT_HALF_LIFE: f64 = 14.0;

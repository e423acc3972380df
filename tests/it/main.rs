//! infamy from the outside, as one integration crate: answers by RFC section, packets, doors, processes.

mod compile;
mod compiled;
mod control;
mod evaluate;
mod figures;
mod hostile;
mod increment_speed;
mod judge_speed;
mod layers;
mod live;
mod oracle;
mod packaging;
mod phishing;
mod rbldnsd;
mod real_lists;
mod rfc8020;
mod rfc8906;
mod scenarios;
mod script;
mod serve;
mod steps;
mod transport;
mod verdicts;
mod wire;
mod world;

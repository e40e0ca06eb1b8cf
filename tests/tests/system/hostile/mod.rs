//! Servers and people who mean harm, and bytes that do.

mod changes;
mod crowds;
mod cut_short;
mod defended;
mod harmful;
mod liars;
mod mutator;
mod servers;

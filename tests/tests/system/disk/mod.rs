//! Disks: full, gone, and without power.

mod full;
mod power_cut;
mod underneath;

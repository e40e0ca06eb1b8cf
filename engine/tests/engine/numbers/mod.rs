//! Numbers that no honest change has, and documents with more heads, values and actors than one change may name:
//! honest edits before and after go on.
mod counters;
mod many;
mod next;
mod range;
mod steps;
mod support;

/// Seeds that once found something, each with what it was. They are run before any other.
pub const REGRESSIONS: [(u64, &str); 0] = [];
